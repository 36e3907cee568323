#include "usr/spawn/environment.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using spawn::Environment;

TEST(Environment, KeepsEachNameOnceAndTheLastValue) {
    Environment all;
    ASSERT_TRUE(all.set("COLOUR=red"));
    ASSERT_TRUE(all.set("SIZE=3"));
    EXPECT_EQ(all.view(), "COLOUR=red SIZE=3");
    ASSERT_TRUE(all.set("COLOUR=blue=green"));
    EXPECT_EQ(all.view(), "SIZE=3 COLOUR=blue=green");
    ASSERT_TRUE(all.set("SIZE="));
    EXPECT_EQ(all.view(), "COLOUR=blue=green SIZE=");
}

TEST(Environment, ANameIsNotItsPrefix) {
    Environment all;
    ASSERT_TRUE(all.set_all("AB=1 A=2  ABC=3"));
    ASSERT_TRUE(all.set("A=4"));
    EXPECT_EQ(all.view(), "AB=1 ABC=3 A=4");
}

TEST(Environment, RefusesWhatIsNoVariable) {
    Environment all;
    for (const char* bad : {"", "=", "=red", "red", "A=1 B=2"})
        EXPECT_EQ(all.set(bad).error(), Err::bad_argument) << bad;
    EXPECT_EQ(all.set_all("A=1 red").error(), Err::bad_argument);
    EXPECT_EQ(all.view(), "A=1");
}

TEST(Wishes, AreQuotaPolicyAndVariables) {
    const auto wishes = spawn::Wishes::parse("A=1 quota=2048 restart=always/2/30  B=2");
    ASSERT_TRUE(wishes);
    EXPECT_EQ(wishes->quota, 2048u * 1024);
    ASSERT_TRUE(wishes->restart);
    EXPECT_EQ(wishes->restart->times, 2);
    EXPECT_EQ(wishes->variables.view(), "A=1 B=2");
    EXPECT_FALSE(spawn::Wishes::parse("")->restart);
    for (const char* bad : {"quota=", "quota=x", "quota=0", "restart=", "restart=maybe"})
        EXPECT_EQ(spawn::Wishes::parse(bad).error(), Err::malformed) << bad;
    EXPECT_EQ(spawn::Wishes::parse("red").error(), Err::bad_argument);
}

TEST(Environment, WhatDoesNotFitChangesNothing) {
    Environment all;
    const std::string big = "A=" + std::string(Environment::capacity - 3, 'x');
    ASSERT_TRUE(all.set(big)) << "all of it but the blank";
    EXPECT_EQ(all.set("B=1").error(), Err::no_space);
    EXPECT_EQ(all.set(big + "x").error(), Err::no_space);
    EXPECT_EQ(all.view(), big);
    ASSERT_TRUE(all.set("A=1"));
    EXPECT_EQ(all.view(), "A=1");
}

} // namespace
