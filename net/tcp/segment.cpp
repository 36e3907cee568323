#include "net/tcp/segment.hpp"

#include "net/checksum.hpp"

namespace net::tcp {
namespace {

constexpr size_t sack_block_bytes = 8;

void read_option(Options& options, wire::TcpOption kind, Bytes value) {
    switch (kind) {
    case wire::TcpOption::maximum_segment_size:
        if (value.size() == 2) options.mss_bytes = uint16_t(*peel<Be<uint16_t>>(value));
        break;
    case wire::TcpOption::window_scale:
        // RFC 7323 2.3: more than 14 counts as 14.
        if (value.size() == 1) {
            options.window_scale = std::min<uint8_t>(std::to_integer<uint8_t>(value[0]), 14);
        }
        break;
    case wire::TcpOption::sack_permitted: options.sack_permitted = value.empty(); break;
    case wire::TcpOption::timestamps:
        if (value.size() == 8) {
            options.has_timestamps = true;
            options.timestamp_value = *peel<Be<uint32_t>>(value);
            options.timestamp_echo = *peel<Be<uint32_t>>(value);
        }
        break;
    case wire::TcpOption::sack:
        if (value.size() % sack_block_bytes == 0) options.sack = value;
        break;
    default: break; // MUST-6: others are ignored
    }
}

/// Nearly every segment has timestamps and nothing else (RFC 7323 appendix A). False: not so.
bool read_timestamps_alone(Options& options, Bytes bytes) {
    if (bytes.size() != sizeof(wire::TcpTimestamps)) return false;
    const auto usual = load<wire::TcpTimestamps>(bytes.data());
    if (usual.head != wire::TcpTimestamps::usual_head) return false;
    options.has_timestamps = true;
    options.timestamp_value = usual.value;
    options.timestamp_echo = usual.echo;
    return true;
}

} // namespace

Result<Options> parse_options(Bytes bytes) {
    Options options;
    while (!bytes.empty()) {
        const auto kind = wire::TcpOption(bytes[0]);
        if (kind == wire::TcpOption::end) break;
        if (kind == wire::TcpOption::no_operation) {
            bytes = bytes.subspan(1);
            continue;
        }
        const size_t length = bytes.size() < 2 ? 0 : std::to_integer<size_t>(bytes[1]);
        if (length < 2 || length > bytes.size()) return fail(Err::malformed); // MUST-7
        read_option(options, kind, bytes.subspan(2, length - 2));
        bytes = bytes.subspan(length);
    }
    return options;
}

std::optional<Drop> Segment::read(const Ipv4Packet& packet) {
    Bytes rest = packet.payload;
    const size_t bytes = rest.size();
    const auto tcp = peel<wire::Tcp>(rest);
    if (!tcp) return Drop::tcp_truncated;
    const size_t header_bytes = tcp->header_bytes();
    if (header_bytes < sizeof(wire::Tcp) || header_bytes > bytes) return Drop::tcp_bad_offset;
    if (!packet.sums_checked) {
        Checksum sum;
        sum.add_pseudo(packet.source, packet.destination, packet.protocol, bytes);
        sum.add(packet.payload);
        if (!sum.holds()) return Drop::tcp_bad_checksum;
    }
    from = {packet.source, Port{tcp->source()}};
    to = {packet.destination, Port{tcp->destination()}};
    if (from.port.is_any() || to.port.is_any()) return Drop::tcp_bad_flags;
    flags = Flags{tcp->flags};
    // SYN with FIN or RST is nobody's segment; without any of the four it can mean nothing.
    const bool usual = (flags.bits() & (wire::Tcp::syn | wire::Tcp::ack)) == wire::Tcp::ack;
    if (!usual && ((flags.syn() && (flags.fin() || flags.rst())) ||
                   !(flags.syn() || flags.rst() || flags.ack() || flags.fin()))) {
        return Drop::tcp_bad_flags;
    }
    sequence = SeqNumber{tcp->sequence};
    acknowledgement = SeqNumber{tcp->acknowledgement};
    window = tcp->window;
    urgent = tcp->urgent;
    data = rest.subspan(header_bytes - sizeof(wire::Tcp));
    const Bytes option_bytes = rest.first(header_bytes - sizeof(wire::Tcp));
    if (option_bytes.empty() || read_timestamps_alone(options, option_bytes)) return std::nullopt;
    const auto parsed = parse_options(option_bytes);
    if (!parsed) return Drop::tcp_bad_option;
    options = *parsed;
    return std::nullopt;
}

} // namespace net::tcp
