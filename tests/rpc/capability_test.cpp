// Capabilities in the messages of a channel: each arrives with its message, never before or after.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/rpc/sample_pair.hpp"

namespace {

using async::result_of;
using async::Task;
using Got = std::vector<uint32_t>;

Task<> swap(SamplePair& t, uint32_t what, uint32_t number, Got& got) {
    const auto back = co_await result_of(t.client().swap(abi::CapSlot{{what}}, number));
    got.push_back(back ? back->back.raw : std::to_underlying(back.error().top()) + 10'000u);
    co_return {};
}

Task<> keep(SamplePair& t, uint32_t what, size_t size) {
    const std::vector<std::byte> bytes(size);
    co_await t.client().keep(*Blob<100>::from(bytes), abi::CapSlot{{what}});
    co_return {};
}

Task<> poke(SamplePair& t) {
    co_await t.client().poke();
    co_return {};
}

TEST(RpcCapability, TravelsThereAndBack) {
    SamplePair t;
    Got got;
    t.spawn(swap(t, 7, 30, got));
    t.loop.run();
    EXPECT_EQ(t.server.kept, (Got{1007}));
    EXPECT_EQ(got, (Got{1030}));
    EXPECT_EQ(t.post.server.discarded, (Got{30})) << "the server gave its own away";
    EXPECT_TRUE(t.post.client.discarded.empty()) << "the caller keeps what it passed";
    EXPECT_EQ(t.loop.pool().used(), 0u);
}

TEST(RpcCapability, TheHandlerSeesNothingBeforeItIsThere) {
    SamplePair t;
    t.post.server.at_once = false;
    Got got;
    t.spawn(swap(t, 7, 30, got));
    t.loop.run();
    EXPECT_TRUE(t.server.kept.empty());
    FakePost::arrive(t.post.server, *t.server_end);
    t.loop.run();
    EXPECT_EQ(t.server.kept, (Got{1007}));
    EXPECT_EQ(got, (Got{1030}));
}

TEST(RpcCapability, NeitherDoesTheCaller) {
    SamplePair t;
    t.post.client.at_once = false;
    Got got;
    t.spawn(swap(t, 7, 30, got));
    t.loop.run();
    EXPECT_TRUE(got.empty());
    FakePost::arrive(t.post.client, *t.client_end);
    t.loop.run();
    EXPECT_EQ(got, (Got{1030}));
}

TEST(RpcCapability, OneWayMessagesKeepTheirOrderWhileOneWaits) {
    SamplePair t;
    t.post.server.at_once = false;
    t.spawn(keep(t, 1, 3)); // one line
    t.spawn(poke(t));
    t.spawn(keep(t, 2, 90)); // two
    t.spawn(poke(t));
    t.loop.run();
    EXPECT_TRUE(t.server.kept.empty());
    EXPECT_EQ(t.server.pokes, 0);
    FakePost::arrive(t.post.server, *t.server_end);
    t.loop.run();
    EXPECT_EQ(t.server.kept, (Got{1001, 1002}));
    EXPECT_EQ(t.server.kept_bytes, (std::vector<size_t>{3, 90}));
    EXPECT_EQ(t.server.pokes, 2);
}

TEST(RpcCapability, ComesWithAnEvent) {
    SamplePair t;
    const auto send = [](SamplePair& p) -> Task<> {
        co_await p.events().gift(5, abi::CapSlot{{9}});
        co_await p.events().gift(6, abi::null_slot);
        co_return {};
    };
    t.spawn(send(t));
    t.loop.run();
    EXPECT_EQ(t.listener.gifts, (Got{1009, 0}));
}

TEST(RpcCapability, RevokedOnItsWayEndsTheCall) {
    SamplePair t;
    Got got;
    t.spawn(swap(t, FakePost::revoked - 1000, 30, got));
    t.loop.run();
    EXPECT_TRUE(t.server.kept.empty());
    EXPECT_EQ(got, (Got{std::to_underlying(Err::revoking) + 10'000u}));
    EXPECT_FALSE(t.client_end->over());
}

TEST(RpcCapability, ThatCannotBeSentEndsTheCallBeforeItBegins) {
    SamplePair t;
    t.post.client.refuse = Err::foreign;
    Got got;
    t.spawn(swap(t, 7, 30, got));
    t.loop.run();
    EXPECT_EQ(got, (Got{std::to_underlying(Err::foreign) + 10'000u}));
    t.post.client.refuse = Err::none;
    t.post.server.refuse = Err::quota; // nor its answer
    t.spawn(swap(t, 7, 30, got));
    t.loop.run();
    EXPECT_EQ(got.back(), std::to_underlying(Err::quota) + 10'000u);
    EXPECT_EQ(t.post.server.discarded, (Got{30}));
}

TEST(RpcCapability, NobodyIsLeftWithThatOfACancelledCall) {
    for (const bool early : {true, false}) {
        SamplePair t;
        t.post.client.at_once = false;
        Got got;
        {
            async::Job job;
            ASSERT_TRUE(job.start(swap(t, 7, 30, got)));
            if (!early) t.loop.run(); // then the answer is there, and its capability is not
        }
        t.loop.run();
        FakePost::arrive(t.post.client, *t.client_end);
        t.loop.run();
        EXPECT_EQ(t.post.client.discarded, (Got{1030})) << early;
        EXPECT_TRUE(t.post.client.incoming.empty());
    }
}

/// Each frame that is wanted on the way is once the one that finds no room.
template <class Try>
void in_every_size_of_pool(Try&& attempt) {
    for (size_t bytes = 256; bytes <= 8192; bytes += 128) {
        SCOPED_TRACE(bytes);
        attempt(bytes);
    }
}

TEST(RpcCapability, OfARequestThatIsRefusedIsNotLeftUnderWay) {
    size_t refused = 0;
    in_every_size_of_pool([&](size_t bytes) {
        SamplePair t{{.frame_bytes = bytes}};
        t.post.server.at_once = false;
        Got got;
        for (uint32_t i = 1; i <= 12; ++i)
            t.spawn(swap(t, i, 30, got));
        t.loop.run();
        FakePost::arrive(t.post.server, *t.server_end);
        t.loop.run();
        EXPECT_EQ(got.size(), 12u);
        EXPECT_TRUE(t.post.server.incoming.empty());
        const auto back = std::ranges::count(got, 1030u);
        const auto no_memory =
            std::ranges::count(got, 10'000u + std::to_underlying(Err::no_memory));
        EXPECT_EQ(back + no_memory, 12);
        const auto own = std::ranges::count(t.post.server.discarded, 30u);
        const auto of_the_client = std::ssize(t.post.server.discarded) - own;
        EXPECT_EQ(std::ssize(t.server.kept) + of_the_client, 12);
        refused += static_cast<size_t>(no_memory);
    });
    EXPECT_GT(refused, 0u);
}

TEST(RpcCapability, OfAnAnswerThatNobodyHasRoomForIsNotLeftUnderWay) {
    size_t refused = 0;
    in_every_size_of_pool([&](size_t bytes) {
        SamplePair t;
        std::vector<std::byte> memory(bytes);
        async::FramePool small{memory};
        Got got;
        {
            const async::UsePool scope{&small};
            for (uint32_t i = 1; i <= 6; ++i)
                t.spawn(swap(t, i, 30, got));
        }
        t.loop.run();
        EXPECT_TRUE(t.post.client.incoming.empty());
        const auto back = std::ranges::count(got, 1030u);
        EXPECT_EQ(std::ssize(t.server.kept), back + std::ssize(t.post.client.discarded));
        refused += t.post.client.discarded.size();
    });
    EXPECT_GT(refused, 0u);
}

TEST(RpcCapability, ThatWentAheadOfAMessageThatIsCancelledIsTakenBack) {
    for (const bool at_once : {true, false}) {
        SamplePair t{{.lines = 4}};
        t.post.server.at_once = at_once;
        Got got;
        {
            async::Job sent, halfway, queued; // beside the greeting there is room for three lines
            ASSERT_TRUE(sent.start(keep(t, 3, 90)));
            EXPECT_FALSE(sent.running());
            ASSERT_TRUE(halfway.start(keep(t, 4, 90)));
            ASSERT_TRUE(halfway.running());
            ASSERT_TRUE(queued.start(swap(t, 5, 30, got)));
            EXPECT_EQ(t.post.server.incoming.size(), 3u);
        }
        t.loop.run();
        FakePost::arrive(t.post.server, *t.server_end);
        t.loop.run();
        EXPECT_TRUE(t.post.server.incoming.empty());
        EXPECT_EQ(t.post.server.discarded.size(), 2u);
        EXPECT_EQ(t.server.kept, (Got{1003}));
        t.spawn(swap(t, 6, 30, got));
        t.loop.run();
        FakePost::arrive(t.post.server, *t.server_end);
        t.loop.run();
        EXPECT_EQ(t.server.kept, (Got{1003, 1006}));
    }
}

TEST(RpcCapability, TheEndOfTheChannelEndsTheWait) {
    SamplePair t;
    t.post.server.at_once = t.post.client.at_once = false;
    Got got;
    t.spawn(swap(t, 7, 30, got));
    t.spawn(keep(t, 2, 90));
    t.loop.run();
    FakePost::arrive(t.post.server, *t.server_end);
    t.loop.run();
    t.client_end->peer_gone();
    t.server_end->peer_gone();
    t.loop.run();
    EXPECT_EQ(got, (Got{std::to_underlying(Err::peer_gone) + 10'000u}));
    t.server_end.reset();
    t.client_end.reset();
    EXPECT_EQ(t.loop.pool().used(), 0u);
}

TEST(RpcCapability, WithoutTheSeamThereAreNone) {
    SamplePair t{{.carries_capabilities = false}};
    abi::CapSlot none, some{{7}}, token{{0x8000'0001}};
    EXPECT_TRUE(t.client_end->send_capability(none)) << "nothing travels as nothing";
    EXPECT_TRUE(t.client_end->take_now(none));
    EXPECT_EQ(t.client_end->send_capability(some).error(), Err::unsupported);
    EXPECT_EQ(t.client_end->take_now(token).error(), Err::unsupported);
    Got got;
    t.spawn(swap(t, 7, 30, got));
    t.loop.run();
    EXPECT_EQ(got, (Got{std::to_underlying(Err::unsupported) + 10'000u}));
    EXPECT_TRUE(t.post.server.incoming.empty());
}

TEST(RpcCapability, OneThatIsNotThereYetIsNotWaitedForByWhoTakesItNow) {
    SamplePair t;
    abi::CapSlot token{{0x8000'0001}};
    EXPECT_EQ(t.client_end->take_now(token).error(), Err::would_block);
}

} // namespace
