// IPv4, ICMP, UDP and echo: what is refused and why, and what is answered.
#include <random>

#include "tests/net/support.hpp"

using namespace net;
using namespace bench;

struct IpTest : testing::Test {
    Host host;
    SocketId echo;

    IpTest() {
        host.meet_peer();
        echo = *host.stack->udp_bind({ipv4_any, Port{7}}, 77);
    }

    void drops_one(const Octets& frame, Drop reason) {
        const uint64_t before = host.drops(reason), all = host.all_drops();
        host.receive(frame);
        EXPECT_EQ(host.drops(reason), before + 1) << text_of(reason).name;
        EXPECT_EQ(host.all_drops(), all + 1) << "one drop, one reason";
    }

    std::optional<Octets> received() {
        std::vector<std::byte> room(65535);
        const auto info = host.stack->udp_receive_from(echo, room);
        if (!info) return std::nullopt;
        return octets_of(Bytes{room}.first(info->bytes));
    }

    /// `payload` to our port 7 in fragments of `size` bytes.
    std::vector<Octets> fragments(const Octets& payload, size_t size, uint32_t id) {
        const Octets datagram = udp_datagram({}, 5000, 7, payload);
        std::vector<Octets> frames;
        for (size_t at = 0; at < datagram.size(); at += size) {
            const bool more = at + size < datagram.size();
            frames.push_back(
                ip({.id = id, .fragment = uint32_t(at / 8) | (more ? 0x2000u : 0u)},
                   part(datagram, at, at + size))
            );
        }
        return frames;
    }
};

TEST_F(IpTest, DeliversADatagramWithItsAddresses) {
    host.receive(udp(5000, 7, {1, 2, 3}));
    EXPECT_TRUE(host.heard.has(77, Event::readable));
    std::byte room[10];
    const auto info = host.stack->udp_receive_from(echo, room);
    ASSERT_TRUE(info);
    EXPECT_EQ(info->from, (Endpoint{address(peer_ip), Port{5000}}));
    EXPECT_EQ(info->to, address(our_ip));
    EXPECT_EQ(info->bytes, 3u);
    EXPECT_EQ(host.stack->udp_receive_from(echo, room).error(), Err::would_block);
    EXPECT_EQ(host.all_drops(), 0u);
}

TEST_F(IpTest, SendsAWellFormedDatagram) {
    const Octets data = pattern_octets(0, 33);
    ASSERT_TRUE(host.stack->udp_send_to(echo, {address(peer_ip), Port{5000}}, view(data), host.now)
    );
    const Octets frame = host.next_frame();
    EXPECT_EQ(plain_checksum(part(frame, 14, 34)), 0);
    EXPECT_EQ(get16(frame, 16), 20u + 8 + 33);
    EXPECT_EQ(frame[22], 64) << "time to live";
    const Ip back{.source = our_ip, .destination = peer_ip};
    EXPECT_EQ(part(frame, 34, frame.size()), udp_datagram(back, 7, 5000, data));
}

TEST_F(IpTest, MalformedHeadersAreCountedByReason) {
    const Octets good = udp_datagram({}, 5000, 7, {1});
    drops_one(part(ip({}, good), 0, 14 + 19), Drop::ip_truncated);
    drops_one(part(ip({}, good), 0, 14 + 25), Drop::ip_truncated);
    drops_one(ip({.version = 6}, good), Drop::ip_bad_version);
    drops_one(ip({.length_adjust = -1}, good), Drop::ip_bad_header_length);
    drops_one(ip({.length_adjust = 10}, good), Drop::ip_bad_header_length);
    drops_one(ip({.total_adjust = -12}, good), Drop::ip_bad_total_length);
    drops_one(ip({.bad_checksum = true}, good), Drop::ip_bad_checksum);
    EXPECT_TRUE(host.wire.sent.empty()) << "no answer to what cannot be trusted";
}

TEST_F(IpTest, MartiansAreCountedByReason) {
    const Octets good = udp_datagram({}, 5000, 7, {1});
    drops_one(ip({.source = 0, .destination = 0}, good), Drop::ip_martian_destination);
    for (const uint32_t source :
         {0x7f000001u, 0xe0000001u, 0xffffffffu, 0x0a0000ffu, our_ip, 0x00000001u, 0xf0000001u}) {
        drops_one(ip({.source = source}, good), Drop::ip_martian_source);
    }
    drops_one(ip({.source = 0}, good), Drop::ip_martian_source);
    drops_one(ip({.destination = 0x7f000001}, good), Drop::ip_martian_destination);
    drops_one(ip({.destination = 0}, good), Drop::ip_martian_destination);
    drops_one(ip({.destination = 0x0a000063}, good), Drop::ip_not_for_us);
    drops_one(ip({.destination = 0xe0000001}, good), Drop::ip_not_for_us);
    drops_one(ip({}, good, broadcast_mac), Drop::ip_link_broadcast);
}

TEST_F(IpTest, OptionsAreToleratedSourceRoutesAreNot) {
    const Octets good = udp_datagram({}, 5000, 7, {1});
    host.receive(ip({.options = {1, 1, 1, 0}}, good));
    host.receive(ip({.options = {7, 7, 4, 0, 0, 0, 0, 0}}, good)); // record route
    EXPECT_TRUE(received());
    EXPECT_TRUE(received());
    drops_one(ip({.options = {131, 7, 4, 1, 2, 3, 4, 0}}, good), Drop::ip_source_route);
    drops_one(ip({.options = {137, 7, 4, 1, 2, 3, 4, 0}}, good), Drop::ip_source_route);
    drops_one(ip({.options = {7, 1, 0, 0}}, good), Drop::ip_bad_option);
    drops_one(ip({.options = {1, 1, 1, 7}}, good), Drop::ip_bad_option);
    drops_one(ip({.options = {7, 40, 0, 0}}, good), Drop::ip_bad_option);
    EXPECT_FALSE(received());
}

TEST_F(IpTest, LinkPaddingIsNotPayload) {
    host.receive(udp(5000, 7, {9}) + Octets(17, 0xaa));
    EXPECT_EQ(received(), Octets{9});
}

TEST_F(IpTest, BroadcastDatagramsArrive) {
    for (const uint32_t to : {0xffffffffu, 0x0a0000ffu}) {
        const Ip header{.destination = to};
        host.receive(ip(header, udp_datagram(header, 5000, 7, {4}), broadcast_mac));
        EXPECT_EQ(received(), Octets{4});
    }
}

TEST_F(IpTest, UnknownProtocolIsAnsweredWithProtocolUnreachable) {
    host.receive(ip({.protocol = 99}, {1, 2, 3}));
    EXPECT_EQ(host.drops(Drop::ip_unknown_protocol), 1u);
    const Octets frame = host.next_frame();
    EXPECT_EQ(frame[34], 3);
    EXPECT_EQ(frame[35], 2);
}

// --- Fragments

TEST_F(IpTest, PutsFragmentsTogetherInAnyOrder) {
    const Octets payload = pattern_octets(0, 4000);
    auto frames = fragments(payload, 1480, 1);
    std::mt19937 random{5};
    for (uint32_t round = 0; round < 10; ++round) {
        frames = fragments(payload, 8 * (1 + random() % 100), round);
        std::ranges::shuffle(frames, random);
        for (const Octets& frame : frames)
            host.receive(frame);
        EXPECT_EQ(received(), payload);
    }
    EXPECT_EQ(host.all_drops(), 0u);
}

TEST_F(IpTest, EchoesTheLargestDatagram) {
    const Octets payload = pattern_octets(9, 65507);
    for (const Octets& frame : fragments(payload, 1480, 9))
        host.receive(frame);
    ASSERT_EQ(received(), payload);
    ASSERT_TRUE(
        host.stack->udp_send_to(echo, {address(peer_ip), Port{5000}}, view(payload), host.now)
    );
    Octets whole;
    while (!host.wire.sent.empty()) {
        const Octets frame = host.next_frame();
        ASSERT_LE(frame.size(), 1514u);
        EXPECT_EQ(plain_checksum(part(frame, 14, 34)), 0);
        EXPECT_EQ((get16(frame, 20) & 0x1fff) * 8, whole.size());
        EXPECT_EQ((get16(frame, 20) & 0x2000) != 0, !host.wire.sent.empty());
        whole = whole + part(frame, 34, frame.size());
    }
    EXPECT_EQ(whole, udp_datagram({.source = our_ip, .destination = peer_ip}, 7, 5000, payload));
    EXPECT_EQ(
        host.stack->udp_send_to(echo, {address(peer_ip), Port{5000}}, view(Octets(65508)), host.now)
            .error(),
        Err::message_too_long
    );
}

TEST_F(IpTest, ADuplicateFragmentIsHarmlessAnOverlapIsNot) {
    const auto frames = fragments(pattern_octets(0, 1000), 400, 1);
    host.receive(frames[0]);
    drops_one(frames[0], Drop::fragment_duplicate);
    host.receive(frames[1]);
    host.receive(frames[2]);
    EXPECT_EQ(received(), pattern_octets(0, 1000));
    host.receive(frames[0]);
    drops_one(ip({.id = 1, .fragment = 0x2000 | 49}, Octets(16)), Drop::fragment_overlap);
    host.receive(frames[1]);
    host.receive(frames[2]);
    EXPECT_FALSE(received()) << "an overlap loses the datagram";
}

TEST_F(IpTest, ImpossibleFragmentsAreRefused) {
    drops_one(ip({.fragment = 0x2000}, Octets(9)), Drop::fragment_bad);
    drops_one(ip({.fragment = 0x2000}, {}), Drop::fragment_bad);
    drops_one(ip({.fragment = 0x1fff}, Octets(100)), Drop::fragment_bad);
    host.receive(ip({.fragment = 10}, Octets(8))); // the last
    drops_one(ip({.fragment = 0x2000 | 20}, Octets(8)), Drop::fragment_overlap);
}

TEST_F(IpTest, IncompleteDatagramsAreGivenUpAfterThirtySeconds) {
    host.receive(fragments(pattern_octets(0, 1000), 400, 1)[0]);
    host.pass(seconds(29));
    EXPECT_EQ(host.drops(Drop::fragment_timeout), 0u);
    host.pass(seconds(2));
    EXPECT_EQ(host.drops(Drop::fragment_timeout), 1u);
    EXPECT_FALSE(
        host.stack->next_deadline() && *host.stack->next_deadline() < host.now + seconds(5)
    );
}

TEST_F(IpTest, WhoSentAnIncompleteDatagramIsToldIfItsBeginningCame) {
    const auto pieces = fragments(pattern_octets(0, 1000), 400, 1);
    host.receive(pieces[0]);
    host.pass(seconds(31));
    host.receive(arp({}));
    host.pass(seconds(1));
    Octets told;
    for (Octets frame = host.next_frame(); !frame.empty(); frame = host.next_frame()) {
        if (get16(frame, 12) == 0x0800) told = frame;
    }
    ASSERT_FALSE(told.empty());
    EXPECT_EQ(part(told, 34, 36), (Octets{11, 1})) << "time exceeded, in reassembly";
    EXPECT_EQ(part(told, 42, 42 + 20 + 8), part(pieces[0], 14, 14 + 20 + 8));
    host.receive(pieces[1]); // without the first nothing can be said
    host.pass(seconds(31));
    EXPECT_TRUE(host.wire.sent.empty());
    EXPECT_EQ(host.drops(Drop::fragment_timeout), 2u);
}

TEST_F(IpTest, AFloodOfPiecesDoesNotStopService) {
    for (uint32_t id = 100; id < 200; ++id) {
        host.receive(ip({.source = far_ip + id % 7, .id = id, .fragment = 0x2000}, Octets(64)));
        host.now = host.now + milliseconds(1);
    }
    EXPECT_GT(host.drops(Drop::fragment_evicted), 90u);
    for (const Octets& frame : fragments(pattern_octets(0, 3000), 1480, 1))
        host.receive(frame);
    EXPECT_EQ(received(), pattern_octets(0, 3000));
}

// --- ICMP

TEST_F(IpTest, AnswersAnEchoRequestOctetByOctet) {
    const Octets data = pattern_octets(0, 57);
    host.receive(icmp(8, 0, 0xabcd0007, data));
    const Octets frame = host.next_frame();
    EXPECT_EQ(part(frame, 34, frame.size()), icmp_message(0, 0, 0xabcd0007, data));
    EXPECT_EQ(get32(frame, 26), our_ip);
    EXPECT_EQ(get32(frame, 30), peer_ip);
}

TEST_F(IpTest, MalformedIcmpIsCountedByReason) {
    drops_one(ip({.protocol = 1}, Octets(7)), Drop::icmp_truncated);
    Octets bad = icmp(8, 0, 1, {1, 2, 3});
    bad.back() ^= 1;
    drops_one(bad, Drop::icmp_bad_checksum);
    drops_one(icmp(13, 0, 0, Octets(12)), Drop::icmp_unknown_type);
    drops_one(icmp(0, 0, 5, {}), Drop::icmp_unmatched_reply);
    drops_one(icmp(3, 3, 0, Octets(10)), Drop::icmp_bad_quote);
    drops_one(icmp(8, 0, 5, {}, {.destination = 0x0a0000ff}), Drop::icmp_broadcast_echo);
    EXPECT_TRUE(host.wire.sent.empty());
}

TEST_F(IpTest, AClosedPortIsReportedWithAFaithfulQuote) {
    const Octets request = udp(5000, 6, pattern_octets(0, 100));
    host.receive(request);
    EXPECT_EQ(host.drops(Drop::udp_no_port), 1u);
    const Octets frame = host.next_frame();
    EXPECT_EQ(
        part(frame, 34, frame.size()), icmp_message(3, 3, 0, part(request, 14, request.size()))
    );
    host.receive(udp(5000, 6, pattern_octets(0, 1400)));
    EXPECT_EQ(host.next_frame().size(), 14u + 576) << "at most 576 bytes";
}

TEST_F(IpTest, ErrorsAreNotSentAboutBroadcastsAndAreLimited) {
    const Ip header{.destination = 0x0a0000ff};
    host.receive(ip(header, udp_datagram(header, 5000, 6, {1}), broadcast_mac));
    EXPECT_TRUE(host.wire.sent.empty());
    for (int i = 0; i < 250; ++i)
        host.receive(udp(5000, 6, {1}));
    EXPECT_EQ(host.wire.sent.size(), 100u);
    EXPECT_EQ(host.drops(Drop::icmp_rate_limited), 150u);
    host.pass(seconds(2));
    host.receive(udp(5000, 6, {1}));
    EXPECT_EQ(host.wire.sent.size(), 101u);
}

TEST_F(IpTest, AnErrorReachesTheSocketThatCausedIt) {
    ASSERT_TRUE(host.stack->udp_send_to(echo, {address(peer_ip), Port{6}}, view({1}), host.now));
    const Octets sent = host.next_frame();
    host.receive(icmp(3, 3, 0, part(sent, 14, 14 + 28)));
    EXPECT_TRUE(host.heard.has(77, Event::error));
    EXPECT_EQ(host.stack->take_error(echo), Err::connection_refused);
    EXPECT_EQ(host.stack->take_error(echo), Err::none);
    EXPECT_EQ(host.all_drops(), 0u);
}

// --- UDP

TEST_F(IpTest, MalformedUdpIsCountedByReason) {
    const Octets good = udp_datagram({}, 5000, 7, {1, 2, 3, 4});
    drops_one(ip({}, part(good, 0, 7)), Drop::udp_truncated);
    Octets bad = good;
    bad[5] = 13;
    drops_one(ip({}, bad), Drop::udp_bad_length);
    bad[5] = 7;
    drops_one(ip({}, bad), Drop::udp_bad_length);
    bad = good;
    bad[9] ^= 1;
    drops_one(ip({}, bad), Drop::udp_bad_checksum);
    EXPECT_FALSE(received());
}

TEST_F(IpTest, ChecksumZeroMeansNone) {
    Octets datagram = udp_datagram({}, 5000, 7, {1, 2, 3, 4});
    datagram[6] = datagram[7] = 0;
    host.receive(ip({}, datagram));
    EXPECT_EQ(received(), (Octets{1, 2, 3, 4}));
}

TEST_F(IpTest, AFullQueueDropsNewDatagramsAndRecovers) {
    const Octets big(1400);
    for (int i = 0; i < 100; ++i)
        host.receive(udp(5000, 7, big));
    const uint64_t dropped = host.drops(Drop::udp_queue_full);
    EXPECT_GT(dropped, 0u);
    for (uint64_t i = 0; i < 100 - dropped; ++i)
        ASSERT_EQ(received(), big);
    EXPECT_FALSE(received());
    host.receive(udp(5000, 7, {1}));
    EXPECT_EQ(received(), Octets{1});
}

TEST_F(IpTest, PortsAreNotSharedAndHandlesDoNotOutliveClose) {
    EXPECT_EQ(host.stack->udp_bind({ipv4_any, Port{7}}, 0).error(), Err::address_in_use);
    EXPECT_EQ(
        host.stack->udp_bind({address(far_ip), Port{8}}, 0).error(), Err::address_not_available
    );
    ASSERT_TRUE(host.stack->udp_close(echo));
    EXPECT_EQ(host.stack->udp_close(echo).error(), Err::not_found);
    const SocketId again = *host.stack->udp_bind({ipv4_any, Port{7}}, 0);
    EXPECT_FALSE(again == echo);
    EXPECT_EQ(host.stack->ready(echo).error(), Err::not_found);
    for (int i = 0; i < 3; ++i)
        ASSERT_TRUE(host.stack->udp_bind({ipv4_any, Port{}}, 0));
    EXPECT_EQ(host.stack->udp_bind({ipv4_any, Port{}}, 0).error(), Err::no_slots);
}

TEST_F(IpTest, AFullLinkIsToldAndThenAnnouncedWritable) {
    host.wire.room = 0;
    const Endpoint to{address(peer_ip), Port{5000}};
    EXPECT_EQ(host.stack->udp_send_to(echo, to, view({1}), host.now).error(), Err::no_space);
    EXPECT_FALSE(host.stack->ready(echo)->has(Event::writable));
    host.wire.room = 9;
    host.stack->link_ready(host.now);
    EXPECT_TRUE(host.heard.has(77, Event::writable));
    EXPECT_TRUE(host.stack->udp_send_to(echo, to, view({1}), host.now));
}

// --- Echo sockets and loopback

TEST_F(IpTest, PingTellsTheRoundTrip) {
    const SocketId ping = *host.stack->ping_open(5);
    ASSERT_TRUE(host.stack->ping_send(ping, address(peer_ip), 3, 56, host.now));
    const Octets request = host.next_frame();
    EXPECT_EQ(request[34], 8);
    EXPECT_EQ(get16(request, 40), 3u);
    EXPECT_EQ(request.size(), 14u + 20 + 8 + 56);
    host.now = host.now + milliseconds(7);
    host.receive(icmp(0, 0, get32(request, 38), part(request, 42, request.size()), {.ttl = 55}));
    EXPECT_TRUE(host.heard.has(5, Event::readable));
    const auto reply = host.stack->ping_receive(ping);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->round_trip, milliseconds(7));
    EXPECT_EQ(reply->sequence, 3);
    EXPECT_EQ(reply->ttl, 55);
    EXPECT_EQ(reply->bytes, 56u);
    EXPECT_EQ(reply->error, Err::none);
    host.receive(icmp(0, 0, get32(request, 38), {}));
    EXPECT_EQ(host.stack->ping_receive(ping).error(), Err::would_block) << "answered once";
    EXPECT_TRUE(host.stack->ping_close(ping));
}

TEST_F(IpTest, PingHearsOfErrors) {
    const SocketId ping = *host.stack->ping_open(5);
    ASSERT_TRUE(host.stack->ping_send(ping, address(0x0a000077), 1, 8, host.now));
    host.pass(seconds(5));
    const auto silent = host.stack->ping_receive(ping);
    ASSERT_TRUE(silent) << "no neighbour of that address";
    EXPECT_EQ(silent->error, Err::host_unreachable);
    host.wire.sent.clear();
    ASSERT_TRUE(host.stack->ping_send(ping, address(peer_ip), 2, 8, host.now));
    const Octets request = host.next_frame();
    host.receive(icmp(11, 0, 0, part(request, 14, request.size())));
    const auto far = host.stack->ping_receive(ping);
    ASSERT_TRUE(far);
    EXPECT_EQ(far->sequence, 2);
    EXPECT_EQ(far->error, Err::host_unreachable);
    EXPECT_EQ(far->from, address(peer_ip));
}

TEST_F(IpTest, RepliesThatNobodyTakesAreBounded) {
    const SocketId ping = *host.stack->ping_open(5);
    for (uint16_t i = 0; i < 17; ++i) {
        ASSERT_TRUE(host.stack->ping_send(ping, address(0x7f000001), i, 8, host.now));
    }
    EXPECT_EQ(host.drops(Drop::ping_queue_full), 1u);
    for (uint16_t i = 0; i < 16; ++i)
        EXPECT_EQ(host.stack->ping_receive(ping)->sequence, i);
    EXPECT_FALSE(host.stack->ping_receive(ping));
}

TEST_F(IpTest, TheLargestDatagramFitsThroughOurselves) {
    const Octets payload = pattern_octets(1, 65507);
    ASSERT_TRUE(host.stack->udp_send_to(echo, {address(our_ip), Port{7}}, view(payload), host.now));
    EXPECT_EQ(received(), payload);
}

TEST_F(IpTest, WeCanTalkToOurselves) {
    const SocketId ping = *host.stack->ping_open(5);
    ASSERT_TRUE(host.stack->ping_send(ping, address(0x7f000001), 1, 8, host.now));
    EXPECT_TRUE(host.stack->ping_receive(ping));
    ASSERT_TRUE(host.stack->udp_send_to(echo, {address(our_ip), Port{7}}, view({6}), host.now));
    EXPECT_EQ(received(), Octets{6});
    EXPECT_TRUE(host.wire.sent.empty());
}

TEST(StackTest, RefusesTooLittleMemoryAndBadConfigurations) {
    Config config = small_config();
    Wire wire;
    Heard heard;
    const size_t need = *Stack::memory_needed(config);
    std::vector<std::byte> memory(need);
    EXPECT_TRUE(Stack::create(memory, config, wire, heard, {}));
    EXPECT_EQ(
        Stack::create(MutableBytes{memory}.first(need - 1), config, wire, heard, {}).error(),
        Err::no_memory
    );
    config.stream_buffer_bytes = 65535;
    EXPECT_EQ(Stack::create(memory, config, wire, heard, {}).error(), Err::bad_argument);
    config = small_config();
    config.mtu_bytes = 100;
    EXPECT_EQ(Stack::memory_needed(config).error(), Err::bad_argument);
}

TEST(StackTest, EveryDropHasATextOfItsOwn) {
    for (size_t i = 0; i < drop_reasons; ++i) {
        const auto text = text_of(Drop(i));
        EXPECT_FALSE(text.name.empty());
        for (size_t k = 0; k < i; ++k)
            EXPECT_NE(text.text, text_of(Drop(k)).text);
    }
}
