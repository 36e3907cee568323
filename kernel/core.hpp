// One core's kernel: everything it knows hangs off this object. The CPU driver puts one in its own
// memory, calls it at every entry from user space or from the hardware, then asks who runs next.
//
// Order of calls at an entry: registers into current()->registers; one of invoke, on_timer,
// on_device_or_ipi_vector, on_fault; then schedule(); load what it answers (root, extended state,
// registers), or the kernel's own root and halt; program the timer for next_deadline().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "kernel/database.hpp"
#include "kernel/dispatcher.hpp"
#include "kernel/machine.hpp"
#include "kernel/page_table.hpp"
#include "kernel/scheduler.hpp"
#include "kernel/slot.hpp"
#include "kernel/vectors.hpp"
#include "lib/abi/invocation.hpp"
#include "lib/base/result.hpp"

namespace kernel {

struct Config {
    CoreId core;
    ApicId apic;
    uint64_t tsc_khz;
    uint64_t tsc_at_start; // for the dispatcher pages
    std::byte* window;     // physical address p is at window + p
    PhysAddr kernel_root;  // its upper half goes into every address space
};

struct Statistics {
    uint64_t calls, interrupts, ipis_sent, ipis_received, spurious;
    uint64_t halts, switches, timer;
    int64_t idle_ns;
    uint64_t bytes_owned;
    uint64_t faults; // of dispatchers that were stopped by one
};

/// A capability that comes from nothing: given at boot, or accepted from another core.
struct Root {
    Kind kind;
    uint64_t base, bytes;
    Rights rights;
    uint64_t badge{};
    bool borrowed{}; // the memory is another core's
};

struct MapRequest {
    uint32_t entry;
    uint64_t offset; // into the source
    Rights rights;
    uint64_t flags; // abi::MapFlags
    uint32_t count;
};

struct Configuration {
    Slot* cspace;
    Slot* vspace;
    Slot* page;
    VirtAddr page_address;
    uint8_t priority;
    Slot* fault_bell; // nullptr: none
};

class Core {
  public:
    Core(Machine& machine, const Config& config);
    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    // --- entries -------------------------------------------------------------------------------
    Dispatcher* current() const { return current_; }

    /// The system call in current()->registers; the answer is written there.
    void invoke();
    void on_timer();
    void on_device_or_ipi_vector(uint8_t vector);
    /// Of the current dispatcher in ring 3. `address` is CR2 for a page fault.
    void on_fault(uint64_t vector, uint64_t code, uint64_t address);
    /// Who runs now; it becomes current(). nullptr: nobody, halt.
    Dispatcher* schedule();
    /// When on_timer() must be called at the latest.
    std::optional<Instant> next_deadline() const;

    // --- boot: the same plans and commits that invocations use -----------------------------------
    /// Slots that belong to the kernel itself: a place to begin. 0 is usable here.
    CNode& boot_cnode() { return boot_; }

    /// The slots of a CNode capability.
    CNode& cnode(const Slot& capability) const;
    Dispatcher& dispatcher(const Slot& capability) const;
    Result<> insert_root(Slot& into, const Root& root);
    /// `into`: one slot for each new object, all empty.
    Result<> retype(Slot& source, Kind kind, uint64_t offset, uint64_t bytes, std::span<Slot> into);
    Result<> copy(Slot& source, Slot& into, Rights rights);
    Result<> move(Slot& source, Slot& into);
    Result<> map(Slot& table, Slot& source, const MapRequest& request, Slot& into);
    Result<> configure(Slot& dispatcher, const Configuration& configuration);
    Result<> start(Dispatcher& d, uint64_t entry, uint64_t stack, uint64_t argument);
    Result<> make_endpoint(Slot& dispatcher, Slot& into, uint64_t badge);
    Result<> make_doorbell(Slot& dispatcher, Slot& into, uint64_t bit);

    // --- what the operations are made of (operations.cpp and its neighbours) ---------------------
    Result<> remove(Slot& slot); // Err::again: not finished
    Result<> revoke(Slot& slot); // Err::again, Err::lent
    Result<> protect(Slot& mapping, Rights rights);
    Result<> stop(Dispatcher& d);
    Result<> set_priority(Dispatcher& d, uint8_t priority, Duration slice);
    Result<> ring(const Slot& doorbell);
    Result<> bind_interrupt(const Slot& line, const Slot& doorbell, abi::InterruptMode mode);
    Result<> acknowledge_interrupt(const Slot& line);
    Result<> start_core(const Slot& core, Slot& ram, uint64_t start_page);
    Result<> accept(Slot& into, const Root& root);
    Result<> lend(Slot& frame, Slot& into);
    Result<uint8_t> remote_vector(const Slot& doorbell);

    Machine& machine() const { return machine_; }

    const Config& config() const { return config_; }

    const Database& database() const { return database_; }

    const Statistics& statistics() const { return statistics_; }

    size_t parked_loans() const { return given_count_; }

  private:
    friend class Invoker;

    template <class T>
    T* at(uint64_t physical) const {
        return reinterpret_cast<T*>(window_ + physical);
    }

    Machine& machine_;
    Config config_;
    uintptr_t window_;
    Dispatcher* current_{};
    Scheduler scheduler_;
    Database database_;
    Vectors vectors_;
    Statistics statistics_{};
    CNode boot_{};
    std::array<Slot, 64> given_{}; // Loans over RAM that other cores' kernels took for good
    size_t given_count_{};
};

} // namespace kernel
