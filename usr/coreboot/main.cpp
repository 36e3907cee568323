// Starts every other core of the machine: memory, image, hand-over page, joint with the monitor,
// start-up interrupt. All are started before any is waited for. Ends when each is up or left out.
#include "interfaces/intermon.hpp"
#include "interfaces/memory.hpp"
#include "interfaces/monitor.hpp"
#include "lib/async/loop.hpp"
#include "lib/base/log.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/local.hpp"
#include "lib/os/logging.hpp"
#include "lib/os/memory.hpp"
#include "usr/coreboot/plan.hpp"

namespace {

using namespace coreboot;
using os::CapSlot, os::OwnedCap, os::View;

constexpr Duration patience = milliseconds(5000);
constexpr Duration look_again = milliseconds(2);

/// An object of the first `bytes` of some RAM.
Result<OwnedCap> make_frame(CapSlot ram, uint64_t bytes) {
    OwnedCap frame{TRY(os::slots().take())};
    const os::Place at = os::place_of(frame.slot());
    TRY_VOID((os::CNode{{at.cnode}}.retype(at.index, ram, abi::Kind::frame, 0, bytes)));
    return frame;
}

class CoreBoot {
  public:
    /// `memory` is the endpoint of the memory server.
    CoreBoot(os::Domain& self, CapSlot memory)
        : self_{self}, memory_{memory}, monitor_{abi::slot_at(0, abi::slot::monitor)} {}

    /// Everything that is the same for all cores.
    Result<> prepare() {
        constexpr abi::Rights read_write = abi::read | abi::write;
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

    void start_all() {
        for (uint32_t core = 1; core < info_.core_count; ++core) {
            const auto started = start(core);
            if (started) continue;
            log::error(
                "core {} (APIC {}) cannot be started: {}: left out",
                core,
                apic_of(core),
                started.error()
            );
            left_out_[core] = true;
        }
        started_at_ = os::now();
    }

    async::Task<> wait_for_all() {
        uint32_t up = 1;
        for (uint32_t core = 1; core < info_.core_count; ++core) {
            if (left_out_[core]) continue;
            while (!is_up(core) && os::now() < started_at_ + patience)
                co_await self_.loop().sleep_for(look_again);
            if (is_up(core))
                ++up;
            else
                leave_out(core);
        }
        log::info(
            "cores {} of {} are up after {} ms",
            up,
            info_.core_count,
            (os::now() - started_at_).ms()
        );
        co_await let_the_log_go();
        self_.stop(0);
        co_return {};
    }

    /// Lines end with the domain: the console takes them first, or else the parent, piece by piece.
    async::Task<> let_the_log_go() {
        constexpr Duration console_takes = milliseconds(20);
        for (const Instant end = os::now() + seconds(1); os::now() < end;) {
            co_await self_.loop().sleep_for(console_takes);
            if (os::log_ring().empty()) break;
        }
        os::tell_parent_of_log();
        co_await self_.loop().sleep_for(console_takes);
        co_return {};
    }

  private:
    uint32_t apic_of(uint32_t core) const { return info_.cores[core].apic_id; }

    /// The trampoline goes to the first start-up page; the second has an entry for each APIC id.
    Result<> prepare_start_page() {
        const elf::Section trampoline = TRY(image_->section(".trampoline"));
        if (trampoline.file.size() > page_bytes) return fail(Err::no_space);
        std::ranges::copy(trampoline.file, start_view_.span().begin());
        return {};
    }

    Result<uint64_t> choose_share(uint32_t core) {
        const uint64_t total = TRY(memory_->state()).total;
        // What was granted to others while we plan is as much as before for all of them.
        if (whole_ == 0) whole_ = total;
        const auto share = share_for(info_, whole_, core);
        if (!share)
            log::error(
                "memory of {} MiB is too little for {} cores: {} MiB are needed",
                whole_ >> 20,
                info_.core_count,
                round_up(smallest_share * info_.core_count * 4 / 3, smallest_share) >> 20
            );
        return share;
    }

    std::optional<OwnedCap> take_in_node(uint64_t node, uint64_t bytes) {
        for (const abi::NodeMemory& m : std::span{info_.node_memory}.first(info_.node_memory_count))
            if (m.node == node)
                if (const auto ram = memory_->allocate_within(bytes, m.begin, m.end))
                    return OwnedCap{ram->ram};
        return std::nullopt;
    }

    /// The largest block there is, up to `bytes`: near the core, else anywhere.
    Result<OwnedCap> take_ram(uint32_t core, uint64_t& bytes) {
        const uint64_t wanted = bytes;
        for (; info_.node_count != 0 && bytes >= smallest_share; bytes /= 2)
            if (auto near = take_in_node(info_.cores[core].node, bytes)) return std::move(*near);
        for (bytes = wanted;; bytes /= 2) {
            const auto ram = memory_->allocate_dirty(bytes);
            if (ram) return OwnedCap{ram->ram};
            if (bytes == smallest_share) return fail(ram.error());
        }
    }

    /// Start-up tables of their own for a block that lies beyond what a core reaches in real mode.
    /// They stay: a core that comes late would still read them.
    Result<PhysAddr> make_low_tables(PhysAddr block) {
        constexpr uint64_t bytes = std::bit_ceil(sizeof(hw::StartupTables));
        const CapSlot ram = TRY(memory_->allocate_within(bytes, 0, low_end)).ram;
        const PhysAddr at = phys(TRY(os::describe(ram)).base);
        const OwnedCap frame = TRY(make_frame(ram, bytes));
        const View view = TRY(View::make(frame.slot(), 0, bytes, abi::read | abi::write));
        fill_tables(view.span(), at, block);
        return at;
    }

    Result<> start(uint32_t core) {
        uint64_t share = TRY(choose_share(core));
        const std::string_view name = format_to(name_, "core.{}", core);
        const os::Core target{{TRY(self_.find_given(name))}};
        const OwnedCap ram = TRY(take_ram(core, share));
        const PhysAddr at = phys(TRY(os::describe(ram.slot())).base);
        if (apic_of(core) * sizeof(abi::StartEntry) >= page_bytes) return fail(Err::unsupported);
        PhysAddr tables = at + layout_.tables;
        if (needs_low_tables(at)) tables = TRY(make_low_tables(at));
        const Joint joint = TRY(make_joint(core));
        abi::BootInfo info = hand_over(info_, core, at, share, layout_);
        set_joint(info, joint);
        TRY_VOID(fill(ram.slot(), at, info));
        start_entry(core) = {tables.raw, at.raw + layout_.boot_info};
        log::info(
            "core {} gets {:x}..{:x}, node {}", core, at.raw, at.raw + share, info_.cores[core].node
        );
        return target.start(ram.slot(), info_.start_page / page_bytes, 0, 0);
    }

    /// Frame and mapping are gone when this returns: only RAM can be given away.
    Result<> fill(CapSlot ram, PhysAddr at, const abi::BootInfo& info) {
        const OwnedCap frame = TRY(make_frame(ram, large_page_bytes));
        const View view =
            TRY(View::make(frame.slot(), 0, large_page_bytes, abi::read | abi::write));
        const MutableBytes block = view.span();
        std::ranges::fill(block, std::byte{0});
        fill_block(block, at, *image_, file_, layout_);
        const Bytes page = std::as_bytes(std::span{&info, 1});
        std::ranges::copy(page, block.subspan(layout_.boot_info).begin());
        return {};
    }

    /// The frame is not of our quota: it outlives this domain, lent to the other core.
    Result<Joint> make_joint(uint32_t core) {
        constexpr uint64_t bytes = interfaces::intermon::joint_bytes;
        const OwnedCap ram{TRY(memory_->allocate(std::bit_ceil(bytes))).ram};
        const OwnedCap frame = TRY(make_frame(ram.slot(), bytes));
        const PhysAddr base = phys(TRY(os::describe(frame.slot())).base);
        const CoreId to{{static_cast<uint8_t>(core)}};
        const auto made = TRY(monitor_->joint_make(to, frame.slot()));
        return Joint{base, bytes, made.vector};
    }

    abi::StartEntry& start_entry(uint32_t core) {
        const MutableBytes entries = start_view_.span().subspan(page_bytes);
        void* const entry = entries.subspan(apic_of(core) * sizeof(abi::StartEntry)).data();
        return *static_cast<abi::StartEntry*>(entry);
    }

    bool is_up(uint32_t core) {
        const auto state = monitor_->core_at(core);
        return state && state->state == interfaces::monitor::CoreState::up;
    }

    void leave_out(uint32_t core) {
        log::error(
            "core {} (APIC {}) did not start within {} ms: left out",
            core,
            apic_of(core),
            patience.ms()
        );
        // It said that the core is still starting, so it knows the joint.
        (void)monitor_->joint_failed({{static_cast<uint8_t>(core)}});
    }

    os::Domain& self_;
    os::LocalClient<interfaces::memory::Client> memory_;
    os::LocalClient<interfaces::monitor::Client> monitor_;
    abi::BootInfo info_{};
    View file_view_, start_view_;
    Bytes file_;
    std::optional<elf::Image> image_;
    BlockLayout layout_;
    uint64_t whole_{};
    std::array<char, 16> name_{};
    std::array<bool, 256> left_out_{};
    Instant started_at_{};
};

constinit os::Immortal<CoreBoot> core_boot;

} // namespace

int domain_main(os::Domain& self) {
    const auto memory = self.find_given("memory");
    CoreBoot& boot = core_boot.make(self, memory.value_or(abi::null_slot));
    const auto ready = memory ? boot.prepare() : Result<>{fail(memory.error())};
    if (!ready) {
        log::error("cores cannot be started: {}", ready.error());
        return 1;
    }
    boot.start_all();
    if (const auto waits = self.loop().spawn("core boot", boot.wait_for_all()); !waits) return 1;
    return self.serve();
}
