// What the monitor keeps for somebody may be revoked by somebody else before he looks. Both cases
// were found by tests/sim.
#include "tests/monitor/domain.hpp"

namespace {

using namespace monitor_test;

/// Somebody revokes the RAM that it was made of, without the monitor.
void take_away(FakeKernel& kernel, uint64_t base) {
    const CapSlot ram = kernel.put({abi::Kind::ram, abi::all_rights, base, 8192, 0});
    while (!kernel.revoke_step(ram)) {
    }
    kernel.drop(ram);
}

TEST(TakenAway, AFrameBeforeItsServerLooksRefusesTheBind) {
    World world{1, first_seed()};
    Domain server{world, 0, 10}, client{world, 0, 11};
    ASSERT_TRUE(server.monitor().offer(server.badge, "echo"));
    const CapSlot frame = client.kernel().frame();
    const uint64_t base = client.kernel().describe(frame)->base;
    const auto bound = client.monitor().bind(client.badge, "echo", false, frame);
    ASSERT_TRUE(bound);
    take_away(client.kernel(), base);
    EXPECT_EQ(server.next().notice, Notice::nothing);
    const News news = client.next();
    EXPECT_EQ(news.notice, Notice::established);
    EXPECT_EQ(news.binding, *bound);
    EXPECT_EQ(news.status, Err::revoking);
}

TEST(TakenAway, ARevokeOfWhatIsGoneIsDoneAllTheSame) {
    World world{2, first_seed()};
    world.start_all();
    world.settle();
    Domain server{world, 1, 10}, client{world, 0, 11};
    ASSERT_TRUE(server.monitor().offer(server.badge, "echo"));
    world.settle();
    const auto bound = client.bind("echo");
    ASSERT_TRUE(bound);
    world.settle();
    ASSERT_TRUE(server.accept_one());
    world.settle();
    ASSERT_EQ(client.next().notice, Notice::established);
    const CapSlot frame = client.kernel().frame();
    const uint64_t base = client.kernel().describe(frame)->base;
    ASSERT_TRUE(client.send(*bound, 1, frame));
    world.settle();
    const auto request = client.revoke(frame);
    ASSERT_TRUE(request);
    ASSERT_NE(*request, 0u);
    world.settle();
    take_away(client.kernel(), base); // done, but its caller has yet to hear of it
    const News news = client.next();
    EXPECT_EQ(news.notice, Notice::revoked);
    EXPECT_EQ(news.binding, *request);
    EXPECT_FALSE(client.more); // an empty slot could not be passed on, nor the notice with it
}

} // namespace
