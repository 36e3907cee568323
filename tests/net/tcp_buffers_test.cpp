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

TEST_F(TcpScarce, WhoFindsLessThanHeWantsIsToldOfThatAndGoesOn) {
    establish();
    const SocketId first = socket;
    EXPECT_EQ(*write(65'536), 65'536u);
    host.wire.sent.clear();
    ++peer_port;
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    receives(". 1:1(0) ack 1");
    accept();
    EXPECT_EQ(*host.stack->tcp_send(socket, view(pattern_octets(1, 9'000)), host.now), 9'000u);
    host.wire.sent.clear();
    // 48 KiB of 128 are left, of which 32 are not for what comes.
    uint32_t next = 1;
    while (host.drops(Drop::tcp_no_buffer) == 0 && next < 60'000) {
        receives(". " + std::to_string(next) + ":" + std::to_string(next + 1000) + "(1000) ack 1");
        next += 1000;
    }
    EXPECT_EQ(host.drops(Drop::tcp_no_buffer), 1u);
    const uint32_t acknowledged = details().receive_queue_bytes;
    EXPECT_GE(acknowledged, 7'000u);
    EXPECT_LT(acknowledged, 60'000u) << "what found no memory was not acknowledged";
    host.wire.sent.clear();
    // Reading makes room again, and the peer repeats what was dropped.
    was_read = 1;
    EXPECT_EQ(*read(), acknowledged);
    next = 1 + acknowledged;
    for (int i = 0; i < 20; ++i, next += 1000) {
        receives(". " + std::to_string(next) + ":" + std::to_string(next + 1000) + "(1000) ack 1");
        EXPECT_EQ(*read(), 1000u);
    }
    EXPECT_EQ(host.stack->tcp_info(first)->send_queue_bytes, 65'536u);
}

/// What is empty is kept as long as there is enough; who needs it then gets it, in one piece.
TEST_F(TcpScarce, AnEmptyBufferIsGivenToWhoNeedsIt) {
    listen();
    for (int i = 0; i < 4; ++i, ++peer_port) {
        was_read = 1;
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives(". 1:1(0) ack 1");
        accept();
        for (uint32_t next = 1; next < 60'000; next += 1000) {
            receives(
                ". " + std::to_string(next) + ":" + std::to_string(next + 1000) + "(1000) ack 1"
            );
        }
        EXPECT_EQ(host.drops(Drop::tcp_no_buffer), 0u);
        EXPECT_EQ(*read(), 60'000u);
        host.wire.sent.clear();
    }
}

/// Eight blocks of 2 KiB for as many connections as there are.
struct TcpTiny : TcpScript {
    static constexpr int connections = 40;

    static net::Config tiny() {
        net::Config config = growing(16 << 10, 16 << 10);
        config.connections = connections;
        return config;
    }

    struct One {
        SocketId socket;
        uint32_t our_first, written = 1, was_read = 1;
    };

    TcpTiny() : TcpScript{tiny()} {
        listen(connections);
        for (uint32_t i = 0; i < connections; ++i) {
            peer_port = first_port + i;
            receives("S 0:0(0)");
            sends("S. 0:0(0) ack 1");
            receives(". 1:1(0) ack 1");
            accept();
            all.push_back({socket, our_first});
        }
        host.heard.items.clear();
    }

    void use(size_t i) {
        peer_port = first_port + uint32_t(i);
        socket = all[i].socket;
        our_first = all[i].our_first;
        written = all[i].written;
        was_read = all[i].was_read;
    }

    void put_back(size_t i) {
        all[i].written = written;
        all[i].was_read = was_read;
    }

    bool told_writable(size_t i) const {
        return std::ranges::any_of(host.heard.items, [&](const auto& item) {
            return item.socket == all[i].socket && item.what.has(Event::writable);
        });
    }

    static constexpr uint32_t first_port = 5000;
    std::vector<One> all;
};

TEST_F(TcpTiny, WhoHoldsNothingNeedsNoMemory) {
    EXPECT_EQ(alive(), size_t{connections});
    // Each in turn is asked and answers, twice: what the others had is free again.
    for (int round = 0; round < 2; ++round) {
        for (size_t i = 0; i < all.size(); ++i) {
            use(i);
            const std::string at = std::to_string(was_read), end = std::to_string(was_read + 100);
            const std::string seen = std::to_string(written);
            receives("P. " + at + ":" + end + "(100) ack " + seen);
            ASSERT_EQ(*read(), 100u) << i;
            ASSERT_EQ(*write(100), 100u) << i;
            host.wire.sent.clear();
            receives(". " + end + ":" + end + "(0) ack " + std::to_string(written));
            put_back(i);
        }
    }
    EXPECT_EQ(host.drops(Drop::tcp_no_buffer), 0u);
}

TEST_F(TcpTiny, WhoCannotWriteIsToldWhenThereIsMemory) {
    for (size_t i = 0; i < 8; ++i) {
        use(i);
        ASSERT_EQ(*write(100), 100u);
        put_back(i);
    }
    for (const size_t i : {size_t{8}, size_t{9}, size_t{10}}) {
        use(i);
        EXPECT_EQ(write(100).error(), Err::would_block);
        EXPECT_FALSE(host.stack->ready(socket)->has(Event::writable));
    }
    use(9);
    close(); // it has gone while it waited
    host.wire.sent.clear();
    host.heard.items.clear();
    for (size_t i = 0; i < 2; ++i) {
        use(i);
        receives(". 1:1(0) ack 101");
        EXPECT_EQ(told_writable(8), true);
        EXPECT_EQ(told_writable(10), i == 1);
    }
    for (const size_t i : {size_t{8}, size_t{10}}) {
        use(i);
        EXPECT_EQ(*write(100), 100u);
    }
}

/// It is not acknowledged, and taken when it comes again. One of the eight is for answers.
TEST_F(TcpTiny, DataThatFindNoMemoryAreAsIfTheyWereLost) {
    for (size_t i = 0; i < 7; ++i) {
        use(i);
        receives("P. 1:101(100) ack 1");
        sends("nothing");
    }
    use(8);
    drops_one("P. 1:101(100) ack 1", Drop::tcp_no_buffer);
    sends(". 1:1(0) ack 1");
    use(3);
    EXPECT_EQ(*read(), 100u);
    use(8);
    receives("P. 1:101(100) ack 1");
    EXPECT_EQ(*read(), 100u);
}

/// Who answers before it has read finds room for the answer, whatever else has come.
TEST_F(TcpTiny, WhatHasComeLeavesRoomForAnswers) {
    size_t came = 0;
    while (host.drops(Drop::tcp_no_buffer) == 0) {
        ASSERT_LT(came, all.size());
        use(came++);
        receives("P. 1:101(100) ack 1");
    }
    host.wire.sent.clear();
    for (size_t i = 0; i < came - 1; ++i) {
        use(i);
        ASSERT_EQ(*write(100), 100u) << i;
        ASSERT_EQ(*read(), 100u);
        receives(". 101:101(0) ack 101");
    }
}

/// Peers that do not read hold no more than the first piece each of the last quarter.
TEST_F(TcpTiny, WhoDoesNotReadLeavesSomeForOthers) {
    for (size_t i = 0; i < 2; ++i) {
        use(i);
        (void)write(16'000);
    }
    host.wire.sent.clear();
    use(5);
    receives("P. 1:101(100) ack 1");
    EXPECT_EQ(*read(), 100u);
    EXPECT_EQ(*write(100), 100u);
}

/// A byte far ahead takes a large piece: it goes first when others need it, and comes again.
TEST_F(TcpTiny, WhatCameEarlyYieldsToWhatComesInOrder) {
    use(0);
    receives("P. 8001:8002(1) ack 1");
    EXPECT_EQ(host.stack->counters().tcp_bytes_held, 8192u);
    host.wire.sent.clear();
    for (size_t i = 1; i < 6; ++i) {
        use(i);
        receives("P. 1:101(100) ack 1");
    }
    EXPECT_EQ(host.drops(Drop::tcp_no_buffer), 0u);
    use(0);
    receives(". 1:1001(1000) ack 1");
    EXPECT_EQ(*read(), 1000u);
    drops_one("P. 8001:8002(1) ack 1", Drop::tcp_no_buffer); // memory is short
    EXPECT_EQ(details().receive_queue_bytes, 0u);
}

/// What was offered counts (RFC 9293 3.10.7.4), whatever has become of the memory for it.
TEST_F(TcpTiny, AWindowThatClosedForWantOfMemoryStillHearsTheAck) {
    for (size_t i = 1; i < 7; ++i) {
        use(i);
        receives("P. 1:101(100) ack 1");
    }
    use(0);
    ASSERT_EQ(*write(100), 100u);
    receives("P. 1:1461(1460) ack 1");
    receives("P. 1461:2921(1460) ack 1");
    receives(". 9001:9001(0) ack 101");
    EXPECT_EQ(details().in_flight_bytes, 0u) << "the bare acknowledgement was refused";
}

/// A connection that is over keeps nothing to send, even if its owner still has the handle.
TEST_F(TcpTiny, WhatWasToBeSentGoesWithTheConnection) {
    use(0);
    ASSERT_EQ(*write(100), 100u);
    receives("R 1:1(0)");
    EXPECT_EQ(host.stack->counters().tcp_bytes_held, 0u);
}

/// An end alone needs no memory, and a peer may say of it what it likes.
TEST_F(TcpTiny, AnEndNeedsNoMemoryEvenWhenItIsReportedOutOfOrder) {
    peer_options = {2, 4, 0x05, 0xb4, 1, 1, 4, 2};
    host.stack->tcp_abort(all.back().socket, host.now);
    host.wire.sent.clear();
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    receives(". 1:1(0) ack 1");
    accept();
    for (size_t i = 0; i < 8; ++i)
        ASSERT_TRUE(host.stack->tcp_send(all[i].socket, view(pattern_octets(1, 100)), host.now));
    host.wire.sent.clear();
    shutdown();
    sends("F. 1:1(0) ack 1");
    receives(". 1:1(0) ack 1 sack 1:2");
    receives(". 1:1(0) ack 2");
    EXPECT_EQ(state(), State::fin_wait_2);
    use(0);
    receives(". 1:1(0) ack 101");
    EXPECT_EQ(host.stack->tcp_info(socket)->send_queue_bytes, 0u);
}
