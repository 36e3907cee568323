// More connections than places: nobody who is silent, slow or does not read keeps the others
// waiting.
#include "usr/httpd/connection.hpp"

#include <gtest/gtest.h>

#include <list>
#include <string>
#include <vector>

#include "lib/base/pattern.hpp"
#include "tests/netd/network_host.hpp"

namespace {

namespace api = interfaces::socket;

constexpr size_t places_count = 4, chunks = 8;

class Page final : public http::Content {
  public:
    async::Task<std::string_view> overview(std::span<char>) override {
        co_return std::string_view{"overview"};
    }

    Result<Bytes> file(std::string_view) const override { return fail(Err::not_found); }

    void served() override { ++count; }

    unsigned count{};
};

struct HttpServer : testing::Test, PeerHost {
    HttpServer() : PeerHost{{.stream_buffer_bytes = 4096}, 1 << 20, chunks, 256} {
        EXPECT_TRUE(jobs[0].start(watchers.follow()));
        EXPECT_TRUE(jobs[1].start(accept_all()));
        EXPECT_TRUE(jobs[2].start(http::keep_places_free(places, network)));
        run.loop.run();
    }

    async::Task<> accept_all() {
        os::Listener listener = co_await os::Listener::open(network, {{}, 80}, 64);
        for (;;) {
            os::Stream stream = co_await listener.accept();
            co_await served.emplace_back().start(
                http::serve_connection(std::move(stream), page, places, watchers)
            );
        }
    }

    void say(uint32_t socket, std::string_view text) {
        std::ranges::copy(std::as_bytes(std::span{text}), peer_area.begin());
        const auto sent = after(peer.send({socket, 0, uint32_t(text.size())}));
        EXPECT_TRUE(sent && *sent && (*sent)->sent == text.size());
    }

    /// What comes until nothing more does.
    std::string heard(uint32_t socket, size_t most = 1 << 20) {
        std::string all;
        while (all.size() < most) {
            const auto got = after(peer.receive({socket, 8192, 16384}));
            if (!got || !*got || (*got)->received == 0) break;
            all.append(text_room(peer_area).data() + 8192, (*got)->received);
            if (all.ends_with("overview")) break;
        }
        return all;
    }

    bool gets_the_page(uint32_t socket) {
        say(socket, "GET / HTTP/1.1\r\n\r\n");
        const std::string answer = heard(socket);
        return answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\noverview");
    }

    Page page;
    http::Places places{run.loop, places_count};
    os::Watchers watchers{network};
    std::array<Kept, 3> jobs;
    std::list<Kept> served;
};

TEST_F(HttpServer, ManyKeepTheirConnections) {
    std::vector<uint32_t> all;
    for (size_t i = 0; i < 5 * places_count; ++i)
        all.push_back(connected(80));
    for (size_t turn = 0; turn < 3; ++turn)
        for (size_t i = 0; i < all.size(); ++i)
            EXPECT_TRUE(gets_the_page(all[i])) << "turn " << turn << ", connection " << i;
}

TEST_F(HttpServer, WhoIsSlowInARequestLosesItToAnother) {
    std::vector<uint32_t> slow;
    for (size_t i = 0; i < places_count; ++i) {
        slow.push_back(connected(80));
        say(slow.back(), "GET / HT");
    }
    const uint32_t late = connected(80);
    say(late, "GET / HTTP/1.1\r\n\r\n");
    EXPECT_EQ(heard(late), "") << "all places are taken, and for no longer than one may take";
    pass(http::Places::patience);
    EXPECT_TRUE(heard(late).ends_with("overview"));
    EXPECT_TRUE(heard(slow[0]).starts_with("HTTP/1.1 408 ")) << "who has waited longest";
    say(slow[1], "TP/1.1\r\n\r\n");
    EXPECT_TRUE(heard(slow[1]).ends_with("overview")) << "nobody else had to go";
}

TEST_F(HttpServer, WhoDoesNotReadLosesItsAnswerToAnother) {
    for (size_t i = 0; i < places_count; ++i)
        say(connected(80), "GET /bytes/1000000 HTTP/1.1\r\n\r\n");
    const uint32_t late = connected(80);
    say(late, "GET / HTTP/1.1\r\n\r\n");
    EXPECT_EQ(heard(late), "");
    pass(http::Places::patience);
    EXPECT_TRUE(heard(late).ends_with("overview"));
}

TEST_F(HttpServer, LongAnswersAreWholeWhenOthersComeAndGo) {
    const uint32_t reader = connected(80);
    say(reader, "GET /bytes/60000 HTTP/1.1\r\n\r\n");
    for (size_t i = 0; i < 2 * places_count; ++i)
        EXPECT_TRUE(gets_the_page(connected(80)));
    const std::string answer = heard(reader);
    const size_t head = answer.find("\r\n\r\n") + 4;
    ASSERT_EQ(answer.size() - head, 60000u);
    for (size_t i = 0; i < 60000; ++i)
        ASSERT_EQ(std::byte(answer[head + i]), std::byte{pattern_at(i)}) << i;
}

TEST_F(HttpServer, WhoSaysNothingForLongIsCutOff) {
    const uint32_t silent = connected(80);
    EXPECT_TRUE(gets_the_page(silent));
    for (size_t i = 0; i < places_count; ++i)
        EXPECT_TRUE(gets_the_page(connected(80))) << "the silent one leaves its place";
    pass(seconds(74));
    EXPECT_TRUE(gets_the_page(silent));
    for (size_t i = 0; i < places_count; ++i)
        EXPECT_TRUE(gets_the_page(connected(80)));
    pass(seconds(76));
    const auto end = after(peer.receive({silent, 0, 10}));
    ASSERT_TRUE(end && *end);
    EXPECT_EQ((*end)->received, 0u);
}

} // namespace
