#include "lib/base/bundle.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace {

using bundle::Entry;
using bundle::Header;

Bytes bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text});
}

TEST(Crc32, AgreesWithTheCheckValue) {
    EXPECT_EQ(crc32(bytes_of("123456789")), 0xcbf43926u);
    EXPECT_EQ(crc32({}), 0u);
}

TEST(Crc32, GoesOnWhereItStopped) {
    EXPECT_EQ(crc32(bytes_of("6789"), crc32(bytes_of("12345"))), 0xcbf43926u);
}

/// A legal bundle of two files; each test breaks one thing.
struct BundleFile : testing::Test {
    Header header{bundle::magic, 2, 0};
    std::array<Entry, 2> entry{};
    std::string data = "hello, skerryELF";

    void SetUp() override {
        const auto start = uint32_t(sizeof(Header) + sizeof(entry));
        name(0, "hello.txt");
        name(1, "netd");
        entry[0].offset = start;
        entry[0].bytes = 13;
        entry[1].offset = start + 13;
        entry[1].bytes = 3;
        entry[1].kind = bundle::Kind::domain;
        for (auto& e : entry)
            e.crc32 = crc32(bytes_of(std::string_view{data}.substr(e.offset - start, e.bytes)));
        header.total_bytes = uint32_t(start + data.size());
    }

    void name(size_t i, std::string_view text) {
        entry[i].name = {};
        std::memcpy(entry[i].name.data(), text.data(), text.size());
    }

    Result<bundle::Bundle> parse() {
        whole.clear();
        const auto append = [&](const void* from, size_t n) {
            const auto* first = static_cast<const std::byte*>(from);
            whole.insert(whole.end(), first, first + n);
        };
        append(&header, sizeof(header));
        append(entry.data(), sizeof(entry));
        append(data.data(), data.size());
        return bundle::Bundle::parse(whole);
    }

    void expect(Err e) {
        const auto result = parse();
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().top(), e) << text_of(result.error().top());
    }

    std::vector<std::byte> whole;
};

TEST_F(BundleFile, FindsFilesByName) {
    const auto result = parse();
    ASSERT_TRUE(result);
    const auto file = result->find("netd");
    ASSERT_TRUE(file);
    EXPECT_EQ(file->data.size(), 3u);
    EXPECT_EQ(file->kind, bundle::Kind::domain);
    EXPECT_TRUE(file->intact());
    EXPECT_EQ(result->file(0).name, "hello.txt");
    EXPECT_EQ(result->find("net").error().top(), Err::not_found);
}

TEST_F(BundleFile, SeesADamagedFile) {
    data[0] ^= 1;
    const auto result = parse();
    ASSERT_TRUE(result);
    EXPECT_FALSE(result->file(0).intact());
    EXPECT_TRUE(result->file(1).intact());
}

TEST_F(BundleFile, RefusesAnotherMagic) {
    header.magic[7] = '2';
    expect(Err::malformed);
}

TEST_F(BundleFile, RefusesALengthBeyondTheFile) {
    ++header.total_bytes;
    expect(Err::truncated);
}

TEST_F(BundleFile, RefusesATableBeyondTheFile) {
    header.count = 0xffff'ffff;
    expect(Err::truncated);
}

TEST_F(BundleFile, RefusesDataBeyondTheFile) {
    ++entry[1].bytes;
    expect(Err::truncated);
}

TEST_F(BundleFile, RefusesDataInsideTheTable) {
    --entry[0].offset;
    expect(Err::malformed);
}

TEST_F(BundleFile, RefusesAnOffsetThatWraps) {
    entry[0].offset = 0xffff'fff0;
    entry[0].bytes = 0x20;
    expect(Err::malformed);
}

TEST_F(BundleFile, RefusesNamesThatDoNotEndOrAreEmptyOrHideText) {
    name(0, "");
    expect(Err::malformed);
    entry[0].name.fill('x');
    expect(Err::malformed);
    name(0, std::string_view{"a\0b", 3});
    expect(Err::malformed);
}

TEST_F(BundleFile, RefusesTheSameNameTwice) {
    name(1, "hello.txt");
    expect(Err::malformed);
}

TEST_F(BundleFile, RefusesAnUnknownKind) {
    entry[0].kind = bundle::Kind(2);
    expect(Err::malformed);
}

TEST_F(BundleFile, RefusesEveryTruncation) {
    ASSERT_TRUE(parse());
    for (size_t n = 0; n < whole.size(); ++n) {
        std::vector<std::byte> shorter{whole.begin(), whole.begin() + long(n)};
        EXPECT_FALSE(bundle::Bundle::parse(shorter)) << n;
    }
}

} // namespace
