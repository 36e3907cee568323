#include "cpudriver/first_domain.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "cpudriver/domain_builder.hpp"
#include "lib/abi/startup.hpp"
#include "lib/base/bundle.hpp"
#include "lib/base/elf.hpp"
#include "lib/base/format.hpp"

namespace cpu {

namespace {

using abi::BootInfo, abi::MemoryRange, abi::Rights;
using kernel::Core, kernel::Kind, kernel::Root, kernel::Slot;

// Leaves of init's root CNode; index 0 of each but the first is its own capability.
constexpr uint32_t first_leaf = 0, ram_leaf = 1, own_leaf = 2; // the last: what init is made of
constexpr uint32_t leaf_begin = 1, leaf_room = abi::cnode_slots - leaf_begin;

constexpr uint64_t stack_bytes = 64 * 1024;
constexpr uint64_t heap_bytes = 256 * 1024;
constexpr uint8_t init_priority = kernel::priorities - 1;
constexpr uint64_t physical_end = uint64_t{1} << 52;
constexpr uint64_t low_end = 1024 * 1024;

/// The 2 MiB that init lives on: the first whole block of this core's RAM.
Result<MemoryRange> choose_quota(const BootInfo& info) {
    for (const MemoryRange r : std::span{info.ram}.first(info.ram_count)) {
        const uint64_t begin = round_up(r.begin, large_page_bytes);
        if (begin + large_page_bytes <= r.end) return MemoryRange{begin, begin + large_page_bytes};
    }
    return fail(Err::no_memory);
}

class FirstDomain {
  public:
    /// `files`: the bundle, as it is seen while this lives.
    FirstDomain(Core& core, const BootInfo& info, PhysAddr info_at, MemoryRange quota, Bytes files)
        : core_{core}, info_{info}, info_at_{info_at}, quota_{quota}, files_{files}, build_{core} {}

    Result<> make(const elf::Image& image);

  private:
    Result<> make_slots();
    Result<> make_memory();
    Result<> load(const elf::Image& image);
    Result<> give_ram();
    Result<> give_ram(MemoryRange r);
    Result<> give_local();
    Result<> give_machine();
    Result<> give_devices();
    Result<> give_cores();
    Result<> give_joint();
    Result<> give(std::string_view name, const Root& root);
    Result<> name(std::string_view name, uint32_t slot);

    Slot& leaf_slot(uint32_t leaf, uint32_t index) { return build_.leaf(leaf).slot[index]; }

    void fill_arguments();

    Core& core_;
    const BootInfo& info_;
    PhysAddr info_at_;
    MemoryRange quota_;
    Bytes files_;
    Slot* bundle_{};
    DomainBuilder build_;
    abi::ArgumentPage* arguments_{};
    uint32_t next_given_{abi::slot::given};
    uint32_t ram_pieces_{};
};

Result<> FirstDomain::make(const elf::Image& image) {
    TRY_VOID(make_slots());
    TRY_VOID(make_memory());
    TRY_VOID(give_local());
    TRY_VOID(load(image));
    TRY_VOID(give_cores());
    TRY_VOID(give_ram());
    if (info_.core == 0)
        TRY_VOID(give_machine());
    else
        TRY_VOID(give_joint());
    fill_arguments();
    Slot& dispatcher = leaf_slot(first_leaf, abi::slot::dispatcher);
    return core_.start(
        core_.dispatcher(dispatcher),
        image.entry().raw,
        abi::stack_top.raw,
        abi::dispatcher_page_at.raw
    );
}

Result<> FirstDomain::make_slots() {
    TRY_VOID(build_.take_quota(quota_));
    TRY_VOID(build_.make_cnodes(own_leaf + 1));
    TRY_VOID(build_.object(Kind::dispatcher, leaf_slot(first_leaf, abi::slot::dispatcher)));
    TRY_VOID(build_.object(Kind::address_space, leaf_slot(first_leaf, abi::slot::address_space)));
    build_.set_space(leaf_slot(first_leaf, abi::slot::address_space));
    return {};
}

/// What is never written is mapped from the bundle.
Result<> FirstDomain::load(const elf::Image& image) {
    for (const elf::Segment& s : image.segments()) {
        const auto offset = elf::pages_in(files_, s);
        TRY_VOID(offset ? build_.show(s, *bundle_, *offset) : build_.load(s));
    }
    return {};
}

Result<> FirstDomain::make_memory() {
    constexpr Rights read_write = abi::read | abi::write;
    TRY(build_.memory(virt(abi::stack_top.raw - stack_bytes), stack_bytes, read_write));
    TRY(build_.memory(abi::heap_at, heap_bytes, read_write));
    Slot* const page = TRY(build_.memory(abi::dispatcher_page_at, page_bytes, read_write));
    Slot& arguments = leaf_slot(first_leaf, abi::slot::arguments);
    TRY_VOID(build_.frame(page_bytes, arguments));
    TRY_VOID(build_.map(abi::arguments_at, arguments, abi::read));
    arguments_ = static_cast<abi::ArgumentPage*>(build_.contents(arguments));
    Slot& dispatcher = leaf_slot(first_leaf, abi::slot::dispatcher);
    TRY_VOID(core_.configure(
        dispatcher,
        {
            .cspace = &leaf_slot(first_leaf, abi::slot::root),
            .vspace = &leaf_slot(first_leaf, abi::slot::address_space),
            .page = page,
            .page_address = abi::dispatcher_page_at,
            .priority = init_priority,
            .fault_bell = nullptr,
        }
    ));
    return core_.make_doorbell(
        dispatcher, leaf_slot(first_leaf, abi::slot::self_doorbell), abi::event_channels
    );
}

Result<> FirstDomain::name(std::string_view name, uint32_t slot) {
    abi::ArgumentPage& page = *arguments_;
    if (page.given_count == page.given.size()) return fail(Err::no_slots);
    abi::GivenCapability& entry = page.given[page.given_count++];
    std::ranges::copy(name.substr(0, abi::name_bytes), entry.name.text.begin());
    entry.slot = slot;
    return {};
}

Result<> FirstDomain::give(std::string_view text, const Root& root) {
    if (next_given_ == abi::slot::given_end) return fail(Err::no_slots);
    const uint32_t index = next_given_++;
    TRY_VOID(core_.insert_root(leaf_slot(first_leaf, index), root));
    return name(text, abi::slot_at(first_leaf, index).raw);
}

Result<> FirstDomain::give_local() {
    const ApicId self = core_.config().apic;
    TRY_VOID(give("core.self", {Kind::core, abi::core_space + self.raw, 1, abi::execute}));
    TRY_VOID(give("boot.info", {Kind::frame, info_at_.raw, page_bytes, abi::read | abi::copy}));
    bundle_ = &leaf_slot(first_leaf, next_given_);
    return give(
        "bundle",
        {
            .kind = Kind::frame,
            .base = info_.bundle,
            .bytes = round_up(info_.bundle_bytes, page_bytes),
            .rights = abi::read | abi::execute | abi::copy,
            .badge = 0,
            .borrowed = info_.core != 0,
        }
    );
}

Result<> FirstDomain::give_ram() {
    for (const MemoryRange r : std::span{info_.ram}.first(info_.ram_count)) {
        const bool holds_quota = r.begin <= quota_.begin && quota_.end <= r.end;
        if (!holds_quota) {
            TRY_VOID(give_ram(r));
            continue;
        }
        TRY_VOID(give_ram({r.begin, quota_.begin}));
        TRY_VOID(give_ram({quota_.end, r.end}));
    }
    return {};
}

Result<> FirstDomain::give_ram(MemoryRange r) {
    if (r.begin == r.end) return {};
    if (ram_pieces_ == leaf_room) return fail(Err::no_slots);
    const uint32_t piece = ram_pieces_++, index = leaf_begin + piece;
    TRY_VOID(core_.insert_root(
        leaf_slot(ram_leaf, index), {Kind::ram, r.begin, r.end - r.begin, abi::write | abi::copy}
    ));
    std::array<char, abi::name_bytes> text;
    return name(format_to(text, "ram.{}", piece), abi::slot_at(ram_leaf, index).raw);
}

Result<> FirstDomain::give_machine() {
    TRY_VOID(give_devices());
    constexpr uint64_t ports = 65536;
    constexpr Rights write_copy = abi::write | abi::copy;
    TRY_VOID(give(
        "interrupts", {Kind::interrupt, abi::interrupt_space, kernel::interrupt_lines, write_copy}
    ));
    return give("ports", {Kind::io_port, abi::io_port_space, ports, abi::read | write_copy});
}

/// What lies between the RAM: device registers, firmware. Not the interrupt controllers' pages,
/// from the I/O APIC's to the end of 4 GiB: they are the CPU drivers'.
Result<> FirstDomain::give_devices() {
    constexpr Rights rights = abi::read | abi::write | abi::copy;
    const auto device = [&](std::string_view text, uint64_t begin, uint64_t end) -> Result<> {
        if (begin >= end) return {};
        return give(text, {Kind::device_frame, begin, end - begin, rights});
    };
    const uint64_t low_begin = info_.start_page != 0 ? info_.start_page + 2 * page_bytes : 0;
    TRY_VOID(device("device.low", low_begin, low_end));
    TRY_VOID(device("device.pci", info_.pci_window_begin, info_.pci_window_end));
    constexpr uint64_t four_gib = uint64_t{1} << 32;
    uint64_t ram_end_low = 0, ram_end = four_gib;
    for (const MemoryRange r : std::span{info_.ram}.first(info_.ram_count)) {
        const uint64_t end = round_up(r.end, large_page_bytes);
        if (end <= four_gib) ram_end_low = std::max(ram_end_low, end);
        ram_end = std::max(ram_end, end);
    }
    TRY_VOID(device("device.firmware", ram_end_low, info_.pci_window_begin));
    return device("device.high", ram_end, physical_end);
}

/// What it takes to start other cores: all of them are one capability, and any core may have to.
Result<> FirstDomain::give_cores() {
    constexpr Rights write_copy = abi::write | abi::copy;
    TRY_VOID(give("cores", {Kind::core, abi::other_cores, abi::other_cores_bytes, write_copy}));
    if (info_.start_page != 0)
        TRY_VOID(give(
            "start.page",
            {.kind = Kind::frame,
             .base = info_.start_page,
             .bytes = 2 * page_bytes,
             .rights = abi::read | write_copy,
             .badge = 0,
             .borrowed = info_.core != 0}
        ));
    if (info_.image_file == 0) return {};
    const uint64_t bytes = round_up(info_.image_file_bytes, page_bytes);
    return give("image.file", {Kind::frame, info_.image_file, bytes, abi::read | abi::copy});
}

/// What joins this core to the monitor that started it.
Result<> FirstDomain::give_joint() {
    if (info_.joint_bytes == 0) return {};
    constexpr Rights rights = abi::read | abi::write | abi::copy;
    TRY_VOID(give(
        "joint",
        {.kind = Kind::frame,
         .base = info_.joint_frame,
         .bytes = info_.joint_bytes,
         .rights = rights,
         .badge = info_.joint_core,
         .borrowed = true}
    ));
    const uint64_t apic_id = info_.joint_vector & 0xffff'ffff, vector = info_.joint_vector >> 32;
    return give(
        "joint.bell",
        {.kind = Kind::doorbell,
         .base = abi::core_space + apic_id,
         .bytes = 1,
         .rights = abi::write | abi::copy,
         .badge = vector,
         .borrowed = true}
    );
}

void FirstDomain::fill_arguments() {
    abi::ArgumentPage& page = *arguments_;
    page.magic = abi::argument_magic;
    constexpr std::string_view domain = "init";
    std::ranges::copy(domain, page.domain.text.begin());
    page.core = info_.core;
    page.core_count = info_.core_count;
    page.quota_bytes = quota_.end - quota_.begin;
    page.quota_used = build_.quota_used();
    page.quota_base = quota_.begin;
    page.heap_begin = abi::heap_at.raw;
    page.heap_end = (abi::heap_at + heap_bytes).raw;
    page.free_leafs = own_leaf + 1;
    page.unix_time = info_.unix_time;
    page.command_line = info_.command_line;
}

} // namespace

Result<> make_first_domain(Core& core, const BootInfo& info, PhysAddr info_at, Bytes bytes) {
    const bundle::Bundle files = TRY(bundle::Bundle::parse(bytes));
    const bundle::File file = TRY(files.find("init"));
    const elf::Image image =
        TRY(elf::Image::parse(file.data, {abi::images_begin, abi::images_end}));
    return FirstDomain{core, info, info_at, TRY(choose_quota(info)), bytes}.make(image);
}

} // namespace cpu
