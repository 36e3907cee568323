#include <gtest/gtest.h>

#include <algorithm>

#include "drivers/e1000/device.hpp"
#include "tests/drivers/fake_e1000.hpp"

namespace {

using namespace e1000;

class Card : public testing::Test {
  protected:
    static constexpr uint64_t rx_base = 0x1'0010'0000, tx_base = 0x20'0000, pool = 0x40'0000;
    std::array<Descriptor, ring_slots> rx_memory{}, tx_memory{};
    std::vector<std::byte> buffers{300 * buffer_bytes};
    FakeCard card;
    Device<CardIo> device{CardIo{&card}};
    RxRing rx{rx_memory, phys(rx_base)};
    TxRing tx{tx_memory, phys(tx_base)};
    Duration waited{};

    void SetUp() override {
        card.memory[rx_base] = std::as_writable_bytes(std::span{rx_memory});
        card.memory[tx_base] = std::as_writable_bytes(std::span{tx_memory});
        card.memory[pool] = buffers;
    }

    auto delay() {
        return [this](Duration d) { waited = waited + d; };
    }

    static PhysAddr buffer(uint32_t i) { return phys(pool + i * buffer_bytes); }

    void start(uint32_t provided) {
        ASSERT_TRUE(device.reset(delay()));
        for (uint32_t i = 0; i < provided; ++i)
            ASSERT_TRUE(rx.provide(buffer(i), i));
        device.start(rx, tx);
        card.writes.clear();
        card.loads = 0;
    }

    static std::vector<uint8_t> frame(size_t bytes, uint8_t fill) {
        return std::vector<uint8_t>(bytes, fill);
    }

    size_t stores_to(uint32_t offset) {
        return static_cast<size_t>(
            std::ranges::count(card.writes, offset, &std::pair<uint32_t, uint32_t>::first)
        );
    }
};

TEST_F(Card, TakesItsAddressFromTheReceiveRegister) {
    card.cells[0x5400] = 0x1200'5452;
    card.cells[0x5404] = 0x8000'7856;
    EXPECT_EQ(*device.reset(delay()), (MacAddress{0x52, 0x54, 0, 0x12, 0x56, 0x78}));
    EXPECT_EQ(card.cells[0x5404], 0x8000'7856u);
    EXPECT_GE(waited, milliseconds(15));
}

TEST_F(Card, FallsBackToTheEeprom) {
    card.cells[0x5404] = 0x0000'FFFF; // not marked valid
    EXPECT_EQ(*device.reset(delay()), (MacAddress{0x52, 0x54, 0, 0x12, 0x34, 0x56}));
    EXPECT_EQ(card.cells[0x5400], 0x1200'5452u) << "and programs it itself";
    EXPECT_EQ(card.cells[0x5404], 0x8000'5634u);
}

TEST_F(Card, IsAFaultWithoutAnAddress) {
    card.eeprom = {0x0001, 0, 0}; // a multicast address
    EXPECT_EQ(device.reset(delay()).error(), Err::device_fault);
    card.eeprom_works = false;
    EXPECT_EQ(device.reset(delay()).error(), Err::device_fault);
}

TEST_F(Card, IsAFaultWhenItDoesNotAnswer) {
    card.reset_sticks = true;
    EXPECT_EQ(device.reset(delay()).error(), Err::device_fault);
    EXPECT_LT(waited, seconds(1)) << "the wait is bounded";
    card.dead = true;
    EXPECT_EQ(device.reset(delay()).error(), Err::device_fault);
    EXPECT_EQ(device.acknowledge().error(), Err::device_fault);
    EXPECT_EQ(device.link().error(), Err::device_fault);
    EXPECT_EQ(device.read_statistics().received, 0u);
}

TEST_F(Card, ResetLeavesNoFilterOrInterruptOfItsPast) {
    card.cells[0x5200 + 4 * 77] = 0xFFFF'FFFF;
    card.cells[0x5404 + 8 * 3] = 0x8000'0000;
    card.cells[0xD0] = 0xFFFF;
    card.cells[0xC0] = 0x80;
    card.cells[0x4074] = 9;
    ASSERT_TRUE(device.reset(delay()));
    EXPECT_EQ(card.cells[0x5200 + 4 * 77], 0u);
    EXPECT_EQ(card.cells[0x5404 + 8 * 3], 0u);
    EXPECT_EQ(card.cells[0xD0], 0u);
    EXPECT_FALSE(card.interrupting());
    EXPECT_EQ(device.read_statistics().received, 0u) << "counted from here on";
}

TEST_F(Card, StartsBothRingsAndEnablesReceiveLastAndOnce) {
    ASSERT_TRUE(device.reset(delay()));
    ASSERT_TRUE(rx.provide(buffer(0), 0));
    card.writes.clear();
    device.start(rx, tx);
    EXPECT_EQ(card.cells[0x2800], 0x0010'0000u);
    EXPECT_EQ(card.cells[0x2804], 1u) << "the ring may lie above 4 GiB";
    EXPECT_EQ(card.cells[0x2808], 4096u);
    EXPECT_EQ(card.cells[0x2818], 1u);
    EXPECT_EQ(card.cells[0x100], 0x0400'8102u);
    EXPECT_EQ(card.cells[0x400], 0x0004'00FAu);
    EXPECT_EQ(card.cells[0x410], 0x0060'200Au);
    EXPECT_EQ(card.cells[0xD0], 0xD4u);
    EXPECT_EQ(stores_to(0x100), 1u) << "each write of Rctl silences QEMU's card for a second";
    EXPECT_EQ(card.writes.back().first, 0x100u);
}

TEST_F(Card, ReceivesInOrderAndGivesBuffersBack) {
    start(8);
    ASSERT_TRUE(card.receive(frame(60, 0xA1)));
    ASSERT_TRUE(card.receive(frame(1514, 0xA2)));
    EXPECT_TRUE(card.interrupting());
    const auto work = device.acknowledge();
    ASSERT_TRUE(work);
    EXPECT_TRUE(work->receive);
    EXPECT_FALSE(work->link || work->overrun || work->sent);
    EXPECT_FALSE(card.interrupting()) << "reading acknowledges";
    auto got = rx.take();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->tag, 0u);
    EXPECT_EQ(got->bytes, 60);
    EXPECT_EQ(buffers[0], std::byte{0xA1});
    got = rx.take();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->tag, 1u);
    EXPECT_EQ(got->bytes, 1514);
    EXPECT_FALSE(rx.take());
    EXPECT_EQ(rx.counters().frames, 2u);
    EXPECT_EQ(rx.counters().bytes, 1574u);
    EXPECT_EQ(card.loads, 1u) << "one register load for the whole batch";
}

TEST_F(Card, WritesATailOnceABatch) {
    start(0);
    for (uint32_t i = 0; i < 20; ++i)
        ASSERT_TRUE(rx.provide(buffer(i), i));
    device.publish(rx);
    device.publish(rx);
    EXPECT_EQ(stores_to(0x2818), 1u);
    for (uint32_t i = 20; i < 40; ++i)
        ASSERT_TRUE(tx.send(buffer(i), 60, i));
    EXPECT_TRUE(card.sent.empty()) << "not before the tail";
    device.publish(tx);
    device.publish(tx);
    EXPECT_EQ(stores_to(0x3818), 1u);
    EXPECT_EQ(card.sent.size(), 20u);
}

TEST_F(Card, GoesRoundItsRingsForEver) {
    start(ring_slots - 1);
    for (uint32_t i = 0; i < 5 * ring_slots; ++i) {
        ASSERT_TRUE(card.receive(frame(64, static_cast<uint8_t>(i)))) << i;
        const auto got = rx.take();
        ASSERT_TRUE(got) << i;
        EXPECT_EQ(buffers[got->tag * buffer_bytes], static_cast<std::byte>(i));
        ASSERT_TRUE(rx.provide(buffer(got->tag), got->tag));
        device.publish(rx);
        ASSERT_TRUE(tx.send(buffer(299), 64, i));
        device.publish(tx);
        ASSERT_EQ(tx.reclaim(), i);
    }
    EXPECT_EQ(card.sent.size(), 5u * ring_slots);
}

TEST_F(Card, RefusesWhatDoesNotFit) {
    start(0);
    card.send_at_once = false;
    EXPECT_EQ(tx.send(buffer(0), 1515, 0).error(), Err::message_too_long);
    EXPECT_EQ(tx.send(buffer(0), 13, 0).error(), Err::bad_argument);
    for (uint32_t i = 0; i < ring_slots - 1; ++i)
        ASSERT_TRUE(tx.send(buffer(0), 60, i));
    EXPECT_EQ(tx.send(buffer(0), 60, 0).error(), Err::no_space);
    EXPECT_EQ(tx.counters().full, 1u);
    EXPECT_EQ(tx.counters().refused, 2u);
    EXPECT_FALSE(tx.reclaim()) << "nothing has left yet";
    device.publish(tx);
    card.transmit();
    for (uint32_t i = 0; i < ring_slots - 1; ++i)
        EXPECT_EQ(tx.reclaim(), i);
    EXPECT_FALSE(tx.reclaim());
    EXPECT_TRUE(tx.empty());
    for (uint32_t i = 0; i < ring_slots - 1; ++i)
        ASSERT_TRUE(rx.provide(buffer(0), i));
    EXPECT_EQ(rx.provide(buffer(0), 0).error(), Err::no_space);
}

TEST_F(Card, ReportsOverrunWhenItHasNoBuffer) {
    start(1);
    ASSERT_TRUE(card.receive(frame(60, 1)));
    EXPECT_FALSE(card.receive(frame(60, 2)));
    const auto work = device.acknowledge();
    EXPECT_TRUE(work->overrun && work->receive);
    EXPECT_EQ(device.read_statistics().no_buffer, 1u);
}

TEST_F(Card, CountsBadFramesAndReturnsTheirBuffers) {
    start(8);
    ASSERT_TRUE(card.receive(frame(60, 1), 0x01));       // CRC error
    ASSERT_TRUE(card.receive(frame(60, 1), 0x60));       // checksum errors: the stack's business
    ASSERT_TRUE(card.receive(frame(13, 1)));             // less than a header
    ASSERT_TRUE(card.receive(frame(2048, 1), 0, false)); // a frame in three buffers
    ASSERT_TRUE(card.receive(frame(2048, 1), 0, false));
    ASSERT_TRUE(card.receive(frame(100, 1), 0, true));
    ASSERT_TRUE(card.receive(frame(64, 1)));
    const std::array<uint16_t, 7> expected{0, 60, 0, 0, 0, 0, 64};
    for (uint32_t i = 0; i < expected.size(); ++i) {
        const auto got = rx.take();
        ASSERT_TRUE(got);
        EXPECT_EQ(got->tag, i);
        EXPECT_EQ(got->bytes, expected[i]) << i;
    }
    EXPECT_EQ(rx.counters().bad_frames, 1u);
    EXPECT_EQ(rx.counters().bad_lengths, 1u);
    EXPECT_EQ(rx.counters().too_long, 3u);
}

TEST_F(Card, DoesNotBelieveALengthBeyondTheBuffer) {
    start(2);
    rx_memory[0].word = 2049 | uint64_t{3} << 32;
    EXPECT_EQ(rx.take()->bytes, 0);
    EXPECT_EQ(rx.counters().bad_lengths, 1u);
}

TEST_F(Card, DoesNotBelieveADescriptorThatItNeverProvided) {
    start(1);
    for (Descriptor& d : rx_memory)
        d.word = 60 | uint64_t{3} << 32;
    for (Descriptor& d : tx_memory)
        d.word = uint64_t{1} << 32;
    EXPECT_TRUE(rx.take());
    EXPECT_FALSE(rx.take());
    EXPECT_FALSE(tx.reclaim());
}

TEST_F(Card, CountsFramesThatCollided) {
    start(0);
    ASSERT_TRUE(tx.send(buffer(0), 60, 7));
    tx_memory[0].word |= uint64_t{0b101} << 32;
    EXPECT_EQ(tx.reclaim(), 7u);
    EXPECT_EQ(tx.counters().collisions, 1u);
}

TEST_F(Card, InterruptsForSendsOnlyWhenAsked) {
    start(0);
    ASSERT_TRUE(tx.send(buffer(0), 60, 7));
    device.publish(tx);
    EXPECT_FALSE(card.interrupting());
    device.interrupt_when_sent(true);
    device.interrupt_when_sent(true);
    EXPECT_EQ(stores_to(0xD0), 1u);
    EXPECT_TRUE(card.interrupting());
    EXPECT_TRUE(device.acknowledge()->sent);
    device.interrupt_when_sent(false);
    ASSERT_TRUE(tx.send(buffer(0), 60, 8));
    device.publish(tx);
    EXPECT_FALSE(card.interrupting());
}

TEST_F(Card, TellsAForeignInterruptFromItsOwn) {
    start(0);
    EXPECT_FALSE(device.acknowledge()->any());
    card.cells[0xC0] = 4;
    EXPECT_TRUE(device.acknowledge()->link);
}

TEST_F(Card, ReadsTheLink) {
    EXPECT_EQ(*device.link(), Link{});
    card.cells[0x08] = 0x83;
    EXPECT_EQ(*device.link(), (Link{true, 1000, true}));
    card.cells[0x08] = 0x42;
    EXPECT_EQ(*device.link(), (Link{true, 100, false}));
}

TEST_F(Card, HashesGroupsIntoTheTable) {
    const std::array<MacAddress, 2> groups{
        MacAddress{0x01, 0, 0x5E, 0, 0, 0x01}, MacAddress{0x01, 0, 0x5E, 0, 0, 0x09}
    };
    EXPECT_EQ(multicast_hash(groups[0]), 0x010u);
    EXPECT_EQ(multicast_hash({0, 0, 0, 0, 0xAB, 0xCD}), 0xCDAu);
    device.set_groups(groups);
    EXPECT_EQ(card.cells[0x5200 + 4 * (0x010 / 32)], 1u << 16);
    EXPECT_EQ(card.cells[0x5200 + 4 * (0x090 / 32)], 1u << 16);
    device.set_groups({});
    EXPECT_EQ(card.cells[0x5200 + 4 * (0x090 / 32)], 0u);
}

TEST_F(Card, AddsUpWhatReadingClears) {
    start(8);
    ASSERT_TRUE(card.receive(frame(60, 1)));
    EXPECT_EQ(device.read_statistics().received, 1u);
    ASSERT_TRUE(card.receive(frame(100, 1)));
    card.cells[0x4094] = 1;
    const auto& s = device.read_statistics();
    EXPECT_EQ(s.received, 2u);
    EXPECT_EQ(s.received_bytes, 160u);
    EXPECT_EQ(s.sent_bytes, uint64_t{1} << 32);
}

TEST_F(Card, StopsForGood) {
    start(8);
    device.stop(delay());
    EXPECT_FALSE(card.receive(frame(60, 1)));
    ASSERT_TRUE(tx.send(buffer(0), 60, 7));
    device.publish(tx);
    EXPECT_TRUE(card.sent.empty());
    EXPECT_FALSE(card.interrupting());
}

TEST_F(Card, GoesOnWithItsRingsAfterAReset) {
    start(8);
    for (uint8_t i = 0; i < 3; ++i)
        ASSERT_TRUE(card.receive(frame(60, i)));
    for (uint32_t i = 0; i < 3; ++i)
        ASSERT_EQ(rx.take()->tag, i);
    card.send_at_once = false;
    ASSERT_TRUE(tx.send(buffer(0), 60, 7));
    device.publish(tx);
    ASSERT_TRUE(device.reset(delay()));
    card.send_at_once = true;
    device.start(rx, tx);
    EXPECT_EQ(card.sent.size(), 1u) << "what was queued leaves now";
    EXPECT_EQ(tx.reclaim(), 7u);
    ASSERT_TRUE(card.receive(frame(60, 9)));
    EXPECT_EQ(rx.take()->tag, 3u);
}

} // namespace
