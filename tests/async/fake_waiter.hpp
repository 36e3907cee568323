// Virtual time: sleeping jumps to the deadline, or to the next thing the test has planned.
#pragma once

#include <functional>
#include <map>

#include "lib/async/loop.hpp"

class FakeWaiter final : public async::Waiter {
  public:
    Instant now() override { return now_; }

    uint64_t wait(std::optional<Instant> deadline) override {
        ++waits;
        if (!planned_.empty() && (!deadline || planned_.begin()->first <= *deadline)) {
            const auto [at, bits] = *planned_.begin();
            planned_.erase(planned_.begin());
            now_ = std::max(now_, at);
            return bits;
        }
        if (!deadline) {
            if (idle) idle();
            return 0;
        }
        now_ = std::max(now_, *deadline);
        return 0;
    }

    void plan(Instant at, uint64_t bits) { planned_.emplace(at, bits); }

    bool none_planned() const { return planned_.empty(); }

    void pass(Duration d) { now_ = now_ + d; }

    /// Called when the loop would sleep for ever; usually stops it.
    std::function<void()> idle;
    int waits{};

  private:
    Instant now_{1'000'000'000};
    std::multimap<Instant, uint64_t> planned_;
};

/// A loop that ends when nothing will ever happen any more.
struct TestLoop {
    explicit TestLoop(size_t frame_bytes = 64 * 1024, uint32_t poll_turns = 0)
        : memory(frame_bytes), loop{waiter, memory, poll_turns} {
        waiter.idle = [this] { loop.stop(); };
    }

    FakeWaiter waiter;
    std::vector<std::byte> memory;
    async::Loop loop;
};
