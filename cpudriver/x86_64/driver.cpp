// The CPU driver's main: how a core starts, and what happens at every entry from user space or
// from the hardware. entry.S calls the functions below; each answers whose registers to load.
#include <bit>
#include <cstdint>
#include <new>

#include "cpudriver/first_domain.hpp"
#include "cpudriver/x86_64/control.hpp"
#include "cpudriver/x86_64/descriptors.hpp"
#include "cpudriver/x86_64/image.hpp"
#include "cpudriver/x86_64/machine.hpp"
#include "cpudriver/x86_64/offsets.hpp"
#include "cpudriver/x86_64/panic.hpp"
#include "cpudriver/x86_64/serial.hpp"
#include "kernel/core.hpp"
#include "lib/hw/startup_tables.hpp"

extern "C" {
abi::SaveArea* cpu_current_registers; // where entry.S saves
abi::SaveArea* cpu_sender_registers;  // SPOKEN_TO: where the message is
abi::SaveArea* cpu_start(uint64_t boot_info);
uint64_t cpu_handle_system_call();
abi::SaveArea* cpu_handle_interrupt(uint64_t vector, uint64_t code);
abi::SaveArea* cpu_handle_idle_interrupt(uint64_t vector);
}

namespace cpu {

namespace {

constexpr uint64_t nmi_vector = 2, double_fault_vector = 8, machine_check_vector = 18;
constexpr uint64_t exceptions_end = 32;

/// Memory for one object that is made when the core starts and never ends.
template <class T>
class Late {
  public:
    template <class... Args>
    T& make(Args&&... args) {
        return *new (storage_) T{static_cast<Args&&>(args)...};
    }

    T& operator*() { return *std::launder(reinterpret_cast<T*>(storage_)); }

    T* operator->() { return &**this; }

  private:
    alignas(T) std::byte storage_[sizeof(T)]{};
};

// This core's, as no other core maps them.
constinit Late<X86Machine> machine;
constinit Late<kernel::Core> core;
constinit Late<Alarm> alarm;
constinit ExtendedState extended;
constinit bool has_fsgsbase = false;

constinit PhysAddr loaded_root{};

constinit bool quick_exchange = false; // by instructions that this CPU has: see change_to

constinit bool bases_live = false; // FS and GS bases may be newer in the CPU

/// Whose registers are in the CPU.
kernel::Dispatcher* loaded() {
    static_assert(offsetof(kernel::Dispatcher, registers) == 0);
    return reinterpret_cast<kernel::Dispatcher*>(cpu_current_registers);
}

/// FS and GS bases are the program's own to change where the CPU lets it; else only `resume` does.
/// They are fetched when somebody may look at them: not at every system call.
void fetch_bases() {
    if (!bases_live) return;
    bases_live = false;
    if (!has_fsgsbase) return;
    cpu_current_registers->fs_base = read_fs_base();
    cpu_current_registers->gs_base = read_gs_base();
}

void load_bases(const abi::SaveArea& from) {
    constexpr uint32_t fs_base_msr = 0xc000'0100, gs_base_msr = 0xc000'0101;
    if (has_fsgsbase) {
        write_fs_base(from.fs_base);
        write_gs_base(from.gs_base);
    } else {
        write_msr(fs_base_msr, from.fs_base);
        write_msr(gs_base_msr, from.gs_base);
    }
}

/// Of the user half the TLB keeps what kernel/tlb.hpp says.
[[gnu::noinline]] void load_tagged_root(PhysAddr root) {
    constexpr uint64_t keep = uint64_t{1} << 63; // SDM vol. 3A 4.10.4.1
    const kernel::Tlb::Load how = core->tlb().load(root);
    write_cr3(root.raw | how.tag | (how.keep ? keep : 0));
}

/// Global pages, so all of the CPU driver's, stay in the TLB. QEMU's TCG has no tags.
[[gnu::always_inline]] inline void load_root(PhysAddr root) {
    if (root == loaded_root) return;
    loaded_root = root;
    if (core->tlb().tagged())
        load_tagged_root(root);
    else
        write_cr3(root.raw);
}

/// On any CPU, and the first time.
[[gnu::noinline]] void exchange_slowly(kernel::Dispatcher& next) {
    if (next.extended_fresh) {
        extended.make_fresh(next.extended());
        next.extended_fresh = false;
    }
    fetch_bases();
    if (loaded() != nullptr) extended.save(loaded()->extended());
    extended.load(next.extended());
    load_bases(next.registers);
    bases_live = true;
    quick_exchange = has_fsgsbase && extended.by_xsave();
}

/// Bases are live, and `next` has run before.
[[gnu::always_inline]] inline void exchange_quickly(kernel::Dispatcher& next) {
    kernel::Dispatcher& before = *loaded();
    before.registers.fs_base = read_fs_base();
    before.registers.gs_base = read_gs_base();
    xsave(before.extended());
    xrstor(next.extended());
    write_fs_base(next.registers.fs_base);
    write_gs_base(next.registers.gs_base);
}

/// loaded() may have been deleted in this very call; its memory is not anything else yet.
[[gnu::always_inline]] inline void change_to(kernel::Dispatcher& next) {
    if (quick_exchange && bases_live && !next.extended_fresh) [[likely]]
        exchange_quickly(next);
    else
        exchange_slowly(next);
    load_root(next.root);
    cpu_current_registers = &next.registers;
}

#ifdef PLANTED_SHARED_COUNTER
// What `make check-isolation` must catch: a word in low memory that every CPU driver writes.
constinit std::byte* shared_counter = nullptr;

void plant() {
    constexpr PhysAddr nobodys_page = phys(0x7000);
    shared_counter = machine->paging.map_device(nobodys_page);
}

void count() {
    hw::mmio_store32(shared_counter, hw::mmio_load32(shared_counter) + 1);
}
#elifdef PLANTED_FALSE_MOVE
void plant() {}

void count() {
    if (std::byte* const kept = machine->paging.kept()) (void)hw::mmio_load32(kept);
}
#else
void plant() {}

void count() {}
#endif

[[gnu::noinline]] abi::SaveArea* leave() {
    kernel::Dispatcher* const next = core->schedule();
    alarm->set(core->next_deadline());
    if (next == nullptr) return nullptr;
    if (next != loaded())
        change_to(*next);
    else if (!bases_live)
        load_bases(next->registers);
    bases_live = true;
    return &next->registers;
}

/// Any call but the null call; how it ends.
[[gnu::noinline]] uint64_t carry_out(kernel::Dispatcher& caller, kernel::Slot* named) {
    const kernel::After after = core->invoke_named(caller, named);
    if (after == kernel::After::goes_on) return GO_ON;
    if (after == kernel::After::spoken_to) {
        kernel::Dispatcher& next = *core->current();
        cpu_sender_registers = &caller.registers;
        if (quick_exchange) [[likely]] {
            exchange_quickly(next);
            load_root(next.root);
            cpu_current_registers = &next.registers;
        } else {
            change_to(next);
        }
        return SPOKEN_TO;
    }
    if (after == kernel::After::went_to) {
        change_to(*core->current());
        return LEAVE;
    }
    if (after == kernel::After::replaced) {
        load_bases(caller.registers);
        return LEAVE;
    }
    return leave() != nullptr ? LEAVE : IDLE;
}

void handle_vector(uint64_t vector) {
    switch (vector) {
    case timer_vector:
        machine->apic.end_of_interrupt();
        alarm->has_rung();
        core->on_timer();
        break;
    case spurious_vector: break; // has no end of interrupt (SDM vol. 3A 10.9)
    case apic_error_vector: machine->apic.end_of_interrupt(); break;
    case nmi_vector: panic("non-maskable interrupt");
    case double_fault_vector: panic("double fault");
    case machine_check_vector: panic("machine check");
    default:
        // First masked, if it is a level line, then ended: else it would come once more.
        core->on_device_or_ipi_vector(static_cast<uint8_t>(vector));
        machine->apic.end_of_interrupt();
    }
}

bool is_fault(uint64_t vector) {
    return vector < exceptions_end && vector != nmi_vector && vector != double_fault_vector &&
           vector != machine_check_vector;
}

const abi::BootInfo& hand_over_page(uint64_t at) {
    const uint64_t block = round_down(at, large_page_bytes);
    return *std::bit_cast<const abi::BootInfo*>(hw::cpu_driver_image.raw + (at - block));
}

void start_devices(const abi::BootInfo& info, const Features& features) {
    machine->apic.enable(
        features.x2apic ? nullptr : machine->paging.map_device(phys(info.local_apic))
    );
    machine->clock.start(info.tsc_khz);
    alarm.make(machine->apic, machine->clock);
}

template <class... Args>
void say(const abi::BootInfo& info, Format<Args...> text, const Args&... args) {
    if (info.core != 0) return; // the serial port is somebody's by then
    serial::put("skerry core 0: ");
    serial::line(text, args...);
}

void start(PhysAddr info_at) {
    const abi::BootInfo& info = hand_over_page(info_at.raw);
    prepare_panic(info);
    load_descriptors();
    INVARIANT(info.magic == abi::boot_info_magic, "the hand-over page is of this version");
    machine.make(
        phys(info.io_apic),
        static_cast<uint32_t>(info.io_apic_gsi_base),
        ApicId{{info.cores[0].apic_id}}
    );
    const Features found = features();
    has_fsgsbase = found.fsgsbase;
    enable_page_attributes();
    machine->paging.build(info);
    machine->paging.enter();
    enable_features(found);
    extended.enable(found);
    say(info,
        "own page tables, {}{}{}{}{}",
        found.smep ? "SMEP " : "",
        found.smap ? "SMAP " : "",
        found.umip ? "UMIP " : "",
        found.pcid ? "PCID " : "",
        found.xsave ? "XSAVE" : "FXSAVE");
    start_devices(info, found);
    plant();
    say(info,
        "TSC {} kHz, APIC timer {} kHz, {}",
        machine->clock.tsc_khz(),
        alarm->timer_khz(),
        found.x2apic ? "x2APIC" : "xAPIC");
    core.make(
        *machine,
        kernel::Config{
            .core = {{static_cast<uint8_t>(info.core)}},
            .apic = machine->apic.id(),
            .tsc_khz = machine->clock.tsc_khz(),
            .tsc_at_start = machine->clock.tsc_at_start(),
            .window = Paging::window(),
            .kernel_root = machine->paging.root(),
        }
    );
    if (found.pcid) core->tlb().use(kernel::Tlb::most_tags);
    const std::byte* bundle = machine->paging.lend(phys(info.bundle), info.bundle_bytes);
    const auto made = make_first_domain(*core, info, info_at, {bundle, info.bundle_bytes});
    if (!made) panic("init cannot be started: {}", made.error());
    machine->paging.end_lend();
    say(info, "entering init");
}

} // namespace

} // namespace cpu

using namespace cpu;

abi::SaveArea* cpu_start(uint64_t boot_info) {
    start(phys(boot_info));
    return leave();
}

uint64_t cpu_handle_system_call() {
    count();
    kernel::Dispatcher& caller = *core->current();
    kernel::Slot* const named = core->named();
    const bool null_call = caller.registers.rax == std::to_underlying(abi::Op::null_call);
    if (named == nullptr || !null_call) return carry_out(caller, named);
    caller.registers.rax = 0;
    return GO_ON;
}

abi::SaveArea* cpu_handle_interrupt(uint64_t vector, uint64_t code) {
    if (is_fault(vector)) {
        fetch_bases();
        const uint64_t address = vector == 14 ? read_cr2() : 0;
        if (core->on_fault(vector, code, address) == kernel::After::goes_on) {
            bases_live = true; // they are as they were
            return cpu_current_registers;
        }
    } else {
        handle_vector(vector);
    }
    return leave();
}

abi::SaveArea* cpu_handle_idle_interrupt(uint64_t vector) {
    if (is_fault(vector)) panic("exception {} while idle", vector);
    handle_vector(vector);
    return leave();
}
