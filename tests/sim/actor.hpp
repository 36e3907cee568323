// Whoever makes system calls: a dispatcher with its capability space. An operation is what it is on
// the machine, registers in and registers out, by whoever the kernel says is running.
#pragma once

#include <array>
#include <initializer_list>

#include "kernel/answer.hpp"
#include "kernel/core.hpp"
#include "lib/abi/startup.hpp"
#include "lib/rpc/local.hpp"
#include "tests/kernel/enter.hpp"
#include "tests/sim/machine.hpp"

namespace sim {

using abi::CapSlot;
using abi::Kind;
using abi::Op;
using abi::Rights;

struct Answer {
    Fault status{Err::none};
    uint64_t badge{};
    std::array<uint64_t, abi::argument_words> value{};

    bool ok() const { return status == Err::none; }

    Result<> result() const { return ok() ? Result<>{} : fail(status); }
};

/// Where a new capability goes: a CNode's slot, and the index in it.
struct Place {
    uint64_t cnode;
    uint64_t index;
};

/// A doorbell may make a server runnable in the middle of somebody else's turn.
class WakeUps {
  public:
    virtual void absorb_wake_up() = 0;

  protected:
    ~WakeUps() = default;
};

class Actor {
  public:
    static constexpr unsigned max_leafs = 16;
    /// Leaf n > 0 is known to its owner by this slot of leaf 0.
    static constexpr uint32_t leaf_slots = 16;
    static constexpr uint32_t first_free = 32; // of leaf 0

    kernel::Core* core{};
    SimMachine* machine{};
    WakeUps* wake_ups{};
    kernel::Dispatcher* dispatcher{};
    std::array<kernel::CNode*, max_leafs> leaf{};
    unsigned leafs{};

    bool running() const { return core->current() == dispatcher; }

    /// It gets the processor, as it would when the slices of the others end.
    void switch_to() {
        if (core->schedule() == dispatcher) return;
        wake_ups->absorb_wake_up();
        if (core->schedule() == dispatcher) return;
        for (unsigned turns = 0; turns < 64; ++turns) {
            (void)core->next_deadline(); // the slice ends from now on
            machine->time = machine->time + seconds(1);
            core->on_timer();
            if (core->schedule() == dispatcher) return;
        }
        throw Broken{"a runnable domain never gets the processor"};
    }

    bool runnable() const { return dispatcher->state == kernel::State::runnable; }

    Answer invoke(Op op, uint64_t slot, std::initializer_list<uint64_t> arguments = {}) {
        if (!running()) switch_to();
        load(op, slot, arguments);
        kernel_test::enter(*core);
        core->schedule();
        return answer();
    }

    /// The same, without looking who runs then: what may end the caller, or puts it to sleep.
    void load(Op op, uint64_t slot, std::initializer_list<uint64_t> arguments) {
        kernel::Registers& r = dispatcher->registers;
        r.rax = static_cast<uint64_t>(op);
        r.rdi = slot;
        size_t i = 0;
        for (const uint64_t a : arguments)
            r.*kernel::word_registers[i++] = a;
        for (; i < kernel::word_registers.size(); ++i)
            r.*kernel::word_registers[i] = 0;
    }

    Answer answer() const {
        const kernel::Registers& r = dispatcher->registers;
        Answer a{.status = Fault::from_raw(r.rax), .badge = r.rdi};
        for (size_t i = 0; i < a.value.size(); ++i)
            a.value[i] = r.*kernel::word_registers[i];
        return a;
    }

    static Place place_of(CapSlot slot) {
        const uint32_t in = slot.raw / abi::cnode_slots;
        return {in == 0 ? abi::slot::leaf : leaf_slots + in, slot.raw % abi::cnode_slots};
    }

    kernel::Slot& at(CapSlot slot) const {
        return leaf[slot.raw / abi::cnode_slots]->slot[slot.raw % abi::cnode_slots];
    }

    /// An empty slot that nobody is about to use: the search begins at `from`, to be quick.
    CapSlot free_slot(uint32_t from = first_free) const {
        for (uint32_t i = from; i < leafs * abi::cnode_slots; ++i) {
            const uint32_t index = i % abi::cnode_slots;
            if (i < first_free || index == 0) continue;
            if (at(CapSlot{{i}}).empty()) return {{i}};
        }
        return abi::null_slot;
    }

    // -- the calls that everybody makes --

    Result<> remove(CapSlot slot) { return repeat(Op::cnode_delete, slot); }

    Result<> revoke(CapSlot slot) { return repeat(Op::cnode_revoke, slot); }

    Result<> copy(CapSlot from, CapSlot to) {
        const Place at = place_of(to);
        return invoke(Op::cnode_copy, at.cnode, {at.index, from.raw}).result();
    }

    Result<> move(CapSlot from, CapSlot to) {
        const Place at = place_of(to);
        return invoke(Op::cnode_move, at.cnode, {at.index, from.raw}).result();
    }

    Result<> retype(CapSlot source, Kind kind, uint64_t offset, uint64_t bytes, CapSlot to) {
        const Place at = place_of(to);
        const auto number = static_cast<uint64_t>(kind);
        return invoke(Op::cnode_retype, at.cnode, {at.index, source.raw, number, offset, bytes, 1})
            .result();
    }

    Answer describe(CapSlot slot) {
        const Place at = place_of(slot);
        return invoke(Op::cnode_describe, at.cnode, {at.index});
    }

    /// One step; Err::again: there is more to do.
    Result<> step(Op op, CapSlot slot) {
        const Place at = place_of(slot);
        return invoke(op, at.cnode, {at.index}).result();
    }

  private:
    Result<> repeat(Op op, CapSlot slot) {
        for (unsigned calls = 0; calls < 10'000; ++calls) {
            const auto done = step(op, slot);
            if (done || done.error() != Err::again) return done;
        }
        throw Broken{"a removal does not end"};
    }
};

} // namespace sim
