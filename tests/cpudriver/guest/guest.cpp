#include "tests/cpudriver/guest/guest.hpp"

#include <array>
#include <source_location>

#include "lib/base/invariant.hpp"
#include "lib/os/instructions.hpp"

namespace guest {

namespace {

constexpr uint32_t growth_slot = abi::cnode_slots - 1;
constexpr uint64_t fresh_addresses = 0x2000'0000'0000;
constexpr uint64_t stack_bytes = 16384;

uint32_t leaf = 0, next_index = abi::slot::free;
uint64_t quota_used = 0;
uint64_t next_block = 0;
CapSlot directory{};

/// As lib/os does it: made in the last slot of leaf 0, hung into the root, moved into itself.
void add_leaf() {
    leaf = leaf == 0 ? static_cast<uint32_t>(arguments().free_leafs) : leaf + 1;
    const os::CNode first{{{abi::slot::leaf}}}, root{{{abi::slot::root}}};
    const CapSlot fresh = abi::slot_at(0, growth_slot);
    const CapSlot quota{{abi::slot::quota}};
    need(first.retype(growth_slot, quota, Kind::cnode, quota_used, page_bytes), "new leaf");
    quota_used += page_bytes;
    need(root.copy(leaf, fresh), "leaf into root");
    need(os::CNode{{fresh}}.move(0, fresh), "leaf into itself");
    next_index = 1;
}

/// Pointers and directory for the 512 blocks from fresh_addresses on.
void make_directory() {
    const os::Table space{{{abi::slot::address_space}}};
    const CapSlot pointers = take(Kind::page_directory_pointers, 2 * page_bytes);
    directory = take(Kind::page_directory, 2 * page_bytes);
    const uint32_t entry = fresh_addresses >> 39;
    need(space.map(entry, pointers, 0, {}, {}, 1, place_of(new_slot())), "pointers");
    need(os::Table{{pointers}}.map(0, directory, 0, {}, {}, 1, place_of(new_slot())), "directory");
}

} // namespace

CapSlot given(std::string_view name) {
    for (size_t i = 0; i < arguments().given_count; ++i) {
        const auto& entry = arguments().given[i];
        const std::string_view text{entry.name.text.data(), abi::name_bytes};
        if (text.substr(0, text.find('\0')) == name) return {{entry.slot}};
    }
    return abi::null_slot;
}

Instant now() {
    const uint64_t ticks = os::read_tsc() - page().tsc_at_start;
    const uint64_t ns_per_tick = (uint64_t{1'000'000} << 32) / page().tsc_khz;
    return {static_cast<int64_t>(static_cast<unsigned __int128>(ticks) * ns_per_tick >> 32)};
}

void put(std::string_view text) {
    const os::PortRange ports{{given("ports")}};
    for (char c : text) {
        for (;;) {
            const auto status = ports.in(0x3fd, 1);
            if (!status || (*status & 0x20) != 0) break;
        }
        (void)ports.out(0x3f8, 1, static_cast<uint8_t>(c));
    }
}

void check(bool holds, std::string_view name) {
    say("{} {}", holds ? "ok" : "FAILED", name);
}

void give_up(std::string_view what) {
    say("FAILED at: {}", what);
    (void)os::PortRange{{given("ports")}}.out(0xf4, 4, 1);
    for (;;)
        (void)self().wait({}, 0, {});
}

os::Place place_of(CapSlot slot) {
    const uint32_t of = slot.raw / abi::cnode_slots;
    const CapSlot cnode = of == 0 ? CapSlot{{abi::slot::leaf}} : abi::slot_at(of, 0);
    return {cnode, slot.raw % abi::cnode_slots};
}

CapSlot new_slot() {
    if (quota_used == 0) quota_used = arguments().quota_used;
    if (next_index == (leaf == 0 ? growth_slot : abi::cnode_slots)) add_leaf();
    return abi::slot_at(leaf, next_index++);
}

void erase(CapSlot slot) {
    const os::Place at = place_of(slot);
    need(os::CNode{{at.cnode}}.remove(at.index), "erase");
}

CapSlot copy(CapSlot source, Rights rights) {
    const CapSlot to = new_slot();
    const os::Place at = place_of(to);
    need(os::CNode{{at.cnode}}.mint(at.index, source, rights), "copy");
    return to;
}

CapSlot carve(CapSlot source, Kind kind, uint64_t offset, uint64_t bytes) {
    const CapSlot to = new_slot();
    const os::Place at = place_of(to);
    need(os::CNode{{at.cnode}}.retype(at.index, source, kind, offset, bytes), "carve");
    return to;
}

CapSlot take(Kind kind, uint64_t bytes) {
    const CapSlot to = new_slot(); // may itself take from the quota
    const os::Place at = place_of(to);
    const CapSlot quota{{abi::slot::quota}};
    need(os::CNode{{at.cnode}}.retype(at.index, quota, kind, quota_used, bytes), "take");
    quota_used += bytes;
    return to;
}

Pages map(CapSlot frame, uint64_t offset, uint64_t bytes, Rights rights) {
    if (directory == abi::null_slot) make_directory();
    const auto entry = static_cast<uint32_t>(next_block++);
    auto* const at = reinterpret_cast<std::byte*>(fresh_addresses + entry * large_page_bytes);
    const CapSlot mapping = new_slot();
    if (bytes == large_page_bytes) {
        need(
            os::Table{{directory}
            }.map(entry, frame, offset, rights, abi::MapFlags::large, 1, place_of(mapping)),
            "large mapping"
        );
        return {at, mapping};
    }
    const CapSlot pages = take(Kind::page_table, 2 * page_bytes);
    need(os::Table{{directory}}.map(entry, pages, 0, {}, {}, 1, place_of(new_slot())), "table");
    const uint64_t count = round_up(bytes, page_bytes) / page_bytes;
    need(os::Table{{pages}}.map(0, frame, offset, rights, {}, count, place_of(mapping)), "mapping");
    return {at, mapping};
}

Thread make_thread(unsigned priority, CapSlot fault_bell) {
    const CapSlot dispatcher = take(Kind::dispatcher, 2 * page_bytes);
    const CapSlot frame = take(Kind::frame, page_bytes);
    const Pages shared = map(frame, 0, page_bytes, read_write);
    for (uint64_t i = 0; i < page_bytes; ++i)
        shared.at[i] = std::byte{};
    need(
        os::Dispatcher{{dispatcher}}.configure(
            {{abi::slot::root}},
            {{abi::slot::address_space}},
            frame,
            virt(reinterpret_cast<uint64_t>(shared.at)),
            priority,
            fault_bell
        ),
        "configure"
    );
    return {{{dispatcher}}, reinterpret_cast<abi::DispatcherPage*>(shared.at)};
}

void start(const Thread& thread, void (*entry)(uint64_t), uint64_t argument) {
    const Pages stack = map(take(Kind::frame, stack_bytes), 0, stack_bytes, read_write);
    // As if called: 8 bytes above a multiple of 16 lies the return address.
    const uint64_t top = reinterpret_cast<uint64_t>(stack.at) + stack_bytes - 8;
    need(
        thread.dispatcher.start(virt(reinterpret_cast<uint64_t>(entry)), virt(top), argument),
        "start"
    );
}

uint64_t sleep_until(Instant deadline) {
    return need(self().wait(deadline, 0, {{{abi::slot::leaf}}, abi::slot::receive}), "wait").events;
}

} // namespace guest

void invariant_broken(const char*, const char* why, const std::source_location&) {
    guest::give_up(why);
}

namespace std {
void __glibcxx_assert_fail(const char*, int, const char*, const char* condition) noexcept {
    guest::give_up(condition);
}
} // namespace std

extern "C" void guest_main() {
    using namespace guest;
    if (arguments().core != 0) other_core();
    say("up on core 0 of {}", arguments().core_count);
    test_this_core();
    test_other_cores();
    say("done");
    (void)os::PortRange{{given("ports")}}.out(0xf4, 4, 0); // isa-debug-exit: status 1
    for (;;)
        sleep_until(now() + seconds(1));
}
