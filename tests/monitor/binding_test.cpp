// Channels between domains, of one core and of two: asked for, answered, ended by either side.
#include "tests/monitor/pair.hpp"

using namespace monitor_test;

namespace {

class Binding : public testing::Test {
  protected:
    /// A server on one core, a client on another, bound; the number at either end.
    void bind_pair(World& world, Domain& server, Domain& client) {
        ASSERT_TRUE(server.monitor().offer(server.badge, "echo"));
        world.settle();
        const auto number = client.bind("echo");
        ASSERT_TRUE(number);
        world.settle();
        const auto accepted = server.accept_one();
        ASSERT_TRUE(accepted);
        server_number = *accepted;
        world.settle();
        const News news = client.next();
        ASSERT_EQ(news.notice, Notice::established);
        EXPECT_EQ(news.status, Err::none);
        EXPECT_EQ(news.binding, *number);
        ASSERT_TRUE(client.more);
        EXPECT_EQ(client.more->kind, abi::Kind::doorbell);
        client_number = *number;
    }

    uint32_t server_number{}, client_number{};
};

TEST_F(Binding, OnOneCoreTakesNoMessage) {
    World world{2, 1};
    world.start_all();
    world.settle();
    Domain server{world, 0, 20};
    Domain client{world, 0, 21};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    world.settle();
    const uint64_t before = world.lines_moved;
    const auto number = client.bind("echo");
    ASSERT_TRUE(number);
    EXPECT_EQ(world.kernel(0).rings[20], 1u);
    ASSERT_TRUE(server.accept_one());
    EXPECT_EQ(server.more->bytes, 8192u);
    EXPECT_EQ(client.next().notice, Notice::established);
    EXPECT_EQ(client.more->badge, 20u + 1000) << "the server's doorbell for channels";
    EXPECT_EQ(world.lines_moved, before);
    EXPECT_EQ(world.kernel(0).count(abi::Kind::loan), 1u) << "the joint's alone";
}

TEST_F(Binding, BetweenCoresTakesTwoMessages) {
    World world{2, 1};
    world.start_all();
    Domain server{world, 1, 20};
    Domain client{world, 0, 21};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    world.settle();
    const uint64_t before = world.lines_moved;
    ASSERT_TRUE(client.bind("echo"));
    world.settle();
    const News news = *server.monitor().next(20); // and keeps the frame
    EXPECT_EQ(news.notice, Notice::incoming);
    EXPECT_EQ(news.detail & 0xff, 0u);
    EXPECT_EQ(news.detail >> 8, 8192u);
    EXPECT_EQ(server.monitor().asked_name(20, news.binding)->view(), "echo");
    ASSERT_TRUE(server.monitor().answer(20, news.binding, Err::none));
    world.settle();
    EXPECT_EQ(world.lines_moved - before, 2u);
    EXPECT_EQ(client.next().notice, Notice::established);
    EXPECT_EQ(client.more->base, abi::core_space + 101);
    EXPECT_EQ(client.more->badge, 1020u) << "the vector of the server's channels";
    EXPECT_EQ(world.kernel(0).count(abi::Kind::loan), 2u);
    ASSERT_EQ(world.at(0).loans().count(), 2u);
}

TEST_F(Binding, WaitsForAName) {
    with_seeds([](uint64_t seed) {
        World world{3, seed};
        world.start_all();
        Domain client{world, 2, 21};
        Domain server{world, 1, 20};
        EXPECT_EQ(client.bind("echo").error(), Err::not_found);
        const auto number = client.bind("echo", true);
        ASSERT_TRUE(number);
        world.settle();
        EXPECT_EQ(client.next().notice, Notice::nothing);
        ASSERT_TRUE(server.monitor().offer(20, "echo"));
        world.settle();
        ASSERT_TRUE(server.accept_one());
        world.settle();
        const News news = client.next();
        EXPECT_EQ(news.notice, Notice::established);
        EXPECT_EQ(news.binding, *number);
        world.expect_no_bad_messages();
    });
}

TEST_F(Binding, PairsAreIntroducedOnceEvenWhenBothBegin) {
    with_seeds([](uint64_t seed) {
        World world{3, seed};
        world.start_all();
        Domain one{world, 1, 20};
        Domain two{world, 2, 21};
        ASSERT_TRUE(one.monitor().offer(20, "one"));
        ASSERT_TRUE(two.monitor().offer(21, "two"));
        world.settle();
        ASSERT_TRUE(one.bind("two"));
        for (unsigned steps = world.draw(6); steps > 0; --steps)
            world.step();
        ASSERT_TRUE(two.bind("one"));
        world.settle();
        ASSERT_TRUE(one.accept_one());
        ASSERT_TRUE(two.accept_one());
        world.settle();
        EXPECT_EQ(one.next().notice, Notice::established);
        EXPECT_EQ(two.next().notice, Notice::established);
        const auto& ends = world.islands;
        EXPECT_EQ(ends[1]->links.ends[2].base, ends[2]->links.ends[1].base);
        world.expect_no_bad_messages();
    });
}

TEST_F(Binding, RefusalReachesTheClient) {
    World world{2, 1};
    world.start_all();
    Domain server{world, 1, 20};
    Domain client{world, 0, 21};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    world.settle();
    ASSERT_TRUE(client.bind("echo"));
    world.settle();
    ASSERT_TRUE(server.accept_one(Err::busy));
    world.settle();
    const News news = client.next();
    EXPECT_EQ(news.notice, Notice::established);
    EXPECT_EQ(news.status, Err::busy);
    EXPECT_EQ(client.monitor().unbind(21, news.binding).error(), Err::not_found);
    EXPECT_EQ(server.next().notice, Notice::nothing);
}

TEST_F(Binding, DeathOfEitherSideIsANoticeForTheOther) {
    for (const bool server_dies : {false, true})
        for (const unsigned client_core : {0u, 1u}) {
            World world{2, 1};
            world.start_all();
            world.settle();
            Domain server{world, 1, 20};
            Domain client{world, client_core, 21};
            bind_pair(world, server, client);
            (server_dies ? server : client).die();
            world.settle();
            Domain& left = server_dies ? client : server;
            const News news = left.next();
            EXPECT_EQ(news.notice, Notice::peer_gone);
            EXPECT_EQ(news.binding, server_dies ? client_number : server_number);
            EXPECT_EQ(left.next().notice, Notice::nothing);
            if (server_dies) EXPECT_EQ(client.bind("echo").error(), Err::not_found);
            world.expect_no_bad_messages();
        }
}

TEST_F(Binding, AnswerToAClientThatHasLeftIsAnError) {
    for (unsigned client_core : {0u, 1u}) {
        World world{2, 1};
        world.start_all();
        world.settle();
        Domain server{world, 1, 20};
        Domain client{world, client_core, 21};
        ASSERT_TRUE(server.monitor().offer(20, "echo"));
        world.settle();
        const auto number = client.bind("echo");
        world.settle();
        const News news = server.next();
        ASSERT_EQ(news.notice, Notice::incoming);
        ASSERT_TRUE(client.monitor().unbind(21, *number));
        world.settle();
        EXPECT_EQ(server.monitor().answer(20, news.binding, Err::none).error(), Err::peer_gone);
        EXPECT_EQ(server.next().notice, Notice::peer_gone);
        EXPECT_EQ(server.monitor().answer(20, news.binding, Err::none).error(), Err::not_found);
        world.settle();
        world.expect_no_bad_messages();
    }
}

TEST_F(Binding, FailedAcceptIsTheClientsError) {
    for (unsigned which : {1u, 2u}) {
        World world{2, 1};
        world.start_all();
        world.settle();
        Domain server{world, 1, 20};
        Domain client{world, 0, 21};
        ASSERT_TRUE(server.monitor().offer(20, "echo"));
        world.settle();
        ASSERT_TRUE(client.bind("echo"));
        world.kernel(1).refuse_accept = which;
        world.settle();
        EXPECT_EQ(client.next().status, Err::no_slots);
        EXPECT_EQ(server.next().notice, Notice::nothing);
    }
}

TEST_F(Binding, ServerIsToldToForgetWhatTheClientsCoreCouldNotAccept) {
    World world{2, 1};
    world.start_all();
    world.settle();
    Domain server{world, 1, 20};
    Domain client{world, 0, 21};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    world.settle();
    ASSERT_TRUE(client.bind("echo"));
    world.settle();
    ASSERT_TRUE(server.accept_one());
    world.kernel(0).refuse_accept = 1;
    world.settle();
    EXPECT_EQ(client.next().status, Err::no_slots);
    world.settle();
    EXPECT_EQ(server.next().notice, Notice::peer_gone);
}

TEST_F(Binding, NamesThatGiveControlAreForTheTrusted) {
    World world{2, 1};
    world.start_all();
    Domain server{world, 1, 20};
    Domain client{world, 0, 21};
    for (const char* name : {"spawn.1", "pci", "nic.0", "routes", "raw"}) {
        EXPECT_EQ(server.monitor().offer(20, name).error(), Err::cap_rights) << name;
        EXPECT_EQ(client.bind(name).error(), Err::cap_rights) << name;
    }
    EXPECT_EQ(client.monitor().trust(21, 21).error(), Err::cap_rights);
    EXPECT_EQ(client.monitor().trust(badge_spawn, 77).error(), Err::not_found);
    ASSERT_TRUE(server.monitor().trust(badge_spawn, 20));
    ASSERT_TRUE(server.monitor().offer(20, "pci"));
    world.settle();
    EXPECT_EQ(client.bind("pci").error(), Err::cap_rights);
    ASSERT_TRUE(client.monitor().trust(badge_spawn, 21));
    EXPECT_TRUE(client.bind("pci"));
    world.settle();
    EXPECT_TRUE(server.accept_one());
}

TEST_F(Binding, ThoseThatComeAndGoLeaveNothingBehind) {
    World world{2, 1};
    world.start_all();
    Domain server{world, 1, 20};
    Domain client{world, 0, 21};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    world.settle();
    for (uint32_t i = 0; i < 2 * Monitor::unanswered_max + 2; ++i) {
        const auto left_early = client.bind("echo");
        ASSERT_TRUE(left_early) << i;
        world.settle();
        ASSERT_TRUE(client.monitor().unbind(21, *left_early));
        const auto answered = client.bind("echo");
        ASSERT_TRUE(answered) << i;
        world.settle();
        ASSERT_TRUE(server.accept_one()) << "the one that left was never shown";
        world.settle();
        ASSERT_EQ(client.next().notice, Notice::established);
        ASSERT_TRUE(client.monitor().unbind(21, *answered));
        world.settle();
        ASSERT_EQ(server.next().notice, Notice::peer_gone);
    }
    world.expect_no_bad_messages();
}

} // namespace
