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

Label Neighbours::next_label() {
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
        os::Binding link{self_};
        auto spawner = co_await async::result_of(os::bind_spawner(self_, link, {{order_[i]}}));
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
    if (foreign_.full()) co_await fail(Err::no_space);
    os::Binding link{self_};
    auto spawner = co_await os::bind_spawner(self_, link, {{core}});
    const auto donation = co_await spawner.donate(self_.core(), bytes);
    Foreign& entry = *co_await foreign_.add(core, donation.label);
    auto ram = co_await async::result_of(fetch(donation.label));
    if (!ram) {
        co_await look_for(entry);
        co_await fail(ram.error());
    }
    co_await take_in(entry, std::move(*ram));
    log::info("memory {} KiB of core {} for a while", entry.bytes / 1024, core);
    co_return {};
}

/// The memory server has it from now on. If it has no room for one more region it is kept, and goes
/// back with the next that does.
Result<> Neighbours::take_in(Foreign& entry, os::OwnedCap ram) {
    const os::Description what = TRY(os::describe(ram.slot()));
    const auto added = memory_.add(ram.slot(), true);
    if (added)
        entry.use(what.base, what.bytes);
    else
        entry.keep(ram.release());
    return added;
}

/// What was handed is at one end or the other, or not there yet: then it is looked for again.
async::Task<> Neighbours::look_for(Foreign& entry) {
    auto here = co_await async::result_of(os::binder().fetch(entry.label, self_.loop().now()));
    if (here) {
        (void)take_in(entry, std::move(*here));
        co_return {};
    }
    bool settled = !is_up(entry.home); // whoever clears up after that core has what was there
    if (!settled) {
        os::Binding link{self_};
        auto spawner = co_await async::result_of(os::bind_spawner(self_, link, {{entry.home}}));
        if (!spawner) co_return {}; // nobody could be asked, which says nothing
        const auto said = co_await async::result_of(spawner->returned(entry.label));
        if (!said && !entry.missed(said.error().top())) co_return {};
        settled = said.has_value();
    }
    if (!settled)
        log::error("memory that was handed as {} is not found any more", entry.label.view());
    foreign_.remove(entry);
    co_return {};
}

/// Only one looks at the table at a time: entries stay where they are while it waits.
async::Task<> Neighbours::give_back() {
    const auto guard = co_await one_at_a_time_.acquire();
    for (size_t i = 0; Foreign* const entry = foreign_.next(Foreign::State::on_its_way, i);)
        co_await look_for(*entry);
    while (take_spare()) {
    }
    for (size_t i = 0; Foreign* const entry = foreign_.next(Foreign::State::kept, i);) {
        const auto done = co_await async::result_of(hand_back(*entry));
        if (!done) log::warn("memory cannot be given back yet: {}", done.error());
    }
    co_return {};
}

/// Errors: not_found (all of it is in use).
Result<> Neighbours::take_spare() {
    os::OwnedCap ram{TRY(memory_.spare()).ram};
    const os::Description what = TRY(os::describe(ram.slot()));
    Foreign* const entry = foreign_.at(what.base);
    if (entry == nullptr) return memory_.add(ram.slot(), false);
    entry->keep(ram.release());
    return {};
}

/// Of a core that has gone it is ours for good.
async::Task<> Neighbours::hand_back(Foreign& entry) {
    const uint64_t kib = entry.bytes / 1024;
    const os::CapSlot ram = entry.ram;
    const bool stays = !is_up(entry.home);
    const Label label = next_label();
    co_await (stays ? memory_.add(ram, false) : monitor_.hand({{entry.home}}, label, ram));
    const os::OwnedCap over{ram}; // whoever took it has a copy, or all
    if (stays) {
        foreign_.remove(entry);
        co_return {};
    }
    log::info("memory {} KiB goes back to core {}", kib, entry.home);
    entry.move(label);
    co_await look_for(entry);
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
