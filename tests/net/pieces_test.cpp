// The small parts, each by itself.
#include <random>

#include "net/byte_ring.hpp"
#include "net/checksum.hpp"
#include "net/siphash.hpp"
#include "net/tcp/buffer_pool.hpp"
#include "net/tcp/ranges.hpp"
#include "net/tcp/rtt.hpp"
#include "net/token_bucket.hpp"
#include "tests/net/support.hpp"

using namespace net;
using namespace bench;
using tcp::SeqNumber;

TEST(ChecksumTest, AgreesWithTheDefinitionAtEveryLengthAndSplit) {
    std::mt19937 random{1};
    for (size_t length = 0; length < 140; ++length) {
        Octets octets;
        for (size_t i = 0; i < length; ++i)
            octets.push_back(uint8_t(random()));
        for (size_t split = 0; split <= length; ++split) {
            Checksum sum;
            sum.add(view(octets).first(split));
            sum.add(view(octets).subspan(split));
            ASSERT_EQ(sum.finish(), plain_checksum(octets)) << length << " cut at " << split;
        }
    }
}

TEST(ChecksumTest, CarriesSurviveLongRunsOfOnes) {
    const Octets ones(65535, 0xff);
    Checksum sum;
    sum.add(view(ones));
    EXPECT_EQ(sum.finish(), plain_checksum(ones));
}

TEST(SiphashTest, GivesThePapersVector) {
    // Appendix A of the paper has 15 bytes; the reference's table has 8 and 0: k = 00..0f.
    const SecretKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
    EXPECT_EQ(siphash(key, {}), 0x726fdb47dd0e0e31u);
    const uint64_t word = 0x0706050403020100;
    EXPECT_EQ(siphash(key, {&word, 1}), 0x93f5f5799a932462u);
}

TEST(SeqNumberTest, OrderWrapsAround) {
    const SeqNumber high{0xffff'fff0}, low{0x10};
    EXPECT_TRUE(tcp::before(high, low));
    EXPECT_TRUE(tcp::after(low, high));
    EXPECT_EQ(low - high, 0x20u);
    EXPECT_TRUE(tcp::within(high, SeqNumber{0}, low));
    EXPECT_FALSE(tcp::within(high, SeqNumber{0x11}, low));
}

TEST(ByteRingTest, KeepsOrderAcrossTheWrap) {
    std::vector<std::byte> memory(16);
    ByteRing ring{memory};
    EXPECT_EQ(ring.write(view(pattern_octets(0, 10))), 10u);
    ring.consume(8);
    EXPECT_EQ(ring.write(view(pattern_octets(10, 20))), 14u) << "takes what fits";
    EXPECT_EQ(ring.room(), 0u);
    std::vector<std::byte> out(16);
    ring.peek(0, out);
    EXPECT_EQ(octets_of(out), pattern_octets(8, 16));
    const auto pieces = ring.view(0, 16);
    EXPECT_EQ(pieces[0].size() + pieces[1].size(), 16u);
    EXPECT_EQ(pieces[0].size(), 8u);
}

TEST(ByteRingTest, BytesLaidAheadAppearWhenTheGapIsFilled) {
    std::vector<std::byte> memory(16);
    ByteRing ring{memory};
    ring.place(4, view(pattern_octets(4, 4)));
    EXPECT_TRUE(ring.empty());
    ring.write(view(pattern_octets(0, 4)));
    ring.grow(4);
    std::vector<std::byte> out(8);
    ring.peek(0, out);
    EXPECT_EQ(octets_of(out), pattern_octets(0, 8));
    EXPECT_THROW(ring.place(8, view(pattern_octets(0, 1))), std::logic_error);
}

TEST(ByteRingTest, MovesToLargerMemoryWithWhatWasLaidAhead) {
    std::vector<std::byte> small(16), large(32);
    ByteRing ring{small};
    ring.write(view(pattern_octets(0, 12)));
    ring.consume(10);
    ring.write(view(pattern_octets(12, 6))); // wraps
    ring.place(2, view(pattern_octets(20, 4)));
    ring.move_to(large);
    EXPECT_EQ(ring.size(), 8u);
    ring.write(view(pattern_octets(18, 2)));
    ring.grow(4);
    std::vector<std::byte> out(14);
    ring.peek(0, out);
    EXPECT_EQ(octets_of(out), pattern_octets(10, 14));
}

namespace {

struct Pool {
    std::vector<std::byte> memory = std::vector<std::byte>(300'000);
    Arena arena{memory};
    tcp::BufferPool pool{arena, 4 * 65536, 65536};
};

} // namespace

TEST(BufferPoolTest, SplitsAndJoins) {
    Pool p;
    EXPECT_TRUE(p.arena.fits());
    std::vector<MutableBytes> blocks;
    for (MutableBytes block = p.pool.take(4096); !block.empty(); block = p.pool.take(4096))
        blocks.push_back(block);
    EXPECT_EQ(blocks.size(), 64u);
    EXPECT_EQ(p.pool.free_bytes(), 0u);
    EXPECT_TRUE(p.pool.take(65536).empty());
    for (const MutableBytes block : blocks)
        p.pool.give(block);
    for (int i = 0; i < 4; ++i)
        EXPECT_EQ(p.pool.take(65536).size(), 65536u) << "all small ones became large ones again";
    EXPECT_TRUE(p.pool.take(4096).empty());
}

TEST(BufferPoolTest, NoTwoBlocksOverlapOnRandomUse) {
    std::mt19937 random{7};
    Pool p;
    std::vector<std::pair<MutableBytes, uint8_t>> held;
    for (int i = 0; i < 5000; ++i) {
        const MutableBytes block = p.pool.take(size_t{4096} << random() % 5);
        if (!block.empty()) {
            std::ranges::fill(block, std::byte(i));
            held.push_back({block, uint8_t(i)});
        }
        if (held.empty() || (random() % 2 == 0 && !block.empty())) continue;
        const size_t chosen = random() % held.size();
        const auto [bytes, mark] = held[chosen];
        ASSERT_TRUE(std::ranges::all_of(bytes, [&](std::byte b) { return b == std::byte{mark}; }));
        p.pool.give(bytes);
        held.erase(held.begin() + long(chosen));
    }
    for (const auto& [bytes, mark] : held)
        p.pool.give(bytes);
    EXPECT_EQ(p.pool.free_bytes(), 4u * 65536);
    EXPECT_EQ(p.pool.take(65536).size(), 65536u);
}

TEST(RangesTest, MergesWhatTouches) {
    tcp::Ranges a;
    EXPECT_TRUE(a.add(SeqNumber{10}, SeqNumber{20}));
    EXPECT_TRUE(a.add(SeqNumber{30}, SeqNumber{40}));
    EXPECT_TRUE(a.add(SeqNumber{50}, SeqNumber{60}));
    EXPECT_EQ(a.size(), 3u);
    EXPECT_TRUE(a.add(SeqNumber{20}, SeqNumber{30}));
    ASSERT_EQ(a.size(), 2u);
    EXPECT_EQ(a[0].begin, SeqNumber{10});
    EXPECT_EQ(a[0].end, SeqNumber{40});
    EXPECT_EQ(a.advance(SeqNumber{5}), SeqNumber{5}) << "a hole is left";
    EXPECT_EQ(a.advance(SeqNumber{12}), SeqNumber{40});
    EXPECT_EQ(a.size(), 1u);
}

TEST(RangesTest, RefusesOneRangeTooManyAndKeepsTheOthers) {
    tcp::Ranges a;
    for (uint32_t i = 0; i < tcp::Ranges::most; ++i) {
        EXPECT_TRUE(a.add(SeqNumber{i * 10}, SeqNumber{i * 10 + 5}));
    }
    EXPECT_FALSE(a.add(SeqNumber{1000}, SeqNumber{1005}));
    EXPECT_TRUE(a.add(SeqNumber{5}, SeqNumber{10})) << "filling a hole always fits";
    EXPECT_EQ(a.size(), tcp::Ranges::most - 1);
}

TEST(RangesTest, AgreesWithABitmapOnRandomUse) {
    std::mt19937 random{3};
    for (int round = 0; round < 300; ++round) {
        const SeqNumber base{uint32_t(random())}; // some rounds wrap
        tcp::Ranges a;
        std::vector<bool> present(400);
        for (int i = 0; i < 12; ++i) {
            const uint32_t from = random() % 380 + 1, to = from + 1 + random() % 19;
            if (a.add(base + from, base + to)) {
                for (uint32_t k = from; k < to; ++k)
                    present[k] = true;
            }
        }
        uint32_t reach = 1 + random() % 50;
        uint32_t expected = reach;
        const SeqNumber got = a.advance(base + reach);
        while (expected < 400 && present[expected])
            ++expected;
        ASSERT_EQ(got - base, expected);
    }
}

TEST(RttTest, FollowsTheExampleOfTheRfc) {
    tcp::RttEstimator rtt{milliseconds(200)};
    EXPECT_EQ(rtt.timeout(), seconds(1)) << "RFC 6298 (2.1)";
    rtt.sample(milliseconds(100));
    EXPECT_EQ(rtt.timeout(), milliseconds(300)) << "(2.2): 100 + 4 * 50";
    rtt.sample(milliseconds(100));
    EXPECT_EQ(rtt.timeout(), Duration{milliseconds(250).ns}) << "(2.3): variation 37.5";
    rtt.back_off();
    EXPECT_EQ(rtt.timeout(), milliseconds(500));
    for (int i = 0; i < 20; ++i)
        rtt.back_off();
    EXPECT_EQ(rtt.timeout(), seconds(60)) << "(2.5)";
    rtt.sample(milliseconds(1));
    EXPECT_LE(rtt.timeout(), milliseconds(400));
}

TEST(RttTest, NeverGoesBelowTheMinimum) {
    tcp::RttEstimator rtt{milliseconds(200)};
    for (int i = 0; i < 50; ++i)
        rtt.sample(microseconds(50));
    EXPECT_EQ(rtt.timeout(), milliseconds(200));
}

TEST(TokenBucketTest, LetsABurstThroughAndThenTheRate) {
    TokenBucket bucket{10, Instant{}};
    const Instant now{seconds(5).ns};
    int taken = 0;
    for (int i = 0; i < 50; ++i)
        taken += bucket.take(now) ? 1 : 0;
    EXPECT_EQ(taken, 10);
    EXPECT_FALSE(bucket.take(now + milliseconds(99)));
    EXPECT_TRUE(bucket.take(now + milliseconds(101)));
    EXPECT_FALSE(bucket.take(now + milliseconds(102)));
}
