#include "lib/netq/ring.hpp"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <memory>
#include <random>
#include <string>

#include "lib/netq/custody.hpp"
#include "lib/netq/layout.hpp"
#include "lib/netq/lender.hpp"

namespace {

using namespace netq;

class Ring : public testing::Test {
  protected:
    std::array<Slot, 8> slots{};
    Ack ack{};
    Producer producer{slots, ack};
    Consumer consumer{slots, ack, 6};

    static Descriptor numbered(uint32_t i) {
        return {i % 6, static_cast<uint16_t>(i % 7), static_cast<uint16_t>(i % 1500), 0};
    }

    std::optional<Descriptor> take() {
        const auto d = consumer.take();
        EXPECT_TRUE(d);
        return d ? *d : std::nullopt;
    }
};

TEST_F(Ring, CarriesDescriptorsInOrderRoundAndRound) {
    for (uint32_t i = 0; i < 100; ++i) {
        ASSERT_TRUE(producer.push(numbered(i)));
        ASSERT_TRUE(producer.push({5, 2, 2046, 1}));
        EXPECT_EQ(take(), numbered(i));
        EXPECT_EQ(take(), (Descriptor{5, 2, 2046, 1}));
        EXPECT_EQ(take(), std::nullopt);
        consumer.acknowledge();
    }
    EXPECT_EQ(consumer.bad(), 0u);
}

TEST_F(Ring, CarriesEveryFieldByItself) {
    for (const Descriptor& d :
         {Descriptor{5, 0, 0, 0, 0, 0, 0},
          {0, 2048, 0, 0, 0, 0, 0},
          {0, 0, 2048, 0, 0, 0, 0},
          {0, 0, 0, 0xFFFF, 0, 0, 0},
          {0, 0, 0, 0, 0xFF, 0, 0},
          {0, 0, 0, 0, 0, 0xFF, 0},
          {0, 0, 0, 0, 0, 0, 0xFFFF},
          {5, 1024, 1024, 0xFFFF, 0xFF, 0xFF, 0xFFFF}}) {
        ASSERT_TRUE(producer.push(d));
        EXPECT_EQ(take(), d);
    }
}

TEST_F(Ring, IsFullUntilTheReceiverSaysSo) {
    for (uint32_t i = 0; i < 8; ++i)
        ASSERT_TRUE(producer.push(numbered(i)));
    EXPECT_EQ(producer.push(numbered(8)).error(), Err::no_space);
    EXPECT_TRUE(take());
    EXPECT_EQ(producer.push(numbered(8)).error(), Err::no_space) << "taken, but not told";
    consumer.acknowledge();
    EXPECT_TRUE(producer.push(numbered(8)));
    EXPECT_EQ(*producer.room(), 0u);
}

TEST_F(Ring, TellsOfPublishingOnceABatch) {
    EXPECT_FALSE(producer.take_published());
    ASSERT_TRUE(producer.push(numbered(0)));
    ASSERT_TRUE(producer.push(numbered(1)));
    EXPECT_TRUE(producer.take_published());
    EXPECT_FALSE(producer.take_published());
}

TEST_F(Ring, CountsWhatTheReceiverHasNotSaidItTook) {
    EXPECT_EQ(*producer.untaken(), 0u);
    ASSERT_TRUE(producer.push(numbered(0)));
    ASSERT_TRUE(producer.push(numbered(1)));
    take();
    EXPECT_EQ(*producer.untaken(), 2u) << "taken, but not told";
    consumer.acknowledge();
    EXPECT_EQ(*producer.untaken(), 1u);
    ack.taken.store(3);
    EXPECT_EQ(producer.untaken().error(), Err::protocol);
}

TEST_F(Ring, TellsByItselfBeforeItOwesMoreThanFits) {
    ASSERT_TRUE(producer.push(numbered(0)));
    ASSERT_TRUE(producer.push(numbered(1)));
    take();
    take();
    EXPECT_EQ(ack.taken.load(), 2u);
}

TEST_F(Ring, HasSomethingExactlyWhenTakeGivesIt) {
    EXPECT_FALSE(consumer.has_any());
    ASSERT_TRUE(producer.push(numbered(0)));
    EXPECT_TRUE(consumer.has_any());
    take();
    EXPECT_FALSE(consumer.has_any());
}

TEST_F(Ring, SkipsAndCountsDescriptorsThatLeaveThePool) {
    for (const Descriptor& bad :
         {Descriptor{6, 0, 0, 0},
          {0xFFFF, 0, 0, 0},
          {0, 0, 2049, 0},
          {0, 2048, 1, 0},
          {0, 0xFFFF, 0xFFFF, 0}})
        ASSERT_TRUE(producer.push(bad));
    ASSERT_TRUE(producer.push({0, 2047, 1, 0}));
    for (unsigned i = 0; i < 5; ++i)
        EXPECT_EQ(consumer.take().error(), Err::protocol);
    EXPECT_EQ(take(), (Descriptor{0, 2047, 1, 0}));
    EXPECT_EQ(consumer.bad(), 5u);
    EXPECT_FALSE(consumer.broken());
}

TEST_F(Ring, EndsWhenATurnCannotBe) {
    slots[0].turn.store(2);
    EXPECT_EQ(consumer.take().error(), Err::protocol);
    EXPECT_TRUE(consumer.broken());
    EXPECT_EQ(consumer.take().error(), Err::protocol);
    EXPECT_EQ(consumer.bad(), 1u) << "counted once, however often it is looked at";
}

TEST_F(Ring, EndsWhenATurnIsTakenBack) {
    for (uint32_t i = 0; i < 8; ++i) {
        ASSERT_TRUE(producer.push(numbered(i)));
        take();
    }
    EXPECT_EQ(take(), std::nullopt) << "the lap before is no error";
    slots[0].turn.store(0);
    EXPECT_EQ(consumer.take().error(), Err::protocol);
}

TEST_F(Ring, RefusesAnAcknowledgementOfWhatWasNeverSent) {
    for (uint32_t i = 0; i < 8; ++i)
        ASSERT_TRUE(producer.push(numbered(i)));
    ack.taken.store(9);
    EXPECT_EQ(producer.push(numbered(0)).error(), Err::protocol);
    ack.taken.store(4);
    EXPECT_EQ(*producer.room(), 4u);
    ack.taken.store(3);
    EXPECT_EQ(producer.room().error(), Err::protocol) << "never backwards";
}

TEST(Layout, DividesAreasOfAllSizesWithoutOverlap) {
    for (const size_t bytes :
         {size_t{64} << 10,
          size_t{2} << 20,
          (size_t{2} << 20) - 16384,
          size_t{6} << 20,
          size_t{256} << 20}) {
        const auto l = Layout::fit(bytes);
        ASSERT_TRUE(l) << bytes;
        EXPECT_LE(l->bytes, bytes);
        EXPECT_LE(l->buffers, l->slots) << "a ring holds every buffer";
        EXPECT_GE(l->rings_at, Layout::ack_at(Which::tx_return) + sizeof(Ack));
        EXPECT_GE(l->pool_at, l->ring_at(Which::tx_return) + l->slots * sizeof(Slot));
        EXPECT_EQ(l->pool_at % buffer_bytes, 0u) << "no buffer crosses a page";
        EXPECT_GE(l->bytes * 100, std::min<size_t>(bytes, 60u << 20) * 90) << "little is wasted";
    }
    EXPECT_EQ(Layout::fit(2 << 20)->buffers, 991u);
    EXPECT_EQ(Layout::fit(0).error(), Err::no_space);
    EXPECT_EQ(Layout::fit(16 << 10).error(), Err::no_space);
}

class BothSides : public testing::Test {
  protected:
    struct alignas(4096) Memory {
        std::array<std::byte, 128 << 10> bytes{};
    };

    std::unique_ptr<Memory> memory = std::make_unique<Memory>();
    Area area = *Area::over(memory->bytes);
};

TEST_F(BothSides, JoinsEachRingToItsOtherEnd) {
    auto driver = area.driver();
    auto stack = area.stack();
    ASSERT_TRUE(stack.rx_provide.push({1, 0, 0, 0}));
    ASSERT_TRUE(stack.tx_provide.push({2, 0, 60, 0}));
    ASSERT_TRUE(driver.rx_return.push({3, 0, 61, 0}));
    ASSERT_TRUE(driver.tx_return.push({4, 0, 0, 0}));
    EXPECT_EQ((*driver.rx_provide.take())->buffer, 1u);
    EXPECT_EQ((*driver.tx_provide.take())->buffer, 2u);
    EXPECT_EQ((*stack.rx_return.take())->buffer, 3u);
    EXPECT_EQ((*stack.tx_return.take())->buffer, 4u);
}

TEST_F(BothSides, GivesBuffersThatDoNotOverlap) {
    const uint32_t n = area.layout().buffers;
    for (uint32_t i = 0; i < n; ++i)
        for (std::byte& b : area.buffer(i))
            b = static_cast<std::byte>(i);
    for (uint32_t i = 0; i < n; ++i)
        EXPECT_EQ(area.data({i, 2047, 1, 0})[0], std::byte(i));
    auto stack = area.stack();
    EXPECT_FALSE(stack.rx_return.has_any()) << "nor do they touch the rings";
    EXPECT_THROW(area.buffer(n), std::logic_error);
    EXPECT_EQ(Area::over(std::span{memory->bytes}.subspan(8)).error(), Err::misaligned);
}

TEST_F(BothSides, NeverFillARingWhileEachBufferIsInOnePlace) {
    auto driver = area.driver();
    auto stack = area.stack();
    std::deque<uint32_t> ours;
    for (uint32_t i = 0; i < area.layout().buffers; ++i)
        ours.push_back(i);
    std::deque<uint32_t> theirs;
    const auto seed = static_cast<uint32_t>(GTEST_FLAG_GET(random_seed));
    SCOPED_TRACE("--gtest_random_seed=" + std::to_string(seed));
    std::mt19937 random{seed};
    for (unsigned step = 0; step < 20000; ++step) {
        for (auto n = random() % 80; n > 0 && !ours.empty(); --n) {
            ASSERT_TRUE(stack.tx_provide.push({ours.front(), 0, 60, 0}));
            ours.pop_front();
        }
        for (auto n = random() % 80; n > 0; --n)
            if (const auto d = driver.tx_provide.take(); *d) theirs.push_back((*d)->buffer);
        for (auto n = random() % 80; n > 0 && !theirs.empty(); --n) {
            ASSERT_TRUE(driver.tx_return.push({theirs.front(), 0, 0, 0}));
            theirs.pop_front();
        }
        for (auto n = random() % 80; n > 0; --n) // nobody ever calls acknowledge
            if (const auto d = stack.tx_return.take(); *d) ours.push_back((*d)->buffer);
    }
}

TEST(Lender, DealsOutEachBufferOnce) {
    Lender<100> pool{70};
    Custody<100> seen;
    for (unsigned i = 0; i < 70; ++i)
        ASSERT_TRUE(seen.enter(*pool.allocate()));
    EXPECT_FALSE(pool.allocate());
    EXPECT_FALSE(seen.has(70));
    ASSERT_TRUE(pool.free(42));
    EXPECT_EQ(pool.free(42).error(), Err::protocol);
    EXPECT_EQ(pool.free(70).error(), Err::protocol);
    EXPECT_EQ(pool.free(100).error(), Err::protocol);
    EXPECT_EQ(pool.allocate(), 42u);
}

TEST(Lender, LendsNothingTwice) {
    Lender<8> pool{8};
    const uint32_t buffer = *pool.allocate();
    ASSERT_TRUE(pool.lend(buffer, Loan::transmit));
    EXPECT_EQ(pool.lend(buffer, Loan::transmit).error(), Err::protocol);
    EXPECT_EQ(pool.lend(buffer, Loan::receive).error(), Err::protocol);
    EXPECT_EQ(pool.free(buffer).error(), Err::protocol);
    EXPECT_EQ(pool.lend(buffer ^ 1, Loan::receive).error(), Err::protocol) << "a free one";
    EXPECT_EQ(pool.lend(8, Loan::receive).error(), Err::protocol) << "none of the pool";
}

TEST(Lender, TakesBackWhatWasLentForThatAndNothingElse) {
    Lender<8> pool{7};
    const uint32_t buffer = *pool.allocate();
    EXPECT_EQ(pool.take_back(buffer, Loan::receive).error(), Err::protocol) << "never lent";
    ASSERT_TRUE(pool.lend(buffer, Loan::receive));
    EXPECT_EQ(pool.take_back(buffer, Loan::transmit).error(), Err::protocol);
    EXPECT_EQ(pool.take_back(7, Loan::receive).error(), Err::protocol);
    ASSERT_TRUE(pool.take_back(buffer, Loan::receive));
    EXPECT_EQ(pool.take_back(buffer, Loan::receive).error(), Err::protocol) << "came twice";
    EXPECT_EQ(pool.lent_out(), 0u);
    ASSERT_TRUE(pool.free(buffer));
    EXPECT_EQ(pool.available(), 7u);
}

TEST(Lender, HasEverythingBackWhenTheOtherSideIsGone) {
    Lender<16> pool{16};
    for (unsigned i = 0; i < 10; ++i)
        ASSERT_TRUE(pool.lend(*pool.allocate(), i % 2 == 0 ? Loan::receive : Loan::transmit));
    const uint32_t here = *pool.allocate();
    EXPECT_EQ(pool.revoke(), 10u);
    EXPECT_EQ(pool.available(), 15u);
    EXPECT_EQ(pool.lent_out(), 0u);
    EXPECT_EQ(pool.revoke(), 0u);
    for (uint32_t buffer = 0; buffer < 16; ++buffer) // what comes late is refused
        EXPECT_EQ(pool.take_back(buffer, Loan::receive).error(), Err::protocol);
    ASSERT_TRUE(pool.free(here));
}

/// Whatever comes back in whatever order, no buffer is in two places.
TEST(Lender, NoBufferIsEverInTwoPlaces) {
    const uint32_t seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random{seed};
    Lender<32> pool{32};
    std::array<int, 32> at{}; // 0 free, 1 here, 2 and 3 lent
    for (unsigned step = 0; step < 20000; ++step) {
        const uint32_t buffer = random() % 40;
        const auto loan = random() % 2 == 0 ? Loan::receive : Loan::transmit;
        const int lent = loan == Loan::receive ? 2 : 3, was = buffer < 32 ? at[buffer] : -1;
        switch (random() % 4) {
        case 0:
            if (const auto got = pool.allocate()) {
                ASSERT_EQ(std::exchange(at[*got], 1), 0);
            }
            break;
        case 1:
            ASSERT_EQ(pool.lend(buffer, loan).has_value(), was == 1);
            if (was == 1) at[buffer] = lent;
            break;
        case 2:
            ASSERT_EQ(pool.take_back(buffer, loan).has_value(), was == lent);
            if (was == lent) at[buffer] = 1;
            break;
        default:
            ASSERT_EQ(pool.free(buffer).has_value(), was == 1);
            if (was == 1) at[buffer] = 0;
        }
        ASSERT_EQ(pool.available(), size_t(std::ranges::count(at, 0)));
    }
}

TEST(Custody, NoticesWhatComesTwiceOrLeavesWithoutHavingCome) {
    Custody<65> custody;
    EXPECT_EQ(custody.leave(64).error(), Err::protocol);
    EXPECT_TRUE(custody.enter(64));
    EXPECT_EQ(custody.enter(64).error(), Err::protocol);
    EXPECT_EQ(custody.enter(65).error(), Err::protocol);
    EXPECT_TRUE(custody.leave(64));
    EXPECT_EQ(custody.held(), 0u);
}

} // namespace
