// BSD's sockets on a real stack behind a real channel; the program talks to itself over loopback.
#include "lib/bsd/sockets.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "lib/bsd/errors.hpp"
#include "tests/netd/network_host.hpp"

namespace {

using namespace bsd;

constexpr os::SocketAddress own{{10, 77, 0, 2}, 80};

struct BsdSockets : testing::Test, NetworkHost {
    BsdSockets() : NetworkHost{{.datagram_sockets = 8}, 1 << 20, 8, 64} {}

    template <class T>
    static async::Task<> keep(async::Task<T> task, std::optional<Result<T>>& into) {
        into.emplace(co_await async::result_of(std::move(task)));
        co_return {};
    }

    /// What the call answers; it must not wait for anybody but the stack.
    template <class T>
    Result<T> of(async::Task<T> task) {
        std::optional<Result<T>> result;
        Kept job;
        EXPECT_TRUE(job.start(keep(std::move(task), result)));
        run.waiter.idle = [&] { run.loop.stop(); };
        for (int i = 0; i < 50 && !result; ++i) {
            Kept stop;
            EXPECT_TRUE(stop.start(stop_soon()));
            run.loop.run();
        }
        if (!result) return fail(Err::timed_out);
        return std::move(*result);
    }

    async::Task<> stop_soon() {
        co_await run.loop.sleep_for(milliseconds(20));
        run.loop.stop();
        co_return {};
    }

    template <class T>
    uint16_t number_of(async::Task<T> task) {
        const auto result = of(std::move(task));
        return result ? 0 : word_of(result.error().top()).number;
    }

    struct Pair {
        int listener, client, server;
    };

    Pair connected() {
        Pair pair{};
        pair.listener = *of(sockets.socket(AF_INET, SOCK_STREAM, 0));
        EXPECT_TRUE(of(sockets.bind(pair.listener, own)));
        EXPECT_TRUE(of(sockets.listen(pair.listener, 5)));
        pair.client = *of(sockets.socket(AF_INET, SOCK_STREAM, IPPROTO_TCP));
        EXPECT_TRUE(of(sockets.connect(pair.client, own)));
        pair.server = of(sockets.accept(pair.listener, 0))->fd;
        return pair;
    }

    uint32_t send(int fd, std::string_view text, int flags = 0) {
        const auto sent = of(sockets.send(fd, std::as_bytes(std::span{text}), flags));
        return sent ? *sent : 0;
    }

    std::string receive(int fd, size_t most, int flags = 0) {
        std::string text(most, '?');
        const auto got = of(sockets.receive(fd, std::as_writable_bytes(std::span{text}), flags));
        return got ? text.substr(0, got->bytes)
                   : "error " + std::to_string(word_of(got.error().top()).number);
    }

    short ready(int fd, short events) {
        pollfd file{fd, events, 0};
        EXPECT_TRUE(of(sockets.poll(std::span{&file, 1}, 0)));
        return file.revents;
    }

    Sockets sockets{network};
};

TEST_F(BsdSockets, RefusesWhatIsNoSocket) {
    EXPECT_EQ(number_of(sockets.socket(AF_INET6, SOCK_STREAM, 0)), 97);
    EXPECT_EQ(number_of(sockets.socket(AF_INET, 3, 0)), 22);
    EXPECT_EQ(number_of(sockets.socket(AF_INET, SOCK_STREAM, IPPROTO_UDP)), 22);
    for (const int fd : {-1, 0, 3, 99'999}) {
        EXPECT_EQ(number_of(sockets.bind(fd, own)), 9) << fd;
        EXPECT_EQ(number_of(sockets.close(fd)), 9) << fd;
        EXPECT_EQ(number_of(sockets.send(fd, {}, 0)), 9) << fd;
    }
    EXPECT_EQ(*of(sockets.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), 3);
    EXPECT_TRUE(of(sockets.close(3)));
    EXPECT_EQ(number_of(sockets.close(3)), 9);
    EXPECT_EQ(*of(sockets.socket(AF_INET, SOCK_DGRAM, 0)), 3) << "the lowest that is free";
}

TEST_F(BsdSockets, CarriesAStreamBothWaysToItsEnd) {
    const auto [listener, client, server] = connected();
    EXPECT_EQ(send(client, "hello"), 5u);
    EXPECT_EQ(receive(server, 2, MSG_PEEK), "he");
    EXPECT_EQ(*of(sockets.waiting_bytes(server)), 5u);
    EXPECT_EQ(receive(server, 100), "hello");
    EXPECT_EQ(send(server, "world"), 5u);
    EXPECT_EQ(receive(client, 3), "wor");
    EXPECT_EQ(receive(client, 100), "ld");
    EXPECT_TRUE(of(sockets.shutdown(client, SHUT_WR)));
    EXPECT_EQ(receive(server, 100), "");
    EXPECT_EQ(number_of(sockets.shutdown(client, 3)), 22);
    EXPECT_TRUE(of(sockets.close(server)));
    EXPECT_EQ(receive(client, 100), "");
}

TEST_F(BsdSockets, ALongSendIsTakenWhole) {
    const auto [listener, client, server] = connected();
    const std::string data(150'000, 'x'); // more than a chunk
    uint32_t got = 0;
    Kept job;
    std::optional<Result<uint32_t>> sent;
    ASSERT_TRUE(job.start(keep(sockets.send(client, std::as_bytes(std::span{data}), 0), sent)));
    while (got < data.size()) {
        const std::string part = receive(server, 100'000);
        ASSERT_FALSE(part.empty());
        got += uint32_t(part.size());
    }
    run.loop.run();
    ASSERT_TRUE(sent && *sent);
    EXPECT_EQ(**sent, data.size());
}

TEST_F(BsdSockets, WhoDoesNotWaitIsToldSo) {
    const auto [listener, client, server] = connected();
    EXPECT_EQ(receive(server, 10, MSG_DONTWAIT), "error 11");
    EXPECT_TRUE(sockets.set_non_blocking(server, true));
    EXPECT_EQ(receive(server, 10), "error 11");
    EXPECT_EQ(send(client, "x"), 1u);
    EXPECT_EQ(receive(server, 10), "x");
    const std::string much(1 << 20, 'y');
    const uint32_t taken = send(client, much, MSG_DONTWAIT);
    EXPECT_GT(taken, 0u);
    EXPECT_LT(taken, much.size());
    EXPECT_TRUE(sockets.set_non_blocking(client, true));
    uint16_t error = 0;
    while (ready(client, POLLIN | POLLOUT) != 0 || error == 0)
        error = number_of(sockets.send(client, std::as_bytes(std::span{much}), 0));
    EXPECT_EQ(error, 11);
}

TEST_F(BsdSockets, AnAcceptedOneWaitsUnlessAskedNotTo) {
    const auto [listener, client, server] = connected();
    EXPECT_TRUE(sockets.set_non_blocking(listener, true));
    EXPECT_EQ(number_of(sockets.accept(listener, 0)), 11);
    for (const int flags : {0, int{SOCK_NONBLOCK}}) {
        const int other = *of(sockets.socket(AF_INET, SOCK_STREAM, 0));
        EXPECT_TRUE(of(sockets.connect(other, own)));
        const auto accepted = of(sockets.accept(listener, flags));
        ASSERT_TRUE(accepted);
        EXPECT_EQ(accepted->from.ip, own.ip);
        EXPECT_EQ(*sockets.non_blocking(accepted->fd), flags != 0);
        if (flags != 0) EXPECT_EQ(receive(accepted->fd, 1), "error 11");
    }
    EXPECT_EQ(number_of(sockets.accept(listener, 1)), 22);
}

TEST_F(BsdSockets, PollSaysWhatCanBeDone) {
    const auto [listener, client, server] = connected();
    EXPECT_EQ(ready(server, POLLIN | POLLOUT), POLLOUT);
    EXPECT_EQ(send(client, "x"), 1u);
    EXPECT_EQ(ready(server, POLLIN | POLLOUT), POLLIN | POLLOUT);
    EXPECT_EQ(ready(server, POLLIN), POLLIN);
    EXPECT_EQ(ready(server, 0), 0);
    std::array files{
        pollfd{-1, POLLIN, 7},
        pollfd{500, POLLIN, 0},
        pollfd{listener, POLLIN, 0},
        pollfd{server, POLLIN, 0}
    };
    EXPECT_EQ(*of(sockets.poll(files, -1)), 2u);
    EXPECT_EQ(files[0].revents, 0);
    EXPECT_EQ(files[1].revents, POLLNVAL);
    EXPECT_EQ(files[2].revents, 0);
    EXPECT_EQ(files[3].revents, POLLIN);
    EXPECT_EQ(send(client, "!", MSG_OOB), 1u);
    EXPECT_EQ(ready(server, POLLIN | POLLPRI) & POLLPRI, POLLPRI);
    EXPECT_EQ(receive(server, 1, MSG_OOB), "!");
    EXPECT_TRUE(of(sockets.close(client)));
    (void)receive(server, 10);
    EXPECT_EQ(ready(server, POLLIN), POLLIN) << "the end can be read";
}

TEST_F(BsdSockets, PollWaitsAsLongAsItIsTold) {
    const auto [listener, client, server] = connected();
    pollfd file{server, POLLIN, 0};
    const Instant from = run.loop.now();
    EXPECT_EQ(*of(sockets.poll(std::span{&file, 1}, 100)), 0u);
    EXPECT_GE(run.loop.now() - from, milliseconds(100));
}

/// Eight chunks are all there are.
TEST_F(BsdSockets, HoweverManyWaitTheOthersGoOn) {
    const auto [listener, client, server] = connected();
    constexpr size_t waiting = 20;
    std::array<int, waiting> clients;
    std::array<std::byte, waiting> rooms;
    std::array<std::optional<Result<Sockets::Received>>, waiting> got;
    std::array<Kept, waiting> jobs;
    std::array<int, waiting> servers;
    for (size_t i = 0; i < waiting; ++i) {
        clients[i] = *of(sockets.socket(AF_INET, SOCK_STREAM, 0));
        ASSERT_TRUE(of(sockets.connect(clients[i], own)));
        servers[i] = of(sockets.accept(listener, 0))->fd;
        ASSERT_TRUE(
            jobs[i].start(keep(sockets.receive(servers[i], std::span{&rooms[i], 1}, 0), got[i]))
        );
    }
    EXPECT_EQ(send(client, "x"), 1u);
    EXPECT_EQ(receive(server, 10), "x");
    EXPECT_EQ(ready(server, POLLOUT), POLLOUT);
    for (size_t i = waiting; i-- > 0;) {
        EXPECT_EQ(send(clients[i], "y"), 1u);
        EXPECT_EQ(ready(client, POLLOUT), POLLOUT); // and what waited has had its turn
        ASSERT_TRUE(got[i] && *got[i]) << i;
        EXPECT_EQ((*got[i])->bytes, 1u);
    }
}

TEST_F(BsdSockets, AllThatIsAskedForIsWaitedFor) {
    const auto [listener, client, server] = connected();
    std::array<std::byte, 4> room{};
    std::optional<Result<Sockets::Received>> got;
    Kept job;
    ASSERT_TRUE(job.start(keep(sockets.receive(server, room, MSG_WAITALL), got)));
    EXPECT_EQ(send(client, "a"), 1u);
    EXPECT_EQ(ready(client, POLLOUT), POLLOUT);
    EXPECT_FALSE(got);
    EXPECT_EQ(send(client, "bcd"), 3u);
    EXPECT_EQ(ready(client, POLLOUT), POLLOUT);
    ASSERT_TRUE(got && *got);
    EXPECT_EQ((*got)->bytes, 4u);
    EXPECT_EQ(number_of(sockets.receive(server, room, MSG_TRUNC)), 95);
}

TEST_F(BsdSockets, PollKnowsTheOtherNames) {
    const auto [listener, client, server] = connected();
    EXPECT_EQ(ready(server, POLLRDNORM | POLLWRNORM), POLLWRNORM);
    EXPECT_EQ(send(client, "x"), 1u);
    EXPECT_EQ(ready(server, POLLRDNORM), POLLRDNORM);
}

TEST_F(BsdSockets, DatagramsKeepTheirBoundsAndSenders) {
    const int a = *of(sockets.socket(AF_INET, SOCK_DGRAM, 0));
    const int b = *of(sockets.socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP));
    EXPECT_TRUE(of(sockets.bind(b, {own.ip, 9000})));
    EXPECT_EQ(number_of(sockets.send(a, std::as_bytes(std::span{"x", 1}), 0)), 89);
    const std::string_view text = "one two";
    EXPECT_EQ(
        *of(sockets.send(a, std::as_bytes(std::span{text}), 0, os::SocketAddress{own.ip, 9000})), 7u
    );
    EXPECT_EQ(*of(sockets.send(a, {}, 0, os::SocketAddress{own.ip, 9000})), 0u);
    std::array<std::byte, 3> room{};
    const auto got = of(sockets.receive(b, room, 0));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->bytes, 3u) << "the rest of it is lost";
    EXPECT_EQ(got->from.port, of(sockets.names(a))->local.port);
    EXPECT_EQ(receive(b, 10), "") << "an empty one is one";
    EXPECT_EQ(receive(b, 10, MSG_DONTWAIT), "error 11");
    const std::vector<std::byte> too_long(70'000);
    EXPECT_EQ(number_of(sockets.send(a, too_long, 0, os::SocketAddress{own.ip, 9000})), 90);
}

TEST_F(BsdSockets, OptionsHaveTheirNumbersOfLinux) {
    const int tcp = *of(sockets.socket(AF_INET, SOCK_STREAM, 0));
    const int udp = *of(sockets.socket(AF_INET, SOCK_DGRAM, 0));
    EXPECT_EQ(*of(sockets.option(tcp, SOL_SOCKET, SO_TYPE)), SOCK_STREAM);
    EXPECT_EQ(*of(sockets.option(udp, SOL_SOCKET, SO_TYPE)), SOCK_DGRAM);
    EXPECT_EQ(*of(sockets.option(tcp, IPPROTO_TCP, TCP_NODELAY)), 0);
    EXPECT_TRUE(of(sockets.set_option(tcp, IPPROTO_TCP, TCP_NODELAY, 1)));
    EXPECT_EQ(*of(sockets.option(tcp, IPPROTO_TCP, TCP_NODELAY)), 1);
    EXPECT_EQ(number_of(sockets.set_option(udp, IPPROTO_TCP, TCP_NODELAY, 1)), 92);
    EXPECT_EQ(number_of(sockets.set_option(tcp, SOL_SOCKET, 999, 1)), 92);
    EXPECT_TRUE(of(sockets.connect(tcp, {own.ip, 81})).error() == Err::connection_refused);
    EXPECT_EQ(*of(sockets.option(tcp, SOL_SOCKET, SO_ERROR)), 0) << "it was told";
}

TEST_F(BsdSockets, LingeringForNoTimeResets) {
    const auto [listener, client, server] = connected();
    EXPECT_TRUE(of(sockets.set_linger(client, {1, 0})));
    EXPECT_TRUE(of(sockets.close(client)));
    EXPECT_EQ(receive(server, 10), "error 104");
}

} // namespace
