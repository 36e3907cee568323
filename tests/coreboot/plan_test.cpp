#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "usr/coreboot/plan.hpp"

using namespace coreboot;

namespace {

TEST(Tables, LieLowWhereTheBlockDoesNot) {
    EXPECT_FALSE(needs_low_tables(phys(low_end - large_page_bytes)));
    EXPECT_TRUE(needs_low_tables(phys(low_end)));
}

/// An image of one code and one data segment, as small as the loader takes it.
std::vector<std::byte> small_image(uint64_t data_bytes) {
    elf::FileHeader header{};
    header.ident = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    header.type = 2;
    header.machine = 62;
    header.version = 1;
    header.entry = hw::cpu_driver_image.raw;
    header.program_headers = sizeof header;
    header.program_header_bytes = sizeof(elf::ProgramHeader);
    header.program_header_count = 2;
    const elf::ProgramHeader code{1, 5, 0x1000, header.entry, 0, 16, 16, 4096};
    const elf::ProgramHeader data{1, 6, 0x1010, header.entry + 0x3000, 0, 8, data_bytes, 4096};
    std::vector<std::byte> file(0x1018);
    std::memcpy(file.data(), &header, sizeof header);
    std::memcpy(file.data() + sizeof header, &code, sizeof code);
    std::memcpy(file.data() + sizeof header + sizeof code, &data, sizeof data);
    for (size_t i = 0x1000; i < file.size(); ++i)
        file[i] = std::byte(i);
    return file;
}

TEST(Block, HasEverythingInItsPlace) {
    const auto file = small_image(0x2000);
    const auto image = check_image(file);
    ASSERT_TRUE(image);
    const auto layout = layout_of(*image, file.size());
    ASSERT_TRUE(layout);
    EXPECT_EQ(layout->tables, 0x5000u);
    EXPECT_EQ(layout->boot_info, 0xa000u);
    EXPECT_EQ(layout->file, 0xb000u);
    EXPECT_EQ(layout->end, 0xd000u);
    std::vector<std::byte> block(large_page_bytes);
    fill_block(block, phys(0x40'0000), *image, file, *layout);
    EXPECT_EQ(std::memcmp(block.data(), file.data() + 0x1000, 16), 0);
    EXPECT_EQ(std::memcmp(block.data() + 0x3000, file.data() + 0x1010, 8), 0);
    EXPECT_EQ(block[0x3008], std::byte{0}) << "the rest of .data is zero";
    EXPECT_EQ(std::memcmp(block.data() + layout->file, file.data(), file.size()), 0);
    hw::StartupTables tables;
    std::memcpy(&tables, block.data() + layout->tables, sizeof tables);
    EXPECT_EQ(tables.high_directory[0] & ~uint64_t{0xfff}, 0x40'0000u);
}

TEST(Block, RefusesAnImageThatLeavesNoRoom) {
    const auto file = small_image(large_page_bytes - 0x3000 - 16 * page_bytes);
    const auto image = check_image(file);
    ASSERT_TRUE(image);
    EXPECT_EQ(layout_of(*image, file.size()).error(), Err::no_space);
}

TEST(HandOver, SpeaksOfTheNewCore) {
    abi::BootInfo ours{};
    ours.magic = abi::boot_info_magic;
    ours.core_count = 4;
    ours.start_page = 0x8000;
    ours.ram_count = 3;
    ours.bundle = 0x777000;
    const BlockLayout layout{.tables = 0x5000, .boot_info = 0xa000, .file = 0xb000, .end = 0xd000};
    Pieces pieces;
    ASSERT_TRUE(pieces.add({0x400'0000, 0x500'0000}));
    ASSERT_TRUE(pieces.add({0x880'0000, 0x8a0'0000}));
    abi::BootInfo info = hand_over(ours, 2, pieces, layout);
    set_joint(info, {phys(0x1234'5000), 8192, uint64_t{77} << 32});
    EXPECT_EQ(info.magic, abi::boot_info_magic);
    EXPECT_EQ(info.core, 2u);
    EXPECT_EQ(info.core_count, 4u);
    EXPECT_EQ(info.image_block, 0x400'0000u);
    EXPECT_EQ(info.image_end, 0x400'd000u);
    EXPECT_EQ(info.bundle, 0x777000u);
    EXPECT_EQ(info.start_page, 0x8000u);
    ASSERT_EQ(info.ram_count, 3u);
    EXPECT_EQ(info.ram[0].begin, 0x400'd000u + room_for_tables) << "what is left of the block";
    EXPECT_EQ(info.ram[0].end, 0x420'0000u);
    EXPECT_EQ(info.ram[1].begin, 0x420'0000u);
    EXPECT_EQ(info.ram[1].end, 0x500'0000u);
    EXPECT_EQ(info.ram[2].begin, 0x880'0000u);
    EXPECT_EQ(info.ram[2].end, 0x8a0'0000u);
    EXPECT_EQ(info.joint_frame, 0x1234'5000u);
    EXPECT_EQ(info.joint_vector, uint64_t{77} << 32);
}

TEST(HandOver, OfOneBlockHasOnlyItsRestForRam) {
    const BlockLayout layout{.tables = 0x5000, .boot_info = 0xa000, .file = 0xb000, .end = 0xd000};
    Pieces pieces;
    ASSERT_TRUE(pieces.add({0x400'0000, 0x420'0000}));
    const abi::BootInfo info = hand_over({}, 1, pieces, layout);
    ASSERT_EQ(info.ram_count, 1u);
    EXPECT_EQ(info.ram[0].end, 0x420'0000u);
}

} // namespace
