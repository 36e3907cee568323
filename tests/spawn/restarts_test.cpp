#include "usr/spawn/restarts.hpp"

#include <gtest/gtest.h>

namespace {

using os::RestartPolicy;
using spawn::RestartHistory, spawn::wants_restart;
using When = RestartPolicy::When;

Instant at(int64_t s) {
    return Instant{} + seconds(s);
}

TEST(Restarts, ThePolicySaysAfterWhichEnds) {
    const RestartPolicy never{}, on_fault{.when = When::on_fault}, always{.when = When::always};
    EXPECT_FALSE(wants_restart(never, true, -1));
    EXPECT_TRUE(wants_restart(on_fault, true, 0));
    EXPECT_TRUE(wants_restart(on_fault, false, 1)) << "a code other than 0 is a fault";
    EXPECT_FALSE(wants_restart(on_fault, false, 0));
    EXPECT_TRUE(wants_restart(always, false, 0));
}

TEST(Restarts, NoMoreThanTheLimitWithinTheSpan) {
    const RestartPolicy policy{.when = When::always, .times = 3, .within = seconds(10)};
    RestartHistory history;
    EXPECT_TRUE(history.grant(policy, at(0)));
    EXPECT_TRUE(history.grant(policy, at(4)));
    EXPECT_TRUE(history.grant(policy, at(8)));
    EXPECT_FALSE(history.grant(policy, at(9)));
    EXPECT_TRUE(history.grant(policy, at(10))) << "the first is out of the span; refusals are free";
    EXPECT_FALSE(history.grant(policy, at(13)));
    EXPECT_TRUE(history.grant(policy, at(14)));
}

TEST(Restarts, TheGreatestLimitHolds) {
    const RestartPolicy policy{
        .when = When::always, .times = RestartPolicy::most_times, .within = seconds(100)
    };
    RestartHistory history;
    for (unsigned i = 0; i < RestartPolicy::most_times; ++i)
        EXPECT_TRUE(history.grant(policy, at(i)));
    EXPECT_FALSE(history.grant(policy, at(99)));
    EXPECT_TRUE(history.grant(policy, at(100)));
}

} // namespace
