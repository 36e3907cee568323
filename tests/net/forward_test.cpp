// Several links, and what a router does with packets for others (RFC 1812 5.2 and 5.3).
#include "tests/net/support.hpp"

using namespace net;
using namespace bench;

namespace {

const Octets other_mac{0x02, 0, 0, 0, 0, 3}, other_peer_mac{0x02, 0, 0, 0, 0, 4};
constexpr uint32_t other_ip = 0x0a010001, other_peer_ip = 0x0a010009;
constexpr LinkNumber second{{1}};

} // namespace

/// 10.0.0.2/24 on the first link, 10.1.0.1/24 on the second; a peer known on each.
struct ForwardTest : testing::Test {
    Host host;
    Wire other;

    ForwardTest() {
        host.meet_peer();
        const MacAddress mac{{0x02, 0, 0, 0, 0, 3}};
        EXPECT_EQ(*host.stack->add_link(mac, 1500, other), second);
        EXPECT_TRUE(host.stack->set_address({address(other_ip), 24}, second));
        from_other(arp({.sender_mac = other_peer_mac, .sender = other_peer_ip, .target = other_ip})
        );
        other.sent.clear();
        host.stack->set_forwarding(true);
    }

    void from_other(const Octets& frame) { host.stack->receive(view(frame), host.now, second); }

    static Octets next(Wire& wire) {
        if (wire.sent.empty()) return {};
        Octets frame = wire.sent.front();
        wire.sent.pop_front();
        return frame;
    }

    static Ip across(uint8_t ttl = 64) {
        return {.source = peer_ip, .destination = other_peer_ip, .ttl = ttl};
    }

    /// The next frame to the first peer is this error about `packet`, from our address there.
    void expect_error(uint8_t type, uint8_t code, const Octets& packet, uint32_t rest = 0) {
        const Octets frame = next(host.wire);
        ASSERT_GE(frame.size(), 14u + 20 + 8);
        EXPECT_EQ(get32(frame, 26), our_ip);
        EXPECT_EQ(get32(frame, 30), peer_ip);
        EXPECT_EQ(frame[34], type);
        EXPECT_EQ(frame[35], code);
        EXPECT_EQ(get32(frame, 38), rest);
        EXPECT_EQ(plain_checksum(part(frame, 34, frame.size())), 0);
        EXPECT_EQ(part(frame, 42, frame.size()), part(packet, 0, frame.size() - 42));
    }

    void drops_one(const Octets& frame, Drop reason) {
        const uint64_t before = host.drops(reason), all = host.all_drops();
        host.receive(frame);
        EXPECT_EQ(host.drops(reason), before + 1) << text_of(reason).name;
        EXPECT_EQ(host.all_drops(), all + 1) << "one drop, one reason";
    }
};

TEST_F(ForwardTest, APacketGoesOnWithOneHopLess) {
    const Octets payload = pattern_octets(0, 100);
    host.receive(ip(across(), udp_datagram(across(), 1, 2, payload)));
    const Octets frame = next(other);
    EXPECT_EQ(part(frame, 0, 12), other_peer_mac + other_mac);
    EXPECT_EQ(
        part(frame, 14, frame.size()), ip_packet(across(63), udp_datagram(across(), 1, 2, payload))
    );
    EXPECT_TRUE(host.wire.sent.empty());
    EXPECT_EQ(host.stack->counters().forwarded, 1u);
    EXPECT_EQ(host.all_drops(), 0u);
}

TEST_F(ForwardTest, ItWorksInBothDirectionsAndForEveryProtocol) {
    const Ip back{.source = other_peer_ip, .destination = peer_ip, .protocol = 200};
    from_other(ip(back, {1, 2, 3, 4}, other_mac));
    const Octets frame = host.next_frame();
    EXPECT_EQ(part(frame, 0, 12), peer_mac + our_mac);
    EXPECT_EQ(part(frame, 34, frame.size()), (Octets{1, 2, 3, 4}));
}

TEST_F(ForwardTest, AHostForwardsNothing) {
    host.stack->set_forwarding(false);
    EXPECT_FALSE(host.stack->forwarding());
    drops_one(ip(across(), {1}), Drop::ip_not_for_us);
    EXPECT_TRUE(other.sent.empty());
}

TEST_F(ForwardTest, ATimeToLiveThatEndsIsReported) {
    for (const uint8_t ttl : {uint8_t{1}, uint8_t{0}}) {
        drops_one(ip(across(ttl), Octets(50, 7)), Drop::forward_time_exceeded);
        expect_error(11, 0, ip_packet(across(ttl), Octets(50, 7)));
    }
    EXPECT_TRUE(other.sent.empty());
}

TEST_F(ForwardTest, WithoutARouteTheNetworkIsUnreachable) {
    const Ip lost{.destination = far_ip};
    drops_one(ip(lost, {1, 2}), Drop::ip_no_route);
    expect_error(3, 0, ip_packet(lost, {1, 2}));
}

TEST_F(ForwardTest, TheLongestPrefixWins) {
    ASSERT_TRUE(host.stack->add_route({address(0xc0a80000), 16}, address(0x0a010008)));
    ASSERT_TRUE(host.stack->add_route({address(0xc0a80500), 24}, address(other_peer_ip)));
    const Ip far{.destination = far_ip};
    host.receive(ip(far, {1}));
    EXPECT_EQ(part(next(other), 0, 6), other_peer_mac);
    ASSERT_TRUE(host.stack->remove_route({address(0xc0a80500), 24}));
    host.receive(ip(far, {1}));
    const Octets question = next(other); // for the other gateway, which is not known
    EXPECT_EQ(get16(question, 12), 0x0806u);
    EXPECT_EQ(get32(question, 38), 0x0a010008u);
}

TEST_F(ForwardTest, ANeighbourThatDoesNotAnswerIsUnreachable) {
    const Ip silent{.destination = 0x0a010077};
    host.receive(ip(silent, {1, 2, 3}));
    EXPECT_TRUE(host.wire.sent.empty());
    host.pass(seconds(5));
    Ip quoted = silent;
    quoted.ttl = 63; // as it was when it got stuck
    expect_error(3, 1, ip_packet(quoted, {1, 2, 3}));
    EXPECT_EQ(host.drops(Drop::arp_unresolved), 1u);
    drops_one(ip(silent, {4}), Drop::arp_unresolved); // still known to be silent
    expect_error(3, 1, ip_packet(silent, {4}));
}

TEST_F(ForwardTest, WhatIsTooBigToBeCutIsReportedWithTheNextMtu) {
    Wire narrow;
    const MacAddress mac{{0x02, 0, 0, 0, 0, 5}};
    const LinkNumber third = *host.stack->add_link(mac, 600, narrow);
    ASSERT_TRUE(host.stack->set_address({address(0x0a020001), 24}, third));
    const Ip whole{.destination = 0x0a020009, .fragment = 0x4000};
    drops_one(ip(whole, Octets(581, 1)), Drop::forward_too_big);
    expect_error(3, 4, ip_packet(whole, Octets(581, 1)), 600);
    host.receive(ip(whole, Octets(580, 1)));
    EXPECT_EQ(get16(next(narrow), 12), 0x0806u) << "this one fits: its neighbour is asked for";
}

/// A link that takes 600 bytes, with a known neighbour.
struct NarrowTest : ForwardTest {
    Wire narrow;

    NarrowTest() {
        const Octets mac{0x02, 0, 0, 0, 0, 5};
        const LinkNumber third =
            *host.stack->add_link(MacAddress{{0x02, 0, 0, 0, 0, 5}}, 600, narrow);
        EXPECT_TRUE(host.stack->set_address({address(0x0a020001), 24}, third));
        const Octets hello =
            arp({.sender_mac = other_peer_mac, .sender = 0x0a020009, .target = 0x0a020001});
        host.stack->receive(view(hello), host.now, third);
        narrow.sent.clear();
    }
};

TEST_F(NarrowTest, WhatMayBeCutIsCutAndNothingIsLost) {
    const Octets payload = pattern_octets(0, 1400);
    // From the middle of a datagram, more to come.
    host.receive(ip({.destination = 0x0a020009, .id = 99, .fragment = 0x2000 | 10}, payload));
    Octets joined;
    ASSERT_EQ(narrow.sent.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
        const Octets frame = next(narrow);
        EXPECT_LE(frame.size(), 614u);
        EXPECT_EQ(plain_checksum(part(frame, 14, 34)), 0);
        EXPECT_EQ(get16(frame, 18), 99u);
        EXPECT_EQ(get16(frame, 20), 0x2000u | (10 + joined.size() / 8));
        joined = joined + part(frame, 34, frame.size());
    }
    EXPECT_EQ(joined, payload);
}

TEST_F(NarrowTest, OnlyMarkedOptionsAreInEveryFragment) {
    const Octets options{7, 7, 4, 0, 0, 0, 0, 1, 0x88, 4, 1, 2}; // record route, no-op, stream id
    host.receive(ip({.destination = 0x0a020009, .options = options}, Octets(1000, 1)));
    ASSERT_EQ(narrow.sent.size(), 2u);
    const Octets first = next(narrow), later = next(narrow);
    EXPECT_EQ(part(first, 34, 46), options);
    EXPECT_EQ(later[14], 0x46);
    EXPECT_EQ(part(later, 34, 38), (Octets{0x88, 4, 1, 2}));
    EXPECT_EQ(plain_checksum(part(later, 14, 38)), 0);
    EXPECT_EQ(get16(later, 16), later.size() - 14);
}

TEST_F(ForwardTest, WhoCouldAskTheNextStationItselfIsTold) {
    ASSERT_TRUE(host.stack->add_route({address(0xc0a80000), 16}, address(0x0a000005)));
    host.receive(arp({.sender_mac = other_peer_mac, .sender = 0x0a000005, .target = our_ip}));
    host.wire.sent.clear();
    const Ip far{.destination = far_ip};
    host.receive(ip(far, {1, 2}));
    expect_error(5, 1, ip_packet(far, {1, 2}), 0x0a000005);
    EXPECT_EQ(part(host.next_frame(), 0, 6), other_peer_mac) << "and it goes on all the same";
    EXPECT_EQ(host.all_drops(), 0u);
}

TEST_F(ForwardTest, WhoIsNotOnThatNetworkIsNotToldOfANearerWay) {
    ASSERT_TRUE(host.stack->add_route({address(0xc0a80000), 16}, address(peer_ip)));
    host.receive(ip({.source = 0x0b000001, .destination = far_ip}, {1}));
    EXPECT_EQ(host.wire.sent.size(), 1u);
    EXPECT_EQ(part(host.next_frame(), 0, 6), peer_mac);
}

TEST_F(ForwardTest, ErrorsAreNeverAboutErrorsNorAboutLaterPieces) {
    Ip header = across(1);
    header.protocol = 1;
    host.receive(ip(header, icmp_message(3, 1, 0, Octets(28, 0))));
    host.receive(ip(header, icmp_message(11, 0, 0, Octets(28, 0))));
    host.receive(ip(header, icmp_message(5, 0, 0, Octets(28, 0))));
    host.receive(ip({.destination = other_peer_ip, .ttl = 1, .fragment = 5}, {1, 2}));
    EXPECT_TRUE(host.wire.sent.empty());
    host.receive(ip(header, icmp_message(8, 0, 0, {1})));
    EXPECT_EQ(host.wire.sent.size(), 1u) << "about a question they are";
}

TEST_F(ForwardTest, ErrorsKeepToTheLimit) {
    for (int i = 0; i < 1000; ++i)
        host.receive(ip(across(1), {1}));
    EXPECT_GT(host.drops(Drop::icmp_rate_limited), 800u);
    EXPECT_LT(host.wire.sent.size(), 200u);
}

TEST_F(ForwardTest, WhatMayNotGoOnStays) {
    drops_one(ip(across(), {1}, broadcast_mac), Drop::ip_link_broadcast);
    drops_one(ip({.destination = 0xe0000005}, {1}), Drop::ip_not_for_us);
    drops_one(ip({.destination = 0xf0000005}, {1}), Drop::ip_not_for_us);
    drops_one(ip({.destination = 0xa9fe0005}, {1}), Drop::ip_not_for_us);
    drops_one(ip({.source = 0xa9fe0005, .destination = other_peer_ip}, {1}), Drop::ip_not_for_us);
    drops_one(ip({.source = 0, .destination = other_peer_ip}, {1}), Drop::ip_martian_source);
    drops_one(ip({.source = other_ip, .destination = other_peer_ip}, {1}), Drop::ip_martian_source);
    drops_one(
        ip({.destination = other_peer_ip, .options = {131, 7, 4, 1, 2, 3, 4, 0}}, {1}),
        Drop::ip_source_route
    );
    // A directed broadcast is for us, who are on that network, and goes no further (RFC 2644).
    host.receive(udp(1, 2, {1}, {.source = peer_ip, .destination = 0x0a0100ff}));
    EXPECT_TRUE(other.sent.empty());
}

TEST_F(ForwardTest, AFullLinkLosesAPacketAndSaysSo) {
    other.room = 0;
    drops_one(ip(across(), {1}), Drop::link_full);
    EXPECT_TRUE(host.wire.sent.empty());
}

TEST_F(ForwardTest, EachOfOurAddressesAnswersOnEitherLink) {
    Ip ping{.destination = other_ip, .protocol = 1};
    host.receive(ip(ping, icmp_message(8, 0, 0x00010002, {5})));
    const Octets frame = host.next_frame();
    EXPECT_EQ(get32(frame, 26), other_ip);
    EXPECT_EQ(part(frame, 34, frame.size()), icmp_message(0, 0, 0x00010002, {5}));
    EXPECT_TRUE(other.sent.empty());
}

TEST_F(ForwardTest, ArpIsAnsweredOnlyForTheAddressOfThatLink) {
    from_other(arp({.sender_mac = other_peer_mac, .sender = other_peer_ip, .target = our_ip}));
    EXPECT_TRUE(other.sent.empty());
    from_other(arp({.sender_mac = other_peer_mac, .sender = our_ip, .target = other_ip}));
    EXPECT_EQ(host.drops(Drop::arp_conflict), 1u);
}

TEST_F(ForwardTest, WhatWeSendHasTheAddressOfTheLinkItLeavesBy) {
    const SocketId socket = *host.stack->udp_bind({ipv4_any, Port{5}}, 1);
    const Octets data{1, 2};
    const Endpoint to{address(other_peer_ip), Port{6}};
    ASSERT_TRUE(host.stack->udp_send_to(socket, to, view(data), host.now));
    EXPECT_EQ(get32(next(other), 26), other_ip);
    const Endpoint all{address(0x0a0100ff), Port{6}};
    ASSERT_TRUE(host.stack->udp_send_to(socket, all, view(data), host.now));
    const Octets frame = next(other);
    EXPECT_EQ(part(frame, 0, 6), broadcast_mac);
    EXPECT_EQ(get32(frame, 26), other_ip);
    EXPECT_TRUE(host.wire.sent.empty());
}

TEST_F(ForwardTest, AnAddressThatGoesTakesItsRoutesAlongAndNoOthers) {
    ASSERT_TRUE(host.stack->add_route({address(0xc0a80000), 16}, address(other_peer_ip)));
    ASSERT_TRUE(host.stack->set_address({}, second));
    RouteInfo routes[4];
    ASSERT_EQ(host.stack->list_routes(0, routes), 1u);
    EXPECT_EQ(routes[0].destination, (Ipv4Prefix{address(0x0a000000), 24}));
    EXPECT_EQ(routes[0].link, first_link);
    const SocketId socket = *host.stack->udp_bind({ipv4_any, Port{5}}, 1);
    const Octets data{1};
    const Endpoint to{address(other_peer_ip), Port{6}};
    EXPECT_EQ(
        host.stack->udp_send_to(socket, to, view(data), host.now).error(), Err::network_unreachable
    );
}

TEST_F(ForwardTest, ALinkThatCannotBeIsRefused) {
    Wire more;
    const MacAddress good{{2, 0, 0, 0, 0, 9}};
    EXPECT_EQ(host.stack->add_link(MacAddress::broadcast(), 1500, more).error(), Err::bad_argument);
    EXPECT_EQ(host.stack->add_link(good, 9000, more).error(), Err::bad_argument);
    EXPECT_EQ(host.stack->add_link(good, 500, more).error(), Err::bad_argument);
    EXPECT_TRUE(host.stack->add_link(good, 1500, more));
    EXPECT_TRUE(host.stack->add_link(good, 1500, more));
    EXPECT_EQ(host.stack->add_link(good, 1500, more).error(), Err::no_slots);
    EXPECT_EQ(host.stack->links(), 4u);
    EXPECT_EQ(host.stack->set_address({address(our_ip), 24}, {{4}}).error(), Err::bad_argument);
}

TEST_F(ForwardTest, RedirectsToUsAreCountedAndNotObeyed) {
    const Octets about = ip_packet({.source = our_ip, .destination = far_ip}, Octets(8, 0));
    const uint64_t before = host.drops(Drop::icmp_redirect);
    host.receive(icmp(5, 1, other_peer_ip, about));
    EXPECT_EQ(host.drops(Drop::icmp_redirect), before + 1);
    RouteInfo routes[4];
    EXPECT_EQ(host.stack->list_routes(0, routes), 2u);
}

TEST_F(ForwardTest, DhcpAsksOnTheFirstLinkWhateverTheOthersHave) {
    ASSERT_TRUE(host.stack->set_address({}));
    host.wire.sent.clear();
    host.stack->start_dhcp(host.now);
    EXPECT_EQ(host.wire.sent.size(), 1u);
    EXPECT_TRUE(other.sent.empty());
}

TEST_F(ForwardTest, ABroadcastFromAnyAddressLeavesWhereThereIsOne) {
    ASSERT_TRUE(host.stack->set_address({}));
    const SocketId socket = *host.stack->udp_bind({ipv4_any, Port{5}}, 1);
    const Octets data{1};
    const Endpoint all{ipv4_broadcast, Port{6}};
    ASSERT_TRUE(host.stack->udp_send_to(socket, all, view(data), host.now));
    EXPECT_EQ(get32(next(other), 26), other_ip);
    EXPECT_TRUE(host.wire.sent.empty());
}
