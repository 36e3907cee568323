#include "lib/hw/multiboot2.hpp"

#include <gtest/gtest.h>

#include "tests/hw/bytes_builder.hpp"

namespace {

using namespace hw;
using multiboot2::MemoryType;

class Multiboot : public testing::Test {
  protected:
    Builder b{std::move(Builder{}.zeros(8))};

    Builder& tag(uint32_t type, const Builder& body) {
        b.align(8).put(type).put(static_cast<uint32_t>(8 + body.size()));
        for (std::byte byte : body.view())
            b.put(std::to_integer<uint8_t>(byte));
        return b;
    }

    Bytes finish() {
        b.align(8).put(uint32_t{0}).put(uint32_t{8});
        b.poke(0, static_cast<uint32_t>(b.size()));
        return b.view();
    }

    static Builder zero_ended(std::string_view s) { return std::move(Builder{}.text(s).zeros(1)); }
};

TEST_F(Multiboot, GivesCommandLineModulesMemoryAndRootPointer) {
    tag(1, zero_ended("test=1 ip=10.77.0.2/24"));
    tag(3, std::move(Builder{}.put(uint32_t{0x20'0000}).put(uint32_t{0x20'1234}).text("kernel")));
    Builder memory;
    memory.put(uint32_t{24}).put(uint32_t{0});
    memory.put(uint64_t{0}).put(uint64_t{0x9'FC00}).put(uint32_t{1}).zeros(4);
    memory.put(uint64_t{0xFFFC'0000}).put(uint64_t{0x4'0000}).put(uint32_t{9}).zeros(4);
    tag(6, memory);
    tag(14, std::move(Builder{}.text("old")));
    tag(15, std::move(Builder{}.text("new")));
    tag(99, Builder{});
    const auto info = multiboot2::parse(finish());
    ASSERT_TRUE(info);
    EXPECT_EQ(info->command_line, "test=1 ip=10.77.0.2/24");
    ASSERT_EQ(info->modules.size(), 1u);
    EXPECT_EQ(info->modules[0].base, phys(0x20'0000));
    EXPECT_EQ(info->modules[0].bytes, 0x1234u);
    EXPECT_EQ(info->modules[0].command_line, "kernel") << "a missing NUL ends with the tag";
    ASSERT_EQ(info->memory.size(), 2u);
    EXPECT_EQ(info->memory[0].type, MemoryType::available);
    EXPECT_EQ(info->memory[1].type, MemoryType::reserved) << "an unknown type is not usable";
    ASSERT_EQ(info->rsdp.size(), 3u);
    EXPECT_EQ(info->rsdp[0], std::byte{'n'}) << "the newer root pointer wins";
    EXPECT_EQ(info->unknown_tags, 1u);
    EXPECT_EQ(info->bad_tags, 0u);
}

TEST_F(Multiboot, KeepsTheNewRootPointerWhenTheOldComesLast) {
    tag(15, std::move(Builder{}.text("new")));
    tag(14, std::move(Builder{}.text("old")));
    EXPECT_EQ(multiboot2::parse(finish())->rsdp[0], std::byte{'n'});
}

TEST_F(Multiboot, CountsBadTagsAndGoesOn) {
    tag(3, std::move(Builder{}.put(uint32_t{2}).put(uint32_t{1}).text("backwards")));
    tag(3, std::move(Builder{}.put(uint16_t{2})));
    tag(6, std::move(Builder{}.put(uint32_t{0}).put(uint32_t{0}).zeros(24)));
    tag(1, zero_ended("still read"));
    const auto info = multiboot2::parse(finish());
    ASSERT_TRUE(info);
    EXPECT_EQ(info->bad_tags, 3u);
    EXPECT_EQ(info->command_line, "still read");
}

TEST_F(Multiboot, RefusesTagsThatLeaveTheInformation) {
    b.put(uint32_t{1}).put(uint32_t{64}).zeros(8);
    EXPECT_EQ(multiboot2::parse(finish()).error(), Err::malformed);
    Builder stuck;
    stuck.put(uint32_t{24}).zeros(4).put(uint32_t{1}).put(uint32_t{0}).zeros(8);
    EXPECT_EQ(multiboot2::parse(stuck.view()).error(), Err::malformed);
}

TEST_F(Multiboot, RefusesATotalThatIsNotThere) {
    EXPECT_EQ(multiboot2::parse(Bytes{}).error(), Err::truncated);
    finish();
    EXPECT_EQ(multiboot2::parse(b.view().first(b.size() - 1)).error(), Err::truncated);
    b.poke(0, uint32_t{0xFFFF'FFFF});
    EXPECT_EQ(multiboot2::parse(b.view()).error(), Err::malformed);
    Builder no_end;
    no_end.put(uint32_t{16}).zeros(4).put(uint32_t{1}).put(uint32_t{8});
    EXPECT_EQ(multiboot2::parse(no_end.view()).error(), Err::truncated);
}

} // namespace
