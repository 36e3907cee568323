#include "usr/httpd/connection.hpp"

#include <algorithm>
#include <optional>

#include "lib/base/pattern.hpp"

namespace http {

namespace {

using os::socket_api::Option;

/// Calls wait again: it was asked to leave, but has something to do.
async::Task<> may_wait(os::Stream& stream) {
    auto& client = stream.network().client();
    co_await client.set_option(stream.handle(), Option::non_blocking, 0);
    co_return {};
}

/// Writes an answer through one chunk: fills it, sends it when full.
class Answer {
  public:
    Answer(
        os::Stream& stream,
        const os::Network::Chunk& chunk,
        Places& places,
        Places::Wait::In in = Places::Wait::In::request
    )
        : stream_{stream}, chunk_{chunk}, places_{places}, in_{in} {}

    MutableBytes room() const { return chunk_.bytes().subspan(used_); }

    void wrote(size_t bytes) { used_ += static_cast<uint32_t>(bytes); }

    void head(const Head& head) { wrote(write_head(head, text_room(room())).size()); }

    async::Task<> flush() {
        if (used_ == 0) co_return {};
        const Places::Wait wait{places_, stream_.handle(), in_};
        co_await stream_.send(chunk_, used_);
        if (wait.asked()) co_await may_wait(stream_);
        used_ = 0;
        co_return {};
    }

    async::Task<> body(Bytes bytes) {
        while (!bytes.empty()) {
            if (room().empty()) co_await flush();
            const size_t n = std::min(bytes.size(), room().size());
            std::ranges::copy(bytes.first(n), room().begin());
            wrote(n);
            bytes = bytes.subspan(n);
        }
        co_return {};
    }

    async::Task<> pattern(uint64_t bytes) {
        for (uint64_t at = 0; at < bytes;) {
            if (room().empty()) co_await flush();
            const size_t n = static_cast<size_t>(std::min<uint64_t>(bytes - at, room().size()));
            fill_pattern(room().first(n), at);
            wrote(n);
            at += n;
        }
        co_return {};
    }

  private:
    os::Stream& stream_;
    const os::Network::Chunk& chunk_;
    Places& places_;
    Places::Wait::In in_;
    uint32_t used_{};
};

constexpr uint16_t request_timeout = 408;
constexpr Duration idle_patience = seconds(75);

constexpr std::string_view plain = "text/plain; charset=utf-8";

async::Task<> refuse(Answer& answer, uint16_t status, bool keep_alive, bool with_body) {
    const std::string_view text = reason(status);
    answer.head({status, plain, text.size() + 1, keep_alive});
    if (with_body) {
        co_await answer.body(std::as_bytes(std::span{text}));
        co_await answer.body(std::as_bytes(std::span{"\n", 1}));
    }
    co_return {};
}

/// The page is made into the same chunk that it is sent from, behind room for the head.
async::Task<> answer_overview(
    Answer& answer, Content& content, bool keep_alive, bool with_body, os::Network& network
) {
    const auto page = co_await network.chunk();
    const std::string_view text = co_await content.overview(text_room(page.bytes()));
    answer.head({200, "text/html; charset=utf-8", text.size(), keep_alive});
    if (with_body) co_await answer.body(std::as_bytes(std::span{text}));
    co_return {};
}

async::Task<>
answer_request(Answer& answer, Request request, Content& content, os::Network& network) {
    const bool with_body = request.method == Method::get;
    if (request.method == Method::other)
        co_return co_await async::result_of(refuse(answer, 405, request.keep_alive, true));
    if (request.path == "/")
        co_return co_await async::result_of(
            answer_overview(answer, content, request.keep_alive, with_body, network)
        );
    if (const auto bytes = bytes_wanted(request.path)) {
        answer.head({200, "application/octet-stream", *bytes, request.keep_alive});
        if (with_body) co_await answer.pattern(*bytes);
        co_return {};
    }
    const auto file = content.file(request.path);
    if (!file)
        co_return co_await async::result_of(refuse(answer, 404, request.keep_alive, with_body));
    answer.head({200, content_type_of(request.path), file->size(), request.keep_alive});
    if (with_body) co_await answer.body(*file);
    co_return {};
}

/// Leaves with would_block when somebody else needs the place.
async::Task<uint32_t> received(
    os::Stream& stream,
    const os::Network::Chunk& chunk,
    uint32_t most,
    const Parser& parser,
    Places& places
) {
    using In = Places::Wait::In;
    const Places::Wait wait{places, stream.handle(), parser.idle() ? In::between : In::request};
    const uint32_t got = co_await stream.receive(chunk, most);
    if (wait.asked()) co_await may_wait(stream);
    co_return got;
}

} // namespace

async::Task<Left> serve_requests(os::Stream& stream, Content& content, Places& places) {
    os::Network& network = stream.network();
    Parser parser;
    const auto chunk = co_await network.chunk();
    for (;;) {
        const Parser::Outcome outcome = parser.next();
        if (outcome.request || outcome.refusal) {
            // The answer begins only when its request is whole: the chunk is free for it.
            Answer answer{stream, chunk, places};
            const bool goes_on = outcome.request && outcome.request->keep_alive;
            if (outcome.request)
                co_await answer_request(answer, *outcome.request, content, network);
            else
                co_await refuse(answer, static_cast<uint16_t>(*outcome.refusal), false, true);
            co_await answer.flush();
            content.served();
            if (!goes_on) co_return Left::ended;
            parser.done();
            continue;
        }
        if (parser.idle() && places.wanted()) co_return Left::idle;
        const auto room = parser.room();
        const auto most = static_cast<uint32_t>(std::min<size_t>(room.size(), chunk.size()));
        const auto got = co_await async::result_of(received(stream, chunk, most, parser, places));
        if (!got && got.error() == Err::would_block && parser.idle()) co_return Left::idle;
        if (!got && got.error() == Err::would_block) {
            Answer answer{stream, chunk, places, Places::Wait::In::leaving};
            co_await refuse(answer, request_timeout, false, true);
            co_await answer.flush();
            co_return Left::ended;
        }
        if (co_await got == 0) co_return Left::ended;
        std::ranges::copy(chunk.bytes().first(*got), room.begin());
        parser.received(*got);
    }
}

async::Task<>
serve_connection(os::Stream stream, Content& content, Places& places, os::Watchers& watchers) {
    std::optional<os::Watched> watched;
    for (;;) {
        {
            const auto place = co_await places.enter();
            if (co_await serve_requests(stream, content, places) == Left::ended) co_return {};
        }
        if (!watched) watched.emplace(watchers, stream);
        co_await watched->begin();
        const Instant deadline = stream.network().loop().now() + idle_patience;
        do
            co_await watched->changed_until(deadline);
        while ((watched->ready() & os::socket_api::READABLE) == 0);
        co_await watched->end();
    }
}

async::Task<> keep_places_free(Places& places, os::Network& network) {
    for (;;) {
        const uint32_t socket = co_await places.next_to_leave();
        // It may have gone in the meantime.
        co_await async::result_of(network.client().set_option(socket, Option::non_blocking, 1));
    }
}

} // namespace http
