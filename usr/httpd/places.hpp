// Who may hold memory for a request: few at a time. When somebody else wants to, who only waits has
// to leave: first those between two requests, who lose nothing by it, then those who keep us
// waiting in the middle of one.
#pragma once

#include <cstdint>
#include <optional>

#include "lib/async/loop.hpp"
#include "lib/async/sync.hpp"
#include "lib/base/list.hpp"

namespace http {

class Places {
  public:
    /// A peer that is slower than this in the middle of a request may lose it to another.
    static constexpr Duration patience = seconds(5);

    Places(async::Loop& loop, size_t count) : loop_{loop}, free_{loop, count}, changed_{loop} {}

    Places(const Places&) = delete;

    using Place = async::Semaphore::Guard;

    /// Waits for a free one; that is seen to.
    async::Task<Place> enter() {
        ++wanted_;
        changed_.set();
        auto place = co_await async::result_of(acquire());
        --wanted_;
        co_return co_await std::move(place);
    }

    /// While who has a place waits for its peer.
    class Wait {
      public:
        enum class In : uint8_t {
            between, // two requests
            request,
            leaving, // it was asked: it only says that it goes
        };

        Wait(Places& places, uint32_t socket, In in)
            : places_{places}, socket_{socket}, in_{in}, since_{places.loop_.now()} {
            places_.waits_.push_back(*this);
            if (in_ != In::leaving && places_.wanted()) places_.changed_.set();
        }

        Wait(const Wait&) = delete;

        ~Wait() {
            places_.waits_.remove(*this);
            if (asked_) --places_.asked_;
        }

        /// Its calls do not wait any more, or soon will not.
        bool asked() const { return asked_; }

      private:
        friend class Places;

        Places& places_;
        uint32_t socket_;
        In in_;
        Instant since_;
        bool asked_{};
        ListHook<Wait> hook_;
    };

    /// Between two requests: whether it is better not to wait in here.
    bool wanted() const { return wanted_ > asked_; }

    /// The socket whose connection has to leave, now or as soon as there is one.
    async::Task<uint32_t> next_to_leave() {
        for (;;) {
            std::optional<Instant> later;
            if (wanted()) {
                if (Wait* const wait = choose(later)) {
                    wait->asked_ = true;
                    ++asked_;
                    co_return wait->socket_;
                }
            }
            if (later)
                (void)co_await async::result_of(changed_.wait_until(*later));
            else
                co_await changed_.wait();
        }
    }

  private:
    async::Task<Place> acquire() { co_return co_await free_.acquire(); }

    /// Null: nobody yet; `later` then says when to look again.
    Wait* choose(std::optional<Instant>& later) {
        Wait* slow = nullptr;
        for (Wait& wait : waits_) {
            if (wait.asked_ || wait.in_ == Wait::In::leaving) continue;
            if (wait.in_ == Wait::In::between) return &wait;
            if (slow == nullptr) slow = &wait;
        }
        if (slow == nullptr || loop_.now() - slow->since_ >= patience) return slow;
        later = slow->since_ + patience;
        return nullptr;
    }

    async::Loop& loop_;
    async::Semaphore free_;
    async::Event changed_;
    List<Wait, &Wait::hook_> waits_; // the longest first
    size_t wanted_{}, asked_{};
};

} // namespace http
