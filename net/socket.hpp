// What a user of the stack holds and hears: handles, events, and figures about sockets.
// A handle stays valid until its owner closes it; a stale one is told apart by its generation.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/base/time.hpp"
#include "net/address.hpp"
#include "net/link.hpp"

namespace net {

enum class SocketKind : uint8_t { none, stream, listener, datagram, ping, raw };

/// A handle, fit to travel in a message: kind 4 bits, generation 12 bits, index 16 bits.
class SocketId {
  public:
    constexpr SocketId() = default;

    constexpr SocketId(SocketKind kind, uint16_t generation, uint16_t index)
        : bits_{uint32_t(kind) << 28 | uint32_t(generation & 0xfffu) << 16 | index} {}

    static constexpr SocketId from_bits(uint32_t bits) {
        SocketId id;
        id.bits_ = bits;
        return id;
    }

    constexpr uint32_t bits() const { return bits_; }

    constexpr SocketKind kind() const { return SocketKind(bits_ >> 28); }

    constexpr uint16_t generation() const { return bits_ >> 16 & 0xfff; }

    constexpr uint16_t index() const { return uint16_t(bits_); }

    friend constexpr bool operator==(SocketId, SocketId) = default;

  private:
    uint32_t bits_{};
};

enum class Event : uint8_t {
    readable = 1,     // bytes, a datagram or an echo reply can be taken
    writable = 2,     // room to send again, after a call that met would_block or took a part
    connected = 4,    // our connect() succeeded
    acceptable = 8,   // a listener has a connection to accept
    peer_closed = 16, // the peer has sent all it will: receive() ends with end_of_file
    closed = 32,      // the connection is over, both ways; only close() is left to do
    error = 64,       // take_error() says which
    urgent = 128,     // the peer has sent urgent data: StreamInfo says how many are to be read
};

class EventSet {
  public:
    constexpr EventSet() = default;

    constexpr EventSet(Event event) : bits_{uint8_t(event)} {}

    static constexpr EventSet from_bits(uint8_t bits) {
        EventSet set;
        set.bits_ = bits;
        return set;
    }

    constexpr uint8_t bits() const { return bits_; }

    constexpr bool empty() const { return bits_ == 0; }

    constexpr bool has(Event event) const { return (bits_ & uint8_t(event)) != 0; }

    constexpr void add(EventSet other) { bits_ |= other.bits_; }

    friend constexpr EventSet operator|(EventSet a, EventSet b) {
        a.add(b);
        return a;
    }

    friend constexpr bool operator==(EventSet, EventSet) = default;

  private:
    uint8_t bits_{};
};

constexpr EventSet operator|(Event a, Event b) {
    return EventSet{a} | EventSet{b};
}

/// A DHCP lease (RFC 2131); the times count from when it was granted.
struct Lease {
    Ipv4Prefix address;
    Ipv4Address router; // any: none given
    Ipv4Address dns;    // any: none given
    Ipv4Address server;
    Duration renew_after, rebind_after, duration;
};

/// How the stack speaks to its owner. Called at the end of receive(), advance(), link_ready() and
/// of socket calls, with the stack settled: any call on it may be made from inside.
class Events {
  public:
    virtual void socket_event(SocketId socket, uint64_t cookie, EventSet what) = 0;
    /// A lease was taken into use (address and routes are set), or lost (nullptr; they are unset).
    virtual void lease_changed(const Lease* lease) = 0;

  protected:
    ~Events() = default;
};

namespace tcp {

/// RFC 9293 3.3.2.
enum class State : uint8_t {
    closed,
    listen,
    syn_sent,
    syn_received,
    established,
    fin_wait_1,
    fin_wait_2,
    close_wait,
    closing,
    last_ack,
    time_wait,
};

std::string_view name_of(State state);

} // namespace tcp

/// What a raw socket is for.
struct RawFilter {
    enum class Kind : uint8_t {
        ip,   // packets for us of the protocol `number`, with their headers; sent without
        frame // of Ethernet, whoever they are for, of type `number` (0: all); sent as they are
    };
    Kind kind{};
    uint16_t number{};
    LinkNumber link{}; // of frames
};

struct RawInfo {
    LinkNumber link;     // by which a frame came
    size_t bytes{};      // in the caller's room
    size_t full_bytes{}; // of the packet
};

/// One line of `netstat`.
struct SocketInfo {
    SocketId id{};
    Endpoint local{}, remote{};
    tcp::State state{};             // streams and listeners
    uint32_t receive_queue_bytes{}; // waiting for the application; listeners: connections waiting
    uint32_t send_queue_bytes{};    // not acknowledged yet
};

/// What the owner of a stream may choose. A listener's are those of the connections it accepts.
struct StreamOptions {
    uint32_t user_timeout_ms{}; // sent data may stay unacknowledged so long (RFC 5482); 0: config
    uint16_t keep_idle_seconds{
    }; // silence after which the peer is asked for a sign of life; 0: never
    uint16_t keep_interval_seconds = 75; // from one such question to the next
    uint16_t most_segment_bytes{
    }; // offered and sent, fixed when the handshake begins; 0: the path's
    uint8_t keep_count = 9; // so many questions without an answer are the end
    uint8_t service{};      // type-of-service byte
    uint8_t time_to_live = 64;
    uint8_t defer_seconds{}; // a connection is not shown before data come, or so long; 0: at once
    uint8_t receive_order{}, send_order{}; // the buffer holds at most 2^n bytes; 0: grows by itself
    bool no_delay : 1 {};                  // small segments go out at once (no Nagle)
    bool cork : 1 {};                      // small segments wait until it is taken off, or 200 ms
    bool quick_ack : 1 {};                 // each segment is acknowledged at once
    bool reuse_address : 1 {}; // its port may be bound again while it is not listened on

    /// Nothing that the short ways of a connection would have to look at.
    bool is_usual() const { return service == 0 && time_to_live == 64 && !cork && !quick_ack; }
};

/// Figures of one connection, in the manner of Linux's tcp_info.
struct StreamInfo {
    tcp::State state{};
    uint32_t send_mss_bytes{}, receive_window_bytes{}, send_window_bytes{};
    uint32_t congestion_window_bytes{}, slow_start_threshold_bytes{}, in_flight_bytes{};
    uint32_t receive_queue_bytes{}, send_queue_bytes{}, send_room_bytes{};
    Duration smoothed_rtt{}, rtt_variation{}, retransmission_timeout{};
    uint32_t retransmitted_segments{}, timeouts{}, duplicate_acks{}, out_of_order_segments{};
    uint32_t urgent_bytes{}; // to be read up to the end of the urgent data; 0: none
    bool timestamps{}, selective_acks{};
    uint64_t sent_bytes{}, received_bytes{};
};

struct DatagramInfo {
    Endpoint from;
    Ipv4Address to;      // what it was sent to: ours, or a broadcast
    size_t bytes{};      // copied out
    size_t full_bytes{}; // of the datagram; more than `bytes` when it was cut
};

struct DatagramOptions {
    uint8_t service{}; // type-of-service byte
    uint8_t time_to_live = 64;
    bool hears_errors = true; // also while it is not connected (RFC 1122 4.1.3.3)
};

struct PingReply {
    Ipv4Address from{}; // who answered: the host, or the router that sent the error
    uint16_t sequence{};
    uint8_t ttl{};
    size_t bytes{}; // of echoed payload
    Duration round_trip{};
    Err error{Err::none}; // none: an echo reply; else host_unreachable, …
};

} // namespace net
