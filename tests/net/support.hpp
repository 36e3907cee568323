// A stack on a bench: frames are made and read here by code of its own, so that a mistake in the
// stack's headers or checksums cannot hide on both sides.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "net/stack.hpp"
#include "tests/net/link_work.hpp"

namespace bench {

using Octets = std::vector<uint8_t>;

inline Bytes view(const Octets& octets) {
    return std::as_bytes(std::span<const uint8_t>{octets});
}

inline Octets octets_of(Bytes bytes) {
    Octets result;
    for (const std::byte byte : bytes)
        result.push_back(std::to_integer<uint8_t>(byte));
    return result;
}

inline Octets operator+(Octets a, const Octets& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

inline Octets be16(uint32_t v) {
    return {uint8_t(v >> 8), uint8_t(v)};
}

inline Octets be32(uint32_t v) {
    return be16(v >> 16) + be16(v & 0xffff);
}

inline uint32_t get16(const Octets& o, size_t at) {
    return uint32_t(o.at(at) << 8 | o.at(at + 1));
}

inline uint32_t get32(const Octets& o, size_t at) {
    return get16(o, at) << 16 | get16(o, at + 2);
}

inline Octets part(const Octets& o, size_t from, size_t to) {
    return {o.begin() + long(from), o.begin() + long(std::min(to, o.size()))};
}

/// RFC 1071 as the RFC writes it: word by word.
inline uint16_t plain_checksum(const Octets& octets) {
    uint32_t sum = 0;
    for (size_t i = 0; i < octets.size(); i += 2) {
        sum += uint32_t(octets[i] << 8 | (i + 1 < octets.size() ? octets[i + 1] : 0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return uint16_t(~sum);
}

/// What byte `i` of a stream is in every test; wraps far beyond any ring's size.
inline uint8_t pattern(uint32_t i) {
    return uint8_t((i * 2654435761u) >> 24);
}

inline Octets pattern_octets(uint32_t from, size_t count) {
    Octets result;
    for (size_t i = 0; i < count; ++i)
        result.push_back(pattern(from + uint32_t(i)));
    return result;
}

inline const Octets our_mac{0x02, 0, 0, 0, 0, 2}, peer_mac{0x02, 0, 0, 0, 0, 1},
    broadcast_mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr uint32_t our_ip = 0x0a000002, peer_ip = 0x0a000001, far_ip = 0xc0a80505;

inline net::Ipv4Address address(uint32_t bits) {
    return net::Ipv4Address{bits};
}

inline Octets ethernet(
    uint32_t type, const Octets& payload, const Octets& to = our_mac, const Octets& from = peer_mac
) {
    return to + from + be16(type) + payload;
}

struct Arp {
    uint32_t operation = 1;
    Octets sender_mac = peer_mac;
    uint32_t sender = peer_ip;
    Octets target_mac = Octets(6);
    uint32_t target = our_ip;
    uint32_t hardware = 1, protocol = 0x0800;
};

inline Octets arp(const Arp& a, const Octets& to = broadcast_mac) {
    return ethernet(
        0x0806,
        be16(a.hardware) + be16(a.protocol) + Octets{6, 4} + be16(a.operation) + a.sender_mac +
            be32(a.sender) + a.target_mac + be32(a.target),
        to
    );
}

struct Ip {
    uint32_t source = peer_ip, destination = our_ip;
    uint8_t protocol = 17, ttl = 64, version = 4;
    uint32_t id = 7, fragment = 0;
    Octets options{};
    int total_adjust = 0, length_adjust = 0;
    bool bad_checksum = false;
};

inline Octets ip_packet(const Ip& ip, const Octets& payload) {
    const size_t header = 20 + ip.options.size();
    const auto words = uint8_t(int(header / 4) + ip.length_adjust);
    Octets h = Octets{uint8_t(ip.version << 4 | words), 0} +
               be16(uint32_t(int(header + payload.size()) + ip.total_adjust)) + be16(ip.id) +
               be16(ip.fragment) + Octets{ip.ttl, ip.protocol, 0, 0} + be32(ip.source) +
               be32(ip.destination) + ip.options;
    const uint32_t sum = plain_checksum(h) ^ (ip.bad_checksum ? 0x55u : 0u);
    h[10] = uint8_t(sum >> 8);
    h[11] = uint8_t(sum);
    return h + payload;
}

inline Octets ip(const Ip& ip, const Octets& payload, const Octets& to = our_mac) {
    return ethernet(0x0800, ip_packet(ip, payload), to);
}

inline uint16_t transport_checksum(const Ip& ip, const Octets& segment) {
    return plain_checksum(
        be32(ip.source) + be32(ip.destination) + Octets{0, ip.protocol} +
        be16(uint32_t(segment.size())) + segment
    );
}

inline Octets udp_datagram(const Ip& ip, uint32_t from, uint32_t to, const Octets& payload) {
    Octets d = be16(from) + be16(to) + be16(uint32_t(8 + payload.size())) + be16(0) + payload;
    const uint16_t sum = transport_checksum(ip, d);
    d[6] = uint8_t(sum >> 8);
    d[7] = uint8_t(sum);
    return d;
}

inline Octets udp(uint32_t from, uint32_t to, const Octets& payload, const Ip& header = {}) {
    return ip(header, udp_datagram(header, from, to, payload));
}

inline Octets icmp_message(uint8_t type, uint8_t code, uint32_t rest, const Octets& payload) {
    Octets m = Octets{type, code, 0, 0} + be32(rest) + payload;
    const uint16_t sum = plain_checksum(m);
    m[2] = uint8_t(sum >> 8);
    m[3] = uint8_t(sum);
    return m;
}

inline Octets
icmp(uint8_t type, uint8_t code, uint32_t rest, const Octets& payload, Ip header = {}) {
    header.protocol = 1;
    return ip(header, icmp_message(type, code, rest, payload));
}

/// The link: keeps what was sent, as it would be on the wire, until it is full.
struct Wire final : net::Link {
    std::deque<Octets> sent;
    std::deque<net::LinkWork> asked; // of each call
    size_t room = SIZE_MAX;
    net::LinkAbilities able;

    Result<> transmit(std::span<const Bytes> pieces, net::LinkWork work) override {
        if (sent.size() >= room) return fail(Err::no_space);
        Octets frame;
        for (const Bytes piece : pieces)
            frame = frame + octets_of(piece);
        EXPECT_TRUE(able.sums || work.sum == net::LinkWork::Sum::none);
        EXPECT_TRUE(able.segments || work.segment_bytes == 0);
        asked.push_back(work);
        for (const Octets& part : LinkBench<uint8_t>::finished(frame, work))
            sent.push_back(part);
        return {};
    }

    net::LinkAbilities abilities() const override { return able; }
};

struct Heard final : net::Events {
    struct Item {
        net::SocketId socket;
        uint64_t cookie;
        net::EventSet what;
    };

    std::vector<Item> items;
    std::vector<std::optional<net::Lease>> leases;
    std::function<void(const Item&)> react;

    void socket_event(net::SocketId socket, uint64_t cookie, net::EventSet what) override {
        items.push_back({socket, cookie, what});
        if (react) react(items.back());
    }

    void lease_changed(const net::Lease* lease) override {
        leases.push_back(lease == nullptr ? std::nullopt : std::optional{*lease});
    }

    bool has(uint64_t cookie, net::Event event) const {
        return std::ranges::any_of(items, [&](const Item& item) {
            return item.cookie == cookie && item.what.has(event);
        });
    }
};

inline net::Config small_config() {
    net::Config config;
    config.mac = net::MacAddress{{0x02, 0, 0, 0, 0, 2}};
    config.secret = {0x1234, 0x5678};
    config.connections = 8;
    config.stream_buffer_bytes = 65536;
    config.listeners = 4;
    config.datagram_sockets = 4;
    config.ping_sockets = 2;
    config.neighbours = 4;
    config.held_packets = 6;
    config.routes = 4;
    config.reassemblies = 4;
    return config;
}

/// One stack with its memory, link, ears and clock.
struct Host {
    net::Config config;
    std::vector<std::byte> memory;
    Wire wire;
    Heard heard;
    net::Stack* stack{};
    Instant now{seconds(1000).ns};

    explicit Host(
        const net::Config& given = small_config(),
        uint32_t own = our_ip,
        net::LinkAbilities abilities = {}
    )
        : config{given}, memory(*net::Stack::memory_needed(given)) {
        wire.able = abilities;
        stack = *net::Stack::create(memory, config, wire, heard, now);
        if (own != 0) EXPECT_TRUE(stack->set_address({address(own), 24}));
    }

    void receive(const Octets& frame) { stack->receive(view(frame), now); }

    uint64_t drops(net::Drop reason) const { return stack->drops()[reason]; }

    uint64_t all_drops() const {
        uint64_t sum = 0;
        stack->drops().each([&](auto, auto, uint64_t count) { sum += count; });
        return sum;
    }

    Octets next_frame() {
        if (wire.sent.empty()) return {};
        Octets frame = wire.sent.front();
        wire.sent.pop_front();
        return frame;
    }

    /// Lets time pass, stopping at each deadline as an owner would.
    void pass(Duration span) {
        const Instant end = now + span;
        for (auto due = stack->next_deadline(); due && *due <= end; due = stack->next_deadline()) {
            now = std::max(now, *due);
            stack->advance(now);
        }
        now = end;
        stack->advance(now);
    }

    /// The neighbour becomes known by asking for us.
    void meet_peer() {
        receive(arp({}));
        wire.sent.clear();
    }
};

} // namespace bench
