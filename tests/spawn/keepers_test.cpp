#include "usr/spawn/keepers.hpp"

#include <gtest/gtest.h>

#include <deque>

namespace {

struct Keeper final : spawn::DeviceKeeper {
    Result<> silence(uint32_t) override { return {}; }

    Result<> wake(uint32_t, uint32_t) override { return {}; }
};

TEST(Keepers, AreNotFoundByTheNumberOfOneThatHasGone) {
    spawn::Keepers keepers;
    Keeper keeper, other;
    const uint32_t number = *keepers.number_of(keeper);
    EXPECT_NE(number, 0u);
    EXPECT_EQ(*keepers.number_of(keeper), number);
    EXPECT_NE(*keepers.number_of(other), number);
    EXPECT_EQ(keepers.find(number), &keeper);
    keepers.remove(keeper);
    EXPECT_EQ(keepers.find(number), nullptr);
    const uint32_t again = *keepers.number_of(keeper); // another session where the first one was
    EXPECT_NE(again, number);
    EXPECT_EQ(keepers.find(number), nullptr);
    EXPECT_EQ(keepers.find(again), &keeper);
}

TEST(Keepers, NobodyIsNumberZero) {
    spawn::Keepers keepers;
    EXPECT_EQ(keepers.find(0), nullptr);
    Keeper never;
    keepers.remove(never);
}

TEST(Keepers, AreOnlySoMany) {
    spawn::Keepers keepers;
    std::deque<Keeper> all(spawn::Keepers::capacity + 1);
    for (size_t i = 0; i < spawn::Keepers::capacity; ++i)
        ASSERT_TRUE(keepers.number_of(all[i]));
    EXPECT_EQ(keepers.number_of(all.back()).error(), Err::no_space);
    keepers.remove(all.front());
    EXPECT_TRUE(keepers.number_of(all.back()));
}

} // namespace
