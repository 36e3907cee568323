#include "usr/mapper/shared.hpp"

#include <atomic>

#include "lib/async/loop.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/immortal.hpp"

namespace mapper {
namespace {

constexpr rpc::Contract contract{0x6d61'7070, 1};
constexpr size_t shared_bytes = 4 * 1024 * 1024;
constexpr uint64_t shown = 1, touched = 2; // what the first word says
constexpr Duration look_again = milliseconds(1);

/// The first word, which both sides write.
std::atomic_ref<uint64_t> state_of(const os::ChannelEnd& end) {
    void* const first = end.bulk().data();
    return std::atomic_ref{*static_cast<uint64_t*>(first)};
}

async::Task<> becomes(os::Domain& self, const os::ChannelEnd& end, uint64_t wanted) {
    while (state_of(end).load(std::memory_order_acquire) != wanted) // pairs with say()
        co_await self.loop().sleep_for(look_again);
    co_return {};
}

void say(const os::ChannelEnd& end, uint64_t state) {
    state_of(end).store(state, std::memory_order_release); // publishes the state to becomes()
}

class Toucher final : public os::Service, rpc::Handler {
  public:
    explicit Toucher(os::Domain& self)
        : Service{"mapper", contract, Limits{.sessions = 1, .bulk_bytes = shared_bytes}},
          self_{self} {}

  private:
    Result<Arrived> arrived(os::Session& session) override {
        TRY_VOID(self_.loop().spawn("touch", touch(session)));
        rpc::Handler& handler = *this;
        return Arrived{&handler, this};
    }

    void left(void*) override {}

    void request(rpc::Channel&, uint16_t, uint8_t, Bytes) override {}

    Result<> message(rpc::Channel&, uint16_t, Bytes) override { return {}; }

    /// Never gives the loop a chance to hear that the client has gone: the memory goes under it.
    async::Task<> touch(os::Session& session) {
        co_await becomes(self_, session, shown);
        say(session, touched);
        const MutableBytes bulk = session.bulk();
        for (uint64_t round = 0; !session.memory_is_dead(); ++round)
            for (size_t at = page_bytes; at < bulk.size(); at += page_bytes) {
                // publishes nothing: only that it is written counts
                std::atomic_ref{bulk[at]}.store(std::byte(round), std::memory_order_relaxed);
            }
        os::last_words("mapper: what was shown has gone, and I am here");
        co_return {};
    }

    os::Domain& self_;
};

constinit os::Immortal<Toucher> toucher;
constinit os::Immortal<os::Binding> held;

async::Task<> hold(os::Domain& self) {
    os::Binding& binding = held.make(self);
    co_await binding.open({.name = "mapper", .contract = contract, .bulk_bytes = shared_bytes});
    say(binding, shown);
    co_await becomes(self, binding, touched);
    os::last_words("mapper: held");
    co_return {};
}

} // namespace

Result<> begin_serving(os::Domain& self) {
    return os::offer(self, toucher.make(self));
}

Result<> begin_holding(os::Domain& self) {
    return self.loop().spawn("hold", hold(self));
}

} // namespace mapper
