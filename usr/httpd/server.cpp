#include "usr/httpd/server.hpp"

#include "lib/base/log.hpp"

namespace http {

Result<> Server::start(os::Network& network) {
    network_ = &network;
    if (const auto opened = site_.open_bundle(); !opened)
        log::warn("files of the bundle cannot be served: {}", opened.error());
    watchers_.emplace(network);
    TRY_VOID(loop_.spawn("changes of sockets", [&] { return watchers_->follow(); }));
    TRY_VOID(loop_.spawn("places", [&] { return keep_places_free(places_, network); }));
    return loop_.spawn("accept", [&] { return accept_all(); });
}

async::Task<> Server::serve(os::Stream stream) {
    // The peer may go at any moment: that is the end of a connection, not an error of ours.
    co_await async::result_of(stream.set_no_delay(true));
    co_await async::result_of(serve_connection(std::move(stream), site_, places_, *watchers_));
    co_return {};
}

async::Task<> Server::accept_all() {
    os::Listener listener = co_await os::Listener::open(*network_, {{}, 80}, 256);
    log::info("port 80 open");
    for (;;) {
        auto stream = co_await async::result_of(listener.accept());
        if (!stream && stream.error() == Err::peer_gone) co_await fail(stream.error());
        if (!stream) { // no memory, say: it comes back when connections end
            co_await loop_.sleep_for(milliseconds(20));
            continue;
        }
        const auto started = loop_.spawn("connection", [&] { return serve(std::move(*stream)); });
        if (!started) log::warn("connection closed: {}", started.error());
    }
}

} // namespace http
