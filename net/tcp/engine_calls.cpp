// What applications ask of TCP (RFC 9293 3.10.1 to 3.10.6), by handle.
#include "net/tcp/engine.hpp"

namespace net::tcp {

namespace {

/// Buffers between 1 KiB and 1 GiB, probes at all, and a packet that leaves this host.
bool are_valid(const StreamOptions& options) {
    const auto is_order = [](uint8_t order) { return order == 0 || (order >= 10 && order <= 30); };
    return is_order(options.receive_order) && is_order(options.send_order) &&
           options.keep_count != 0 && options.keep_interval_seconds != 0 &&
           options.time_to_live != 0 &&
           (options.most_segment_bytes == 0 || options.most_segment_bytes >= 64);
}

} // namespace

Result<SocketId>
Engine::listen(Endpoint local, uint16_t backlog, uint64_t cookie, const StreamOptions& options) {
    if (!are_valid(options)) return fail(Err::bad_argument);
    if (local.port.is_any() || backlog == 0) return fail(Err::bad_argument);
    if (!local.address.is_any() && !ip_.is_ours(local.address)) {
        return fail(Err::address_not_available);
    }
    if (ports_.taken(local)) return fail(Err::address_in_use);
    Listener* listener = listeners_.take();
    if (listener == nullptr) return fail(Err::no_slots);
    listener->local = local;
    listener->backlog = backlog;
    listener->options = options;
    listener->pending = listener->waiting = 0;
    listener->error = Err::none;
    ports_.add(*listener);
    return listeners_.hand_out(*listener, cookie);
}

Result<> Engine::may_bind(Endpoint local, bool reuse_address) const {
    if (!local.address.is_any() && !ip_.is_ours(local.address)) {
        return fail(Err::address_not_available);
    }
    if (ports_.taken(local)) return fail(Err::address_in_use);
    if (port_uses_[local.port.number()] == 0) return {};
    for (const Connection& connection : connections_.entries()) {
        if (!connection.listed || !(connection.flow.local().port == local.port)) continue;
        const Ipv4Address other = connection.flow.local_address();
        const bool same = local.address.is_any() || other == local.address;
        if (same && !(reuse_address && connection.options().reuse_address)) {
            return fail(Err::address_in_use);
        }
    }
    return {};
}

Result<Port> Engine::choose_port_to_bind(Ipv4Address address) {
    const uint64_t start = random_.next();
    for (uint32_t i = 0; i < dynamic_ports; ++i) {
        const Port port{uint16_t(first_dynamic_port + (start + i) % dynamic_ports)};
        if (may_bind({address, port}, false)) return port;
    }
    return fail(Err::address_in_use);
}

/// RFC 6056 3.3.1.
Result<Port> Engine::choose_port(Endpoint local, Endpoint remote) {
    const uint64_t start = random_.next();
    for (uint32_t i = 0; i < dynamic_ports; ++i) {
        local.port = Port{uint16_t(first_dynamic_port + (start + i) % dynamic_ports)};
        if (!ports_.taken(local) && find({local, remote}) == nullptr) return local.port;
    }
    return fail(Err::address_in_use);
}

Result<SocketId> Engine::connect(
    Endpoint remote, Endpoint local, uint64_t cookie, const StreamOptions& options, Instant now
) {
    if (!are_valid(options)) return fail(Err::bad_argument);
    if (remote.port.is_any() || remote.address.is_any() || remote.address.is_multicast() ||
        ip_.is_broadcast(remote.address)) {
        return fail(Err::bad_argument); // RFC 9293 MUST-46
    }
    const Path path = TRY(ip_.path_to(remote.address));
    if (local.address.is_any()) local.address = path.source;
    if (!ip_.is_ours(local.address)) return fail(Err::address_not_available);
    if (local.port.is_any()) local.port = TRY(choose_port(local, remote));
    if (find({local, remote}) != nullptr) return fail(Err::address_in_use);
    Connection* connection = take_connection();
    if (connection == nullptr) return fail(Err::no_memory);
    connection->reset(local, remote, birth(local, remote, now), options);
    enlist(*connection);
    ++counters_.tcp_opened;
    const SocketId id = connections_.hand_out(*connection, cookie);
    connection->open(*this, now);
    return id;
}

Result<SocketId> Engine::accept(SocketId id, uint64_t cookie) {
    Listener& listener = *TRY(listeners_.find(id));
    Connection* connection = listener.queue.front();
    if (connection == nullptr) return fail(Err::would_block);
    leave_listener(*connection);
    const SocketId accepted = connections_.hand_out(*connection, cookie);
    // What came before there was anybody to tell.
    const EventSet ready = connection->ready();
    connection->note_whether_plain();
    if (ready.has(Event::readable)) raise(*connection, Event::readable);
    if (ready.has(Event::peer_closed)) raise(*connection, Event::peer_closed);
    return accepted;
}

Result<size_t> Engine::send(SocketId id, Bytes data, bool urgent, Instant now) {
    return (*TRY(connections_.find(id))).write(*this, data, urgent, now);
}

Result<size_t> Engine::receive(SocketId id, MutableBytes room, Instant now) {
    return (*TRY(connections_.find(id))).read(*this, room, now);
}

Result<Bytes> Engine::peek(SocketId id) const {
    return (*TRY(connections_.find(id))).readable();
}

Result<> Engine::consume(SocketId id, size_t bytes, Instant now) {
    Connection& connection = *TRY(connections_.find(id));
    if (bytes > connection.info().receive_queue_bytes) return fail(Err::bad_argument);
    connection.consume(*this, bytes, now);
    return {};
}

Result<> Engine::shutdown(SocketId id, Instant now) {
    return (*TRY(connections_.find(id))).shutdown(*this, now);
}

Result<> Engine::close(SocketId id, Instant now) {
    if (id.kind() == SocketKind::listener) {
        Listener& listener = *TRY(listeners_.find(id));
        ports_.remove(listener);
        for (Connection& connection : connections_.entries()) {
            if (connection.listener != &listener) continue;
            connection.abort(*this, now);
            settle(connection);
        }
        listeners_.put(listener);
        return {};
    }
    Connection& connection = *TRY(connections_.find(id));
    connections_.take_back(connection);
    if (connection.queue == Connection::Queue::memory) leave_queue(connection);
    if (!connection.abandon(*this, now)) connection.abort(*this, now);
    settle(connection);
    return {};
}

Result<> Engine::abort(SocketId id, Instant now) {
    if (id.kind() == SocketKind::listener) return close(id, now);
    Connection& connection = *TRY(connections_.find(id));
    connections_.take_back(connection);
    connection.abort(*this, now);
    settle(connection);
    return {};
}

Result<size_t> Engine::copy(SocketId id, size_t offset, MutableBytes room) const {
    return (*TRY(connections_.find(id))).copy(offset, room);
}

Result<> Engine::configure(SocketId id, const StreamOptions& options, Instant now) {
    if (!are_valid(options)) return fail(Err::bad_argument);
    if (id.kind() == SocketKind::listener) {
        (*TRY(listeners_.find(id))).options = options;
        return {};
    }
    (*TRY(connections_.find(id))).configure(*this, options, now);
    return {};
}

Result<StreamOptions> Engine::options(SocketId id) const {
    if (id.kind() == SocketKind::listener) return (*TRY(listeners_.find(id))).options;
    return (*TRY(connections_.find(id))).options();
}

Result<> Engine::set_backlog(SocketId id, uint16_t backlog) {
    if (backlog == 0) return fail(Err::bad_argument);
    (*TRY(listeners_.find(id))).backlog = backlog;
    return {};
}

Result<EventSet> Engine::ready(SocketId id) const {
    if (id.kind() == SocketKind::stream) return (*TRY(connections_.find(id))).ready();
    const Listener& listener = *TRY(listeners_.find(id));
    return listener.queue.empty() ? EventSet{} : EventSet{Event::acceptable};
}

Result<SocketInfo> Engine::info(SocketId id) const {
    if (id.kind() == SocketKind::stream) return (*TRY(connections_.find(id))).info();
    const Listener& listener = *TRY(listeners_.find(id));
    SocketInfo info{.id = id, .local = listener.local, .remote = {}, .state = State::listen};
    info.receive_queue_bytes = listener.waiting;
    return info;
}

Result<StreamInfo> Engine::details(SocketId id) const {
    return (*TRY(connections_.find(id))).details();
}

Result<SocketBase*> Engine::base(SocketId id) const {
    if (id.kind() == SocketKind::stream) return TRY(connections_.find(id));
    return TRY(listeners_.find(id));
}

} // namespace net::tcp
