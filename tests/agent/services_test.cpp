// The test services with more connections than they have chunks for: nobody who is silent, and
// nobody who does not read, keeps the others waiting.
#include "usr/netsvc/services.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "lib/base/pattern.hpp"
#include "tests/netd/network_host.hpp"

namespace {

namespace api = interfaces::socket;

constexpr size_t chunks = 16;

struct NetServices : testing::Test, PeerHost {
    explicit NetServices(net::Config config = {.stream_buffer_bytes = 4096})
        : PeerHost{config, 1 << 20, chunks, 256} {
        EXPECT_TRUE(jobs[0].start(services.watchers.follow()));
        EXPECT_TRUE(jobs[1].start(services.tcp_echo()));
        EXPECT_TRUE(jobs[2].start(services.tcp_discard()));
        EXPECT_TRUE(jobs[3].start(services.tcp_pattern()));
        EXPECT_TRUE(jobs[4].start(services.tcp_checksum()));
        EXPECT_TRUE(jobs[5].start(services.tcp_line()));
        run.loop.run();
    }

    uint32_t send(uint32_t socket, uint32_t bytes) {
        const auto sent = after(peer.send({socket, 0, bytes}));
        return sent && *sent ? (*sent)->sent : 0;
    }

    uint32_t receive(uint32_t socket, uint32_t most) {
        const auto got = after(peer.receive({socket, 8192, most}));
        return got && *got ? (*got)->received : 0;
    }

    bool echoes(uint32_t socket, uint8_t value) {
        peer_area[0] = std::byte{value};
        return send(socket, 1) == 1 && receive(socket, 100) == 1 &&
               peer_area[8192] == std::byte{value};
    }

    netsvc::Services services{network, {}};
    std::array<Kept, 6> jobs;
};

TEST_F(NetServices, SilentConnectionsKeepNobodyWaiting) {
    std::vector<uint32_t> all;
    for (size_t i = 0; i < 3 * chunks; ++i)
        all.push_back(connected(7));
    for (size_t turn = 0; turn < 2; ++turn)
        for (size_t i = all.size(); i-- > 0;)
            EXPECT_TRUE(echoes(all[i], uint8_t(i))) << "connection " << i;
    for (const uint32_t socket : all) {
        EXPECT_TRUE(*after(peer.shutdown({socket, api::How::write})));
        const auto end = after(peer.receive({socket, 0, 10}));
        ASSERT_TRUE(end && *end);
        EXPECT_EQ((*end)->received, 0u) << "closed after the peer's FIN";
    }
}

TEST_F(NetServices, WhoDoesNotReadKeepsNobodyWaiting) {
    for (size_t i = 0; i < 2 * chunks; ++i) {
        const uint32_t socket = connected(7);
        EXPECT_TRUE(*after(peer.set_option({socket, api::Option::non_blocking, 1})));
        while (send(socket, 4096) != 0) {
        }
    }
    EXPECT_TRUE(echoes(connected(7), 9));
}

TEST_F(NetServices, ThePatternIsWholeForEachOfMany) {
    std::vector<uint32_t> all;
    for (size_t i = 0; i < 2 * chunks; ++i)
        all.push_back(connected(19));
    for (const uint32_t socket : all) {
        for (uint64_t at = 0; at < 30'000;) {
            const uint32_t got = receive(socket, 5000);
            ASSERT_NE(got, 0u);
            for (uint32_t i = 0; i < got; ++i)
                ASSERT_EQ(peer_area[8192 + i], std::byte{pattern_at(at + i)}) << at + i;
            at += got;
        }
        EXPECT_TRUE(*after(peer.close({socket})));
    }
    EXPECT_TRUE(echoes(connected(7), 1));
}

TEST_F(NetServices, EachOfManyGetsItsOwnSum) {
    std::vector<uint32_t> all;
    for (size_t i = 0; i < 2 * chunks; ++i)
        all.push_back(connected(5001));
    for (size_t i = 0; i < all.size(); ++i)
        EXPECT_EQ(send(all[i], uint32_t(i + 1)), i + 1);
    for (size_t i = 0; i < all.size(); ++i) {
        EXPECT_TRUE(*after(peer.shutdown({all[i], api::How::write})));
        const uint32_t got = receive(all[i], 100);
        const std::string text{text_room(peer_area).data() + 8192, got};
        EXPECT_TRUE(text.starts_with(std::to_string(i + 1) + " ")) << text;
    }
}

struct ScarceServices : NetServices {
    ScarceServices() : NetServices{{.stream_buffer_bytes = 4096, .stream_memory_bytes = 32768}} {}
};

/// Who has nothing to send it from for a while sends it later.
TEST_F(ScarceServices, AnAnswerWaitsUntilThereIsMemoryForIt) {
    for (size_t i = 0; i < 8; ++i)
        connected(7); // those that may wait in a call
    const uint32_t sum = connected(5001);
    EXPECT_EQ(send(sum, 5), 5u);
    std::vector<uint32_t> unread;
    for (size_t i = 0; i < 8; ++i)
        unread.push_back(connected(19));
    const uint32_t line = connected(13);
    EXPECT_TRUE(*after(peer.shutdown({sum, api::How::write})));
    for (const uint32_t socket : {line, sum}) {
        EXPECT_TRUE(*after(peer.set_option({socket, api::Option::non_blocking, 1})));
        EXPECT_EQ(receive(socket, 100), 0u) << "there was memory for it";
        EXPECT_TRUE(*after(peer.set_option({socket, api::Option::non_blocking, 0})));
    }
    for (const uint32_t socket : unread)
        EXPECT_TRUE(*after(peer.abort({socket})));
    uint32_t got = receive(line, 100);
    EXPECT_TRUE((std::string{text_room(peer_area).data() + 8192, got}.starts_with("Skerry")));
    got = receive(sum, 100);
    EXPECT_TRUE((std::string{text_room(peer_area).data() + 8192, got}.starts_with("5 ")));
}

} // namespace
