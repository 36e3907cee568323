// Losing: RFC 6298, RFC 5681, RFC 6582, RFC 3042.
#include "tests/net/tcp_script.hpp"

using namespace net;
using namespace bench;
using tcp::State;

struct TcpLoss : TcpScript {
    /// Ten segments in flight, the peer's window wide.
    void ten_in_flight() {
        establish();
        EXPECT_EQ(*write(14600), 14600u);
        for (uint32_t i = 0; i < 10; ++i) {
            const uint32_t from = 1 + i * 1460;
            sends(
                std::string(i == 9 ? "P. " : ". ") + std::to_string(from) + ":" +
                std::to_string(from + 1460) + "(1460) ack 1"
            );
        }
        silent();
    }

    void duplicate_acks(int count, const std::string& ack) {
        for (int i = 0; i < count; ++i)
            receives(". 1:1(0) ack " + ack);
    }
};

TEST_F(TcpLoss, TheTimerRepeatsWithBackOff) {
    establish();
    EXPECT_EQ(*write(10), 10u);
    sends("P. 1:11(10) ack 1");
    for (const int64_t due : {200, 600, 1400, 3000}) {
        at(due - 20);
        silent();
        at(due + 20);
        sends("P. 1:11(10) ack 1");
    }
    receives(". 1:1(0) ack 11");
    at(100'000);
    silent();
    EXPECT_EQ(details().timeouts, 4u);
    EXPECT_EQ(details().congestion_window_bytes, 2u * 1460 - 1450) << "one segment, grown by ten";
}

TEST_F(TcpLoss, TheTimeoutFollowsTheRoundTrip) {
    establish();
    for (int i = 0; i < 40; ++i) {
        EXPECT_EQ(*write(100), 100u);
        host.now = host.now + milliseconds(300);
        host.stack->advance(host.now);
        host.wire.sent.clear();
        receives(". 1:1(0) ack " + std::to_string(1 + 100 * (i + 1)));
    }
    EXPECT_NEAR(double(details().smoothed_rtt.ms()), 300, 5);
    EXPECT_GT(details().retransmission_timeout, milliseconds(300));
    EXPECT_LT(details().retransmission_timeout, milliseconds(700));
}

TEST_F(TcpLoss, ARepeatedSegmentIsNotTimed) {
    establish();
    EXPECT_EQ(*write(10), 10u);
    const Duration before = details().smoothed_rtt;
    at(220);
    host.wire.sent.clear();
    at(221);
    receives(". 1:1(0) ack 11");
    EXPECT_EQ(details().smoothed_rtt, before) << "Karn";
}

TEST_F(TcpLoss, ThreeDuplicatesRepeatTheFirstSegment) {
    ten_in_flight();
    duplicate_acks(2, "1");
    silent();
    duplicate_acks(1, "1");
    sends(". 1:1461(1460) ack 1");
    silent();
    EXPECT_EQ(details().slow_start_threshold_bytes, 7300u);
    EXPECT_EQ(details().congestion_window_bytes, 7300u + 3 * 1460);
    duplicate_acks(6, "1");
    receives(". 1:1(0) ack 14601");
    EXPECT_LE(details().congestion_window_bytes, 7300u);
    EXPECT_EQ(details().timeouts, 0u);
}

TEST_F(TcpLoss, LimitedTransmitSendsNewDataOnTheFirstTwoDuplicates) {
    ten_in_flight();
    EXPECT_EQ(*write(2920), 2920u);
    silent();
    duplicate_acks(1, "1");
    sends(". 14601:16061(1460) ack 1");
    duplicate_acks(1, "1");
    sends("P. 16061:17521(1460) ack 1");
    duplicate_acks(1, "1");
    sends(". 1:1461(1460) ack 1");
}

TEST_F(TcpLoss, PartialAcksShowTheNextHole) {
    ten_in_flight(); // the first, the fourth and the eighth are lost
    duplicate_acks(7, "1");
    sends(". 1:1461(1460) ack 1");
    receives(". 1:1(0) ack 4381");
    sends(". 4381:5841(1460) ack 1");
    receives(". 1:1(0) ack 10221");
    sends(". 10221:11681(1460) ack 1");
    receives(". 1:1(0) ack 14601");
    silent();
    EXPECT_EQ(details().timeouts, 0u);
    EXPECT_EQ(details().retransmitted_segments, 3u);
    EXPECT_EQ(details().slow_start_threshold_bytes, 7300u) << "halved once, not three times";
}

TEST_F(TcpLoss, DuplicatesAfterATimeoutDoNotHalveAgain) {
    ten_in_flight();
    at(220);
    sends(". 1:1461(1460) ack 1");
    const uint32_t threshold = details().slow_start_threshold_bytes;
    duplicate_acks(5, "1");
    EXPECT_EQ(details().slow_start_threshold_bytes, threshold);
    silent();
}

TEST_F(TcpLoss, AnythingButABareRepeatIsNoDuplicate) {
    ten_in_flight();
    receives(". 1:1(0) ack 1 win 60000");
    receives(". 1:1(0) ack 1 win 61000");
    receives(". 1:1(0) ack 1 win 62000");
    receives("P. 1:2(1) ack 1 win 62000");
    receives("P. 2:3(1) ack 1 win 62000");
    receives("P. 3:4(1) ack 1 win 62000");
    EXPECT_EQ(details().duplicate_acks, 0u);
}

TEST_F(TcpLoss, AfterATimeoutTheWindowStartsFromOneSegment) {
    ten_in_flight();
    at(220);
    sends(". 1:1461(1460) ack 1");
    silent();
    receives(". 1:1(0) ack 1461");
    sends(". 1461:2921(1460) ack 1");
    sends(". 2921:4381(1460) ack 1");
    silent();
    receives(". 1:1(0) ack 14601");
    EXPECT_EQ(details().in_flight_bytes, 0u);
}

TEST_F(TcpLoss, AnIdleConnectionStartsAgainGently) {
    establish();
    for (uint32_t ack = 14601, round = 0; round < 4; ++round, ack += 14600) {
        EXPECT_EQ(*write(14600), 14600u);
        at(10 + round);
        host.wire.sent.clear();
        receives(". 1:1(0) ack " + std::to_string(ack));
    }
    EXPECT_GT(details().congestion_window_bytes, 14600u);
    at(5000);
    EXPECT_EQ(*write(10), 10u);
    EXPECT_EQ(details().congestion_window_bytes, 14600u);
}
