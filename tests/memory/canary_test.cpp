#include "usr/memory/canary.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace {

constexpr uint64_t base = 0x123'4000;

TEST(Canary, FindsEveryWordThatWasWritten) {
    std::vector<uint64_t> words(512);
    memory::fill_canaries(words, base);
    EXPECT_EQ(memory::find_damage(words, base).words, 0u);
    words[17] = 0;
    words[511] ^= 1;
    const auto damage = memory::find_damage(words, base);
    EXPECT_EQ(damage.words, 2u);
    EXPECT_EQ(damage.first, base + 17 * 8);
    EXPECT_EQ(damage.value, 0u);
}

TEST(Canary, MemoryThatWasCopiedElsewhereIsDamage) {
    std::vector<uint64_t> words(512);
    memory::fill_canaries(words, base);
    EXPECT_EQ(memory::find_damage(words, base + 4096).words, 512u);
}

} // namespace
