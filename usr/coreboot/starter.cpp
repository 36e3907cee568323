#include "usr/coreboot/starter.hpp"

#include "interfaces/intermon.hpp"
#include "lib/base/log.hpp"
#include "lib/os/binder.hpp"
#include "lib/os/fault.hpp"

namespace coreboot {
namespace {

using os::CapSlot, os::OwnedCap, os::View;

constexpr abi::Rights read_write = abi::read | abi::write;
// For start-up tables; the first domains of that core take of it as well.
constexpr uint64_t low_block_bytes = 8 * 1024 * 1024;

/// An object of the first `bytes` of some RAM.
Result<OwnedCap> make_frame(CapSlot ram, uint64_t bytes) {
    return os::part_of(ram, abi::Kind::frame, 0, bytes);
}

} // namespace

Result<> Starter::prepare() {
    const CapSlot info = TRY(self_.find_given("boot.info"));
    const View info_view = TRY(View::make(info, 0, page_bytes, abi::read));
    info_ = *info_view.as<const abi::BootInfo>();
    if (info_.magic != abi::boot_info_magic) return fail(Err::malformed);
    if (info_.tsc_khz == 0) info_.tsc_khz = os::page().tsc_khz;
    tree_.emplace(info_, self_.settings().start.value_or(CoreStart::tree) != CoreStart::tree);
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
    if (info_.joint_frame != 0) return {}; // who started this core has done the rest
    choose_shares();
    return prepare_start_page();
}

void Starter::choose_shares() {
    const auto state = memory_->state();
    const uint64_t total = state ? state->total : 0;
    for (uint64_t node = 0; node < info_.node_share.size(); ++node)
        info_.node_share[node] = share_for(info_, total, node).value_or(0);
    if (core_count() < 2 || info_.node_share[node_of({{1}})] != 0) return;
    log::error(
        "memory of {} MiB is too little for {} cores: {} MiB are needed",
        total >> 20,
        info_.core_count,
        round_up(smallest_share * info_.core_count / 4 * 5, large_page_bytes) >> 20
    );
}

/// The trampoline goes to the first start-up page; the second has an entry for each APIC id.
Result<> Starter::prepare_start_page() {
    const elf::Section trampoline = TRY(image_->section(".trampoline"));
    if (trampoline.file.size() > page_bytes) return fail(Err::no_space);
    std::ranges::copy(trampoline.file, start_view_.span().begin());
    return {};
}

// -- one core --

Result<> Starter::check(CoreId core) const {
    if (core.raw >= core_count()) return fail(Err::no_such_core);
    const os::CoreState state = os::state_of(core);
    if (state == os::CoreState::up || state == os::CoreState::starting) return fail(Err::bad_state);
    if (apic_of(core) * sizeof(abi::StartEntry) >= page_bytes) return fail(Err::unsupported);
    return {};
}

Result<> Starter::start(CoreId core, bool whole_tree) {
    TRY_VOID(check(core));
    Ram ram = TRY(ram_for(core, whole_tree));
    return start_on(core, ram, whole_tree);
}

Result<> Starter::start_on(CoreId core, Ram& ram, bool whole_tree) {
    const auto filled = fill(core, ram, whole_tree);
    const auto started = filled ? give(core, ram) : filled;
    if (started) return {};
    if (filled) (void)monitor_->joint_failed(core);
    put_back(ram);
    return started;
}

/// All that it finds when it starts, and where. If it fails the monitor knows of no start, or that
/// it has failed. Errors: busy (a core is leaving the machine), exists (it is being started).
Result<> Starter::fill(CoreId core, const Ram& ram, bool whole_tree) {
    const Joint joint = TRY(make_joint(core));
    const auto filled = fill_block_of(core, ram, joint, whole_tree);
    if (!filled) (void)monitor_->joint_failed(core);
    return filled;
}

Result<> Starter::fill_block_of(CoreId core, const Ram& ram, const Joint& joint, bool whole_tree) {
    const PhysAddr at = phys(ram.pieces.all()[0].begin);
    PhysAddr tables = at + layout_.tables;
    if (needs_low_tables(at)) tables = TRY(make_low_tables(core, at));
    abi::BootInfo info = hand_over(info_, core.raw, ram.pieces, layout_);
    info.starts_children = whole_tree && tree().has_children(core);
    set_joint(info, joint);
    // What lies behind may hold anything. Frame and mapping are gone when this returns: only RAM
    // can be given away.
    const uint64_t bytes = layout_.end + room_for_tables;
    const OwnedCap frame = TRY(make_frame(ram.capability[0].slot(), bytes));
    const View view = TRY(View::make(frame.slot(), 0, bytes, read_write));
    const MutableBytes block = view.span();
    std::ranges::fill(block, std::byte{0});
    fill_block(block, at, *image_, file_, layout_);
    const Bytes page = std::as_bytes(std::span{&info, 1});
    std::ranges::copy(page, block.subspan(layout_.boot_info).begin());
    start_entry(core) = {tables.raw, at.raw + layout_.boot_info};
    return {};
}

/// Errors: busy (this core has yet to hear that it owns this memory).
Result<> Starter::give(CoreId core, Ram& ram) {
    const auto pieces = ram.pieces.all();
    for (size_t i = 1; i < pieces.size(); ++i)
        if (ram.capability[i].slot() != abi::null_slot) {
            TRY_VOID(monitor_->joint_give(core, ram.capability[i].slot()));
            ram.capability[i].reset();
        }
    const auto page = static_cast<uint32_t>(info_.start_page / page_bytes);
    TRY_VOID(monitor_->joint_start(core, page, ram.capability[0].slot()));
    say(core, ram.pieces);
    return {};
}

void Starter::say(CoreId core, const Pieces& pieces) const {
    log::trace(
        "core {} gets {} KiB from {:x} on, node {}",
        core,
        pieces.bytes() / 1024,
        pieces.all()[0].begin,
        node_of(core)
    );
}

async::Task<> Starter::comes_up(CoreId core, Instant deadline) {
    if (co_await os::core_settles(core, deadline) == os::CoreState::up) co_return {};
    log::error(
        "core {} (APIC {}) did not start within {} ms: left out",
        core,
        apic_of(core),
        patience().ms()
    );
    (void)monitor_->joint_failed(core);
    co_return fail(Err::timed_out);
}

// -- those below --

void Starter::reserve_for_children() {
    tree().each_child(self_.core(), [&](CoreId core) {
        auto ram = child_count_ < children_.size() ? take_ram(core, true)
                                                   : Result<Ram>{fail(Err::no_space)};
        if (!ram) {
            log::error("core {} cannot be started: {}", core, ram.error());
            return;
        }
        Child& child = children_[child_count_++];
        child.core = core;
        child.ram = std::move(*ram);
    });
}

/// A core that has just come up may give memory only when it has heard that it is its own: before
/// it hears of cores, so it looks again whenever a core has changed.
async::Task<> Starter::start_child(Child& child) {
    co_await check(child.core);
    async::Signal* const changed = co_await os::binder().cores();
    const Instant deadline = os::now() + patience();
    const auto is_busy = [](const Result<>& done) {
        return !done && done.error().top() == Err::busy;
    };
    auto filled = fill(child.core, child.ram, true);
    while (is_busy(filled)) {
        co_await changed->wait_until(deadline);
        filled = fill(child.core, child.ram, true);
    }
    co_await filled;
    auto given = give(child.core, child.ram);
    while (is_busy(given)) {
        const auto news = co_await async::result_of(changed->wait_until(deadline));
        given = news ? give(child.core, child.ram) : news;
    }
    if (!given) (void)monitor_->joint_failed(child.core);
    co_await given;
    co_return {};
}

async::Task<> Starter::start_children() {
    const auto children = std::span{children_}.first(child_count_);
    for (Child& child : children) {
        const auto started = co_await async::result_of(start_child(child));
        child.starts = started.has_value();
        if (child.starts) continue;
        log::error("core {} cannot be started: {}", child.core, started.error());
        put_back(child.ram);
    }
    const Instant deadline = os::now() + patience();
    for (const Child& child : children)
        if (child.starts) (void)co_await async::result_of(comes_up(child.core, deadline));
    co_return {};
}

// -- memory --

/// Calls take(RAM, range) for all that is kept for it.
template <class Take>
bool Starter::fetch_all(CoreId core, Take&& take) {
    std::array<char, abi::name_bytes> text;
    const auto label = Text<abi::name_bytes>::cut(format_to(text, "core.{}", core));
    bool any = false;
    while (auto piece = monitor_->fetch(label)) {
        OwnedCap ram{piece->what};
        const auto is = os::describe(ram.slot());
        if (!is) continue;
        any = true;
        take(std::move(ram), abi::MemoryRange{is->base, is->base + is->bytes});
    }
    return any;
}

void Starter::take_back(CoreId failed) {
    (void
    )fetch_all(failed, [&](OwnedCap ram, const abi::MemoryRange&) { put_back(std::move(ram)); });
}

/// What it had, if it was there before; else a share of what there is.
Result<Starter::Ram> Starter::ram_for(CoreId core, bool whole_tree) {
    Ram had;
    const bool any = fetch_all(core, [&](OwnedCap ram, const abi::MemoryRange& range) {
        const size_t at = had.pieces.all().size();
        if (had.pieces.add(range))
            had.capability[at] = std::move(ram);
        else
            put_back(std::move(ram));
    });
    if (any && !whole_tree && had.pieces.bytes() >= smallest_share) return had;
    put_back(had);
    return take_ram(core, whole_tree);
}

/// What is not needed is this core's.
void Starter::put_back(OwnedCap ram) {
    if (ram.is_null() || memory_->release(ram.slot()) || memory_->add(ram.slot(), false)) return;
    (void)ram.release(); // nobody would own it
}

void Starter::put_back(Ram& ram) {
    for (OwnedCap& piece : ram.capability)
        put_back(std::move(piece));
    ram.pieces = {};
}

/// The largest blocks there are, first of its own node and that is where it begins.
Result<Starter::Ram> Starter::take_ram(CoreId core, bool whole_tree) {
    std::array<uint64_t, abi::nodes_max> needs{};
    uint64_t needed = 0;
    for (unsigned i = core.raw; i < core_count(); ++i) {
        const CoreId other{{static_cast<uint8_t>(i)}};
        if (other != core && !(whole_tree && tree().is_below(other, core))) continue;
        const uint64_t share = info_.node_share[node_of(other)];
        needs[node_of(other)] += share;
        needed += share;
    }
    Ram ram;
    collect(ram, node_of(core), std::exchange(needs[node_of(core)], 0));
    for (uint16_t node = 0; node < needs.size(); ++node)
        collect(ram, node, needs[node]);
    for (uint16_t node = 0; node < info_.node_count; ++node) // what is not near is anywhere
        collect(ram, node, needed - ram.pieces.bytes());
    if (whole_tree) add_low_blocks(ram, core);
    if (ram.pieces.bytes() >= smallest_share) return ram;
    put_back(ram);
    return fail(Err::no_memory);
}

/// Who has no memory that a core reaches in real mode gets a block of it for the start-up tables of
/// those it starts, and one for each below it that starts others.
void Starter::add_low_blocks(Ram& ram, CoreId top) {
    const auto is_low = [](const abi::MemoryRange& piece) { return piece.begin < low_end; };
    if (std::ranges::any_of(ram.pieces.all(), is_low)) return;
    for (unsigned i = top.raw; i < core_count(); ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        if (!tree().is_below(core, top) || !tree().has_children(core)) continue;
        const auto got = memory_->allocate_within(low_block_bytes, 0, low_end);
        if (!got) return; // core 0 starts those then
        OwnedCap block{got->ram};
        const auto is = os::describe(block.slot());
        const size_t at = ram.pieces.all().size();
        if (!is || !ram.pieces.add({is->base, is->base + is->bytes}))
            return put_back(std::move(block));
        ram.capability[at] = std::move(block);
    }
}

void Starter::collect(Ram& ram, uint16_t node, uint64_t bytes) {
    ram.pieces.collect(bytes, [&](uint64_t size) -> std::optional<PhysAddr> {
        auto piece = take_in_node(node, size);
        const auto what = piece ? os::describe(piece->slot()) : fail(Err::no_memory);
        if (!what) return std::nullopt;
        ram.capability[ram.pieces.all().size()] = std::move(*piece);
        return phys(what->base);
    });
}

std::optional<OwnedCap> Starter::take_in_node(uint16_t node, uint64_t bytes) {
    if (info_.node_count == 0) {
        const auto ram = memory_->allocate_dirty(bytes);
        return ram ? std::optional{OwnedCap{ram->ram}} : std::nullopt;
    }
    for (const abi::NodeMemory& m : std::span{info_.node_memory}.first(info_.node_memory_count))
        if (m.node == node)
            if (const auto ram = memory_->allocate_within(bytes, m.begin, m.end))
                return OwnedCap{ram->ram};
    return std::nullopt;
}

/// Start-up tables of their own for a block that lies beyond what a core reaches in real mode.
/// They stay, for the next start as well: a core that comes late would still read them.
Result<PhysAddr> Starter::make_low_tables(CoreId core, PhysAddr block) {
    constexpr uint64_t bytes = std::bit_ceil(sizeof(hw::StartupTables));
    OwnedCap& ram = kept_[core.raw].low_tables;
    if (ram.is_null()) ram = OwnedCap{TRY(memory_->allocate_within(bytes, 0, low_end)).ram};
    const PhysAddr at = phys(TRY(os::describe(ram.slot())).base);
    const OwnedCap frame = TRY(make_frame(ram.slot(), bytes));
    const View view = TRY(View::make(frame.slot(), 0, bytes, read_write));
    fill_tables(view.span(), at, block);
    return at;
}

/// The frame is not of our quota: it is lent to the other core. Its memory serves each start.
Result<Joint> Starter::make_joint(CoreId core) {
    constexpr uint64_t bytes = interfaces::intermon::joint_bytes;
    OwnedCap& ram = kept_[core.raw].joint;
    if (ram.is_null()) ram = OwnedCap{TRY(memory_->allocate(std::bit_ceil(bytes))).ram};
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
