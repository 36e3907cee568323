#include "net/tcp/engine.hpp"

#include <bit>

#include "net/checksum.hpp"

namespace net {

std::string_view tcp::name_of(State state) {
    constexpr std::string_view names[] = {
        "CLOSED",
        "LISTEN",
        "SYN-SENT",
        "SYN-RECEIVED",
        "ESTABLISHED",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "CLOSE-WAIT",
        "CLOSING",
        "LAST-ACK",
        "TIME-WAIT",
    };
    return names[std::to_underlying(state)];
}

namespace tcp {

namespace {

constexpr uint16_t header_bytes = sizeof(wire::Ipv4) + sizeof(wire::Tcp);

/// Whole blocks of the largest size, one at least.
size_t memory_of(const Config& config) {
    const size_t all = size_t{config.stream_buffers} * config.stream_buffer_bytes;
    const size_t wanted = config.stream_memory_bytes != 0 ? config.stream_memory_bytes : all;
    const size_t blocks = wanted / config.stream_buffer_bytes;
    return std::max<size_t>(blocks, 1) * config.stream_buffer_bytes;
}

} // namespace

Engine::Engine(
    Arena& arena,
    const Config& config,
    Ip& ip,
    NewsQueue& news,
    Random& random,
    Drops& drops,
    Counters& counters,
    Instant now
)
    : config_{config}, ip_{ip}, news_{news}, random_{random}, drops_{drops}, counters_{counters},
      wheel_{now}, connections_{arena, config.connections}, listeners_{arena, config.listeners},
      ports_{arena, config.listeners}, pool_{arena, memory_of(config), config.stream_buffer_bytes},
      buckets_{arena.make<Connection*>(std::bit_ceil(size_t{config.connections} + 1))},
      congestion_control_{
          config.congestion_control != nullptr ? config.congestion_control : &cubic()
      },
      sequence_key_{random.next(), random.next()}, cookies_{{random.next(), random.next()}},
      first_hash_key_{random.next()}, second_hash_key_{random.next()} {
    for (StreamBuffer& buffer : arena.make<StreamBuffer>(config.stream_buffers))
        buffers_.put(buffer);
}

// --- Tables

Connection*& Engine::bucket_of(const Flow& flow) const {
    return buckets_.data()[flow.hash(first_hash_key_, second_hash_key_) & (buckets_.size() - 1)];
}

Connection* Engine::find(const Flow& flow) const {
    Connection* connection = bucket_of(flow);
    while (connection != nullptr && !(connection->flow == flow))
        connection = connection->next_in_bucket;
    return connection;
}

void Engine::enlist(Connection& connection) {
    Connection*& bucket = bucket_of(connection.flow);
    connection.next_in_bucket = bucket;
    connection.listed = true;
    bucket = &connection;
}

void Engine::delist(Connection& connection) {
    if (!std::exchange(connection.listed, false)) return;
    Connection** at = &bucket_of(connection.flow);
    while (*at != &connection)
        at = &(*at)->next_in_bucket;
    *at = connection.next_in_bucket;
}

/// The smallest block each is promised to every connection, so that it can always go on.
StreamBuffer* Engine::take_buffer() {
    StreamBuffer* buffer = buffers_.take();
    if (buffer == nullptr) return &no_buffer_;
    const MutableBytes memory = pool_.take(BufferPool::least_bytes);
    if (memory.empty()) {
        buffers_.put(*buffer);
        return &no_buffer_;
    }
    buffer->ring = ByteRing{memory};
    buffer->ranges.clear();
    return buffer;
}

bool Engine::take_buffers(Connection& connection) {
    connection.receive_memory = take_buffer();
    connection.send_memory = take_buffer();
    if (connection.receive_memory != &no_buffer_ && connection.send_memory != &no_buffer_) {
        return true;
    }
    release_buffers(connection);
    return false;
}

void Engine::release_buffers(Connection& connection) {
    for (StreamBuffer** buffer : {&connection.receive_memory, &connection.send_memory}) {
        if (*buffer != &no_buffer_) {
            pool_.give((*buffer)->ring.whole());
            buffers_.put(**buffer);
        }
        *buffer = &no_buffer_;
    }
}

void Engine::grow(StreamBuffer& buffer, size_t wanted, size_t limit) {
    const size_t capacity = buffer.ring.capacity();
    if (wanted <= capacity || capacity >= limit || &buffer == &no_buffer_) return;
    // Less than wanted is better than nothing.
    for (size_t bytes = std::min(std::bit_ceil(wanted), limit); bytes > capacity; bytes /= 2) {
        const MutableBytes memory = pool_.take(bytes);
        if (memory.empty()) continue;
        const MutableBytes old = buffer.ring.whole();
        buffer.ring.move_to(memory);
        return pool_.give(old);
    }
}

void Engine::shrink(StreamBuffer& buffer) {
    const bool scarce = pool_.free_bytes() < pool_.bytes() / 2;
    if (!scarce || &buffer == &no_buffer_ || !buffer.ring.empty() || !buffer.ranges.empty()) return;
    if (buffer.ring.capacity() == BufferPool::least_bytes) return;
    const MutableBytes memory = pool_.take(BufferPool::least_bytes);
    if (memory.empty()) return;
    pool_.give(buffer.ring.whole());
    buffer.ring = ByteRing{memory};
}

/// Gives up the connection in TIME-WAIT that is nearest to its end.
bool Engine::recycle_time_wait() {
    Connection* oldest = nullptr;
    for (Connection& connection : connections_.entries()) {
        if (connection.state() != State::time_wait || connection.is_owned()) continue;
        if (oldest == nullptr || connection.ends_at() < oldest->ends_at()) oldest = &connection;
    }
    if (oldest == nullptr) return false;
    drops_.count(Drop::tcp_time_wait_recycled);
    oldest->cancel_timers(wheel_);
    unhold(*oldest);
    delist(*oldest);
    connections_.put(*oldest);
    return true;
}

Connection* Engine::take_connection() {
    Connection* connection = connections_.take();
    if (connection == nullptr && recycle_time_wait()) connection = connections_.take();
    if (connection == nullptr) return nullptr;
    if (take_buffers(*connection)) return connection;
    connections_.put(*connection);
    return nullptr;
}

void Engine::settle(Connection& connection) {
    const bool is_over = connection.state() == State::closed;
    if (is_over) {
        delist(connection);
        unhold(connection);
        leave_listener(connection);
    }
    if (connection.is_owned() || connection.listener != nullptr) return;
    if (is_over || connection.state() == State::time_wait) release_buffers(connection);
    if (is_over) connections_.put(connection);
}

void Engine::hold(Connection& connection) {
    if (std::exchange(connection.held, true)) return;
    connection.next_held = first_held_;
    first_held_ = &connection;
}

void Engine::unhold(Connection& connection) {
    if (!std::exchange(connection.held, false)) return;
    Connection** at = &first_held_;
    while (*at != &connection)
        at = &(*at)->next_held;
    *at = connection.next_held;
}

void Engine::retry_held(Instant now) {
    // Each tries once; who is held again goes to a new list.
    Connection* list = std::exchange(first_held_, nullptr);
    Connection* oldest_first = nullptr;
    while (list != nullptr) {
        Connection* next = list->next_held;
        list->next_held = oldest_first;
        oldest_first = list;
        list = next;
    }
    while (oldest_first != nullptr) {
        Connection& connection = *oldest_first;
        oldest_first = connection.next_held;
        connection.held = false;
        connection.dispatch(*this, now);
    }
}

// --- Input

void Engine::input(const Ipv4Packet& packet, Instant now) {
    ++counters_.tcp_in;
    if (packet.payload.size() < sizeof(wire::Tcp)) return count(Drop::tcp_truncated);
    const uint32_t ports = load<Be<uint32_t>>(packet.payload.data());
    Connection* connection = find({packet.destination, packet.source, ports});
    if (connection != nullptr && connection->take(*this, packet, now)) return;
    input_unexpected(connection, packet, now);
}

void Engine::input_unexpected(Connection* connection, const Ipv4Packet& packet, Instant now) {
    if (packet.broadcast || packet.source.is_any()) return count(Drop::tcp_not_unicast);
    Segment segment;
    if (const auto refused = segment.read(packet)) return count(*refused);
    std::optional<SeqNumber> used; // by the connection whose place is taken
    if (connection != nullptr && !connection->is_owned() &&
        connection->may_be_replaced_by(segment)) {
        used = connection->send_next();
        connection->cancel_timers(wheel_);
        unhold(*connection);
        delist(*connection);
        release_buffers(*connection);
        connections_.put(*connection);
        connection = nullptr;
    }
    if (connection != nullptr) {
        connection->process(*this, segment, now);
        return settle(*connection);
    }
    if (Listener* listener = ports_.find(segment.to)) {
        return input_for_listener(*listener, segment, used, now);
    }
    count(Drop::tcp_no_connection);
    if (!segment.flags.rst()) answer_with_reset(segment, now);
}

void Engine::trouble(const Trouble& trouble, Instant now) {
    struct Quoted {
        Be<uint16_t> source, destination;
        Be<uint32_t> sequence;
    };

    Bytes bytes = trouble.transport;
    const auto quoted = peel<Quoted>(bytes);
    if (!quoted) return count(Drop::icmp_bad_quote);
    const Endpoint from{trouble.source, Port{quoted->source}};
    Connection* connection = find({from, {trouble.destination, Port{quoted->destination}}});
    if (connection == nullptr) return count(Drop::icmp_bad_quote);
    connection->trouble(*this, trouble, SeqNumber{quoted->sequence}, now);
    settle(*connection);
}

void Engine::advance(Instant now) {
    wheel_.advance(now, [&](Timer& timer) {
        Connection& connection = *static_cast<ConnectionTimer&>(timer).owner;
        connection.expired(*this, timer, now);
        settle(connection);
    });
}

// --- Output

/// RFC 6528 3: a clock of about 4 us and a keyed hash of who talks to whom; the clock of the
/// timestamps is displaced likewise (RFC 7323 5.4), so that it tells nobody how long we are up.
Connection::Birth Engine::birth(Endpoint local, Endpoint remote, Instant now) const {
    const uint64_t words[] = {
        uint64_t{local.address.bits()} << 32 | remote.address.bits(),
        uint64_t{local.port.number()} << 16 | remote.port.number(),
    };
    const uint64_t hash = siphash(sequence_key_, words);
    const PathLimit limit = ip_.paths().find(remote.address, now);
    return {
        .sequence = SeqNumber{uint32_t(hash) + uint32_t(now.ns >> 12)},
        .timestamp_offset = uint32_t(hash >> 32),
        .path_mss_bytes =
            uint16_t(std::min(own_mss_bytes(), uint16_t(limit.mtu_bytes - header_bytes))),
        .may_fragment = limit.may_fragment,
        .most_buffer_bytes = config_.stream_buffer_bytes,
        .minimum_rto = config_.minimum_rto,
    };
}

/// What the link does not do: one segment after the other. `left_out` says of how much was not
/// sent, if not all was.
Result<> Engine::output_apart(OutPacket& train, const Flow& flow, Way& way, Instant now) {
    const Bytes headers = train.headers();
    auto tcp = load<wire::Tcp>(headers.data());
    const SeqNumber first{tcp.sequence};
    const uint8_t last_flags = tcp.flags;
    const size_t bytes = train.size() - headers.size();
    --counters_.tcp_out; // each counts by itself
    for (size_t from = 0; from < bytes; from += train.segment_bytes) {
        const size_t to = std::min(from + train.segment_bytes, bytes);
        OutPacket segment;
        segment.dont_fragment = train.dont_fragment;
        segment.set_manner(train);
        segment.append_part(train.payload(), from, to);
        segment.prepend_bytes(headers.subspan(sizeof tcp));
        tcp.sequence = (first + uint32_t(from)).number();
        constexpr uint8_t of_the_last = wire::Tcp::psh | wire::Tcp::fin;
        tcp.flags = uint8_t(to == bytes ? last_flags : last_flags & ~of_the_last);
        segment.prepend(tcp);
        const auto sent = output(segment, flow, way, now);
        const bool is_full = !sent && sent.error() == Err::no_space;
        if (!is_full) continue; // whatever else goes wrong with one is a loss on the way
        if (from == 0) return sent;
        train.left_out = uint32_t(bytes - from);
        break;
    }
    return {};
}

Result<> Engine::send_header(const Header& header, OutPacket& packet, Bytes options, Instant now) {
    if (!options.empty()) packet.prepend_bytes(options);
    const Flow flow{header.from, header.to};
    packet.prepend(wire::Tcp{
        .ports = flow.ports_out(),
        .sequence = header.sequence.number(),
        .acknowledgement = header.acknowledgement.number(),
        .offset = uint8_t((sizeof(wire::Tcp) + options.size()) / 4 << 4),
        .flags = header.flags,
        .window = header.window,
        .checksum = {},
        .urgent = {},
    });
    Way way;
    return output(packet, flow, way, now);
}

void Engine::send_reset_segment(const Header& header, Bytes options, Instant now) {
    OutPacket packet;
    ++counters_.tcp_resets_out;
    const auto sent = send_header(header, packet, options, now);
    if (!sent && sent.error() == Err::no_space) count(Drop::link_full);
}

void Engine::send_reset(const Connection& connection, Instant now) {
    constexpr uint8_t flags = wire::Tcp::rst | wire::Tcp::ack;
    OptionBytes options;
    const size_t option_bytes = connection.write_options(options, flags, own_mss_bytes(), now);
    send_reset_segment(
        {.from = connection.flow.local(),
         .to = connection.flow.remote(),
         .sequence = connection.send_next(),
         .acknowledgement = connection.receive_next(),
         .flags = flags},
        Bytes{options}.first(option_bytes),
        now
    );
}

void Engine::answer_with_reset(const Segment& segment, Instant now) {
    Header header{.from = segment.to, .to = segment.from, .sequence = {}, .acknowledgement = {}};
    if (segment.flags.ack()) {
        header.sequence = segment.acknowledgement;
        header.flags = wire::Tcp::rst;
    } else {
        header.acknowledgement = segment.end();
        header.flags = wire::Tcp::rst | wire::Tcp::ack;
    }
    send_reset_segment(header, {}, now);
}

} // namespace tcp
} // namespace net
