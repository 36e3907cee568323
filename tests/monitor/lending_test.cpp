// Frames lent with messages, lent on, given back; RAM that moves.
#include "tests/monitor/pair.hpp"

using namespace monitor_test;

namespace {

TEST(Lending, TakesTwoMessagesAndOneToGiveBack) {
    World world{2, 1};
    world.start_all();
    Pair pair{world, 0, 1};
    const uint64_t before = world.messages();
    const CapSlot frame = world.kernel(0).frame();
    ASSERT_TRUE(pair.client.send(pair.client_end, 5, frame));
    world.settle();
    const auto got = pair.server.receive(pair.server_end, 5);
    ASSERT_TRUE(got);
    world.settle();
    EXPECT_EQ(world.sent<Lend>(), 1u);
    EXPECT_EQ(world.sent<LendAnswer>(), 1u);
    EXPECT_EQ(world.messages() - before, 2u);
    EXPECT_EQ(world.lents(0), 2u) << "the channel and this";
    world.kernel(1).domain_drops(*got);
    world.settle();
    EXPECT_EQ(world.lents(0), 1u);
    EXPECT_EQ(world.messages() - before, 3u);
    EXPECT_EQ(world.kernel(1).uses(world.kernel(0).describe(frame)->base), 0u);
}

TEST(Lending, WhoAsksTooEarlyIsTold) {
    World world{2, 1};
    world.start_all();
    Pair pair{world, 0, 1};
    EXPECT_EQ(pair.server.receive(pair.server_end, 1).error(), Err::not_found);
    EXPECT_EQ(pair.server.next().notice, Notice::nothing);
    ASSERT_TRUE(pair.client.send(pair.client_end, 1, world.kernel(0).frame()));
    world.settle();
    const News news = pair.server.next();
    EXPECT_EQ(news.notice, Notice::capability);
    EXPECT_EQ(news.binding, pair.server_end);
    EXPECT_TRUE(pair.server.receive(pair.server_end, 1));
    EXPECT_EQ(pair.server.next().notice, Notice::nothing);
}

TEST(Lending, NoRightGrows) {
    World world{2, 1};
    world.start_all();
    Pair pair{world, 0, 1};
    Described dim = *world.kernel(0).describe(world.kernel(0).frame());
    dim.rights = abi::read | abi::copy;
    ASSERT_TRUE(pair.client.send(pair.client_end, 1, world.kernel(0).put(dim)));
    world.settle();
    const auto got = pair.server.receive(pair.server_end, 1);
    ASSERT_TRUE(got);
    EXPECT_EQ(world.kernel(1).describe(*got)->rights, abi::read | abi::copy);
}

TEST(Lending, OnOneCoreACopyGoesStraightOver) {
    World world{1, 1};
    Pair pair{world, 0, 0};
    const CapSlot ram = world.kernel(0).ram();
    ASSERT_TRUE(pair.server.send(pair.server_end, 9, ram));
    const auto got = pair.client.receive(pair.client_end, 9);
    ASSERT_TRUE(got);
    EXPECT_EQ(world.kernel(0).describe(*got)->kind, abi::Kind::ram);
    EXPECT_EQ(world.messages(), 0u);
}

TEST(Lending, BetweenCoresOnlyFramesAndDoorbells) {
    World world{2, 1};
    world.start_all();
    Pair pair{world, 0, 1};
    EXPECT_EQ(pair.client.send(pair.client_end, 1, world.kernel(0).ram()).error(), Err::foreign);
    const CapSlot bell = world.kernel(0).doorbell(77);
    ASSERT_TRUE(pair.client.send(pair.client_end, 2, bell));
    world.settle();
    const auto got = pair.server.receive(pair.server_end, 2);
    ASSERT_TRUE(got);
    EXPECT_EQ(world.kernel(1).describe(*got)->base, abi::core_space + 100);
    EXPECT_EQ(world.kernel(1).describe(*got)->badge, 77u);
    world.settle();
    EXPECT_EQ(world.lents(0), 1u) << "of doorbells no count is kept";
}

TEST(Lending, ABoundedNumberWaitsToBeTaken) {
    for (const unsigned there : {0u, 1u}) {
        World world{2, 1};
        world.start_all();
        Pair pair{world, 0, there};
        uint32_t token = 0;
        while (pair.client.send(pair.client_end, ++token, world.kernel(0).frame())) {
            ASSERT_LT(token, 100u);
            world.settle();
        }
        EXPECT_EQ(token, Monitor::parcels_max + 1);
        ASSERT_TRUE(pair.server.receive(pair.server_end, 3));
        world.settle();
        EXPECT_TRUE(pair.client.send(pair.client_end, token, world.kernel(0).frame()));
        EXPECT_EQ(
            pair.client.send(pair.client_end, 99, world.kernel(0).frame()).error(), Err::quota
        );
    }
}

TEST(Lending, WhatCannotBeAcceptedEndsTheWait) {
    World world{2, 1};
    world.start_all();
    Pair pair{world, 0, 1};
    world.kernel(1).refuse_accept = 1;
    ASSERT_TRUE(pair.client.send(pair.client_end, 1, world.kernel(0).frame()));
    EXPECT_EQ(pair.server.receive(pair.server_end, 1).error(), Err::not_found);
    world.settle();
    EXPECT_EQ(pair.server.next().notice, Notice::capability);
    EXPECT_EQ(pair.server.receive(pair.server_end, 1).error(), Err::no_slots);
    EXPECT_EQ(world.lents(0), 1u) << "the channel's alone";
}

TEST(Lending, GoesOnByWayOfTheOwner) {
    World world{4, 1};
    world.start_all();
    Pair first{world, 1, 2, "one", 20};
    Pair second{world, 2, 3, "two", 30};
    const CapSlot frame = world.kernel(1).frame();
    ASSERT_TRUE(first.client.send(first.client_end, 1, frame));
    world.settle();
    const auto at_2 = first.server.receive(first.server_end, 1);
    ASSERT_TRUE(at_2);
    ASSERT_TRUE(second.client.send(second.client_end, 7, *at_2));
    world.settle();
    const auto at_3 = second.server.receive(second.server_end, 7);
    ASSERT_TRUE(at_3);
    EXPECT_EQ(world.kernel(3).describe(*at_3)->badge, 1u) << "the owner";
    world.settle();
    EXPECT_EQ(world.lents(1), 3u) << "the first channel, and the frame to both";
    EXPECT_EQ(world.sent<Relend>(), 1u);
    EXPECT_EQ(world.sent<RelendAnswer>(), 1u);
    world.kernel(2).domain_drops(*at_2);
    world.settle();
    EXPECT_EQ(world.lents(1), 2u) << "the third core's stays";
    world.expect_no_bad_messages();
}

TEST(Lending, ComesBackToItsOwnerAsItsOwn) {
    World world{2, 1};
    world.start_all();
    Pair pair{world, 0, 1};
    const CapSlot frame = world.kernel(0).frame();
    ASSERT_TRUE(pair.client.send(pair.client_end, 1, frame));
    world.settle();
    const auto there = pair.server.receive(pair.server_end, 1);
    ASSERT_TRUE(there);
    ASSERT_TRUE(pair.server.send(pair.server_end, 2, *there));
    world.settle();
    const auto back = pair.client.receive(pair.client_end, 2);
    ASSERT_TRUE(back);
    EXPECT_FALSE(world.kernel(0).describe(*back)->borrowed);
    world.settle();
    EXPECT_EQ(world.at(1).relents().count(), 0u);
}

TEST(Lending, WhatADeadDomainHadGoesBack) {
    with_seeds([](uint64_t seed) {
        World world{3, seed};
        world.start_all();
        Pair pair{world, 1, 2};
        for (uint32_t token = 1; token < 10; ++token)
            ASSERT_TRUE(pair.client.send(pair.client_end, token, world.kernel(1).frame()));
        for (unsigned steps = world.draw(60); steps > 0; --steps)
            world.step();
        const bool sender_dies = world.draw(2) == 0;
        (sender_dies ? pair.client : pair.server).die();
        world.settle();
        Domain& left = sender_dies ? pair.server : pair.client;
        while (left.next().notice != Notice::nothing) {
        }
        world.kernel(2).domain_drops(pair.server_frame);
        world.settle();
        EXPECT_EQ(world.at(2).parcels().count(), 0u);
        EXPECT_EQ(world.at(2).borrows().count(), 0u);
        EXPECT_EQ(world.lents(1), 0u);
        world.expect_no_bad_messages();
    });
}

TEST(Ram, MovesAndComesBack) {
    World world{3, 1};
    world.start_all();
    world.settle();
    const CapSlot ram = world.kernel(1).ram();
    const uint64_t base = world.kernel(1).describe(ram)->base;
    ASSERT_TRUE(world.at(1).hand(badge_spawn, core_id(2), "ram", ram));
    EXPECT_FALSE(world.memory.is_of(1, base)) << "before the other has it";
    world.settle();
    const auto got = world.at(2).fetch(badge_spawn, "ram");
    ASSERT_TRUE(got);
    EXPECT_TRUE(world.memory.is_of(2, base));
    ASSERT_TRUE(world.at(2).hand(badge_spawn, core_id(1), "back", *got));
    world.settle();
    ASSERT_TRUE(world.at(1).fetch(badge_spawn, "back"));
    EXPECT_TRUE(world.memory.is_of(1, base));
    EXPECT_EQ(world.sent<HandAnswer>(), 2u);
}

TEST(Ram, InsideOfOthersLeavesALoanThatBecomesItAgain) {
    World world{2, 1};
    world.start_all();
    world.settle();
    FakeKernel& kernel = world.kernel(0);
    const CapSlot around = kernel.ram(2 * large_page_bytes);
    Described part = *kernel.describe(around);
    part.bytes = large_page_bytes;
    const size_t loans = kernel.count(abi::Kind::loan);
    ASSERT_TRUE(world.at(0).hand(badge_spawn, core_id(1), "ram", kernel.put(part)));
    EXPECT_EQ(kernel.count(abi::Kind::loan), loans + 1);
    world.settle();
    const auto got = world.at(1).fetch(badge_spawn, "ram");
    ASSERT_TRUE(got);
    ASSERT_TRUE(world.at(1).hand(badge_spawn, core_id(0), "back", *got));
    world.settle();
    const auto back = world.at(0).fetch(badge_spawn, "back");
    ASSERT_TRUE(back);
    EXPECT_EQ(kernel.describe(*back)->kind, abi::Kind::ram);
    EXPECT_EQ(kernel.count(abi::Kind::loan), loans);
}

TEST(Ram, ThatCannotArriveIsTheGiversAgain) {
    World world{2, 1};
    world.start_all();
    world.settle();
    const CapSlot ram = world.kernel(0).ram();
    const uint64_t base = world.kernel(0).describe(ram)->base;
    world.kernel(1).refuse_accept = 1;
    ASSERT_TRUE(world.at(0).hand(badge_spawn, core_id(1), "ram", ram));
    world.settle();
    EXPECT_EQ(world.at(1).fetch(badge_spawn, "ram").error(), Err::not_found);
    EXPECT_TRUE(world.at(0).fetch(badge_spawn, "ram"));
    EXPECT_TRUE(world.memory.is_of(0, base));
}

/// Pieces that are not neighbours, so that each has an entry of its own.
void fill_owners(World& world, unsigned core, size_t count) {
    constexpr uint64_t high = uint64_t{1} << 40;
    for (uint64_t i = 0; i < count; ++i)
        ASSERT_TRUE(world.at(core).set_ram({high + 2 * i * large_page_bytes, large_page_bytes}));
}

TEST(Ram, IsNotTakenByWhoCouldNotSaySo) {
    World world{2, 1};
    world.start_all();
    world.settle();
    fill_owners(world, 1, OwnerTable::capacity - OwnerTable::kept_for_others);
    world.settle();
    const CapSlot ram = world.kernel(0).ram();
    const uint64_t base = world.kernel(0).describe(ram)->base;
    ASSERT_TRUE(world.at(0).hand(badge_spawn, core_id(1), "ram", ram));
    world.settle();
    EXPECT_EQ(world.at(1).fetch(badge_spawn, "ram").error(), Err::not_found);
    EXPECT_TRUE(world.at(0).fetch(badge_spawn, "ram"));
    EXPECT_TRUE(world.memory.is_of(0, base)) << "one owner";
}

TEST(Ram, OfACoreThatIsToStartStaysWhenNobodyCouldBeTold) {
    World world{2, 1};
    FakeKernel& kernel = world.kernel(0);
    const CapSlot ram = kernel.ram();
    const uint64_t base = kernel.describe(ram)->base;
    ASSERT_TRUE(world.at(0).set_ram({base, large_page_bytes}));
    fill_owners(world, 0, OwnerTable::capacity - 2);
    ASSERT_TRUE(world.at(0).joint_make(badge_init, core_id(1), kernel.frame()));
    EXPECT_EQ(
        world.at(0).joint_start(badge_init, core_id(1), 8, *kernel.copy(ram)).error(), Err::no_space
    );
    EXPECT_TRUE(kernel.started.empty());
    EXPECT_TRUE(world.memory.is_of(0, base));
}

TEST(Ram, IsHandedByNobodyButTheSpawner) {
    World world{2, 1};
    world.start_all();
    world.settle();
    Domain domain{world, 0, 20};
    ASSERT_TRUE(world.at(0).trust(badge_spawn, 20)) << "control is not enough";
    FakeKernel& kernel = world.kernel(0);
    for (unsigned to : {0u, 1u}) {
        const CapSlot ram = kernel.ram();
        const uint64_t base = kernel.describe(ram)->base;
        EXPECT_EQ(world.at(0).hand(20, core_id(to), "ram.1.0", ram).error(), Err::cap_rights);
        EXPECT_TRUE(world.memory.is_of(0, base));
    }
    world.settle();
    EXPECT_EQ(world.sent<Hand>(), 0u);
    EXPECT_EQ(world.at(0).fetch(badge_spawn, "ram.1.0").error(), Err::not_found);
    EXPECT_EQ(world.at(0).counters().refused_calls, 2u);
}

TEST(Ram, ThatWasLookedForTooEarlyIsToldOfWhenItComes) {
    World world{2, 1};
    world.start_all();
    world.settle();
    const auto notice = [&] { return world.at(1).next(badge_spawn)->notice; };
    EXPECT_EQ(world.at(1).fetch(badge_spawn, "ram").error(), Err::not_found);
    EXPECT_EQ(notice(), Notice::nothing);
    ASSERT_TRUE(world.at(0).hand(badge_spawn, core_id(1), "ram", world.kernel(0).ram()));
    ASSERT_TRUE(world.at(0).hand(badge_spawn, core_id(1), "more", world.kernel(0).ram()));
    world.settle();
    EXPECT_EQ(notice(), Notice::handed);
    EXPECT_EQ(notice(), Notice::nothing) << "once, until it looks in vain again";
    EXPECT_TRUE(world.at(1).fetch(badge_spawn, "ram"));
}

TEST(Versions, ThatDifferDoNotTalk) {
    World world{2, 1};
    ASSERT_TRUE(world.at(0).joint_make(badge_init, core_id(1), world.kernel(0).frame()));
    world.at(0).receive(core_id(1), Hello{core_id(1), {101, 77}, protocol_version + 1});
    EXPECT_EQ(world.at(0).counters().other_versions, 1u);
    world.settle();
    EXPECT_EQ(world.at(0).core_at(1)->state, CoreState::failed);
    EXPECT_FALSE(world.at(0).next_message(core_id(1)));
}

} // namespace
