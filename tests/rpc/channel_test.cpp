#include "lib/rpc/channel.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tests/rpc/sample_pair.hpp"

namespace {

using async::result_of;
using async::Task;

template <size_t N>
Blob<N> blob(size_t size, unsigned start) {
    std::vector<std::byte> bytes;
    for (size_t i = 0; i < size; ++i)
        bytes.push_back(std::byte(uint8_t(start + i)));
    return *Blob<N>::from(bytes);
}

Task<> add(SamplePair& t, uint32_t a, int64_t b, std::vector<int64_t>& sums) {
    const auto result = co_await t.client().add(a, b);
    sums.push_back(result.sum);
    co_return {};
}

Task<> hold(SamplePair& t, uint32_t id, std::vector<std::string>& log) {
    const auto result = co_await result_of(t.client().hold(id));
    log.push_back(
        std::to_string(id) + (result ? "" : " " + std::string{text_of(result.error().top())})
    );
    co_return {};
}

Task<> release(SamplePair& t, uint32_t id) {
    co_await t.client().release(id);
    co_return {};
}

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

/// A call of eight lines.
Task<> long_echo(SamplePair& t, std::vector<Err>& ended) {
    sample::EchoArguments a{};
    a.data = blob<300>(300, 1);
    const auto answer = co_await async::result_of(t.client().echo(
        a.number,
        a.small,
        a.flag,
        a.where,
        a.who,
        a.address,
        a.card,
        a.status,
        a.colour,
        a.name,
        a.data
    ));
    ended.push_back(answer ? Err::none : answer.error().top());
    co_return {};
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

TEST(RpcHostile, AnAnswerToACallThatIsNotAllSentEndsTheChannelAndTheCall) {
    SamplePair t{{.lines = 4}};
    t.server_end.reset();
    t.client_end.reset();
    t.wire.layout.clear();
    t.client_end = std::make_unique<rpc::Channel>(
        t.loop,
        rpc::Setup{
            .side = t.wire.layout.client(), .bell = &t.client_bell, .contract = sample::contract
        },
        t.client_side
    );
    ump::Endpoint raw{t.wire.layout.server()};
    const ump::Body hello{sample::contract.interface, sample::version};
    ASSERT_TRUE(raw.try_send(rpc::make_tag(rpc::Kind::control, rpc::greeting), 0, hello));
    std::vector<Err> ended;
    t.spawn(long_echo(t, ended));
    t.loop.run();
    ASSERT_TRUE(raw.try_send(rpc::make_tag(rpc::Kind::reply, 0), 0, {}));
    t.loop.run();
    EXPECT_EQ(ended, (std::vector<Err>{Err::protocol}));
    EXPECT_TRUE(t.client_end->over());
}

/// The server with a client that is not ours: raw lines.
struct HostileClient : SamplePair {
    HostileClient() {
        client_end.reset(); // its close is in the ring: start afresh
        server_end.reset();
        wire.layout.clear();
        server_end = std::make_unique<rpc::Channel>(
            loop,
            rpc::Setup{
                .side = wire.layout.server(), .bell = &server_bell, .contract = sample::contract
            },
            server_side
        );
        server.ended = Err::none;
        raw = std::make_unique<ump::Endpoint>(wire.layout.client());
    }

    void greet() {
        line(rpc::make_tag(rpc::Kind::control, 0), {sample::contract.interface, sample::version});
    }

    void line(uint16_t tag, const ump::Body& body = {}) {
        ASSERT_TRUE(raw->try_send(tag, 0, body));
        loop.run();
    }

    ump::Message answer() {
        while (const auto m = receive(*raw))
            if (rpc::kind_of(m->tag()) == rpc::Kind::reply) return *m;
        return {};
    }

    std::unique_ptr<ump::Endpoint> raw;
};

TEST(RpcHostile, MustGreetFirst) {
    HostileClient t;
    t.line(rpc::make_tag(rpc::Kind::request, 0), {1});
    EXPECT_EQ(t.server.ended, Err::protocol);
}

TEST(RpcHostile, MayGreetOnlyOnce) {
    HostileClient t;
    t.greet();
    EXPECT_EQ(t.server.ended, Err::none);
    t.greet();
    EXPECT_EQ(t.server.ended, Err::protocol);
}

TEST(RpcHostile, AnUnknownCallIsRefusedAndTheChannelLives) {
    HostileClient t;
    t.greet();
    t.line(rpc::make_tag(rpc::Kind::request, 5), {99});
    const auto answer = t.answer();
    EXPECT_EQ(answer.tag(), rpc::make_tag(rpc::Kind::reply, 5));
    EXPECT_EQ(uint8_t(answer.body[0]), 1);
    EXPECT_EQ(uint16_t(answer.body[0] >> 8), std::to_underlying(Err::bad_operation));
    EXPECT_EQ(t.server.ended, Err::none);
}

TEST(RpcHostile, ACallThatCannotBeReadIsRefused) {
    HostileClient t;
    t.greet();
    // echo, with a bool that is neither: byte 1 + 8 + 1 is `flag`
    t.line(rpc::make_tag(rpc::Kind::request, 5), {2, 0x0002'0000});
    EXPECT_EQ(uint16_t(t.answer().body[0] >> 8), std::to_underlying(Err::malformed));
}

TEST(RpcHostile, WhatBreaksTheProtocolEndsTheChannel) {
    const uint16_t more = rpc::more_follows;
    const std::vector<std::vector<uint16_t>> stories{
        {rpc::make_tag(rpc::Kind::reply, 3)},                // nothing was asked
        {rpc::make_tag(rpc::Kind::reply, 8000)},             // no such id
        {rpc::make_tag(rpc::Kind::one_way, 77)},             // no such message
        {rpc::make_tag(rpc::Kind::one_way, 8)},              // an event, from a client
        {rpc::make_tag(rpc::Kind::control, rpc::withdrawn)}, // of nothing
        {rpc::make_tag(rpc::Kind::control, 3)},
        {uint16_t(rpc::make_tag(rpc::Kind::request, 1) | more), rpc::make_tag(rpc::Kind::request, 2)
        },
    };
    for (const auto& story : stories) {
        HostileClient t;
        t.greet();
        for (uint16_t tag : story)
            t.line(tag);
        EXPECT_EQ(t.server.ended, Err::protocol) << story[0];
        EXPECT_TRUE(t.server_end->over());
    }
}

TEST(RpcHostile, AMessageWithoutEndEndsTheChannel) {
    HostileClient t;
    t.greet();
    const uint16_t tag = rpc::make_tag(rpc::Kind::one_way, 7) | rpc::more_follows;
    for (size_t i = 0; i <= rpc::max_lines; ++i)
        t.line(tag);
    EXPECT_EQ(t.server.ended, Err::protocol);
}

TEST(RpcHostile, NoiseEndsInOrderOrInTheEnd) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937_64 random{seed};
    for (int round = 0; round < 300; ++round) {
        HostileClient t;
        t.greet();
        for (int i = 0; i < 100 && !t.server_end->over(); ++i) {
            const auto kind = rpc::Kind(random() % 16 == 0 ? random() % 4 : 0);
            auto tag = rpc::make_tag(kind, uint16_t(random() % 300));
            if (random() % 4 == 0) tag |= rpc::more_follows;
            ump::Body body;
            for (auto& word : body)
                word = random();
            body[0] = (body[0] & ~uint64_t{0xff}) | random() % 9;
            if (!t.raw->try_send(tag == ump::close_tag ? 0 : tag, 0, body)) break;
            while (receive(*t.raw)) {
            }
            t.loop.run();
        }
        t.server_end.reset();
        EXPECT_EQ(t.server.inside, 0);
        EXPECT_EQ(t.loop.pool().used(), 0u);
    }
}

} // namespace
