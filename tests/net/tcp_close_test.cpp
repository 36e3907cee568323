// Closing: every edge of RFC 9293 figure 5 that leads to CLOSED.
#include "tests/net/tcp_script.hpp"

using namespace net;
using namespace bench;
using tcp::State;

struct TcpClose : TcpScript {};

TEST_F(TcpClose, WeCloseFirst) {
    establish();
    shutdown();
    sends("F. 1:1(0) ack 1");
    EXPECT_EQ(state(), State::fin_wait_1);
    receives(". 1:1(0) ack 2");
    EXPECT_EQ(state(), State::fin_wait_2);
    EXPECT_EQ(write(1).error(), Err::bad_state);
    receives("P. 1:11(10) ack 2");
    EXPECT_EQ(*read(), 10u) << "half closed: we still hear";
    receives("F. 11:11(0) ack 2");
    sends(". 2:2(0) ack 12");
    EXPECT_EQ(state(), State::time_wait);
    EXPECT_TRUE(heard(Event::closed));
    EXPECT_EQ(read().error(), Err::end_of_file);
    at(30'000);
    receives("F. 11:11(0) ack 2");
    sends(". 2:2(0) ack 12");
    close();
    at(89'000);
    EXPECT_EQ(alive(), 1u) << "the repeated FIN began the wait anew";
    at(91'000);
    EXPECT_EQ(alive(), 0u);
    silent();
}

TEST_F(TcpClose, PeerClosesFirst) {
    establish();
    receives("F. 1:1(0) ack 1");
    sends(". 1:1(0) ack 2");
    EXPECT_EQ(state(), State::close_wait);
    EXPECT_TRUE(heard(Event::peer_closed));
    EXPECT_EQ(read().error(), Err::end_of_file);
    EXPECT_EQ(*write(5), 5u);
    sends("P. 1:6(5) ack 2");
    close();
    sends("F. 6:6(0) ack 2");
    receives(". 2:2(0) ack 6");
    EXPECT_EQ(alive(), 1u);
    receives(". 2:2(0) ack 7");
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpClose, BothCloseAtOnce) {
    establish();
    shutdown();
    sends("F. 1:1(0) ack 1");
    receives("F. 1:1(0) ack 1");
    sends(". 2:2(0) ack 2");
    EXPECT_EQ(state(), State::closing);
    receives(". 2:2(0) ack 2");
    EXPECT_EQ(state(), State::time_wait);
}

TEST_F(TcpClose, FinWithTheAckOfOurFin) {
    establish();
    shutdown();
    sends("F. 1:1(0) ack 1");
    receives("F. 1:1(0) ack 2");
    sends(". 2:2(0) ack 2");
    EXPECT_EQ(state(), State::time_wait);
}

TEST_F(TcpClose, FinFollowsAllData) {
    establish("S 0:0(0)", ". 1:1(0) ack 1 win 2000");
    EXPECT_EQ(*write(5000), 5000u);
    close();
    sends(". 1:1461(1460) ack 1");
    silent();
    receives(". 1:1(0) ack 1461 win 65535");
    sends(". 1461:2921(1460) ack 1");
    sends(". 2921:4381(1460) ack 1");
    sends("FP. 4381:5001(620) ack 1");
    receives(". 1:1(0) ack 5002");
    receives("F. 1:1(0) ack 5002");
    sends(". 5002:5002(0) ack 2");
}

TEST_F(TcpClose, ALostFinComesAgain) {
    establish();
    shutdown();
    sends("F. 1:1(0) ack 1");
    at(220);
    sends("F. 1:1(0) ack 1");
    at(620);
    sends("F. 1:1(0) ack 1");
    receives(". 1:1(0) ack 2");
    EXPECT_EQ(state(), State::fin_wait_2);
    at(100'000);
    silent();
}

TEST_F(TcpClose, AFinAheadOfItsDataIsRemembered) {
    establish();
    receives("F. 11:21(10) ack 1");
    sends(". 1:1(0) ack 1");
    EXPECT_EQ(state(), State::established);
    receives(". 1:11(10) ack 1");
    sends(". 1:1(0) ack 22");
    EXPECT_EQ(state(), State::close_wait);
    EXPECT_EQ(*read(), 20u);
}

TEST_F(TcpClose, ASilentPeerDoesNotKeepFinWait2ForEver) {
    establish();
    close();
    sends("F. 1:1(0) ack 1");
    receives(". 1:1(0) ack 2");
    EXPECT_EQ(alive(), 1u);
    at(61'000);
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpClose, UnreadDataTurnCloseIntoReset) {
    establish();
    receives("P. 1:11(10) ack 1");
    close();
    sends("R. 1:1(0) ack 11");
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpClose, DataAfterCloseAreAnsweredWithReset) {
    establish();
    close();
    sends("F. 1:1(0) ack 1");
    drops_one("P. 1:11(10) ack 2", Drop::tcp_after_close);
    sends("R. 2:2(0) ack 1");
    EXPECT_EQ(alive(), 0u);
}

TEST_F(TcpClose, AbortSendsReset) {
    establish();
    EXPECT_EQ(*write(10), 10u);
    sends("P. 1:11(10) ack 1");
    EXPECT_TRUE(host.stack->tcp_abort(socket, host.now));
    sends("R. 11:11(0) ack 1");
    EXPECT_EQ(alive(), 0u);
    EXPECT_EQ(read().error(), Err::not_found);
}

TEST_F(TcpClose, CloseInSynSentIsQuiet) {
    connect();
    sends("S 0:0(0)");
    close();
    silent();
    EXPECT_EQ(alive(), 0u);
    EXPECT_FALSE(
        host.stack->next_deadline() && *host.stack->next_deadline() < host.now + seconds(50)
    );
}

TEST_F(TcpClose, ANewSynMayTakeThePlaceOfTimeWait) {
    establish();
    close();
    sends("F. 1:1(0) ack 1");
    receives("F. 1:1(0) ack 2");
    sends(". 2:2(0) ack 2");
    const uint32_t old_first = our_first;
    at(1000);
    drops_one("S 0:0(0)", Drop::tcp_not_acceptable); // an old one does not
    sends(". 2:2(0) ack 2");
    peer_first += 1000;
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    EXPECT_GT(int32_t(our_first - old_first), 2);
    EXPECT_EQ(alive(), 1u);
}

/// However much was sent, more than the clock of RFC 6528 advances in that time.
TEST_F(TcpClose, ANumberIsAboveAllThatTheConnectionBeforeItHasUsed) {
    establish();
    for (uint32_t sent = 1; sent < 600'000;) {
        const auto taken = write(1460);
        ASSERT_TRUE(taken);
        sent += uint32_t(*taken);
        host.wire.sent.clear();
        receives(". 1:1(0) ack " + std::to_string(sent));
    }
    const uint32_t last = our_first + written;
    close();
    sends("F. " + std::to_string(written) + ":" + std::to_string(written) + "(0) ack 1");
    receives("F. 1:1(0) ack " + std::to_string(written + 1));
    host.wire.sent.clear();
    peer_first += 1000;
    receives("S 0:0(0)");
    sends("S. 0:0(0) ack 1");
    EXPECT_GT(int32_t(our_first - last), 1);
}

TEST_F(TcpClose, TimeWaitYieldsWhenBlocksRunOut) {
    listen(20);
    for (int i = 0; i < 12; ++i, ++peer_port) {
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives(". 1:1(0) ack 1");
        accept();
        close();
        sends("F. 1:1(0) ack 1");
        receives("F. 1:1(0) ack 2");
        sends(". 2:2(0) ack 2");
        host.now = host.now + milliseconds(10);
    }
    EXPECT_EQ(alive(), 8u);
    EXPECT_EQ(host.stack->counters().tcp_time_wait, 8u);
    EXPECT_EQ(host.stack->counters().tcp_blocks_held, 0u);
    EXPECT_EQ(host.drops(Drop::tcp_time_wait_recycled), 4u);
}

/// The one that goes is the one nearest to its end: a repeated FIN begins the time anew.
TEST_F(TcpClose, OfThoseInTimeWaitTheOldestYields) {
    listen(20);
    std::vector<uint32_t> firsts;
    const auto come_and_go = [&] {
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives(". 1:1(0) ack 1");
        accept();
        close();
        sends("F. 1:1(0) ack 1");
        receives("F. 1:1(0) ack 2");
        sends(". 2:2(0) ack 2");
        firsts.push_back(our_first);
    };
    for (int i = 0; i < 8; ++i, ++peer_port)
        come_and_go();
    const auto is_there = [&](uint32_t number) {
        peer_port = 4000 + number;
        our_first = firsts[number];
        receives("F. 1:1(0) ack 2");
        return next() == ". 2:2(0) ack 2";
    };
    EXPECT_TRUE(is_there(0)); // and it stays longer for it
    peer_port = 4008;
    come_and_go();
    peer_port = 4009;
    come_and_go();
    EXPECT_EQ(host.drops(Drop::tcp_time_wait_recycled), 2u);
    EXPECT_TRUE(is_there(0));
    EXPECT_FALSE(is_there(1));
    EXPECT_FALSE(is_there(2));
    EXPECT_TRUE(is_there(3));
}

TEST_F(TcpClose, ThousandsInSequenceLeaveNothingBehind) {
    listen();
    for (int i = 0; i < 3000; ++i) {
        peer_port = 1024 + uint32_t(i) % 60'000;
        receives("S 0:0(0)");
        sends("S. 0:0(0) ack 1");
        receives("P. 1:2(1) ack 1");
        accept();
        was_read = written = 1;
        ASSERT_EQ(*read(), 1u);
        ASSERT_EQ(*write(1), 1u);
        sends("P. 1:2(1) ack 2");
        receives("F. 2:2(0) ack 2");
        sends(". 2:2(0) ack 3");
        close();
        sends("F. 2:2(0) ack 3");
        receives(". 3:3(0) ack 3");
        ASSERT_EQ(alive(), 0u);
        ASSERT_EQ(host.stack->counters().tcp_blocks_held, 0u);
        ASSERT_EQ(host.stack->counters().tcp_time_wait, 0u);
        ASSERT_EQ(host.stack->counters().tcp_bytes_held, 0u);
    }
    EXPECT_FALSE(
        host.stack->next_deadline() && *host.stack->next_deadline() < host.now + seconds(50)
    );
}
