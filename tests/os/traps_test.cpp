#include "lib/os/traps.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Traps, HaveNames) {
    EXPECT_EQ(os::name_of_trap(13), "general protection");
    EXPECT_EQ(os::name_of_trap(255), "trap");
    EXPECT_EQ(os::access_of(0x16), "execute");
    EXPECT_EQ(os::access_of(6), "write");
    EXPECT_EQ(os::access_of(4), "read");
}

} // namespace
