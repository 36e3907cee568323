// Revocation across cores: everything goes, everybody concerned is told, nobody else hears of it.
#include <numeric>

#include "tests/monitor/pair.hpp"

using namespace monitor_test;

namespace {

std::vector<unsigned> first_after_core_0(unsigned count) {
    std::vector<unsigned> cores(count);
    std::iota(cores.begin(), cores.end(), 1u);
    return cores;
}

/// One frame of core `owner`, lent to other cores.
struct Lenders {
    World world;
    unsigned owner;
    std::vector<std::unique_ptr<Pair>> pairs;
    CapSlot frame;
    uint64_t base;
    std::vector<CapSlot> copies; // of the i-th borrower

    Lenders(unsigned cores, unsigned borrowers, uint64_t seed = 1)
        : Lenders{cores, 0, first_after_core_0(borrowers), seed} {}

    Lenders(unsigned cores, unsigned who, const std::vector<unsigned>& borrowers, uint64_t seed)
        : world{cores, seed}, owner{who}, frame{world.kernel(owner).frame()},
          base{world.kernel(owner).describe(frame)->base} {
        world.start_all();
        world.settle();
        for (unsigned i = 0; i < borrowers.size(); ++i) {
            const std::string name = "s" + std::to_string(i);
            const uint32_t id = 20 + 2 * i;
            pairs.push_back(std::make_unique<Pair>(world, owner, borrowers[i], name, id));
            Pair& pair = *pairs.back();
            EXPECT_TRUE(pair.client.send(pair.client_end, 1, frame));
            world.settle();
            const auto got = pair.server.receive(pair.server_end, 1);
            EXPECT_TRUE(got);
            copies.push_back(got ? *got : CapSlot{});
            world.settle();
        }
    }

    size_t uses_elsewhere() {
        size_t sum = 0;
        for (unsigned core = 0; core < world.islands.size(); ++core)
            if (core != owner && !world.stopped.contains(core))
                sum += world.kernel(core).uses(base);
        return sum;
    }
};

TEST(Revoke, RevokeTakesTwoMessagesACore) {
    std::cout << "cores  revoke messages  critical path  lend messages\n";
    for (const unsigned cores : {1u, 2u, 4u, 8u, 16u, 32u, 63u}) {
        Lenders t{std::max(64u, cores + 1), cores};
        const uint64_t lends = t.world.sent<Lend>() + t.world.sent<LendAnswer>();
        EXPECT_EQ(lends, 2 * cores);
        EXPECT_EQ(t.uses_elsewhere(), cores);
        const uint64_t before = t.world.messages(), links = t.world.sent<Welcome>();
        Domain& caller = t.pairs[0]->client;
        ASSERT_TRUE(caller.revoke(t.frame));
        const unsigned path = t.world.rounds_to_settle();
        const uint64_t opened = t.world.sent<Welcome>() - links; // on the way, by their first use
        const uint64_t messages = t.world.messages() - before - opened;
        EXPECT_EQ(messages, 2 * cores);
        EXPECT_EQ(t.world.sent<Revoke>(), cores);
        EXPECT_EQ(t.world.sent<Revoked>(), cores);
        EXPECT_EQ(t.uses_elsewhere(), 0u);
        EXPECT_EQ(t.world.lents(0), cores) << "the channels' alone";
        const News news = *caller.monitor().next(caller.badge);
        EXPECT_EQ(news.notice, Notice::revoked);
        EXPECT_EQ(news.status, Err::none);
        EXPECT_EQ(t.world.kernel(0).describe(news.more)->base, t.base) << "the caller's again";
        EXPECT_EQ(t.world.kernel(0).uses(t.base), 1u);
        EXPECT_TRUE(t.world.kernel(0).marks.empty());
        // There and back along a tree, where each link takes a welcome, a send and a receive.
        EXPECT_LE(path, 6u * std::bit_width(cores) + 4);
        std::printf("%5u  %15lu  %13u  %13lu\n", cores, messages, path, lends);
        t.world.expect_no_bad_messages();
    }
}

TEST(Revoke, WithNothingLentIsTheCpuDriversAffair) {
    World world{2, 1};
    world.start_all();
    Domain caller{world, 0, 20};
    const auto request = caller.revoke(world.kernel(0).frame());
    ASSERT_TRUE(request);
    EXPECT_EQ(*request, 0u);
    EXPECT_EQ(caller.next().notice, Notice::nothing);
}

TEST(Revoke, OfRamReachesAllThatWasMadeOfIt) {
    World world{3, 1};
    world.start_all();
    Pair pair{world, 0, 1};
    FakeKernel& kernel = world.kernel(0);
    const CapSlot ram = kernel.ram();
    const CapSlot a = kernel.frame_of(ram, 0), b = kernel.frame_of(ram, 8192);
    const uint64_t base = kernel.describe(ram)->base;
    ASSERT_TRUE(pair.client.send(pair.client_end, 1, a));
    ASSERT_TRUE(pair.client.send(pair.client_end, 2, b));
    world.settle();
    ASSERT_TRUE(pair.server.receive(pair.server_end, 1)); // the second stays untaken
    ASSERT_TRUE(pair.client.revoke(ram));
    world.settle();
    EXPECT_EQ(pair.server.receive(pair.server_end, 2).error(), Err::revoking);
    EXPECT_EQ(world.kernel(1).uses(base), 0u);
    EXPECT_EQ(kernel.uses(base) + kernel.uses(base + 8192), 0u);
    EXPECT_EQ(pair.client.next().notice, Notice::revoked);
}

TEST(Revoke, AFrameOfAChannelIsPeerGoneOnBothSides) {
    World world{2, 1};
    world.start_all();
    Pair pair{world, 0, 1};
    const uint64_t before = world.messages();
    ASSERT_TRUE(pair.client.revoke(pair.frame));
    world.settle();
    EXPECT_EQ(pair.server.next().notice, Notice::peer_gone);
    EXPECT_EQ(pair.client.next().notice, Notice::revoked);
    EXPECT_EQ(pair.client.next().notice, Notice::peer_gone);
    EXPECT_EQ(world.messages() - before, 2u);
    EXPECT_EQ(world.lents(0), 0u);
}

TEST(Revoke, SurvivesItsCaller) {
    Lenders t{4, 3};
    Domain& caller = t.pairs[0]->client;
    ASSERT_TRUE(caller.revoke(t.frame));
    caller.die();
    t.world.settle();
    EXPECT_EQ(t.uses_elsewhere(), 0u);
    EXPECT_EQ(t.world.at(0).revocations().count(), 0u);
    EXPECT_EQ(t.world.kernel(0).uses(t.base), 0u) << "nobody wanted it back";
    EXPECT_TRUE(t.world.kernel(0).marks.empty());
}

TEST(Revoke, MarksAreTakenInTurn) {
    Lenders t{2, 1};
    t.world.islands[1]->stalled = true;
    std::vector<CapSlot> frames;
    Pair& pair = *t.pairs[0];
    for (uint32_t i = 0; i < Monitor::revocations_max; ++i) {
        frames.push_back(t.world.kernel(0).frame());
        ASSERT_TRUE(pair.client.send(pair.client_end, 10 + i, frames.back()));
    }
    for (const CapSlot frame : frames)
        ASSERT_TRUE(pair.client.revoke(frame));
    EXPECT_EQ(pair.client.revoke(t.frame).error(), Err::quota);
    Domain other{t.world, 0, 50};
    ASSERT_TRUE(other.revoke(t.frame)) << "waits in line";
    EXPECT_EQ(t.world.kernel(0).marks.size(), Monitor::revokes_at_a_time);
    t.world.islands[1]->stalled = false;
    t.world.settle();
    EXPECT_EQ(other.next().notice, Notice::revoked);
    for (size_t i = 0; i < frames.size(); ++i)
        EXPECT_EQ(pair.client.next().notice, Notice::revoked);
    EXPECT_EQ(t.uses_elsewhere(), 0u);
}

TEST(Revoke, ACoreThatFailedCountsAsAnswered) {
    Lenders t{3, 2};
    t.world.islands[2]->stalled = true;
    Domain& caller = t.pairs[0]->client;
    ASSERT_TRUE(caller.revoke(t.frame));
    t.world.settle();
    EXPECT_EQ(caller.next().notice, Notice::nothing);
    t.world.give_up(0, 2);
    EXPECT_EQ(caller.next().notice, Notice::revoked);
    EXPECT_EQ(t.world.kernel(1).uses(t.base), 0u);
}

TEST(Revoke, GoesOnWhenACoreOnTheWayIsLost) {
    with_seeds([](uint64_t seed) {
        constexpr unsigned borrowers = 11;
        Lenders t{borrowers + 2, borrowers, seed};
        // To the last core it is on its way: that one is asked directly.
        Pair other{t.world, 1, borrowers + 1, "other", 60};
        ASSERT_TRUE(other.client.send(other.client_end, 5, t.copies[0]));
        for (unsigned steps = t.world.draw(10); steps > 0; --steps)
            t.world.step();
        Domain& caller = t.pairs[0]->client;
        ASSERT_TRUE(caller.revoke(t.frame));
        for (unsigned steps = t.world.draw(60); steps > 0; --steps)
            t.world.step();
        const unsigned lost = 1 + t.world.draw(borrowers);
        t.world.islands[lost]->stalled = true;
        t.world.give_up(0, lost);
        for (unsigned core = 1; core <= borrowers + 1; ++core)
            if (core != lost) EXPECT_EQ(t.world.kernel(core).uses(t.base), 0u) << "core " << core;
        News news = *caller.monitor().next(caller.badge);
        while (news.notice == Notice::peer_gone)
            news = *caller.monitor().next(caller.badge);
        EXPECT_EQ(news.notice, Notice::revoked) << "seed " << seed;
        EXPECT_TRUE(t.world.kernel(0).marks.empty());
        t.world.expect_no_bad_messages();
    });
}

/// Who passed it on hears of a loss behind it before the owner does, who learns of it by that.
TEST(Revoke, IsNotOverBeforeThoseBehindALostCoreWereAsked) {
    with_seeds([](uint64_t seed) {
        constexpr unsigned owner = 13, parent = World::parent_of(owner);
        const std::vector<unsigned> borrowers{1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12};
        Lenders t{14, owner, borrowers, seed};
        for (const unsigned core : borrowers) // sending is what takes time: a deep tree
            t.world.at(core).set_handling({.send = 20000, .way = 1});
        t.world.late.emplace(parent, owner);
        Domain& caller = t.pairs[0]->client;
        ASSERT_TRUE(caller.revoke(t.frame));
        for (unsigned steps = t.world.draw(60); steps > 0; --steps)
            t.world.step();
        const unsigned lost = borrowers[t.world.draw(unsigned(borrowers.size()))];
        t.world.islands[lost]->stalled = true;
        t.world.give_up(0, lost);
        EXPECT_EQ(t.world.at(owner).core_at(lost)->state, CoreState::up) << "it does not know";
        if (caller.next().notice == Notice::revoked) EXPECT_EQ(t.uses_elsewhere(), 0u);
        t.world.late.clear();
        t.world.settle();
        EXPECT_EQ(t.world.at(owner).core_at(lost)->state, CoreState::failed);
        EXPECT_EQ(t.uses_elsewhere(), 0u);
        EXPECT_TRUE(t.world.kernel(owner).marks.empty());
        t.world.expect_no_bad_messages();
    });
}

/// What is on its way of a round that is over must not take what was lent since.
TEST(Revoke, WhatWasOvertakenOnItsWayIsDropped) {
    Lenders t{4, 3};
    const Revoke late{
        .operation = 0x10001,
        .owner = core_id(0),
        .life = uint8_t(t.world.at(0).cores()[core_id(0)].version),
        .round = 0xffff,
        .base = t.base,
        .bytes = 8192,
    };
    t.world.at(3).receive(core_id(1), late);
    t.world.settle();
    EXPECT_GT(t.world.kernel(3).uses(t.base), 0u);
    // Nor does what the owner says of an earlier round make one of before valid again.
    Revoke of_the_owner = late;
    of_the_owner.base += 1 << 20;
    of_the_owner.round = 5;
    t.world.at(3).receive(core_id(0), of_the_owner);
    of_the_owner.operation = 0x10002;
    of_the_owner.round = 0;
    t.world.at(3).receive(core_id(0), of_the_owner);
    Revoke of_the_round_before = late;
    of_the_round_before.round = 4;
    t.world.at(3).receive(core_id(1), of_the_round_before);
    t.world.settle();
    EXPECT_GT(t.world.kernel(3).uses(t.base), 0u);
    Revoke of_this_round = late;
    of_this_round.round = 5;
    t.world.at(3).receive(core_id(1), of_this_round);
    t.world.settle();
    EXPECT_EQ(t.world.kernel(3).uses(t.base), 0u);
}

/// Its answer came by way of others: what the borrower said to the owner before may come after it.
TEST(Revoke, OvertakesWhatTheBorrowerSaid) {
    Lenders t{3, 1};
    uint32_t old = 0;
    t.world.at(1).borrows().each([&](const Borrow& borrow) {
        if (borrow.range.base == t.base) old = borrow.lend;
    });
    ASSERT_NE(old, 0u);
    Pair onwards{t.world, 1, 2, "onwards", 60};
    Domain& caller = t.pairs[0]->client;
    ASSERT_TRUE(caller.revoke(t.frame));
    t.world.settle();
    // The same memory is lent to the same core again, which is not what it wanted to lend on.
    const News news = *caller.monitor().next(caller.badge);
    ASSERT_TRUE(caller.send(t.pairs[0]->client_end, 2, news.more));
    t.world.settle();
    ASSERT_TRUE(t.pairs[0]->server.receive(t.pairs[0]->server_end, 2));
    t.world.settle();
    const size_t lents = t.world.lents(0);
    const uint32_t binding = onwards.client_end;
    t.world.at(0).receive(core_id(1), Relend{7, core_id(2), binding, true, 3, old, abi::read});
    t.world.at(0).receive(core_id(1), Return{old});
    EXPECT_EQ(t.world.lents(0), lents);
    EXPECT_EQ(t.world.at(0).counters().bad_messages, 0u);
}

TEST(Revoke, MeetsALendOnItsWay) {
    with_seeds([](uint64_t seed) {
        Lenders t{4, 2, seed};
        Pair other{t.world, 1, 3, "third", 40};
        // Core 1 sends it on to core 3 while core 0 revokes it.
        ASSERT_TRUE(other.client.send(other.client_end, 5, t.copies[0]));
        Pair& pair = *t.pairs[1];
        ASSERT_TRUE(pair.client.send(pair.client_end, 6, t.frame));
        for (unsigned steps = t.world.draw(12); steps > 0; --steps)
            t.world.step();
        Domain& caller = t.pairs[0]->client;
        ASSERT_TRUE(caller.revoke(t.frame));
        for (unsigned steps = t.world.draw(12); steps > 0; --steps)
            t.world.step();
        const auto early = other.server.receive(other.server_end, 5);
        t.world.settle();
        EXPECT_EQ(t.uses_elsewhere(), 0u);
        EXPECT_EQ(caller.next().notice, Notice::revoked);
        if (!early && early.error() == Err::not_found) {
            const auto late = other.server.receive(other.server_end, 5);
            ASSERT_FALSE(late);
            EXPECT_NE(late.error(), Err::not_found) << "who waits is told";
        }
        t.world.expect_no_bad_messages();
    });
}

TEST(Pin, HoldsTheMemoryUntilTheDriverLeaves) {
    for (const unsigned driver : {0u, 1u}) {
        World world{2, 1};
        world.start_all();
        Pair pair{world, 0, driver};
        Domain spawner{world, 0, 60};
        Monitor& there = world.at(driver);
        const auto copy = world.kernel(driver).copy(pair.server_frame);
        ASSERT_TRUE(there.pin(pair.server.badge, pair.server_end, *copy));
        EXPECT_EQ(there.holding(badge_spawn).error(), Err::not_found);
        const auto request = spawner.revoke(pair.frame);
        ASSERT_TRUE(request);
        EXPECT_NE(*request, 0u) << "a pin on the same core is a loan too";
        pair.client.die();
        world.settle();
        EXPECT_EQ(spawner.next().notice, Notice::nothing);
        EXPECT_EQ(*there.holding(badge_spawn), pair.server.badge);
        EXPECT_EQ(pair.server.next().notice, Notice::peer_gone);
        world.settle();
        EXPECT_EQ(spawner.next().notice, Notice::nothing) << "it knows, but a device may not";
        ASSERT_TRUE(there.unbind(pair.server.badge, pair.server_end));
        world.settle();
        EXPECT_EQ(spawner.next().notice, Notice::revoked);
    }
}

TEST(Pin, EndsWithItsDomain) {
    World world{2, 1};
    world.start_all();
    Pair pair{world, 0, 1};
    const auto copy = world.kernel(1).copy(pair.server_frame);
    ASSERT_TRUE(world.at(1).pin(pair.server.badge, pair.server_end, *copy));
    ASSERT_TRUE(pair.client.revoke(pair.frame));
    world.settle();
    EXPECT_EQ(pair.client.next().notice, Notice::peer_gone);
    pair.server.die();
    world.settle();
    EXPECT_EQ(pair.client.next().notice, Notice::revoked);
}

} // namespace
