#include <gtest/gtest.h>

#include "tests/rpc/sample_calls.hpp"

namespace {

using async::result_of;
using async::Task;

TEST(RpcChannel, ThePeersEndEndsEveryCall) {
    for (bool says_so : {true, false}) {
        SamplePair t;
        std::vector<std::string> log;
        t.spawn(hold(t, 1, log));
        t.spawn(hold(t, 2, log));
        t.loop.run();
        if (says_so)
            t.server_end->close();
        else
            t.client_end->peer_gone();
        t.loop.run();
        const std::string gone{text_of(Err::peer_gone)};
        EXPECT_EQ(log, (std::vector<std::string>{"1 " + gone, "2 " + gone}));
        EXPECT_EQ(t.listener.ended, Err::peer_gone);
        t.spawn(hold(t, 3, log));
        t.loop.run();
        EXPECT_EQ(log.back(), "3 " + gone) << "and later ones too";
        EXPECT_EQ(t.server.inside, 0) << "handlers are cancelled";
        EXPECT_EQ(t.loop.pool().used(), 0u);
    }
}

TEST(RpcChannel, CallsWaitingForCreditEndToo) {
    SamplePair t{{.lines = 4, .calls_at_a_time = 1}};
    std::vector<std::string> log;
    for (uint32_t id = 0; id < 10; ++id)
        t.spawn(hold(t, id, log));
    t.loop.run();
    t.client_end->peer_gone();
    t.loop.run();
    EXPECT_EQ(log.size(), 10u);
}

/// It runs out of the channel's own pump.
TEST(RpcChannel, WhoIsAnsweredMayEndTheChannelAtOnce) {
    for (const bool others_wait : {false, true}) {
        SamplePair t;
        std::vector<std::string> log;
        const auto call_and_leave = [](SamplePair& p, std::vector<std::string>& l) -> Task<> {
            co_await p.client().nothing();
            p.client_end.reset();
            l.emplace_back("left");
            co_return {};
        };
        if (others_wait) t.spawn(hold(t, 1, log));
        t.spawn(call_and_leave(t, log));
        t.loop.run();
        EXPECT_EQ(log.front(), "left");
        EXPECT_EQ(log.size(), others_wait ? 2u : 1u);
        EXPECT_EQ(t.loop.hot_sources() + t.loop.cold_sources(), 0u);
        EXPECT_TRUE(t.server_end->over());
    }
}

TEST(RpcChannel, DestroyingItEndsEveryCall) {
    SamplePair t;
    std::vector<std::string> log;
    t.spawn(hold(t, 1, log));
    t.loop.run();
    t.client_end.reset();
    t.loop.run();
    EXPECT_EQ(log, (std::vector<std::string>{"1 " + std::string{text_of(Err::channel_closed)}}));
    EXPECT_EQ(t.server.ended, Err::peer_gone);
}

TEST(RpcChannel, AnAnswerToACancelledCallIsDropped) {
    SamplePair t;
    std::vector<std::string> log;
    {
        async::Job job;
        ASSERT_TRUE(job.start(hold(t, 1, log)));
        t.loop.run();
    }
    t.spawn(hold(t, 2, log));
    t.loop.run();
    t.server.release({1});
    t.server.release({2});
    t.loop.run();
    EXPECT_EQ(log, (std::vector<std::string>{"2"}));
    EXPECT_FALSE(t.client_end->over());
}

TEST(RpcChannel, TheServerGivesUpACancelledCall) {
    SamplePair t;
    std::vector<std::string> log;
    {
        async::Job job;
        ASSERT_TRUE(job.start(hold(t, 1, log)));
        t.loop.run();
        EXPECT_EQ(t.server.inside, 1);
    }
    t.loop.run();
    EXPECT_EQ(t.server.inside, 0) << "its task is gone";
    EXPECT_FALSE(t.client_end->over() || t.server_end->over());
    EXPECT_EQ(t.loop.pool().used(), 0u);
}

Task<> hold_within(SamplePair& t, uint32_t id, Duration d, std::vector<Err>& log) {
    const auto result = co_await result_of(t.client().hold(id).within(d));
    log.push_back(result ? Err::none : result.error().top());
    co_return {};
}

TEST(RpcDeadline, ACallThatIsNotAnsweredInTimeEnds) {
    SamplePair t;
    std::vector<Err> log;
    const Instant before = t.waiter.now();
    t.spawn(hold_within(t, 1, milliseconds(50), log));
    t.loop.run();
    EXPECT_EQ(log, (std::vector{Err::timed_out}));
    EXPECT_GE(t.waiter.now().ns - before.ns, milliseconds(50).ns);
    EXPECT_EQ(t.server.inside, 0);
    std::vector<int64_t> sums;
    t.spawn(add(t, 1, 2, sums));
    t.loop.run();
    EXPECT_EQ(sums, (std::vector<int64_t>{3})) << "the channel and the id go on";
}

TEST(RpcDeadline, AnAnswerInTimeIsAnAnswer) {
    SamplePair t;
    std::vector<Err> log;
    t.server.release({1});
    t.spawn(hold_within(t, 1, milliseconds(50), log));
    t.loop.run();
    EXPECT_EQ(log, (std::vector{Err::none}));
}

TEST(RpcDeadline, HoldsForCallsThatWaitForTheirTurnToo) {
    SamplePair t{{.lines = 4, .calls_at_a_time = 1}};
    std::vector<Err> log;
    for (uint32_t id = 0; id < 10; ++id)
        t.spawn(hold_within(t, id, milliseconds(5), log));
    t.loop.run();
    EXPECT_EQ(log, std::vector<Err>(10, Err::timed_out));
    std::vector<int64_t> sums;
    t.spawn(add(t, 1, 2, sums));
    t.loop.run();
    EXPECT_EQ(sums.size(), 1u);
    EXPECT_EQ(t.loop.pool().used(), 0u);
}

TEST(RpcDeadline, AnAnswerThatCrossesTheDeadlineIsDropped) {
    // The server's answer is under way when the client gives up: whatever the order, one outcome,
    // and no id is lost. Nobody answers the odd ones.
    SamplePair t;
    std::vector<Err> log;
    for (uint32_t id = 0; id < 600; ++id) {
        t.spawn(hold_within(t, id, milliseconds(2), log));
        t.loop.turn();
        t.loop.turn();
        t.waiter.pass(milliseconds(4));
        if (id % 2 == 0) t.server.release({id});
        t.loop.run();
        ASSERT_EQ(log.size(), id + 1);
        EXPECT_TRUE(log.back() == Err::timed_out || (id % 2 == 0 && log.back() == Err::none)) << id;
    }
    EXPECT_EQ(t.server.inside, 0);
    EXPECT_FALSE(t.client_end->over() || t.server_end->over());
    EXPECT_EQ(t.loop.pool().used(), 0u);
}

Task<> finish(rpc::Channel& channel, std::vector<std::string>& log) {
    const auto ended = co_await result_of(channel.finish());
    log.push_back(ended ? "finished" : std::string{text_of(ended.error().top())});
    co_return {};
}

Task<> send_bulks(SamplePair& t, unsigned count) {
    for (unsigned i = 0; i < count; ++i)
        co_await t.client().bulk(blob<900>(900, i));
    co_return {};
}

TEST(RpcClose, WhatWasSentBeforeComesBeforeTheEnd) {
    SamplePair t{{.lines = 4}};
    std::vector<std::string> log;
    t.spawn(send_bulks(t, 1)); // many rings full
    t.spawn(hold(t, 7, log));
    t.spawn(finish(*t.client_end, log));
    EXPECT_EQ(t.client().try_poke().error().top(), Err::channel_closed) << "nothing new";
    t.loop.run();
    EXPECT_EQ(t.server.bulks.size(), 1u);
    EXPECT_EQ(t.server.ended, Err::none) << "a call is under way";
    t.server.release({7});
    t.loop.run();
    EXPECT_EQ(log, (std::vector<std::string>{"7", "finished"}));
    EXPECT_EQ(t.server.ended, Err::peer_gone);
    EXPECT_EQ(t.listener.ended, Err::channel_closed);
    EXPECT_EQ(t.loop.pool().used(), 0u);
}

TEST(RpcClose, IsToldBeforeTheLastOneWhoWasAnsweredGoesOn) {
    // So nobody may wait for the end without a look whether it has come (os::until_gone).
    SamplePair t;
    Err told = Err::none;
    const auto ask = [](SamplePair& p, Err& out) -> Task<> {
        co_await p.client().nothing();
        out = p.listener.ended;
        co_return {};
    };
    t.server.on_nothing = [&] { t.client_end->peer_gone(); };
    t.spawn(ask(t, told));
    t.loop.run();
    EXPECT_EQ(told, Err::peer_gone);
}

TEST(RpcClose, BothSidesMayEndAtOnce) {
    SamplePair t;
    std::vector<std::string> log;
    t.spawn(finish(*t.client_end, log));
    t.spawn(finish(*t.server_end, log));
    t.loop.run();
    EXPECT_EQ(log, (std::vector<std::string>{"finished", "finished"}));
    t.spawn(finish(*t.client_end, log));
    t.loop.run();
    EXPECT_EQ(log.size(), 3u) << "it has ended: nothing to wait for";
}

TEST(RpcClose, OneWhoGoesMeanwhileIsNoOrderlyEnd) {
    SamplePair t;
    std::vector<std::string> log;
    t.spawn(hold(t, 7, log));
    t.spawn(finish(*t.client_end, log));
    t.loop.run();
    t.client_end->peer_gone();
    t.loop.run();
    const std::string gone{text_of(Err::peer_gone)};
    EXPECT_EQ(log, (std::vector<std::string>{"7 " + gone, gone}));
}

TEST(RpcClose, WhatThePeerSentBeforeItWentIsTaken) {
    SamplePair t;
    t.loop.run();
    for (int i = 0; i < 5; ++i)
        ASSERT_TRUE(t.client().try_poke());
    t.server_end->peer_gone();
    t.loop.run();
    EXPECT_EQ(t.server.pokes, 5);
    EXPECT_EQ(t.server.ended, Err::peer_gone);
}

TEST(RpcChannel, AMessageCancelledHalfwayHarmsNoOther) {
    SamplePair t{{.lines = 8}};
    const auto send = [](SamplePair& p) -> Task<> {
        co_await p.client().bulk(blob<900>(900, 1));
        co_return {};
    };
    {
        async::Job job;
        ASSERT_TRUE(job.start(send(t)));
        EXPECT_TRUE(job.running()) << "17 lines do not fit";
    }
    std::vector<int64_t> sums;
    t.spawn(add(t, 1, 1, sums));
    t.loop.run();
    EXPECT_EQ(sums, (std::vector<int64_t>{2}));
    EXPECT_FALSE(t.client_end->over() || t.server_end->over());
    EXPECT_TRUE(t.server.bulks.empty()) << "it is not carried out with what there was of it";
}

TEST(RpcChannel, ACallCancelledHalfwayIsNotCarriedOutAndItsIdIsFree) {
    SamplePair t{{.lines = 4}};
    std::vector<Err> ended;
    for (int round = 0; round < 300; ++round) { // there are 256 ids
        async::Job job;
        ASSERT_TRUE(job.start(long_echo(t, ended)));
        ASSERT_TRUE(job.running());
        job.cancel();
        t.loop.run();
    }
    EXPECT_EQ(t.server.echoes, 0);
    EXPECT_TRUE(ended.empty());
    std::vector<int64_t> sums;
    t.spawn(add(t, 1, 1, sums));
    t.loop.run();
    EXPECT_EQ(sums, (std::vector<int64_t>{2}));
}

} // namespace
