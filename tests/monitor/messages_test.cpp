// Messages between monitors for each operation, as the table that was set as the target has them.
#include "tests/monitor/pair.hpp"

using namespace monitor_test;

namespace {

template <class Act>
uint64_t messages_of(World& world, Act&& act) {
    const uint64_t before = world.messages();
    act();
    world.settle();
    return world.messages() - before;
}

void print(const char* operation, uint64_t messages) {
    std::cout << operation << ": " << messages << " messages between monitors\n";
}

TEST(Messages, OfEachOperationAreAsFewAsTheyShouldBe) {
    World world{4, 1};
    world.start_all();
    world.settle();
    Pair first{world, 0, 3, "first", 20}; // so that there is a link between the two
    Pair pair{world, 0, 3, "service", 30};
    const CapSlot channel = world.kernel(0).frame();
    const uint64_t bind = messages_of(world, [&] {
        const auto end = world.at(0).bind(pair.client.badge, "service", false, channel);
        ASSERT_TRUE(end);
        world.settle();
        const News news = *world.at(3).next(pair.server.badge); // its frame is kept
        ASSERT_EQ(news.notice, Notice::incoming);
        ASSERT_TRUE(world.at(3).answer(pair.server.badge, news.binding, Err::none));
    });
    print("bind between cores", bind);
    EXPECT_LE(bind, 2u);

    const CapSlot frame = world.kernel(0).frame();
    const uint64_t lend = messages_of(world, [&] {
        ASSERT_TRUE(pair.client.send(pair.client_end, 1, frame));
        world.settle();
        ASSERT_TRUE(pair.server.receive(pair.server_end, 1));
    });
    print("lend a capability with a message", lend);
    EXPECT_LE(lend, 2u);

    const uint64_t revoke = messages_of(world, [&] { ASSERT_TRUE(pair.client.revoke(frame)); });
    print("revoke what one core has borrowed", revoke);
    EXPECT_EQ(revoke, 2u);
}

} // namespace
