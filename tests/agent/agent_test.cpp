// The socket agent on a real stack behind a real channel: what a script from outside gets for an
// answer. The guest talks to itself over loopback here; the packets are tests/net's affair.
#include "usr/netsvc/agent.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "lib/base/crc32.hpp"
#include "lib/base/pattern.hpp"
#include "tests/netd/network_host.hpp"

namespace {

std::string hex(uint64_t start, size_t count) {
    std::string text;
    for (size_t i = 0; i < count; ++i) {
        char two[3];
        std::snprintf(two, sizeof two, "%02x", unsigned(pattern_at(start + i)));
        text += two;
    }
    return text;
}

std::string shown(uint64_t start, size_t count, size_t most = 512) {
    std::vector<std::byte> data(count);
    fill_pattern(data, start);
    char sum[12];
    std::snprintf(sum, sizeof sum, "%08x", crc32(data));
    return std::to_string(count) + " OK " + sum + " " + hex(start, std::min(count, most));
}

struct SocketAgent : testing::Test, NetworkHost {
    SocketAgent() : NetworkHost{{.datagram_sockets = 8}, 1 << 20, 8} {}

    /// The answer to one request, without its id.
    std::string ask(std::string_view request) {
        std::array<char, netsvc::GivenAnswers::answer_bytes> room;
        TextWriter out{room};
        Kept job;
        EXPECT_TRUE(job.start(carry_out(request, out)));
        run.loop.run();
        EXPECT_FALSE(out.text().empty()) << request << " waits";
        return std::string{out.text().substr(std::min<size_t>(1, out.text().size()))};
    }

    async::Task<> carry_out(std::string_view request, TextWriter& out) {
        const auto chunk = co_await network.chunk();
        netsvc::Words words{request};
        co_await agent.carry_out(words, chunk, out);
        run.loop.stop(); // not to wait for timers: a closed window is probed for ever
        co_return {};
    }

    void pass(Duration time) { run.waiter.pass(time); }

    /// Handles 3 (listens on 80), 4 (connected to it) and 5 (accepted).
    void connected() {
        EXPECT_EQ(ask("socket tcp"), "3 OK");
        EXPECT_EQ(ask("bind 3 0.0.0.0 80"), "0 OK");
        EXPECT_EQ(ask("listen 3 5"), "0 OK");
        EXPECT_EQ(ask("socket tcp"), "4 OK");
        ask("connect 4 10.77.0.2 80");
        EXPECT_TRUE(ask("accept 3").starts_with("5 OK 10.77.0.2 "));
    }

    netsvc::Agent agent{network};
};

TEST_F(SocketAgent, SaysHello) {
    EXPECT_EQ(ask("hello"), "1 OK netsvc-agent 1");
}

TEST_F(SocketAgent, RefusesWhatIsNone) {
    EXPECT_EQ(ask("socket tcp6"), "-1 EAFNOSUPPORT");
    EXPECT_EQ(ask("socket udp6"), "-1 EAFNOSUPPORT");
    EXPECT_EQ(ask("socket pipe"), "-1 EINVAL");
    EXPECT_EQ(ask("poll 3"), "-1 EBADF");
    EXPECT_EQ(ask("poll"), "-1 EBADF");
    EXPECT_EQ(ask("close 99999"), "-1 EBADF");
    EXPECT_EQ(ask("socket tcp"), "3 OK");
    EXPECT_EQ(ask("dance 3"), "-1 EINVAL");
    EXPECT_EQ(ask("bind 3 10.77.0 1"), "-1 EINVAL");
    EXPECT_EQ(ask("bind 3 10.77.0.2 65536"), "-1 EINVAL");
    EXPECT_EQ(ask("setopt 3 colour 1"), "-1 ENOPROTOOPT");
    EXPECT_EQ(ask("shutdown 3 up"), "-1 EINVAL");
    EXPECT_EQ(ask("send 3 1 from"), "-1 EINVAL");
}

TEST_F(SocketAgent, AFreshStreamAnswersAsLinuxDoes) {
    EXPECT_EQ(ask("socket tcp"), "3 OK");
    EXPECT_EQ(ask("poll 3"), "1 OK oh");
    EXPECT_EQ(ask("send 3 1"), "-1 EPIPE");
    EXPECT_EQ(ask("recv 3 1"), "-1 ENOTCONN");
    EXPECT_EQ(ask("accept 3"), "-1 EINVAL");
    EXPECT_EQ(ask("shutdown 3 wr"), "-1 ENOTCONN");
    EXPECT_EQ(ask("peer 3"), "-1 ENOTCONN");
    EXPECT_EQ(ask("name 3"), "0 OK 0.0.0.0 0");
    EXPECT_EQ(ask("getopt 3 error"), "0 OK");
    EXPECT_EQ(ask("inq 3"), "0 OK");
    EXPECT_EQ(ask("close 3"), "0 OK");
    EXPECT_EQ(ask("close 3"), "-1 EBADF");
}

TEST_F(SocketAgent, CarriesAStreamBothWaysToItsEnd) {
    connected();
    EXPECT_EQ(ask("poll 4"), "1 OK o");
    EXPECT_EQ(ask("connect 4 10.77.0.2 80"), "-1 EISCONN");
    EXPECT_EQ(ask("peer 4"), "0 OK 10.77.0.2 80");
    EXPECT_EQ(ask("name 5"), "0 OK 10.77.0.2 80");
    EXPECT_EQ(ask("recv 5 100"), "-1 EAGAIN");
    EXPECT_EQ(ask("setopt 4 nodelay 1"), "0 OK");
    EXPECT_EQ(ask("send 4 10"), "10 OK");
    EXPECT_EQ(ask("send 4 7 10"), "7 OK");
    EXPECT_EQ(ask("poll 5"), "1 OK io");
    EXPECT_EQ(ask("inq 5"), "17 OK");
    EXPECT_EQ(ask("recv 5 10 peek"), shown(0, 10));
    EXPECT_EQ(ask("recv 5 10"), shown(0, 10));
    EXPECT_EQ(ask("recv 5 100"), shown(10, 7));
    EXPECT_EQ(ask("send 5 1000"), "1000 OK");
    EXPECT_EQ(ask("recv 4 2000"), shown(0, 1000));
    EXPECT_EQ(ask("shutdown 4 wr"), "0 OK");
    EXPECT_EQ(ask("send 4 1"), "-1 EPIPE");
    EXPECT_EQ(ask("recv 5 10"), "0 OK 00000000");
    EXPECT_EQ(ask("poll 5"), "1 OK io");
    EXPECT_EQ(ask("send 5 5"), "5 OK") << "half closed";
    EXPECT_EQ(ask("recv 4 10"), shown(0, 5));
    EXPECT_EQ(ask("close 5"), "0 OK");
    EXPECT_EQ(ask("recv 4 10"), "0 OK 00000000");
    EXPECT_EQ(ask("poll 4"), "1 OK ioh");
    EXPECT_EQ(ask("close 4"), "0 OK");
}

TEST_F(SocketAgent, ARefusedConnectionMayBeTriedAgain) {
    EXPECT_EQ(ask("socket tcp"), "3 OK");
    EXPECT_EQ(ask("connect 3 10.77.0.2 81"), "-1 ECONNREFUSED");
    EXPECT_EQ(ask("getopt 3 error"), "0 OK") << "it was told";
    EXPECT_EQ(ask("socket tcp"), "4 OK");
    EXPECT_EQ(ask("bind 4 0.0.0.0 81"), "0 OK");
    EXPECT_EQ(ask("listen 4 1"), "0 OK");
    EXPECT_EQ(ask("connect 3 10.77.0.2 81"), "0 OK");
    EXPECT_EQ(ask("connect 4 10.77.0.2 81"), "-1 EISCONN") << "it listens";
}

/// Nobody answers: the link is down, so that the SYN is as lost.
TEST_F(SocketAgent, AConnectionInProgressIsWaitedForByPolling) {
    EXPECT_EQ(ask("socket tcp"), "3 OK");
    EXPECT_EQ(ask("connect 3 10.77.0.9 80"), "-1 EINPROGRESS");
    EXPECT_EQ(ask("poll 3"), "0 OK");
    EXPECT_EQ(ask("connect 3 10.77.0.9 80"), "-1 EALREADY");
    EXPECT_EQ(ask("recv 3 1"), "-1 EAGAIN");
    EXPECT_EQ(ask("send 3 1"), "-1 EAGAIN");
    EXPECT_EQ(ask("peer 3"), "-1 ENOTCONN");
    run.loop.run(); // until nothing happens any more
    EXPECT_EQ(ask("poll 3"), "1 OK ioeh");
    EXPECT_EQ(ask("getopt 3 error"), "113 OK") << "the neighbour does not answer";
    EXPECT_EQ(ask("getopt 3 error"), "0 OK");
    EXPECT_EQ(ask("recv 3 1"), "0 OK 00000000");
}

TEST_F(SocketAgent, AResetIsToldOnceByWhicheverCall) {
    connected();
    EXPECT_EQ(ask("linger 4 0"), "0 OK");
    EXPECT_EQ(ask("close 4"), "0 OK");
    EXPECT_EQ(ask("poll 5"), "1 OK ioeh");
    EXPECT_EQ(ask("recv 5 1"), "-1 ECONNRESET");
    EXPECT_EQ(ask("recv 5 1"), "0 OK 00000000");
    EXPECT_EQ(ask("send 5 1"), "-1 EPIPE");
}

TEST_F(SocketAgent, ClosingWithUnreadDataResets) {
    connected();
    EXPECT_EQ(ask("send 4 10"), "10 OK");
    EXPECT_EQ(ask("close 5"), "0 OK");
    EXPECT_EQ(ask("getopt 4 error"), "104 OK");
}

TEST_F(SocketAgent, TheUrgentByteIsReadApart) {
    connected();
    EXPECT_EQ(ask("setopt 4 nodelay 1"), "0 OK");
    EXPECT_EQ(ask("recv 5 1 oob"), "-1 EINVAL");
    EXPECT_EQ(ask("send 4 5 0 oob"), "5 OK");
    EXPECT_EQ(ask("send 4 3 5"), "3 OK");
    EXPECT_EQ(ask("poll 5"), "1 OK iop");
    EXPECT_EQ(ask("recv 5 1 oob"), shown(4, 1));
    EXPECT_EQ(ask("recv 5 1 oob"), "-1 EINVAL") << "once";
    EXPECT_EQ(ask("poll 5"), "1 OK io");
    EXPECT_EQ(ask("recv 5 100"), shown(0, 4)) << "a read ends before the mark";
    EXPECT_EQ(ask("recv 5 100"), shown(5, 3));
}

TEST_F(SocketAgent, TheUrgentByteIsKnownBehindTheEnd) {
    connected();
    EXPECT_EQ(ask("send 4 5 0 oob"), "5 OK");
    EXPECT_EQ(ask("shutdown 4 wr"), "0 OK");
    EXPECT_EQ(ask("recv 5 1 oob"), shown(4, 1));
    EXPECT_EQ(ask("recv 5 100"), shown(0, 4));
    EXPECT_EQ(ask("recv 5 100"), "0 OK 00000000");
}

TEST_F(SocketAgent, WhatIsUrgentDoesNotWaitForNagle) {
    connected();
    EXPECT_EQ(ask("setopt 4 cork 1"), "0 OK");
    EXPECT_EQ(ask("send 4 3 0 oob"), "3 OK");
    EXPECT_EQ(ask("recv 5 1 oob"), shown(2, 1));
}

TEST_F(SocketAgent, TheUrgentByteMayStayInLine) {
    connected();
    EXPECT_EQ(ask("setopt 5 oobinline 1"), "0 OK");
    EXPECT_EQ(ask("send 4 5 0 oob"), "5 OK");
    EXPECT_EQ(ask("recv 5 1 oob"), "-1 EINVAL");
    EXPECT_EQ(ask("recv 5 100"), shown(0, 4));
    EXPECT_EQ(ask("recv 5 100"), shown(4, 1));
}

TEST_F(SocketAgent, AnUrgentByteAloneIsNotReadable) {
    connected();
    EXPECT_EQ(ask("send 4 1 0 oob"), "1 OK");
    EXPECT_EQ(ask("poll 5"), "1 OK op");
    EXPECT_EQ(ask("recv 5 100"), "-1 EAGAIN");
}

TEST_F(SocketAgent, KnowsAllOptionsAndTheirLimits) {
    EXPECT_EQ(ask("socket tcp"), "3 OK");
    for (const char* name :
         {"nodelay", "keepalive", "reuseaddr", "oobinline", "broadcast", "cork", "quickack"}) {
        const std::string option = name;
        EXPECT_EQ(ask("setopt 3 " + option + " 1"), "0 OK") << name;
        EXPECT_EQ(ask("getopt 3 " + option), "1 OK") << name;
        EXPECT_EQ(ask("setopt 3 " + option + " 0"), "0 OK") << name;
        EXPECT_EQ(ask("getopt 3 " + option), "0 OK") << name;
    }
    EXPECT_EQ(ask("getopt 3 keepidle"), "7200 OK");
    EXPECT_EQ(ask("getopt 3 keepintvl"), "75 OK");
    EXPECT_EQ(ask("getopt 3 keepcnt"), "9 OK");
    EXPECT_EQ(ask("setopt 3 keepcnt 0"), "-1 EINVAL");
    EXPECT_EQ(ask("setopt 3 keepcnt 128"), "-1 EINVAL");
    EXPECT_EQ(ask("setopt 3 keepidle 32768"), "-1 EINVAL");
    EXPECT_EQ(ask("setopt 3 keepidle 10"), "0 OK");
    EXPECT_EQ(ask("getopt 3 keepidle"), "10 OK");
    EXPECT_EQ(ask("setopt 3 ttl 0"), "-1 EINVAL");
    EXPECT_EQ(ask("setopt 3 ttl 9"), "0 OK");
    EXPECT_EQ(ask("getopt 3 ttl"), "9 OK");
    EXPECT_EQ(ask("setopt 3 tos 35"), "0 OK");
    EXPECT_EQ(ask("getopt 3 tos"), "32 OK") << "the congestion bits are TCP's";
    EXPECT_EQ(ask("getopt 3 mss"), "536 OK");
    EXPECT_EQ(ask("setopt 3 mss 87"), "-1 EINVAL");
    EXPECT_EQ(ask("setopt 3 mss 1000"), "0 OK");
    EXPECT_EQ(ask("getopt 3 mss"), "1000 OK");
    EXPECT_EQ(ask("setopt 3 usertimeout 1500"), "0 OK");
    EXPECT_EQ(ask("getopt 3 usertimeout"), "1500 OK");
    EXPECT_EQ(ask("setopt 3 rcvbuf 5000"), "0 OK");
    EXPECT_EQ(ask("getopt 3 rcvbuf"), "10000 OK");
    EXPECT_EQ(ask("setopt 3 sndbuf 1"), "0 OK");
    EXPECT_EQ(ask("getopt 3 sndbuf"), "4608 OK");
    EXPECT_EQ(ask("setopt 3 defer 3"), "0 OK");
    EXPECT_EQ(ask("setopt 3 error 1"), "-1 ENOPROTOOPT");
    EXPECT_EQ(ask("setopt 3 nodelay"), "-1 EINVAL");
    EXPECT_EQ(ask("socket udp"), "4 OK");
    EXPECT_EQ(ask("setopt 4 nodelay 1"), "-1 ENOPROTOOPT");
    EXPECT_EQ(ask("getopt 4 cork"), "-1 ENOPROTOOPT");
    EXPECT_EQ(ask("setopt 4 tos 35"), "0 OK");
    EXPECT_EQ(ask("getopt 4 tos"), "35 OK");
}

TEST_F(SocketAgent, ASmallBufferFillsAndDrains) {
    EXPECT_EQ(ask("socket tcp"), "3 OK");
    EXPECT_EQ(ask("setopt 3 rcvbuf 4096"), "0 OK");
    EXPECT_EQ(ask("bind 3 0.0.0.0 80"), "0 OK");
    EXPECT_EQ(ask("listen 3 5"), "0 OK");
    EXPECT_EQ(ask("socket tcp"), "4 OK");
    EXPECT_EQ(ask("setopt 4 sndbuf 8192"), "0 OK");
    ask("connect 4 10.77.0.2 80");
    EXPECT_TRUE(ask("accept 3").starts_with("5 OK"));
    uint32_t sent = 0;
    std::string got = ask("send 4 100000 0");
    for (; got.ends_with(" OK"); got = ask("send 4 100000 " + std::to_string(sent)))
        sent += uint32_t(std::stoul(got));
    EXPECT_EQ(got, "-1 EAGAIN");
    EXPECT_EQ(ask("outq 4"), "8192 OK");
    const uint32_t there = sent - 8192; // whole segments of what the window takes
    EXPECT_EQ(ask("inq 5"), std::to_string(there) + " OK");
    EXPECT_GT(there, 4096u - 1500);
    EXPECT_LE(there, 4096u);
    EXPECT_EQ(ask("poll 4"), "0 OK");
    EXPECT_EQ(ask("recv 5 65536"), shown(0, there));
    EXPECT_EQ(ask("poll 5"), "1 OK io");
    EXPECT_EQ(ask("recv 5 65536"), shown(there, there));
    EXPECT_EQ(ask("poll 4"), "1 OK o");
}

TEST_F(SocketAgent, PortsAreTakenAsLinuxTakesThem) {
    connected();
    EXPECT_EQ(ask("socket tcp"), "6 OK");
    EXPECT_EQ(ask("bind 6 0.0.0.0 80"), "-1 EADDRINUSE");
    EXPECT_EQ(ask("bind 6 10.77.0.3 81"), "-1 EADDRNOTAVAIL");
    EXPECT_EQ(ask("name 6"), "0 OK 0.0.0.0 0") << "nothing of it stays";
    EXPECT_EQ(ask("close 3"), "0 OK");
    EXPECT_EQ(ask("bind 6 0.0.0.0 80"), "-1 EADDRINUSE") << "a connection is still there";
    EXPECT_EQ(ask("setopt 6 reuseaddr 1"), "0 OK");
    EXPECT_EQ(ask("bind 6 0.0.0.0 80"), "-1 EADDRINUSE") << "both must agree";
    EXPECT_EQ(ask("setopt 5 reuseaddr 1"), "0 OK");
    EXPECT_EQ(ask("setopt 4 reuseaddr 1"), "0 OK");
    EXPECT_EQ(ask("bind 6 0.0.0.0 80"), "0 OK");
    EXPECT_EQ(ask("bind 6 0.0.0.0 82"), "-1 EINVAL") << "once";
    EXPECT_EQ(ask("listen 6 1"), "0 OK");
    EXPECT_EQ(ask("poll 6"), "0 OK");
    EXPECT_EQ(ask("socket tcp"), "3 OK");
    EXPECT_EQ(ask("bind 3 0.0.0.0 90"), "0 OK");
    EXPECT_EQ(ask("socket tcp"), "7 OK");
    EXPECT_EQ(ask("bind 7 10.77.0.2 90"), "-1 EADDRINUSE") << "bound, though nobody listens";
}

TEST_F(SocketAgent, CarriesDatagrams) {
    EXPECT_EQ(ask("socket udp"), "3 OK");
    EXPECT_EQ(ask("bind 3 0.0.0.0 7000"), "0 OK");
    EXPECT_EQ(ask("recv 3 10"), "-1 EAGAIN");
    EXPECT_EQ(ask("socket udp"), "4 OK");
    EXPECT_EQ(ask("poll 4"), "1 OK o");
    EXPECT_EQ(ask("send 4 5"), "-1 EDESTADDRREQ");
    EXPECT_EQ(ask("sendto 4 10.77.0.2 7000 20"), "20 OK");
    EXPECT_EQ(ask("poll 3"), "1 OK io");
    EXPECT_EQ(ask("inq 3"), "20 OK");
    EXPECT_EQ(ask("recv 3 8 peek"), shown(0, 8));
    EXPECT_EQ(ask("recv 3 8"), shown(0, 8)) << "the rest is lost";
    EXPECT_EQ(ask("recv 3 8"), "-1 EAGAIN");
    EXPECT_EQ(ask("connect 4 10.77.0.2 7000"), "0 OK");
    EXPECT_EQ(ask("send 4 0"), "0 OK");
    EXPECT_EQ(ask("inq 3"), "0 OK");
    EXPECT_EQ(ask("poll 3"), "1 OK io");
    EXPECT_EQ(ask("recv 3 8"), "0 OK 00000000");
    EXPECT_EQ(ask("sendto 4 10.77.0.255 7000 5"), "-1 EACCES");
    EXPECT_EQ(ask("sendto 4 10.77.0.2 7000 65508"), "-1 EMSGSIZE");
    EXPECT_EQ(ask("sendto 4 10.77.0.2 7000 65507"), "65507 OK");
    EXPECT_TRUE(ask("recv 3 65536").starts_with("65507 OK"));
    EXPECT_EQ(ask("listen 4 1"), "-1 EOPNOTSUPP");
    EXPECT_EQ(ask("accept 4"), "-1 EOPNOTSUPP");
}

TEST_F(SocketAgent, OnlyAConnectedDatagramSocketHearsOfErrors) {
    EXPECT_EQ(ask("socket udp"), "3 OK");
    EXPECT_EQ(ask("sendto 3 10.77.0.2 6 5"), "5 OK");
    EXPECT_EQ(ask("poll 3"), "1 OK o");
    EXPECT_EQ(ask("connect 3 10.77.0.2 6"), "0 OK");
    EXPECT_EQ(ask("send 3 5"), "5 OK");
    EXPECT_EQ(ask("poll 3"), "1 OK oe");
    EXPECT_EQ(ask("inq 3"), "0 OK") << "takes no error";
    EXPECT_EQ(ask("recv 3 5"), "-1 ECONNREFUSED");
    EXPECT_EQ(ask("recv 3 5"), "-1 EAGAIN");
}

TEST_F(SocketAgent, ADeferredConnectionIsShownWhenItHasData) {
    EXPECT_EQ(ask("socket tcp"), "3 OK");
    EXPECT_EQ(ask("setopt 3 defer 5"), "0 OK");
    EXPECT_EQ(ask("bind 3 0.0.0.0 80"), "0 OK");
    EXPECT_EQ(ask("listen 3 5"), "0 OK");
    EXPECT_EQ(ask("socket tcp"), "4 OK");
    ask("connect 4 10.77.0.2 80");
    EXPECT_EQ(ask("poll 3"), "0 OK");
    EXPECT_EQ(ask("accept 3"), "-1 EAGAIN");
    EXPECT_EQ(ask("send 4 3"), "3 OK");
    EXPECT_TRUE(ask("accept 3").starts_with("5 OK"));
    EXPECT_EQ(ask("recv 5 3"), shown(0, 3));
}

TEST_F(SocketAgent, ResetClosesAllAndHandlesBeginAnew) {
    connected();
    EXPECT_EQ(ask("reset"), "0 OK");
    EXPECT_EQ(ask("poll 3"), "-1 EBADF");
    connected();
}

TEST_F(SocketAgent, AnswersByDatagramAndTheSameIdAlike) {
    Kept served, asked;
    ASSERT_TRUE(served.start(agent.serve()));
    std::vector<std::string> answers;
    const auto converse = [](SocketAgent& t, std::vector<std::string>& out) -> async::Task<> {
        os::Datagrams socket = co_await os::Datagrams::open(t.network, {{}, 5555});
        const auto chunk = co_await t.network.chunk();
        for (const std::string_view text :
             {"a1 socket tcp", "a1 socket tcp", "a2 socket tcp", "  ", "a3 poll 5\n"}) {
            std::ranges::copy(std::as_bytes(std::span{text}), chunk.bytes().begin());
            co_await socket.send(chunk, uint32_t(text.size()), {{10, 77, 0, 2}, 9099});
            if (text == "  ") continue; // is not answered
            const auto got = co_await socket.receive(chunk);
            out.emplace_back(text_room(chunk.bytes()).data(), got.bytes);
        }
        co_return {};
    };
    ASSERT_TRUE(asked.start(converse(*this, answers)));
    run.loop.run();
    EXPECT_EQ(answers, (std::vector<std::string>{"a1 3 OK", "a1 3 OK", "a2 4 OK", "a3 -1 EBADF"}));
}

} // namespace
