#include "lib/base/wheel.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

namespace {

constexpr int64_t tick_ns = 1 << 20;

Instant at_ms(int64_t ms) {
    return Instant{} + milliseconds(ms);
}

struct Tagged : Timer {
    explicit Tagged(int t = 0) : tag{t} {}

    int tag;
};

struct WheelTest : testing::Test {
    Wheel wheel{Instant{}};
    std::vector<int> fired;

    void advance(Instant now) {
        wheel.advance(now, [&](Timer& t) { fired.push_back(static_cast<Tagged&>(t).tag); });
    }
};

TEST_F(WheelTest, SaysNothingIsDueWhenNothingIsArmed) {
    EXPECT_FALSE(wheel.next());
    advance(at_ms(1'000'000));
    EXPECT_TRUE(fired.empty());
}

TEST_F(WheelTest, FiresOnceAndNotBeforeTheDeadline) {
    Tagged timer{1};
    wheel.arm(timer, at_ms(250));
    advance(at_ms(249));
    EXPECT_TRUE(fired.empty());
    EXPECT_TRUE(timer.armed());
    advance(at_ms(252));
    EXPECT_EQ(fired, std::vector{1});
    EXPECT_FALSE(timer.armed());
    advance(at_ms(10'000));
    EXPECT_EQ(fired.size(), 1u);
}

TEST_F(WheelTest, FiresInOrderOfDeadlinesAcrossLevels) {
    Tagged a{1}, b{2}, c{3}, d{4};
    wheel.arm(d, Instant{} + seconds(600));
    wheel.arm(b, at_ms(90));
    wheel.arm(c, at_ms(5000));
    wheel.arm(a, at_ms(3));
    advance(Instant{} + seconds(700));
    EXPECT_EQ(fired, (std::vector{1, 2, 3, 4}));
}

TEST_F(WheelTest, CancelledTimerDoesNotFireAndLeavesNoWakeUp) {
    Tagged timer{1};
    wheel.arm(timer, at_ms(5000));
    wheel.cancel(timer);
    wheel.cancel(timer);
    EXPECT_FALSE(wheel.next());
    advance(at_ms(6000));
    EXPECT_TRUE(fired.empty());
}

TEST_F(WheelTest, ArmingAgainMovesTheTimer) {
    Tagged timer{1};
    wheel.arm(timer, at_ms(10));
    wheel.arm(timer, at_ms(500));
    advance(at_ms(499));
    EXPECT_TRUE(fired.empty());
    advance(at_ms(502));
    EXPECT_EQ(fired.size(), 1u);
}

TEST_F(WheelTest, PostponingIsForgottenByNobody) {
    Tagged timer{1}, other{2};
    wheel.arm(timer, at_ms(10));
    wheel.arm(other, at_ms(10));
    wheel.arm(timer, at_ms(90));
    wheel.arm(timer, at_ms(400));
    EXPECT_GE(timer.deadline(), at_ms(400));
    EXPECT_LE(wheel.next(), at_ms(12)) << "its slot comes up at the first deadline still";
    advance(at_ms(100));
    EXPECT_EQ(fired.size(), 1u) << "only the other one";
    EXPECT_TRUE(timer.armed());
    wheel.arm(timer, at_ms(200)); // and back
    advance(at_ms(202));
    EXPECT_EQ(fired.size(), 2u);
    EXPECT_FALSE(wheel.next());
}

TEST_F(WheelTest, PassedDeadlineFiresAtTheNextTick) {
    advance(at_ms(100));
    Tagged timer{1};
    wheel.arm(timer, at_ms(3));
    advance(at_ms(102));
    EXPECT_EQ(fired.size(), 1u);
}

TEST_F(WheelTest, DeadlineBeyondTheReachIsKept) {
    Tagged timer{1};
    const Instant day = Instant{} + seconds(86'400);
    wheel.arm(timer, day);
    advance(day - seconds(1));
    EXPECT_TRUE(fired.empty());
    advance(day + milliseconds(2));
    EXPECT_EQ(fired.size(), 1u);
}

TEST_F(WheelTest, HandlerMayRearmItselfAndCancelAnother) {
    Tagged self{1}, other{2};
    wheel.arm(self, at_ms(10));
    wheel.arm(other, at_ms(10));
    int runs = 0;
    wheel.advance(at_ms(100), [&](Timer& t) {
        EXPECT_EQ(&t, &self);
        wheel.cancel(other);
        if (++runs < 3) wheel.arm(t, at_ms(10 + 20 * runs));
    });
    EXPECT_EQ(runs, 3);
    EXPECT_FALSE(wheel.next());
}

TEST_F(WheelTest, HandlerThatRearmsForNowWaitsForTheNextTick) {
    Tagged timer{1};
    wheel.arm(timer, at_ms(1));
    int runs = 0;
    wheel.advance(Instant{10 * tick_ns}, [&](Timer& t) {
        ++runs;
        wheel.arm(t, Instant{});
    });
    EXPECT_EQ(runs, 10);
    wheel.cancel(timer);
}

TEST_F(WheelTest, NextLeadsToEveryDeadlineWithFewSteps) {
    Tagged timer{1};
    wheel.arm(timer, Instant{} + seconds(3000));
    int steps = 0;
    while (auto next = wheel.next()) {
        advance(*next);
        ++steps;
    }
    EXPECT_EQ(fired.size(), 1u);
    EXPECT_LE(steps, 4) << "one a level";
}

TEST_F(WheelTest, AgreesWithASortedListOnRandomUse) {
    const char* text = std::getenv("SEED");
    const unsigned seed = text != nullptr ? unsigned(std::atoi(text)) : 20260101u;
    SCOPED_TRACE(testing::Message() << "SEED=" << seed);
    std::mt19937 random{seed};

    struct Model : Timer {
        int64_t due = -1; // ns; -1: not armed
    };

    std::vector<std::unique_ptr<Model>> timers;
    for (int i = 0; i < 64; ++i)
        timers.push_back(std::make_unique<Model>());
    int64_t now = 0;
    for (int step = 0; step < 20'000; ++step) {
        Model& timer = *timers[random() % timers.size()];
        switch (random() % 3) {
        case 0: {
            const int64_t span = int64_t{1} << (random() % 43);
            timer.due = now + int64_t(random()) % span;
            wheel.arm(timer, Instant{timer.due});
            break;
        }
        case 1:
            wheel.cancel(timer);
            timer.due = -1;
            break;
        default:
            now += int64_t(random()) % (int64_t{1} << (random() % 38));
            wheel.advance(Instant{now}, [&](Timer& t) {
                auto& model = static_cast<Model&>(t);
                EXPECT_GE(model.due, 0) << "fired without being armed";
                EXPECT_LE(model.due, now) << "fired early";
                model.due = -1;
            });
            for (const auto& t : timers) {
                if (t->due >= 0) {
                    EXPECT_GT(t->due, now - 2 * tick_ns) << "late";
                }
            }
        }
    }
    for (const auto& t : timers)
        wheel.cancel(*t);
}

} // namespace
