#include "lib/hw/startup_tables.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>

namespace {

/// Walks the tables as the processor does (SDM vol. 3A 4.5).
std::optional<uint64_t> translate(const hw::StartupTables& tables, uint64_t at, uint64_t address) {
    const auto* base = reinterpret_cast<const std::byte*>(&tables);
    uint64_t table = at;
    for (int level = 4; level >= 1; --level) {
        if (table < at || table >= at + sizeof tables) return std::nullopt;
        const auto& entries =
            *reinterpret_cast<const hw::StartupTables::Table*>(base + (table - at));
        const uint64_t entry = entries[address >> (12 + 9 * (level - 1)) & 511];
        if ((entry & 1) == 0) return std::nullopt;
        const uint64_t span = (uint64_t{1} << (12 + 9 * (level - 1))) - 1;
        table = entry & 0x000f'ffff'ffff'f000;
        if (level == 1 || (entry & 0x80) != 0) return (table & ~span) | (address & span);
    }
    return std::nullopt;
}

constexpr uint64_t tables_at = 0x1234'5000, block = 0x1220'0000;

class Startup : public testing::Test {
  protected:
    Startup() { hw::fill(tables_, phys(tables_at), phys(block)); }

    std::optional<uint64_t> at(uint64_t address) { return translate(tables_, tables_at, address); }

    hw::StartupTables tables_;
};

TEST_F(Startup, MapTheImageToItsBlock) {
    const uint64_t image = hw::cpu_driver_image.raw;
    EXPECT_EQ(at(image), block);
    EXPECT_EQ(at(image + 0x12'3456), block + 0x12'3456);
    EXPECT_EQ(at(image + large_page_bytes - 1), block + large_page_bytes - 1);
}

TEST_F(Startup, MapTheLow2MiBOntoThemselves) {
    EXPECT_EQ(at(0), 0u);
    EXPECT_EQ(at(0x8000), 0x8000u);
    EXPECT_EQ(at(large_page_bytes - 1), large_page_bytes - 1);
}

TEST_F(Startup, MapNothingElse) {
    const uint64_t image = hw::cpu_driver_image.raw;
    EXPECT_FALSE(at(large_page_bytes));
    EXPECT_FALSE(at(image - 1));
    EXPECT_FALSE(at(image + large_page_bytes));
    EXPECT_FALSE(at(0xffff'8000'0000'0000));
    EXPECT_FALSE(at(block));
}

TEST_F(Startup, RefuseARootThatRealModeCannotLoad) {
    EXPECT_THROW(hw::fill(tables_, phys(uint64_t{1} << 32), phys(block)), std::logic_error);
    EXPECT_THROW(hw::fill(tables_, phys(tables_at), phys(block + page_bytes)), std::logic_error);
}

} // namespace
