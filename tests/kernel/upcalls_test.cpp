// Upcalls, and the page of a dispatcher that may contain anything.
#include "kernel/hostile.hpp"
#include "tests/kernel/dispatchers.hpp"

namespace {

using namespace kernel_test;
using namespace kernel_test::dispatchers;

class Upcalls : public Fixture {};

TEST_F(Upcalls, PreemptionGivesTheRunUpcallToWhoWantsIt) {
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

TEST_F(Upcalls, NoUpcallWhileDisabledOrUnwantedOrToTheKernelsHalf) {
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

TEST_F(Upcalls, BlockingOrYieldingIsNoPreemption) {
    *me.page = {.wants_run_upcall = 1, .upcall_run = 0x5000};
    world.make_domain(8);
    world.invoke(Op::yield, self);
    world.invoke(Op::yield, self);
    EXPECT_EQ(world.core->current(), me.dispatcher);
    EXPECT_EQ(me.dispatcher->registers.rip, 0x40'0000u);
}

TEST_F(Upcalls, WhatCameWhileDisabledIsToldAtResume) {
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

TEST_F(Upcalls, WhoWantsEventsIsNotToldOfPreemptions) {
    *me.page = {.wants_run_upcall = abi::run_upcall::on_event, .upcall_run = 0x5000};
    world.make_domain(9);
    world.core->schedule();
    world.invoke(Op::dispatcher_stop, self);
    EXPECT_EQ(world.core->current(), me.dispatcher);
    EXPECT_EQ(me.dispatcher->registers.rip, 0x40'0000u);
}

TEST_F(Upcalls, APageFaultGoesToItsUpcallAndTrapsToTheirs) {
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

TEST_F(Upcalls, AFaultWhileDisabledEndsTheDomainAndRingsItsParent) {
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

TEST_F(Upcalls, AFaultWithoutHandlerOrWithOneInTheKernelsHalfEndsTheDomain) {
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

TEST_F(Upcalls, ResumeLoadsTheAreaAndEnables) {
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

TEST_F(Upcalls, ResumeLetsADomainChooseArithmeticFlagsOnly) {
    me.page->save[0] = {.rip = 0x4444, .rflags = ~uint64_t{0}};
    world.invoke(Op::resume, self, {0});
    EXPECT_EQ(me.dispatcher->registers.rflags, 0xcd5u | 0x202u);
    me.page->save[0] = {.rip = 0x4444, .rflags = 0};
    world.invoke(Op::resume, self, {0});
    EXPECT_EQ(me.dispatcher->registers.rflags, 0x202u);
}

TEST_F(Upcalls, ResumeToAnywhereElseIsTheDomainsFault) {
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

TEST_F(Upcalls, PendingBitsOfThePageAreReturnedOnce) {
    me.page->pending = 0x30;
    Dispatcher& d = world.invoke(Op::wait, self, {0, 0});
    EXPECT_EQ(World::value(d, 0), 0u);
    EXPECT_EQ(World::value(d, 1), 0x30u);
    EXPECT_EQ(me.page->pending, 0u);
    EXPECT_EQ(World::value(world.invoke(Op::wait, self, {0, abi::wait_polls}), 1), 0u);
}

} // namespace
