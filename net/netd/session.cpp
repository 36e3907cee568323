#include "net/netd/session.hpp"

#include <algorithm>
#include <tuple>

namespace netd {

namespace {

net::Endpoint endpoint_of(const std::array<uint8_t, 4>& octets, uint16_t port) {
    return {net::Ipv4Address{octets}, net::Port{port}};
}

bool must_wait(Fault fault) {
    return fault == Err::would_block;
}

} // namespace

Session::Session(Host& host, MutableBytes area)
    : host_{host}, area_{area}, socket_freed_{host.loop()}, any_changed_{host.loop()} {}

Result<> Session::enter() {
    number_ = TRY(host_.enter(*this));
    entered_ = true;
    return {};
}

Session::~Session() {
    for (size_t number = 0; number < sockets_max; ++number)
        if (Socket* const socket = sockets_.find(number)) drop(*socket);
    socket_freed_.fail(Err::peer_gone);
    any_changed_.fail(Err::peer_gone);
    if (entered_) host_.leave(number_);
    host_.touched();
}

uint32_t Session::handle_of(const Socket& socket) const {
    return uint32_t{sockets_.generation(socket.index)} << 16 | socket.index;
}

uint64_t Session::cookie_of(const Socket& socket) const {
    return Host::cookie(number_, socket.index);
}

Result<Session::Socket*> Session::find(uint32_t handle) {
    Socket* const socket = sockets_.find(handle & 0xffff);
    if (socket == nullptr || handle_of(*socket) != handle) return fail(Err::not_found);
    return socket;
}

Result<Session::Socket*> Session::find_live(uint32_t handle) {
    Socket* const socket = TRY(find(handle));
    if (!socket->live) return fail(Err::not_connected);
    return socket;
}

Result<MutableBytes> Session::room(uint32_t offset, uint32_t bytes) const {
    if (offset > area_.size() || bytes > area_.size() - offset) return fail(Err::range_bounds);
    return area_.subspan(offset, bytes);
}

Result<Session::Socket*> Session::make(api::Kind kind) {
    if (!entered_) return fail(Err::no_slots); // its events would go to another owner
    return sockets_.make(host_.loop(), kind);
}

/// The handle ends here; the requests that wait on it leave with `cancelled`.
void Session::drop(Socket& socket) {
    if (socket.live) std::ignore = let_go(socket, true);
    socket.changed.fail(Err::cancelled);
    if (socket.untold_hook.linked()) untold_.remove(socket);
    sockets_.erase(socket.index);
    socket_freed_.notify();
    any_changed_.notify();
}

Result<> Session::let_go(Socket& socket, bool reset) {
    socket.live = false;
    if (socket.kind == api::Kind::datagram) return host_.stack().udp_close(socket.id);
    if (reset) return host_.stack().tcp_abort(socket.id, host_.now());
    return host_.stack().tcp_close(socket.id, host_.now());
}

void Session::socket_event(uint16_t index, net::EventSet what) {
    Socket* const socket = sockets_.find(index);
    if (socket == nullptr) return;
    if (what.has(net::Event::urgent)) {
        socket->urgent = true;
        socket->urgent_read = false;
    }
    note_change(*socket);
}

bool Session::holds(net::Endpoint local, bool reuse_address) const {
    const auto bars = [&](const Socket& socket) {
        if (!socket.is_stream() || !socket.bound) return false;
        if (!(socket.local.port == local.port)) return false;
        const bool overlap = socket.local.address.is_any() || local.address.is_any() ||
                             socket.local.address == local.address;
        return overlap && !(reuse_address && socket.stream.reuse_address);
    };
    return sockets_.find_if(bars) != nullptr;
}

async::Task<api::OpenResult> Session::open(api::OpenArguments a) {
    Socket* const socket = co_await make(a.kind);
    co_return api::OpenResult{handle_of(*socket)};
}

async::Task<api::BindResult> Session::bind(api::BindArguments a) {
    Socket* const socket = co_await find(a.socket);
    if (socket->live || socket->bound) co_await fail(Err::bad_state);
    net::Endpoint local = endpoint_of(a.address, a.port);
    if (socket->is_stream()) {
        local.port = co_await host_.bind_stream(local, socket->stream.reuse_address);
        socket->local = local;
    } else {
        co_await make_datagram(*socket, local);
    }
    socket->bound = true;
    co_return api::BindResult{socket->local.port.number()};
}

Result<> Session::make_datagram(Socket& socket, net::Endpoint local) {
    if (socket.live) return {};
    socket.id = TRY(host_.stack().udp_bind(local, cookie_of(socket)));
    socket.live = true;
    socket.local = TRY(host_.stack().info(socket.id)).local;
    return apply(socket);
}

async::Task<> Session::listen(api::ListenArguments a) {
    Socket* const socket = co_await find(a.socket);
    if (!socket->is_stream()) co_await fail(Err::bad_operation);
    // One more than was asked for, as BSD's sockets have always had it.
    const auto backlog = static_cast<uint16_t>(std::min<uint32_t>(a.backlog, 1024) + 1);
    net::Stack& stack = host_.stack();
    if (socket->is_listener()) {
        co_await stack.tcp_set_backlog(socket->id, backlog);
        co_return {};
    }
    if (socket->live) co_await fail(Err::bad_state);
    net::Endpoint local = socket->local;
    if (local.port.is_any()) local.port = co_await host_.bind_stream(local, false);
    socket->id = co_await stack.tcp_listen(local, backlog, cookie_of(*socket), socket->stream);
    socket->local = local;
    socket->live = socket->bound = true;
    co_return {};
}

/// A connection is taken from the stack only when it can be named: the others wait in the stack's
/// queue, where the peer sees a full backlog and not a reset.
async::Task<api::AcceptResult> Session::accept(api::AcceptArguments a) {
    for (;;) {
        Socket* const listener = co_await find(a.socket);
        if (!listener->is_stream()) co_await fail(Err::bad_operation);
        if (!listener->is_listener()) co_await fail(Err::bad_state);
        const net::EventSet ready = co_await host_.stack().ready(listener->id);
        const bool waits = ready.has(net::Event::acceptable);
        if (!waits && listener->non_blocking) co_await fail(Err::would_block);
        if (!waits) {
            co_await listener->changed.wait();
            continue;
        }
        const Result<Socket*> made = make(api::Kind::stream);
        const bool answers = listener->non_blocking || (!made && made.error() == Err::no_memory);
        if (!made && answers) co_await fail(made.error());
        if (!made) {
            co_await socket_freed_.wait();
            continue;
        }
        co_return co_await accept_into(**made, *listener);
    }
}

Result<api::AcceptResult> Session::accept_into(Socket& socket, const Socket& listener) {
    const auto got = host_.stack().tcp_accept(listener.id, cookie_of(socket));
    if (!got) {
        drop(socket);
        return fail(got.error());
    }
    socket.id = *got;
    socket.live = true;
    socket.stream = listener.stream;
    socket.keep_alive = listener.keep_alive;
    socket.keep_idle_seconds = listener.keep_idle_seconds;
    socket.non_blocking = listener.non_blocking;
    socket.watched = listener.watched;
    socket.urgent_inline = listener.urgent_inline;
    socket.resets_at_close = listener.resets_at_close;
    socket.receive_bytes = listener.receive_bytes;
    socket.send_bytes = listener.send_bytes;
    socket.urgent = TRY(host_.stack().tcp_info(socket.id)).urgent_bytes != 0;
    const net::SocketInfo info = TRY(host_.stack().info(socket.id));
    note_change(socket); // what has come before it was accepted
    return api::AcceptResult{
        handle_of(socket), info.remote.address.octets(), info.remote.port.number()
    };
}

Result<> Session::connect_datagram(Socket& socket, net::Endpoint to) {
    if (host_.stack().is_broadcast(to.address) && !socket.broadcast)
        return fail(Err::not_permitted);
    TRY_VOID(make_datagram(socket, {}));
    TRY_VOID(host_.stack().udp_connect(socket.id, to));
    socket.remote = to.port.is_any() ? net::Endpoint{} : to;
    return {};
}

Result<> Session::begin_connection(Socket& socket, net::Endpoint to) {
    socket.id = TRY(
        host_.stack().tcp_connect(to, socket.local, cookie_of(socket), host_.now(), socket.stream)
    );
    socket.live = socket.connecting = true;
    socket.read_shut = socket.write_shut = socket.urgent = false;
    host_.touched();
    return {};
}

/// False: not yet. When it has failed, the socket is as new.
Result<bool> Session::is_connected(Socket& socket) {
    net::Stack& stack = host_.stack();
    const net::SocketInfo info = TRY(stack.info(socket.id));
    if (info.state == net::tcp::State::closed && socket.connecting) {
        const Err error = TRY(stack.take_error(socket.id));
        TRY_VOID(let_go(socket, false));
        return fail(error != Err::none ? error : Err::connection_reset);
    }
    if (info.state < net::tcp::State::established && info.state != net::tcp::State::closed)
        return false;
    if (!std::exchange(socket.connecting, false)) return fail(Err::already_connected);
    return true;
}

async::Task<> Session::connect(api::ConnectArguments a) {
    Socket* const fresh = co_await find(a.socket);
    const net::Endpoint to = endpoint_of(a.address, a.port);
    if (!fresh->is_stream()) {
        co_await connect_datagram(*fresh, to);
        co_return {};
    }
    const bool begins = !fresh->live;
    if (begins) co_await begin_connection(*fresh, to);
    for (;;) {
        Socket* const socket = co_await find_live(a.socket);
        if (socket->is_listener()) co_await fail(Err::already_connected);
        if (co_await is_connected(*socket)) co_return {};
        if (socket->non_blocking) co_await fail(begins ? Err::in_progress : Err::busy);
        co_await socket->changed.wait();
    }
}

Result<uint32_t> Session::send_now(Socket& socket, Bytes data, bool urgent) {
    if (!socket.is_stream()) {
        if (socket.remote.port.is_any()) return fail(Err::destination_missing);
        TRY_VOID(send_datagram(socket, socket.remote, data));
        return static_cast<uint32_t>(data.size());
    }
    if (!socket.is_connection()) return fail(Err::broken_pipe);
    net::Stack& stack = host_.stack();
    const auto sent = urgent ? stack.tcp_send_urgent(socket.id, data, host_.now())
                             : stack.tcp_send(socket.id, data, host_.now());
    host_.touched();
    if (sent) return static_cast<uint32_t>(*sent);
    const bool over = sent.error() == Err::not_connected || sent.error() == Err::bad_state;
    return fail(over ? Fault{Err::broken_pipe} : sent.error());
}

async::Task<api::SendResult> Session::send(api::SendArguments a) {
    const Bytes data = co_await room(a.offset, a.bytes);
    for (;;) {
        Socket* const socket = co_await find(a.socket);
        const Result<uint32_t> sent = send_now(*socket, data, false);
        if (sent) co_return api::SendResult{*sent};
        if (!must_wait(sent.error()) || socket->non_blocking) co_await fail(sent.error());
        co_await socket->changed.wait();
    }
}

async::Task<api::SendUrgentResult> Session::send_urgent(api::SendUrgentArguments a) {
    const Bytes data = co_await room(a.offset, a.bytes);
    for (;;) {
        Socket* const socket = co_await find(a.socket);
        if (!socket->is_stream()) co_await fail(Err::bad_operation);
        const Result<uint32_t> sent = send_now(*socket, data, true);
        if (sent) co_return api::SendUrgentResult{*sent};
        if (!must_wait(sent.error()) || socket->non_blocking) co_await fail(sent.error());
        co_await socket->changed.wait();
    }
}

/// The peer's orderly end, and the application's own, are 0 bytes.
Result<uint32_t> Session::receive_now(Socket& socket, MutableBytes into) {
    net::Stack& stack = host_.stack();
    if (!socket.is_stream()) {
        const auto got = stack.udp_receive_from(socket.id, into);
        if (!got) return fail(got.error());
        return static_cast<uint32_t>(got->bytes);
    }
    size_t most = into.size();
    if (socket.urgent) TRY_VOID(stop_at_urgent(socket, most));
    const auto got = stack.tcp_receive(socket.id, into.first(most), host_.now());
    host_.touched();
    if (got) return static_cast<uint32_t>(*got);
    const bool ended = got.error() == Err::end_of_file;
    if (ended || (socket.read_shut && must_wait(got.error()))) return 0u;
    return fail(got.error());
}

async::Task<api::ReceiveResult> Session::receive(api::ReceiveArguments a) {
    const MutableBytes into = co_await room(a.offset, a.bytes);
    if (into.empty()) co_await fail(Err::bad_argument);
    for (;;) {
        Socket* const socket = co_await find_live(a.socket);
        if (socket->is_listener()) co_await fail(Err::not_connected);
        const Result<uint32_t> got = receive_now(*socket, into);
        if (got) co_return api::ReceiveResult{*got};
        if (!must_wait(got.error()) || socket->non_blocking) co_await fail(got.error());
        co_await socket->changed.wait();
    }
}

Result<uint32_t> Session::peek_now(Socket& socket, MutableBytes into) {
    net::Stack& stack = host_.stack();
    if (!socket.is_stream()) {
        const auto got = stack.udp_copy(socket.id, into);
        if (!got) return fail(got.error());
        return static_cast<uint32_t>(got->bytes);
    }
    const auto got = stack.tcp_copy(socket.id, 0, into);
    if (got) return static_cast<uint32_t>(*got);
    const bool ended = got.error() == Err::end_of_file;
    if (ended || (socket.read_shut && must_wait(got.error()))) return 0u;
    return fail(got.error());
}

async::Task<api::PeekResult> Session::peek(api::PeekArguments a) {
    const MutableBytes into = co_await room(a.offset, a.bytes);
    if (into.empty()) co_await fail(Err::bad_argument);
    for (;;) {
        Socket* const socket = co_await find_live(a.socket);
        if (socket->is_listener()) co_await fail(Err::not_connected);
        const Result<uint32_t> got = peek_now(*socket, into);
        if (got) co_return api::PeekResult{*got};
        if (!must_wait(got.error()) || socket->non_blocking) co_await fail(got.error());
        co_await socket->changed.wait();
    }
}

async::Task<api::ReceiveUrgentResult> Session::receive_urgent(api::ReceiveUrgentArguments a) {
    Socket* const socket = co_await find_live(a.socket);
    if (!socket->is_connection()) co_await fail(Err::not_connected);
    co_return api::ReceiveUrgentResult{co_await urgent_byte(*socket)};
}

Result<> Session::send_datagram(Socket& socket, net::Endpoint to, Bytes data) {
    net::Stack& stack = host_.stack();
    if (stack.is_broadcast(to.address) && !socket.broadcast) return fail(Err::not_permitted);
    TRY_VOID(make_datagram(socket, {}));
    const auto sent = stack.udp_send_to(socket.id, to, data, host_.now());
    host_.touched();
    if (!sent && sent.error() == Err::no_space)
        return fail(Err::would_block); // until there is room
    return sent;
}

async::Task<> Session::send_to(api::SendToArguments a) {
    const Bytes data = co_await room(a.offset, a.bytes);
    for (;;) {
        Socket* const socket = co_await find(a.socket);
        if (socket->is_stream()) co_await fail(Err::already_connected);
        const auto sent = send_datagram(*socket, endpoint_of(a.address, a.port), data);
        if (sent) co_return {};
        if (!must_wait(sent.error()) || socket->non_blocking) co_await fail(sent.error());
        co_await socket->changed.wait();
    }
}

async::Task<api::ReceiveFromResult> Session::receive_from(api::ReceiveFromArguments a) {
    const MutableBytes into = co_await room(a.offset, a.bytes);
    for (;;) {
        Socket* const socket = co_await find_live(a.socket);
        if (socket->is_stream()) co_await fail(Err::bad_operation);
        const auto got = host_.stack().udp_receive_from(socket->id, into);
        if (got)
            co_return api::ReceiveFromResult{
                static_cast<uint32_t>(got->bytes),
                static_cast<uint32_t>(got->full_bytes),
                got->from.address.octets(),
                got->from.port.number()
            };
        if (!must_wait(got.error()) || socket->non_blocking) co_await fail(got.error());
        co_await socket->changed.wait();
    }
}

async::Task<> Session::shutdown(api::ShutdownArguments a) {
    Socket* const socket = co_await find_live(a.socket);
    if (!socket->is_connection()) co_await fail(Err::not_connected);
    const net::SocketInfo info = co_await host_.stack().info(socket->id);
    if (info.state == net::tcp::State::closed) co_await fail(Err::not_connected);
    // Not to receive any more is between us and the application: what still comes is acknowledged.
    if (a.how != api::How::write) socket->read_shut = true;
    if (a.how != api::How::read) {
        co_await host_.stack().tcp_shutdown(socket->id, host_.now());
        socket->write_shut = true;
    }
    host_.touched();
    note_change(*socket);
    co_return {};
}

async::Task<> Session::close(api::CloseArguments a) {
    Socket* const socket = co_await find(a.socket);
    if (socket->live) std::ignore = let_go(*socket, socket->resets_at_close);
    drop(*socket);
    host_.touched();
    co_return {};
}

async::Task<> Session::abort(api::AbortArguments a) {
    Socket* const socket = co_await find(a.socket);
    drop(*socket);
    host_.touched();
    co_return {};
}

async::Task<api::NamesResult> Session::names(api::NamesArguments a) {
    Socket* const socket = co_await find(a.socket);
    net::Endpoint local = socket->local, remote = socket->remote;
    bool connected = !remote.port.is_any();
    if (socket->is_connection()) {
        const net::SocketInfo info = co_await host_.stack().info(socket->id);
        local = info.local;
        remote = info.remote;
        connected = info.state >= net::tcp::State::established;
    } else if (connected && local.address.is_any()) {
        local.address = host_.stack().address().address;
    }
    co_return api::NamesResult{
        connected,
        local.address.octets(),
        local.port.number(),
        remote.address.octets(),
        remote.port.number()
    };
}

async::Task<api::QueuesResult> Session::queues(api::QueuesArguments a) {
    Socket* const socket = co_await find(a.socket);
    if (socket->is_listener()) co_await fail(Err::bad_state);
    if (!socket->live) co_return api::QueuesResult{};
    if (!socket->is_stream()) {
        const auto next = host_.stack().udp_copy(socket->id, {});
        co_return api::QueuesResult{next ? static_cast<uint32_t>(next->full_bytes) : 0};
    }
    const net::SocketInfo info = co_await host_.stack().info(socket->id);
    co_return api::QueuesResult{info.receive_queue_bytes, info.send_queue_bytes};
}

} // namespace netd
