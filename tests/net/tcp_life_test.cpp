// Keep-alive (RFC 9293 3.8.4), user time-out (RFC 5482), urgent data (3.8.5), and paths that take
// less than was thought (RFC 1191, 5927).
#include "tests/net/tcp_script.hpp"

using namespace net;
using namespace bench;
using tcp::State;

struct TcpKeepAlive : TcpScript {
    void keep_alive(uint16_t idle_seconds, uint32_t user_timeout_ms = 0) {
        const net::StreamOptions options{
            .user_timeout_ms = user_timeout_ms, .keep_idle_seconds = idle_seconds
        };
        EXPECT_TRUE(host.stack->tcp_configure(socket, options, host.now));
    }
};

TEST_F(TcpKeepAlive, IsOffAtFirst) {
    establish();
    at(20'000'000);
    silent();
    EXPECT_EQ(state(), State::established);
}

TEST_F(TcpKeepAlive, AsksAnIdlePeerAndIsContentWithAnyAnswer) {
    establish();
    keep_alive(100);
    at(99'000);
    silent();
    for (int round = 1; round < 20; ++round) {
        at(round * 101'000);
        sends(". 0:0(0) ack 1"); // one number before what is expected
        receives(". 1:1(0) ack 1");
        silent();
    }
    EXPECT_EQ(state(), State::established);
    keep_alive(0);
    at(10'000'000);
    silent();
}

TEST_F(TcpKeepAlive, DataPutItOff) {
    establish();
    keep_alive(100);
    at(60'000);
    receives("P. 1:11(10) ack 1");
    at(60'100);
    sends(". 1:1(0) ack 11");
    at(159'000);
    silent();
    at(161'000);
    sends(". 0:0(0) ack 11");
}

TEST_F(TcpKeepAlive, OneQuestionWithoutAnAnswerSaysNothingButNineDo) {
    establish();
    keep_alive(100);
    int64_t due = 100'000;
    for (int i = 0; i < 9; ++i, due += 75'000) {
        at(due - 500);
        silent();
        EXPECT_EQ(state(), State::established);
        at(due + 500);
        sends(". 0:0(0) ack 1");
    }
    at(due + 500);
    silent();
    EXPECT_EQ(state(), State::closed);
    EXPECT_EQ(read().error(), Err::timed_out);
}

TEST_F(TcpKeepAlive, TheUserTimeoutEndsItSooner) {
    establish();
    keep_alive(100, 70'000);
    at(100'500);
    sends(". 0:0(0) ack 1");
    EXPECT_EQ(state(), State::established);
    at(175'500);
    silent();
    EXPECT_EQ(state(), State::closed);
}

TEST_F(TcpKeepAlive, IsSilentWhileDataAreInFlight) {
    establish();
    keep_alive(1);
    EXPECT_EQ(*write(10), 10u);
    sends("P. 1:11(10) ack 1");
    at(150);
    receives(". 1:1(0) ack 11");
    EXPECT_EQ(*write(10), 10u);
    sends("P. 11:21(10) ack 1");
    at(3000);
    for (std::string text = next(); text != "nothing"; text = next())
        EXPECT_EQ(text, "P. 11:21(10) ack 1");
    receives(". 1:1(0) ack 21");
    at(3900);
    silent();
    at(4100);
    sends(". 20:20(0) ack 1");
}

TEST_F(TcpKeepAlive, OursIsAnsweredByAnyStack) {
    establish();
    drops_one(". 0:0(0) ack 1", Drop::tcp_not_acceptable);
    sends(". 1:1(0) ack 1");
}

struct TcpUserTimeout : TcpScript {};

TEST_F(TcpUserTimeout, EndsWhatIsNotAcknowledged) {
    establish();
    EXPECT_TRUE(host.stack->tcp_configure(socket, {.user_timeout_ms = 5'000}, host.now));
    EXPECT_EQ(*write(10), 10u);
    at(5000);
    EXPECT_EQ(state(), State::established);
    at(8000);
    EXPECT_EQ(state(), State::closed) << "the first time-out after five seconds";
    EXPECT_EQ(read().error(), Err::timed_out);
}

TEST_F(TcpUserTimeout, MayBeLongerThanTheUsualOne) {
    establish();
    EXPECT_TRUE(host.stack->tcp_configure(socket, {.user_timeout_ms = 1'000'000}, host.now));
    EXPECT_EQ(*write(10), 10u);
    at(900'000);
    EXPECT_EQ(state(), State::established);
    at(1'100'000);
    EXPECT_EQ(state(), State::closed);
}

struct TcpUrgent : TcpScript {};

TEST_F(TcpUrgent, DataStayInLineAndTheApplicationHearsOfThem) {
    establish();
    receives("P. 1:11(10) ack 1");
    EXPECT_FALSE(heard(Event::urgent));
    EXPECT_EQ(details().urgent_bytes, 0u);
    receives("P.U 11:21(10) ack 1 urg 5");
    EXPECT_TRUE(heard(Event::urgent));
    EXPECT_EQ(details().urgent_bytes, 15u) << "five of these, ten before";
    EXPECT_EQ(*read(12), 12u);
    EXPECT_EQ(details().urgent_bytes, 3u);
    EXPECT_EQ(*read(), 8u);
    EXPECT_EQ(details().urgent_bytes, 0u);
}

TEST_F(TcpUrgent, TheApplicationHearsBeforeTheDataCome) {
    establish();
    receives(".U 1:1(0) ack 1 urg 100");
    EXPECT_TRUE(heard(Event::urgent));
    EXPECT_EQ(details().urgent_bytes, 100u);
    host.heard.items.clear();
    receives(".U 1:1(0) ack 1 urg 100");
    receives(".U 1:1(0) ack 1 urg 50");
    EXPECT_FALSE(heard(Event::urgent)) << "nothing new";
    receives(".U 1:1(0) ack 1 urg 0");
    EXPECT_FALSE(heard(Event::urgent)) << "a pointer to nothing";
    receives("P.U 1:101(100) ack 1 urg 200");
    EXPECT_TRUE(heard(Event::urgent));
}

TEST_F(TcpUrgent, OursIsPointedToUntilItIsAcknowledged) {
    establish("S 0:0(0)", ". 1:1(0) ack 1 win 4000");
    EXPECT_EQ(*write(3000), 3000u);
    sends(". 1:1461(1460) ack 1");
    EXPECT_EQ(last_urgent, 0u);
    sends(". 1461:2921(1460) ack 1");
    sends("P. 2921:3001(80) ack 1");
    const auto taken =
        host.stack->tcp_send_urgent(socket, view(pattern_octets(3001, 500)), host.now);
    EXPECT_EQ(*taken, 500u);
    sends("P. 3001:3501(500) ack 1"); // though another small one is on its way
    EXPECT_EQ(last_urgent, 500u);
    receives(". 1:1(0) ack 3001 win 4000");
    at(250);
    sends("P. 3001:3501(500) ack 1");
    EXPECT_EQ(last_urgent, 500u);
    receives(". 1:1(0) ack 3501 win 4000");
    written = 3501;
    EXPECT_EQ(*write(5), 5u);
    sends("P. 3501:3506(5) ack 1");
    EXPECT_EQ(last_urgent, 0u);
}

struct TcpPath : TcpScript {
    /// What a router says of the frame of ours that it could not pass on.
    void too_big(const Octets& frame, uint32_t mtu) {
        host.receive(icmp(3, 4, mtu, part(frame, 14, 14 + 28)));
    }
};

TEST_F(TcpPath, SegmentsAskNotToBeFragmented) {
    establish();
    EXPECT_EQ(*write(10), 10u);
    EXPECT_EQ(get16(host.next_frame(), 20), 0x4000u);
}

TEST_F(TcpPath, ANarrowPathGetsSmallerSegmentsAtOnce) {
    establish();
    EXPECT_EQ(*write(2920), 2920u);
    const Octets first = host.next_frame();
    sends("P. 1461:2921(1460) ack 1");
    too_big(first, 1000);
    sends(". 1:961(960) ack 1");
    sends(". 961:1921(960) ack 1");
    sends(". 1921:2881(960) ack 1");
    sends("P. 2881:2921(40) ack 1");
    EXPECT_EQ(details().send_mss_bytes, 960u);
    EXPECT_EQ(details().congestion_window_bytes, 14600u) << "not a sign of congestion";
    too_big(first, 1400);
    EXPECT_EQ(details().send_mss_bytes, 960u) << "only ever lowered";
}

TEST_F(TcpPath, IsRememberedForOtherConnectionsForTenMinutes) {
    establish();
    EXPECT_EQ(*write(1460), 1460u);
    too_big(host.next_frame(), 1000);
    host.wire.sent.clear();
    ++peer_port;
    for (const uint32_t expected : {960u, 1460u}) {
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        EXPECT_EQ(get16(last_options, 2), 1460u) << "what we take is another matter";
        receives(". 1:1(0) ack 1");
        accept();
        EXPECT_EQ(details().send_mss_bytes, expected);
        EXPECT_TRUE(host.stack->tcp_abort(socket, host.now));
        ++peer_port;
        at(601'000);
        host.wire.sent.clear();
    }
}

TEST_F(TcpPath, ARumourAboutWhatIsNotInFlightIsIgnored) {
    establish();
    EXPECT_EQ(*write(10), 10u);
    const Octets frame = host.next_frame();
    receives(". 1:1(0) ack 11");
    too_big(frame, 600);
    EXPECT_EQ(host.drops(Drop::tcp_bad_icmp), 1u);
    EXPECT_EQ(details().send_mss_bytes, 1460u);
}

TEST_F(TcpPath, ALieCostsLittle) {
    establish();
    EXPECT_EQ(*write(1460), 1460u);
    too_big(host.next_frame(), 68);
    EXPECT_EQ(details().send_mss_bytes, 552u - 40);
    const Octets frame = host.next_frame();
    EXPECT_EQ(get16(frame, 20), 0u) << "a path that really is narrower may fragment";
    EXPECT_EQ(get16(frame, 16), 552u);
}

TEST_F(TcpPath, AnOldRouterThatDoesNotSayIsGuessedAt) {
    establish();
    EXPECT_EQ(*write(1460), 1460u);
    const Octets frame = host.next_frame();
    too_big(frame, 0);
    EXPECT_EQ(details().send_mss_bytes, 1492u - 40);
    too_big(frame, 0);
    EXPECT_EQ(details().send_mss_bytes, 1006u - 40);
}

TEST_F(TcpPath, ABlackHoleIsGotThroughByFragments) {
    establish();
    EXPECT_EQ(*write(1460), 1460u);
    EXPECT_EQ(get16(host.next_frame(), 20), 0x4000u);
    at(900);
    EXPECT_EQ(get16(host.next_frame(), 20), 0x4000u);
    EXPECT_EQ(get16(host.next_frame(), 20), 0x4000u);
    at(1500);
    EXPECT_EQ(get16(host.next_frame(), 20), 0u) << "the third time-out in a row";
}
