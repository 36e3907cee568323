#include "net/netd/raw.hpp"

#include <algorithm>
#include <tuple>

namespace netd::raw {

Server::Server(Host& host, MutableBytes area) : host_{host}, area_{area}, changed_{host.loop()} {}

Server::~Server() {
    for (const auto& socket : open_)
        if (socket) std::ignore = host_.stack().raw_close(*socket);
    changed_.fail(Err::cancelled);
    if (entered_) host_.leave(number_);
}

Result<> Server::enter() {
    number_ = TRY(host_.enter(*this));
    entered_ = true;
    return {};
}

/// A handle is the stack's own: it has a generation.
Result<net::SocketId> Server::find(uint32_t handle) const {
    const auto found = std::ranges::find(open_, std::optional{net::SocketId::from_bits(handle)});
    if (found == open_.end()) return fail(Err::not_found);
    return **found;
}

Result<MutableBytes> Server::room(uint32_t offset, uint32_t bytes) const {
    if (offset > area_.size() || bytes > area_.size() - offset) return fail(Err::range_bounds);
    return area_.subspan(offset, bytes);
}

async::Task<api::OpenResult> Server::open(api::OpenArguments a) {
    if (!entered_) co_await fail(Err::no_slots); // its events would go to another owner
    const auto free = std::ranges::find_if(open_, [](const auto& held) { return !held; });
    if (free == open_.end()) co_await fail(Err::no_slots);
    using Kind = net::RawFilter::Kind;
    const net::RawFilter filter{
        .kind = a.kind == api::Kind::ip ? Kind::ip : Kind::frame,
        .number = a.number,
        .link = net::LinkNumber{{a.link}}
    };
    *free = co_await host_.stack().raw_open(filter, Host::cookie(number_, 0));
    co_return api::OpenResult{(*free)->bits()};
}

async::Task<> Server::send(api::SendArguments a) {
    const Bytes data = co_await room(a.offset, a.bytes);
    for (;;) {
        const net::SocketId socket = co_await find(a.socket);
        const net::Ipv4Address to{a.to};
        const auto sent = host_.stack().raw_send(socket, to, data, host_.now());
        host_.touched();
        if (sent) co_return {};
        if (sent.error() != Err::no_space) co_await fail(sent.error());
        co_await changed_.wait();
    }
}

async::Task<api::ReceiveResult> Server::receive(api::ReceiveArguments a) {
    const MutableBytes into = co_await room(a.offset, a.bytes);
    for (;;) {
        const net::SocketId socket = co_await find(a.socket);
        const auto got = host_.stack().raw_receive(socket, into);
        if (got)
            co_return api::ReceiveResult{
                static_cast<uint32_t>(got->bytes),
                static_cast<uint32_t>(got->full_bytes),
                got->link.raw
            };
        if (got.error() != Err::would_block) co_await fail(got.error());
        co_await changed_.wait();
    }
}

async::Task<> Server::close(api::CloseArguments a) {
    const net::SocketId socket = co_await find(a.socket);
    std::ranges::find(open_, std::optional{socket})->reset();
    co_await host_.stack().raw_close(socket);
    changed_.notify(); // who waits finds that it is gone
    co_return {};
}

} // namespace netd::raw
