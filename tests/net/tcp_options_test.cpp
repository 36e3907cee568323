// Timestamps and PAWS (RFC 7323), selective acknowledgements (RFC 2018, 6675).
#include "net/tcp/congestion.hpp"
#include "tests/net/tcp_script.hpp"

using namespace net;
using namespace bench;
using tcp::State;

struct TcpTimestamps : TcpScript {
    TcpTimestamps() { peer_clock = 1000; }
};

TEST_F(TcpTimestamps, AreAgreedOnInTheHandshakeAndEchoed) {
    listen();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    EXPECT_EQ(last_echo, 1000u);
    peer_clock = 1010;
    receives(". 1:1(0) ack 1");
    accept();
    EXPECT_TRUE(details().timestamps);
    EXPECT_EQ(details().send_mss_bytes, 1448u) << "twelve bytes of each segment are options";
    const uint32_t before = our_clock;
    at(1050); // ticks are 2^20 ns
    EXPECT_EQ(*write(10), 10u);
    sends("P. 1:11(10) ack 1");
    EXPECT_EQ(last_echo, 1010u);
    EXPECT_NEAR(double(our_clock - before), 1050 * 1e6 / (1 << 20), 2);
}

TEST_F(TcpTimestamps, AreNotUsedWhenThePeerDoesNotOfferThem) {
    peer_clock.reset();
    establish();
    EXPECT_EQ(*write(10), 10u);
    sends("P. 1:11(10) ack 1");
    EXPECT_TRUE(last_options.empty());
    EXPECT_FALSE(details().timestamps);
}

TEST_F(TcpTimestamps, ClocksOfDifferentPeersAreDisplacedDifferently) {
    listen();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    const uint32_t one = our_clock;
    ++peer_port;
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    EXPECT_GT(std::abs(int64_t{one} - int64_t{our_clock}), 10'000);
}

TEST_F(TcpTimestamps, AnOldSegmentIsRefusedAndAnswered) {
    establish();
    receives("P. 1:11(10) ack 1");
    peer_clock = 999;
    drops_one("P. 11:21(10) ack 1", Drop::tcp_old_timestamp);
    sends(". 1:1(0) ack 11");
    EXPECT_EQ(last_echo, 1000u);
    EXPECT_EQ(*read(), 10u);
    peer_clock = 1000;
    receives("P. 11:21(10) ack 1");
    EXPECT_EQ(*read(), 10u);
}

TEST_F(TcpTimestamps, OldBareSegmentsAreAnsweredAtALimitedRate) {
    establish();
    peer_clock = 999;
    for (int i = 0; i < 50; ++i)
        drops_one(". 1:1(0) ack 1", Drop::tcp_old_timestamp);
    EXPECT_EQ(host.wire.sent.size(), 10u);
}

TEST_F(TcpTimestamps, AResetIsHeardWhateverItsTimestamp) {
    establish();
    peer_clock = 1;
    receives("R 1:1(0)");
    EXPECT_EQ(state(), State::closed);
}

TEST_F(TcpTimestamps, ASegmentWithoutOneIsDroppedInSilence) {
    establish();
    drops_one("P. 1:11(10) ack 1 bare", Drop::tcp_no_timestamp);
    silent();
    EXPECT_EQ(read().error(), Err::would_block);
}

TEST_F(TcpTimestamps, TheClockMayWrap) {
    peer_clock = 0xffff'fff0;
    establish();
    peer_clock = 5;
    receives("P. 1:11(10) ack 1");
    EXPECT_EQ(*read(), 10u);
    peer_clock = 0xffff'fff8;
    drops_one("P. 11:21(10) ack 1", Drop::tcp_old_timestamp);
}

TEST_F(TcpTimestamps, After24DaysTheLastOneSaysNothing) {
    establish();
    peer_clock = 999;
    host.now = host.now + seconds(24 * 24 * 3600 + 1);
    host.stack->advance(host.now);
    receives("P. 1:11(10) ack 1");
    EXPECT_EQ(*read(), 10u);
}

TEST_F(TcpTimestamps, OnlyWhatReachesTheLastAckUpdatesTheEcho) {
    establish();
    peer_clock = 1020;
    receives(". 101:201(100) ack 1"); // behind a hole: the echo stays (RFC 7323 4.3)
    sends(". 1:1(0) ack 1");
    EXPECT_EQ(last_echo, 1000u);
    peer_clock = 1010;
    receives(". 1:101(100) ack 1");
    sends(". 1:1(0) ack 201");
    EXPECT_EQ(last_echo, 1010u);
}

TEST_F(TcpTimestamps, OfADelayedAckTheFirstSegmentIsEchoed) {
    establish();
    peer_clock = 1001;
    receives(". 1:101(100) ack 1");
    peer_clock = 1002;
    receives(". 101:201(100) ack 1");
    sends(". 1:1(0) ack 201");
    EXPECT_EQ(last_echo, 1001u);
}

TEST_F(TcpTimestamps, ARepeatedSegmentCanBeTimedByItsEcho) {
    establish();
    EXPECT_EQ(*write(10), 10u);
    sends("P. 1:11(10) ack 1");
    at(220);
    sends("P. 1:11(10) ack 1");
    at(320);
    receives(". 1:1(0) ack 11");
    EXPECT_NEAR(double(details().smoothed_rtt.ms()), 100 / 8, 3) << "the handshake took no time";
    EXPECT_LT(details().retransmission_timeout, milliseconds(300)) << "no back-off is left";
}

TEST_F(TcpTimestamps, ALaterClockMayTakeThePlaceOfTimeWait) { // RFC 6191
    establish();
    close();
    sends("F. 1:1(0) ack 1");
    receives("F. 1:1(0) ack 2");
    sends(". 2:2(0) ack 2");
    at(1000);
    peer_first -= 5000;
    receives("S 0:0(0)");
    sends(". 2:2(0) ack 5002");
    EXPECT_EQ(host.drops(Drop::tcp_not_acceptable), 1u) << "neither number nor clock is later";
    peer_clock = 2000;
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    EXPECT_EQ(alive(), 1u);
}

TEST_F(TcpTimestamps, AnOlderClockMayNotWhateverItsNumber) { // RFC 6191 2
    establish();
    close();
    sends("F. 1:1(0) ack 1");
    receives("F. 1:1(0) ack 2");
    sends(". 2:2(0) ack 2");
    peer_first += 5000;
    peer_clock = 900;
    receives("S 0:0(0)");
    EXPECT_NE(next(), "S. 0:0(0) ack 1");
    peer_clock = 1000; // no older: the number decides
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
}

TEST_F(TcpTimestamps, AGuessedSegmentDoesNotMoveTheClock) {
    establish();
    const uint32_t good = our_first;
    our_first += 100'000; // acknowledges what was never sent
    peer_clock = 0x4000'0000;
    drops_one("P. 1:11(10) ack 1", Drop::tcp_bad_ack);
    our_first = good;
    host.wire.sent.clear();
    peer_clock = 1001;
    receives("P. 1:11(10) ack 1");
    EXPECT_EQ(*read(), 10u);
}

// --- Selective acknowledgements: what we report

struct TcpBlocks : TcpScript {
    TcpBlocks() : TcpScript{config()} { peer_options = {2, 4, 0x05, 0xb4, 1, 1, 4, 2}; }

    static Config config() {
        Config config = small_config();
        config.congestion_control = &tcp::reno();
        return config;
    }

    void sends_blocks(const std::string& segment, const std::string& blocks) {
        sends(segment);
        EXPECT_EQ(last_blocks, blocks);
    }

    /// `count` segments in flight, the peer's window wide.
    void in_flight(uint32_t count) {
        establish();
        EXPECT_EQ(*write(count * 1460), count * 1460);
        for (uint32_t i = 0; i < count; ++i) {
            sends(
                std::string(i + 1 == count ? "P. " : ". ") + std::to_string(1 + i * 1460) + ":" +
                std::to_string(1 + (i + 1) * 1460) + "(1460) ack 1"
            );
        }
    }

    static std::string range(uint32_t first, uint32_t last) {
        return std::to_string(1 + first * 1460) + ":" + std::to_string(1 + last * 1460);
    }

    /// Segments first..last-1, counted from 0, have arrived.
    void acks(uint32_t all, const std::string& blocks) {
        receives(". 1:1(0) ack " + std::to_string(1 + all * 1460) + " sack " + blocks);
    }

    void repeats(uint32_t segment) { sends(". " + range(segment, segment + 1) + "(1460) ack 1"); }
};

TEST_F(TcpBlocks, TheLatestIsReportedFirst) {
    establish();
    EXPECT_TRUE(details().selective_acks);
    receives(". 101:201(100) ack 1");
    sends_blocks(". 1:1(0) ack 1", "101:201");
    receives(". 301:401(100) ack 1");
    sends_blocks(". 1:1(0) ack 1", "301:401 101:201");
    receives(". 501:601(100) ack 1");
    sends_blocks(". 1:1(0) ack 1", "501:601 301:401 101:201");
    receives(". 201:251(50) ack 1");
    sends_blocks(". 1:1(0) ack 1", "101:251 501:601 301:401");
    receives(". 701:801(100) ack 1");
    receives(". 901:1001(100) ack 1");
    sends_blocks(". 1:1(0) ack 1", "701:801 101:251 501:601 301:401");
    sends_blocks(". 1:1(0) ack 1", "901:1001 701:801 101:251 301:401");
    receives(". 1:101(100) ack 1");
    sends_blocks(". 1:1(0) ack 251", "901:1001 701:801 301:401 501:601");
}

TEST_F(TcpBlocks, ThreeFitBesideTimestamps) {
    peer_clock = 5;
    establish();
    for (uint32_t i = 1; i <= 4; ++i) {
        const uint32_t from = 1 + i * 200;
        receives(". " + std::to_string(from) + ":" + std::to_string(from + 100) + "(100) ack 1");
        host.wire.sent.resize(1);
        if (i < 4) host.wire.sent.clear();
    }
    sends_blocks(". 1:1(0) ack 1", "801:901 601:701 401:501");
    EXPECT_EQ(last_options.size(), 40u);
}

TEST_F(TcpBlocks, DataMakeRoomForThem) {
    establish();
    receives(". 101:201(100) ack 1");
    sends_blocks(". 1:1(0) ack 1", "101:201");
    EXPECT_EQ(*write(1460), 1460u);
    sends_blocks(". 1:1449(1448) ack 1", "101:201");
    sends_blocks("P. 1449:1461(12) ack 1", "101:201");
}

TEST_F(TcpBlocks, AreNotSentToWhoDidNotAskForThem) {
    peer_options = {2, 4, 0x05, 0xb4};
    establish();
    receives(". 101:201(100) ack 1");
    sends_blocks(". 1:1(0) ack 1", "");
}

// --- … and what we make of the peer's

TEST_F(TcpBlocks, ThreeReportsRepeatWhatIsMissing) {
    in_flight(10); // the first is lost
    acks(0, range(1, 2));
    acks(0, range(1, 3));
    silent();
    acks(0, range(1, 4));
    repeats(0);
    silent();
    EXPECT_EQ(details().slow_start_threshold_bytes, 7300u);
    EXPECT_EQ(details().congestion_window_bytes, 7300u) << "the pipe is counted, not guessed";
    acks(10, range(4, 5));
    EXPECT_EQ(details().retransmitted_segments, 1u);
    EXPECT_EQ(details().timeouts, 0u);
}

TEST_F(TcpBlocks, OneReportOfMuchIsEnough) {
    in_flight(10);
    acks(0, range(1, 4)); // two acknowledgements were lost
    repeats(0);
    silent();
}

TEST_F(TcpBlocks, SeveralHolesAreFilledInOneRoundTrip) {
    in_flight(10); // 0, 2 and 4 are lost
    acks(0, range(1, 2));
    acks(0, range(3, 4) + " " + range(1, 2));
    silent();
    acks(0, range(5, 6) + " " + range(3, 4) + " " + range(1, 2));
    repeats(0); // at once, though the pipe holds 2, 4, 6 to 9 and this one: seven segments
    silent();
    acks(0, range(5, 7) + " " + range(3, 4) + " " + range(1, 2));
    silent(); // 2 is lost, but 0, 4, 7, 8 and 9 fill the window
    acks(0, range(5, 8) + " " + range(3, 4) + " " + range(1, 2));
    repeats(2);
    repeats(4);
    silent();
    acks(0, range(5, 10) + " " + range(3, 4) + " " + range(1, 2));
    silent();
    acks(2, range(5, 10) + " " + range(3, 4));
    acks(10, "1:1");
    EXPECT_EQ(details().retransmitted_segments, 3u);
    EXPECT_EQ(details().timeouts, 0u);
    EXPECT_EQ(details().slow_start_threshold_bytes, 7300u) << "reduced once";
}

TEST_F(TcpBlocks, LimitedTransmitByThePipe) {
    in_flight(10);
    EXPECT_EQ(*write(2920), 2920u);
    silent();
    acks(0, range(1, 2));
    sends(". 14601:16061(1460) ack 1");
    acks(0, range(1, 3));
    sends("P. 16061:17521(1460) ack 1");
}

TEST_F(TcpBlocks, NewDataFollowWhenTheHolesAreFilled) {
    in_flight(10);
    EXPECT_EQ(*write(14600), 14600u);
    silent();
    acks(0, range(1, 4));
    repeats(0);
    acks(0, range(1, 7));
    sends(". 14601:16061(1460) ack 1");
    silent();
}

TEST_F(TcpBlocks, TheLastIsRepeatedOnceInCaseItsLossCannotBeSeen) {
    in_flight(10); // 0 and 9 are lost
    acks(0, range(1, 9));
    repeats(0);
    sends("P. 13141:14601(1460) ack 1");
    silent();
    acks(9, "1:1");
    silent();
}

TEST_F(TcpBlocks, WhatThePeerHoldsIsNotRepeatedAfterATimeout) {
    in_flight(10);
    acks(0, range(1, 2));
    at(250);
    repeats(0);
    silent();
    acks(2, "1:1");
    repeats(2);
    repeats(3);
    repeats(4);
    silent();
    EXPECT_EQ(details().retransmitted_segments, 4u);
}

TEST_F(TcpBlocks, APeerThatDropsWhatItHeldIsBelievedAfterTheSecondTimeout) {
    in_flight(3);
    acks(0, range(1, 2));
    at(250);
    repeats(0);
    at(700);
    repeats(0);
    receives(". 1:1(0) ack 1461");
    repeats(1);
    sends("P. " + range(2, 3) + "(1460) ack 1");
}

TEST_F(TcpBlocks, APeerThatAcknowledgesLessThanItHeldHasDroppedIt) {
    in_flight(10);
    acks(0, range(1, 2));
    acks(1, "1461:1461");
    at(250);
    repeats(1);
}

TEST_F(TcpBlocks, NonsenseIsIgnored) {
    in_flight(10);
    acks(0, "99999:100000 14601:16000 2000:1000 5:5");
    acks(0, "0:1");
    for (int i = 0; i < 5; ++i)
        acks(0, "20000:30000");
    silent();
    EXPECT_EQ(details().duplicate_acks, 0u);
    acks(10, "1:1");
    EXPECT_EQ(details().in_flight_bytes, 0u);
}

TEST_F(TcpBlocks, RepeatedReportsAreNoNews) {
    in_flight(10);
    for (int i = 0; i < 9; ++i)
        acks(0, range(1, 2));
    silent();
    EXPECT_EQ(details().duplicate_acks, 1u);
}

TEST_F(TcpBlocks, TheFinCanBeMissingAndIsRepeated) {
    establish();
    EXPECT_EQ(*write(100), 100u);
    sends("P. 1:101(100) ack 1");
    shutdown();
    sends("F. 101:101(0) ack 1");
    receives(". 1:1(0) ack 1 sack 101:102");
    at(250);
    sends("P. 1:101(100) ack 1");
    receives(". 1:1(0) ack 102");
    EXPECT_EQ(state(), State::fin_wait_2);
}
