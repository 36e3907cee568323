#include "net/netd/session.hpp"

#include <algorithm>
#include <tuple>

namespace netd {

namespace {

net::Endpoint endpoint_of(const std::array<uint8_t, 4>& octets, uint16_t port) {
    return {net::Ipv4Address{octets}, net::Port{port}};
}

/// The peer's orderly end is not an error of `receive`.
bool is_end(const Result<size_t>& got) {
    return !got && got.error() == Err::end_of_file;
}

bool must_wait(Fault fault) {
    return fault == Err::would_block;
}

} // namespace

Session::Session(Host& host, MutableBytes area)
    : host_{host}, area_{area}, socket_freed_{host.loop()} {}

Result<> Session::enter() {
    number_ = TRY(host_.enter(*this));
    entered_ = true;
    return {};
}

Session::~Session() {
    for (auto& socket : sockets_)
        if (socket) drop(*socket);
    socket_freed_.fail(Err::peer_gone);
    if (entered_) host_.leave(number_);
    host_.touched();
}

uint32_t Session::handle_of(const Socket& socket) const {
    return uint32_t{generations_[socket.index]} << 16 | socket.index;
}

uint64_t Session::cookie_of(const Socket& socket) const {
    return Host::cookie(number_, socket.index);
}

Result<Session::Socket*> Session::find(uint32_t handle) {
    const uint32_t index = handle & 0xffff;
    if (index >= sockets_max || !sockets_[index]) return fail(Err::not_found);
    if (generations_[index] != handle >> 16) return fail(Err::not_found);
    return &*sockets_[index];
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
    const auto free = std::ranges::find_if(sockets_, [](const auto& s) { return !s; });
    if (free == sockets_.end()) return fail(Err::no_slots);
    const auto index = static_cast<uint16_t>(free - sockets_.begin());
    free->emplace(host_.loop(), index, kind);
    return &**free;
}

/// The handle ends here; the requests that wait on it leave with `cancelled`.
void Session::drop(Socket& socket) {
    const uint16_t index = socket.index;
    if (socket.live) std::ignore = let_go(socket, true);
    socket.changed.fail(Err::cancelled);
    ++generations_[index];
    sockets_[index].reset();
    socket_freed_.notify();
}

Result<> Session::let_go(Socket& socket, bool reset) {
    socket.live = false;
    if (socket.kind == api::Kind::datagram) return host_.stack().udp_close(socket.id);
    if (reset) return host_.stack().tcp_abort(socket.id, host_.now());
    return host_.stack().tcp_close(socket.id, host_.now());
}

void Session::socket_event(uint16_t index, net::EventSet) {
    if (index < sockets_max && sockets_[index]) sockets_[index]->changed.notify();
}

async::Task<api::OpenResult> Session::open(api::OpenArguments a) {
    Socket* const socket = co_await make(a.kind);
    co_return api::OpenResult{handle_of(*socket)};
}

async::Task<api::BindResult> Session::bind(api::BindArguments a) {
    Socket* const socket = co_await find(a.socket);
    if (socket->live) co_await fail(Err::bad_state);
    socket->local = endpoint_of(a.address, a.port);
    if (socket->kind == api::Kind::stream) co_return api::BindResult{a.port};
    co_await make_datagram(*socket);
    const net::SocketInfo info = co_await host_.stack().info(socket->id);
    co_return api::BindResult{info.local.port.number()};
}

Result<> Session::make_datagram(Socket& socket) {
    if (socket.live) return {};
    socket.id = TRY(host_.stack().udp_bind(socket.local, cookie_of(socket)));
    socket.live = true;
    return {};
}

async::Task<> Session::listen(api::ListenArguments a) {
    Socket* const socket = co_await find(a.socket);
    if (socket->live || socket->kind != api::Kind::stream) co_await fail(Err::bad_state);
    const auto backlog = static_cast<uint16_t>(std::clamp<uint32_t>(a.backlog, 1, 1024));
    socket->id = co_await host_.stack().tcp_listen(socket->local, backlog, cookie_of(*socket));
    socket->live = true;
    co_return {};
}

/// A connection is taken from the stack only when it can be named: the others wait in the stack's
/// queue, where the peer sees a full backlog and not a reset.
async::Task<api::AcceptResult> Session::accept(api::AcceptArguments a) {
    for (;;) {
        Socket* const listener = co_await find_live(a.socket);
        if (listener->kind != api::Kind::stream) co_await fail(Err::bad_state);
        const net::EventSet ready = co_await host_.stack().ready(listener->id);
        if (!ready.has(net::Event::acceptable)) {
            co_await listener->changed.wait();
            continue;
        }
        const Result<Socket*> made = make(api::Kind::stream);
        if (!made) {
            co_await socket_freed_.wait();
            continue;
        }
        co_return co_await accept_into(**made, listener->id);
    }
}

Result<api::AcceptResult> Session::accept_into(Socket& socket, net::SocketId listener) {
    const auto got = host_.stack().tcp_accept(listener, cookie_of(socket));
    if (!got) {
        drop(socket);
        return fail(got.error());
    }
    socket.id = *got;
    socket.live = true;
    const net::SocketInfo info = TRY(host_.stack().info(socket.id));
    return api::AcceptResult{
        handle_of(socket), info.remote.address.octets(), info.remote.port.number()
    };
}

async::Task<> Session::connect(api::ConnectArguments a) {
    Socket* const socket = co_await find(a.socket);
    if (socket->live || socket->kind != api::Kind::stream) co_await fail(Err::bad_state);
    socket->id = co_await host_.stack().tcp_connect(
        endpoint_of(a.address, a.port), socket->local, cookie_of(*socket), host_.now()
    );
    socket->live = true;
    host_.touched();
    co_await apply_options(*socket);
    for (;;) {
        const net::EventSet ready = co_await host_.stack().ready(socket->id);
        const Err error = co_await host_.stack().take_error(socket->id);
        if (error != Err::none) co_await fail(error);
        if (ready.has(net::Event::closed)) co_await fail(Err::connection_reset);
        const net::SocketInfo info = co_await host_.stack().info(socket->id);
        if (info.state >= net::tcp::State::established) co_return {};
        co_await socket->changed.wait();
    }
}

async::Task<api::SendResult> Session::send(api::SendArguments a) {
    const Bytes data = co_await room(a.offset, a.bytes);
    for (;;) {
        Socket* const socket = co_await find_live(a.socket);
        if (socket->kind != api::Kind::stream) co_await fail(Err::bad_state);
        const Result<size_t> sent = host_.stack().tcp_send(socket->id, data, host_.now());
        host_.touched();
        if (sent) co_return api::SendResult{static_cast<uint32_t>(*sent)};
        if (!must_wait(sent.error())) co_await fail(sent.error());
        co_await socket->changed.wait();
    }
}

async::Task<api::ReceiveResult> Session::receive(api::ReceiveArguments a) {
    const MutableBytes into = co_await room(a.offset, a.bytes);
    if (into.empty()) co_await fail(Err::bad_argument);
    for (;;) {
        Socket* const socket = co_await find_live(a.socket);
        if (socket->kind != api::Kind::stream) co_await fail(Err::bad_state);
        const Result<size_t> got = host_.stack().tcp_receive(socket->id, into, host_.now());
        host_.touched();
        if (got) co_return api::ReceiveResult{static_cast<uint32_t>(*got)};
        if (is_end(got)) co_return api::ReceiveResult{0};
        if (!must_wait(got.error())) co_await fail(got.error());
        co_await socket->changed.wait();
    }
}

async::Task<> Session::send_to(api::SendToArguments a) {
    const Bytes data = co_await room(a.offset, a.bytes);
    for (;;) {
        Socket* const socket = co_await find(a.socket);
        if (socket->kind != api::Kind::datagram) co_await fail(Err::bad_state);
        co_await make_datagram(*socket);
        const auto sent = host_.stack().udp_send_to(
            socket->id, endpoint_of(a.address, a.port), data, host_.now()
        );
        host_.touched();
        if (sent) co_return {};
        if (sent.error() != Err::no_space) co_await fail(sent.error());
        co_await socket->changed.wait();
    }
}

async::Task<api::ReceiveFromResult> Session::receive_from(api::ReceiveFromArguments a) {
    const MutableBytes into = co_await room(a.offset, a.bytes);
    for (;;) {
        Socket* const socket = co_await find_live(a.socket);
        if (socket->kind != api::Kind::datagram) co_await fail(Err::bad_state);
        const auto got = host_.stack().udp_receive_from(socket->id, into);
        if (got)
            co_return api::ReceiveFromResult{
                static_cast<uint32_t>(got->bytes),
                static_cast<uint32_t>(got->full_bytes),
                got->from.address.octets(),
                got->from.port.number()
            };
        if (!must_wait(got.error())) co_await fail(got.error());
        co_await socket->changed.wait();
    }
}

async::Task<> Session::shutdown(api::ShutdownArguments a) {
    Socket* const socket = co_await find_live(a.socket);
    if (socket->kind != api::Kind::stream) co_await fail(Err::bad_state);
    // Not to receive any more is the application's own affair: what still comes is its to ignore.
    if (a.how != api::How::read) co_await host_.stack().tcp_shutdown(socket->id, host_.now());
    host_.touched();
    co_return {};
}

async::Task<> Session::close(api::CloseArguments a) {
    Socket* const socket = co_await find(a.socket);
    if (socket->live) std::ignore = let_go(*socket, false);
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

Result<> Session::apply_options(const Socket& socket) {
    net::Stack& stack = host_.stack();
    TRY_VOID(stack.tcp_set_no_delay(socket.id, socket.no_delay, host_.now()));
    TRY_VOID(stack.tcp_set_keep_alive(socket.id, seconds(socket.keep_alive_seconds), host_.now()));
    return stack.tcp_set_user_timeout(socket.id, seconds(socket.user_timeout_seconds));
}

async::Task<> Session::set_option(api::SetOptionArguments a) {
    Socket* const socket = co_await find(a.socket);
    if (socket->kind != api::Kind::stream) co_await fail(Err::bad_state);
    switch (a.option) {
    case api::Option::no_delay: socket->no_delay = a.value != 0; break;
    case api::Option::keep_alive: socket->keep_alive_seconds = a.value; break;
    case api::Option::user_timeout: socket->user_timeout_seconds = a.value; break;
    default: co_await fail(Err::unsupported);
    }
    if (socket->live) co_await apply_options(*socket);
    host_.touched();
    co_return {};
}

async::Task<api::NamesResult> Session::names(api::NamesArguments a) {
    Socket* const socket = co_await find_live(a.socket);
    const net::SocketInfo info = co_await host_.stack().info(socket->id);
    co_return api::NamesResult{
        info.local.address.octets(),
        info.local.port.number(),
        info.remote.address.octets(),
        info.remote.port.number()
    };
}

} // namespace netd
