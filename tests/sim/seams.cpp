#include "tests/sim/island.hpp"

namespace sim {

// -- the monitor's CPU driver --

void SimKernel::begin(Actor& actor, CapSlot core, CapSlot cores) {
    actor_ = &actor;
    core_ = core;
    cores_ = cores;
    for (uint32_t i = actor.leafs * abi::cnode_slots; i-- > Actor::first_free;)
        if (i % abi::cnode_slots != 0 && i != core.raw && i != cores.raw) release({{i}});
    total_ = free_count_;
}

Result<CapSlot> SimKernel::take() {
    if (free_count_ == 0) return fail(Err::no_slots);
    return CapSlot{{free_[--free_count_]}};
}

template <class Make>
Result<CapSlot> SimKernel::into_new_slot(Make&& make) {
    const CapSlot slot = TRY(take());
    if (const Result<> made = make(Actor::place_of(slot), slot); !made) {
        release(slot);
        return fail(made.error());
    }
    return slot;
}

Result<monitor::Described> SimKernel::describe(CapSlot slot) {
    const Answer a = actor_->describe(slot);
    if (!a.ok()) return fail(a.status);
    if ((a.value[0] & 0xff) == 0) return fail(Err::cap_empty);
    return monitor::Described{
        .kind = static_cast<Kind>(a.value[0] & 0xff),
        .rights = Rights{static_cast<uint8_t>(a.value[0] >> 8)},
        .base = a.value[1],
        .bytes = a.value[2],
        .badge = a.value[3],
        .borrowed = (a.value[4] & abi::describe_borrowed) != 0,
        .idle = (a.value[4] & abi::describe_idle) != 0,
    };
}

Result<CapSlot> SimKernel::copy(CapSlot slot) {
    return into_new_slot([&](Place, CapSlot to) { return actor_->copy(slot, to); });
}

Result<CapSlot> SimKernel::accept(const monitor::Described& what) {
    return into_new_slot([&](Place to, CapSlot) {
        const auto kind = static_cast<uint64_t>(what.kind);
        return actor_
            ->invoke(
                Op::core_accept,
                core_.raw,
                {to.cnode, to.index, kind, what.base, what.bytes, what.rights.raw, what.badge}
            )
            .result();
    });
}

Result<CapSlot> SimKernel::lend(CapSlot frame) {
    return into_new_slot([&](Place to, CapSlot) {
        return actor_->invoke(Op::core_lend, core_.raw, {frame.raw, to.cnode, to.index}).result();
    });
}

Result<CapSlot> SimKernel::recall(CapSlot loan, Rights rights) {
    return into_new_slot([&](Place to, CapSlot) {
        const uint64_t own = core_.raw;
        return actor_->invoke(Op::core_recall, own, {loan.raw, rights.raw, to.cnode, to.index})
            .result();
    });
}

Result<> SimKernel::mark(CapSlot slot) {
    return actor_->invoke(Op::core_mark, core_.raw, {slot.raw, 1}).result();
}

void SimKernel::unmark(CapSlot slot) {
    (void)actor_->invoke(Op::core_mark, core_.raw, {slot.raw, 0});
}

Result<> SimKernel::revoke_step(CapSlot slot) {
    return actor_->step(Op::cnode_revoke, slot);
}

Result<bool> SimKernel::give(CapSlot ram) {
    for (;;) {
        const Answer a = actor_->invoke(Op::core_give, core_.raw, {ram.raw});
        if (a.status == Err::again) continue;
        if (!a.ok()) return fail(a.status);
        if (a.value[0] == 0) release(ram);
        return a.value[0] != 0;
    }
}

/// The cores of a world are there from the start.
Result<bool> SimKernel::start_core(uint32_t apic, CapSlot ram, uint32_t start_page) {
    for (;;) {
        const Answer a = actor_->invoke(Op::core_start, cores_.raw, {ram.raw, start_page, apic});
        if (a.status == Err::again) continue;
        if (!a.ok()) return fail(a.status);
        if (a.value[0] == 0) release(ram);
        return a.value[0] != 0;
    }
}

Result<> SimKernel::regain(CapSlot loan) {
    return actor_->invoke(Op::core_regain, core_.raw, {loan.raw}).result();
}

Result<CapSlot> SimKernel::split(CapSlot loan, uint64_t offset) {
    return into_new_slot([&](Place to, CapSlot) {
        return actor_->invoke(Op::core_split, core_.raw, {loan.raw, offset, to.cnode, to.index})
            .result();
    });
}

monitor::Drained SimKernel::drained() {
    using enum monitor::Drained::What;
    const Answer a = actor_->invoke(Op::core_drained, core_.raw);
    switch (static_cast<abi::Drained>(a.value[0])) {
    case abi::Drained::none: return {nothing};
    case abi::Drained::one: return {one, a.value[1], a.value[2]};
    case abi::Drained::many: return {look_at_all};
    }
    throw Broken{"an unknown answer of core_drained"};
}

Result<monitor::Bell> SimKernel::vector_of(CapSlot doorbell) {
    const Answer a = actor_->invoke(Op::core_vector, core_.raw, {doorbell.raw});
    if (!a.ok()) return fail(a.status);
    return monitor::Bell{static_cast<uint32_t>(a.value[0]), static_cast<uint32_t>(a.value[1])};
}

Result<CapSlot> SimKernel::endpoint(uint64_t badge) {
    return into_new_slot([&](Place to, CapSlot) {
        const uint64_t own = abi::slot::dispatcher;
        return actor_->invoke(Op::endpoint_make, own, {to.cnode, to.index, badge}).result();
    });
}

void SimKernel::drop(CapSlot slot) {
    const auto done = actor_->remove(slot);
    // What cannot be deleted (memory lent away) keeps its slot; what a revoke took is gone already.
    if (done || done.error() == Err::cap_empty) release(slot);
}

Result<> SimKernel::give_up(CapSlot slot) {
    TRY_VOID(actor_->revoke(slot));
    drop(slot);
    return {};
}

void SimKernel::ring(CapSlot doorbell) {
    (void)actor_->invoke(Op::ring, doorbell.raw);
}

/// Makes the doorbell that is rung when something drained.
Result<> SimKernel::watch(CapSlot slot, uint64_t bit) {
    const Place to = Actor::place_of(slot);
    const uint64_t own = abi::slot::dispatcher;
    TRY_VOID(actor_->invoke(Op::doorbell_make, own, {to.cnode, to.index, bit}).result());
    return actor_->invoke(Op::core_watch, core_.raw, {slot.raw}).result();
}

Result<> SimKernel::stop_core(uint32_t apic) {
    return actor_->invoke(Op::core_stop, core_.raw, {apic}).result();
}

void SimKernel::hang() {
    (void)actor_->invoke(Op::core_hang, core_.raw);
}

Result<std::array<uint64_t, 4>> SimKernel::core_info(uint32_t, uint32_t) {
    return fail(Err::unsupported);
}

// -- its channels --

void SimLinks::begin(unsigned core, SimKernel& kernel, Wires& wires, monitor::Bell bell) {
    core_ = core;
    kernel_ = &kernel;
    wires_ = &wires;
    bell_ = bell;
}

Result<monitor::LinkFrame> SimLinks::make_frame() {
    constexpr uint64_t bytes = 2 * page_bytes;
    const CapSlot slot = TRY(kernel_->take());
    const auto made = kernel_->actor().retype(quota, Kind::frame, quota_used, bytes, slot);
    if (!made) {
        kernel_->release(slot);
        return fail(made.error());
    }
    quota_used += bytes;
    return monitor::LinkFrame{slot, phys(TRY(kernel_->describe(slot)).base), bytes};
}

Result<> SimLinks::open(CoreId peer, CapSlot frame, bool first) {
    close(peer);
    ends_[peer.raw] = {.open = true, .first = first, .frame = frame};
    if (first) {
        wires_->of(core_, peer.raw).from_maker.clear();
        wires_->of(core_, peer.raw).to_maker.clear();
    }
    return {};
}

void SimLinks::set_bell(CoreId peer, CapSlot doorbell) {
    LinkEnd& end = ends_[peer.raw];
    if (end.bell != abi::null_slot) kernel_->drop(end.bell);
    end.bell = doorbell;
}

void SimLinks::close(CoreId peer) {
    LinkEnd& end = ends_[peer.raw];
    if (end.frame != abi::null_slot) kernel_->drop(end.frame);
    if (end.bell != abi::null_slot) kernel_->drop(end.bell);
    end = {};
}

Result<>
SimLinks::knock(CoreId to, PhysAddr doorstep, monitor::Bell bell, const monitor::Knock& what) {
    if (doorstep != phys(page_bytes * (to.raw + 1u)) || bell.apic != apic_of(to.raw))
        throw Broken{"a monitor knocks at a door that is not there"};
    wires_->door(to.raw, core_) = {true, what};
    return {};
}

Line& SimLinks::out(unsigned peer) {
    return ends_[peer].first ? wires_->of(core_, peer).from_maker
                             : wires_->of(peer, core_).to_maker;
}

Line& SimLinks::in(unsigned peer) {
    return ends_[peer].first ? wires_->of(core_, peer).to_maker
                             : wires_->of(peer, core_).from_maker;
}

} // namespace sim
