#include "usr/httpd/http.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "lib/base/pattern.hpp"

namespace {

void feed(http::Parser& parser, std::string_view text) {
    auto room = parser.room();
    ASSERT_LE(text.size(), room.size());
    std::memcpy(room.data(), text.data(), text.size());
    parser.received(text.size());
}

http::Parser::Outcome after(http::Parser& parser, std::string_view text) {
    feed(parser, text);
    return parser.next();
}

TEST(HttpParser, TakesAPlainGet) {
    http::Parser parser;
    auto got = after(parser, "GET /index.html?x=1 HTTP/1.1\r\nHost: skerry\r\n\r\n");
    ASSERT_TRUE(got.request);
    EXPECT_EQ(got.request->method, http::Method::get);
    EXPECT_EQ(got.request->path, "/index.html");
    EXPECT_TRUE(got.request->keep_alive);
}

TEST(HttpParser, WaitsForTheWholeHeadByteByByte) {
    const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    http::Parser parser;
    for (size_t i = 0; i + 1 < text.size(); ++i) {
        auto got = after(parser, text.substr(i, 1));
        EXPECT_FALSE(got.request || got.refusal) << i;
    }
    EXPECT_TRUE(after(parser, text.substr(text.size() - 1)).request);
}

TEST(HttpParser, AnswersPipelinedRequestsInOrder) {
    http::Parser parser;
    feed(parser, "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c");
    EXPECT_EQ(parser.next().request->path, "/a");
    parser.done();
    EXPECT_EQ(parser.next().request->path, "/b");
    parser.done();
    EXPECT_FALSE(parser.next().request);
    EXPECT_FALSE(parser.idle());
    EXPECT_EQ(after(parser, " HTTP/1.1\r\n\r\n").request->path, "/c");
    parser.done();
    EXPECT_TRUE(parser.idle());
}

TEST(HttpParser, ClosesWhenAskedOrWhenOldEnough) {
    http::Parser close, old, old_kept;
    EXPECT_FALSE(after(close, "GET / HTTP/1.1\r\nconnection:  Close \r\n\r\n").request->keep_alive);
    EXPECT_FALSE(after(old, "GET / HTTP/1.0\r\n\r\n").request->keep_alive);
    EXPECT_TRUE(
        after(old_kept, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").request->keep_alive
    );
}

TEST(HttpParser, SkipsEmptyLinesBeforeTheRequest) {
    http::Parser parser;
    EXPECT_TRUE(after(parser, "\r\n\r\nGET / HTTP/1.1\r\n\r\n").request);
}

struct Refused {
    const char* text;
    http::Refusal why;
};

class HttpRefusal : public testing::TestWithParam<Refused> {};

TEST_P(HttpRefusal, SaysWhichRule) {
    http::Parser parser;
    auto got = after(parser, GetParam().text);
    EXPECT_FALSE(got.request);
    EXPECT_EQ(got.refusal, GetParam().why);
}

INSTANTIATE_TEST_SUITE_P(
    All,
    HttpRefusal,
    testing::Values(
        Refused{"GET\r\n\r\n", http::Refusal::bad_request},
        Refused{"GET  HTTP/1.1\r\n\r\n", http::Refusal::bad_request},
        Refused{"GET relative HTTP/1.1\r\n\r\n", http::Refusal::bad_request},
        Refused{"GET /\x01 HTTP/1.1\r\n\r\n", http::Refusal::bad_request},
        Refused{"GET / FTP/1.1\r\n\r\n", http::Refusal::bad_request},
        Refused{"GET / HTTP/2.0\r\n\r\n", http::Refusal::version},
        Refused{"GET / HTTP/1.1\r\nno colon\r\n\r\n", http::Refusal::bad_request},
        Refused{"GET / HTTP/1.1\r\n: nameless\r\n\r\n", http::Refusal::bad_request},
        Refused{"GET / HTTP/1.1\r\nHost : a\r\n\r\n", http::Refusal::bad_request},
        Refused{"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", http::Refusal::not_implemented},
        Refused{
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", http::Refusal::not_implemented
        }
    )
);

TEST(HttpParser, RefusesAHeadThatDoesNotFit) {
    http::Parser parser;
    auto got = after(parser, std::string(http::Parser::head_limit, 'x'));
    EXPECT_EQ(got.refusal, http::Refusal::head_too_large);
    EXPECT_TRUE(parser.room().empty());
}

TEST(HttpHead, IsWholeOrEmptyText) {
    std::array<char, 256> out;
    EXPECT_EQ(
        http::write_head({200, "text/plain", 5, true}, out),
        "HTTP/1.1 200 OK\r\nServer: Skerry\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"
    );
    EXPECT_NE(
        http::write_head({404, "text/plain", 0, false}, out).find("Connection: close\r\n"),
        std::string_view::npos
    );
}

TEST(HttpPaths, ReadBytesWantedStrictly) {
    EXPECT_EQ(http::bytes_wanted("/bytes/0"), 0u);
    EXPECT_EQ(http::bytes_wanted("/bytes/67108864"), 67108864u);
    for (auto bad : {"/bytes/", "/bytes/-1", "/bytes/1x", "/bytes/99999999999999999999", "/byte/1"})
        EXPECT_FALSE(http::bytes_wanted(bad)) << bad;
}

TEST(Pattern, IsTheProductsBytes) {
    EXPECT_EQ(pattern_at(0), std::byte{0});
    const uint32_t word = 5u * 2654435761u;
    EXPECT_EQ(pattern_at(22), static_cast<std::byte>(word >> 16));
}

} // namespace
