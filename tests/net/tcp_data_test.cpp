// Data: acknowledging, sending, windows.
#include "tests/net/tcp_script.hpp"

using namespace net;
using namespace bench;
using tcp::State;

struct TcpReceive : TcpScript {};

struct TcpSend : TcpScript {};

/// The short way of input is not a way around the checks.
TEST_F(TcpReceive, WhatWasExpectedIsSummedToo) {
    establish();
    receives(". 1:1001(1000) ack 1");
    receives(". 1001:2001(1000) ack 1");
    sends(". 1:1(0) ack 2001");
    Octets damaged = segment(". 2001:3001(1000) ack 1");
    damaged.back() ^= 1;
    host.receive(damaged);
    EXPECT_EQ(host.drops(Drop::tcp_bad_checksum), 1u);
    EXPECT_EQ(details().receive_queue_bytes, 2000u);
    receives(". 2001:3001(1000) ack 1");
    EXPECT_EQ(*read(), 3000u);
}

TEST_F(TcpReceive, TheFirstSegmentIsAcknowledgedAfterADelayTheSecondAtOnce) {
    establish();
    receives("P. 1:101(100) ack 1");
    EXPECT_TRUE(heard(Event::readable));
    silent();
    at(39);
    silent();
    at(45);
    sends(". 1:1(0) ack 101");
    receives(". 101:201(100) ack 1");
    receives(". 201:301(100) ack 1");
    sends(". 1:1(0) ack 301");
    at(200);
    silent();
    EXPECT_EQ(*read(), 300u);
}

TEST_F(TcpReceive, AnAnswerCarriesTheAck) {
    establish();
    receives("P. 1:11(10) ack 1");
    EXPECT_EQ(*read(), 10u);
    EXPECT_EQ(*write(10), 10u);
    sends("P. 1:11(10) ack 11");
    at(100);
    silent();
}

TEST_F(TcpReceive, OutOfOrderDataAreKeptAndToldOfAtOnce) {
    establish();
    receives(". 101:201(100) ack 1");
    sends(". 1:1(0) ack 1");
    receives(". 301:401(100) ack 1");
    sends(". 1:1(0) ack 1");
    EXPECT_EQ(read().error(), Err::would_block);
    receives(". 1:101(100) ack 1");
    sends(". 1:1(0) ack 201");
    EXPECT_EQ(*read(), 200u);
    receives(". 201:301(100) ack 1");
    sends(". 1:1(0) ack 401");
    EXPECT_EQ(*read(), 200u);
}

TEST_F(TcpReceive, OverlapsAreCutToWhatIsNew) {
    establish();
    receives(". 1:101(100) ack 1");
    receives(". 51:151(100) ack 1");
    sends(". 1:1(0) ack 151");
    receives(". 201:301(100) ack 1");
    sends(". 1:1(0) ack 151");
    receives(". 101:251(150) ack 1");
    sends(". 1:1(0) ack 301");
    EXPECT_EQ(*read(), 300u);
}

TEST_F(TcpReceive, OldDataAreAnsweredWithAnAckAndNotDeliveredTwice) {
    establish();
    receives(". 1:101(100) ack 1");
    EXPECT_EQ(*read(), 100u);
    drops_one(". 1:101(100) ack 1", Drop::tcp_not_acceptable);
    sends(". 1:1(0) ack 101");
    EXPECT_EQ(read().error(), Err::would_block);
    drops_one(". 0:0(0) ack 1", Drop::tcp_not_acceptable); // a keep-alive
    sends(". 1:1(0) ack 101");
}

TEST_F(TcpReceive, TooManyHolesDropWithoutAcknowledging) {
    establish();
    for (uint32_t i = 0; i < 33; ++i) {
        const uint32_t from = 101 + i * 200;
        receives(". " + std::to_string(from) + ":" + std::to_string(from + 100) + "(100) ack 1");
        sends(". 1:1(0) ack 1");
    }
    EXPECT_EQ(host.drops(Drop::tcp_out_of_order_full), 1u);
    receives(". 1:101(100) ack 1");
    sends(". 1:1(0) ack 201");
}

TEST_F(TcpReceive, AFullBufferClosesTheWindowAndReadingOpensIt) {
    establish();
    uint32_t at_byte = 1;
    while (at_byte + 1024 <= 65537) {
        const std::string from = std::to_string(at_byte), to = std::to_string(at_byte + 1024);
        receives(". " + from + ":" + to + "(1024) ack 1");
        at_byte += 1024;
    }
    std::string last;
    for (std::string text = next(true); text != "nothing"; text = next(true))
        last = text;
    EXPECT_EQ(last, ". 1:1(0) ack 65537 win 0");
    receives(". 65537:65538(1) ack 1"); // a probe
    sends(". 1:1(0) ack 65537 win 0");
    EXPECT_EQ(host.drops(Drop::tcp_beyond_window), 1u);
    EXPECT_EQ(*read(1000), 1000u);
    silent(); // less than a segment: no silly window
    EXPECT_EQ(*read(1000), 1000u);
    sends(". 1:1(0) ack 65537 win 2000");
    EXPECT_EQ(*read(), 63536u);
    sends(". 1:1(0) ack 65537 win 65535");
    EXPECT_EQ(was_read, 65537u);
}

TEST_F(TcpReceive, DataBeyondTheWindowAreCutNotAcknowledged) {
    establish();
    drops_one(". 65001:66001(1000) ack 1", Drop::tcp_beyond_window);
    sends(". 1:1(0) ack 1");
    drops_one(". 70001:70002(1) ack 1", Drop::tcp_not_acceptable);
    sends(". 1:1(0) ack 1");
}

TEST_F(TcpReceive, AcksAreHeardThroughAClosedWindow) {
    establish();
    for (uint32_t from = 1; from < 65537; from += 8192) {
        // Larger than a frame would be, but the stack does not know.
        receives(". " + std::to_string(from) + ":" + std::to_string(from + 8192) + "(8192) ack 1");
    }
    host.wire.sent.clear();
    EXPECT_EQ(*write(100), 100u);
    sends("P. 1:101(100) ack 65537");
    receives(". 65537:65537(0) ack 101");
    EXPECT_EQ(details().send_queue_bytes, 0u);
    receives("R 65537:65537(0)");
    EXPECT_EQ(state(), State::closed);
}

TEST_F(TcpReceive, PeekAndConsumeWorkInPlace) {
    establish();
    receives("P. 1:11(10) ack 1");
    const auto bytes = host.stack->tcp_peek(socket);
    ASSERT_TRUE(bytes);
    EXPECT_EQ(octets_of(*bytes), pattern_octets(1, 10));
    EXPECT_TRUE(host.stack->tcp_consume(socket, 4, host.now));
    EXPECT_EQ(octets_of(*host.stack->tcp_peek(socket)), pattern_octets(5, 6));
    EXPECT_EQ(host.stack->tcp_consume(socket, 7, host.now).error(), Err::bad_argument);
}

// --- Sending

TEST_F(TcpSend, NagleWaitsForTheAckNoDelayDoesNot) {
    establish();
    EXPECT_EQ(*write(10), 10u);
    sends("P. 1:11(10) ack 1");
    EXPECT_EQ(*write(10), 10u);
    EXPECT_EQ(*write(10), 10u);
    silent();
    receives(". 1:1(0) ack 11");
    sends("P. 11:31(20) ack 1");
    EXPECT_EQ(*write(10), 10u);
    silent();
    EXPECT_TRUE(host.stack->tcp_configure(socket, {.no_delay = true}, host.now));
    sends("P. 31:41(10) ack 1");
    EXPECT_EQ(*write(10), 10u);
    sends("P. 41:51(10) ack 1");
}

TEST_F(TcpSend, TheTailOfALongWriteDoesNotWait) {
    establish();
    EXPECT_EQ(*write(2000), 2000u);
    sends(". 1:1461(1460) ack 1");
    sends("P. 1461:2001(540) ack 1");
    EXPECT_EQ(*write(10), 10u);
    silent();
    receives(". 1:1(0) ack 1461");
    silent();
    receives(". 1:1(0) ack 2001");
    sends("P. 2001:2011(10) ack 1");
}

TEST_F(TcpSend, TheInitialWindowIsTenSegmentsAndGrows) {
    establish();
    EXPECT_EQ(*write(40'000), 40'000u);
    EXPECT_EQ(host.wire.sent.size(), 10u);
    host.wire.sent.clear();
    at(10);
    receives(". 1:1(0) ack 2921");
    EXPECT_EQ(host.wire.sent.size(), 4u) << "two acknowledged, two more by slow start";
    EXPECT_EQ(details().congestion_window_bytes, 14600u + 2920);
}

TEST_F(TcpSend, ThePeersWindowIsRespected) {
    establish("S 0:0(0)", ". 1:1(0) ack 1 win 3000");
    EXPECT_EQ(*write(10'000), 10'000u);
    sends(". 1:1461(1460) ack 1");
    sends(". 1461:2921(1460) ack 1");
    silent(); // 80 bytes of window are silly
    receives(". 1:1(0) ack 2921 win 3000");
    sends(". 2921:4381(1460) ack 1");
    sends(". 4381:5841(1460) ack 1");
    silent();
}

TEST_F(TcpSend, ASmallPeerBufferIsUsedByHalves) {
    establish("S 0:0(0) win 1000", ". 1:1(0) ack 1 win 1000");
    EXPECT_EQ(*write(3000), 3000u);
    sends(". 1:1001(1000) ack 1");
    receives(". 1:1(0) ack 1001 win 499");
    silent();
    receives(". 1:1(0) ack 1001 win 500");
    sends(". 1001:1501(500) ack 1");
}

TEST_F(TcpSend, AClosedWindowIsProbedWithBackOffAsLongAsItIsAnswered) {
    establish("S 0:0(0)", ". 1:1(0) ack 1 win 0");
    EXPECT_EQ(*write(100), 100u);
    silent();
    int64_t due = 200, step = 200; // the handshake took no time: the least time-out
    for (int i = 0; i < 12; ++i) {
        at(due - 20);
        silent();
        at(due + 20);
        sends(". 1:2(1) ack 1");
        receives(". 1:1(0) ack 1 win 0");
        step = std::min<int64_t>(step * 2, 60'000);
        due += step;
    }
    EXPECT_EQ(state(), State::established);
    receives(". 1:1(0) ack 1 win 1000");
    sends("P. 1:101(100) ack 1");
    receives(". 1:1(0) ack 101 win 1000");
    EXPECT_EQ(details().in_flight_bytes, 0u);
}

TEST_F(TcpSend, AProbeThatIsTakenCounts) {
    establish("S 0:0(0)", ". 1:1(0) ack 1 win 0");
    EXPECT_EQ(*write(100), 100u);
    at(220);
    sends(". 1:2(1) ack 1");
    receives(". 1:1(0) ack 2 win 0");
    at(350);
    silent();
    receives(". 1:1(0) ack 2 win 1000");
    sends("P. 2:101(99) ack 1");
}

TEST_F(TcpSend, AWindowThatClosesUnderWayIsProbedAfterTheTimeout) {
    establish();
    EXPECT_EQ(*write(100), 100u);
    sends("P. 1:101(100) ack 1");
    receives(". 1:1(0) ack 1 win 0");
    at(5000);
    host.wire.sent.clear();
    receives(". 1:1(0) ack 1 win 1000");
    sends("P. 1:101(100) ack 1");
}

TEST_F(TcpSend, ADeadPeerBehindAClosedWindowIsGivenUp) {
    establish("S 0:0(0)", ". 1:1(0) ack 1 win 0");
    EXPECT_EQ(*write(100), 100u);
    for (int i = 1; i < 400 && state() != State::closed; ++i) {
        at(i * 1000);
    }
    EXPECT_EQ(read().error(), Err::timed_out);
}

/// Answered it may be for ever, but nobody is left who wants it: RFC 6429 4.
TEST_F(TcpSend, AClosedWindowIsNotWaitedForAfterClose) {
    establish("S 0:0(0)", ". 1:1(0) ack 1 win 0");
    EXPECT_EQ(*write(100), 100u);
    close();
    for (int i = 1; i < 400 && alive() != 0; ++i) {
        at(i * 1000);
        if (next() != "nothing") receives(". 1:1(0) ack 1 win 0");
        host.wire.sent.clear();
    }
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpSend, AnOldWindowThatWasOvertakenIsNotTaken) {
    establish();
    receives(". 11:11(0) ack 1 win 5000"); // after the next one was sent
    receives("P. 1:11(10) ack 1 win 0");
    at(100);
    sends(". 1:1(0) ack 11");
    EXPECT_EQ(*write(100), 100u);
    sends("P. 1:101(100) ack 11");
}

TEST_F(TcpSend, AFullSendBufferTellsWhenThereIsRoom) {
    establish("S 0:0(0)", ". 1:1(0) ack 1 win 60000");
    EXPECT_EQ(*write(70'000), 65'536u);
    EXPECT_EQ(write(1).error(), Err::would_block);
    host.wire.sent.clear();
    receives(". 1:1(0) ack 1461");
    EXPECT_FALSE(heard(Event::writable));
    for (uint32_t ack = 2921; ack < 20'000; ack += 1460) {
        receives(". 1:1(0) ack " + std::to_string(ack));
    }
    EXPECT_TRUE(heard(Event::writable));
    EXPECT_GT(*write(70'000), 10'000u);
}

TEST_F(TcpSend, AFullLinkHoldsSegmentsBack) {
    establish();
    host.wire.room = 3;
    EXPECT_EQ(*write(14'600), 14'600u);
    EXPECT_EQ(host.wire.sent.size(), 3u);
    sends(". 1:1461(1460) ack 1");
    sends(". 1461:2921(1460) ack 1");
    sends(". 2921:4381(1460) ack 1");
    host.stack->link_ready(host.now);
    sends(". 4381:5841(1460) ack 1");
    host.wire.room = 100;
    host.stack->link_ready(host.now);
    EXPECT_EQ(host.wire.sent.size(), 6u) << "two from before, four now";
    host.wire.sent.clear();
    receives(". 1:1(0) ack 14601");
    EXPECT_EQ(details().retransmitted_segments, 0u);
}

TEST_F(TcpSend, EveryConnectionThatWasHeldGoesOn) {
    listen();
    std::vector<SocketId> sockets;
    for (int i = 0; i < 4; ++i, ++peer_port) {
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives(". 1:1(0) ack 1");
        accept();
        sockets.push_back(socket);
    }
    host.wire.room = 0;
    for (const SocketId id : sockets) {
        ASSERT_TRUE(host.stack->tcp_send(id, view(pattern_octets(1, 10)), host.now));
    }
    ASSERT_TRUE(host.stack->tcp_abort(sockets[1], host.now));
    EXPECT_EQ(host.drops(Drop::link_full), 1u) << "its reset";
    host.wire.room = 100;
    host.stack->link_ready(host.now);
    std::vector<uint32_t> ports;
    for (const Octets& frame : host.wire.sent)
        ports.push_back(get16(frame, 36));
    EXPECT_EQ(ports, (std::vector<uint32_t>{4000, 4002, 4003})) << "the oldest first";
}

TEST_F(TcpSend, AnAckThatFindsNoRoomIsSentLater) {
    establish();
    host.wire.room = 0;
    receives(". 1:101(100) ack 1");
    receives(". 101:201(100) ack 1");
    host.wire.room = 10;
    silent();
    host.stack->link_ready(host.now);
    sends(". 1:1(0) ack 201");
}
