// Dispatchers: configuration, life, the scheduler, and the page that may contain anything.
#include <gtest/gtest.h>

#include "kernel/hostile.hpp"
#include "tests/kernel/check.hpp"
#include "tests/kernel/world.hpp"

namespace {

using namespace kernel_test;
using kernel::After;
namespace s = abi::slot;

constexpr uint64_t leaf_cap = s::leaf, self = s::dispatcher, frame = 12;

class Dispatchers : public testing::Test {
  protected:
    Dispatchers() {
        me = world.make_domain(8);
        world.core->schedule();
    }

    ~Dispatchers() override { EXPECT_EQ(database_trouble(world.core->database()), ""); }

    /// Another domain's dispatcher and what it stands on, in my slots 20..23.
    void take(Domain& other) {
        const uint32_t from[] = {s::dispatcher, s::root, s::address_space, frame};
        for (uint32_t i = 0; i < 4; ++i) {
            World::must(
                world.core->copy(other.leaf->slot[from[i]], me.leaf->slot[20 + i], abi::all_rights)
            );
        }
    }

    Err
    configure(uint64_t page_address = 0x7f00'0000'0000, uint64_t priority = 8, uint64_t bell = 0) {
        return world.call(Op::dispatcher_configure, 20, {21, 22, 23, page_address, priority, bell});
    }

    /// What the CPU driver has to do after this call of whoever runs; then it does it.
    After after(Op op, uint64_t slot, uint64_t argument = 0) {
        Core& core = *world.core;
        const Dispatcher* const before = core.current();
        abi::SaveArea& r = core.current()->registers;
        r.rax = std::to_underlying(op);
        r.rdi = slot;
        r.rsi = argument;
        r.rdx = r.r10 = r.r8 = r.r9 = r.r12 = r.r13 = 0;
        const After what = enter(core);
        const Dispatcher* const now = core.current();
        const Dispatcher* const next = core.schedule();
        if (what == After::goes_on) EXPECT_EQ(next, before);
        if (what == After::went_to) {
            EXPECT_NE(now, before);
            EXPECT_EQ(next, now);
        }
        return what;
    }

    void advance(Duration d) { world.machine.time = world.machine.time + d; }

    World world;
    Domain me;
};

TEST_F(Dispatchers, WhoChangesNobodysTurnGoesOnAtOnce) {
    Domain other = world.make_domain(7);
    World::must(world.core->make_doorbell(other.leaf->slot[s::dispatcher], me.leaf->slot[25], 3));
    World::must(world.core->make_doorbell(me.leaf->slot[s::dispatcher], me.leaf->slot[26], 4));
    world.core->schedule();
    EXPECT_EQ(after(Op::null_call, self), After::goes_on);
    EXPECT_EQ(after(Op::null_call, 19), After::goes_on); // refused
    EXPECT_EQ(after(Op::yield, self), After::goes_on);   // to nobody
    EXPECT_EQ(after(Op::cnode_describe, leaf_cap, 25), After::goes_on);
    EXPECT_EQ(after(Op::ring, 25), After::goes_on);   // who is ready anyway
    EXPECT_EQ(after(Op::ring, 26), After::goes_on);   // oneself
    EXPECT_EQ(after(Op::wait, self), After::goes_on); // it has rung
    EXPECT_EQ(after(Op::resume, self, 2),
              After::goes_on); // there is no such area
}

TEST_F(Dispatchers, WhoChangesATurnGoesThroughOne) {
    Domain other = world.make_domain(9);
    World::must(world.core->make_doorbell(other.leaf->slot[s::dispatcher], me.leaf->slot[25], 3));
    world.core->schedule();
    ASSERT_EQ(world.core->current(), other.dispatcher);
    EXPECT_EQ(after(Op::wait, self), After::went_to);
    ASSERT_EQ(world.core->current(), me.dispatcher);
    EXPECT_EQ(after(Op::ring, 25), After::went_to);
    ASSERT_EQ(world.core->current(), other.dispatcher);
    EXPECT_EQ(after(Op::dispatcher_stop, self), After::turn);
    ASSERT_EQ(world.core->current(), me.dispatcher);
    world.make_domain(8);
    EXPECT_EQ(after(Op::yield, self), After::turn);
}

TEST_F(Dispatchers, ResumeReplacesAllRegisters) {
    me.page->save[0] = {};
    me.page->save[0].rip = 0x40'1000;
    EXPECT_EQ(after(Op::resume, self, 0), After::replaced);
    EXPECT_EQ(after(Op::null_call, self), After::goes_on);
}

TEST_F(Dispatchers, ConfigureChecksEveryArgument) {
    Domain other = world.make_domain(8, false);
    take(other);
    EXPECT_EQ(configure(), Err::none);
    EXPECT_EQ(configure(0x7f00'0000'0800), Err::misaligned);
    EXPECT_EQ(configure(uint64_t{1} << 47), Err::bad_argument);
    EXPECT_EQ(configure(0x7f00'0000'0000, 9),
              Err::bad_argument); // above the caller's own
    EXPECT_EQ(configure(0x7f00'0000'0000, 255), Err::bad_argument);
    EXPECT_EQ(configure(0x7f00'0000'0000, 8, 21), Err::cap_type);
    me.leaf->slot[23].rights = abi::read | abi::copy;
    EXPECT_EQ(configure(), Err::cap_rights);
    me.leaf->slot[23].rights = abi::all_rights;
    me.leaf->slot[22].rights = abi::read;
    EXPECT_EQ(configure(), Err::cap_rights);
}

TEST_F(Dispatchers, ConfigureTakesOnlyOwnedRamOfOnePageForThePage) {
    Domain other = world.make_domain(8, false);
    take(other);
    Slot& page = me.leaf->slot[23];
    World::must(world.core->remove(page));
    World::must(world.core->insert_root(
        page, {Kind::frame, ram_base + 0x10'0000, page_bytes, abi::all_rights}
    ));
    EXPECT_EQ(configure(), Err::foreign);
    World::must(world.core->remove(page));
    world.make(Kind::frame, page, 2 * page_bytes);
    EXPECT_EQ(configure(), Err::bad_argument);
}

TEST_F(Dispatchers, ConfigureNeedsItStopped) {
    Domain other = world.make_domain(3);
    take(other);
    EXPECT_EQ(configure(), Err::bad_state);
    EXPECT_EQ(world.call(Op::dispatcher_stop, 20), Err::none);
    EXPECT_EQ(configure(), Err::none);
}

TEST_F(Dispatchers, ReconfigureMustNotDestroyWhatItHolds) {
    Domain other = world.make_domain(8, false);
    take(other);
    // its own CNode's last capability is the one it holds itself
    World::must(world.core->remove(other.leaf->slot[s::root]));
    World::must(world.core->remove(me.leaf->slot[21]));
    world.make(Kind::cnode, me.leaf->slot[21]);
    EXPECT_EQ(configure(), Err::range_in_use);
    EXPECT_EQ(other.dispatcher->cspace, other.root);
}

TEST_F(Dispatchers, ConfigureFillsThePage) {
    EXPECT_EQ(me.page->tsc_khz, 1'000'000u);
    EXPECT_EQ(me.page->tsc_at_start, 77u);
    EXPECT_EQ(me.page->core, 2u);
}

TEST_F(Dispatchers, StartSetsTheRegistersAndNothingElse) {
    Domain other = world.make_domain(8, false);
    take(other);
    other.dispatcher->registers.rbx = 99;
    other.page->disabled = 0;
    EXPECT_EQ(world.call(Op::dispatcher_start, 20, {0x1234, 0x8000, 7}), Err::none);
    const auto& r = other.dispatcher->registers;
    EXPECT_EQ(r.rip, 0x1234u);
    EXPECT_EQ(r.rsp, 0x8000u);
    EXPECT_EQ(r.rdi, 7u);
    EXPECT_EQ(r.rbx, 0u);
    EXPECT_EQ(r.rflags, 0x202u);
    EXPECT_EQ(other.page->disabled, 1u);
    EXPECT_TRUE(other.dispatcher->extended_fresh);
    EXPECT_EQ(world.call(Op::dispatcher_start, 20, {0x1234, 0x8000, 7}), Err::bad_state);
}

TEST_F(Dispatchers, StartRefusesAddressesOutsideTheUserHalf) {
    Domain other = world.make_domain(8, false);
    take(other);
    EXPECT_EQ(world.call(Op::dispatcher_start, 20, {uint64_t{1} << 47, 0, 0}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::dispatcher_start, 20, {0x1000, ~uint64_t{0}, 0}), Err::bad_argument);
    world.make(Kind::dispatcher, me.leaf->slot[30]);
    EXPECT_EQ(world.call(Op::dispatcher_start, 30, {0x1000, 0, 0}), Err::not_configured);
    EXPECT_EQ(world.call(Op::dispatcher_stop, 30), Err::not_configured);
}

TEST_F(Dispatchers, StateShowsRegistersAndStatistics) {
    Domain other = world.make_domain(3, false);
    take(other);
    Dispatcher& d = world.invoke(Op::dispatcher_state, 20, {0});
    EXPECT_EQ(World::value(d, 0), static_cast<uint64_t>(State::stopped));
    EXPECT_EQ(World::value(world.invoke(Op::dispatcher_state, 20, {2}), 3), 3u);
    EXPECT_EQ(world.call(Op::dispatcher_state, 20, {3}), Err::bad_argument);
    me.leaf->slot[20].rights = abi::write;
    EXPECT_EQ(world.call(Op::dispatcher_state, 20, {0}), Err::cap_rights);
}

TEST_F(Dispatchers, StoppingOneselfGivesTheCoreAway) {
    Domain other = world.make_domain(3);
    world.invoke(Op::dispatcher_stop, self);
    EXPECT_EQ(me.dispatcher->state, State::stopped);
    EXPECT_EQ(world.core->current(), other.dispatcher);
}

TEST_F(Dispatchers, DeletingTheLastCapabilityDestroysItWithItsEndpoints) {
    Domain other = world.make_domain(3);
    World::must(world.core->move(other.leaf->slot[s::dispatcher], me.leaf->slot[20]));
    World::must(world.core->make_endpoint(me.leaf->slot[20], me.leaf->slot[30], 5));
    World::must(world.core->make_doorbell(me.leaf->slot[20], me.leaf->slot[31], 6));
    EXPECT_EQ(world.call(Op::cnode_delete, leaf_cap, {20}), Err::none);
    EXPECT_TRUE(me.leaf->slot[30].empty());
    EXPECT_TRUE(me.leaf->slot[31].empty());
    EXPECT_EQ(other.dispatcher->state, State::unconfigured);
    for (const Slot& held : other.dispatcher->held)
        EXPECT_TRUE(held.empty());
}

TEST_F(Dispatchers, WhoLosesWhatItStandsOnRingsItsFaultBellUnlessItWasStopped) {
    for (const bool stopped : {false, true}) {
        Domain other = world.make_domain(3, false);
        take(other);
        World::must(world.core->make_doorbell(me.leaf->slot[self], me.leaf->slot[24], 4));
        ASSERT_EQ(configure(0x7f00'0000'0000, 3, 24), Err::none);
        ASSERT_EQ(world.call(Op::dispatcher_start, 20, {0x1000, 0x2000, 0}), Err::none);
        if (stopped) ASSERT_EQ(world.call(Op::dispatcher_stop, 20), Err::none);
        me.page->pending = 0;
        EXPECT_EQ(world.call(Op::cnode_revoke, leaf_cap, {23}), Err::none);
        EXPECT_EQ(other.dispatcher->state, State::unconfigured);
        EXPECT_EQ(me.page->pending, stopped ? 0u : 1u << 4);
        for (uint32_t i = 20; i < 25; ++i)
            EXPECT_EQ(world.call(Op::cnode_delete, leaf_cap, {i}), Err::none);
    }
}

TEST_F(Dispatchers, OperationsOnOneselfNeedOnesOwnCapability) {
    Domain other = world.make_domain(3);
    take(other);
    for (const Op op : {Op::wait, Op::reply, Op::reply_wait, Op::yield, Op::resume}) {
        EXPECT_EQ(world.call(op, 20, {0, abi::wait_polls}), Err::bad_argument);
    }
    me.leaf->slot[self].rights = abi::read | abi::write;
    EXPECT_EQ(world.call(Op::yield, self), Err::cap_rights);
}

// --- the scheduler -------------------------------------------------------------------------------

TEST_F(Dispatchers, TheHighestPriorityRuns) {
    Domain low = world.make_domain(3), high = world.make_domain(9);
    EXPECT_EQ(world.core->schedule(), high.dispatcher);
    world.invoke(Op::dispatcher_stop, self);
    EXPECT_EQ(world.core->current(), me.dispatcher);
    world.invoke(Op::dispatcher_stop, self);
    EXPECT_EQ(world.core->current(), low.dispatcher);
    world.invoke(Op::dispatcher_stop, self);
    EXPECT_EQ(world.core->current(), nullptr);
    EXPECT_EQ(world.core->statistics().halts, 1u);
}

TEST_F(Dispatchers, EqualsTakeTurnsBySlices) {
    Domain b = world.make_domain(8), c = world.make_domain(8);
    std::vector<Dispatcher*> ran;
    for (int turn = 0; turn < 6; ++turn) {
        ran.push_back(world.core->current());
        ASSERT_NE(world.core->next_deadline(), never);
        world.machine.time = world.core->next_deadline();
        world.core->on_timer();
        world.core->schedule();
    }
    const std::vector<Dispatcher*> expected = {
        me.dispatcher, b.dispatcher, c.dispatcher, me.dispatcher, b.dispatcher, c.dispatcher
    };
    EXPECT_EQ(ran, expected);
    EXPECT_EQ(world.machine.duration(b.dispatcher->busy_ticks), kernel::default_slice * 2);
}

TEST_F(Dispatchers, ATimerBeforeTheEndOfTheSliceChangesNothing) {
    world.make_domain(8);
    advance(kernel::default_slice / 2);
    world.core->on_timer();
    EXPECT_EQ(world.core->schedule(), me.dispatcher);
}

TEST_F(Dispatchers, AloneInItsPriorityNeedsNoTimer) {
    world.make_domain(3);
    EXPECT_EQ(world.core->next_deadline(), never);
    world.make_domain(8);
    EXPECT_NE(world.core->next_deadline(), never);
}

TEST_F(Dispatchers, YieldGoesBehindItsEquals) {
    Domain b = world.make_domain(8);
    Dispatcher& d = world.invoke(Op::yield, self);
    EXPECT_EQ(World::status(d), Err::none);
    EXPECT_EQ(world.core->current(), b.dispatcher);
    world.invoke(Op::yield, self);
    EXPECT_EQ(world.core->current(), me.dispatcher);
}

TEST_F(Dispatchers, PriorityAndSliceAreSetWithinBounds) {
    Domain b = world.make_domain(3);
    take(b);
    EXPECT_EQ(world.call(Op::dispatcher_priority, 20, {9, 0}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::dispatcher_priority, 20, {8, 99}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::dispatcher_priority, 20, {8, 2'000'000}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::dispatcher_priority, 20, {8, ~uint64_t{0}}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::dispatcher_priority, 20, {8, 500}), Err::none);
    EXPECT_EQ(b.dispatcher->slice, microseconds(500));
    EXPECT_NE(world.core->next_deadline(), never); // equals now
    EXPECT_EQ(world.call(Op::dispatcher_priority, self, {2, 0}), Err::none);
    EXPECT_EQ(world.core->current(), b.dispatcher);
}

TEST_F(Dispatchers, ADeadlineWakesWithTheTimerBit) {
    world.invoke(Op::wait, self, {5'000'000, 0});
    EXPECT_EQ(world.core->current(), nullptr);
    ASSERT_NE(world.core->next_deadline(), never);
    EXPECT_EQ(world.core->next_deadline().ns, 5'000'000);
    world.machine.time = Instant{4'999'999};
    world.core->on_timer();
    EXPECT_EQ(world.core->schedule(), nullptr);
    world.machine.time = Instant{5'000'000};
    world.core->on_timer();
    ASSERT_EQ(world.core->schedule(), me.dispatcher);
    EXPECT_EQ(World::value(*me.dispatcher, 1), uint64_t{1} << 63);
    EXPECT_EQ(world.core->next_deadline(), never);
}

TEST_F(Dispatchers, DeadlinesComeInOrderOfTime) {
    std::vector<Domain> sleepers;
    const int64_t at[] = {700, 300, 900, 300, 500};
    for (const int64_t deadline : at) {
        sleepers.push_back(world.make_domain(9));
        world.core->schedule();
        world.invoke(Op::wait, self, {static_cast<uint64_t>(deadline) * 1000 + 10'000, 0});
    }
    std::vector<size_t> woken;
    world.invoke(Op::dispatcher_stop, self); // me
    while (world.core->next_deadline() != never) {
        world.machine.time = world.core->next_deadline();
        world.core->on_timer();
        while (Dispatcher* const d = world.core->schedule()) {
            for (size_t i = 0; i < 5; ++i) {
                if (sleepers[i].dispatcher == d) woken.push_back(i);
            }
            world.invoke(Op::dispatcher_stop, self);
        }
    }
    EXPECT_EQ(woken, (std::vector<size_t>{1, 3, 4, 0, 2}));
}

TEST_F(Dispatchers, ADeadlineInThePastIsNow) {
    Dispatcher& d = world.invoke(Op::wait, self, {1, 0});
    EXPECT_EQ(World::value(d, 1), uint64_t{1} << 63);
    EXPECT_EQ(world.core->current(), me.dispatcher);
}

TEST_F(Dispatchers, WaitChecksItsArguments) {
    EXPECT_EQ(world.call(Op::wait, self, {uint64_t{1} << 63, 0}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::wait, self, {0, 4}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::wait, self, {0, 2, leaf_cap, 64}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::wait, self, {0, 2, s::quota, 1}), Err::cap_type);
    EXPECT_EQ(world.call(Op::wait, self, {0, 2, 19, 1}), Err::cap_empty);
}

TEST_F(Dispatchers, IdleTimeIsCounted) {
    world.invoke(Op::wait, self, {9'000'000, 0});
    world.machine.time = Instant{9'000'000};
    world.core->on_timer();
    world.core->schedule();
    EXPECT_EQ(world.core->statistics().idle_ticks, 9'000'000u - 1000);
}

// --- upcalls and the hostile page
// ------------------------------------------------------------------

TEST_F(Dispatchers, PreemptionGivesTheRunUpcallToWhoWantsIt) {
    *me.page = {.wants_run_upcall = 1, .upcall_run = 0x5000, .upcall_stack = 0x9000};
    me.dispatcher->registers.rbx = 1234;
    world.make_domain(9);
    world.core->schedule();
    world.invoke(Op::dispatcher_stop, self);
    const auto& r = me.dispatcher->registers;
    EXPECT_EQ(r.rip, 0x5000u);
    EXPECT_EQ(r.rsp, 0x9000u);
    EXPECT_EQ(r.rdi, abi::dispatcher_page_at.raw);
    EXPECT_EQ(r.rbx, 1234u); // as it was
    EXPECT_EQ(me.page->disabled, 1u);
    EXPECT_EQ(me.page->save[0].rbx, 1234u);
    EXPECT_EQ(me.page->save[0].rip, 0x40'0000u);
}

TEST_F(Dispatchers, NoUpcallWhileDisabledOrUnwantedOrToTheKernelsHalf) {
    const abi::DispatcherPage pages[] = {
        {.disabled = 1, .wants_run_upcall = 1, .upcall_run = 0x5000},
        {.wants_run_upcall = 0, .upcall_run = 0x5000},
        {.wants_run_upcall = 1, .upcall_run = 0},
        {.wants_run_upcall = 1, .upcall_run = 0xffff'8000'0000'0000},
    };
    for (const auto& page : pages) {
        *me.page = page;
        world.make_domain(9);
        world.core->schedule();
        world.invoke(Op::dispatcher_stop, self);
        EXPECT_EQ(me.dispatcher->registers.rip, 0x40'0000u);
    }
}

TEST_F(Dispatchers, BlockingOrYieldingIsNoPreemption) {
    *me.page = {.wants_run_upcall = 1, .upcall_run = 0x5000};
    world.make_domain(8);
    world.invoke(Op::yield, self);
    world.invoke(Op::yield, self);
    EXPECT_EQ(world.core->current(), me.dispatcher);
    EXPECT_EQ(me.dispatcher->registers.rip, 0x40'0000u);
}

TEST_F(Dispatchers, WhatCameWhileDisabledIsToldAtResume) {
    *me.page = {.disabled = 1, .wants_run_upcall = abi::run_upcall::on_event, .upcall_run = 0x5000};
    me.page->pending = 1;
    me.page->save[1] = {.rbx = 77, .rip = 0x6000};
    world.invoke(Op::resume, self, {1});
    EXPECT_EQ(me.dispatcher->registers.rip, 0x5000u);
    EXPECT_EQ(me.page->save[0].rip, 0x6000u);
    EXPECT_EQ(me.page->save[0].rbx, 77u);
    me.page->pending = 0;
    world.invoke(Op::resume, self, {0});
    EXPECT_EQ(me.dispatcher->registers.rip, 0x6000u);
    EXPECT_EQ(me.page->disabled, 0u);
}

TEST_F(Dispatchers, WhoWantsEventsIsNotToldOfPreemptions) {
    *me.page = {.wants_run_upcall = abi::run_upcall::on_event, .upcall_run = 0x5000};
    world.make_domain(9);
    world.core->schedule();
    world.invoke(Op::dispatcher_stop, self);
    EXPECT_EQ(world.core->current(), me.dispatcher);
    EXPECT_EQ(me.dispatcher->registers.rip, 0x40'0000u);
}

TEST_F(Dispatchers, APageFaultGoesToItsUpcallAndTrapsToTheirs) {
    *me.page = {.upcall_page_fault = 0x6000, .upcall_trap = 0x7000, .upcall_stack = 0x9000};
    me.dispatcher->registers.rax = 55;
    world.core->on_fault(14, 6, 0xdead'b000);
    EXPECT_EQ(me.dispatcher->registers.rip, 0x6000u);
    EXPECT_EQ(me.page->fault_vector, 14u);
    EXPECT_EQ(me.page->fault_code, 6u);
    EXPECT_EQ(me.page->fault_address, 0xdead'b000u);
    EXPECT_EQ(me.page->save[1].rax, 55u);
    EXPECT_EQ(me.page->disabled, 1u);
    me.page->disabled = 0;
    world.core->on_fault(6, 0, 0);
    EXPECT_EQ(me.dispatcher->registers.rip, 0x7000u);
    EXPECT_EQ(me.page->fault_vector, 6u);
}

TEST_F(Dispatchers, AFaultWhileDisabledEndsTheDomainAndRingsItsParent) {
    Domain child = world.make_domain(8, false);
    take(child);
    World::must(world.core->make_doorbell(me.leaf->slot[self], me.leaf->slot[30], 5));
    ASSERT_EQ(configure(0x7f00'0000'0000, 8, 30), Err::none);
    ASSERT_EQ(world.call(Op::dispatcher_start, 20, {0x1000, 0, 0}), Err::none);
    world.invoke(Op::wait, self);
    ASSERT_EQ(world.core->current(), child.dispatcher);
    child.page->upcall_page_fault = 0x6000;
    world.core->on_fault(14, 4, 0xbad0);
    EXPECT_EQ(world.core->schedule(), me.dispatcher);
    EXPECT_EQ(World::value(*me.dispatcher, 1), 1u << 5);
    EXPECT_EQ(child.dispatcher->state, State::faulted);
    Dispatcher& d = world.invoke(Op::dispatcher_state, 20, {0});
    EXPECT_EQ(World::value(d, 0), static_cast<uint64_t>(State::faulted));
    EXPECT_EQ(World::value(d, 5), 14u);
    EXPECT_EQ(World::value(world.invoke(Op::dispatcher_state, 20, {1}), 0), 0xbad0u);
}

TEST_F(Dispatchers, AFaultWithoutHandlerOrWithOneInTheKernelsHalfEndsTheDomain) {
    for (const uint64_t entry : {uint64_t{0}, uint64_t{1} << 47, ~uint64_t{0}}) {
        World fresh;
        Domain d = fresh.make_domain();
        fresh.core->schedule();
        *d.page = {.upcall_page_fault = entry};
        fresh.core->on_fault(14, 0, 0);
        EXPECT_EQ(d.dispatcher->state, State::faulted);
        EXPECT_EQ(fresh.core->schedule(), nullptr);
    }
}

TEST_F(Dispatchers, ResumeLoadsTheAreaAndEnables) {
    me.page->disabled = 1;
    me.page->save[1] = {.rax = 1, .r15 = 15, .rip = 0x4444, .rflags = 0x246, .fs_base = 0x8888};
    world.invoke(Op::resume, self, {1});
    const auto& r = me.dispatcher->registers;
    EXPECT_EQ(r.rax, 1u);
    EXPECT_EQ(r.r15, 15u);
    EXPECT_EQ(r.rip, 0x4444u);
    EXPECT_EQ(r.rflags, 0x246u);
    EXPECT_EQ(r.fs_base, 0x8888u);
    EXPECT_EQ(me.page->disabled, 0u);
    EXPECT_EQ(world.call(Op::resume, self, {2}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::resume, self, {~uint64_t{0}}), Err::bad_argument);
}

TEST_F(Dispatchers, ResumeLetsADomainChooseArithmeticFlagsOnly) {
    me.page->save[0] = {.rip = 0x4444, .rflags = ~uint64_t{0}};
    world.invoke(Op::resume, self, {0});
    EXPECT_EQ(me.dispatcher->registers.rflags, 0xcd5u | 0x202u);
    me.page->save[0] = {.rip = 0x4444, .rflags = 0};
    world.invoke(Op::resume, self, {0});
    EXPECT_EQ(me.dispatcher->registers.rflags, 0x202u);
}

TEST_F(Dispatchers, ResumeToAnywhereElseIsTheDomainsFault) {
    const abi::SaveArea areas[] = {
        {.rip = uint64_t{1} << 47},
        {.rip = 0xffff'8000'0000'0000},
        {.rip = 0x1000, .fs_base = 0x0000'8000'0000'0000},
        {.rip = 0x1000, .gs_base = 0xffff'ffff'8000'0000},
    };
    for (const auto& area : areas) {
        World fresh;
        Domain d = fresh.make_domain();
        fresh.core->schedule();
        d.page->save[0] = area;
        fresh.invoke(Op::resume, self, {0});
        EXPECT_EQ(d.dispatcher->state, State::faulted);
        EXPECT_EQ(d.dispatcher->fault_vector, 13u);
        EXPECT_EQ(fresh.core->current(), nullptr);
    }
}

TEST_F(Dispatchers, PendingBitsOfThePageAreReturnedOnce) {
    me.page->pending = 0x30;
    Dispatcher& d = world.invoke(Op::wait, self, {0, 0});
    EXPECT_EQ(World::value(d, 0), 0u);
    EXPECT_EQ(World::value(d, 1), 0x30u);
    EXPECT_EQ(me.page->pending, 0u);
    EXPECT_EQ(World::value(world.invoke(Op::wait, self, {0, abi::wait_polls}), 1), 0u);
}

TEST_F(Dispatchers, NamesOfStates) {
    EXPECT_EQ(kernel::name_of(State::unconfigured), "unconfigured");
    EXPECT_EQ(kernel::name_of(State::faulted), "faulted");
    EXPECT_EQ(kernel::name_of(static_cast<State>(99)), "?");
}

} // namespace
