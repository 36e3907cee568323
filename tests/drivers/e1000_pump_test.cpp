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
    EXPECT_EQ(tx.room(), netq::request_pieces_max) << "a whole request and its context, or none";
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

/// A TCP segment to be cut, in buffers from `first` on, with 54 bytes of headers.
class Cutting : public Pumping {
  protected:
    static constexpr uint8_t headers = 54;

    /// What the stack leaves in the field of a segment's checksum: the addresses and the protocol.
    static void lay_headers(std::span<std::byte> at) {
        constexpr uint8_t bytes[headers] = {2,    0,    0,    0, 0,    1,    2,    0,    0,  0, 0,
                                            2,    8,    0, // Ethernet
                                            0x45, 0,    0,    0, 0xFF, 0xFF, 0x40, 0,    64, 6, 0,
                                            0,    10,   0,    0, 2,    10,   0,    0,    1, // IP
                                            0,    80,   0,    9, 0xFF, 0xFF, 0xFF, 0xFE, 0,  0, 0,
                                            1,    0x50, 0x19, 1, 0,    0x14, 0x09, 0,    0};
        std::ranges::transform(bytes, at.begin(), [](uint8_t b) { return std::byte{b}; });
    }

    std::vector<netq::Descriptor> train(uint32_t first, size_t data, uint16_t segment) {
        std::vector<netq::Descriptor> pieces;
        uint8_t n = 0;
        for (size_t left = headers + data; left != 0;) {
            const auto bytes = static_cast<uint16_t>(std::min<size_t>(left, buffer_bytes));
            pieces.push_back({first++, 0, bytes, std::to_underlying(netq::Flag::more), 0, 0, 0});
            for (std::byte& b : area.data(pieces.back()))
                b = std::byte{n++};
            left -= bytes;
        }
        lay_headers(area.data(pieces.front()));
        auto& head = pieces.front();
        head.flags = head.flags | netq::Flag::sum_tcp | netq::Flag::segment;
        head.transport_at = 34;
        head.header_bytes = headers;
        head.segment_bytes = segment;
        pieces.back().flags &= static_cast<uint16_t>(~std::to_underlying(netq::Flag::more));
        return pieces;
    }

    void push(std::span<const netq::Descriptor> pieces) {
        for (const auto& d : pieces)
            ASSERT_TRUE(stack.tx_provide.push(d));
    }

    size_t returned(uint16_t flags) {
        size_t count = 0;
        while (const auto d = *stack.tx_return.take())
            count += d->flags == flags ? 1 : 0;
        return count;
    }

    /// Over bytes with a right checksum in them the sum is all ones (RFC 1071).
    static uint32_t sum(std::span<const uint8_t> bytes, uint32_t begin = 0) {
        uint32_t sum = begin;
        for (size_t i = 0; i < bytes.size(); ++i)
            sum += uint32_t{bytes[i]} << (i % 2 == 0 ? 8 : 0);
        while (sum > 0xFFFF)
            sum = (sum & 0xFFFF) + (sum >> 16);
        return sum;
    }

    static constexpr auto not_sent = std::to_underlying(netq::Flag::not_sent);
};

TEST_F(Cutting, ATrainLeavesAsSegmentsWithRightSums) {
    push(train(7, 64000, 1460));
    card.writes.clear();
    pump.run();
    EXPECT_EQ(card.writes.size(), 1u) << "one tail for all of it";
    ASSERT_EQ(card.sent.size(), 44u);
    EXPECT_EQ(returned(0), 32u) << "every buffer comes back";
    for (size_t i = 0; i < card.sent.size(); ++i) {
        const auto& frame = card.sent[i];
        const size_t data = i + 1 < card.sent.size() ? 1460 : 64000 - 43 * 1460;
        ASSERT_EQ(frame.size(), headers + data);
        const std::span all{frame};
        EXPECT_EQ(sum(all.subspan(14, 20)), 0xFFFFu);
        const auto pseudo = static_cast<uint32_t>(6 + 20 + data);
        EXPECT_EQ(sum(all.subspan(34), sum(all.subspan(26, 8), pseudo)), 0xFFFFu);
        EXPECT_EQ(FakeCard::get(frame, 16, 2), 40 + data);
        EXPECT_EQ(FakeCard::get(frame, 18, 2), (0xFFFF + i) & 0xFFFF);
        EXPECT_EQ(FakeCard::get(frame, 38, 4), static_cast<uint32_t>(0xFFFF'FFFE + i * 1460));
        EXPECT_EQ(frame[47], i + 1 < card.sent.size() ? 0x10 : 0x19) << "PUSH and FIN end it";
        EXPECT_EQ(frame[54], static_cast<uint8_t>((headers + i * 1460) % 256)) << "and the data";
    }
}

TEST_F(Cutting, ATrainMayComeInTwoBatches) {
    const auto pieces = train(0, 6000, 1000);
    push(std::span{pieces}.first(2));
    pump.run();
    EXPECT_TRUE(card.sent.empty());
    EXPECT_FALSE(pump.has_work()) << "the rest will ring";
    push(std::span{pieces}.subspan(2));
    pump.run();
    EXPECT_EQ(card.sent.size(), 6u);
    EXPECT_EQ(returned(0), pieces.size());
}

TEST_F(Cutting, SumsAreFilledIntoAFrameThatIsNotCut) {
    auto d = train(3, 101, 1)[0];
    d.flags = std::to_underlying(netq::Flag::sum_tcp);
    std::byte* field = area.data(d).data() + 50;
    field[1] = std::byte{static_cast<uint8_t>(0x09 + 121)}; // the length is in the sum now
    push({&d, 1});
    pump.run();
    ASSERT_EQ(card.sent.size(), 1u);
    const std::span all{card.sent[0]};
    EXPECT_EQ(sum(all.subspan(34), sum(all.subspan(26, 8), 6 + 121)), 0xFFFFu);
    EXPECT_EQ(FakeCard::get(card.sent[0], 24, 2), 0u) << "the header's own sum is the stack's";
}

TEST_F(Cutting, TrainsAndFramesFollowEachOtherThroughAFullRing) {
    card.send_at_once = false;
    size_t wanted = 0;
    for (uint32_t i = 0; i < 8; ++i) {
        push(train(i * 40, 64000, 1460));
        send(i * 40 + 39, 60, 9);
        wanted += 45;
    }
    for (unsigned runs = 0; runs < 8; ++runs) {
        pump.run();
        card.transmit();
    }
    pump.run();
    EXPECT_EQ(card.sent.size(), wanted);
    EXPECT_EQ(returned(0), 8 * 33u);
    EXPECT_TRUE(tx.empty());
    EXPECT_EQ(pump.counters().foreign + pump.counters().not_sent, 0u);
}

TEST_F(Cutting, AskedForMoreThanTheCardSendsItGivesBack) {
    auto pieces = train(0, 3000, 1461); // 54 + 1461 is one too many
    push(pieces);
    pump.run();
    EXPECT_EQ(returned(not_sent), pieces.size());
    EXPECT_TRUE(card.sent.empty());
    send(0, 60, 1);
    pump.run();
    EXPECT_EQ(card.sent.size(), 1u) << "its buffers are the stack's again";
}

TEST_F(Cutting, ATrainWithoutEndGoesBack) {
    for (uint32_t i = 0; i < 100; ++i)
        ASSERT_TRUE(stack.tx_provide.push({i, 0, 100, std::to_underlying(netq::Flag::more)}));
    send(100, 60, 1);
    send(101, 60, 2);
    pump.run();
    pump.run();
    EXPECT_EQ(returned(not_sent), 101u);
    ASSERT_EQ(card.sent.size(), 1u);
    EXPECT_EQ(card.sent[0], frame(60, 2)) << "what follows its end is whole";
}

TEST_F(Cutting, ATrainCutOffByAForeignBufferGoesBack) {
    auto pieces = train(0, 6000, 1000);
    pieces[1].buffer = area.layout().buffers;
    push(std::span{pieces}.first(2));
    send(50, 60, 1);
    pump.run();
    EXPECT_EQ(pump.counters().foreign, 1u);
    EXPECT_EQ(card.sent.size(), 1u);
    EXPECT_EQ((*stack.tx_return.take())->flags, not_sent);
    EXPECT_EQ((*stack.tx_return.take())->buffer, 50u);
}

TEST_F(Cutting, ACardThatWasResetGoesOnWithWhatItHadNotSent) {
    card.send_at_once = false;
    push(train(0, 6000, 1000));
    push(train(10, 6000, 1000));
    pump.run();
    card.cutting_context = {};
    ASSERT_TRUE(device.reset([](Duration) {}));
    card.send_at_once = true;
    device.start(rx, tx);
    EXPECT_EQ(card.sent.size(), 12u);
    pump.run();
    EXPECT_EQ(returned(0), 6u);
}

TEST_F(Pumping, TellsWhatTheCardHasCheckedAndOnlyThat) {
    constexpr uint8_t ip_summed = 1 << 6, tcp_summed = 1 << 5, ignore = 1 << 2;
    constexpr uint8_t ip_error = 1 << 6, tcp_error = 1 << 5;

    struct Case {
        uint8_t status, errors;
        bool checked;
    };

    constexpr Case cases[] = {
        {0, 0, false},
        {ip_summed, 0, false},
        {tcp_summed, 0, false},
        {ip_summed | tcp_summed, 0, true},
        {ip_summed | tcp_summed | ignore, 0, false},
        {ip_summed | tcp_summed, ip_error, false},
        {ip_summed | tcp_summed, tcp_error, false},
    };
    for (const Case& c : cases) {
        provide(0, 1);
        pump.run();
        ASSERT_TRUE(card.receive(frame(60, 1), c.errors, true, c.status));
        pump.run();
        const auto got = *stack.rx_return.take();
        ASSERT_TRUE(got) << "a wrong sum is the stack's to count";
        EXPECT_EQ(got->has(netq::Flag::sums_checked), c.checked) << unsigned{c.status};
    }
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
