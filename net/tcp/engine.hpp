// TCP as a whole: the tables of connections and listeners, their timers and buffers, and the
// calls of the applications. What one connection does is in connection.hpp.
#pragma once

#include <cstddef>
#include <optional>

#include "lib/base/wheel.hpp"
#include "net/icmp.hpp"
#include "net/ip.hpp"
#include "net/socket_table.hpp"
#include "net/tcp/buffer_pool.hpp"
#include "net/tcp/connection.hpp"
#include "net/tcp/cookies.hpp"

namespace net::tcp {

using ConnectionQueue = List<Connection, &Connection::queue_hook>;

struct Listener : SocketBase {
    Listener* next_free{};
    Listener* next_in_port{};
    uint16_t generation{};
    Endpoint local;
    StreamOptions options; // of what it accepts
    uint16_t backlog{};
    uint16_t pending{};    // in the handshake or waiting for accept
    uint16_t waiting{};    // for accept
    ConnectionQueue queue; // of those
};

/// The headers of a segment are laid: sums them and the data up into their field, or has the link
/// do it.
[[gnu::always_inline]] inline void seal(OutPacket& packet, const Flow& flow, const Way& way) {
    constexpr size_t field = offsetof(wire::Tcp, checksum);
    Checksum sum{flow.pseudo_sum(packet.segment_bytes == 0 ? packet.size() : 0)};
    if (Ip::is_summed_by_link(packet, way)) {
        packet.patch(field, Be<uint16_t>{sum.so_far()});
        return packet.leave_sum(LinkWork::Sum::tcp);
    }
    const Bytes headers = packet.headers();
    const auto data = packet.payload();
    if (headers.size() == sizeof(wire::Tcp) + sizeof(wire::TcpTimestamps)) {
        sum.add_sum(sum_of_words<4>(0, headers.data()));
    } else {
        sum.add_sum(sum_of(headers));
    }
    if (data.size() == 1) {
        sum.add_sum(sum_of(data.front()));
    } else {
        for (const Bytes piece : data)
            sum.add(piece);
    }
    packet.patch(field, Be<uint16_t>{sum.finish()});
}

class Engine {
  public:
    Engine(
        Arena& arena,
        const Config& config,
        Ip& ip,
        NewsQueue& news,
        Random& random,
        Drops& drops,
        Counters& counters,
        Instant now
    );

    void input(const Ipv4Packet& packet, Instant now);
    void trouble(const Trouble& trouble, Instant now);
    void advance(Instant now);

    std::optional<Instant> next_deadline() const { return wheel_.next(); }

    bool has_held() const { return first_held_ != nullptr; }

    /// The link has room: those who waited for it try again.
    void retry_held(Instant now);

    // engine_calls.cpp
    Result<SocketId>
    listen(Endpoint local, uint16_t backlog, uint64_t cookie, const StreamOptions& options);
    Result<SocketId> connect(
        Endpoint remote, Endpoint local, uint64_t cookie, const StreamOptions& options, Instant now
    );
    Result<> may_bind(Endpoint local, bool reuse_address) const;
    Result<Port> choose_port_to_bind(Ipv4Address address);
    Result<SocketId> accept(SocketId listener, uint64_t cookie);
    Result<size_t> send(SocketId socket, Bytes data, bool urgent, Instant now);
    Result<size_t> receive(SocketId socket, MutableBytes room, Instant now);
    Result<Bytes> peek(SocketId socket) const;
    Result<> consume(SocketId socket, size_t bytes, Instant now);
    Result<> shutdown(SocketId socket, Instant now);
    Result<> close(SocketId socket, Instant now);
    Result<> abort(SocketId socket, Instant now);
    Result<size_t> copy(SocketId socket, size_t offset, MutableBytes room) const;
    Result<> configure(SocketId socket, const StreamOptions& options, Instant now);
    Result<StreamOptions> options(SocketId socket) const;
    Result<> set_backlog(SocketId listener, uint16_t backlog);
    Result<EventSet> ready(SocketId socket) const;
    Result<SocketInfo> info(SocketId socket) const;
    Result<StreamInfo> details(SocketId socket) const;
    Result<SocketBase*> base(SocketId socket) const;

    using Connections = SocketTable<Connection, SocketKind::stream>;
    using Listeners = SocketTable<Listener, SocketKind::listener>;

    const Connections& connections() const { return connections_; }

    const Listeners& listeners() const { return listeners_; }

    // --- For connections.
    const Config& config() const { return config_; }

    const CongestionControl& congestion_control() const { return *congestion_control_; }

    Wheel& wheel() { return wheel_; }

    Counters& counters() { return counters_; }

    uint16_t own_mss_bytes() const {
        return uint16_t(config_.mtu_bytes - sizeof(wire::Ipv4) - sizeof(wire::Tcp));
    }

    /// A path that takes less, as `trouble` says of it, is remembered for all connections.
    PathLimit note_path(Ipv4Address destination, const Trouble& trouble, Instant now) {
        return ip_.paths().note(destination, trouble.mtu_bytes, now);
    }

    /// `connection` null: there is none between these ports.
    void input_unexpected(Connection* connection, const Ipv4Packet& packet, Instant now);

    void count(Drop reason) { drops_.count(reason); }

    void raise(SocketBase& socket, EventSet what) { news_.raise(socket, what); }

    /// All of the memory must not hold what has come and waits for answers that find no room.
    enum class Purpose : uint8_t { receiving, sending };

    /// Makes room for `wanted` bytes in all, or what memory there is, but no more than `limit`.
    void provide(StreamBuffer*& buffer, size_t wanted, size_t limit, Purpose purpose);

    /// Nobody keeps what he does not need, and what came early comes again.
    bool is_short() const { return pool_.free_bytes() < pool_.bytes() / 4; }

    /// It is empty now: others may need it more.
    void spare(StreamBuffer*& buffer) {
        if (scarce_) [[unlikely]]
            give_back_if_empty(buffer);
    }

    /// It is told as soon as there is memory for it.
    void wait_for_memory(Connection& connection);
    /// Its time in TIME-WAIT begins anew.
    void ends_later(Connection& connection);

    /// A connection of a listener has finished its handshake.
    void established(Connection& connection, Instant now);
    /// Now it can be accepted.
    void show(Connection& connection);

    /// Sums up a segment whose headers are laid, and sends it; a train of segments as one if the
    /// link cuts it.   errors   those of Ip::output(): nothing was sent
    [[gnu::always_inline]] Result<>
    output(OutPacket& packet, const Flow& flow, Way& way, Instant now) {
        const Ip::Addresses addresses{
            flow.local_address(), flow.remote_address(), wire::Protocol::tcp
        };
        ++counters_.tcp_out;
        TRY_VOID(ip_.look_up(addresses, way));
        if (packet.segment_bytes != 0) [[unlikely]] {
            if (!ip_.is_cut_by_link(packet, way)) return output_apart(packet, flow, way, now);
            counters_.tcp_out += packet.segments() - 1;
        }
        seal(packet, flow, way);
        return ip_.output_along(packet, addresses, way, now);
    }

    void hold(Connection& connection);
    void send_reset(const Connection& connection, Instant now);
    /// RFC 9293 3.10.7.1: a reset that the sender of `segment` will believe.
    void answer_with_reset(const Segment& segment, Instant now);

  private:
    struct Header {
        Endpoint from{}, to{};
        SeqNumber sequence{}, acknowledgement{};
        uint8_t flags{};
        uint16_t window{};
    };

    Result<> output_apart(OutPacket& train, const Flow& flow, Way& way, Instant now);
    Connection* find(const Flow& flow) const;
    Connection*& bucket_of(const Flow& flow) const;
    void enlist(Connection& connection);
    void delist(Connection& connection);

    // engine_listen.cpp
    ///   used   the highest number of a connection whose place the new one takes
    void input_for_listener(
        Listener& listener, const Segment& segment, std::optional<SeqNumber> used, Instant now
    );
    void answer_with_cookie(const Listener& listener, const Segment& syn, Instant now);
    void input_for_cookie(Listener& listener, const Segment& segment, Instant now);
    bool forget_half_open(Instant now);
    void leave_listener(Connection& connection);

    /// A control block, in no table yet; TIME-WAIT yields when there is none.
    Connection* take_connection();
    bool recycle_time_wait();
    void enter(Connection& connection, Connection::Queue queue);
    void leave_queue(Connection& connection);
    ConnectionQueue& queue_of(const Connection& connection);
    bool may_take(const StreamBuffer& buffer, size_t bytes, Purpose purpose) const;
    bool take_block(StreamBuffer*& buffer, size_t bytes, Purpose purpose);
    void give_back(StreamBuffer*& buffer);
    void give_back_if_empty(StreamBuffer*& buffer);
    void give_back_all_empty(const StreamBuffer* but);
    void give_memory(MutableBytes memory);
    void release_buffers(Connection& connection);
    void free_block(Connection& connection);
    /// After anything that may have ended a connection or freed it of its owner.
    void settle(Connection& connection);
    /// Of a connection in TIME-WAIT that nobody has a handle to: it ends here.
    void discard(Connection& connection);
    void unhold(Connection& connection);
    Connection::Birth birth(Endpoint local, Endpoint remote, Instant now) const;
    Result<Port> choose_port(Endpoint local, Endpoint remote);
    Result<> send_header(const Header& header, OutPacket& packet, Bytes options, Instant now);
    void send_reset_segment(const Header& header, Bytes options, Instant now);

    const Config& config_;
    Ip& ip_;
    NewsQueue& news_;
    Random& random_;
    Drops& drops_;
    Counters& counters_;
    Wheel wheel_;
    Connections connections_;
    Listeners listeners_;
    PortMap<Listener> ports_;
    BufferPool pool_;
    std::span<Connection*> buckets_;
    std::span<uint16_t> port_uses_; // by how many connections, of each of our ports
    std::span<StreamBuffer> buffers_;
    FreeList<StreamBuffer> free_buffers_;
    StreamBuffer no_buffer_; // of connections that hold nothing
    /// Memory ran out, and was not plentiful since: nobody keeps what is empty.
    bool scarce_{};
    ConnectionQueue half_open_, wanting_, ending_;
    const CongestionControl* congestion_control_;
    Connection* first_held_{};
    SecretKey sequence_key_;
    SynCookies cookies_;
    uint64_t first_hash_key_, second_hash_key_;
};

} // namespace net::tcp
