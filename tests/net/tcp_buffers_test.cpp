// Buffers that grow with the path, and what happens when there is no memory for it.
#include "tests/net/tcp_script.hpp"

using namespace net;
using namespace bench;
using tcp::State;

namespace {

net::Config growing(size_t memory, uint32_t largest) {
    net::Config config = small_config();
    config.stream_buffer_bytes = largest;
    config.stream_memory_bytes = memory;
    return config;
}

} // namespace

struct TcpGrowing : TcpScript {
    TcpGrowing() : TcpScript{growing(8 << 20, 1 << 20)} {
        peer_options = {2, 4, 0x05, 0xb4, 1, 3, 3, 7};
    }

    /// A round trip in which the peer fills the window and the application reads all of it.
    void round(uint32_t& next, uint32_t window) {
        for (uint32_t done = 0; done + 1460 <= window; done += 1460, next += 1460) {
            receives(
                ". " + std::to_string(next) + ":" + std::to_string(next + 1460) + "(1460) ack 1"
            );
            if (done % 14600 == 0) EXPECT_GT(*read(), 0u);
        }
        (void)read();
        host.now = host.now + milliseconds(20);
        host.stack->advance(host.now);
        host.wire.sent.clear();
    }
};

TEST_F(TcpGrowing, AReaderThatKeepsUpIsOfferedMore) {
    connect();
    sends("S 0:0(0)");
    at(20); // the round trip
    receives("S. 0:0(0) ack 1");
    host.wire.sent.clear();
    uint32_t next = 1;
    EXPECT_LE(details().receive_window_bytes, 65536u);
    uint32_t last = 0;
    for (int i = 0; i < 12; ++i) {
        round(next, std::max(details().receive_window_bytes, 14600u));
        EXPECT_GE(details().receive_window_bytes + 16'384, last)
            << "the edge moves in steps, but not back";
        last = details().receive_window_bytes;
    }
    EXPECT_GT(last, 500'000u);
    EXPECT_LE(last, 1u << 20);
}

TEST_F(TcpGrowing, AReaderThatDoesNotIsNot) {
    connect();
    sends("S 0:0(0)");
    at(20);
    receives("S. 0:0(0) ack 1");
    host.wire.sent.clear();
    uint32_t next = 1;
    for (int i = 0; i < 12; ++i)
        round(next, 4380);
    EXPECT_LE(details().receive_window_bytes, 65536u);
}

TEST_F(TcpGrowing, TheSendBufferFollowsTheCongestionWindow) {
    establish("S 0:0(0)", ". 1:1(0) ack 1 win 60000");
    EXPECT_EQ(*write(500'000), 65'536u);
    for (int i = 0; i < 40; ++i) {
        host.wire.sent.clear();
        receives(
            ". 1:1(0) ack " +
            std::to_string(
                1 + written - 1 - details().send_queue_bytes + details().in_flight_bytes
            ) +
            " win 60000"
        );
        (void)write(1'000'000);
    }
    EXPECT_GT(details().send_queue_bytes, 200'000u);
    EXPECT_LE(details().send_queue_bytes, 1u << 20);
}

struct TcpScarce : TcpScript {
    TcpScarce() : TcpScript{growing(128 << 10, 64 << 10)} {}
};

TEST_F(TcpScarce, EveryConnectionKeepsItsSmallestBlockAndGoesOn) {
    listen();
    std::vector<SocketId> sockets;
    std::vector<uint32_t> firsts;
    for (int i = 0; i < 6; ++i, ++peer_port) {
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives(". 1:1(0) ack 1");
        accept();
        sockets.push_back(socket);
        firsts.push_back(our_first);
    }
    // 48 KiB are promised; the first takes most of the rest.
    socket = sockets[0];
    peer_port -= 6;
    our_first = firsts[0];
    uint32_t next = 1;
    while (host.drops(Drop::tcp_no_buffer) == 0 && next < 60'000) {
        receives(". " + std::to_string(next) + ":" + std::to_string(next + 1000) + "(1000) ack 1");
        next += 1000;
    }
    EXPECT_EQ(host.drops(Drop::tcp_no_buffer), 1u);
    const uint32_t acknowledged = details().receive_queue_bytes;
    EXPECT_GE(acknowledged, 32'000u);
    EXPECT_LT(acknowledged, 60'000u) << "what found no memory was not acknowledged";
    host.wire.sent.clear();
    // The others can still speak, by the little that they have.
    for (size_t i = 1; i < sockets.size(); ++i) {
        const auto taken =
            host.stack->tcp_send(sockets[i], view(pattern_octets(1, 9000)), host.now);
        EXPECT_GE(*taken, 4096u);
    }
    host.wire.sent.clear();
    // Reading makes room again, and the peer repeats what was dropped.
    EXPECT_EQ(*read(), acknowledged);
    next = 1 + acknowledged;
    for (int i = 0; i < 20; ++i, next += 1000) {
        receives(". " + std::to_string(next) + ":" + std::to_string(next + 1000) + "(1000) ack 1");
        EXPECT_EQ(*read(), 1000u);
    }
}

/// When memory is scarce, who has read everything gives back what his buffer had grown by: without
/// that there would be 16 KiB in one piece for the second.
TEST_F(TcpScarce, AnEmptyBufferIsGivenBackToWhoNeedsIt) {
    listen();
    for (const uint32_t bytes : {60'000u, 30'000u}) {
        was_read = 1;
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives(". 1:1(0) ack 1");
        accept();
        for (uint32_t next = 1; next < bytes; next += 1000) {
            receives(
                ". " + std::to_string(next) + ":" + std::to_string(next + 1000) + "(1000) ack 1"
            );
        }
        EXPECT_EQ(host.drops(Drop::tcp_no_buffer), 0u) << bytes;
        EXPECT_EQ(*read(), bytes);
        host.wire.sent.clear();
        ++peer_port;
    }
}

struct TcpTiny : TcpScript {
    TcpTiny() : TcpScript{growing(16 << 10, 16 << 10)} {}
};

TEST_F(TcpTiny, WithoutTheSmallestBlockNobodyIsLetIn) {
    listen(20);
    for (int i = 0; i < 2; ++i, ++peer_port) { // four blocks of 4 KiB
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives(". 1:1(0) ack 1");
        accept();
    }
    drops_one("S 0:0(0)", Drop::tcp_no_memory);
    silent();
    EXPECT_TRUE(host.stack->tcp_abort(socket, host.now));
    host.wire.sent.clear();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
}
