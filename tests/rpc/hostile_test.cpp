#include <gtest/gtest.h>

#include <random>

#include "tests/rpc/sample_calls.hpp"

namespace {

using async::Task;

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
