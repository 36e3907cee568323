// The kernel's side of a dispatcher: an 8 KiB object in memory that somebody had a capability to.
// First page: this structure. Second page: extended registers, the CPU driver's alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernel/slot.hpp"
#include "lib/abi/dispatcher_page.hpp"
#include "lib/base/list.hpp"
#include "lib/base/time.hpp"
#include "lib/base/tree.hpp"

namespace kernel {

enum class State : uint8_t {
    unconfigured,
    stopped,
    runnable, // runs, or is on the ready list of its priority
    waiting,  // in `wait`
    queued,   // in `call`, the callee does not listen yet
    called,   // in `call`, the callee is its worker now
    faulted,
    held_back, // has rung other cores too often, and pauses
};

constexpr std::array<std::string_view, 8> state_names = {
    "unconfigured", "stopped", "runnable", "waiting", "queued", "called", "faulted", "held back"
};

constexpr std::string_view name_of(State s) {
    const auto i = static_cast<size_t>(s);
    return i < state_names.size() ? state_names[i] : "?";
}

constexpr unsigned priorities = 32;
constexpr Duration default_slice = milliseconds(10);

/// Capabilities that a configured dispatcher holds itself, so that what it stands on outlives it.
namespace hold {
constexpr size_t cspace = 0, vspace = 1, page = 2, fault_bell = 3, count = 4;
} // namespace hold

struct Dispatcher {
    // for the CPU driver; asm knows the offset of `registers`
    abi::SaveArea registers; // as of the last entry to the kernel; what the next exit loads
    PhysAddr root;           // its level-4 table
    bool extended_fresh;     // the second page holds nothing yet: the CPU driver fills and clears
    std::array<uint64_t, 4> driver_words; // for the CPU driver's own use; zero at creation

    std::byte* extended() { return reinterpret_cast<std::byte*>(this) + page_bytes; }

    // what it stands on; null unless configured
    PhysAddr self;
    CNode* cspace;
    abi::DispatcherPage* page; // hostile; through the window
    VirtAddr page_address;     // in the domain's own space
    std::array<Slot, hold::count> held;

    State state;
    uint8_t priority;
    bool preempted;     // lost the core while runnable: may want its run upcall
    bool accepts_calls; // waiting: a call may be delivered
    bool open;          // waits for a call, without a deadline, and works for nobody
    bool deadline_set;
    bool going_home; // severed, and more callers waited for it than one call may send home
    Duration slice;
    ListHook<Dispatcher> ready_hook;

    // local messages
    List<Dispatcher, &Dispatcher::ready_hook> callers; // queued for this one, oldest first
    Dispatcher* caller;                                // whom it works for: blocked until `reply`
    Dispatcher* callee;                                // queued for, or called
    uint64_t call_badge;                               // queued: of the endpoint it called through
    uint32_t receive_cnode;                            // CapSlot of the CNode ...
    uint32_t receive_index; // ... and the index where a capability is received

    // the deadline of `wait`
    Instant deadline;
    Dispatcher* later_left;
    Dispatcher* later_right;
    Dispatcher* later_parent;
    uint8_t later_height;

    // inter-core events
    uint64_t rings_until; // ticks up to which what it has rung is paid for
    uint8_t ipi_vector;   // 0: none
    ListHook<Dispatcher> vector_hook;

    // last fault, when it stopped the dispatcher
    uint64_t fault_vector, fault_code, fault_address;

    // statistics
    uint64_t busy_ticks, dispatches, calls_received;
};

static_assert(offsetof(Dispatcher, registers) == 0);
static_assert(sizeof(Dispatcher) <= page_bytes, "the second page is the extended registers'");

} // namespace kernel
