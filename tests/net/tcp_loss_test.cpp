// Losing: RFC 6298, RFC 5681, RFC 6582, RFC 3042.
#include "net/tcp/congestion.hpp"
#include "tests/net/tcp_script.hpp"

using namespace net;
using namespace bench;
using tcp::State;

net::Config reno_config() {
    net::Config config = small_config();
    config.congestion_control = &tcp::reno();
    return config;
}

struct TcpLoss : TcpScript {
    TcpLoss() : TcpScript{reno_config()} {}

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

// --- CUBIC (RFC 9438)

namespace {

struct CubicState {
    const tcp::CongestionControl& control = tcp::cubic();
    tcp::Congestion state;
    Instant now{seconds(100).ns};
    Duration round_trip = milliseconds(100);

    explicit CubicState(uint32_t window) {
        control.start(state, 1000, false);
        state.window_bytes = window;
        state.threshold_bytes = window;
    }

    /// A round trip in which the whole window is acknowledged.
    void round() {
        const uint32_t segments = state.window_bytes / 2000;
        now = now + round_trip;
        for (uint32_t i = 0; i < segments; ++i)
            control.acknowledged(state, 2000, round_trip, now);
    }
};

} // namespace

TEST(Cubic, ALossLeavesSevenTenths) {
    CubicState cubic{100'000};
    cubic.control.lost(cubic.state, 100'000, cubic.now);
    EXPECT_EQ(cubic.state.threshold_bytes, 70'000u);
    EXPECT_EQ(cubic.state.window_bytes, 70'000u);
}

TEST(Cubic, ItIsBackAtThePlateauAfterKSecondsAndSlowNearIt) {
    CubicState cubic{1'000'000};
    cubic.control.lost(cubic.state, 1'000'000, cubic.now);
    // K = cube root of (1000 - 700) / 0.4 = 9.09 s
    const auto at_second = [&](int second) {
        while (cubic.now < Instant{seconds(100 + second).ns})
            cubic.round();
        return cubic.state.window_bytes / 1000;
    };
    EXPECT_NEAR(at_second(3), 910, 15); // 1000 - 0.4 * 6.09^3
    EXPECT_NEAR(at_second(6), 988, 8);
    EXPECT_NEAR(at_second(9), 1000, 5);
    EXPECT_NEAR(at_second(12), 1010, 8);
    EXPECT_GT(at_second(18), 1200u) << "and then it looks for more";
}

TEST(Cubic, WhoGetsLessThanLastTimeMakesRoom) {
    CubicState cubic{1'000'000};
    cubic.control.lost(cubic.state, 1'000'000, cubic.now);
    cubic.control.lost(cubic.state, 700'000, cubic.now);
    EXPECT_EQ(cubic.state.memory.plateau_bytes, 595'000u) << "0.85 of 700";
    EXPECT_EQ(cubic.state.window_bytes, 490'000u);
}

TEST(Cubic, OnAShortPathItIsNotSlowerThanReno) {
    CubicState cubic{20'000};
    cubic.round_trip = milliseconds(5);
    cubic.control.lost(cubic.state, 20'000, cubic.now);
    for (int i = 0; i < 100; ++i)
        cubic.round();
    // Reno's mean with beta 0.7: 9/17 of a segment a round, then a whole one.
    EXPECT_GE(cubic.state.window_bytes, 14'000u + 100 * 1000 * 9 / 17);
    EXPECT_LE(cubic.state.window_bytes, 14'000u + 110 * 1000);
}

TEST(Cubic, AfterATimeoutItStartsSlowly) {
    CubicState cubic{100'000};
    cubic.control.timed_out(cubic.state, 100'000, false);
    EXPECT_EQ(cubic.state.window_bytes, 1000u);
    EXPECT_EQ(cubic.state.threshold_bytes, 70'000u);
    cubic.control.timed_out(cubic.state, 1000, true);
    EXPECT_EQ(cubic.state.threshold_bytes, 70'000u) << "the same loss";
    cubic.round();
    cubic.control.acknowledged(cubic.state, 1000, cubic.round_trip, cubic.now);
    EXPECT_EQ(cubic.state.window_bytes, 2000u);
}

TEST(Cubic, ExtremesDoNoHarm) {
    for (const uint32_t mss : {28u, 1448u, 8948u}) {
        CubicState cubic{1u << 30};
        cubic.state.mss_bytes = mss;
        for (const int64_t pause : {0, 1, 100'000, 10'000'000}) {
            cubic.control.lost(cubic.state, cubic.state.window_bytes, cubic.now);
            cubic.control.acknowledged(cubic.state, mss, cubic.round_trip, cubic.now);
            cubic.now = cubic.now + seconds(pause);
            cubic.control.acknowledged(cubic.state, 1u << 29, seconds(60), cubic.now);
            EXPECT_LE(cubic.state.window_bytes, 1u << 30);
            EXPECT_GE(cubic.state.window_bytes, 2 * mss);
        }
        cubic.control.lost(cubic.state, 1, cubic.now);
        EXPECT_EQ(cubic.state.window_bytes, 2 * mss);
    }
}
