#include <gtest/gtest.h>

#include "lib/os/watched.hpp"
#include "tests/async/fake_waiter.hpp"
#include "tests/ump/channel_fixture.hpp"

namespace {

using os::Network, os::Socket, os::Watched, os::Watchers;
namespace api = interfaces::socket;

struct NoBell final : rpc::Bell {
    void ring() override {}
};

/// An application whose stack says nothing at all.
struct DeafStack : TestLoop {
    static constexpr uint32_t chunk_bytes = 64;

    NoBell bell;
    rpc::OnlyCalls nothing_else;
    TestChannel wire{16};
    std::vector<std::byte> area = std::vector<std::byte>(4 * chunk_bytes);
    rpc::Channel channel{
        loop,
        rpc::Setup{.side = wire.layout.client(), .bell = &bell, .contract = api::contract},
        nothing_else
    };
    api::Client client{channel};
    Network network{loop, client, area, chunk_bytes};
};

TEST(Sockets, AHandleThatIsGivenTooOftenDoesNoHarm) {
    DeafStack t;
    for (unsigned i = 0; i < 3 * api::SOCKETS; ++i)
        const Socket same{t.network, 0x4000'0005};
    t.channel.peer_gone();
    t.loop.run();
    EXPECT_EQ(t.loop.pool().used(), 0u);
}

TEST(Sockets, OneWatchedTwiceIsStillWatchedOnce) {
    DeafStack t;
    Socket socket{t.network, 5};
    Watchers watchers{t.network};
    std::optional<Watched> first{std::in_place, watchers, socket};
    Watched second{watchers, socket};
    first.reset();
    ASSERT_TRUE(t.loop.spawn("follow", [&] { return watchers.follow(); }));
    t.channel.peer_gone();
    t.loop.run();
    EXPECT_EQ(second.ready(), api::READABLE | api::HANG_UP);
}

TEST(Sockets, TheEndOfTheStackIsSomethingToRead) {
    DeafStack t;
    Socket socket{t.network, 5};
    Watchers watchers{t.network};
    Watched watched{watchers, socket};
    uint32_t seen = 0;
    const auto wait = [](Watched& w, uint32_t& ready) -> async::Task<> {
        co_await w.changed();
        ready = w.ready();
        co_return {};
    };
    ASSERT_TRUE(t.loop.spawn("wait", [&] { return wait(watched, seen); }));
    ASSERT_TRUE(t.loop.spawn("follow", [&] { return watchers.follow(); }));
    t.loop.run();
    EXPECT_EQ(seen, 0u);
    t.channel.peer_gone();
    t.loop.run();
    EXPECT_EQ(seen, api::READABLE | api::HANG_UP);
}

} // namespace
