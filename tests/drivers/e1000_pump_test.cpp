#include <gtest/gtest.h>

#include <memory>

#include "drivers/e1000/pump.hpp"
#include "tests/drivers/fake_e1000.hpp"

namespace {

using namespace e1000;

class Pumping : public testing::Test {
  protected:
    struct alignas(4096) Memory {
        std::array<std::byte, 2 << 20> bytes{};
    };

    static constexpr uint64_t rx_base = 0x10'0000, tx_base = 0x20'0000, area_at = 0x40'0000;
    std::unique_ptr<Memory> memory = std::make_unique<Memory>();
    std::array<Descriptor, ring_slots> rx_memory{}, tx_memory{};
    FakeCard card;
    Device<CardIo> device{CardIo{&card}};
    RxRing rx{rx_memory, phys(rx_base)};
    TxRing tx{tx_memory, phys(tx_base)};
    netq::Area area = *netq::Area::over(memory->bytes);
    netq::StackSide stack = area.stack();
    Pump<CardIo> pump = *Pump<CardIo>::over(device, rx, tx, area, phys(area_at));

    void SetUp() override {
        card.memory[rx_base] = std::as_writable_bytes(std::span{rx_memory});
        card.memory[tx_base] = std::as_writable_bytes(std::span{tx_memory});
        card.memory[area_at] = memory->bytes;
        ASSERT_TRUE(device.reset([](Duration) {}));
        device.start(rx, tx);
    }

    void provide(uint32_t first, uint32_t count) {
        for (uint32_t i = first; i < first + count; ++i)
            ASSERT_TRUE(stack.rx_provide.push({i, 0, 0, 0}));
    }

    void send(uint32_t buffer, uint16_t bytes, uint8_t fill, uint16_t offset = 0) {
        const netq::Descriptor d{buffer, offset, bytes, 0};
        for (std::byte& b : area.data(d))
            b = std::byte{fill};
        ASSERT_TRUE(stack.tx_provide.push(d));
    }

    std::vector<uint8_t> frame(size_t bytes, uint8_t fill) {
        return std::vector<uint8_t>(bytes, fill);
    }
};

TEST_F(Pumping, BringsFramesInTheBuffersOfTheStack) {
    provide(10, 4);
    EXPECT_FALSE(card.receive(frame(60, 1))) << "no buffer yet";
    pump.run();
    ASSERT_TRUE(card.receive(frame(60, 0x11)));
    ASSERT_TRUE(card.receive(frame(61, 0x22)));
    EXPECT_TRUE(pump.run()) << "the stack must be woken";
    const auto first = *stack.rx_return.take();
    ASSERT_TRUE(first);
    EXPECT_EQ(*first, (netq::Descriptor{10, 0, 60, 0}));
    EXPECT_EQ(area.data(*first)[59], std::byte{0x11});
    EXPECT_EQ(**stack.rx_return.take(), (netq::Descriptor{11, 0, 61, 0}));
    EXPECT_FALSE(pump.run()) << "nothing new: no bell";
}

TEST_F(Pumping, SendsAndReturnsBuffersWithOneTailWrite) {
    for (uint32_t i = 0; i < 16; ++i)
        send(i, 60, static_cast<uint8_t>(i), 18);
    card.writes.clear();
    EXPECT_FALSE(pump.run()) << "it has many others to send from: no bell";
    EXPECT_EQ(card.writes.size(), 1u) << "the tail, and nothing else";
    ASSERT_EQ(card.sent.size(), 16u);
    EXPECT_EQ(card.sent[7], frame(60, 7)) << "from its offset in the buffer";
    for (uint32_t i = 0; i < 16; ++i)
        EXPECT_EQ((*stack.tx_return.take())->buffer, i);
    EXPECT_FALSE(*stack.tx_return.take());
}

TEST_F(Pumping, WakesAStackThatMayWaitForSentBuffers) {
    const uint32_t many = area.layout().buffers / 8;
    for (uint32_t i = 0; i + 1 < many; ++i)
        send(i, 60, 1);
    EXPECT_FALSE(pump.run());
    send(many - 1, 60, 1);
    EXPECT_TRUE(pump.run());
    while (*stack.tx_return.take()) {
    }
    stack.tx_return.acknowledge();
    send(0, 60, 1);
    EXPECT_FALSE(pump.run());
}

TEST_F(Pumping, AsksForAnInterruptWhileBuffersAreInTheCard) {
    card.send_at_once = false;
    send(1, 60, 1);
    pump.run();
    EXPECT_FALSE(card.interrupting());
    card.transmit();
    EXPECT_TRUE(card.interrupting());
    EXPECT_TRUE(device.acknowledge()->sent);
    pump.run();
    EXPECT_EQ((*stack.tx_return.take())->buffer, 1u);
    card.send_at_once = true;
    send(2, 60, 1);
    pump.run();
    EXPECT_FALSE(card.interrupting()) << "and not when they are back already";
}

TEST_F(Pumping, LeavesInTheQueueWhatTheCardHasNoRoomFor) {
    card.send_at_once = false;
    for (uint32_t i = 0; i < 300; ++i)
        send(i, 60, 1);
    pump.run();
    EXPECT_EQ(tx.room(), 0u);
    EXPECT_FALSE(pump.has_work()) << "it sleeps until the card has sent";
    card.transmit();
    pump.run();
    card.transmit();
    pump.run();
    EXPECT_EQ(card.sent.size(), 300u);
    for (uint32_t i = 0; i < 300; ++i)
        EXPECT_EQ((*stack.tx_return.take())->buffer, i);
    EXPECT_EQ(tx.counters().full, 0u);
}

TEST_F(Pumping, SeesWorkBeforeItSleeps) {
    EXPECT_FALSE(pump.has_work());
    send(1, 60, 1);
    EXPECT_TRUE(pump.has_work());
    pump.run();
    EXPECT_FALSE(pump.has_work());
    provide(5, 1);
    EXPECT_TRUE(pump.has_work());
    provide(10, ring_slots / 2);
    pump.run();
    provide(6, 1);
    EXPECT_FALSE(pump.has_work()) << "half of the ring is enough until the next frame";
}

TEST_F(Pumping, ReturnsUnsentWhatIsNoFrame) {
    send(1, 1515, 1);
    send(2, 13, 1);
    send(3, 1514, 1);
    pump.run();
    EXPECT_EQ(card.sent.size(), 1u);
    const auto refused = **stack.tx_return.take();
    EXPECT_EQ(refused.buffer, 1u);
    EXPECT_EQ(refused.flags, static_cast<uint16_t>(netq::Flag::not_sent));
    EXPECT_EQ(pump.counters().not_sent, 2u);
}

TEST_F(Pumping, KeepsBuffersOfBadFramesInTheCard) {
    provide(0, 2);
    pump.run();
    for (unsigned i = 0; i < 10; ++i) {
        ASSERT_TRUE(card.receive(frame(60, 1), 1)) << "its buffers go round";
        pump.run();
    }
    EXPECT_FALSE(*stack.rx_return.take());
    EXPECT_EQ(rx.counters().bad_frames, 10u);
}

TEST_F(Pumping, DropsABufferThatIsHandedOverTwice) {
    provide(3, 1);
    provide(3, 1);
    send(3, 60, 1);
    pump.run();
    EXPECT_EQ(pump.counters().foreign, 2u);
    EXPECT_TRUE(card.sent.empty());
    ASSERT_TRUE(card.receive(frame(60, 1)));
    EXPECT_FALSE(card.receive(frame(60, 1)));
    pump.run();
    provide(3, 1);
    pump.run();
    EXPECT_TRUE(card.receive(frame(60, 1))) << "once it has been returned, it may come again";
}

TEST_F(Pumping, SurvivesRubbishInEveryQueue) {
    ASSERT_TRUE(stack.rx_provide.push({area.layout().buffers, 0, 0, 0}));
    ASSERT_TRUE(stack.tx_provide.push({0xFFFF'FFFF, 0xFFFF, 0xFFFF, 0xFFFF}));
    send(1, 60, 1);
    pump.run();
    EXPECT_EQ(pump.counters().foreign, 2u);
    EXPECT_EQ(card.sent.size(), 1u);
    for (std::byte& b : std::span{memory->bytes}.first(area.layout().pool_at))
        b = std::byte{0xEE};
    pump.run();
    pump.run();
    EXPECT_FALSE(pump.has_work());
}

TEST_F(Pumping, RunsForLongWithEveryBufferInUse) {
    provide(0, 500);
    pump.run();
    uint8_t n = 0;
    for (unsigned step = 0; step < 5000; ++step) { // an echo: what comes in goes out
        ASSERT_TRUE(card.receive(frame(60, ++n)));
        pump.run();
        while (const auto got = *stack.rx_return.take())
            ASSERT_TRUE(stack.tx_provide.push(*got));
        pump.run();
        while (const auto done = *stack.tx_return.take())
            ASSERT_TRUE(stack.rx_provide.push({done->buffer, 0, 0, 0}));
        pump.run();
        ASSERT_EQ(card.sent.size(), step + 1);
        ASSERT_EQ(card.sent.back(), frame(60, n));
    }
    EXPECT_EQ(pump.counters().foreign + pump.counters().no_room + pump.counters().not_sent, 0u);
}

} // namespace
