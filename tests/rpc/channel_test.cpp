#include "lib/rpc/channel.hpp"

#include <gtest/gtest.h>

#include "tests/rpc/sample_calls.hpp"

namespace {

using async::result_of;
using async::Task;

TEST(RpcChannel, ACallIsAnswered) {
    SamplePair t;
    std::vector<int64_t> sums;
    t.spawn(add(t, 2, 40, sums));
    t.loop.run();
    EXPECT_EQ(sums, (std::vector<int64_t>{42}));
    EXPECT_EQ(t.loop.pool().used(), 0u);
    EXPECT_EQ(t.client_end->lines_sent(), 2u) << "the greeting and one line";
}

TEST(RpcChannel, WhatAHandlerSpawnsOutlivesItsClient) {
    SamplePair t{{.frame_bytes = 8192}};
    bool over = false;
    const auto takes_long = [](async::Loop& loop, bool& out) -> Task<> {
        co_await loop.sleep_for(milliseconds(100));
        out = true;
        co_return {};
    };
    const auto ask = [](SamplePair& p) -> Task<> {
        co_await p.client().nothing();
        p.loop.stop();
        co_return {};
    };
    t.server.on_nothing = [&] {
        ASSERT_TRUE(t.loop.spawn("test", [&] { return takes_long(t.loop, over); }));
    };
    t.spawn(ask(t));
    t.loop.run();
    EXPECT_FALSE(over);
    t.server_end.reset();
    t.loop.run();
    EXPECT_TRUE(over);
}

TEST(RpcChannel, AnErrorComesBackWithItsChain) {
    SamplePair t;
    Fault seen{Err::none};
    const auto body = [](SamplePair& p, Fault& out) -> Task<> {
        out = (co_await result_of(p.client().add(1, -1))).error();
        co_return {};
    };
    t.spawn(body(t, seen));
    t.loop.run();
    EXPECT_EQ(seen.top(), Err::bad_argument);
    EXPECT_EQ(seen.cause(1), Err::no_slots);
}

TEST(RpcChannel, EveryTypeSurvivesTheJourneyOverSeveralLines) {
    for (size_t size : {0u, 1u, 55u, 299u, 300u}) {
        SamplePair t{{.lines = 4}}; // fewer lines than the message needs
        bool same = false;
        const auto body = [](SamplePair& p, size_t n, bool& out) -> Task<> {
            const auto data = blob<300>(n, 7);
            const auto r = co_await p.client().echo(
                ~0ull,
                200,
                true,
                phys(0x1234567890),
                CoreId{{9}},
                {10, 77, 0, 2},
                {1, 2, 3, 4, 5, 6},
                Fault{Err::busy},
                sample::Colour::blue,
                *Text<20>::from("twenty characters ok"),
                data
            );
            out = r.number == ~0ull && r.small == 200 && r.flag && r.where == phys(0x1234567890) &&
                  r.who == CoreId{{9}} && r.address[3] == 2 && r.card[5] == 6 &&
                  r.status == Err::busy && r.colour == sample::Colour::blue &&
                  r.name.view() == "twenty characters ok" && r.data.size() == n &&
                  std::ranges::equal(r.data.span(), data.span());
            co_return {};
        };
        t.spawn(body(t, size, same));
        t.loop.run();
        EXPECT_TRUE(same) << size;
    }
}

TEST(RpcChannel, SeveralCallsAreOutstandingAndEndInAnyOrder) {
    SamplePair t;
    std::vector<std::string> log;
    for (uint32_t id : {1u, 2u, 3u})
        t.spawn(hold(t, id, log));
    t.loop.run();
    EXPECT_EQ(t.server.held, (std::vector<uint32_t>{1, 2, 3}));
    for (uint32_t id : {2u, 3u, 1u}) {
        t.spawn(release(t, id));
        t.loop.run();
    }
    EXPECT_EQ(log, (std::vector<std::string>{"2", "3", "1"}));
}

TEST(RpcChannel, AFlowFollowsItsRequestAlsoAfterWaiting) {
    SamplePair t;
    std::vector<std::string> log;
    for (uint16_t id : {uint16_t{1}, uint16_t{2}}) {
        const async::UseFlow flow{uint16_t(100 + id)};
        t.spawn(hold(t, id, log));
    }
    t.loop.run();
    t.server.release({2});
    t.loop.run();
    t.server.release({1});
    t.loop.run();
    EXPECT_EQ(t.server.flows, (std::vector<unsigned>{101, 102, 102, 101}));
    EXPECT_EQ(async::current_flow, 0);
}

TEST(RpcChannel, MoreCallsThanIdsQueue) {
    SamplePair t{{.lines = 64, .calls_at_a_time = 1000}};
    std::vector<std::string> log;
    for (uint32_t id = 0; id < 300; ++id)
        t.spawn(hold(t, id, log));
    t.loop.run();
    EXPECT_EQ(t.server.held.size(), 256u);
    for (uint32_t id = 0; id < 300; ++id)
        t.server.release({id});
    t.loop.run();
    EXPECT_EQ(log.size(), 300u);
    EXPECT_EQ(t.loop.pool().used(), 0u);
}

TEST(RpcChannel, AServerWithAllItsCallsTakenReadsNoMore) {
    SamplePair t{{.calls_at_a_time = 2}};
    std::vector<std::string> log;
    for (uint32_t id : {1u, 2u, 3u})
        t.spawn(hold(t, id, log));
    t.loop.run();
    EXPECT_EQ(t.server.held, (std::vector<uint32_t>{1, 2}));
    t.server.release({1});
    t.loop.run();
    EXPECT_EQ(t.server.held, (std::vector<uint32_t>{1, 2, 3}));
    EXPECT_EQ(t.server.inside, 2);
    t.client_end->close();
    t.loop.run();
    EXPECT_EQ(t.server.inside, 2) << "a close behind unread calls is not read either";
    t.server_end->peer_gone();
    t.loop.run();
    EXPECT_EQ(t.server.inside, 0);
}

/// Answers of calls that never waited, to a client that does not read.
TEST(RpcChannel, AnswersWithoutRoomWaitAndKeepTheirOrder) {
    SamplePair t{{.lines = 4, .calls_at_a_time = 8}};
    std::vector<int64_t> sums, wanted;
    std::vector<Err> ended;
    for (int i = 0; i < 40; ++i) {
        t.spawn(add(t, uint32_t(i), 1, sums));
        t.spawn(long_echo(t, ended));
        wanted.push_back(i + 1);
    }
    t.loop.run();
    EXPECT_EQ(sums, wanted);
    EXPECT_EQ(ended, std::vector<Err>(40, Err::none));
    EXPECT_EQ(t.loop.pool().used(), 0u);
}

TEST(RpcChannel, SendingWaitsForCreditAndKeepsOrder) {
    SamplePair t{{.lines = 8}};
    const auto body = [](SamplePair& p, unsigned first) -> Task<> {
        for (unsigned i = 0; i < 20; ++i)
            co_await p.client().bulk(blob<900>(40 * i, first + i));
        co_return {};
    };
    t.spawn(body(t, 0));
    t.spawn(body(t, 100));
    t.loop.run();
    ASSERT_EQ(t.server.bulks.size(), 40u);
    unsigned next[2]{0, 100};
    for (const auto& b : t.server.bulks) {
        const bool second = b.size() > 0 && std::to_integer<unsigned>(b.span()[0]) >= 100;
        if (b.size() == 0) continue;
        next[second] += next[second] % 100 == 0 ? 1 : 0; // the first of each is empty
        EXPECT_EQ(std::to_integer<unsigned>(b.span()[0]), next[second]);
        EXPECT_EQ(b.size(), 40 * (next[second] % 100));
        ++next[second];
    }
}

TEST(RpcChannel, TryingNeverWaits) {
    SamplePair t{{.lines = 8}};
    int sent = 0;
    while (t.client().try_poke())
        ++sent;
    EXPECT_EQ(sent, 6) << "a ring less one, less the greeting";
    EXPECT_EQ(t.client().try_poke().error().top(), Err::channel_full);
    t.loop.run();
    EXPECT_EQ(t.server.pokes, 6);
    EXPECT_TRUE(t.client().try_poke());
    EXPECT_EQ(t.client().try_bulk(blob<900>(900, 0)).error().top(), Err::channel_full)
        << "half a message is none";
}

TEST(RpcChannel, EventsArrive) {
    SamplePair t;
    ASSERT_TRUE(
        t.events().try_tick(5, *Text<70>::from("a note longer than one line of the channel"))
    );
    ASSERT_TRUE(t.events().try_bare());
    t.loop.run();
    EXPECT_EQ(t.listener.ticks, (std::vector<uint64_t>{5}));
    EXPECT_EQ(t.listener.note, "a note longer than one line of the channel");
    EXPECT_EQ(t.listener.bares, 1);
}

TEST(RpcChannel, DifferentVersionsDoNotTalk) {
    for (const auto& other : {rpc::Contract{sample::contract.interface, 2}, rpc::Contract{1, 3}}) {
        SamplePair t{{.client_contract = other}};
        std::vector<std::string> log;
        t.spawn(hold(t, 1, log));
        t.loop.run();
        EXPECT_EQ(
            log, (std::vector<std::string>{"1 " + std::string{text_of(Err::version_mismatch)}})
        );
        EXPECT_EQ(t.server.ended, Err::version_mismatch);
        EXPECT_TRUE(t.server.held.empty()) << "nothing is believed before";
    }
}

TEST(RpcCold, ACallOverAColdChannelRingsAndIsAnswered) {
    SamplePair t;
    t.loop.run();
    const auto cool = [&] {
        for (int i = 0; i < 5 * 64; ++i)
            t.spawn([](async::Loop& loop) -> Task<> {
                co_await loop.yield();
                co_return {};
            }(t.loop)),
                t.loop.run();
        EXPECT_EQ(t.loop.cold_sources(), 2u);
    };
    for (int round = 0; round < 3; ++round) {
        cool();
        const int before = t.server_bell.rings + t.client_bell.rings;
        std::vector<int64_t> sums;
        t.spawn(add(t, 2, 40, sums));
        EXPECT_EQ(t.loop.cold_sources(), 1u) << "who calls expects something";
        t.loop.run();
        EXPECT_EQ(sums, (std::vector<int64_t>{42}));
        EXPECT_EQ(t.loop.cold_sources(), 0u);
        EXPECT_EQ(t.server_bell.rings + t.client_bell.rings, before + 1);
    }
    cool();
    t.client_end->peer_gone();
    t.loop.run();
    EXPECT_EQ(t.listener.ended, Err::peer_gone);
    EXPECT_EQ(t.server.ended, Err::peer_gone);
}

TEST(RpcChannel, ABindingsOwnMemoryIsTheLimitOfItsClientOnly) {
    SamplePair t{{.calls_at_a_time = 100, .frame_bytes = 4096}};
    std::vector<std::string> log;
    for (uint32_t id = 0; id < 20; ++id)
        t.spawn(hold(t, id, log));
    t.loop.run();
    EXPECT_GT(t.server.held.size(), 0u);
    EXPECT_LT(t.server.held.size(), 20u);
    EXPECT_EQ(log.size() + t.server.held.size(), 20u) << "every call is held or refused";
    for (const auto& line : log)
        EXPECT_NE(line.find(text_of(Err::no_memory)), line.npos);
    for (uint32_t id = 0; id < 20; ++id)
        t.server.release({id});
    t.loop.run();
    EXPECT_EQ(log.size(), 20u);
    std::vector<int64_t> sums;
    t.spawn(add(t, 1, 1, sums));
    t.loop.run();
    EXPECT_EQ(sums.size(), 1u) << "and goes on afterwards";
}

} // namespace
