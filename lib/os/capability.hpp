// Every operation on a capability as a typed function: a handle is a slot number that knows its
// kind, costs nothing, owns nothing. Owners of slots and memory are in space.hpp and memory.hpp.
// Arguments, answers and errors of each operation: docs/abi.md.
#pragma once

#include <algorithm>

#include "lib/abi/capability.hpp"
#include "lib/base/time.hpp"
#include "lib/os/syscall.hpp"

namespace os {

using abi::CapSlot;
using abi::Kind;
using abi::Op;
using abi::Rights;

/// A slot as a destination: an index in a CNode that one has a capability to.
struct Place {
    CapSlot cnode;
    uint32_t index;
};

/// What cnode_describe tells of a slot.
struct Description {
    Kind kind;
    Rights rights;
    uint64_t base;
    uint64_t bytes;
    uint64_t badge;
    uint64_t flags;
};

/// Any capability, by its slot.
struct Cap {
    CapSlot slot{};

    constexpr bool is_null() const { return slot == abi::null_slot; }
};

/// Runs a step that may answer `again` until it is done.
template <class Step>
Result<> until_done(Step&& step) {
    for (;;) {
        const Result<> done = step();
        if (done || done.error().top() != Err::again) return done;
    }
}

struct CNode : Cap {
    Result<> copy(uint32_t index, CapSlot source) const {
        return command(Op::cnode_copy, slot, {index, source.raw});
    }

    Result<> mint(uint32_t index, CapSlot source, Rights rights) const {
        return command(Op::cnode_mint, slot, {index, source.raw, rights.raw, 0});
    }

    Result<> move(uint32_t index, CapSlot source) const {
        return command(Op::cnode_move, slot, {index, source.raw});
    }

    Result<> remove(uint32_t index) const {
        return until_done([&] { return command(Op::cnode_delete, slot, {index}); });
    }

    /// All copies and descendants of the slot go; the slot itself stays.
    Result<> revoke(uint32_t index) const {
        return until_done([&] { return revoke_step(index); });
    }

    /// Some of them. Errors: again.
    Result<> revoke_step(uint32_t index) const { return command(Op::cnode_revoke, slot, {index}); }

    /// `bytes` is the size of each object; the slots `index`.. are filled, all or none.
    Result<> retype(
        uint32_t index,
        CapSlot source,
        Kind kind,
        uint64_t offset,
        uint64_t bytes,
        uint64_t count = 1
    ) const {
        for (uint64_t done = 0; done < count; done += abi::retype_most) {
            const uint64_t now = std::min(count - done, abi::retype_most);
            const auto to = static_cast<uint32_t>(index + done);
            const auto made = retype_step(to, source, kind, offset + done * bytes, bytes, now);
            if (made) continue;
            for (uint32_t i = index; i < to; ++i)
                (void)remove(i);
            return made;
        }
        return {};
    }

    /// At most abi::retype_most of them.
    Result<> retype_step(
        uint32_t index, CapSlot source, Kind kind, uint64_t offset, uint64_t bytes, uint64_t count
    ) const {
        const auto kind_number = uint64_t{std::to_underlying(kind)};
        return command(
            Op::cnode_retype, slot, {index, source.raw, kind_number, offset, bytes, count}
        );
    }

    Result<Description> describe(uint32_t index) const {
        const Values v = TRY(invoke(Op::cnode_describe, slot, {index}));
        const Rights rights{static_cast<uint8_t>(v[0] >> 8)};
        return Description{Kind(static_cast<uint8_t>(v[0])), rights, v[1], v[2], v[3], v[4]};
    }
};

/// A page table of any level.
struct Table : Cap {
    Result<>
    map(uint32_t entry,
        CapSlot what,
        uint64_t offset,
        Rights rights,
        abi::MapFlags flags,
        uint64_t count,
        Place mapping) const {
        const uint64_t how = rights.raw | (std::to_underlying(flags) << 8);
        return command(
            Op::table_map,
            slot,
            {entry, what.raw, offset, how, count, mapping.cnode.raw, mapping.index}
        );
    }
};

/// What the hardware noted in a mapping's entries.
struct Touched {
    bool accessed, dirty;
};

struct Mapping : Cap {
    Result<> protect(Rights rights) const {
        return command(Op::mapping_protect, slot, {rights.raw});
    }

    Result<Touched> status() const {
        const Values v = TRY(invoke(Op::mapping_status, slot));
        return Touched{v[0] != 0, v[1] != 0};
    }
};

/// What came out of `wait`.
struct Arrival {
    bool is_message{};
    bool has_capability{}; // in the receive slot
    uint64_t events{};
    uint64_t badge{};
    std::array<uint64_t, abi::message_words> words{};
};

/// A message, or the answer to one.
struct Words {
    std::array<uint64_t, abi::message_words> word{};
    CapSlot give{}; // null: none
    bool move_it{}; // the sender's slot is emptied
    bool came_with_cap{};

    constexpr uint64_t capability() const {
        if (give == abi::null_slot) return 0;
        return give.raw | (move_it ? abi::give_capability : 0);
    }
};

struct DispatcherState {
    uint64_t state, rip, rsp, rbp, rflags, vector;
    uint64_t address, code, rax, rdi, rsi, rdx;
    uint64_t busy_ns, dispatches, calls, priority;
};

struct Dispatcher : Cap {
    Result<> configure(
        CapSlot root,
        CapSlot address_space,
        CapSlot page_frame,
        VirtAddr page_at,
        unsigned priority,
        CapSlot fault_bell = abi::null_slot
    ) const {
        return command(
            Op::dispatcher_configure,
            slot,
            {root.raw, address_space.raw, page_frame.raw, page_at.raw, priority, fault_bell.raw}
        );
    }

    Result<> start(VirtAddr entry, VirtAddr stack, uint64_t argument) const {
        return until_done([&] {
            return command(Op::dispatcher_start, slot, {entry.raw, stack.raw, argument});
        });
    }

    Result<> stop() const { return command(Op::dispatcher_stop, slot); }

    Result<> set_priority(unsigned priority, Duration slice = {}) const {
        const auto us = static_cast<uint64_t>(slice.us());
        return command(Op::dispatcher_priority, slot, {priority, us});
    }

    Result<DispatcherState> state() const {
        const Values a = TRY(invoke(Op::dispatcher_state, slot, {0}));
        const Values b = TRY(invoke(Op::dispatcher_state, slot, {1}));
        const Values c = TRY(invoke(Op::dispatcher_state, slot, {2}));
        return DispatcherState{
            a[0],
            a[1],
            a[2],
            a[3],
            a[4],
            a[5],
            b[0],
            b[1],
            b[2],
            b[3],
            b[4],
            b[5],
            c[0],
            c[1],
            c[2],
            c[3]
        };
    }

    Result<> make_endpoint(Place to, uint64_t badge) const {
        return command(Op::endpoint_make, slot, {to.cnode.raw, to.index, badge});
    }

    Result<> make_doorbell(Place to, unsigned bit) const {
        return command(Op::doorbell_make, slot, {to.cnode.raw, to.index, bit});
    }

    /// `deadline` 0: none. A received capability lands in `receive`, which must be empty.
    Result<Arrival> wait(Instant deadline, uint64_t flags, Place receive) const {
        const auto until = static_cast<uint64_t>(deadline.ns);
        return arrival(system_call(Op::wait, slot, {until, flags, receive.cnode.raw, receive.index})
        );
    }

    Result<> reply(const Words& words) const { return command(Op::reply, slot, packed(words)); }

    /// Answers and waits for whatever comes next, without a deadline.
    Result<Arrival> reply_wait(const Words& words) const {
        return arrival(system_call(Op::reply_wait, slot, packed(words)));
    }

    Result<> yield() const { return command(Op::yield, slot); }

  private:
    static Values packed(const Words& w) {
        return {w.capability(), w.word[0], w.word[1], w.word[2], w.word[3], w.word[4], w.word[5]};
    }

    static Result<Arrival> arrival(const abi::Answer& a) {
        if (a.status != 0) return fail(Fault::from_raw(a.status));
        const auto woke = abi::Woke(a.value[0] & 0xff);
        if (woke == abi::Woke::events) return Arrival{.events = a.value[1]};
        Arrival message{.is_message = true, .badge = a.badge};
        message.has_capability = (a.value[0] & abi::woke_with_capability) != 0;
        for (size_t i = 0; i < message.words.size(); ++i)
            message.words[i] = a.value[i + 1];
        return message;
    }
};

struct Endpoint : Cap {
    /// A procedure call into the domain behind it. A capability in the answer lands in the receive
    /// slot (Words::came_with_cap).
    Result<Words> call(const Words& w) const {
        const Values v = TRY(invoke(
            Op::call,
            slot,
            {w.capability(), w.word[0], w.word[1], w.word[2], w.word[3], w.word[4], w.word[5]}
        ));
        Words answer{.came_with_cap = v[0] == 1};
        for (size_t i = 0; i < answer.word.size(); ++i)
            answer.word[i] = v[i + 1];
        return answer;
    }
};

struct Doorbell : Cap {
    Result<> ring() const { return command(Op::ring, slot); }
};

struct InterruptLine : Cap {
    Result<> bind(CapSlot doorbell, abi::InterruptMode mode) const {
        return command(Op::interrupt_bind, slot, {doorbell.raw, std::to_underlying(mode)});
    }

    Result<> acknowledge() const { return command(Op::interrupt_acknowledge, slot); }
};

struct PortRange : Cap {
    Result<uint32_t> in(uint16_t port, unsigned width) const {
        const Values v = TRY(invoke(Op::port_in, slot, {port, width}));
        return static_cast<uint32_t>(v[0]);
    }

    Result<> out(uint16_t port, unsigned width, uint32_t value) const {
        return command(Op::port_out, slot, {port, width, value});
    }
};

struct RemoteVector {
    ApicId apic;
    uint8_t vector;
};

/// What borrowed frame has only keepers left.
struct Drained {
    abi::Drained what;
    uint64_t base, bytes;
};

struct Core : Cap {
    /// Of the capability to other cores. Does a Loan stand in the slot now? Else it is empty.
    Result<bool> start(CapSlot ram, uint64_t start_page, ApicId core) const {
        return leaves_loan(Op::core_start, {ram.raw, start_page, core.raw});
    }

    Result<> accept(
        Place to, Kind kind, uint64_t base, uint64_t bytes, Rights rights, uint64_t badge = 0
    ) const {
        const auto kind_number = uint64_t{std::to_underlying(kind)};
        return command(
            Op::core_accept,
            slot,
            {to.cnode.raw, to.index, kind_number, base, bytes, rights.raw, badge}
        );
    }

    Result<> lend(CapSlot frame, Place loan) const {
        return command(Op::core_lend, slot, {frame.raw, loan.cnode.raw, loan.index});
    }

    /// A copy of the frame that the Loan is of, with at most its rights.
    Result<> recall(CapSlot loan, Rights rights, Place copy) const {
        return command(Op::core_recall, slot, {loan.raw, rights.raw, copy.cnode.raw, copy.index});
    }

    /// Whole 2 MiB blocks go to another core. Does a Loan stand in the slot now? Else it is empty.
    Result<bool> give(CapSlot ram) const { return leaves_loan(Op::core_give, {ram.raw}); }

    /// A Loan that `give` left is the RAM again.
    Result<> regain(CapSlot loan) const { return command(Op::core_regain, slot, {loan.raw}); }

    /// Nothing new comes from the range of this capability while it is marked.
    Result<> mark(CapSlot what, bool on) const {
        return command(Op::core_mark, slot, {what.raw, on ? 1u : 0u});
    }

    Result<> watch(CapSlot doorbell) const { return command(Op::core_watch, slot, {doorbell.raw}); }

    /// Such a Loan ends at `offset`, and one in `rest` stands for what is behind.
    Result<> split(CapSlot loan, uint64_t offset, Place rest) const {
        return command(Op::core_split, slot, {loan.raw, offset, rest.cnode.raw, rest.index});
    }

    /// Another core.
    Result<> stop(uint32_t apic) const { return command(Op::core_stop, slot, {apic}); }

    /// Does not come back.
    Result<> hang() const { return command(Op::core_hang, slot, {}); }

    Result<Drained> drained() const {
        const Values v = TRY(invoke(Op::core_drained, slot));
        return Drained{abi::Drained(v[0]), v[1], v[2]};
    }

    Result<RemoteVector> vector(CapSlot doorbell) const {
        const Values v = TRY(invoke(Op::core_vector, slot, {doorbell.raw}));
        return RemoteVector{{{static_cast<uint32_t>(v[0])}}, static_cast<uint8_t>(v[1])};
    }

    Result<Values> info(abi::CoreInfo which) const {
        return invoke(Op::core_info, slot, {std::to_underlying(which)});
    }

  private:
    Result<bool> leaves_loan(Op operation, const Values& arguments) const {
        for (;;) {
            const Result<Values> v = invoke(operation, slot, arguments);
            if (v) return (*v)[0] == 1;
            if (v.error().top() != Err::again) return std::unexpected{v.error()};
        }
    }
};

} // namespace os
