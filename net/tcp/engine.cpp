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

void move_count(uint64_t& from, uint64_t& to) {
    --from;
    ++to;
}

constexpr uint16_t header_bytes = sizeof(wire::Ipv4) + sizeof(wire::Tcp);

/// Whole blocks of the largest size, one at least.
size_t memory_of(const Config& config) {
    const size_t blocks = config.stream_memory_bytes / config.stream_buffer_bytes;
    return std::max<size_t>(blocks, 1) * config.stream_buffer_bytes;
}

/// One for each of the smallest blocks, but two a connection are all that can be in use.
size_t buffers_of(const Config& config) {
    const size_t blocks = memory_of(config) / BufferPool::least_bytes;
    return std::min(blocks, 2 * size_t{config.connections});
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
      port_uses_{arena.make<uint16_t>(65536)},
      buffers_{arena.make<StreamBuffer>(buffers_of(config))},
      congestion_control_{
          config.congestion_control != nullptr ? config.congestion_control : &cubic()
      },
      sequence_key_{random.next(), random.next()}, cookies_{{random.next(), random.next()}},
      first_hash_key_{random.next()}, second_hash_key_{random.next()} {
    for (StreamBuffer& buffer : buffers_)
        free_buffers_.put(buffer);
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
    ++port_uses_[connection.flow.local().port.number()];
    bucket = &connection;
}

void Engine::delist(Connection& connection) {
    if (!connection.listed) return;
    connection.listed = false;
    --port_uses_[connection.flow.local().port.number()];
    Connection** at = &bucket_of(connection.flow);
    while (*at != &connection)
        at = &(*at)->next_in_bucket;
    *at = connection.next_in_bucket;
}

// --- Memory. Who holds nothing needs none; who has emptied a buffer keeps it as long as there is
// enough for all, so that the next byte costs no more than the one before.

/// The last quarter is for the first piece of each; the last eighth for who has to send before it
/// can read on.
bool Engine::may_take(const StreamBuffer& buffer, size_t bytes, Purpose purpose) const {
    if (pool_.free_bytes() < bytes) return false;
    const size_t left = pool_.free_bytes() - bytes;
    if (left >= pool_.bytes() / 4) return true;
    const bool is_first = buffer.ring.capacity() == 0 && bytes == BufferPool::least_bytes;
    return is_first && (purpose == Purpose::sending || left >= pool_.bytes() / 8);
}

bool Engine::take_block(StreamBuffer*& buffer, size_t bytes, Purpose purpose) {
    if (!may_take(*buffer, bytes, purpose)) return false;
    const MutableBytes memory = pool_.take(bytes);
    if (memory.empty()) return false;
    counters_.tcp_bytes_held += bytes;
    if (buffer != &no_buffer_) {
        const MutableBytes old = buffer->ring.whole();
        buffer->ring.move_to(memory);
        give_memory(old);
        return true;
    }
    StreamBuffer* fresh = free_buffers_.take();
    INVARIANT(fresh != nullptr, "there is one for each block");
    fresh->ring = ByteRing{memory};
    fresh->ranges.clear();
    fresh->reported = {};
    fresh->holder = &buffer;
    buffer = fresh;
    return true;
}

void Engine::provide(StreamBuffer*& buffer, size_t wanted, size_t limit, Purpose purpose) {
    const size_t capacity = buffer->ring.capacity();
    if (wanted <= capacity || capacity >= limit) return;
    const size_t most = std::max(std::min(std::bit_ceil(wanted), limit), BufferPool::least_bytes);
    if (take_block(buffer, most, purpose)) return;
    if (!scarce_ && pool_.free_bytes() < pool_.bytes() / 2) {
        give_back_all_empty(buffer);
        if (take_block(buffer, most, purpose)) return;
    }
    // Less than wanted is better than nothing.
    for (size_t bytes = most / 2; bytes > capacity && bytes >= BufferPool::least_bytes; bytes /= 2)
        if (take_block(buffer, bytes, purpose)) return;
}

void Engine::give_memory(MutableBytes memory) {
    pool_.give(memory);
    counters_.tcp_bytes_held -= memory.size();
    if (pool_.free_bytes() >= pool_.bytes() / 4 * 3) scarce_ = false;
    // Each of those that are told has some already, so that nobody takes it before it is used.
    while (!wanting_.empty()) {
        Connection& connection = *wanting_.front();
        if (!take_block(connection.send_memory, BufferPool::least_bytes, Purpose::sending)) return;
        leave_queue(connection);
        connection.may_write_again(*this);
    }
}

void Engine::give_back(StreamBuffer*& buffer) {
    StreamBuffer& old = *std::exchange(buffer, &no_buffer_);
    old.holder = nullptr;
    free_buffers_.put(old);
    give_memory(old.ring.whole());
}

void Engine::give_back_if_empty(StreamBuffer*& buffer) {
    if (buffer != &no_buffer_ && buffer->holds_nothing()) give_back(buffer);
}

/// From now on until three quarters are free whatever is emptied comes back at once: so this is not
/// done again before a quarter of the memory has been taken and given. What has come ahead of a
/// hole, and nothing else, goes too: it was reported, but not acknowledged (RFC 2018 8).
void Engine::give_back_all_empty(const StreamBuffer* but) {
    scarce_ = true;
    for (StreamBuffer& buffer : buffers_)
        if (buffer.holder != nullptr && &buffer != but && buffer.ring.empty())
            give_back(*buffer.holder);
}

void Engine::release_buffers(Connection& connection) {
    for (StreamBuffer** buffer : {&connection.receive_memory, &connection.send_memory})
        if (*buffer != &no_buffer_) give_back(*buffer);
}

void Engine::wait_for_memory(Connection& connection) {
    if (connection.queue == Connection::Queue::none) enter(connection, Connection::Queue::memory);
}

// --- Queues

ConnectionQueue& Engine::queue_of(const Connection& connection) {
    switch (connection.queue) {
    case Connection::Queue::half_open: return half_open_;
    case Connection::Queue::accept: return connection.listener->queue;
    case Connection::Queue::memory: return wanting_;
    default: return ending_;
    }
}

void Engine::enter(Connection& connection, Connection::Queue queue) {
    if (queue == Connection::Queue::ending)
        move_count(counters_.tcp_blocks_held, counters_.tcp_time_wait);
    connection.queue = queue;
    queue_of(connection).push_back(connection);
}

void Engine::leave_queue(Connection& connection) {
    if (connection.queue == Connection::Queue::none) return;
    queue_of(connection).remove(connection);
    if (connection.queue == Connection::Queue::ending)
        move_count(counters_.tcp_time_wait, counters_.tcp_blocks_held);
    connection.queue = Connection::Queue::none;
}

void Engine::ends_later(Connection& connection) {
    if (connection.queue != Connection::Queue::ending) return;
    leave_queue(connection);
    enter(connection, Connection::Queue::ending);
}

void Engine::discard(Connection& connection) {
    connection.cancel_timers(wheel_);
    unhold(connection);
    delist(connection);
    leave_queue(connection);
    free_block(connection);
}

/// Gives up the connection in TIME-WAIT that is nearest to its end.
bool Engine::recycle_time_wait() {
    if (ending_.empty()) return false;
    drops_.count(Drop::tcp_time_wait_recycled);
    discard(*ending_.front());
    return true;
}

Connection* Engine::take_connection() {
    Connection* connection = connections_.take();
    if (connection == nullptr && recycle_time_wait()) connection = connections_.take();
    if (connection == nullptr) return nullptr;
    connection->receive_memory = connection->send_memory = &no_buffer_;
    ++counters_.tcp_blocks_held;
    return connection;
}

void Engine::free_block(Connection& connection) {
    connections_.put(connection);
    --counters_.tcp_blocks_held;
}

void Engine::settle(Connection& connection) {
    const bool is_over = connection.state() == State::closed;
    if (is_over) {
        delist(connection);
        unhold(connection);
        leave_listener(connection);
        leave_queue(connection);
        if (connection.send_memory != &no_buffer_) give_back(connection.send_memory);
    }
    if (connection.is_owned() || connection.listener != nullptr) return;
    const bool waits = connection.state() == State::time_wait;
    if (is_over || waits) release_buffers(connection);
    if (is_over) free_block(connection);
    if (waits && connection.queue == Connection::Queue::none)
        enter(connection, Connection::Queue::ending);
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
        discard(*connection);
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
