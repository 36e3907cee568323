#include "tests/hostile/usr/mapper/shared.hpp"

#include <algorithm>
#include <atomic>

#include "interfaces/mapper.hpp"
#include "lib/async/loop.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/revoke.hpp"

namespace mapper {
namespace {

namespace api = interfaces::mapper;

// Two large pages, where the quota has them.
constexpr uint64_t shared_bytes = 2 * large_page_bytes;
constexpr Duration until_answered = milliseconds(1);

/// Never gives the loop a chance to hear of anything: the memory goes under it.
async::Task<> touch(os::Domain& self, os::OwnedCap frame, os::View view) {
    co_await self.loop().sleep_for(until_answered);
    for (uint64_t round = 0; !view.is_dead(); ++round)
        for (size_t at = 0; at < view.bytes(); at += page_bytes) {
            // publishes nothing: only that it is written counts
            std::atomic_ref{view.span()[at]}.store(std::byte(round), std::memory_order_relaxed);
        }
    os::last_words("mapper: what was shown has gone, and I am here");
    co_return {};
}

struct Toucher {
    Toucher(os::Session&, os::Domain& domain) : self{domain} {}

    async::Task<> look(api::LookArguments a) {
        os::OwnedCap frame{a.what};
        auto view = co_await os::View::make(a.what, 0, a.bytes, abi::read | abi::write);
        co_await self.loop().spawn("touch", [&] {
            return touch(self, std::move(frame), std::move(view));
        });
        co_return {};
    }

    os::Domain& self;
};

constinit os::Immortal<os::ServiceOf<Toucher, api::ServerSide<Toucher>, os::Domain>> toucher;
constinit os::Immortal<os::Binding> held;
constinit os::Immortal<os::Memory> shown;

/// Somebody looks at our memory from here on.
async::Task<> show(os::Domain& self) {
    os::Binding& binding = held.make(self);
    co_await binding.open({.name = "mapper", .contract = api::contract});
    os::Memory& memory = shown.make(co_await os::Memory::make(shared_bytes, large_page_bytes));
    co_await api::Client{binding.channel()}.look(memory.frame.slot(), shared_bytes);
    co_return {};
}

async::Task<> hold(os::Domain& self) {
    co_await show(self);
    os::last_words("mapper: held");
    co_return {};
}

bool is_written(std::span<const std::byte> memory) {
    return std::ranges::any_of(memory, [](std::byte b) { return b != std::byte{0}; });
}

/// Whoever looks is not asked, and it is all ours again.
async::Task<> take_back(os::Domain& self) {
    co_await show(self);
    const auto memory = shown->span();
    while (!is_written(memory.last(page_bytes)))
        co_await self.loop().sleep_for(until_answered);
    co_await os::revoke(shown->frame.slot());
    const os::View again = co_await os::View::make(shown->frame);
    std::ranges::fill(again.span(), std::byte{0});
    co_await self.loop().sleep_for(milliseconds(20)); // whoever still could would write
    const bool alone = !is_written(again.span());
    os::last_words(alone ? "mapper: taken back" : "not so: somebody still writes");
    self.stop(alone ? 0 : 1);
    co_return {};
}

} // namespace

Result<> begin_serving(os::Domain& self) {
    return os::offer(self, toucher.make("mapper", api::contract, self));
}

Result<> begin_holding(os::Domain& self) {
    return self.loop().spawn("hold", [&] { return hold(self); });
}

Result<> begin_taking_back(os::Domain& self) {
    return self.loop().spawn("take back", [&] { return take_back(self); });
}

} // namespace mapper
