#include "lib/base/elf.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace {

constexpr elf::Limits user_half{virt(0x1000), virt(0x0000'8000'0000'0000)};

/// A legal executable: code at 0x400000, data at 0x402000, two functions and their names.
struct ElfFile : testing::Test {
    elf::FileHeader header{};
    std::vector<elf::ProgramHeader> segment;
    std::vector<elf::SectionHeader> section;
    std::vector<elf::SymbolEntry> symbol;
    std::string names{"\0start\0net::poll\0.symtab\0.strtab\0.text\0", 39};
    std::vector<std::byte> file;

    static constexpr uint64_t code_at = 0x1000, data_at = 0x2000, tables_at = 0x2100;

    void SetUp() override {
        constexpr std::array<uint8_t, 16> ident{0x7f, 'E', 'L', 'F', 2, 1, 1};
        header.ident = ident;
        header.type = 2;
        header.machine = 62;
        header.version = 1;
        header.entry = 0x400010;
        header.program_headers = 64;
        header.program_header_bytes = 56;
        header.section_header_bytes = 64;
        segment.push_back({1, 5, code_at, 0x400000, 0, 0x100, 0x100, 0x1000});
        segment.push_back({1, 6, data_at, 0x402000, 0, 0x80, 0x2000, 0x1000});
        symbol.push_back({1, 2, 0, 3, 0x400010, 0x20});
        symbol.push_back({7, 2, 0, 3, 0x400030, 0});
        symbol.push_back({7, 1, 0, 3, 0x400040, 8}); // an object, not a function
        section.resize(4);
        section[1] = {17, 2, 0, 0, 0, 0, 2, 0, 8, 24};
        section[2] = {25, 3, 0, 0, 0, 0, 0, 0, 1, 0};
        section[3] = {33, 1, 6, 0x400000, code_at, 0x100, 0, 0, 1, 0};
    }

    Result<elf::Image> parse() {
        header.program_header_count = uint16_t(segment.size());
        header.section_header_count = uint16_t(section.size());
        header.section_names = 2;
        section[1].offset = tables_at;
        if (section[1].bytes == 0) section[1].bytes = symbol.size() * sizeof(symbol[0]);
        section[2].offset = tables_at + symbol.size() * sizeof(symbol[0]);
        section[2].bytes = names.size();
        header.section_headers = section[2].offset + names.size();
        file.assign(header.section_headers + section.size() * sizeof(section[0]), {});
        put(0, &header, sizeof(header));
        put(64, segment.data(), segment.size() * sizeof(segment[0]));
        put(tables_at, symbol.data(), symbol.size() * sizeof(symbol[0]));
        put(section[2].offset, names.data(), names.size());
        put(header.section_headers, section.data(), section.size() * sizeof(section[0]));
        return elf::Image::parse(file, user_half);
    }

    void put(uint64_t at, const void* from, size_t n) { std::memcpy(file.data() + at, from, n); }

    void expect(Err e) {
        const auto image = parse();
        ASSERT_FALSE(image);
        EXPECT_EQ(image.error().top(), e) << text_of(image.error().top());
    }
};

TEST_F(ElfFile, GivesItsSegments) {
    const auto image = parse();
    ASSERT_TRUE(image);
    ASSERT_EQ(image->segments().size(), 2u);
    EXPECT_TRUE(image->segments()[0].executable);
    EXPECT_TRUE(image->segments()[1].writable);
    EXPECT_EQ(image->segments()[1].file.size(), 0x80u);
    EXPECT_EQ(image->segments()[1].memory_bytes, 0x2000u);
    EXPECT_EQ(image->entry(), virt(0x400010));
}

TEST_F(ElfFile, RefusesWhatIsNoExecutableForThisMachine) {
    for (size_t byte : {0u, 4u, 5u, 6u}) {
        header.ident[byte] ^= 3;
        expect(Err::elf_format);
        header.ident[byte] ^= 3;
    }
    header.machine = 3;
    expect(Err::elf_format);
    header.machine = 62;
    header.type = 3;
    expect(Err::elf_format);
}

TEST_F(ElfFile, RefusesWhatNeedsADynamicLinkerOrThreadStorage) {
    for (uint32_t type : {2u, 3u, 7u}) {
        segment.resize(2);
        segment.push_back({type, 4, 0, 0x500000, 0, 0, 8, 8});
        expect(Err::unsupported);
    }
}

TEST_F(ElfFile, RefusesASegmentBeyondTheFile) {
    segment[0].file_bytes = segment[0].memory_bytes = 0x100000;
    expect(Err::elf_bounds);
    segment[0].file_bytes = segment[0].memory_bytes = 0x100;
    segment[0].offset = UINT64_MAX - 0x10;
    expect(Err::elf_bounds);
}

TEST_F(ElfFile, RefusesMoreFileThanMemory) {
    segment[0].memory_bytes = 0xff;
    expect(Err::elf_bounds);
}

TEST_F(ElfFile, RefusesSegmentsOutsideTheLimits) {
    for (uint64_t at :
         {0ul, 0xffful, 0x7fff'ffff'f000ul, 0x7fff'ffff'ffff'fffful, ~0ul, ~0xffful}) {
        segment[1].virtual_address = at;
        expect(Err::elf_bounds);
    }
    segment[1].virtual_address = 0x402000;
    segment[1].memory_bytes = ~0ul;
    expect(Err::elf_bounds);
    segment[1].memory_bytes = 0x8000'0000'0000 - 0x402000 + 1;
    expect(Err::elf_bounds);
    segment[1].memory_bytes -= 1;
    EXPECT_TRUE(parse()) << "up to the very end is fine";
}

TEST_F(ElfFile, RefusesSegmentsThatShareAPage) {
    segment[1].virtual_address = 0x400800;
    expect(Err::elf_overlap);
    segment[1].virtual_address = 0x3ff000;
    expect(Err::elf_overlap);
    segment[1].virtual_address = 0x3fe000;
    EXPECT_TRUE(parse());
}

TEST_F(ElfFile, RefusesWritableCode) {
    segment[0].flags = 7;
    expect(Err::elf_writable_code);
}

TEST_F(ElfFile, RefusesAnEntryOutsideTheCode) {
    for (uint64_t at : {0ul, 0x400100ul, 0x402000ul, ~0ul}) {
        header.entry = at;
        expect(Err::elf_entry);
    }
}

TEST_F(ElfFile, RefusesTooManySegments) {
    for (uint64_t i = 0; i < 15; ++i)
        segment.push_back({1, 4, 0, 0x500000 + i * 0x1000, 0, 0, 8, 8});
    expect(Err::no_space);
}

TEST_F(ElfFile, FindsSectionsByName) {
    const auto image = parse();
    ASSERT_TRUE(image);
    const auto text = image->section(".text");
    ASSERT_TRUE(text);
    EXPECT_EQ(text->address, virt(0x400000));
    EXPECT_EQ(text->file.size(), 0x100u);
    EXPECT_EQ(image->section(".bss").error().top(), Err::not_found);
}

TEST_F(ElfFile, NamesTheFunctionAroundAnAddress) {
    const auto image = parse();
    ASSERT_TRUE(image);
    const auto inside = image->symbol(virt(0x40001f));
    ASSERT_TRUE(inside);
    EXPECT_EQ(inside->name, "start");
    EXPECT_EQ(inside->offset, 0xfu);
    const auto without_size = image->symbol(virt(0x400050));
    ASSERT_TRUE(without_size);
    EXPECT_EQ(without_size->name, "net::poll");
    EXPECT_EQ(without_size->offset, 0x20u);
    EXPECT_FALSE(image->symbol(virt(0x40000f)));
}

TEST_F(ElfFile, ABrokenSymbolTableNamesNothing) {
    section[1].bytes = ~0ul;
    auto image = parse();
    ASSERT_TRUE(image) << "symbols are not needed to run";
    EXPECT_FALSE(image->symbol(virt(0x400010)));
    section[1].bytes = 0;
    section[1].link = 77;
    image = parse();
    ASSERT_TRUE(image);
    EXPECT_FALSE(image->symbol(virt(0x400010)));
    section[1].link = 2;
    symbol[0].name = 0xffff'ffff;
    image = parse();
    ASSERT_TRUE(image);
    EXPECT_EQ(image->symbol(virt(0x400010))->name, "");
}

TEST_F(ElfFile, SurvivesEveryTruncation) {
    ASSERT_TRUE(parse());
    for (size_t n = 0; n < file.size(); n += 7) {
        std::vector<std::byte> shorter{file.begin(), file.begin() + long(n)};
        const auto image = elf::Image::parse(shorter, user_half);
        if (!image) continue;
        (void)image->symbol(virt(0x400010));
        (void)image->section(".text");
    }
}

TEST(ElfPages, OfWhatIsNeverWrittenAreThoseOfTheFile) {
    const std::vector<std::byte> whole(4 * page_bytes);
    const auto segment = [&](uint64_t at, uint64_t bytes) {
        return elf::Segment{
            .address = virt(0x40'0000),
            .memory_bytes = bytes,
            .file = Bytes{whole}.subspan(at, bytes),
            .executable = true,
        };
    };
    elf::Segment text = segment(page_bytes, 5000);
    EXPECT_EQ(elf::pages_in(whole, text), page_bytes);
    EXPECT_FALSE(elf::pages_in(whole, segment(page_bytes + 64, 5000))) << "not as in memory";
    EXPECT_FALSE(elf::pages_in(Bytes{whole}.first(2 * page_bytes), text)) << "ends outside";
    text.writable = true;
    EXPECT_FALSE(elf::pages_in(whole, text));
    text.writable = false;
    text.memory_bytes = 6000;
    EXPECT_FALSE(elf::pages_in(whole, text)) << "zeroes behind it";
}

} // namespace
