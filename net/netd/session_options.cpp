// Options of sockets: what may be asked for, and where it is kept.
#include <algorithm>
#include <bit>

#include "net/netd/session.hpp"

namespace netd {

namespace {

using api::Option;

constexpr uint8_t most_order = 30;

Result<uint16_t> within(uint32_t value, uint32_t least, uint32_t most) {
    if (value < least || value > most) return fail(Err::bad_argument);
    return static_cast<uint16_t>(value);
}

Result<uint32_t> flag(bool on) {
    return on ? 1u : 0u;
}

uint8_t order_of(uint32_t bytes) {
    if (bytes == 0) return 0;
    return static_cast<uint8_t>(
        std::clamp<unsigned>(unsigned(std::bit_width(bytes - 1)), 10, most_order)
    );
}

} // namespace

Result<> Session::apply(Socket& socket) {
    if (!socket.live) return {};
    if (!socket.is_stream()) return host_.stack().udp_configure(socket.id, socket.datagram);
    const auto done = host_.stack().tcp_configure(socket.id, socket.stream, host_.now());
    host_.touched();
    return done;
}

Result<> Session::change(Socket& socket, Option option, uint32_t value) {
    const bool on = value != 0;
    switch (option) {
    case Option::non_blocking:
        socket.non_blocking = on;
        note_change(socket); // who waits for it leaves
        return {};
    case Option::watched:
        socket.watched = on;
        if (!on && socket.untold_hook.linked()) untold_.remove(socket);
        note_change(socket); // how it is now, first
        return {};
    case Option::broadcast: socket.broadcast = on; return {};
    case Option::reuse_address: socket.stream.reuse_address = on; break;
    case Option::service: {
        const auto service = static_cast<uint8_t>(TRY(within(value, 0, 255)));
        constexpr uint8_t congestion_bits = 3; // of a stream they are TCP's own (RFC 3168)
        socket.stream.service = service & ~congestion_bits & 0xff;
        socket.datagram.service = service;
        break;
    }
    case Option::time_to_live:
        socket.stream.time_to_live = static_cast<uint8_t>(TRY(within(value, 1, 255)));
        socket.datagram.time_to_live = socket.stream.time_to_live;
        break;
    case Option::receive_buffer:
        socket.receive_bytes = value;
        socket.stream.receive_order = order_of(value);
        break;
    case Option::send_buffer:
        socket.send_bytes = value;
        socket.stream.send_order = order_of(value);
        break;
    case Option::error: return fail(Err::unsupported);
    default:
        if (!socket.is_stream()) return fail(Err::unsupported);
        TRY_VOID(change_stream(socket, option, value));
    }
    return apply(socket);
}

Result<> Session::change_stream(Socket& socket, Option option, uint32_t value) {
    constexpr uint32_t most_seconds = 32767;
    constexpr uint32_t least_segment = 88, most_segment = 32767;
    net::StreamOptions& stream = socket.stream;
    const bool on = value != 0;
    switch (option) {
    case Option::no_delay: stream.no_delay = on; break;
    case Option::cork: stream.cork = on; break;
    case Option::quick_ack: stream.quick_ack = on; break;
    case Option::keep_alive: socket.keep_alive = on; break;
    case Option::keep_idle: socket.keep_idle_seconds = TRY(within(value, 1, most_seconds)); break;
    case Option::keep_interval:
        stream.keep_interval_seconds = TRY(within(value, 1, most_seconds));
        break;
    case Option::keep_count:
        stream.keep_count = static_cast<uint8_t>(TRY(within(value, 1, 127)));
        break;
    case Option::user_timeout: stream.user_timeout_ms = value; break;
    case Option::urgent_inline: socket.urgent_inline = on; break;
    case Option::largest_segment:
        if (value != 0) TRY(within(value, least_segment, most_segment));
        stream.most_segment_bytes = static_cast<uint16_t>(value);
        break;
    case Option::defer_accept:
        stream.defer_seconds = static_cast<uint8_t>(std::min<uint32_t>(value, 255));
        break;
    case Option::linger: socket.resets_at_close = value == 0; break;
    default: return fail(Err::unsupported);
    }
    stream.keep_idle_seconds = socket.keep_alive ? socket.keep_idle_seconds : uint16_t{0};
    return {};
}

Result<uint32_t> Session::value_of(Socket& socket, Option option) {
    switch (option) {
    case Option::non_blocking: return flag(socket.non_blocking);
    case Option::watched: return flag(socket.watched);
    case Option::broadcast: return flag(socket.broadcast);
    case Option::reuse_address: return flag(socket.stream.reuse_address);
    case Option::service:
        return socket.is_stream() ? socket.stream.service : socket.datagram.service;
    case Option::time_to_live: return socket.stream.time_to_live;
    case Option::receive_buffer: return socket.receive_bytes;
    case Option::send_buffer: return socket.send_bytes;
    case Option::error:
        if (!socket.live) return 0u;
        return static_cast<uint32_t>(TRY(host_.stack().take_error(socket.id)));
    default:
        if (!socket.is_stream()) return fail(Err::unsupported);
        return stream_value_of(socket, option);
    }
}

Result<uint32_t> Session::stream_value_of(const Socket& socket, Option option) {
    constexpr uint32_t least_everywhere = 536; // RFC 9293 3.7.1
    const net::StreamOptions& stream = socket.stream;
    switch (option) {
    case Option::no_delay: return flag(stream.no_delay);
    case Option::cork: return flag(stream.cork);
    case Option::quick_ack: return flag(stream.quick_ack);
    case Option::keep_alive: return flag(socket.keep_alive);
    case Option::keep_idle: return socket.keep_idle_seconds;
    case Option::keep_interval: return stream.keep_interval_seconds;
    case Option::keep_count: return stream.keep_count;
    case Option::user_timeout: return stream.user_timeout_ms;
    case Option::urgent_inline: return flag(socket.urgent_inline);
    case Option::largest_segment:
        if (socket.is_connection()) return TRY(host_.stack().tcp_info(socket.id)).send_mss_bytes;
        return stream.most_segment_bytes != 0 ? stream.most_segment_bytes : least_everywhere;
    case Option::defer_accept: return stream.defer_seconds;
    case Option::linger: return socket.resets_at_close ? 0u : ~0u;
    default: return fail(Err::unsupported);
    }
}

async::Task<> Session::set_option(api::SetOptionArguments a) {
    co_await change(*(co_await find(a.socket)), a.option, a.value);
    co_return {};
}

async::Task<api::OptionResult> Session::option(api::OptionArguments a) {
    co_return api::OptionResult{co_await value_of(*(co_await find(a.socket)), a.option)};
}

} // namespace netd
