#include "usr/coreboot/starter.hpp"

#include "interfaces/intermon.hpp"
#include "lib/base/log.hpp"
#include "lib/os/fault.hpp"

namespace coreboot {
namespace {

using os::CapSlot, os::OwnedCap, os::View;

constexpr abi::Rights read_write = abi::read | abi::write;

/// An object of the first `bytes` of some RAM.
Result<OwnedCap> make_frame(CapSlot ram, uint64_t bytes) {
    OwnedCap frame{TRY(os::slots().take())};
    const os::Place at = os::place_of(frame.slot());
    TRY_VOID((os::CNode{{at.cnode}}.retype(at.index, ram, abi::Kind::frame, 0, bytes)));
    return frame;
}

} // namespace

Result<> Starter::prepare() {
    const CapSlot info = TRY(self_.find_given("boot.info"));
    const View info_view = TRY(View::make(info, 0, page_bytes, abi::read));
    info_ = *info_view.as<const abi::BootInfo>();
    if (info_.magic != abi::boot_info_magic) return fail(Err::malformed);
    if (info_.tsc_khz == 0) info_.tsc_khz = os::page().tsc_khz;
    const CapSlot file = TRY(self_.find_given("image.file"));
    const os::Description whole = TRY(os::describe(file));
    file_view_ = TRY(View::make(file, 0, whole.bytes, abi::read));
    // The frame begins where its page does; the file may not.
    const uint64_t lead = info_.image_file % page_bytes;
    if (lead + info_.image_file_bytes > file_view_.bytes()) return fail(Err::truncated);
    file_ = file_view_.span().subspan(lead, info_.image_file_bytes);
    image_.emplace(TRY(check_image(file_)));
    layout_ = TRY(layout_of(*image_, file_.size()));
    const CapSlot start = TRY(self_.find_given("start.page"));
    start_view_ = TRY(View::make(start, 0, 2 * page_bytes, read_write));
    return prepare_start_page();
}

/// The trampoline goes to the first start-up page; the second has an entry for each APIC id.
Result<> Starter::prepare_start_page() {
    const elf::Section trampoline = TRY(image_->section(".trampoline"));
    if (trampoline.file.size() > page_bytes) return fail(Err::no_space);
    std::ranges::copy(trampoline.file, start_view_.span().begin());
    return {};
}

Result<> Starter::start(CoreId core) {
    if (core.raw >= core_count()) return fail(Err::no_such_core);
    const os::CoreState state = os::state_of(core);
    if (state == os::CoreState::up || state == os::CoreState::starting) return fail(Err::bad_state);
    if (apic_of(core) * sizeof(abi::StartEntry) >= page_bytes) return fail(Err::unsupported);
    uint64_t share = 0;
    const OwnedCap ram = TRY(ram_for(core, share));
    const PhysAddr at = phys(TRY(os::describe(ram.slot())).base);
    const auto started = start_with(core, ram.slot(), at, share);
    if (started) return {};
    (void)monitor_->joint_failed(core); // if it came that far
    (void)memory_->release(ram.slot());
    return started;
}

Result<> Starter::start_with(CoreId core, CapSlot ram, PhysAddr at, uint64_t bytes) {
    PhysAddr tables = at + layout_.tables;
    if (needs_low_tables(at)) tables = TRY(make_low_tables(at));
    const Joint joint = TRY(make_joint(core));
    abi::BootInfo info = hand_over(info_, core.raw, at, bytes, layout_);
    set_joint(info, joint);
    TRY_VOID(fill(ram, at, info));
    start_entry(core) = {tables.raw, at.raw + layout_.boot_info};
    const uint16_t node = info_.cores[core.raw].node;
    log::info("core {} gets {:x}..{:x}, node {}", core, at.raw, at.raw + bytes, node);
    return monitor_->joint_start(core, static_cast<uint32_t>(info_.start_page / page_bytes), ram);
}

async::Task<> Starter::comes_up(CoreId core, Instant deadline) {
    if (co_await os::core_settles(core, deadline) == os::CoreState::up) co_return {};
    log::error(
        "core {} (APIC {}) did not start within {} ms: left out", core, apic_of(core), patience.ms()
    );
    (void)monitor_->joint_failed(core);
    co_return fail(Err::timed_out);
}

/// What it had, if it was there before; else a share of what there is.
Result<OwnedCap> Starter::ram_for(CoreId core, uint64_t& bytes) {
    std::array<char, abi::name_bytes> text;
    const auto label = Text<abi::name_bytes>::cut(format_to(text, "core.{}", core));
    OwnedCap best;
    while (auto piece = monitor_->fetch(label)) {
        OwnedCap ram{piece->what};
        const auto is = os::describe(ram.slot());
        if (!is) continue;
        if (is->bytes > bytes) {
            std::swap(best, ram);
            bytes = is->bytes;
        }
        put_back(std::move(ram));
    }
    if (bytes >= smallest_share) return best;
    put_back(std::move(best));
    bytes = TRY(choose_share(core));
    return take_ram(core, bytes);
}

/// What is too small to begin with, or is not needed, is this core's.
void Starter::put_back(OwnedCap ram) {
    if (ram.is_null() || memory_->release(ram.slot()) || memory_->add(ram.slot(), false)) return;
    (void)ram.release(); // nobody would own it
}

Result<uint64_t> Starter::choose_share(CoreId core) {
    const uint64_t total = TRY(memory_->state()).total;
    // What was granted to others while we plan is as much as before for all of them.
    if (whole_ == 0) whole_ = total;
    const auto share = share_for(info_, whole_, core.raw);
    if (!share)
        log::error(
            "memory of {} MiB is too little for {} cores: {} MiB are needed",
            whole_ >> 20,
            info_.core_count,
            round_up(smallest_share * info_.core_count * 4 / 3, smallest_share) >> 20
        );
    return share;
}

std::optional<OwnedCap> Starter::take_in_node(uint64_t node, uint64_t bytes) {
    for (const abi::NodeMemory& m : std::span{info_.node_memory}.first(info_.node_memory_count))
        if (m.node == node)
            if (const auto ram = memory_->allocate_within(bytes, m.begin, m.end))
                return OwnedCap{ram->ram};
    return std::nullopt;
}

/// The largest block there is, up to `bytes`: near the core, else anywhere.
Result<OwnedCap> Starter::take_ram(CoreId core, uint64_t& bytes) {
    const uint64_t wanted = bytes;
    for (; info_.node_count != 0 && bytes >= smallest_share; bytes /= 2)
        if (auto near = take_in_node(info_.cores[core.raw].node, bytes)) return std::move(*near);
    for (bytes = wanted;; bytes /= 2) {
        const auto ram = memory_->allocate_dirty(bytes);
        if (ram) return OwnedCap{ram->ram};
        if (bytes == smallest_share) return fail(ram.error());
    }
}

/// Start-up tables of their own for a block that lies beyond what a core reaches in real mode.
/// They stay: a core that comes late would still read them.
Result<PhysAddr> Starter::make_low_tables(PhysAddr block) {
    constexpr uint64_t bytes = std::bit_ceil(sizeof(hw::StartupTables));
    const CapSlot ram = TRY(memory_->allocate_within(bytes, 0, low_end)).ram;
    const PhysAddr at = phys(TRY(os::describe(ram)).base);
    const OwnedCap frame = TRY(make_frame(ram, bytes));
    const View view = TRY(View::make(frame.slot(), 0, bytes, read_write));
    fill_tables(view.span(), at, block);
    return at;
}

/// Frame and mapping are gone when this returns: only RAM can be given away.
Result<> Starter::fill(CapSlot ram, PhysAddr at, const abi::BootInfo& info) {
    const OwnedCap frame = TRY(make_frame(ram, large_page_bytes));
    const View view = TRY(View::make(frame.slot(), 0, large_page_bytes, read_write));
    const MutableBytes block = view.span();
    std::ranges::fill(block, std::byte{0});
    fill_block(block, at, *image_, file_, layout_);
    const Bytes page = std::as_bytes(std::span{&info, 1});
    std::ranges::copy(page, block.subspan(layout_.boot_info).begin());
    return {};
}

/// The frame is not of our quota: it is lent to the other core.
Result<Joint> Starter::make_joint(CoreId core) {
    constexpr uint64_t bytes = interfaces::intermon::joint_bytes;
    const OwnedCap ram{TRY(memory_->allocate(std::bit_ceil(bytes))).ram};
    const OwnedCap frame = TRY(make_frame(ram.slot(), bytes));
    const PhysAddr base = phys(TRY(os::describe(frame.slot())).base);
    const auto made = TRY(monitor_->joint_make(core, frame.slot()));
    return Joint{base, bytes, made.vector, self_.core().raw};
}

abi::StartEntry& Starter::start_entry(CoreId core) {
    const MutableBytes entries = start_view_.span().subspan(page_bytes);
    void* const entry = entries.subspan(apic_of(core) * sizeof(abi::StartEntry)).data();
    return *static_cast<abi::StartEntry*>(entry);
}

} // namespace coreboot
