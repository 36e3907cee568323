// Resets, challenges (RFC 9293 3.5.2, RFC 5961), garbage and ICMP errors.
#include "tests/net/tcp_script.hpp"

using namespace net;
using namespace bench;
using tcp::State;

struct TcpReset : TcpScript {};

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
        if (repair) frame = summed(frame);
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

/// Neither length nor flags: looks like nothing that is expected, whatever the state.
TEST_F(TcpReset, AHeaderOfNoLengthIsRefusedInEveryState) {
    const auto refused = [&](const std::string& text, State expected) {
        Octets frame = segment(text);
        frame[46] = frame[47] = 0;
        const uint64_t before = host.drops(Drop::tcp_bad_offset);
        host.receive(summed(frame));
        frame[47] = 8; // PUSH
        host.receive(summed(frame));
        EXPECT_EQ(host.drops(Drop::tcp_bad_offset), before + 2) << text;
        silent();
        if (socket != SocketId{}) EXPECT_EQ(state(), expected);
    };
    listen();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    refused(". 1:1(0) ack 1", State::syn_received);
    receives(". 1:1(0) ack 1");
    refused(". 1:11(10) ack 1", State::established); // not accepted yet
    accept();
    refused(". 1:11(10) ack 1", State::established);
    EXPECT_EQ(read().error(), Err::would_block);
    receives("F. 1:1(0) ack 1");
    at(100);
    sends(". 1:1(0) ack 2");
    refused(". 2:12(10) ack 1", State::close_wait);
    EXPECT_EQ(read().error(), Err::end_of_file);
    shutdown();
    sends("F. 1:1(0) ack 2");
    refused(". 2:2(0) ack 2", State::last_ack);
    receives(". 2:2(0) ack 2");
    EXPECT_EQ(state(), State::closed);
}

TEST_F(TcpReset, AHeaderOfNoLengthDoesNotReachTimeWait) {
    establish();
    close();
    sends("F. 1:1(0) ack 1");
    receives("F. 1:1(0) ack 2");
    sends(". 2:2(0) ack 2");
    Octets frame = segment(". 2:12(10) ack 2");
    frame[46] = frame[47] = 0;
    host.receive(summed(frame));
    EXPECT_EQ(host.drops(Drop::tcp_bad_offset), 1u);
    EXPECT_EQ(alive(), 1u);
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

TEST_F(TcpReset, ALostRouteIsLikeALostSegment) {
    establish();
    ASSERT_TRUE(host.stack->remove_route({address(our_ip), 24}));
    EXPECT_EQ(*write(10), 10u);
    EXPECT_EQ(host.drops(Drop::ip_no_route), 1u);
    ASSERT_TRUE(host.stack->add_route({address(our_ip), 24}, ipv4_any));
    at(220);
    sends("P. 1:11(10) ack 1");
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
