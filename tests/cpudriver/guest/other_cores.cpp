// Starting the other cores as core boot will do it, and doorbells between cores. Each other core
// runs this same program, which finds its way to core 0 by the joint frame it was given.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "lib/abi/boot_info.hpp"
#include "lib/base/elf.hpp"
#include "lib/hw/startup_tables.hpp"
#include "tests/cpudriver/guest/guest.hpp"

namespace guest {

namespace {

constexpr uint64_t core_bytes = 8 * 1024 * 1024;
constexpr uint32_t rounds = 100;
constexpr size_t most_cores = 16;

/// One page for each other core. Every word has one writer.
struct Joint {
    std::atomic<uint64_t> up;     // other core: 1 + its index
    std::atomic<uint64_t> vector; // other core: APIC id | vector << 32
    std::atomic<uint64_t> ping;   // core 0
    std::atomic<uint64_t> pong;   // other core
    std::atomic<uint64_t> ram;    // core 0: address of moved_bytes that are the other's for now
    std::atomic<uint64_t> back;   // other core: it is done with those; `refused` if it could not
};

constexpr uint64_t moved_bytes = 2 * large_page_bytes, refused = 1;

constexpr uint64_t joined(os::RemoteVector v) {
    return v.apic.raw | uint64_t{v.vector} << 32;
}

/// Frames of core 0 that tell where things are physically.
uint64_t physical(CapSlot slot) {
    const os::Place at = place_of(slot);
    return need(os::CNode{{at.cnode}}.describe(at.index), "describe").base;
}

struct Machine {
    const abi::BootInfo* info;
    Bytes file;               // the CPU driver's ELF file
    abi::StartEntry* entries; // of the second start-up page
    os::RemoteVector bell;    // of core 0
};

/// The first RAM capability that has this much at an aligned place; answers where it begins there.
struct Block {
    CapSlot ram;
    uint64_t offset;
};

Block find_block(uint64_t used_blocks) {
    for (char digit = '0'; digit <= '9'; ++digit) {
        const std::array name{'r', 'a', 'm', '.', digit};
        const CapSlot ram = given({name.data(), name.size()});
        if (ram == abi::null_slot) break;
        const os::Place at = place_of(ram);
        const auto what = need(os::CNode{{at.cnode}}.describe(at.index), "describe");
        const uint64_t offset =
            round_up(what.base, large_page_bytes) - what.base + used_blocks * core_bytes;
        if (offset + core_bytes <= what.bytes) return {ram, offset};
    }
    give_up("no RAM for another core");
}

Machine prepare() {
    Machine m{};
    m.info =
        reinterpret_cast<const abi::BootInfo*>(map(given("boot.info"), 0, page_bytes, abi::read).at
        );
    const uint64_t file_bytes = m.info->image_file_bytes;
    m.file = {map(given("image.file"), 0, file_bytes, abi::read).at, file_bytes};
    const Pages low = map(given("start.page"), 0, 2 * page_bytes, read_write);
    const VirtAddr image = hw::cpu_driver_image;
    const auto elf = need(elf::Image::parse(m.file, {image, image + large_page_bytes}), "ELF");
    const auto code = need(elf.section(".trampoline"), "trampoline");
    std::memset(low.at, 0, 2 * page_bytes);
    std::memcpy(low.at, code.file.data(), code.file.size());
    m.entries = reinterpret_cast<abi::StartEntry*>(low.at + page_bytes);
    m.bell = need(os::Core{{given("core.self")}}.vector({{abi::slot::self_doorbell}}), "vector");
    return m;
}

/// Fills the first block of the new core's memory; docs/boot.md has the layout.
abi::BootInfo&
fill_block(std::byte* at, uint64_t base, uint32_t index, const Machine& m, CapSlot joint) {
    const VirtAddr image = hw::cpu_driver_image;
    const auto elf = need(elf::Image::parse(m.file, {image, image + large_page_bytes}), "ELF");
    uint64_t end = 0;
    std::memset(at, 0, large_page_bytes);
    for (const elf::Segment& s : elf.segments()) {
        std::memcpy(at + (s.address - image), s.file.data(), s.file.size());
        end = std::max(end, s.end_page() - image.raw);
    }
    auto& tables = *reinterpret_cast<hw::StartupTables*>(at + end);
    hw::fill(tables, phys(base + end), phys(base));
    const uint64_t info_at = end + sizeof tables;
    const uint64_t file_at = info_at + page_bytes;
    std::memcpy(at + file_at, m.file.data(), m.file.size());
    auto& info = *reinterpret_cast<abi::BootInfo*>(at + info_at);
    info = *m.info;
    info.core = index;
    info.tsc_khz = page().tsc_khz;
    info.image_block = base;
    info.image_end = base + file_at + round_up(m.file.size(), page_bytes);
    info.image_file = base + file_at;
    info.start_page = 0;
    info.joint_frame = physical(joint);
    info.joint_bytes = page_bytes;
    info.joint_vector = joined(m.bell);
    info.ram_count = 1;
    info.ram[0] = {base + large_page_bytes, base + core_bytes};
    m.entries[m.info->cores[index].apic_id] = {base + end, base + info_at};
    return info;
}

Joint* start_core(uint32_t index, const Machine& m, bool damaged = false) {
    const Block block = find_block(index - 1);
    const CapSlot ram = carve(block.ram, Kind::ram, block.offset, core_bytes);
    const CapSlot frame = carve(ram, Kind::frame, 0, large_page_bytes);
    const Pages view = map(frame, 0, large_page_bytes, read_write);
    const CapSlot joint = take(Kind::frame, page_bytes);
    const Pages shared = map(joint, 0, page_bytes, read_write);
    std::memset(shared.at, 0, page_bytes);
    abi::BootInfo& info = fill_block(view.at, physical(ram), index, m, joint);
    if (damaged) info.magic = 0;
    const os::Core cores{{given("cores")}};
    const ApicId apic{{m.info->cores[index].apic_id}};
    const uint64_t start_page = m.info->start_page / page_bytes;
    check(!cores.start(ram, start_page, apic), "no start while its memory is mapped");
    erase(view.mapping);
    erase(frame);
    need(cores.start(ram, start_page, apic), "core_start");
    return reinterpret_cast<Joint*>(shared.at);
}

template <class Until>
bool wait_for(Until until, Duration limit) {
    const Instant end = now() + limit;
    while (!until()) {
        if (now() >= end) return false;
        (void)sleep_until(now() + milliseconds(10));
    }
    return true;
}

/// A kernel object in it, written through the CPU driver's window: does that work?
bool usable(CapSlot ram) {
    const os::Place at = place_of(new_slot());
    for (const uint64_t offset : {uint64_t{0}, moved_bytes - page_bytes}) {
        if (!os::CNode{{at.cnode}}.retype(at.index, ram, Kind::cnode, offset, page_bytes))
            return false;
        need(os::CNode{{at.cnode}}.remove(at.index), "remove");
    }
    return true;
}

/// The end of the highest RAM, where the other core may have no window tables yet.
CapSlot highest_ram() {
    CapSlot ram{};
    uint64_t bytes = 0, base = 0;
    for (char digit = '0'; digit <= '9'; ++digit) {
        const std::array name{'r', 'a', 'm', '.', digit};
        const CapSlot piece = given({name.data(), name.size()});
        if (piece == abi::null_slot) break;
        const os::Place at = place_of(piece);
        const auto what = need(os::CNode{{at.cnode}}.describe(at.index), "describe");
        if (what.bytes < moved_bytes || what.base < base) continue;
        ram = piece;
        base = what.base;
        bytes = what.bytes;
    }
    return carve(ram, Kind::ram, bytes - moved_bytes, moved_bytes);
}

/// RAM goes to the other core and comes back; each uses it while it is its own.
void move_ram(Joint& joint, os::Doorbell bell) {
    const os::Core self_core{{given("core.self")}};
    const CapSlot ram = highest_ram();
    const uint64_t base = physical(ram);
    const bool loan = need(self_core.give(ram), "give");
    check(loan && !usable(ram), "RAM that was given is not usable");
    joint.ram.store(base);
    need(bell.ring(), "ring");
    (void)wait_for([&] { return joint.back.load() != 0; }, seconds(10));
    check(joint.back.load() == base, "the other core uses the RAM and gives it back");
    need(self_core.regain(ram), "regain");
    check(usable(ram), "RAM that came back is usable");
    erase(ram);
}

void ping(uint32_t index, Joint& joint) {
    const uint64_t where = joint.vector.load();
    const CapSlot bell = new_slot();
    need(
        os::Core{{given("core.self")}}.accept(
            place_of(bell),
            Kind::doorbell,
            abi::core_space + (where & 0xffff'ffff),
            1,
            abi::write | abi::copy,
            where >> 32
        ),
        "accept"
    );
    const Instant begin = now();
    for (uint64_t i = 1; i <= rounds; ++i) {
        joint.ping.store(i);
        need(os::Doorbell{{bell}}.ring(), "ring");
        if (!wait_for([&] { return joint.pong.load() == i; }, seconds(10))) {
            check(false, "doorbells between cores");
            return;
        }
    }
    say("ok doorbells to core {}: {} rounds, {} us each",
        index,
        rounds,
        (now() - begin).us() / rounds);
    if (index == 1) move_ram(joint, {{bell}});
}

/// `guest=panic`: core 1 gets a hand-over page that its CPU driver must refuse. It panics, in
/// quiet, and this core goes on.
void test_panic() {
    const Machine m = prepare();
    const Joint& joint = *start_core(1, m, true);
    const bool came = wait_for([&] { return joint.up.load() != 0; }, seconds(1));
    check(!came, "another core's panic");
}

bool has_word(std::string_view word) {
    const std::string_view line = arguments().command_line.data();
    return line.find(word) != line.npos;
}

} // namespace

void test_other_cores() {
    if (has_word("guest=panic")) {
        test_panic();
        return;
    }
    const uint64_t cores = std::min<uint64_t>(arguments().core_count, most_cores);
    if (cores == 1) return;
    const Machine m = prepare();
    std::array<Joint*, most_cores> joint{};
    const Instant begin = now();
    for (uint32_t i = 1; i < cores; ++i)
        joint[i] = start_core(i, m);
    for (uint32_t i = 1; i < cores; ++i) {
        const bool up = wait_for([&] { return joint[i]->up.load() == i + 1; }, seconds(20));
        if (up)
            say("core {} up", i);
        else
            check(false, "a core did not come");
    }
    say("{} cores up in {} us", cores, (now() - begin).us());
    for (uint32_t i = 1; i < cores; ++i)
        if (joint[i]->up.load() == i + 1) ping(i, *joint[i]);
}

namespace {

uint64_t use_ram(uint64_t base) {
    const os::Core self_core{{given("core.self")}};
    const CapSlot ram = new_slot();
    const Rights rights = abi::write | abi::copy;
    if (!self_core.accept(place_of(ram), Kind::ram, base, moved_bytes, rights, 0)) return refused;
    if (!usable(ram)) return refused;
    return self_core.give(ram) ? base : refused;
}

} // namespace

void other_core() {
    auto& joint = *reinterpret_cast<Joint*>(map(given("joint"), 0, page_bytes, read_write).at);
    const os::Doorbell bell{{given("joint.bell")}};
    const auto mine =
        need(os::Core{{given("core.self")}}.vector({{abi::slot::self_doorbell}}), "vector");
    joint.vector.store(joined(mine));
    joint.up.store(arguments().core + 1);
    (void)bell.ring();
    for (;;) {
        (void)sleep_until({});
        if (joint.back.load() == 0 && joint.ram.load() != 0) {
            joint.back.store(use_ram(joint.ram.load()));
            (void)bell.ring();
        }
        const uint64_t ping = joint.ping.load();
        if (ping == joint.pong.load()) continue;
        joint.pong.store(ping);
        (void)bell.ring();
    }
}

} // namespace guest
