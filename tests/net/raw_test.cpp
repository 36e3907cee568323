// Whole packets past the protocols.
#include "tests/net/support.hpp"

using namespace net;
using namespace bench;

struct RawTest : testing::Test {
    using Kind = RawFilter::Kind;

    static Config config() {
        Config config = small_config();
        config.raw_sockets = 2;
        config.datagram_buffer_bytes = 4096;
        return config;
    }

    RawTest() { host.meet_peer(); }

    SocketId open(Kind kind, uint16_t number) {
        return *host.stack->raw_open({.kind = kind, .number = number}, 9);
    }

    Octets receive(SocketId socket, size_t most = 2000) {
        Octets octets(most);
        const auto got = host.stack->raw_receive(socket, std::as_writable_bytes(std::span{octets}));
        if (!got) return {};
        full = got->full_bytes;
        octets.resize(got->bytes);
        return octets;
    }

    Result<> send(SocketId socket, const Octets& data, uint32_t to = peer_ip) {
        return host.stack->raw_send(socket, address(to), view(data), host.now);
    }

    Host host{config()};
    size_t full{};
};

TEST_F(RawTest, AFrameGoesToWhoAsksAndOnItsWay) {
    const SocketId all = open(Kind::frame, 0), arps = open(Kind::frame, 0x0806);
    const Octets question = arp({});
    host.receive(question);
    EXPECT_EQ(receive(all), question);
    EXPECT_EQ(receive(arps), question);
    EXPECT_FALSE(host.next_frame().empty()) << "and ARP has answered it";
    const Octets other = ethernet(0x88b5, {1, 2, 3}, {2, 9, 9, 9, 9, 9});
    host.receive(other);
    EXPECT_EQ(receive(all), other) << "whoever it is for";
    EXPECT_EQ(receive(arps), Octets{});
    EXPECT_TRUE(host.heard.has(9, Event::readable));
    host.receive({1, 2, 3});
    EXPECT_EQ(receive(all), Octets{}) << "that is no frame";
}

TEST_F(RawTest, AProtocolWithASocketIsKnown) {
    const Octets packet = ip_packet({.protocol = 89, .options = {1, 1, 1, 0}}, {5, 6, 7});
    host.receive(ethernet(0x0800, packet));
    EXPECT_FALSE(host.next_frame().empty()) << "protocol unreachable";
    const SocketId ospf = open(Kind::ip, 89);
    host.receive(ethernet(0x0800, packet));
    EXPECT_TRUE(host.wire.sent.empty());
    EXPECT_EQ(receive(ospf), packet) << "with its header";
    host.receive(ip({.protocol = 89, .bad_checksum = true}, {5}));
    host.receive(ip({.destination = far_ip, .protocol = 89}, {5}));
    EXPECT_EQ(receive(ospf), Octets{});
    ASSERT_TRUE(host.stack->raw_close(ospf));
    host.receive(ethernet(0x0800, packet));
    EXPECT_FALSE(host.next_frame().empty());
}

TEST_F(RawTest, AKnownProtocolGoesToBoth) {
    const SocketId icmps = open(Kind::ip, 1);
    const Octets ping = icmp(8, 0, 0x00010002, {1, 2});
    host.receive(ping);
    EXPECT_EQ(receive(icmps), part(ping, 14, ping.size()));
    EXPECT_EQ(host.next_frame().at(34), 0) << "answered all the same";
}

TEST_F(RawTest, ADatagramInPiecesComesWhole) {
    const SocketId udps = open(Kind::ip, 17);
    const Octets whole = udp_datagram({}, 1, 2, pattern_octets(0, 40));
    host.receive(ip({.id = 3, .fragment = 0x2000}, part(whole, 0, 24)));
    EXPECT_EQ(receive(udps), Octets{});
    host.receive(ip({.id = 3, .fragment = 3}, part(whole, 24, whole.size())));
    const Octets got = receive(udps);
    EXPECT_EQ(part(got, 20, got.size()), whole);
}

TEST_F(RawTest, ALongPacketIsCutAndSaysSo) {
    const SocketId ospf = open(Kind::ip, 89);
    const Octets packet = ip_packet({.protocol = 89}, pattern_octets(0, 100));
    host.receive(ethernet(0x0800, packet));
    EXPECT_EQ(receive(ospf, 30), part(packet, 0, 30));
    EXPECT_EQ(full, 120u);
    EXPECT_EQ(receive(ospf), Octets{}) << "the rest of it is lost";
}

TEST_F(RawTest, WhoDoesNotReadLosesAndItIsCounted) {
    const SocketId all = open(Kind::frame, 0);
    const Octets frame = ethernet(0x88b5, pattern_octets(0, 1000));
    for (int i = 0; i < 5; ++i)
        host.receive(frame);
    EXPECT_EQ(host.drops(Drop::raw_queue_full), 1u);
    for (int i = 0; i < 4; ++i)
        EXPECT_EQ(receive(all), frame);
    EXPECT_EQ(receive(all), Octets{});
}

TEST_F(RawTest, WhatIsSentHasAHeaderOrIsAFrame) {
    const SocketId ospf = open(Kind::ip, 89), all = open(Kind::frame, 0);
    ASSERT_TRUE(send(ospf, {7, 8, 9}));
    const Octets packet = host.next_frame();
    EXPECT_EQ(part(packet, 0, 6), peer_mac);
    EXPECT_EQ(packet.at(23), 89);
    EXPECT_EQ(get32(packet, 26), our_ip);
    EXPECT_EQ(plain_checksum(part(packet, 14, 34)), 0);
    EXPECT_EQ(part(packet, 34, packet.size()), (Octets{7, 8, 9}));
    const Octets frame = ethernet(0x88b5, {1}, peer_mac, our_mac);
    ASSERT_TRUE(send(all, frame));
    EXPECT_EQ(host.next_frame(), frame);
}

TEST_F(RawTest, RefusesWhatCannotBe) {
    EXPECT_EQ(host.stack->raw_open({.kind = Kind::ip, .number = 0}, 0).error(), Err::bad_argument);
    EXPECT_EQ(
        host.stack->raw_open({.kind = Kind::ip, .number = 256}, 0).error(), Err::bad_argument
    );
    const RawFilter no_link{.kind = Kind::frame, .link = LinkNumber{{1}}};
    EXPECT_EQ(host.stack->raw_open(no_link, 0).error(), Err::bad_argument);
    const SocketId ospf = open(Kind::ip, 89), all = open(Kind::frame, 0);
    EXPECT_EQ(host.stack->raw_open({.kind = Kind::ip, .number = 1}, 0).error(), Err::no_slots);
    EXPECT_EQ(send(all, Octets(13)).error(), Err::bad_argument);
    EXPECT_EQ(send(all, Octets(1515)).error(), Err::message_too_long);
    EXPECT_EQ(send(ospf, Octets(65516)).error(), Err::message_too_long);
    EXPECT_EQ(send(ospf, {1}, far_ip).error(), Err::network_unreachable);
    host.wire.room = 0;
    EXPECT_EQ(send(all, Octets(14)).error(), Err::no_space);
    EXPECT_FALSE(host.stack->ready(all)->has(Event::writable));
    host.wire.room = SIZE_MAX;
    host.stack->link_ready(host.now);
    EXPECT_TRUE(host.stack->ready(all)->has(Event::writable));
    ASSERT_TRUE(host.stack->raw_close(all));
    EXPECT_EQ(send(all, Octets(14)).error(), Err::not_found);
    EXPECT_EQ(host.stack->raw_close(all).error(), Err::not_found);
}
