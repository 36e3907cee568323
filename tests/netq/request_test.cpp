#include "lib/netq/request.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace {

using namespace netq;
using Step = Request::Step;

constexpr uint16_t more = std::to_underlying(Flag::more);
constexpr uint16_t tcp = std::to_underlying(Flag::sum_tcp), udp = std::to_underlying(Flag::sum_udp);
constexpr uint16_t cut = Flag::sum_tcp | Flag::segment;

Descriptor headed(uint16_t bytes, uint16_t flags, uint8_t at = 34, uint8_t header = 54) {
    return {
        .buffer = 1,
        .bytes = bytes,
        .flags = flags,
        .transport_at = at,
        .header_bytes = header,
        .segment_bytes = 1000,
    };
}

Step judged(const Descriptor& d) {
    Request request;
    return request.add(d);
}

TEST(Request, IsWholeWithTheDescriptorThatSaysNoMore) {
    Request request;
    EXPECT_EQ(request.add({7, 0, 100, more}), Step::goes_on);
    EXPECT_EQ(request.add({8, 5, 2000, more}), Step::goes_on);
    EXPECT_EQ(request.add({9, 0, 1, 0}), Step::whole);
    EXPECT_EQ(request.pieces().size(), 3u);
    EXPECT_EQ(request.first().buffer, 7u);
    EXPECT_EQ(request.bytes(), 2101u);
    request.clear();
    EXPECT_EQ(request.add({7, 0, 60, 0}), Step::whole);
    EXPECT_EQ(request.bytes(), 60u) << "nothing is left of the one before";
}

TEST(Request, AsksForSumsOnlyWhereAHeaderIs) {
    EXPECT_EQ(judged(headed(60, tcp)), Step::whole);
    EXPECT_EQ(judged(headed(54, tcp)), Step::whole);
    EXPECT_EQ(judged(headed(53, tcp)), Step::refused);
    EXPECT_EQ(judged(headed(42, udp)), Step::whole);
    EXPECT_EQ(judged(headed(41, udp)), Step::refused);
    EXPECT_EQ(judged(headed(60, tcp, 33)), Step::refused) << "inside the IP header";
    EXPECT_EQ(judged(headed(300, tcp, 239)), Step::whole);
    EXPECT_EQ(judged(headed(300, tcp, 240)), Step::refused) << "the field is past byte 255";
    EXPECT_EQ(judged(headed(300, udp, 249)), Step::whole);
    EXPECT_EQ(judged(headed(300, udp, 250)), Step::refused);
    EXPECT_EQ(judged(headed(258, tcp, 239)), Step::refused);
    EXPECT_EQ(judged(headed(60, tcp | udp)), Step::refused);
}

TEST(Request, IsCutOnlyWithAWholeHeaderAndSomeData) {
    EXPECT_EQ(judged(headed(60, cut)), Step::whole);
    EXPECT_EQ(judged(headed(54, cut)), Step::refused) << "no data";
    EXPECT_EQ(judged(headed(60, cut, 34, 53)), Step::refused) << "less than a header of TCP";
    EXPECT_EQ(judged(headed(60, cut, 34, 61)), Step::refused) << "the header leaves the buffer";
    EXPECT_EQ(judged(headed(60, std::to_underlying(Flag::segment))), Step::refused);
    EXPECT_EQ(judged(headed(60, Flag::sum_udp | Flag::segment)), Step::refused);
    Descriptor tiny = headed(60, cut);
    tiny.segment_bytes = 31;
    EXPECT_EQ(judged(tiny), Step::refused) << "thousands of frames out of one request";
}

TEST(Request, HasNoEmptyPieceAndIsNotLongerThanAPacketMayBe) {
    Request request;
    EXPECT_EQ(request.add({1, 0, 100, more}), Step::goes_on);
    EXPECT_EQ(request.add({2, 0, 0, 0}), Step::refused);
    request.clear();
    for (unsigned i = 0; i < 32; ++i)
        ASSERT_EQ(request.add({i, 0, 2048, more}), Step::goes_on);
    EXPECT_EQ(request.add({40, 0, 13, 0}), Step::whole);
    request.clear();
    for (unsigned i = 0; i < 32; ++i)
        ASSERT_EQ(request.add({i, 0, 2048, more}), Step::goes_on);
    EXPECT_EQ(request.add({40, 0, 14, 0}), Step::refused);
}

TEST(Request, WithoutEndIsRefusedToItsEnd) {
    Request request;
    for (unsigned i = 1; i < request_pieces_max; ++i)
        ASSERT_EQ(request.add({i, 0, 10, more}), Step::goes_on);
    EXPECT_EQ(request.add({50, 0, 10, more}), Step::refused);
    EXPECT_EQ(request.pieces().size(), request_pieces_max) << "all are given back";
    request.clear();
    for (unsigned i = 0; i < 100; ++i) {
        ASSERT_EQ(request.add({i, 0, 10, more}), Step::refused);
        ASSERT_EQ(request.pieces().size(), 1u);
        request.clear();
    }
    EXPECT_EQ(request.add({1, 0, 60, 0}), Step::refused) << "its last";
    request.clear();
    EXPECT_EQ(request.add({1, 0, 60, 0}), Step::whole);
}

TEST(Request, WhateverComesEachPieceIsHandedOutOnce) {
    const auto seed = static_cast<uint32_t>(GTEST_FLAG_GET(random_seed));
    SCOPED_TRACE("--gtest_random_seed=" + std::to_string(seed));
    std::mt19937 random{seed};
    Request request;
    size_t in = 0, out = 0;
    for (unsigned i = 0; i < 200'000; ++i) {
        const Descriptor d{
            .buffer = i,
            .bytes = static_cast<uint16_t>(random() % 2049),
            .flags = static_cast<uint16_t>(random() & (random() % 8 == 0 ? 61 : 63)),
            .transport_at = static_cast<uint8_t>(random() % 2 == 0 ? 34 : random()),
            .header_bytes = static_cast<uint8_t>(random() % 2 == 0 ? 54 : random()),
            .segment_bytes = static_cast<uint16_t>(random()),
        };
        ++in;
        const Step step = request.add(d);
        if (step == Step::goes_on) {
            if (random() % 50 != 0) continue;
            out += request.pieces().size();
            request.cut_off();
            continue;
        }
        out += request.pieces().size();
        if (step == Step::whole) {
            ASSERT_LE(request.bytes(), request_bytes_max);
            const Descriptor& first = request.first();
            if (first.has(Flag::segment)) {
                ASSERT_GT(request.bytes(), first.header_bytes);
                ASSERT_GE(first.bytes, first.header_bytes);
                ASSERT_GE(first.header_bytes, first.transport_at + 20);
            }
        }
        request.clear();
    }
    EXPECT_EQ(in, out + request.pieces().size());
}

} // namespace
