// Ethernet and ARP.
#include "tests/net/support.hpp"

using namespace net;
using namespace bench;

struct LinkTest : testing::Test {
    Host host;

    void drops_one(const Octets& frame, Drop reason) {
        const uint64_t before = host.drops(reason), all = host.all_drops();
        host.receive(frame);
        EXPECT_EQ(host.drops(reason), before + 1) << text_of(reason).name;
        EXPECT_EQ(host.all_drops(), all + 1) << "one drop, one reason";
        EXPECT_TRUE(host.wire.sent.empty());
    }

    SocketId udp_socket() { return *host.stack->udp_bind({ipv4_any, Port{7}}, 1); }

    Result<> send_one(SocketId socket, uint32_t to = peer_ip, uint8_t mark = 0) {
        const Octets data{mark};
        return host.stack->udp_send_to(socket, {address(to), Port{9}}, view(data), host.now);
    }

    /// The ARP request that asks for `target`, or a failure.
    void asked_for(uint32_t target) {
        Octets request = arp({.sender_mac = our_mac, .sender = our_ip, .target = target});
        std::ranges::copy(our_mac, request.begin() + 6);
        ASSERT_EQ(host.next_frame(), request);
    }
};

TEST_F(LinkTest, FramesThatAreNotForUsAreCountedByReason) {
    drops_one({}, Drop::ethernet_truncated);
    drops_one(Octets(13), Drop::ethernet_truncated);
    drops_one(ethernet(0x0800, {}, {2, 0, 0, 0, 0, 9}), Drop::ethernet_other_mac);
    drops_one(ethernet(0x0800, {}, {1, 0, 0x5e, 0, 0, 1}), Drop::ethernet_other_mac);
    drops_one(ethernet(0x0800, {}, our_mac, broadcast_mac), Drop::ethernet_bad_source);
    drops_one(ethernet(0x0800, {}, our_mac, our_mac), Drop::ethernet_bad_source);
    drops_one(ethernet(0x86dd, Octets(40)), Drop::ethernet_unknown_type);
    drops_one(ethernet(0x0010, Octets(16)), Drop::ethernet_unknown_type);
}

TEST_F(LinkTest, AnswersWhoAsksForUs) {
    host.receive(arp({}));
    const Octets reply = host.next_frame();
    EXPECT_EQ(part(reply, 0, 6), peer_mac);
    EXPECT_EQ(part(reply, 6, 12), our_mac);
    EXPECT_EQ(get16(reply, 20), 2u);
    EXPECT_EQ(part(reply, 22, 28), our_mac);
    EXPECT_EQ(get32(reply, 28), our_ip);
    EXPECT_EQ(part(reply, 32, 38), peer_mac);
    EXPECT_EQ(get32(reply, 38), peer_ip);
    EXPECT_TRUE(host.wire.sent.empty());
}

TEST_F(LinkTest, AnswersAProbeWithoutRememberingIt) {
    host.receive(arp({.sender = 0}));
    EXPECT_EQ(host.wire.sent.size(), 1u);
    NeighbourInfo room[4];
    EXPECT_EQ(host.stack->list_neighbours(0, room, host.now), 0u);
}

TEST_F(LinkTest, MalformedArpIsCountedByReason) {
    drops_one(part(arp({}), 0, 41), Drop::arp_truncated);
    drops_one(arp({.hardware = 6}), Drop::arp_bad_format);
    drops_one(arp({.protocol = 0x86dd}), Drop::arp_bad_format);
    drops_one(arp({.operation = 3}), Drop::arp_bad_operation);
    drops_one(arp({.sender_mac = broadcast_mac}), Drop::arp_bad_sender);
    drops_one(arp({.sender_mac = {1, 0, 0x5e, 0, 0, 1}}), Drop::arp_bad_sender);
    drops_one(arp({.sender = 0xe0000001}), Drop::arp_bad_sender);
    drops_one(arp({.sender = 0x0a0000ff}), Drop::arp_bad_sender);
    drops_one(arp({.sender = our_ip}), Drop::arp_conflict);
    drops_one(arp({.target = 0x0a000063}), Drop::arp_not_for_us);
}

TEST_F(LinkTest, HoldsPacketsUntilTheNeighbourAnswers) {
    const SocketId socket = udp_socket();
    EXPECT_TRUE(send_one(socket, peer_ip, 1));
    EXPECT_TRUE(send_one(socket, peer_ip, 2));
    asked_for(peer_ip);
    EXPECT_TRUE(host.wire.sent.empty()) << "one question for both";
    host.receive(arp({.operation = 2, .target_mac = our_mac}, our_mac));
    for (const uint8_t mark : {uint8_t{1}, uint8_t{2}}) {
        const Octets frame = host.next_frame();
        ASSERT_EQ(frame.size(), 14u + 20 + 8 + 1);
        EXPECT_EQ(part(frame, 0, 6), peer_mac);
        EXPECT_EQ(frame.back(), mark);
    }
    EXPECT_TRUE(send_one(socket));
    EXPECT_EQ(part(host.next_frame(), 0, 6), peer_mac);
}

TEST_F(LinkTest, AnUnaskedReplyIsNotBelieved) {
    host.receive(arp({.operation = 2, .sender = 0x0a000009}, our_mac));
    NeighbourInfo room[4];
    EXPECT_EQ(host.stack->list_neighbours(0, room, host.now), 0u);
}

TEST_F(LinkTest, KeepsTheLatestWhenTooManyWait) {
    const SocketId socket = udp_socket();
    for (uint8_t i = 0; i < 9; ++i)
        EXPECT_TRUE(send_one(socket, peer_ip, i));
    EXPECT_EQ(host.drops(Drop::arp_hold_full), 5u);
    host.wire.sent.clear();
    host.receive(arp({.operation = 2}, our_mac));
    std::vector<int> marks;
    for (const Octets& frame : host.wire.sent)
        marks.push_back(frame.back());
    EXPECT_EQ(marks, (std::vector{5, 6, 7, 8}));
}

TEST_F(LinkTest, AsksOnceASecondAndThenReportsTheHostUnreachable) {
    const SocketId socket = udp_socket();
    EXPECT_TRUE(send_one(socket));
    for (int i = 0; i < 30; ++i) {
        EXPECT_TRUE(send_one(socket));
        host.pass(milliseconds(100));
    }
    EXPECT_EQ(host.wire.sent.size(), 4u) << "at 0, 1, 2 and 3 s";
    host.pass(seconds(1));
    EXPECT_EQ(host.wire.sent.size(), 4u);
    EXPECT_TRUE(host.heard.has(1, Event::error));
    EXPECT_GT(host.drops(Drop::arp_unresolved), 0u);
    EXPECT_EQ(host.stack->udp_receive_from(socket, {}).error(), Err::host_unreachable);
    EXPECT_EQ(send_one(socket).error(), Err::host_unreachable) << "remembered for a moment";
    host.pass(seconds(4));
    EXPECT_TRUE(send_one(socket)) << "and then tried again";
}

TEST_F(LinkTest, PollsAKnownNeighbourByUnicastWhileInUse) {
    host.meet_peer();
    const SocketId socket = udp_socket();
    host.pass(seconds(31));
    EXPECT_TRUE(send_one(socket));
    ASSERT_EQ(host.wire.sent.size(), 2u);
    const Octets request = host.next_frame();
    EXPECT_EQ(part(request, 0, 6), peer_mac);
    EXPECT_EQ(get16(request, 20), 1u);
    host.receive(arp({.operation = 2}, our_mac));
    host.wire.sent.clear();
    host.pass(seconds(20));
    EXPECT_TRUE(send_one(socket));
    EXPECT_EQ(host.wire.sent.size(), 1u) << "confirmed: no question";
}

TEST_F(LinkTest, PollsOnceASecondHoweverLongItWasIdle) { // RFC 1122 2.3.2.1
    host.meet_peer();
    const SocketId socket = udp_socket();
    host.pass(seconds(45));
    for (int i = 0; i < 4; ++i)
        EXPECT_TRUE(send_one(socket));
    EXPECT_EQ(host.wire.sent.size(), 5u) << "four datagrams and one question";
}

TEST_F(LinkTest, ForgetsANeighbourThatWasNotHeardOfForAMinute) {
    host.meet_peer();
    host.pass(seconds(61));
    EXPECT_TRUE(send_one(udp_socket()));
    asked_for(peer_ip);
}

TEST_F(LinkTest, TheCacheIsBoundedAndTheLeastUsedGoes) {
    for (uint32_t i = 0; i < 10; ++i) {
        host.now = host.now + milliseconds(1);
        host.receive(arp({.sender = peer_ip + 10 + i}));
    }
    NeighbourInfo room[10];
    ASSERT_EQ(host.stack->list_neighbours(0, room, host.now), 4u);
    for (const auto& neighbour : std::span{room}.first(4)) {
        EXPECT_GE(neighbour.address.bits(), peer_ip + 10 + 6);
    }
}

TEST_F(LinkTest, NeighboursBeingAskedForAreNotDrivenOut) {
    const SocketId socket = udp_socket();
    for (uint32_t i = 0; i < 2; ++i) // half of what there is
        EXPECT_TRUE(send_one(socket, peer_ip + 10 + i));
    EXPECT_EQ(send_one(socket, peer_ip + 20).error(), Err::host_unreachable);
    EXPECT_EQ(host.drops(Drop::arp_cache_full), 1u);
    host.pass(seconds(8));
    EXPECT_EQ(host.stack->take_error(socket), Err::host_unreachable);
    EXPECT_TRUE(send_one(socket, peer_ip + 20)) << "they gave way in time";
}

TEST_F(LinkTest, AScanOfSilentOnesLeavesThoseInUse) {
    host.meet_peer();
    const SocketId socket = udp_socket();
    for (uint32_t i = 0; i < 40; ++i) {
        std::ignore = send_one(socket, peer_ip + 10 + i);
        host.pass(milliseconds(100));
        std::ignore = host.stack->take_error(socket); // of those given up
    }
    host.wire.sent.clear();
    EXPECT_TRUE(send_one(socket));
    ASSERT_FALSE(host.wire.sent.empty());
    EXPECT_EQ(part(host.next_frame(), 0, 6), peer_mac);
}

TEST_F(LinkTest, ARoutedPacketGoesToTheGatewaysMac) {
    host.meet_peer();
    const SocketId socket = udp_socket();
    EXPECT_EQ(send_one(socket, far_ip).error(), Err::network_unreachable);
    EXPECT_TRUE(host.stack->add_route({}, address(peer_ip)));
    EXPECT_TRUE(send_one(socket, far_ip));
    const Octets frame = host.next_frame();
    EXPECT_EQ(part(frame, 0, 6), peer_mac);
    EXPECT_EQ(get32(frame, 30), far_ip);
}

TEST_F(LinkTest, LongestPrefixWins) {
    host.meet_peer();
    host.receive(arp({.sender_mac = {2, 0, 0, 0, 0, 9}, .sender = 0x0a000009}));
    host.wire.sent.clear();
    ASSERT_TRUE(host.stack->add_route({}, address(peer_ip)));
    ASSERT_TRUE(host.stack->add_route({address(0xc0a80000), 16}, address(0x0a000009)));
    const SocketId socket = udp_socket();
    EXPECT_TRUE(send_one(socket, far_ip));
    EXPECT_EQ(host.next_frame()[5], 9);
    EXPECT_TRUE(send_one(socket, 0x08080808));
    EXPECT_EQ(host.next_frame()[5], 1);
    EXPECT_EQ(host.stack->add_route({}, address(far_ip)).error(), Err::network_unreachable);
    EXPECT_TRUE(host.stack->remove_route({address(0xc0a80000), 16}));
    EXPECT_TRUE(send_one(socket, far_ip));
    EXPECT_EQ(host.next_frame()[5], 1);
}
