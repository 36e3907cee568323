// TCP tests that read like packet traces: what the peer sends and what we answer, as text in the
// manner of tcpdump, with sequence numbers relative to each side's first.
#pragma once

#include <cstring>

#include "tests/net/support.hpp"

namespace bench {

struct TcpScript : testing::Test {
    Host host;
    const Instant start = host.now;
    uint32_t peer_first = 0xffff'fe00; // so that the numbers wrap early
    uint32_t our_first = 0;
    uint32_t our_port = 80, peer_port = 4000;
    Octets peer_options{2, 4, 0x05, 0xb4}; // MSS 1460, in its SYN
    uint32_t written = 1, was_read = 1;    // next stream position, each way
    net::SocketId listener, socket;
    std::optional<uint32_t> last_window;
    std::optional<uint32_t> peer_clock; // set: the peer sends timestamps
    uint32_t our_clock = 0;             // the timestamp that we sent last
    std::string last_blocks;            // "101:201 301:401"
    std::optional<uint32_t> last_echo;
    uint32_t last_urgent = 0;

    explicit TcpScript(
        const net::Config& config = small_config(), net::LinkAbilities abilities = {}
    )
        : host{config, our_ip, abilities} {
        host.meet_peer();
    }

    /// The clock goes on; the neighbour makes itself heard, so that ARP stays out of the trace.
    void at(int64_t ms) {
        const Instant end = start + milliseconds(ms);
        while (host.now < end) {
            host.pass(std::min(end - host.now, seconds(20)));
            host.receive(arp({.operation = 2}, our_mac));
        }
    }

    /// "11:21 31:41", in our numbers.
    Octets block_option(const std::string& text) const {
        Octets blocks;
        const char* at = text.c_str();
        unsigned begin = 0, end = 0;
        int used = 0;
        while (std::sscanf(at, "%u:%u%n", &begin, &end, &used) == 2) {
            blocks = blocks + be32(our_first + begin) + be32(our_first + end);
            at += used;
        }
        return Octets{1, 1, 5, uint8_t(2 + blocks.size())} + blocks;
    }

    void read_options(const Octets& options) {
        last_blocks.clear();
        last_echo.reset();
        for (size_t at = 0; at < options.size();) {
            const uint8_t kind = options[at];
            if (kind == 1) {
                ++at;
                continue;
            }
            const size_t length = options.at(at + 1);
            if (kind == 8) {
                our_clock = get32(options, at + 2);
                last_echo = get32(options, at + 6);
            }
            for (size_t block = at + 2; kind == 5 && block < at + length; block += 8) {
                if (!last_blocks.empty()) last_blocks += " ";
                last_blocks += std::to_string(get32(options, block) - peer_first) + ":" +
                               std::to_string(get32(options, block + 4) - peer_first);
            }
            at += length;
        }
    }

    /// "S. 0:0(0) ack 1 win 1000"; data are the pattern of their sequence numbers.
    Octets segment(const std::string& text) const {
        char flags[16]{};
        unsigned begin = 0, end = 0, length = 0;
        if (std::sscanf(text.c_str(), "%15s %u:%u(%u)", flags, &begin, &end, &length) != 4) {
            ADD_FAILURE() << "not a segment: " << text;
        }
        uint32_t ack = 0, window = 65535;
        if (const auto at = text.find("ack "); at != text.npos) {
            ack = our_first + uint32_t(std::stoul(text.substr(at + 4)));
        }
        if (const auto at = text.find("win "); at != text.npos) {
            window = uint32_t(std::stoul(text.substr(at + 4)));
        }
        uint8_t bits = 0;
        constexpr const char* letters = "FSRP.U";
        for (const char* c = flags; *c != 0; ++c) {
            bits |= uint8_t(1u << (std::strchr(letters, *c) - letters));
        }
        uint32_t urgent = 0;
        if (const auto at = text.find("urg "); at != text.npos) {
            urgent = uint32_t(std::stoul(text.substr(at + 4)));
        }
        Octets options = (bits & 2) != 0 ? peer_options : Octets{};
        if (peer_clock && text.find("bare") == text.npos) {
            options = options + Octets{1, 1, 8, 10} + be32(*peer_clock) + be32(our_clock);
        }
        if (const auto at = text.find("sack "); at != text.npos) {
            options = options + block_option(text.substr(at + 5));
        }
        const Ip header{.protocol = 6};
        Octets s = be16(peer_port) + be16(our_port) + be32(peer_first + begin) + be32(ack) +
                   Octets{uint8_t((20 + options.size()) / 4 << 4), bits} + be16(window) + be16(0) +
                   be16(urgent) + options + pattern_octets(begin, length);
        const uint16_t sum = transport_checksum(header, s);
        s[16] = uint8_t(sum >> 8);
        s[17] = uint8_t(sum);
        return ip(header, s);
    }

    /// A frame whose TCP header was changed by hand, with a checksum that is right again.
    static Octets summed(Octets frame) {
        Octets s = part(frame, 34, frame.size());
        s[16] = s[17] = 0;
        const uint16_t sum = transport_checksum({.protocol = 6}, s);
        frame[50] = uint8_t(sum >> 8);
        frame[51] = uint8_t(sum);
        return frame;
    }

    void receives(const std::string& text) { host.receive(segment(text)); }

    /// What was sent next, as text; "nothing" when nothing was.
    std::string next(bool with_window = false) {
        const Octets frame = host.next_frame();
        if (frame.empty()) return "nothing";
        if (frame.at(23) != 6) return "not TCP";
        const Ip header{.source = our_ip, .destination = get32(frame, 30), .protocol = 6};
        const Octets s = part(frame, 34, 14 + get16(frame, 16));
        if (transport_checksum(header, s) != 0) return "bad checksum";
        const size_t offset = size_t(s.at(12)) / 16 * 4;
        const uint8_t bits = s[13];
        if ((bits & 2) != 0) our_first = get32(s, 4);
        std::string text;
        for (int i : {1, 0, 2, 3, 4}) {
            if ((bits >> i & 1) != 0) text += "FSRP."[i];
        }
        const uint32_t begin = get32(s, 4) - (get32(s, 4) == 0 ? 0 : our_first);
        const size_t length = s.size() - offset;
        EXPECT_EQ(part(s, offset, s.size()), pattern_octets(begin, length)) << "wrong data";
        text += " " + std::to_string(begin) + ":" + std::to_string(begin + length) + "(" +
                std::to_string(length) + ")";
        if ((bits & 16) != 0) text += " ack " + std::to_string(get32(s, 8) - peer_first);
        last_window = get16(s, 14);
        if (with_window) text += " win " + std::to_string(*last_window);
        last_options = part(s, 20, offset);
        last_urgent = (bits & 32) != 0 ? get16(s, 18) : 0;
        read_options(last_options);
        return text;
    }

    Octets last_options;

    void sends(const std::string& expected) {
        EXPECT_EQ(next(expected.find(" win ") != expected.npos), expected);
    }

    void silent() { EXPECT_EQ(next(), "nothing"); }

    // --- The application

    void listen(uint16_t backlog = 8) {
        listener = *host.stack->tcp_listen({net::ipv4_any, net::Port{80}}, backlog, 1);
    }

    void accept() {
        const auto accepted = host.stack->tcp_accept(listener, 2);
        ASSERT_TRUE(accepted);
        socket = *accepted;
    }

    /// An accepted connection, both sides at 1; the peer's SYN took window and options.
    void establish(const std::string& syn = "S 0:0(0)", const std::string& ack = ". 1:1(0) ack 1") {
        listen();
        receives(syn);
        sends("S. 0:0(0) ack 1");
        receives(ack);
        accept();
        silent();
        host.heard.items.clear();
    }

    void connect() {
        socket = *host.stack->tcp_connect(
            {address(peer_ip), net::Port{4000}}, {net::ipv4_any, net::Port{80}}, 2, host.now
        );
    }

    Result<size_t> write(size_t count) {
        const auto taken =
            host.stack->tcp_send(socket, view(pattern_octets(written, count)), host.now);
        if (taken) written += uint32_t(*taken);
        return taken;
    }

    Result<size_t> read(size_t most = 100'000) {
        std::vector<std::byte> room(most);
        const auto count = host.stack->tcp_receive(socket, room, host.now);
        if (!count) return count;
        EXPECT_EQ(octets_of(Bytes{room}.first(*count)), pattern_octets(was_read, *count));
        was_read += uint32_t(*count);
        return count;
    }

    void close() { EXPECT_TRUE(host.stack->tcp_close(socket, host.now)); }

    void shutdown() { EXPECT_TRUE(host.stack->tcp_shutdown(socket, host.now)); }

    net::tcp::State state() const { return host.stack->tcp_info(socket)->state; }

    net::StreamInfo details() const { return *host.stack->tcp_info(socket); }

    size_t alive() const {
        net::SocketInfo room[64];
        size_t place = 0;
        const size_t count = host.stack->list_sockets(place, room);
        return size_t(std::ranges::count_if(std::span{room}.first(count), [](const auto& info) {
            return !(info.remote == net::Endpoint{});
        }));
    }

    bool heard(net::Event event) const { return host.heard.has(2, event); }

    void drops_one(const std::string& text, net::Drop reason) {
        const uint64_t before = host.drops(reason);
        receives(text);
        EXPECT_EQ(host.drops(reason), before + 1) << net::text_of(reason).name << ": " << text;
    }
};

} // namespace bench
