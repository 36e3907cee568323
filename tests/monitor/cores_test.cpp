#include "tests/monitor/pair.hpp"

using namespace monitor_test;

namespace {

bool has_names(const Monitor& monitor) {
    return std::ranges::any_of(monitor.names().entries(), &NameTable::Entry::present);
}

CoreRecord up(uint32_t version, unsigned parent = 0) {
    return {.state = CoreState::up, .parent = core_id(parent), .version = version};
}

/// A tree by two of so many cores.
CoreTable tree(unsigned cores) {
    CoreTable table;
    for (unsigned core = 0; core < cores; ++core)
        table.set(core_id(core), up(1, core == 0 ? 0 : World::parent_of(core)));
    return table;
}

TEST(Cores, TheLaterVersionCountsWhateverTheOrder) {
    CoreTable table = tree(4);
    CoreRecord gone = up(3);
    gone.state = CoreState::failing;
    EXPECT_TRUE(table.learn(core_id(2), gone));
    EXPECT_FALSE(table.learn(core_id(2), up(2)));
    EXPECT_FALSE(table.learn(core_id(2), gone)) << "it is no news";
    EXPECT_EQ(table[core_id(2)].state, CoreState::failing);
    EXPECT_EQ(table.end_of_last_life(core_id(2)), 3u);
    EXPECT_TRUE(table.learn(core_id(2), up(5)));
    EXPECT_TRUE(table.is_up(core_id(2)));
}

TEST(Cores, TheWayAlongTheTreeGoesByNeighbours) {
    const CoreTable table = tree(15);
    EXPECT_EQ(table.next_hop(core_id(0), core_id(14)), core_id(2));
    EXPECT_EQ(table.next_hop(core_id(2), core_id(14)), core_id(6));
    EXPECT_EQ(table.next_hop(core_id(7), core_id(14)), core_id(3));
    EXPECT_EQ(table.neighbours(core_id(1)).size(), 3u);
    EXPECT_EQ(table.neighbours(core_id(14)).size(), 1u);
    for (unsigned from = 0; from < 15; ++from)
        for (unsigned to = 0; to < 15; ++to) {
            CoreId at = core_id(from);
            for (unsigned hops = 0; at != core_id(to); ++hops) {
                ASSERT_LT(hops, 8u);
                const CoreId next = table.next_hop(at, core_id(to));
                ASSERT_TRUE(table.neighbours(at).contains(next));
                at = next;
            }
        }
}

/// Everybody reaches everybody, by cores that are up.
void expect_connected(const CoreTable& table) {
    CoreSet reached;
    std::vector<CoreId> edge{table.decider()};
    while (!edge.empty()) {
        const CoreId at = edge.back();
        edge.pop_back();
        if (reached.contains(at)) continue;
        reached.insert(at);
        for (unsigned i = 0; i < table.count(); ++i)
            if (table.neighbours(at).contains(core_id(i))) edge.push_back(core_id(i));
    }
    EXPECT_EQ(reached, table.up());
}

TEST(Cores, TheTreeIsWholeAgainWhoeverGoes) {
    std::mt19937_64 random{first_seed()};
    for (unsigned round = 0; round < 200; ++round) {
        CoreTable table = tree(20);
        for (unsigned losses = 0; losses < 18; ++losses) {
            const CoreId lost = core_id(static_cast<unsigned>(random() % 20));
            if (!table.is_up(lost)) continue;
            CoreRecord record = table[lost];
            record.state = CoreState::failing;
            ++record.version;
            table.learn(lost, record);
            while (const auto move = table.next_orphan()) {
                CoreRecord moved = table[move->core];
                moved.parent = move->parent;
                ++moved.version;
                ASSERT_TRUE(table.learn(move->core, moved));
            }
            expect_connected(table);
        }
    }
}

constexpr uint64_t block = large_page_bytes;

TEST(Owners, OfTwoWordsTheLaterOneCounts) {
    OwnerTable table;
    const CoreSet nobody;
    ASSERT_TRUE(table.learn({0, 8 * block}, core_id(0), 1, nobody));
    ASSERT_TRUE(table.learn({2 * block, 2 * block}, core_id(1), 2, nobody));
    EXPECT_EQ(table.owner_of({0, 2 * block}), core_id(0));
    EXPECT_EQ(table.owner_of({2 * block, 2 * block}), core_id(1));
    EXPECT_EQ(table.owner_of({4 * block, 4 * block}), core_id(0));
    EXPECT_FALSE(table.owner_of({block, 2 * block})) << "of two";
    EXPECT_FALSE(*table.learn({0, 8 * block}, core_id(0), 1, nobody)) << "no news";
    ASSERT_TRUE(*table.learn({0, 8 * block}, core_id(2), 2, nobody));
    EXPECT_EQ(table.owner_of({2 * block, 2 * block}), core_id(1)) << "as new as that";
    EXPECT_EQ(table.owner_of({4 * block, 4 * block}), core_id(2));
    ASSERT_TRUE(table.assign({0, 8 * block}, core_id(3), nobody));
    EXPECT_EQ(table.owner_of({0, 8 * block}), core_id(3));
}

TEST(Owners, AreTheSameInAnyOrder) {
    struct Word {
        Range range;
        CoreId owner;
        uint32_t version;
    };

    std::mt19937_64 random{first_seed()};
    for (unsigned round = 0; round < 100; ++round) {
        std::vector<Word> words;
        for (uint32_t version = 1; version < 20; ++version) {
            const uint64_t from = random() % 16, count = 1 + random() % 6;
            const auto owner = core_id(static_cast<unsigned>(random() % 4));
            words.push_back({{from * block, count * block}, owner, version});
        }
        OwnerTable first, second;
        for (const Word& word : words)
            ASSERT_TRUE(first.learn(word.range, word.owner, word.version, {}));
        std::ranges::shuffle(words, random);
        for (const Word& word : words)
            ASSERT_TRUE(second.learn(word.range, word.owner, word.version, {}));
        for (uint64_t i = 0; i < 24; ++i)
            EXPECT_EQ(first.owner_of({i * block, block}), second.owner_of({i * block, block}));
    }
}

TEST(Failure, IsFoundOutAndTheCoreLeftOutEverywhere) {
    with_seeds([](uint64_t seed) {
        World world{6, seed};
        world.start_all();
        world.settle();
        const unsigned lost = 1 + world.draw(5), by = (lost + 1 + world.draw(5)) % 6;
        Domain server{world, lost, 20}, client{world, by, 21};
        if (by == lost) return;
        ASSERT_TRUE(server.monitor().offer(20, "echo"));
        world.settle();
        ASSERT_TRUE(client.bind("echo"));
        world.settle();
        ASSERT_TRUE(server.accept_one());
        world.settle();
        ASSERT_EQ(client.next().notice, Notice::established);
        world.stopped.insert(lost);
        world.give_up(by, lost);
        EXPECT_EQ(client.next().notice, Notice::peer_gone);
        for (unsigned core = 0; core < 6; ++core) {
            if (core == lost) continue;
            EXPECT_EQ(world.at(core).core_at(lost)->state, CoreState::failed) << core;
            EXPECT_FALSE(has_names(world.at(core))) << core;
        }
        // Those below it have another way.
        Domain late{world, lost == 5 ? 4u : 5u, 22};
        ASSERT_TRUE(late.monitor().offer(22, "late"));
        world.settle();
        for (unsigned core = 0; core < 6; ++core)
            if (core != lost) EXPECT_TRUE(has_names(world.at(core))) << core;
        world.expect_no_bad_messages();
    });
}

TEST(Failure, OfWhoDecidesIsDecidedByTheNext) {
    with_seeds([](uint64_t seed) {
        World world{5, seed};
        world.start_all();
        world.settle();
        world.stopped.insert(0);
        world.stopped.insert(3);
        world.give_up(4, 3); // core 0 ought to decide, and does not answer
        for (unsigned looks = 0; looks < 12; ++looks) {
            for (unsigned core : {1u, 2u, 4u})
                world.at(core).look_at_clock();
            world.settle();
        }
        for (unsigned core : {1u, 2u, 4u}) {
            EXPECT_EQ(world.at(core).core_at(0)->state, CoreState::failed) << core;
            EXPECT_EQ(world.at(core).core_at(3)->state, CoreState::failed) << core;
        }
        world.expect_no_bad_messages();
    });
}

TEST(Failure, IsNotSuspectedOfWhoAnswers) {
    World world{3, 1};
    world.start_all();
    world.settle();
    for (unsigned looks = 0; looks < 20; ++looks) {
        ASSERT_TRUE(world.at(1).suspect(badge_init, core_id(2)));
        world.at(1).look_at_clock();
        world.settle();
    }
    EXPECT_EQ(world.at(0).core_at(2)->state, CoreState::up);
    EXPECT_TRUE(world.stopped.empty());
    for (unsigned looks = 0; looks < 3; ++looks) {
        for (unsigned core = 0; core < 3; ++core)
            world.at(core).look_at_clock();
        world.settle();
    }
    for (unsigned core = 0; core < 3; ++core)
        EXPECT_FALSE(world.at(core).expects_answers()) << "an idle machine has no clock";
}

TEST(Leaving, IsStoppedByTheLowestAndItsMemoryIsThere) {
    World world{4, 1};
    world.start_all();
    world.settle();
    FakeKernel& kernel = world.kernel(3);
    const uint64_t base = kernel.describe(kernel.ram())->base;
    ASSERT_TRUE(world.at(3).set_ram({base, large_page_bytes}));
    world.settle();
    EXPECT_EQ(world.at(3).leave_machine(99).error(), Err::cap_rights);
    ASSERT_TRUE(world.at(3).leave_machine(badge_spawn));
    world.settle();
    EXPECT_TRUE(world.stopped.contains(3));
    EXPECT_EQ(world.at(1).core_at(3)->state, CoreState::stopped);
    EXPECT_EQ(world.at(2).owners().owner_of({base, large_page_bytes}), core_id(0));
    const auto ram = world.at(0).fetch(badge_init, "core.3");
    ASSERT_TRUE(ram);
    EXPECT_EQ(world.kernel(0).describe(*ram)->base, base);
}

TEST(Leaving, LeavesPiecesThatACpuDriverTakesInOneCall) {
    constexpr uint64_t most = uint64_t{1} << 30, all = 2 * most + large_page_bytes;
    World world{3, 1};
    world.start_all();
    world.settle();
    FakeKernel& kernel = world.kernel(2);
    const uint64_t base = kernel.describe(kernel.ram(all))->base;
    ASSERT_TRUE(world.at(2).set_ram({base, all}));
    world.settle();
    ASSERT_TRUE(world.at(2).leave_machine(badge_spawn));
    world.settle();
    uint64_t found = 0;
    while (const auto ram = world.at(0).fetch(badge_init, "core.2")) {
        const uint64_t bytes = world.kernel(0).describe(*ram)->bytes;
        EXPECT_LE(bytes, most);
        found += bytes;
    }
    EXPECT_EQ(found, all);
}

TEST(Failure, IsSuspectedOfWhoLeavesNoRoomForMore) {
    World world{3, 1};
    world.start_all();
    world.settle();
    Domain domain{world, 0, 20};
    world.stopped.insert(2);
    for (unsigned i = 0; i < World::wire_lines + 1; ++i) {
        ASSERT_TRUE(domain.monitor().offer(20, "n" + std::to_string(i)));
        world.settle();
    }
    world.at(0).receive(core_id(2), Pong{}); // its last word
    for (unsigned looks = 0; looks < 5; ++looks) {
        world.settle();
        world.at(0).look_at_clock();
    }
    world.settle();
    EXPECT_EQ(world.at(1).core_at(2)->state, CoreState::failed);
}

TEST(Failure, DoesNotStopWhomALivingCoreStarts) {
    World world{5, 1};
    for (unsigned core : {1u, 2u})
        world.start_core(core);
    world.settle();
    ASSERT_TRUE(world.at(1).joint_make(badge_init, core_id(3), world.kernel(1).frame()));
    world.stopped.insert(2);
    ASSERT_TRUE(world.at(0).suspect(badge_init, core_id(2))); // and has not heard of core 3
    for (unsigned looks = 0; looks < 5; ++looks)
        world.at(0).look_at_clock();
    while (world.at(0).work()) {
    }
    EXPECT_EQ(world.at(0).core_at(2)->state, CoreState::failing);
    EXPECT_EQ(
        world.at(0).joint_make(badge_init, core_id(4), world.kernel(0).frame()).error(), Err::busy
    ) << "it would not be known before its RAM is taken over";
    world.settle();
    EXPECT_EQ(world.at(1).core_at(2)->state, CoreState::failed);
    EXPECT_EQ(world.at(0).core_at(3)->state, CoreState::starting);
    EXPECT_FALSE(world.stopped.contains(3));
}

TEST(Leaving, LeavesMorePiecesThanAreKeptAtATime) {
    constexpr unsigned pieces = 150;
    World world{2, 1};
    world.start_all();
    world.settle();
    for (unsigned i = 0; i < pieces; ++i) {
        const uint64_t base = world.kernel(1).describe(world.kernel(1).ram())->base;
        ASSERT_TRUE(world.at(1).set_ram({base, large_page_bytes}));
    }
    world.settle();
    ASSERT_TRUE(world.at(1).leave_machine(badge_spawn));
    world.settle();
    EXPECT_EQ(world.at(0).core_at(1)->state, CoreState::stopped);
    unsigned fetched = 0;
    while (world.at(0).fetch(badge_init, "core.1"))
        ++fetched;
    EXPECT_EQ(fetched, pieces);
}

TEST(Failure, OfWhoStartsACoreLeavesNoRamToNobody) {
    World world{4, 1};
    for (unsigned core : {1u, 2u})
        world.start_core(core);
    world.settle();
    FakeKernel& kernel = world.kernel(1);
    const CapSlot ram = kernel.ram();
    const Range range{kernel.describe(ram)->base, large_page_bytes};
    ASSERT_TRUE(world.at(1).set_ram(range));
    world.settle();
    ASSERT_TRUE(world.at(1).joint_make(badge_init, core_id(3), kernel.frame()));
    ASSERT_TRUE(world.at(1).joint_give(badge_init, core_id(3), ram));
    const auto word = world.at(1).next_message(core_id(0));
    ASSERT_TRUE(word && std::holds_alternative<OwnerChange>(*word));
    world.at(0).receive(core_id(1), *word);
    world.stopped.insert(1); // that core 3 starts it cannot say any more
    world.give_up(0, 1);
    EXPECT_TRUE(world.stopped.contains(3));
    EXPECT_EQ(world.at(2).core_at(3)->state, CoreState::failed);
    EXPECT_EQ(world.at(2).owners().owner_of(range), core_id(0));
    EXPECT_TRUE(world.at(0).fetch(badge_init, "core.3"));
}

/// Cores 3 and 4 are both below core 1, and have no channel of their own before they need one.
class Links : public testing::Test {
  protected:
    Links() {
        world.start_all();
        world.settle();
        EXPECT_TRUE(server.monitor().offer(20, "echo"));
        world.settle();
    }

    World world{6, 1};
    Domain server{world, 4, 20}, client{world, 3, 21};
};

TEST_F(Links, ThatCannotBeOpenedLeaveNothingAndAreTriedAgain) {
    const size_t loans = world.kernel(3).count(abi::Kind::loan);
    world.islands[3]->links.refuse_open = 1;
    EXPECT_FALSE(client.bind("echo"));
    world.settle();
    EXPECT_TRUE(world.islands[3]->links.own_frames.empty());
    EXPECT_EQ(world.kernel(3).count(abi::Kind::loan), loans);
    ASSERT_TRUE(client.bind("echo"));
    world.settle();
    EXPECT_TRUE(server.accept_one());
    EXPECT_EQ(world.islands[3]->links.own_frames.size(), 1u);
}

TEST_F(Links, GiveTheirMemoryBackWhenThePeerHasGone) {
    ASSERT_TRUE(client.bind("echo"));
    world.settle();
    ASSERT_TRUE(server.accept_one());
    world.settle();
    const auto& now = world.islands[3]->links.own_frames;
    ASSERT_EQ(now.size(), 1u);
    const uint64_t frame = *now.begin();
    world.stopped.insert(4);
    world.give_up(3, 4); // it tells core 0, by a channel of their own
    EXPECT_EQ(world.at(3).core_at(4)->state, CoreState::failed);
    EXPECT_FALSE(now.contains(frame));
}

TEST_F(Links, OfACoreWhoseJointCannotBeOpenedAreStillToBeMade) {
    World two{2, 1};
    const size_t slots = two.kernel(0).slots.size();
    two.islands[0]->links.refuse_open = 1;
    const auto made = two.at(0).joint_make(badge_init, core_id(1), two.kernel(0).frame());
    EXPECT_EQ(made.error(), Err::no_memory);
    EXPECT_EQ(two.kernel(0).slots.size(), slots) << "no Loan is left";
    two.start_core(1);
    two.settle();
    EXPECT_EQ(two.at(0).core_at(1)->state, CoreState::up);
}

/// Names come and go, and pairs of domains bind, evenly on all cores.
TEST(Load, OfTheFirstCoreIsLikeThatOfOthers) {
    constexpr unsigned cores = 31;
    World world{cores, 1};
    world.start_all();
    world.settle();
    std::vector<std::unique_ptr<Domain>> domains;
    for (unsigned core = 0; core < cores; ++core)
        domains.push_back(std::make_unique<Domain>(world, core, 20));
    const auto sum = [&](unsigned core) {
        uint64_t all = 0;
        for (const auto count : world.at(core).counters().sent)
            all += count;
        for (const auto count : world.at(core).counters().received)
            all += count;
        return all;
    };
    std::vector<uint64_t> before;
    for (unsigned core = 0; core < cores; ++core)
        before.push_back(sum(core));
    for (unsigned core = 0; core < cores; ++core) {
        ASSERT_TRUE(domains[core]->monitor().offer(20, "s" + std::to_string(core)));
        world.settle();
    }
    for (unsigned core = 0; core < cores; ++core)
        for (unsigned step : {1u, 7u})
            ASSERT_TRUE(domains[core]->bind("s" + std::to_string((core + step) % cores)));
    world.settle();
    uint64_t all = 0;
    for (unsigned core = 0; core < cores; ++core)
        all += sum(core) - before[core];
    const double mean = static_cast<double>(all) / cores;
    const double share = static_cast<double>(sum(0) - before[0]) / mean;
    RecordProperty("share_of_core_0", std::to_string(share));
    std::cout << "core 0: " << share << " times the mean of " << mean << " messages\n";
    EXPECT_LE(share, 1.5);
}

} // namespace
