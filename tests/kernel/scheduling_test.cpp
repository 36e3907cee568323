// Who runs: priorities, slices, deadlines.
#include "tests/kernel/dispatchers.hpp"

namespace {

using namespace kernel_test;
using namespace kernel_test::dispatchers;

class Scheduling : public Fixture {};

TEST_F(Scheduling, TheHighestPriorityRuns) {
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

TEST_F(Scheduling, EqualsTakeTurnsBySlices) {
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

TEST_F(Scheduling, ATimerBeforeTheEndOfTheSliceChangesNothing) {
    world.make_domain(8);
    advance(kernel::default_slice / 2);
    world.core->on_timer();
    EXPECT_EQ(world.core->schedule(), me.dispatcher);
}

TEST_F(Scheduling, AloneInItsPriorityNeedsNoTimer) {
    world.make_domain(3);
    EXPECT_EQ(world.core->next_deadline(), never);
    world.make_domain(8);
    EXPECT_NE(world.core->next_deadline(), never);
}

TEST_F(Scheduling, YieldGoesBehindItsEquals) {
    Domain b = world.make_domain(8);
    Dispatcher& d = world.invoke(Op::yield, self);
    EXPECT_EQ(World::status(d), Err::none);
    EXPECT_EQ(world.core->current(), b.dispatcher);
    world.invoke(Op::yield, self);
    EXPECT_EQ(world.core->current(), me.dispatcher);
}

TEST_F(Scheduling, PriorityAndSliceAreSetWithinBounds) {
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

TEST_F(Scheduling, ADeadlineWakesWithTheTimerBit) {
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

TEST_F(Scheduling, DeadlinesComeInOrderOfTime) {
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

TEST_F(Scheduling, ADeadlineInThePastIsNow) {
    Dispatcher& d = world.invoke(Op::wait, self, {1, 0});
    EXPECT_EQ(World::value(d, 1), uint64_t{1} << 63);
    EXPECT_EQ(world.core->current(), me.dispatcher);
}

TEST_F(Scheduling, WaitChecksItsArguments) {
    EXPECT_EQ(world.call(Op::wait, self, {uint64_t{1} << 63, 0}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::wait, self, {0, 4}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::wait, self, {0, 2, leaf_cap, 64}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::wait, self, {0, 2, s::quota, 1}), Err::cap_type);
    EXPECT_EQ(world.call(Op::wait, self, {0, 2, 19, 1}), Err::cap_empty);
}

TEST_F(Scheduling, IdleTimeIsCounted) {
    world.invoke(Op::wait, self, {9'000'000, 0});
    world.machine.time = Instant{9'000'000};
    world.core->on_timer();
    world.core->schedule();
    EXPECT_EQ(world.core->statistics().idle_ticks, 9'000'000u - 1000);
}

} // namespace
