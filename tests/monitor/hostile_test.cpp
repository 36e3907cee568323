// Domains and peers that break the rules: nobody else notices.
#include <memory>

#include "tests/monitor/pair.hpp"

using namespace monitor_test;

namespace {

TEST(Hostile, DomainsReachNothingOfOthers) {
    World world{1, 1};
    Domain server{world, 0, 20};
    Domain client{world, 0, 21};
    Domain thief{world, 0, 22};
    Monitor& monitor = world.at(0);
    ASSERT_TRUE(monitor.offer(20, "echo"));
    const auto number = client.bind("echo");
    ASSERT_TRUE(number);
    for (uint32_t guess = 0; guess < 200'000; ++guess) {
        ASSERT_EQ(monitor.unbind(22, guess).error(), Err::not_found);
        ASSERT_EQ(monitor.take_bell(22, guess).error(), Err::not_found);
        ASSERT_EQ(monitor.answer(22, guess, Err::none).error(), Err::not_found);
    }
    EXPECT_EQ(monitor.answer(21, *number, Err::none).error(), Err::bad_state) << "the wrong end";
    EXPECT_EQ(monitor.take_bell(21, *number).error(), Err::bad_state);
    EXPECT_EQ(monitor.new_client(22, 30, "x").error(), Err::cap_rights);
    EXPECT_EQ(monitor.client_gone(22, 21).error(), Err::cap_rights);
    EXPECT_EQ(monitor.fetch(22, "x").error(), Err::cap_rights);
    EXPECT_EQ(monitor.attach(99, world.kernel(0).doorbell(99)).error(), Err::peer_gone);
    EXPECT_EQ(monitor.new_client(badge_spawn, 21, "x").error(), Err::exists);
    EXPECT_EQ(monitor.new_client(badge_spawn, badge_init, "x").error(), Err::bad_argument);
    EXPECT_TRUE(server.accept_one()) << "nothing of this disturbed the two";
}

TEST(Hostile, BindsAreBoundedForEach) {
    World world{1, 1};
    Domain greedy{world, 0, 20};
    Domain modest{world, 0, 21};
    for (uint32_t i = 0; i < Monitor::client_ends_max; ++i)
        ASSERT_TRUE(greedy.bind("nowhere", true));
    EXPECT_EQ(greedy.bind("nowhere", true).error(), Err::quota);
    EXPECT_TRUE(modest.bind("nowhere", true));
    for (uint32_t i = 0; i < Monitor::offers_max; ++i)
        ASSERT_TRUE(greedy.monitor().offer(20, "n" + std::to_string(i)));
    EXPECT_EQ(greedy.monitor().offer(20, "more").error(), Err::quota);
    greedy.die();
    modest.die();
    EXPECT_TRUE(world.kernel(0).slots.empty()) << "a capability was lost";
}

TEST(Hostile, NobodyUsesUpWhatOthersNeed) {
    World world{2, 1};
    world.start_all();
    Pair greedy{world, 0, 0, "greedy", 20};
    uint32_t token = 0;
    for (size_t i = 0; i < 12; ++i) {
        while (greedy.client.send(greedy.client_end, ++token, greedy.frame))
            world.settle();
        while (greedy.server.send(greedy.server_end, ++token, greedy.server_frame))
            world.settle();
        greedy.connect(world, "greedy");
    }
    Pair modest{world, 1, 0, "modest", 40};
    ASSERT_TRUE(modest.client.send(modest.client_end, 1, world.kernel(1).frame()));
    world.settle();
    EXPECT_TRUE(modest.server.receive(modest.server_end, 1));
    std::vector<std::unique_ptr<Domain>> all;
    for (uint32_t id = 50; id < 60; ++id) {
        Domain& domain = *all.emplace_back(std::make_unique<Domain>(world, 0, id));
        while (domain.bind("nowhere", true)) {
        }
    }
    Pair late{world, 1, 0, "late", 70};
    EXPECT_TRUE(late.client.send(late.client_end, 1, world.kernel(1).frame()));
}

TEST(Hostile, CapabilitiesOfTheWrongKindAreRefusedAndDropped) {
    World world{1, 1};
    Domain client{world, 0, 20};
    Monitor& monitor = world.at(0);
    FakeKernel& kernel = world.kernel(0);
    const size_t before = kernel.slots.size();
    EXPECT_EQ(monitor.attach(20, kernel.frame()).error(), Err::cap_type);
    EXPECT_EQ(monitor.attach_channels(20, kernel.frame()).error(), Err::cap_type);
    EXPECT_EQ(monitor.bind(20, "x", true, kernel.doorbell(1)).error(), Err::cap_type);
    const Described dim{abi::Kind::frame, abi::read, 0x10'0000, 4096, 0};
    EXPECT_EQ(monitor.bind(20, "x", true, kernel.put(dim)).error(), Err::cap_rights);
    EXPECT_EQ(monitor.hand(20, core_id(0), "x", kernel.frame()).error(), Err::cap_type);
    EXPECT_FALSE(monitor.bind(20, "x", true, abi::null_slot));
    EXPECT_EQ(kernel.slots.size(), before);
}

TEST(Hostile, MessagesThatMakeNoSenseAreCountedOnly) {
    World world{3, 1};
    world.start_all();
    world.settle();
    Monitor& monitor = world.at(1);
    const Message nonsense[] = {
        Hello{core_id(2), {}, protocol_version},
        Welcome{core_id(2), {}, protocol_version},
        CoreChange{.core = core_id(2), .state = CoreState(17), .version = 9},
        OwnerChange{.base = 0x20'0000, .bytes = 0},
        Suspect{.core = core_id(1)},
        NameChange{*Name::from("x"), core_id(1), true},
        NameChange{Name{}, core_id(2), true},
        BindAnswer{12345, Err::none, {}},
        LendAnswer{12345, Err::none},
        RelendAnswer{12345, Err::none},
        HandAnswer{12345, Err::none},
        Return{12345},
        Revoked{12345, core_id(1)},
    };
    uint64_t bad = 0;
    for (const Message& message : nonsense) {
        monitor.receive(core_id(0), message);
        EXPECT_EQ(monitor.counters().bad_messages, ++bad) << "message " << message.index();
    }
    monitor.receive(core_id(0), Unbind{12345, true});
    monitor.receive(core_id(0), Unbind{12345, false});
    EXPECT_EQ(monitor.core_at(1)->state, CoreState::up);
    EXPECT_TRUE(names_of(monitor).empty());
}

} // namespace
