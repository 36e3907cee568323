// The one system call: invoke an operation on a capability. docs/abi.md lists every operation with
// its arguments and errors; the decoder in kernel/ is the only place that reads them.
//
//   in    rax operation | rdi capability slot | rsi rdx r10 r8 r9 r12 r13  arguments 0..6
//   out   rax status (Fault chain, 0 = done)  | rdi badge | rsi rdx r10 r8 r9 r12 r13  values 0..6
//   rcx and r11 are lost to SYSCALL; all other registers keep their values.
#pragma once

#include <array>
#include <cstdint>

namespace abi {

enum class Op : uint16_t {
    null_call, // any capability: decodes it, does nothing; other registers stay as they are

    // on a CNode: `index` names the destination slot in it
    cnode_copy,     // index, source slot
    cnode_mint,     // index, source slot, rights, badge (0: as it is)
    cnode_move,     // index, source slot
    cnode_delete,   // index                              Err::again: call again
    cnode_revoke,   // index: deletes all copies and descendants; Err::again, Err::lent
    cnode_retype,   // index, source slot, kind, offset, bytes each, count
    cnode_describe, // index -> kind | rights << 8, base, bytes, badge, describe_ flags

    // on a page table of level 1..4
    table_map, // entry, source slot (frame, device_frame or next table), offset, rights |
               // MapFlags << 8, entry count, mapping's CNode slot, mapping's index

    // on a mapping (deleting it unmaps)
    mapping_protect, // rights

    // on a dispatcher
    dispatcher_configure, // root CNode, address space, page frame slots, page's VirtAddr, priority,
                          // fault doorbell slot or 0
    dispatcher_start,     // entry, stack pointer, argument (rdi)
    dispatcher_stop,      // -
    dispatcher_priority,  // priority 0..31, slice in us (0: default)
    dispatcher_state,     // word index -> 6 words of saved registers / status (see docs/abi.md)
    endpoint_make,        // CNode slot, index, badge
    doorbell_make,        // CNode slot, index, bit 1..62
    // on one's own dispatcher (execute right)
    wait,       // deadline (ns, own clock; 0 none), wait flags, receive CNode slot (0: as
                // before), index
    reply,      // capability to send (slot | give flag), 6 message words
    reply_wait, // capability, 6 message words; then as `wait` without deadline, same receive slot
    yield,      // -
    resume,     // save area index: continue from the dispatcher page

    // on an endpoint
    call, // capability to send (slot | give flag), 6 message words

    // on a doorbell
    ring, // -

    // on an interrupt (one line)
    interrupt_bind,        // doorbell slot, InterruptMode
    interrupt_acknowledge, // -
    // on a range of ports
    port_in,  // port, width 1|2|4 -> value
    port_out, // port, width, value

    // on a core
    core_start,  // RAM slot, start-up page number (vector), which of the capability's cores
                 // -> 1 if a Loan stands in the slot now, 0 if it is empty; Err::again
    core_accept, // CNode slot, index, kind, base, bytes, rights, badge (frame: its owner core);
                 // own core only
    core_lend,   // frame slot, CNode slot, index: records a Loan (own core only)
    core_vector, // local doorbell slot -> APIC id, vector that rings it (own core only)
    core_info,   // word: see CoreInfo -> values
    // own core only; RAM moves in 2 MiB blocks, at most 1 GiB a call
    core_recall,  // Loan slot, rights, CNode slot, index: a copy of the lent frame
    core_give,    // RAM slot -> 1 if a Loan stands there now, 0 if it is empty; Err::again
    core_regain,  // Loan slot that core_give left: is the RAM again
    core_mark,    // slot, 0 | 1: its range is being revoked, on other cores too
    core_watch,   // doorbell slot (0: none): rung when a borrowed frame has only keepers left
    core_drained, // -> Drained, base, bytes
    core_split,   // Loan slot that core_give left, offset, CNode slot, index: that is for the rest
    core_stop,    // APIC id of another core: it executes nothing more until it is started
    core_hang,    // this core executes nothing more: for tests of what the others do then

    // on a mapping
    mapping_status, // -> accessed, dirty: of any of its entries, since they were made
    count_,
};

/// Result of `wait` and `reply_wait`: value 0 says what came.
///   events    value 1 = bitmap of event bits, now cleared
///   message   badge in rdi; value 1..6 = six words, and kind_of_cap below in the low byte of value
///   0
enum class Woke : uint64_t { events = 0, message = 1 };
constexpr uint64_t woke_with_capability = 0x100; // or-ed to value 0: the receive slot was filled

constexpr uint64_t wait_accepts_calls = 1; // wait flag: a call may be delivered in registers
constexpr uint64_t wait_polls = 2;         // wait flag: return at once with what is there

constexpr uint64_t give_capability = uint64_t{1} << 32; // the sender's slot is emptied (move)

/// Event bits in the dispatcher page's `pending` word.
constexpr unsigned event_remote = 0; // rung from another core; look at every channel
constexpr unsigned event_timer = 63; // the deadline of `wait` has passed
// bits 1..62: made by doorbell_make

enum class InterruptMode : uint64_t { edge_high = 0, level_low = 1, level_high = 2, edge_low = 3 };

/// Flags of table_map beside the rights: memory type.
enum class MapFlags : uint64_t { cached = 0, uncached = 1, write_combining = 2, large = 4 };

/// Value 4 of cnode_describe.
constexpr uint64_t describe_revoking = 1; // it is marked, by cnode_revoke or core_mark
constexpr uint64_t describe_borrowed = 2; // the memory is another core's; its number is the badge
constexpr uint64_t describe_idle = 4;     // a keeper, and only keepers are left: nothing derived
constexpr uint64_t describe_given = 8;    // a Loan that core_give left
constexpr uint64_t describe_keeper = 16;  // what core_accept made; its copies are none

/// Value 0 of core_drained.
enum class Drained : uint64_t { none = 0, one = 1, many = 2 }; // many: look at all keepers

/// What core_info answers (values 0..6).
enum class CoreInfo : uint64_t {
    identity, // core index, APIC id, tsc_khz
    idle,     // halts, idle ns, ns since start, context switches
    traffic,  // system calls, interrupts, IPIs sent, received, spurious, pauses of who rang often
    memory,   // bytes owned, capabilities in the database, parked loans
    in_use,   // capability slots, dispatchers with an IPI vector, interrupt lines bound
};

constexpr unsigned argument_words = 7;
constexpr unsigned message_words = 6;

struct Invocation {
    uint64_t operation;
    uint64_t slot;
    std::array<uint64_t, argument_words> argument;
};

struct Answer {
    uint64_t status;
    uint64_t badge;
    std::array<uint64_t, argument_words> value;
};

} // namespace abi
