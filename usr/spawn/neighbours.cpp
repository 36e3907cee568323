#include "usr/spawn/neighbours.hpp"

#include <algorithm>
#include <bit>

#include "lib/abi/boot_info.hpp"
#include "lib/base/log.hpp"
#include "lib/os/binder.hpp"

namespace spawn {
namespace {

// What was handed to this core overtakes the answer that speaks of it, or the other way round.
constexpr Duration patience = seconds(5);

} // namespace

Result<> Neighbours::begin() {
    const unsigned count = self_.core_count(), self = self_.core().raw;
    order_count_ = order_neighbours(order_, self, count, [](unsigned) { return 0u; });
    const os::CapSlot frame = TRY(self_.find_given("boot.info"));
    const os::View view = TRY(os::View::make(frame, 0, page_bytes, abi::read));
    const auto& info = *view.as<const abi::BootInfo>();
    if (info.magic != abi::boot_info_magic) return fail(Err::malformed);
    const auto node_of = [&](unsigned core) {
        return std::min<size_t>(info.cores[core].node, abi::nodes_max - 1);
    };
    const auto& from_here = info.node_distance[node_of(self)];
    const auto distance_to = [&](unsigned core) { return from_here[node_of(core)]; };
    order_count_ = order_neighbours(order_, self, count, distance_to);
    return {};
}

bool Neighbours::is_up(uint8_t core) {
    const auto state = monitor_.core_at(core);
    return state && state->state == interfaces::monitor::CoreState::up;
}

Neighbours::Label Neighbours::next_label() {
    std::array<char, 16> text;
    return Label::cut(format_to(text, "ram.{}.{}", self_.core().raw, labels_++ % 1'000'000));
}

async::Task<os::OwnedCap> Neighbours::fetch(Label label) {
    return os::binder().fetch(label, self_.loop().now() + patience);
}

async::Task<bool> Neighbours::say_overdue() {
    bool lost = false;
    for (size_t i = 0; i < order_count_; ++i) {
        if (!is_up(order_[i])) continue;
        auto spawner = co_await async::result_of(spawners_.of({{order_[i]}}));
        if (!spawner) continue;
        const auto said = co_await async::result_of(spawner->overdue());
        lost |= said && said->lost;
    }
    co_return lost;
}

// -- who needs memory --

async::Task<> Neighbours::borrow(uint64_t bytes) {
    const auto guard = co_await one_at_a_time_.acquire();
    for (size_t i = 0; i < order_count_; ++i) {
        if (!is_up(order_[i])) continue;
        const auto got = co_await async::result_of(borrow_from(order_[i], bytes));
        if (got) co_return {};
        if (got.error().top() != Err::no_memory)
            log::warn("core {} cannot lend memory: {}", order_[i], got.error());
    }
    co_return fail(Err::no_memory);
}

async::Task<> Neighbours::borrow_from(uint8_t core, uint64_t bytes) {
    const auto place = std::ranges::find(foreign_, uint64_t{0}, &Foreign::bytes);
    if (place == foreign_.end()) co_await fail(Err::no_space);
    auto spawner = co_await spawners_.of({{core}});
    const auto donation = co_await spawner.donate(self_.core(), bytes);
    const os::OwnedCap ram = co_await fetch(donation.label);
    const os::Description what = co_await os::describe(ram.slot());
    co_await memory_.add(ram.slot(), true);
    *place = {what.base, what.bytes, core};
    ++owed_;
    log::info("memory {} KiB of core {} for a while", what.bytes / 1024, core);
    co_return {};
}

async::Task<> Neighbours::give_back() {
    const auto guard = co_await one_at_a_time_.acquire();
    while (owed_ != 0) {
        const auto done = co_await async::result_of(give_back_one());
        if (done) continue;
        if (done.error().top() != Err::not_found)
            log::warn("memory cannot be given back: {}", done.error());
        break;
    }
    co_return {};
}

/// Errors: not_found (all of it is in use).
async::Task<> Neighbours::give_back_one() {
    const os::OwnedCap ram{(co_await memory_.spare()).ram};
    const os::Description what = co_await os::describe(ram.slot());
    const auto entry = std::ranges::find(foreign_, what.base, &Foreign::base);
    if (entry == foreign_.end()) co_await fail(Err::bad_state);
    const uint8_t home = std::exchange(*entry, Foreign{}).home;
    --owed_;
    const Label label = next_label();
    co_await monitor_.hand({{home}}, label, ram.slot());
    auto spawner = co_await spawners_.of({{home}});
    co_await spawner.returned(label);
    log::info("memory {} KiB goes back to core {}", what.bytes / 1024, home);
    co_return {};
}

// -- who has it --

Result<Neighbours::Donation> Neighbours::donate(CoreId to, uint64_t bytes) {
    if (to == self_.core() || bytes > uint64_t{1} << 40) return fail(Err::bad_argument);
    const uint64_t block = std::bit_ceil(std::max(bytes, large_page_bytes));
    const auto state = TRY(memory_.state());
    const uint64_t own = state.total - state.foreign;
    if (state.free < block + own / 4) return fail(Err::no_memory);
    os::OwnedCap ram{TRY(memory_.allocate_dirty(block)).ram};
    const Label label = next_label();
    const auto handed = monitor_.hand(to, label, ram.slot());
    if (handed) return Donation{block, label};
    TRY_VOID(memory_.release(ram.slot()));
    return fail(handed.error());
}

async::Task<> Neighbours::returned(Label label) {
    const os::OwnedCap ram = co_await fetch(label);
    co_return memory_.release(ram.slot());
}

} // namespace spawn
