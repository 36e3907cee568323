// Frames from nowhere into the whole stack. The input is a list of records: one octet of what to
// do, one of time, two of length, then a frame whose checksums are set right on request.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "lib/base/invariant.hpp"
#include "net/checksum.hpp"
#include "net/stack.hpp"
#include "net/wire/ethernet.hpp"
#include "net/wire/ipv4.hpp"

void invariant_broken(const char*, const char*, const std::source_location&) {
    std::abort();
}

namespace {

using namespace net;

struct Sink final : Link, Events {
    Result<> transmit(std::span<const Bytes> pieces, LinkWork) override {
        size_t size = 0;
        for (const Bytes piece : pieces)
            size += piece.size();
        if (size < 14 || size > 1514) std::abort();
        return refuse ? Result<>{fail(Err::no_space)} : Result<>{};
    }

    void socket_event(SocketId, uint64_t, EventSet) override {}

    void lease_changed(const Lease*) override {}

    bool refuse = false;
};

void put16(std::vector<std::byte>& frame, size_t at, uint16_t value) {
    frame[at] = std::byte(value >> 8);
    frame[at + 1] = std::byte(value & 0xff);
}

/// Makes addresses and checksums right, so that the input reaches the protocols.
void repair(std::vector<std::byte>& frame) {
    if (frame.size() < 34) return;
    const uint8_t to_us[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45};
    for (size_t i = 0; i < sizeof to_us; ++i)
        frame[i] = std::byte{to_us[i]};
    put16(frame, 16, uint16_t(frame.size() - 14));
    const uint8_t addresses[] = {10, 0, 0, 1, 10, 0, 0, 2};
    for (size_t i = 0; i < sizeof addresses; ++i)
        frame[26 + i] = std::byte{addresses[i]};
    put16(frame, 24, 0);
    Checksum ip;
    ip.add(Bytes{frame}.subspan(14, 20));
    put16(frame, 24, ip.finish());
    const auto protocol = std::to_integer<uint8_t>(frame[23]);
    const size_t field = protocol == 6 ? 50 : protocol == 17 ? 40 : protocol == 1 ? 36 : 0;
    if (field == 0 || frame.size() < field + 2) return;
    put16(frame, field, 0);
    Checksum sum;
    if (protocol != 1) {
        sum.add_pseudo(
            Ipv4Address{10, 0, 0, 1}, Ipv4Address{10, 0, 0, 2}, protocol, frame.size() - 34
        );
    }
    sum.add(Bytes{frame}.subspan(34));
    put16(frame, field, sum.finish());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Config config;
    config.mac = MacAddress{{2, 0, 0, 0, 0, 2}};
    config.connections = 4;
    config.stream_buffer_bytes = 4096;
    config.datagram_sockets = 2;
    config.datagram_buffer_bytes = 4096;
    config.reassemblies = 2;
    config.ping_sockets = 0;
    config.neighbours = 3;
    static std::vector<std::byte> memory(*Stack::memory_needed(config));
    Sink sink;
    Instant now{};
    Stack* stack = *Stack::create(memory, config, sink, sink, now);
    if (!stack->set_address({Ipv4Address{10, 0, 0, 2}, 24})) std::abort();
    // Half of the time a router, to a link that takes less.
    const auto second = stack->add_link(config.mac, 600, sink);
    if (!second || !stack->set_address({Ipv4Address{10, 1, 0, 1}, 24}, *second)) std::abort();
    stack->set_forwarding(size % 4 < 2);
    const auto listener = stack->tcp_listen({ipv4_any, Port{80}}, 3, 1);
    const auto datagrams = stack->udp_bind({ipv4_any, Port{7}}, 2);
    if (!listener || !datagrams) std::abort();
    SocketId stream{};
    if (size % 2 == 0) stack->start_dhcp(now);
    while (size >= 4) {
        const uint8_t action = data[0];
        now = now + milliseconds(int64_t{data[1]} * data[1]);
        const size_t length = std::min<size_t>(size - 4, (data[2] << 8 | data[3]) & 0x7ff);
        const LinkNumber from = (data[2] & 0x80) != 0 ? *second : first_link;
        data += 4;
        size -= 4;
        std::vector<std::byte> frame(length);
        std::transform(data, data + length, frame.begin(), [](uint8_t o) { return std::byte{o}; });
        data += length;
        size -= length;
        if ((action & 1) != 0) repair(frame);
        sink.refuse = (action & 2) != 0;
        stack->receive(frame, now, from);
        if ((action & 4) != 0) stack->advance(now);
        if ((action & 8) != 0) {
            if (const auto id = stack->tcp_accept(*listener, 3)) stream = *id;
        }
        std::byte room[512];
        if ((action & 16) != 0) (void)stack->tcp_receive(stream, room, now);
        if ((action & 32) != 0) (void)stack->tcp_send(stream, frame, now);
        if ((action & 64) != 0) (void)stack->udp_receive_from(*datagrams, room);
        if ((action & 128) != 0) (void)stack->tcp_close(stream, now);
        if (!sink.refuse) stack->link_ready(now);
    }
    return 0;
}
