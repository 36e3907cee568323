// What is left to the link, and what never is.
#include "tests/net/support.hpp"

using namespace net;
using namespace bench;

namespace {

using Sum = LinkWork::Sum;

Octets of(uint8_t protocol, const Octets& frame) {
    return frame.size() > 23 && frame[23] == protocol ? frame : Octets{};
}

bool has_right_sum(const Octets& frame) {
    const Ip header{
        .source = get32(frame, 26), .destination = get32(frame, 30), .protocol = frame[23]
    };
    return transport_checksum(header, part(frame, 34, 14 + get16(frame, 16))) == 0;
}

} // namespace

TEST(LinkSums, AreLeftToALinkThatMakesThem) {
    Host host{small_config(), our_ip, {.sums = true}};
    host.meet_peer();
    const SocketId socket = *host.stack->udp_bind({ipv4_any, Port{7}}, 1);
    const Endpoint to{address(peer_ip), Port{9}};
    ASSERT_TRUE(host.stack->udp_send_to(socket, to, view(pattern_octets(0, 101)), host.now));
    ASSERT_EQ(host.wire.asked.back().sum, Sum::udp);
    EXPECT_EQ(host.wire.asked.back().transport_at, 34);
    EXPECT_EQ(host.wire.asked.back().header_bytes, 42);
    EXPECT_TRUE(has_right_sum(of(17, host.next_frame())));
    ASSERT_TRUE(host.stack->tcp_connect({address(peer_ip), Port{80}}, {}, 2, host.now));
    ASSERT_EQ(host.wire.asked.back().sum, Sum::tcp);
    EXPECT_TRUE(has_right_sum(of(6, host.next_frame())));
}

TEST(LinkSums, AreOursWhereTheLinkMakesNone) {
    Host host;
    host.meet_peer();
    ASSERT_TRUE(host.stack->tcp_connect({address(peer_ip), Port{80}}, {}, 2, host.now));
    EXPECT_EQ(host.wire.asked.back().sum, Sum::none);
    EXPECT_TRUE(has_right_sum(of(6, host.next_frame())));
}

/// Each piece of a datagram is a packet of its own for the card.
TEST(LinkSums, AreOursForWhatIsCutByIp) {
    Host host{small_config(), our_ip, {.sums = true}};
    host.meet_peer();
    const SocketId socket = *host.stack->udp_bind({ipv4_any, Port{7}}, 1);
    const Endpoint to{address(peer_ip), Port{9}};
    ASSERT_TRUE(host.stack->udp_send_to(socket, to, view(pattern_octets(0, 3000)), host.now));
    Octets datagram;
    for (Octets frame = host.next_frame(); !frame.empty(); frame = host.next_frame())
        datagram = datagram + part(frame, 34, 14 + get16(frame, 16));
    ASSERT_EQ(datagram.size(), 3008u);
    EXPECT_EQ(transport_checksum({.source = our_ip, .destination = peer_ip}, datagram), 0u);
    for (const LinkWork work : host.wire.asked)
        EXPECT_EQ(work.sum, Sum::none);
}

/// A packet that waits for its neighbour is a plain one when it goes.
TEST(LinkSums, AreMadeBeforeAPacketIsHeld) {
    Host host{small_config(), our_ip, {.sums = true}};
    const SocketId socket = *host.stack->udp_bind({ipv4_any, Port{7}}, 1);
    const Endpoint to{address(peer_ip), Port{9}};
    ASSERT_TRUE(host.stack->udp_send_to(socket, to, view(pattern_octets(0, 100)), host.now));
    ASSERT_TRUE(host.stack->tcp_connect({address(peer_ip), Port{80}}, {}, 2, host.now));
    host.wire.sent.clear();
    host.receive(arp({.operation = 2, .target_mac = our_mac}, our_mac));
    ASSERT_EQ(host.wire.sent.size(), 2u);
    EXPECT_TRUE(has_right_sum(of(17, host.next_frame())));
    EXPECT_TRUE(has_right_sum(of(6, host.next_frame())));
    EXPECT_EQ(host.wire.asked.back().sum, Sum::none);
}

/// No card sees it, so nobody would fill it in, and it is checked where it comes out again.
TEST(LinkSums, AreOursOnTheWayToOurselves) {
    Host host{small_config(), our_ip, {.sums = true}};
    const SocketId from = *host.stack->udp_bind({ipv4_any, Port{7}}, 1);
    const SocketId to = *host.stack->udp_bind({ipv4_any, Port{9}}, 2);
    const Endpoint there{address(our_ip), Port{9}};
    ASSERT_TRUE(host.stack->udp_send_to(from, there, view(pattern_octets(0, 100)), host.now));
    std::byte room[200];
    EXPECT_EQ(host.stack->udp_receive_from(to, room)->bytes, 100u);
    EXPECT_EQ(host.drops(Drop::udp_bad_checksum), 0u);
}

TEST(LinkSums, FoundRightByTheCardAreNotMadeAgain) {
    Host host;
    const SocketId socket = *host.stack->udp_bind({ipv4_any, Port{7}}, 1);
    Octets frame = udp(9, 7, pattern_octets(0, 100));
    frame[80] ^= 0xff;
    host.stack->receive(view(frame), host.now, first_link, false);
    EXPECT_EQ(host.drops(Drop::udp_bad_checksum), 1u);
    host.stack->receive(view(frame), host.now, first_link, true);
    std::byte room[200];
    EXPECT_EQ(host.stack->udp_receive_from(socket, room)->bytes, 100u) << "it was believed";
}

/// A card looks at packets one by one: of a datagram that came in pieces it knows nothing.
TEST(LinkSums, OfPiecesAreNeverBelieved) {
    Host host;
    ASSERT_TRUE(host.stack->udp_bind({ipv4_any, Port{7}}, 1));
    Octets datagram = udp_datagram({}, 9, 7, pattern_octets(0, 100));
    datagram[50] ^= 0xff;
    const auto piece = [&](size_t from, size_t to, uint32_t fragment) {
        const Octets frame = ip({.fragment = fragment}, part(datagram, from, to));
        host.stack->receive(view(frame), host.now, first_link, true);
    };
    piece(0, 64, 0x2000);
    piece(64, datagram.size(), 8);
    EXPECT_EQ(host.drops(Drop::udp_bad_checksum), 1u);
}
