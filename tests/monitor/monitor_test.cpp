// Cores join, names are replicated, peers are slow, devices change hands.
#include "tests/monitor/pair.hpp"

using namespace monitor_test;

namespace {

TEST(Join, AllCoresLearnOfAllCores) {
    with_seeds([](uint64_t seed) {
        World world{4, seed};
        world.start_all();
        world.settle();
        for (unsigned core = 0; core < 4; ++core)
            for (unsigned other = 0; other < 4; ++other) {
                const auto known = world.at(core).core_at(other);
                ASSERT_TRUE(known);
                EXPECT_EQ(known->state, CoreState::up) << core << " of " << other;
                EXPECT_EQ(known->apic, other + 100);
            }
        EXPECT_EQ(world.at(2).core_at(4).error(), Err::no_such_core);
        world.expect_no_bad_messages();
    });
}

TEST(Join, CoreThatFailedIsLeftOutEverywhere) {
    World world{3, 1};
    world.start_core(1);
    ASSERT_TRUE(world.at(0).joint_make(badge_init, core_id(2), world.kernel(0).frame()));
    EXPECT_EQ(world.at(0).core_at(2)->state, CoreState::starting);
    ASSERT_TRUE(world.at(0).joint_failed(badge_init, core_id(2)));
    world.settle();
    EXPECT_EQ(world.at(0).core_at(2)->state, CoreState::failed);
    EXPECT_EQ(world.at(1).core_at(2)->state, CoreState::failed);
    EXPECT_EQ(world.at(0).joint_failed(badge_init, core_id(2)).error(), Err::bad_state);
}

TEST(Join, MemoryOfACoreThatStartsIsGoneHere) {
    World world{2, 1};
    const CapSlot ram = world.kernel(0).ram(), more = world.kernel(0).ram();
    const auto start = [&] {
        return world.at(0).joint_start(badge_init, core_id(1), 8, *world.kernel(0).copy(ram));
    };
    const auto give = [&] {
        return world.at(0).joint_give(badge_init, core_id(1), *world.kernel(0).copy(more));
    };
    EXPECT_EQ(give().error(), Err::bad_state); // it has no joint
    EXPECT_EQ(start().error(), Err::bad_state);
    ASSERT_TRUE(world.at(0).joint_make(badge_init, core_id(1), world.kernel(0).frame()));
    EXPECT_EQ(give().error(), Err::busy) << "not heard yet that it is its own";
    EXPECT_EQ(start().error(), Err::busy);
    for (const CapSlot piece : {ram, more}) {
        const auto what = world.kernel(0).describe(piece);
        ASSERT_TRUE(world.at(0).set_ram({what->base, what->bytes}));
    }
    ASSERT_TRUE(give());
    ASSERT_TRUE(start());
    EXPECT_EQ(world.kernel(0).started, (std::vector<uint32_t>{101}));
    EXPECT_FALSE(world.kernel(0).describe(ram));
    EXPECT_EQ(world.kernel(0).count(abi::Kind::ram), 0u);
}

TEST(Join, WhoWatchesCoresHearsOfEachThatChanged) {
    World world{3, 1};
    Domain watcher{world, 0, 20}, other{world, 0, 21};
    ASSERT_TRUE(world.at(0).watch_cores(20));
    world.start_core(1);
    ASSERT_TRUE(world.at(0).joint_make(badge_init, core_id(2), world.kernel(0).frame()));
    world.settle();
    // Whose doorbell comes late is rung for what it has missed.
    ASSERT_TRUE(world.at(0).attach(20, world.kernel(0).doorbell(2000)));
    EXPECT_EQ(world.kernel(0).rings[2000], 1u);
    for (const uint64_t core : {1u, 2u}) {
        const auto news = world.at(0).next(20);
        ASSERT_TRUE(news);
        EXPECT_EQ(news->notice, Notice::core_changed);
        EXPECT_EQ(news->detail, core);
    }
    EXPECT_EQ(world.at(0).next(20)->notice, Notice::nothing);
    EXPECT_EQ(world.at(0).next(21)->notice, Notice::nothing);
}

TEST(Join, OnlyCoreBootMayStartCores) {
    World world{2, 1};
    Domain stranger{world, 0, 20, "shell"};
    Domain starter{world, 0, 21, "coreboot"};
    const auto refused = world.at(0).joint_make(20, core_id(1), world.kernel(0).frame());
    EXPECT_EQ(refused.error(), Err::cap_rights);
    EXPECT_TRUE(world.at(0).joint_make(21, core_id(1), world.kernel(0).frame()));
    EXPECT_EQ(world.at(0).joint_failed(20, core_id(1)).error(), Err::cap_rights);
}

TEST(Names, ConvergeInAnyOrder) {
    with_seeds([](uint64_t seed) {
        World world{4, seed};
        std::vector<Domain> domains;
        for (unsigned core = 0; core < 4; ++core)
            domains.emplace_back(world, core, 20 + core);
        // Half is offered before the cores have joined, half while they do.
        for (Domain& domain : domains)
            ASSERT_TRUE(domain.monitor().offer(domain.badge, "early." + std::to_string(domain.core))
            );
        world.start_all();
        for (Domain& domain : domains) {
            for (unsigned steps = world.draw(20); steps > 0; --steps)
                world.step();
            ASSERT_TRUE(domain.monitor().offer(domain.badge, "late." + std::to_string(domain.core))
            );
        }
        ASSERT_TRUE(domains[2].monitor().withdraw(domains[2].badge, "early.2"));
        world.settle();
        const std::set<std::pair<std::string, unsigned>> expected{
            {"early.0", 0},
            {"early.1", 1},
            {"early.3", 3},
            {"late.0", 0},
            {"late.1", 1},
            {"late.2", 2},
            {"late.3", 3},
        };
        for (unsigned core = 0; core < 4; ++core)
            EXPECT_EQ(names_of(world.at(core)), expected) << "core " << core;
        world.expect_no_bad_messages();
    });
}

TEST(Names, LowerCoreWinsAConflictAndTheOtherIsTold) {
    with_seeds([](uint64_t seed) {
        World world{4, seed};
        world.start_all();
        world.settle();
        Domain low{world, 1, 20};
        Domain high{world, 3, 21};
        ASSERT_TRUE(high.monitor().offer(21, "net"));
        ASSERT_TRUE(low.monitor().offer(20, "net")) << "they cannot know of each other yet";
        world.settle();
        for (unsigned core = 0; core < 4; ++core)
            EXPECT_EQ(
                names_of(world.at(core)), (std::set<std::pair<std::string, unsigned>>{{"net", 1}})
            );
        EXPECT_EQ(low.next().notice, Notice::nothing);
        const News news = high.next();
        EXPECT_EQ(news.notice, Notice::withdrawn);
        EXPECT_EQ(news.detail, 1u);
        EXPECT_GE(world.kernel(3).rings[21], 1u);
    });
}

TEST(Names, AreRefusedTwice) {
    World world{2, 1};
    world.start_all();
    Domain a{world, 0, 20};
    Domain b{world, 1, 21};
    ASSERT_TRUE(a.monitor().offer(20, "net"));
    EXPECT_EQ(a.monitor().offer(20, "net").error(), Err::exists);
    world.settle();
    EXPECT_EQ(b.monitor().offer(21, "net").error(), Err::exists);
    EXPECT_EQ(b.monitor().withdraw(21, "net").error(), Err::not_found) << "it is another's";
    EXPECT_EQ(a.monitor().offer(20, "").error(), Err::bad_argument);
    EXPECT_EQ(a.monitor().offer(20, "a name").error(), Err::bad_argument);
    EXPECT_EQ(a.monitor().offer(20, "seventeen-letters").error(), Err::name_too_long);
}

TEST(Names, ThatComeAndGoFastLeaveOneStateEverywhere) {
    with_seeds([](uint64_t seed) {
        World world{3, seed};
        world.start_all();
        Domain flapping{world, 1, 20};
        for (unsigned i = 0; i < 50; ++i) {
            ASSERT_TRUE(flapping.monitor().offer(20, "flap"));
            if (world.draw(2) == 0) world.step();
            if (i != 49) ASSERT_TRUE(flapping.monitor().withdraw(20, "flap"));
        }
        world.settle();
        for (unsigned core = 0; core < 3; ++core)
            EXPECT_EQ(names_of(world.at(core)).count({"flap", 1}), 1u);
        world.expect_no_bad_messages();
    });
}

TEST(Slow, PeerDelaysNobodyElse) {
    World world{4, 7};
    world.start_all();
    world.settle();
    world.islands[3]->stalled = true;
    Domain server{world, 2, 20};
    Domain client{world, 1, 21};
    Domain waiting{world, 0, 22};
    Domain there{world, 3, 23};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    for (unsigned i = 0; i < 300; ++i) {
        ASSERT_TRUE(waiting.monitor().offer(22, "flap")) << i;
        ASSERT_TRUE(waiting.monitor().withdraw(22, "flap"));
        world.settle();
    }
    ASSERT_TRUE(client.bind("echo"));
    world.settle();
    ASSERT_TRUE(server.accept_one());
    world.settle();
    EXPECT_EQ(client.next().notice, Notice::established);
    world.islands[3]->stalled = false;
    world.settle();
    EXPECT_EQ(names_of(world.at(3)), names_of(world.at(0)));
    world.expect_no_bad_messages();
}

TEST(Slow, PeerTakesABoundedNumberOfBinds) {
    World world{2, 7};
    world.start_all();
    Domain server{world, 1, 20};
    ASSERT_TRUE(server.monitor().offer(20, "echo"));
    world.settle();
    world.islands[1]->stalled = true;
    Domain client{world, 0, 21};
    unsigned made = 0;
    while (client.bind("echo"))
        ASSERT_LT(++made, 1000u);
    EXPECT_EQ(made, Monitor::unanswered_max);
    client.die(); // what the peer has not heard of is taken back, the rest waits for its answers
    world.islands[1]->stalled = false;
    world.settle();
    Domain next{world, 0, 22};
    EXPECT_TRUE(next.bind("echo"));
    world.settle();
    world.expect_no_bad_messages();
}

TEST(Devices, AreHandedOverUnderALabel) {
    World world{3, 1};
    world.start_all();
    world.settle();
    Domain pci{world, 1, 20};
    FakeKernel& kernel = world.kernel(1);
    const Described registers{abi::Kind::device_frame, abi::all_rights, 0xfebc'0000, 0x2'0000, 0};
    const CapSlot kept = kernel.put(registers);
    EXPECT_EQ(
        world.at(1).hand(20, core_id(2), "nic", kernel.put(registers)).error(), Err::cap_rights
    ) << "it has no control";
    ASSERT_TRUE(world.at(1).trust(badge_spawn, 20));
    EXPECT_EQ(
        world.at(1).hand(20, core_id(2), "core.1", kernel.put(registers)).error(), Err::cap_rights
    ) << "such labels are of RAM";
    ASSERT_TRUE(world.at(1).hand(20, core_id(2), "nic", kernel.put(registers)));
    EXPECT_FALSE(kernel.slots.contains(kept)) << "it left this core with all its copies";
    EXPECT_EQ(world.at(2).fetch(badge_spawn, "nic").error(), Err::not_found);
    world.settle();
    const auto slot = world.at(2).fetch(badge_spawn, "nic");
    ASSERT_TRUE(slot);
    EXPECT_EQ(world.kernel(2).describe(*slot)->base, 0xfebc'0000u);
    EXPECT_EQ(world.at(2).fetch(badge_spawn, "nic").error(), Err::not_found);
    world.expect_no_bad_messages();
}

TEST(Devices, MayBeHandedToTheOwnCore) {
    World world{1, 1};
    Domain init{world, 0, 20};
    FakeKernel& kernel = world.kernel(0);
    const Described ports{abi::Kind::io_port, abi::all_rights, abi::io_port_space + 0x3f8, 8, 0};
    ASSERT_TRUE(world.at(0).trust(badge_spawn, 20));
    ASSERT_TRUE(world.at(0).hand(20, core_id(0), "com1", kernel.put(ports)));
    const CapSlot newer = kernel.put(ports);
    ASSERT_TRUE(world.at(0).hand(20, core_id(0), "com1", newer));
    EXPECT_EQ(*world.at(0).fetch(badge_init, "com1"), newer);
    EXPECT_EQ(world.at(0).hand(20, core_id(7), "com1", newer).error(), Err::no_such_core);
}

TEST(Devices, ThatNobodyFetchedGoWithWhoHandedThem) {
    World world{2, 1};
    world.start_all();
    world.settle();
    FakeKernel& kernel = world.kernel(0);
    const size_t before = kernel.slots.size();
    Domain pci{world, 0, 20};
    ASSERT_TRUE(world.at(0).trust(badge_spawn, 20));
    const Described ports{abi::Kind::io_port, abi::all_rights, abi::io_port_space + 0x3f8, 8, 0};
    const Described line{abi::Kind::interrupt, abi::all_rights, abi::interrupt_space + 4, 1, 0};
    ASSERT_TRUE(world.at(0).hand(20, core_id(0), "com1", kernel.put(ports)));
    world.kernel(1).refuse_accept = 1;
    ASSERT_TRUE(world.at(0).hand(20, core_id(1), "line", kernel.put(line)));
    pci.die();
    world.settle();
    EXPECT_EQ(world.at(0).fetch(badge_spawn, "com1").error(), Err::not_found);
    EXPECT_EQ(world.at(0).fetch(badge_spawn, "line").error(), Err::not_found);
    EXPECT_EQ(kernel.slots.size(), before);
}

} // namespace
