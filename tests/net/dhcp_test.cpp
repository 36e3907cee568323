// The DHCP client, through the stack: what is on the wire, and what becomes of the address.
#include "tests/net/support.hpp"

using namespace net;
using namespace bench;

struct DhcpTest : testing::Test {
    Host host{small_config(), 0};
    const Octets server_ip = be32(peer_ip);

    struct Sent {
        uint8_t type = 0;
        uint32_t transaction = 0, client = 0, source = 0, destination = 0, flags = 0;
        Octets requested, server;
    };

    /// The next DHCP message sent, taken apart.
    std::optional<Sent> next() {
        while (!host.wire.sent.empty()) {
            const Octets frame = host.next_frame();
            if (get16(frame, 12) != 0x0800 || frame[23] != 17 || get16(frame, 36) != 67) continue;
            EXPECT_EQ(get16(frame, 34), 68u);
            const Octets m = part(frame, 42, frame.size());
            EXPECT_EQ(m[0], 1);
            EXPECT_EQ(part(m, 28, 34), our_mac);
            EXPECT_EQ(get32(m, 236), 0x63825363u);
            Sent sent{
                .transaction = get32(m, 4),
                .client = get32(m, 12),
                .source = get32(frame, 26),
                .destination = get32(frame, 30),
                .flags = get16(m, 10),
                .requested = {},
                .server = {}
            };
            for (size_t at = 240; m.at(at) != 255; at += 2u + m[at + 1]) {
                const Octets value = part(m, at + 2, at + 2 + m[at + 1]);
                if (m[at] == 53) sent.type = value[0];
                if (m[at] == 50) sent.requested = value;
                if (m[at] == 54) sent.server = value;
            }
            return sent;
        }
        return std::nullopt;
    }

    Octets
    message(uint8_t type, uint32_t transaction, uint32_t lease_s = 3600, uint32_t ours = our_ip) {
        return Octets{2, 1, 6, 0} + be32(transaction) + be32(0) + be32(0) + be32(ours) + be32(0) +
               be32(0) + our_mac + Octets(10 + 64 + 128) + be32(0x63825363) + Octets{53, 1, type} +
               Octets{54, 4} + server_ip + Octets{51, 4} + be32(lease_s) +
               Octets{1, 4, 255, 255, 255, 0, 0, 3, 4} + server_ip + Octets{6, 4, 8, 8, 8, 8, 255};
    }

    void answer(const Octets& payload, uint32_t to = 0xffffffff) {
        const Ip header{.destination = to};
        host.receive(ip(
            header, udp_datagram(header, 67, 68, payload), to == our_ip ? our_mac : broadcast_mac
        ));
    }

    void bind(uint32_t lease_s = 3600) {
        host.stack->start_dhcp(host.now);
        const auto discover = next();
        ASSERT_TRUE(discover);
        answer(message(2, discover->transaction, lease_s));
        ASSERT_TRUE(next());
        answer(message(5, discover->transaction, lease_s));
        ASSERT_EQ(host.heard.leases.size(), 1u);
    }
};

TEST_F(DhcpTest, DiscoverOfferRequestAck) {
    host.stack->start_dhcp(host.now);
    const auto discover = next();
    ASSERT_TRUE(discover);
    EXPECT_EQ(discover->type, 1);
    EXPECT_EQ(discover->source, 0u);
    EXPECT_EQ(discover->destination, 0xffffffffu);
    EXPECT_EQ(discover->flags, 0x8000u) << "answer by broadcast";
    answer(message(2, discover->transaction));
    const auto request = next();
    ASSERT_TRUE(request);
    EXPECT_EQ(request->type, 3);
    EXPECT_EQ(request->transaction, discover->transaction);
    EXPECT_EQ(request->requested, be32(our_ip));
    EXPECT_EQ(request->server, server_ip);
    EXPECT_TRUE(host.heard.leases.empty());
    answer(message(5, discover->transaction));
    ASSERT_EQ(host.heard.leases.size(), 1u);
    EXPECT_EQ(host.stack->address(), (Ipv4Prefix{address(our_ip), 24}));
    EXPECT_EQ(host.stack->lease()->dns, address(0x08080808));
    RouteInfo routes[4];
    ASSERT_EQ(host.stack->list_routes(0, routes), 2u);
    EXPECT_EQ(routes[1].gateway, address(peer_ip));
    EXPECT_EQ(host.all_drops(), 0u);
}

TEST_F(DhcpTest, DiscoverIsRepeatedMoreAndMoreRarely) {
    host.stack->start_dhcp(host.now);
    host.pass(seconds(60));
    int count = 0;
    while (next())
        ++count;
    EXPECT_GE(count, 5);
    EXPECT_LE(count, 7);
}

TEST_F(DhcpTest, NakBeginsAgain) {
    host.stack->start_dhcp(host.now);
    const auto first = next();
    answer(message(2, first->transaction));
    ASSERT_TRUE(next());
    answer(message(6, first->transaction));
    const auto again = next();
    ASSERT_TRUE(again);
    EXPECT_EQ(again->type, 1);
    EXPECT_NE(again->transaction, first->transaction);
}

TEST_F(DhcpTest, AServerThatGoesSilentAfterItsOfferIsLeft) {
    host.stack->start_dhcp(host.now);
    const auto first = next();
    answer(message(2, first->transaction));
    host.pass(seconds(40));
    uint8_t last = 0;
    while (const auto sent = next())
        last = sent->type;
    EXPECT_EQ(last, 1) << "discovers again";
}

TEST_F(DhcpTest, RenewsByUnicastAtHalfTime) {
    bind(3600);
    host.pass(seconds(1790));
    EXPECT_FALSE(next());
    host.pass(seconds(11));
    host.receive(arp({.operation = 2, .target_mac = our_mac}, our_mac));
    const auto renew = next();
    ASSERT_TRUE(renew);
    EXPECT_EQ(renew->type, 3);
    EXPECT_EQ(renew->client, our_ip);
    EXPECT_EQ(renew->destination, peer_ip);
    answer(message(5, renew->transaction), our_ip);
    EXPECT_EQ(host.heard.leases.size(), 2u);
    host.pass(seconds(3000));
    EXPECT_TRUE(host.stack->lease()) << "the new lease counts from the renewal";
}

TEST_F(DhcpTest, RebindsByBroadcastAndThenLosesTheLease) {
    bind(3600);
    host.pass(seconds(3200));
    std::optional<Sent> last;
    while (auto sent = next())
        last = sent;
    ASSERT_TRUE(last);
    EXPECT_EQ(last->destination, 0xffffffffu);
    EXPECT_EQ(last->source, our_ip);
    host.pass(seconds(450));
    ASSERT_EQ(host.heard.leases.size(), 2u);
    EXPECT_FALSE(host.heard.leases[1]);
    EXPECT_EQ(host.stack->address(), Ipv4Prefix{});
    while (auto sent = next())
        last = sent;
    EXPECT_EQ(last->type, 1);
}

TEST_F(DhcpTest, RefusesWhatIsMalformedOrForOthers) {
    host.stack->start_dhcp(host.now);
    const uint32_t id = next()->transaction;
    answer(message(2, id + 1));
    EXPECT_EQ(host.drops(Drop::dhcp_not_ours), 1u);
    answer(part(message(2, id), 0, 200));
    EXPECT_EQ(host.drops(Drop::dhcp_malformed), 1u);
    answer(part(message(2, id), 0, 243) + Octets{51, 200});
    EXPECT_EQ(host.drops(Drop::dhcp_malformed), 2u);
    answer(message(2, id, 3600, 0xffffffff));
    EXPECT_EQ(host.drops(Drop::dhcp_malformed), 3u);
    answer(message(5, id));
    EXPECT_EQ(host.drops(Drop::dhcp_malformed), 4u) << "an ack without a request";
    EXPECT_FALSE(next());
    EXPECT_TRUE(host.heard.leases.empty());
}

TEST_F(DhcpTest, StopKeepsTheAddress) {
    bind();
    host.stack->stop_dhcp();
    host.pass(seconds(4000));
    EXPECT_EQ(host.stack->address().address, address(our_ip));
    EXPECT_FALSE(host.stack->lease());
}
