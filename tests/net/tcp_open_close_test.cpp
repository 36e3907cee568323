// Opening and closing: every edge of RFC 9293 figure 5.
#include "tests/net/tcp_script.hpp"

using namespace net;
using namespace bench;
using tcp::State;

struct TcpOpen : TcpScript {};

struct TcpClose : TcpScript {};

struct TcpReset : TcpScript {};

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
    EXPECT_EQ(last_options, (Octets{2, 4, 0x05, 0xb4, 1, 3, 3, 1}));
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
    peer_options = {1, 254, 4, 9, 9, 2, 4, 0x03, 0xe8, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0};
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
    for (int i = 0; i < 6; ++i, ++peer_port) { // 12 buffers make six connections
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
    }
    drops_one("S 0:0(0)", Drop::tcp_no_memory);
    silent();
    --peer_port;
    receives("R 1:1(0)");
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
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

// --- Closing

TEST_F(TcpClose, WeCloseFirst) {
    establish();
    shutdown();
    sends("F. 1:1(0) ack 1");
    EXPECT_EQ(state(), State::fin_wait_1);
    receives(". 1:1(0) ack 2");
    EXPECT_EQ(state(), State::fin_wait_2);
    EXPECT_EQ(write(1).error(), Err::bad_state);
    receives("P. 1:11(10) ack 2");
    EXPECT_EQ(*read(), 10u) << "half closed: we still hear";
    receives("F. 11:11(0) ack 2");
    sends(". 2:2(0) ack 12");
    EXPECT_EQ(state(), State::time_wait);
    EXPECT_TRUE(heard(Event::closed));
    EXPECT_EQ(read().error(), Err::end_of_file);
    at(30'000);
    receives("F. 11:11(0) ack 2");
    sends(". 2:2(0) ack 12");
    close();
    at(89'000);
    EXPECT_EQ(alive(), 1u) << "the repeated FIN began the wait anew";
    at(91'000);
    EXPECT_EQ(alive(), 0u);
    silent();
}

TEST_F(TcpClose, PeerClosesFirst) {
    establish();
    receives("F. 1:1(0) ack 1");
    sends(". 1:1(0) ack 2");
    EXPECT_EQ(state(), State::close_wait);
    EXPECT_TRUE(heard(Event::peer_closed));
    EXPECT_EQ(read().error(), Err::end_of_file);
    EXPECT_EQ(*write(5), 5u);
    sends("P. 1:6(5) ack 2");
    close();
    sends("F. 6:6(0) ack 2");
    receives(". 2:2(0) ack 6");
    EXPECT_EQ(alive(), 1u);
    receives(". 2:2(0) ack 7");
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpClose, BothCloseAtOnce) {
    establish();
    shutdown();
    sends("F. 1:1(0) ack 1");
    receives("F. 1:1(0) ack 1");
    sends(". 2:2(0) ack 2");
    EXPECT_EQ(state(), State::closing);
    receives(". 2:2(0) ack 2");
    EXPECT_EQ(state(), State::time_wait);
}

TEST_F(TcpClose, FinWithTheAckOfOurFin) {
    establish();
    shutdown();
    sends("F. 1:1(0) ack 1");
    receives("F. 1:1(0) ack 2");
    sends(". 2:2(0) ack 2");
    EXPECT_EQ(state(), State::time_wait);
}

TEST_F(TcpClose, FinFollowsAllData) {
    establish("S 0:0(0)", ". 1:1(0) ack 1 win 2000");
    EXPECT_EQ(*write(5000), 5000u);
    close();
    sends(". 1:1461(1460) ack 1");
    silent();
    receives(". 1:1(0) ack 1461 win 65535");
    sends(". 1461:2921(1460) ack 1");
    sends(". 2921:4381(1460) ack 1");
    sends("FP. 4381:5001(620) ack 1");
    receives(". 1:1(0) ack 5002");
    receives("F. 1:1(0) ack 5002");
    sends(". 5002:5002(0) ack 2");
}

TEST_F(TcpClose, ALostFinComesAgain) {
    establish();
    shutdown();
    sends("F. 1:1(0) ack 1");
    at(220);
    sends("F. 1:1(0) ack 1");
    at(620);
    sends("F. 1:1(0) ack 1");
    receives(". 1:1(0) ack 2");
    EXPECT_EQ(state(), State::fin_wait_2);
    at(100'000);
    silent();
}

TEST_F(TcpClose, AFinAheadOfItsDataIsRemembered) {
    establish();
    receives("F. 11:21(10) ack 1");
    sends(". 1:1(0) ack 1");
    EXPECT_EQ(state(), State::established);
    receives(". 1:11(10) ack 1");
    sends(". 1:1(0) ack 22");
    EXPECT_EQ(state(), State::close_wait);
    EXPECT_EQ(*read(), 20u);
}

TEST_F(TcpClose, ASilentPeerDoesNotKeepFinWait2ForEver) {
    establish();
    close();
    sends("F. 1:1(0) ack 1");
    receives(". 1:1(0) ack 2");
    EXPECT_EQ(alive(), 1u);
    at(61'000);
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpClose, UnreadDataTurnCloseIntoReset) {
    establish();
    receives("P. 1:11(10) ack 1");
    close();
    sends("R. 1:1(0) ack 11");
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpClose, DataAfterCloseAreAnsweredWithReset) {
    establish();
    close();
    sends("F. 1:1(0) ack 1");
    drops_one("P. 1:11(10) ack 2", Drop::tcp_after_close);
    sends("R. 2:2(0) ack 1");
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpClose, AbortSendsReset) {
    establish();
    EXPECT_EQ(*write(10), 10u);
    sends("P. 1:11(10) ack 1");
    EXPECT_TRUE(host.stack->tcp_abort(socket, host.now));
    sends("R. 11:11(0) ack 1");
    EXPECT_EQ(alive(), 0u);
    EXPECT_EQ(read().error(), Err::not_found);
}

TEST_F(TcpClose, CloseInSynSentIsQuiet) {
    connect();
    sends("S 0:0(0)");
    close();
    silent();
    EXPECT_EQ(alive(), 0u);
    EXPECT_FALSE(
        host.stack->next_deadline() && *host.stack->next_deadline() < host.now + seconds(50)
    );
}

TEST_F(TcpClose, ANewSynMayTakeThePlaceOfTimeWait) {
    establish();
    close();
    sends("F. 1:1(0) ack 1");
    receives("F. 1:1(0) ack 2");
    sends(". 2:2(0) ack 2");
    const uint32_t old_first = our_first;
    at(1000);
    drops_one("S 0:0(0)", Drop::tcp_not_acceptable); // an old one does not
    sends(". 2:2(0) ack 2");
    peer_first += 1000;
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    EXPECT_GT(int32_t(our_first - old_first), 2);
    EXPECT_EQ(alive(), 1u);
}

TEST_F(TcpClose, TimeWaitYieldsWhenBlocksRunOut) {
    listen(20);
    for (int i = 0; i < 12; ++i, ++peer_port) {
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives(". 1:1(0) ack 1");
        accept();
        close();
        sends("F. 1:1(0) ack 1");
        receives("F. 1:1(0) ack 2");
        sends(". 2:2(0) ack 2");
        host.now = host.now + milliseconds(10);
    }
    EXPECT_EQ(alive(), 8u);
    EXPECT_EQ(host.drops(Drop::tcp_time_wait_recycled), 4u);
}

TEST_F(TcpClose, ThousandsInSequenceLeaveNothingBehind) {
    listen();
    for (int i = 0; i < 3000; ++i) {
        peer_port = 1024 + uint32_t(i) % 60'000;
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives("P. 1:2(1) ack 1");
        accept();
        was_read = written = 1;
        ASSERT_EQ(*read(), 1u);
        ASSERT_EQ(*write(1), 1u);
        sends("P. 1:2(1) ack 2");
        receives("F. 2:2(0) ack 2");
        sends(". 2:2(0) ack 3");
        close();
        sends("F. 2:2(0) ack 3");
        receives(". 3:3(0) ack 3");
        ASSERT_EQ(alive(), 0u);
    }
    EXPECT_FALSE(
        host.stack->next_deadline() && *host.stack->next_deadline() < host.now + seconds(50)
    );
}

// --- Resets, RFC 9293 3.5.2 and RFC 5961

TEST_F(TcpReset, ClosedPortAnswers) {
    drops_one("S 0:0(0)", Drop::tcp_no_connection);
    sends("R. 0:0(0) ack 1");
    drops_one("P 7:10(3)", Drop::tcp_bad_flags);
    our_first = 0;
    drops_one("P. 7:10(3) ack 55", Drop::tcp_no_connection);
    sends("R 55:55(0)");
    drops_one("F 7:10(3)", Drop::tcp_no_connection);
    sends("R. 0:0(0) ack 11");
    drops_one("R 7:7(0)", Drop::tcp_no_connection);
    silent();
}

TEST_F(TcpReset, OnlyTheExactNumberResets) {
    establish();
    drops_one("R 100:100(0)", Drop::tcp_bad_reset);
    sends(". 1:1(0) ack 1");
    drops_one("R 70000:70000(0)", Drop::tcp_not_acceptable);
    silent();
    EXPECT_EQ(state(), State::established);
    receives("R 1:1(0)");
    EXPECT_TRUE(heard(Event::closed));
    EXPECT_TRUE(heard(Event::error));
    EXPECT_EQ(read().error(), Err::connection_reset);
    EXPECT_EQ(write(1).error(), Err::not_connected);
    close();
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpReset, DataBeforeAResetCanStillBeRead) {
    establish();
    receives("P. 1:6(5) ack 1");
    receives("R 6:6(0)");
    EXPECT_EQ(*read(), 5u);
    EXPECT_EQ(read().error(), Err::connection_reset);
}

TEST_F(TcpReset, ASynOnAnOpenConnectionIsChallenged) {
    establish();
    drops_one("S 50:50(0)", Drop::tcp_unexpected_syn);
    sends(". 1:1(0) ack 1");
    drops_one("S. 50:50(0) ack 1", Drop::tcp_unexpected_syn);
    sends(". 1:1(0) ack 1");
    EXPECT_EQ(state(), State::established);
}

TEST_F(TcpReset, ChallengesAreLimited) {
    establish();
    for (int i = 0; i < 100; ++i)
        receives("S 50:50(0)");
    EXPECT_EQ(host.wire.sent.size(), 10u);
    at(1500);
    receives("S 50:50(0)");
    EXPECT_EQ(host.wire.sent.size(), 11u);
}

TEST_F(TcpReset, AcksOfTheFutureAndTheFarPastAreChallenged) {
    establish();
    drops_one("P. 1:4(3) ack 2", Drop::tcp_bad_ack);
    sends(". 1:1(0) ack 1");
    EXPECT_EQ(read().error(), Err::would_block) << "its data are not delivered";
    our_first -= 100'000;
    drops_one("P. 1:4(3) ack 1", Drop::tcp_bad_ack);
    our_first += 100'000;
    sends(". 1:1(0) ack 1");
    EXPECT_EQ(read().error(), Err::would_block);
}

TEST_F(TcpReset, WithoutAckNothingIsAccepted) {
    establish();
    drops_one("F 1:4(3)", Drop::tcp_no_ack);
    silent();
    EXPECT_EQ(state(), State::established);
}

TEST_F(TcpReset, TimeWaitEndsByReset) {
    establish();
    shutdown();
    sends("F. 1:1(0) ack 1");
    receives("F. 1:1(0) ack 2");
    sends(". 2:2(0) ack 2");
    receives("R 2:2(0)");
    EXPECT_EQ(state(), State::closed);
}

// --- Malformed segments, and ICMP errors

TEST_F(TcpReset, GarbageIsCountedByReason) {
    establish();
    const auto refused = [&](Octets frame, Drop reason, bool repair = true) {
        if (repair) {
            Octets s = part(frame, 34, frame.size());
            s[16] = s[17] = 0;
            const uint16_t sum = transport_checksum({.protocol = 6}, s);
            frame[50] = uint8_t(sum >> 8);
            frame[51] = uint8_t(sum);
        }
        const uint64_t before = host.drops(reason), all = host.all_drops();
        host.receive(frame);
        EXPECT_EQ(host.drops(reason), before + 1) << text_of(reason).name;
        EXPECT_EQ(host.all_drops(), all + 1);
    };
    const Octets good = segment("P. 1:4(3) ack 1");
    host.receive(ip({.protocol = 6}, part(good, 34, 34 + 19)));
    EXPECT_EQ(host.drops(Drop::tcp_truncated), 1u);
    Octets bad = good;
    bad[46] = 0x40;
    refused(bad, Drop::tcp_bad_offset);
    bad[46] = 0xf0;
    refused(bad, Drop::tcp_bad_offset);
    bad = good;
    bad.back() ^= 1;
    refused(bad, Drop::tcp_bad_checksum, false);
    bad = segment("S 1:1(0)");
    bad[54] = 9;
    bad[55] = 1;
    refused(bad, Drop::tcp_bad_option);
    bad[55] = 200;
    refused(bad, Drop::tcp_bad_option);
    refused(segment("SF 1:1(0)"), Drop::tcp_bad_flags);
    refused(segment("SR 1:1(0)"), Drop::tcp_bad_flags);
    refused(segment("U 1:1(0)"), Drop::tcp_bad_flags);
    peer_port = 0;
    refused(segment("S 1:1(0)"), Drop::tcp_bad_flags);
    silent();
    EXPECT_EQ(state(), State::established);
}

TEST_F(TcpReset, BroadcastSegmentsAreRefused) {
    listen();
    Octets s = part(segment("S 0:0(0)"), 34, 100);
    s[16] = s[17] = 0;
    const Ip header{.destination = 0x0a0000ff, .protocol = 6};
    const uint16_t sum = transport_checksum(header, s);
    s[16] = uint8_t(sum >> 8);
    s[17] = uint8_t(sum);
    host.receive(ip(header, s, broadcast_mac));
    EXPECT_EQ(host.drops(Drop::tcp_not_unicast), 1u);
    silent();
}

TEST_F(TcpReset, AHardErrorEndsOnlyAnAttempt) {
    connect();
    const Octets syn = host.next_frame();
    Octets stranger = part(syn, 14, 14 + 28);
    stranger[24] ^= 0x40; // another sequence number
    host.receive(icmp(3, 3, 0, stranger));
    EXPECT_EQ(host.drops(Drop::tcp_bad_icmp), 1u);
    EXPECT_EQ(state(), State::syn_sent);
    host.receive(icmp(3, 1, 0, part(syn, 14, 14 + 28)));
    EXPECT_EQ(state(), State::syn_sent) << "a soft error";
    host.receive(icmp(3, 3, 0, part(syn, 14, 14 + 28)));
    EXPECT_EQ(host.stack->take_error(socket), Err::connection_refused);
}

TEST_F(TcpReset, AnEstablishedConnectionSurvivesErrorsAndRemembersThem) {
    establish();
    EXPECT_EQ(*write(10), 10u);
    const Octets data = host.next_frame();
    host.receive(icmp(3, 3, 0, part(data, 14, 14 + 28)));
    EXPECT_EQ(state(), State::established);
    for (int i = 1; i < 300 && state() != State::closed; ++i) {
        at(i * 1000);
    }
    EXPECT_EQ(read().error(), Err::connection_refused) << "what was known when it gave up";
}
