#include "lib/os/vigil.hpp"

#include <gtest/gtest.h>

#include "tests/async/fake_waiter.hpp"

namespace {

using os::Vigil;

struct Line final : Vigil::Watched {
    bool awaits{};
    uint64_t lines{};
    int suspicions{};

    bool awaits_answer() const override { return awaits; }

    uint64_t traffic() const override { return lines; }

    void suspect() override { ++suspicions; }

    void call() {
        awaits = true;
        ++lines;
    }
};

struct VigilTest : testing::Test {
    std::optional<TestLoop> loop{std::in_place};
    TestLoop& test{*loop};
    Vigil vigil{test.loop, seconds(1)};
    Line line, other;

    VigilTest() {
        vigil.add(line);
        vigil.add(other);
        test.waiter.idle = [this] {
            if (!vigil.arranges_look()) test.loop.stop();
        };
    }

    void TearDown() override { loop.reset(); } // its tasks use the vigil

    /// Sleeps as a domain does, until that time.
    void pass(Duration time) {
        const Instant end = test.waiter.now() + time;
        ASSERT_TRUE(test.loop.spawn("end", [&] { return until(end); }));
        vigil.arranges_look();
        test.loop.run();
    }

    async::Task<> until(Instant end) {
        co_await test.loop.sleep_until(end);
        test.loop.stop();
        co_return {};
    }
};

TEST_F(VigilTest, NobodyIsSuspectedWhileNothingIsAwaited) {
    line.lines = 5;
    pass(seconds(100));
    EXPECT_LT(test.waiter.waits, 5) << "for the end's own timer";
    EXPECT_EQ(line.suspicions, 0);
}

TEST_F(VigilTest, WhoSaysNothingIsSuspectedAfterTwoLooks) {
    line.call();
    pass(milliseconds(1500));
    EXPECT_EQ(line.suspicions, 0);
    pass(seconds(1));
    EXPECT_EQ(line.suspicions, 1);
    EXPECT_EQ(other.suspicions, 0) << "nothing is awaited of it";
}

TEST_F(VigilTest, WhoAnswersIsNot) {
    line.call();
    for (int i = 0; i < 20; ++i) {
        pass(milliseconds(800));
        ++line.lines;
    }
    EXPECT_EQ(line.suspicions, 0);
    line.awaits = false;
    pass(seconds(2));
    const int waits = test.waiter.waits;
    pass(seconds(100));
    EXPECT_LT(test.waiter.waits, waits + 5) << "and nobody looks any more";
}

TEST_F(VigilTest, WhatTakesLongIsLookedAtLessAndLess) {
    line.call();
    pass(seconds(1000));
    EXPECT_GE(line.suspicions, 7);
    EXPECT_LE(line.suspicions, 11);
}

TEST_F(VigilTest, WhatIsAwaitedLaterIsLookedAtSoon) {
    line.call();
    pass(seconds(1000));
    other.call();
    pass(milliseconds(3500));
    EXPECT_EQ(other.suspicions, 1);
}

TEST_F(VigilTest, WhoGoesIsNotLookedAt) {
    line.call();
    pass(milliseconds(1500));
    vigil.remove(line);
    pass(seconds(10));
    EXPECT_EQ(line.suspicions, 0);
}

/// Or who never sends anything again would wait for ever.
TEST_F(VigilTest, WithoutMemoryItIsArrangedTheNextTimeItIsAskedFor) {
    std::vector<void*> taken;
    while (void* const block = test.loop.pool().allocate(64))
        taken.push_back(block);
    line.call();
    EXPECT_FALSE(vigil.arranges_look());
    for (void* block : taken)
        async::FramePool::release(block);
    EXPECT_TRUE(vigil.arranges_look());
    pass(seconds(5));
    EXPECT_GT(line.suspicions, 0);
}

} // namespace
