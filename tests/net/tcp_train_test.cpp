// Several segments as one request: what a card cuts, and what we cut where it does not.
#include "tests/net/tcp_script.hpp"

using namespace net;
using namespace bench;
using tcp::State;

namespace {

constexpr LinkAbilities cuts{.sums = true, .segments = true};

} // namespace

/// On a link that cuts.
struct TcpTrain : TcpScript {
    TcpTrain() : TcpScript{small_config(), cuts} {
        peer_options = {2, 4, 0x03, 0xe8, 1, 3, 3, 7}; // MSS 1000, window scale 7
    }

    void establish_with(const std::string& scaled) {
        window = scaled;
        establish("S 0:0(0) win 65535", ". 1:1(0) ack 1 win " + window);
        host.wire.asked.clear();
    }

    /// How many bytes of each request of the link were to be cut; 0 for a plain one.
    std::vector<uint16_t> asked() {
        std::vector<uint16_t> segments;
        for (const LinkWork work : std::exchange(host.wire.asked, {}))
            segments.push_back(work.segment_bytes);
        return segments;
    }

    using Asked = std::vector<uint16_t>;

    /// Segments of 1000, the last with what is left.
    void sends_all(unsigned from, unsigned to, bool push = true) {
        for (unsigned at = from; at < to; at += 1000) {
            const unsigned end = std::min(at + 1000, to);
            const std::string flags = end == to && push ? "P. " : ". ";
            sends(
                flags + std::to_string(at) + ":" + std::to_string(end) + "(" +
                std::to_string(end - at) + ") ack 1"
            );
        }
    }

    void acks(unsigned number) {
        receives(". 1:1(0) ack " + std::to_string(number) + " win " + window);
    }

    std::string window;
};

TEST_F(TcpTrain, WhatTheWindowPermitsGoesAsOneRequest) {
    establish_with("500");
    EXPECT_EQ(*write(8000), 8000u);
    EXPECT_EQ(asked(), Asked{1000});
    sends_all(1, 8001);
    silent();
    EXPECT_EQ(details().in_flight_bytes, 8000u);
}

/// RFC 6864 4.1: a card numbers the packets that it cuts; the next is none of them.
TEST_F(TcpTrain, NoIdentificationIsUsedTwice) {
    establish_with("500");
    EXPECT_EQ(*write(4000), 4000u);
    EXPECT_EQ(*write(4000), 4000u);
    ASSERT_EQ(host.wire.sent.size(), 8u);
    const unsigned first = get16(host.wire.sent.front(), 18);
    for (unsigned i = 0; i < 8; ++i)
        EXPECT_EQ(get16(host.wire.sent.at(i), 18), uint16_t(first + i)) << i;
}

TEST_F(TcpTrain, OneSegmentIsNoTrain) {
    establish_with("500");
    EXPECT_EQ(*write(1000), 1000u);
    sends("P. 1:1001(1000) ack 1");
    EXPECT_EQ(*write(10), 10u);
    sends("P. 1001:1011(10) ack 1");
    EXPECT_EQ(asked(), (Asked{0, 0}));
}

TEST_F(TcpTrain, ASmallTailGoesAlongWhereItMightGoAlone) {
    establish_with("500");
    EXPECT_EQ(*write(2500), 2500u);
    EXPECT_EQ(asked(), Asked{1000});
    sends_all(1, 2501);
    EXPECT_EQ(*write(2500), 2500u);
    sends_all(2501, 4501, false);
    silent(); // one small segment is in flight already (Minshall)
    acks(2501);
    sends("P. 4501:5001(500) ack 1");
}

TEST_F(TcpTrain, IsNoLongerThanAPacketMayBe) {
    establish_with("2000");
    for (unsigned acked = 1; acked < 200'000;) { // slow start
        (void)write(60'000);
        host.wire.sent.clear();
        for (unsigned flying = details().in_flight_bytes; flying >= 1000; flying -= 1000)
            acks(acked += 1000);
    }
    acks(written);
    ASSERT_GE(details().congestion_window_bytes, 66'000u);
    ASSERT_EQ(details().in_flight_bytes, 0u);
    host.wire.sent.clear();
    host.wire.asked.clear();
    const unsigned from = written;
    EXPECT_EQ(*write(65'536), 65'536u);
    EXPECT_EQ(asked(), (Asked{1000, 0}));
    EXPECT_EQ(host.wire.sent.size(), 66u);
    EXPECT_EQ(details().in_flight_bytes, 65'536u);
    EXPECT_EQ(written, from + 65'536);
}

/// Two thirds of the window are on the way: what comes back for them is worth waiting for.
TEST_F(TcpTrain, WaitsForAThirdOfTheWindow) {
    establish_with("500");
    EXPECT_EQ(*write(40'000), 40'000u);
    sends_all(1, 10'001, false); // the initial window of ten
    EXPECT_EQ(asked(), Asked{1000});
    acks(1001);
    silent(); // two would fit, of a window of eleven
    acks(2001);
    sends_all(10'001, 14'001, false);
    EXPECT_EQ(asked(), Asked{1000});
}

TEST_F(TcpTrain, DoesNotWaitWhenLittleIsOnTheWay) {
    establish("S 0:0(0) win 65535", ". 1:1(0) ack 1 win 16"); // 2048
    EXPECT_EQ(*write(10'000), 10'000u);
    sends_all(1, 2001, false);
    receives(". 1:1(0) ack 1001 win 16");
    sends(". 2001:3001(1000) ack 1");
}

TEST_F(TcpTrain, TheWindowGrowsThoughTrainsWait) {
    establish_with("2000");
    EXPECT_EQ(*write(60'000), 60'000u);
    const uint32_t before = details().congestion_window_bytes;
    for (unsigned acked = 1001; acked <= 10'001; acked += 1000)
        acks(acked);
    EXPECT_EQ(details().congestion_window_bytes, before + 10'000);
}

/// RFC 2861 3: what waits for the peer's window has not tried ours.
TEST_F(TcpTrain, TheWindowDoesNotGrowWhileThePeersIsSmaller) {
    establish_with("39"); // 4992 bytes
    EXPECT_EQ(*write(60'000), 60'000u);
    const uint32_t before = details().congestion_window_bytes;
    ASSERT_GT(before, 2 * 4992u);
    for (unsigned acked = 1001; acked <= 20'001; acked += 1000)
        acks(acked);
    EXPECT_EQ(details().congestion_window_bytes, before);
}

TEST_F(TcpTrain, ARepeatedSegmentIsPlain) {
    establish_with("500");
    EXPECT_EQ(*write(8000), 8000u);
    sends_all(1, 8001);
    host.wire.asked.clear();
    at(400);
    sends(". 1:1001(1000) ack 1");
    acks(1001);
    sends(". 1001:2001(1000) ack 1");
    sends(". 2001:3001(1000) ack 1");
    for (const uint16_t segment : asked())
        EXPECT_EQ(segment, 0);
}

TEST_F(TcpTrain, TheRoundTripIsThatOfItsFirstSegment) {
    establish_with("500");
    at(100);
    EXPECT_EQ(*write(8000), 8000u);
    at(150);
    acks(1001);
    at(400);
    acks(8001);
    // RFC 6298 2.3: an eighth of 50 ms, after the handshake's 0; of the whole train, 37.5 ms.
    EXPECT_NEAR(double(details().smoothed_rtt.ns), 50e6 / 8, 1e6);
}

TEST_F(TcpTrain, TheFinComesWithItsLastSegment) {
    establish_with("500");
    receives("F. 1:1(0) ack 1 win 500"); // not plain any more
    sends(". 1:1(0) ack 2");
    host.wire.room = 0; // what is written waits
    EXPECT_EQ(*write(2500), 2500u);
    close();
    host.wire.room = SIZE_MAX;
    host.wire.asked.clear();
    host.stack->link_ready(host.now);
    EXPECT_EQ(asked(), Asked{1000});
    sends(". 1:1001(1000) ack 2");
    sends(". 1001:2001(1000) ack 2");
    sends("FP. 2001:2501(500) ack 2");
    silent();
    receives(". 2:2(0) ack 2502 win 500");
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpTrain, ACorkKeepsTheTail) {
    establish_with("500");
    ASSERT_TRUE(host.stack->tcp_configure(socket, {.cork = true}, host.now));
    EXPECT_EQ(*write(2500), 2500u);
    EXPECT_EQ(asked(), Asked{1000});
    sends_all(1, 2001, false);
    silent();
    ASSERT_TRUE(host.stack->tcp_configure(socket, {}, host.now));
    sends("P. 2001:2501(500) ack 1");
}

TEST_F(TcpTrain, AFullLinkTakesItLater) {
    establish_with("500");
    host.wire.room = 0;
    EXPECT_EQ(*write(8000), 8000u);
    silent();
    host.wire.room = SIZE_MAX;
    host.stack->link_ready(host.now);
    EXPECT_EQ(asked(), Asked{1000});
    sends_all(1, 8001);
}

/// To a neighbour that was forgotten nothing goes at once, so we cut, and what is held is plain.
TEST_F(TcpTrain, ForAnUnknownNeighbourWeCut) {
    establish_with("500");
    host.pass(seconds(65));
    host.wire.sent.clear();
    host.wire.asked.clear();
    EXPECT_EQ(*write(3000), 3000u);
    EXPECT_EQ(get16(host.next_frame(), 12), 0x0806u) << "a question";
    silent();
    host.receive(arp({.operation = 2}, our_mac));
    sends_all(1, 3001);
    for (const uint16_t segment : asked())
        EXPECT_EQ(segment, 0);
}

/// Where the link does not cut.
struct TcpTrainApart : TcpScript {};

TEST_F(TcpTrainApart, EverySegmentLeavesByItself) {
    establish();
    host.wire.asked.clear();
    EXPECT_EQ(*write(4000), 4000u);
    sends(". 1:1461(1460) ack 1");
    sends(". 1461:2921(1460) ack 1");
    sends("P. 2921:4001(1080) ack 1");
    silent();
    EXPECT_EQ(host.wire.asked.size(), 3u);
    EXPECT_EQ(host.stack->counters().tcp_out, 4u) << "and the SYN's answer";
}

TEST_F(TcpTrainApart, WhatTheLinkHasTakenIsNotSentAgain) {
    establish();
    host.wire.room = 2;
    EXPECT_EQ(*write(6000), 6000u);
    EXPECT_EQ(details().in_flight_bytes, 2920u);
    sends(". 1:1461(1460) ack 1");
    sends(". 1461:2921(1460) ack 1");
    silent();
    host.stack->link_ready(host.now);
    sends(". 2921:4381(1460) ack 1");
    sends(". 4381:5841(1460) ack 1");
    silent();
    host.wire.room = SIZE_MAX;
    host.stack->link_ready(host.now);
    sends("P. 5841:6001(160) ack 1");
    at(100);
    silent();
    EXPECT_EQ(details().retransmitted_segments, 0u);
}

/// The FIN has not gone if its segment has not.
TEST_F(TcpTrainApart, AFinThatFoundNoRoomComesLater) {
    establish();
    receives("F. 1:1(0) ack 1");
    sends(". 1:1(0) ack 2");
    host.wire.room = 0;
    EXPECT_EQ(*write(4000), 4000u);
    close();
    host.wire.room = 2;
    host.stack->link_ready(host.now);
    sends(". 1:1461(1460) ack 2");
    sends(". 1461:2921(1460) ack 2");
    silent();
    host.wire.room = SIZE_MAX;
    host.stack->link_ready(host.now);
    sends("FP. 2921:4001(1080) ack 2");
}

TEST_F(TcpTrainApart, OnTheWayToOurselvesItIsCutToo) {
    listen();
    const SocketId from = *host.stack->tcp_connect({address(our_ip), Port{80}}, {}, 3, host.now);
    accept();
    const Octets data = pattern_octets(1, 20'000);
    EXPECT_EQ(*host.stack->tcp_send(from, view(data), host.now), data.size());
    for (int64_t ms = 50; ms <= 500; ms += 50) {
        while (read()) {
        }
        at(ms);
    }
    EXPECT_EQ(was_read, 20'001u);
}
