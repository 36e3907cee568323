// Dispatchers: configuration, life, who may do what to whom.
#include "tests/kernel/dispatchers.hpp"

namespace {

using namespace kernel_test;
using namespace kernel_test::dispatchers;

class Dispatchers : public Fixture {};

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

TEST_F(Dispatchers, NamesOfStates) {
    EXPECT_EQ(kernel::name_of(State::unconfigured), "unconfigured");
    EXPECT_EQ(kernel::name_of(State::faulted), "faulted");
    EXPECT_EQ(kernel::name_of(static_cast<State>(99)), "?");
}

} // namespace
