#include "usr/httpd/connection.hpp"

#include <algorithm>

#include "lib/base/pattern.hpp"

namespace http {

namespace {

/// Writes an answer through one chunk: fills it, sends it when full.
class Answer {
  public:
    Answer(os::Stream& stream, const os::Network::Chunk& chunk) : stream_{stream}, chunk_{chunk} {}

    MutableBytes room() const { return chunk_.bytes().subspan(used_); }

    void wrote(size_t bytes) { used_ += static_cast<uint32_t>(bytes); }

    void head(const Head& head) { wrote(write_head(head, text_room(room())).size()); }

    async::Task<> flush() {
        if (used_ > 0) co_await stream_.send(chunk_, used_);
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
    uint32_t used_{};
};

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

} // namespace

async::Task<> serve_connection(os::Stream stream, Content& content) {
    os::Network& network = stream.network();
    Parser parser;
    const auto chunk = co_await network.chunk();
    for (;;) {
        const Parser::Outcome outcome = parser.next();
        if (outcome.request || outcome.refusal) {
            // The answer begins only when its request is whole: the chunk is free for it.
            Answer answer{stream, chunk};
            const bool goes_on = outcome.request && outcome.request->keep_alive;
            if (outcome.request)
                co_await answer_request(answer, *outcome.request, content, network);
            else
                co_await refuse(answer, static_cast<uint16_t>(*outcome.refusal), false, true);
            co_await answer.flush();
            content.served();
            if (!goes_on) co_return {};
            parser.done();
            continue;
        }
        const auto room = parser.room();
        const uint32_t got = co_await stream.receive(
            chunk, static_cast<uint32_t>(std::min<size_t>(room.size(), chunk.size()))
        );
        if (got == 0) co_return {};
        std::ranges::copy(chunk.bytes().first(got), room.begin());
        parser.received(got);
    }
}

} // namespace http
