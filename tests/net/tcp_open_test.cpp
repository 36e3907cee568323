// Opening: every edge of RFC 9293 figure 5 that leads to ESTABLISHED, and those that do not.
#include "tests/net/tcp_script.hpp"

using namespace net;
using namespace bench;
using tcp::State;

struct TcpOpen : TcpScript {};

TEST_F(TcpOpen, PassiveOpen) {
    listen();
    receives("S 0:0(0) win 5000");
    sends("S. 0:0(0) ack 1 win 65535");
    EXPECT_EQ(last_options, (Octets{2, 4, 0x05, 0xb4})) << "MSS; no scale, as none was offered";
    EXPECT_EQ(host.stack->tcp_accept(listener, 2).error(), Err::would_block);
    receives(". 1:1(0) ack 1");
    EXPECT_TRUE(host.heard.has(1, Event::acceptable));
    accept();
    EXPECT_EQ(state(), State::established);
    EXPECT_EQ(details().send_window_bytes, 65535u);
    EXPECT_EQ(details().send_mss_bytes, 1460u);
    silent();
}

TEST_F(TcpOpen, ActiveOpen) {
    connect();
    sends("S 0:0(0) win 65535");
    EXPECT_EQ(
        last_options,
        (Octets{2, 4, 0x05, 0xb4, 4, 2, 8, 10} + be32(our_clock) + be32(0) + Octets{1, 3, 3, 1})
    );
    EXPECT_EQ(write(1).error(), Err::would_block);
    at(20);
    receives("S. 0:0(0) ack 1");
    sends(". 1:1(0) ack 1");
    EXPECT_TRUE(heard(Event::connected));
    EXPECT_EQ(state(), State::established);
    EXPECT_EQ(details().smoothed_rtt, milliseconds(20)) << "the SYN is timed";
}

TEST_F(TcpOpen, WindowScaleIsUsedWhenBothOfferIt) {
    peer_options = {2, 4, 0x05, 0xb4, 1, 3, 3, 7};
    listen();
    receives("S 0:0(0) win 5000");
    sends("S. 0:0(0) ack 1 win 65535");
    EXPECT_EQ(last_options, (Octets{2, 4, 0x05, 0xb4, 1, 3, 3, 1}));
    receives(". 1:1(0) ack 1 win 100");
    accept();
    EXPECT_EQ(details().send_window_bytes, 12800u);
    receives("P. 1:11(10) ack 1 win 200");
    EXPECT_EQ(details().send_window_bytes, 25600u);
    at(50);
    sends(". 1:1(0) ack 11 win 32762"); // (65535 - 10) / 2
}

TEST_F(TcpOpen, PeerWithoutMssGets536) {
    peer_options = {};
    establish();
    EXPECT_EQ(details().send_mss_bytes, 536u);
}

TEST_F(TcpOpen, OddOptionsAreSkipped) {
    peer_options = {1, 254, 4, 9, 9, 2, 4, 0x03, 0xe8, 8, 3, 7}; // the last has no good length
    establish();
    EXPECT_EQ(details().send_mss_bytes, 1000u);
}

TEST_F(TcpOpen, SynIsRepeatedWithBackOffAndThenGivenUp) {
    connect();
    sends("S 0:0(0)");
    for (const int64_t due : {1000, 3000, 7000, 15000, 31000, 63000, 123000}) {
        at(due - 50);
        silent();
        at(due + 50);
        sends("S 0:0(0)");
    }
    at(190'000);
    EXPECT_TRUE(heard(Event::error));
    EXPECT_EQ(read().error(), Err::timed_out);
    EXPECT_EQ(state(), State::closed);
    close();
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpOpen, LostSynAckComesAgain) {
    listen();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    at(200);
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    at(1250);
    sends("S. 0:0(0) ack 1");
    receives(". 1:1(0) ack 1");
    accept();
    EXPECT_EQ(details().congestion_window_bytes, 1460u) << "RFC 5681 3.1: after a lost SYN";
}

TEST_F(TcpOpen, SynReceivedIsGivenUpAndFreesItsPlace) {
    listen(1);
    receives("S 0:0(0)");
    EXPECT_EQ(alive(), 1u);
    at(70'000);
    EXPECT_EQ(alive(), 0u);
    host.wire.sent.clear();
    peer_port = 4001;
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
}

TEST_F(TcpOpen, RefusedByReset) {
    connect();
    sends("S 0:0(0)");
    drops_one("R 0:0(0)", Drop::tcp_bad_reset);
    drops_one("R. 0:0(0) ack 5", Drop::tcp_bad_handshake);
    EXPECT_FALSE(heard(Event::error));
    receives("R. 0:0(0) ack 1");
    EXPECT_TRUE(heard(Event::error));
    EXPECT_EQ(host.stack->take_error(socket), Err::connection_refused);
    silent();
}

TEST_F(TcpOpen, AWrongAckInSynSentIsAnsweredWithReset) {
    connect();
    sends("S 0:0(0)");
    drops_one("S. 0:0(0) ack 9", Drop::tcp_bad_handshake);
    sends("R 9:9(0)");
    EXPECT_EQ(state(), State::syn_sent);
    drops_one(". 0:0(0) ack 1", Drop::tcp_bad_handshake);
    silent();
}

TEST_F(TcpOpen, SimultaneousOpen) {
    connect();
    sends("S 0:0(0)");
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    EXPECT_EQ(state(), State::syn_received);
    receives("S. 0:0(0) ack 1");
    EXPECT_EQ(state(), State::established);
    EXPECT_TRUE(heard(Event::connected));
    receives("P. 1:4(3) ack 1");
    EXPECT_EQ(*read(), 3u);
}

TEST_F(TcpOpen, ListenerAnswersStrangersAsTheRfcSays) {
    listen();
    drops_one("R 0:0(0)", Drop::tcp_bad_reset);
    silent();
    drops_one(". 0:0(0) ack 77", Drop::tcp_bad_handshake);
    sends("R 77:77(0)");
    drops_one("F 0:0(0)", Drop::tcp_bad_handshake);
    silent();
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpOpen, ABadAckInSynReceivedIsAnsweredWithReset) {
    listen();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    drops_one(". 1:1(0) ack 5", Drop::tcp_bad_ack);
    sends("R 5:5(0)");
    receives(". 1:1(0) ack 1");
    accept();
}

TEST_F(TcpOpen, AResetInSynReceivedReturnsToListen) {
    listen(1);
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    receives("R 1:1(0)");
    EXPECT_EQ(alive(), 0u);
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
}

TEST_F(TcpOpen, AFullBacklogIsSilentUntilThereIsRoom) {
    listen(2);
    for (uint32_t i = 0; i < 2; ++i, ++peer_port) {
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives(". 1:1(0) ack 1");
    }
    drops_one("S 0:0(0)", Drop::tcp_listen_full);
    silent();
    accept();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
}

TEST_F(TcpOpen, WhatNobodyAcceptedIsResetWhenTheListenerCloses) {
    listen();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    receives("P. 1:5(4) ack 1");
    EXPECT_TRUE(host.stack->tcp_close(listener, host.now));
    sends("R. 1:1(0) ack 5");
    EXPECT_EQ(alive(), 0u);
    drops_one("S 0:0(0)", Drop::tcp_no_connection);
    sends("R. 0:0(0) ack 1");
}

TEST_F(TcpOpen, DataBeforeAcceptAreToldOfAtAccept) {
    listen();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    receives("P. 1:5(4) ack 1");
    accept();
    host.stack->advance(host.now);
    EXPECT_TRUE(heard(Event::readable));
    EXPECT_EQ(*read(), 4u);
}

TEST_F(TcpOpen, InitialNumbersDifferByPeerAndGrowWithTime) {
    listen();
    std::vector<uint32_t> firsts;
    for (int i = 0; i < 4; ++i) {
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        firsts.push_back(our_first);
        receives("R 1:1(0)");
        if (i == 1) ++peer_port;
        host.now = host.now + milliseconds(100);
    }
    const uint32_t step = uint32_t(milliseconds(100).ns >> 12);
    EXPECT_NEAR(double(firsts[1] - firsts[0]), step, 2);
    EXPECT_NEAR(double(firsts[3] - firsts[2]), step, 2);
    EXPECT_GT(std::abs(int64_t{firsts[2]} - int64_t{firsts[1]}), 1'000'000);
}

TEST_F(TcpOpen, ResourcesRunOutByRuleAndComeBack) {
    listen(20);
    for (int i = 0; i < 8; ++i, ++peer_port) { // as many as there are control blocks
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives(". 1:1(0) ack 1");
    }
    drops_one("S 0:0(0)", Drop::tcp_no_memory);
    silent();
    --peer_port;
    receives("R 1:1(0)");
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
}

// --- SYN cookies (RFC 4987 3.6)

struct TcpCookies : TcpScript {
    /// Two SYNs from nowhere fill the backlog.
    void flood() {
        listen(2);
        for (int i = 0; i < 2; ++i, ++peer_port) {
            receives("S 0:0(0)");
            sends("S. 0:0(0) ack 1");
        }
        EXPECT_EQ(alive(), 2u);
    }

    uint64_t made() const { return host.stack->counters().tcp_cookies_sent; }

    uint64_t believed() const { return host.stack->counters().tcp_cookies_accepted; }
};

TEST_F(TcpCookies, AFloodDoesNotKeepOthersOut) {
    flood();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1 win 65535");
    EXPECT_EQ(last_options, (Octets{2, 4, 0x05, 0xb4}));
    EXPECT_EQ(alive(), 2u) << "nothing is remembered";
    EXPECT_EQ(made(), 1u);
    at(2000);
    host.wire.sent.clear();
    receives(". 1:1(0) ack 1 win 5000");
    accept();
    EXPECT_EQ(believed(), 1u);
    EXPECT_EQ(state(), State::established);
    EXPECT_EQ(details().send_mss_bytes, 1460u);
    EXPECT_EQ(details().send_window_bytes, 5000u);
    receives("P. 1:11(10) ack 1");
    EXPECT_EQ(*read(), 10u);
    EXPECT_EQ(*write(10), 10u);
    sends("P. 1:11(10) ack 11");
}

TEST_F(TcpCookies, DataInsteadOfALostAckWillDo) {
    flood();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    receives("P. 1:11(10) ack 1");
    accept();
    EXPECT_EQ(*read(), 10u);
}

TEST_F(TcpCookies, OptionsAreRememberedInTheTimestamp) {
    flood();
    peer_options = {2, 4, 0x05, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7};
    peer_clock = 500;
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    EXPECT_EQ(
        last_options,
        (Octets{2, 4, 0x05, 0xb4, 4, 2, 8, 10} + be32(our_clock) + be32(500) + Octets{1, 3, 3, 1})
    );
    const uint32_t stamp = our_clock;
    receives(". 1:1(0) ack 1 win 100");
    accept();
    EXPECT_EQ(details().send_window_bytes, 12'800u);
    EXPECT_TRUE(details().timestamps);
    EXPECT_TRUE(details().selective_acks);
    EXPECT_EQ(details().send_mss_bytes, 1448u);
    EXPECT_EQ(*write(10), 10u);
    sends("P. 1:11(10) ack 1");
    EXPECT_LE(our_clock - stamp, 64u) << "the clock never goes back";
}

TEST_F(TcpCookies, SizesAreRoundedDown) {
    flood();
    for (const auto& [said, used] : {std::pair{8960u, 1460u}, {1459u, 1440u}, {600u, 536u}}) {
        peer_options = Octets{2, 4} + be16(said);
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives(". 1:1(0) ack 1");
        accept();
        EXPECT_EQ(details().send_mss_bytes, used);
        EXPECT_TRUE(host.stack->tcp_abort(socket, host.now));
        host.wire.sent.clear();
        ++peer_port;
    }
}

TEST_F(TcpCookies, AreBelievedOnlyFromWhoGotThem) {
    flood();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    drops_one(". 2:2(0) ack 1", Drop::tcp_bad_handshake);
    drops_one(". 1:1(0) ack 2", Drop::tcp_bad_handshake);
    ++peer_port;
    drops_one(". 1:1(0) ack 1", Drop::tcp_bad_handshake);
    --peer_port;
    EXPECT_EQ(host.wire.sent.size(), 3u) << "resets";
    host.wire.sent.clear();
    EXPECT_EQ(believed(), 0u);
    receives(". 1:1(0) ack 1");
    EXPECT_EQ(believed(), 1u);
}

TEST_F(TcpCookies, GetStale) {
    flood();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    at(140'000);
    host.wire.sent.clear();
    drops_one(". 1:1(0) ack 1", Drop::tcp_bad_handshake);
    sends("R 1:1(0)");
}

TEST_F(TcpCookies, AFullQueueOfFinishedOnesIsSilentStill) {
    flood();
    for (int i = 0; i < 3; ++i, ++peer_port) {
        receives("S 0:0(0)");
        if (i < 2) {
            sends("S. 0:0(0) ack 1");
            receives(". 1:1(0) ack 1");
        }
    }
    silent();
    EXPECT_EQ(host.drops(Drop::tcp_listen_full), 1u);
    accept();
    EXPECT_EQ(state(), State::established);
}

TEST_F(TcpCookies, AFinishedHandshakeTakesTheMemoryOfAnUnfinishedOne) {
    listen(20);
    for (int i = 0; i < 8; ++i, ++peer_port) {
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        host.now = host.now + milliseconds(1);
    }
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    EXPECT_EQ(made(), 1u);
    receives(". 1:1(0) ack 1");
    EXPECT_EQ(host.drops(Drop::tcp_half_open_evicted), 1u);
    EXPECT_EQ(alive(), 8u);
    accept();
    EXPECT_EQ(state(), State::established);
}

TEST_F(TcpCookies, TheFloodGoesOnAndEndsWithoutATrace) {
    flood();
    for (uint32_t i = 0; i < 2000; ++i) {
        peer_port = 10'000 + i;
        receives("S 0:0(0)");
    }
    EXPECT_EQ(made(), 2000u);
    EXPECT_EQ(alive(), 2u);
    host.wire.sent.clear();
    at(200'000);
    EXPECT_EQ(alive(), 0u);
    host.wire.sent.clear();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    EXPECT_EQ(alive(), 1u) << "remembered again";
}

TEST_F(TcpOpen, ConnectRefusesWhatCannotBe) {
    const auto connect_to = [&](uint32_t to, uint16_t port) {
        return host.stack->tcp_connect({address(to), Port{port}}, {}, 0, host.now).error();
    };
    EXPECT_EQ(connect_to(0xffffffff, 1), Err::bad_argument);
    EXPECT_EQ(connect_to(0x0a0000ff, 1), Err::bad_argument);
    EXPECT_EQ(connect_to(0xe0000001, 1), Err::bad_argument);
    EXPECT_EQ(connect_to(peer_ip, 0), Err::bad_argument);
    EXPECT_EQ(connect_to(far_ip, 1), Err::network_unreachable);
    connect();
    EXPECT_EQ(
        host.stack->tcp_connect({address(peer_ip), Port{4000}}, {ipv4_any, Port{80}}, 2, host.now)
            .error(),
        Err::address_in_use
    );
}

TEST_F(TcpOpen, AnAbsentNeighbourEndsTheAttempt) {
    socket = *host.stack->tcp_connect({address(0x0a000044), Port{1}}, {}, 2, host.now);
    at(5000);
    EXPECT_TRUE(heard(Event::error));
    EXPECT_EQ(read().error(), Err::host_unreachable);
}
