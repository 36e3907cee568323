// Devices that a core's drivers have programmed are silent before anybody hears that it failed.
#include "tests/monitor/pair.hpp"

using namespace monitor_test;

namespace {

struct Machine {
    World world;
    Domain keeper;
    Range ram; // of the core that fails
    unsigned fails;

    /// The PCI service is on core `at`.
    Machine(uint64_t seed, unsigned at, unsigned who)
        : world{4, seed}, keeper{(world.start_all(), world.settle(), world), at, 40, "pci"},
          fails{who} {
        FakeKernel& kernel = world.kernel(who);
        ram = {kernel.describe(kernel.ram())->base, large_page_bytes};
        EXPECT_TRUE(world.at(who).set_ram(ram));
        EXPECT_TRUE(keeper.monitor().trust(badge_spawn, 40));
        EXPECT_TRUE(keeper.monitor().offer(40, "pci"));
        world.settle();
    }

    CoreState state(unsigned by) { return world.at(by).core_at(fails)->state; }
};

TEST(Silence, ComesBeforeAnybodyHearsOfTheFailure) {
    for (const unsigned at : {0u, 1u}) {
        Machine m{1, at, 3};
        m.world.islands[3]->stalled = true;
        m.world.give_up(2, 3);
        EXPECT_TRUE(m.world.stopped.contains(3)) << "it is stopped first";
        for (unsigned core = 0; core < 3; ++core)
            EXPECT_EQ(m.state(core), CoreState::up) << core;
        const News news = m.keeper.next();
        EXPECT_EQ(news.notice, Notice::silence);
        EXPECT_EQ(news.detail, 3u);
        ASSERT_TRUE(m.keeper.monitor().silent(40, core_id(3)));
        EXPECT_EQ(m.keeper.monitor().silent(40, core_id(3)).error(), Err::bad_state);
        m.world.settle();
        for (unsigned core = 0; core < 3; ++core)
            EXPECT_EQ(m.state(core), CoreState::failed) << core;
        EXPECT_EQ(m.world.at(1).owners().owner_of(m.ram), core_id(0));
        m.world.expect_no_bad_messages();
    }
}

TEST(Silence, IsForNobodyElseToSay) {
    Machine m{1, 0, 3};
    Domain other{m.world, 0, 50};
    m.world.islands[3]->stalled = true;
    m.world.give_up(1, 3);
    EXPECT_EQ(other.monitor().silent(50, core_id(3)).error(), Err::cap_rights);
    EXPECT_EQ(m.keeper.monitor().silent(40, core_id(2)).error(), Err::bad_state);
    EXPECT_EQ(m.state(1), CoreState::up);
}

/// A device may go on writing there: the memory is nobody's, for whoever comes to decide.
void expect_nobodys(Machine& m) {
    for (unsigned core = 0; core < 4; ++core) {
        if (m.world.stopped.contains(core)) continue;
        EXPECT_EQ(m.state(core), CoreState::failed) << core;
        EXPECT_EQ(m.world.at(core).owners().owner_of(m.ram), nobody) << core;
    }
    EXPECT_FALSE(m.world.at(m.fails == 0 ? 1 : 0).fetch(badge_init, "core.0"));
}

TEST(Silence, NobodyCanSeeToWhenThePciServiceFailsWithItsCore) {
    Machine m{1, 0, 0};
    m.world.islands[0]->stalled = true;
    m.world.give_up(1, 0);
    expect_nobodys(m);
}

/// Core 3 fails, the PCI service of core 1 is asked, and its answer is what all wait for.
void fail_core_3(Machine& m) {
    m.world.islands[3]->stalled = true;
    m.world.give_up(2, 3);
    EXPECT_EQ(m.state(0), CoreState::up);
}

TEST(Silence, NobodyCanSeeToWhenThePciServiceHasEnded) {
    Machine m{1, 1, 3};
    fail_core_3(m);
    m.keeper.die();
    m.world.settle();
    expect_nobodys(m);
}

TEST(Silence, IsNotWaitedForWhenItsCoreFailsToo) {
    Machine m{1, 1, 3};
    fail_core_3(m);
    m.world.islands[1]->stalled = true;
    m.world.give_up(2, 1);
    expect_nobodys(m);
}

/// The PCI service hangs, which nobody but the clock tells.
void let_them_wait_in_vain(Machine& m, unsigned by = 0) {
    for (unsigned looks = 1; looks < Monitor::looks_before_loud; ++looks) {
        EXPECT_TRUE(m.world.at(by).expects_answers());
        m.world.at(by).look_at_clock();
        m.world.settle();
        EXPECT_EQ(m.state(by), CoreState::up) << looks;
    }
    m.world.at(by).look_at_clock();
    m.world.settle();
}

/// The PCI service is asked about one core, and answers.
void expect_silenced(Domain& keeper, World& world, unsigned core) {
    const News news = keeper.next();
    EXPECT_EQ(news.notice, Notice::silence);
    EXPECT_EQ(news.detail, core);
    ASSERT_TRUE(keeper.monitor().silent(40, core_id(core)));
    world.settle();
}

TEST(Silence, IsNotWaitedForWithoutEnd) {
    Machine m{1, 1, 3};
    fail_core_3(m);
    let_them_wait_in_vain(m);
    expect_nobodys(m);
    ASSERT_TRUE(m.keeper.monitor().silent(40, core_id(3))) << "too late";
    m.world.settle();
    expect_nobodys(m);
    // Its next life has nothing to do with that.
    ASSERT_TRUE(m.world.at(1).joint_make(badge_init, core_id(3), m.world.kernel(1).frame()));
    m.world.settle();
    EXPECT_FALSE(m.world.at(0).cores()[core_id(3)].loud);
    m.world.expect_no_bad_messages();
}

TEST(Silence, ThatNobodySeesToIsKnownToWhoDecidesNext) {
    with_seeds([](uint64_t seed) {
        Machine m{seed, 1, 3};
        fail_core_3(m);
        m.world.late.emplace(2, 0); // what it says of core 3, so that core 0 cannot take over
        let_them_wait_in_vain(m);
        EXPECT_EQ(m.state(0), CoreState::failing);
        m.world.islands[0]->stalled = true;
        m.world.give_up(1, 0);
        ASSERT_TRUE(m.keeper.monitor().silent(40, core_id(0)));
        m.world.settle();
        expect_nobodys(m);
    });
}

/// Core 0 hears of the new place before it hears that there is none at the old one any more.
TEST(Silence, IsAskedOfThePciServiceInItsNewPlace) {
    Machine m{1, 3, 2};
    Domain other{m.world, 0, 50};
    m.world.islands[2]->stalled = true;
    m.world.give_up(1, 2);
    EXPECT_EQ(m.keeper.next().notice, Notice::silence);
    EXPECT_EQ(m.state(0), CoreState::up);
    m.world.late.emplace(3, 0);
    m.world.late.emplace(3, 1);
    ASSERT_TRUE(m.keeper.monitor().withdraw(40, "pci"));
    m.world.at(0).receive(core_id(1), NameChange{keeper_name, core_id(3), false});
    ASSERT_TRUE(other.monitor().trust(badge_spawn, 50));
    ASSERT_TRUE(other.monitor().offer(50, "pci"));
    m.world.settle();
    EXPECT_EQ(m.state(0), CoreState::up);
    const News news = other.next();
    EXPECT_EQ(news.notice, Notice::silence);
    EXPECT_EQ(news.detail, 2u);
    m.world.late.clear();
    m.world.settle();
    EXPECT_EQ(m.state(0), CoreState::up) << "who could not is not asked any more";
    ASSERT_TRUE(other.monitor().silent(50, core_id(2)));
    m.world.settle();
    EXPECT_EQ(m.world.at(1).owners().owner_of(m.ram), core_id(0));
    m.world.expect_no_bad_messages();
}

TEST(Silence, IsNotWaitedForWithoutEndWhenTheLowestCoreFails) {
    Machine m{1, 2, 0};
    m.world.islands[0]->stalled = true;
    m.world.give_up(3, 0);
    let_them_wait_in_vain(m, 1);
    expect_nobodys(m);
}

TEST(Silence, IsWaitedForByEachCoreForItself) {
    Machine m{1, 1, 3};
    fail_core_3(m);
    const auto look = [&](unsigned times) {
        for (unsigned i = 0; i < times; ++i) {
            m.world.at(0).look_at_clock();
            m.world.settle();
        }
    };
    look(Monitor::looks_before_loud - 6);
    m.world.islands[2]->stalled = true;
    m.world.give_up(0, 2); // five looks
    EXPECT_TRUE(m.world.stopped.contains(2));
    EXPECT_EQ(m.state(0), CoreState::up);
    look(1);
    EXPECT_TRUE(is_gone(m.state(0))) << "the other one has not begun its wait anew";
    EXPECT_EQ(m.world.at(0).core_at(2)->state, CoreState::up) << "which it has to itself";
    look(Monitor::looks_before_loud);
    EXPECT_EQ(m.world.at(0).core_at(2)->state, CoreState::failed);
    expect_nobodys(m);
}

/// Cores 0 and 3 have no link.
TEST(Silence, IsAskedForAgainAtTheClockWhenThereWasNoWayYet) {
    Machine m{1, 3, 2};
    m.world.islands[0]->links.refuse_open = 1;
    m.world.islands[2]->stalled = true;
    m.world.give_up(1, 2);
    EXPECT_EQ(m.world.islands[0]->links.refuse_open, 0u);
    EXPECT_EQ(m.keeper.next().notice, Notice::nothing);
    EXPECT_EQ(m.state(0), CoreState::up);
    m.world.at(0).look_at_clock();
    m.world.settle();
    expect_silenced(m.keeper, m.world, 2);
    EXPECT_EQ(m.world.at(1).owners().owner_of(m.ram), core_id(0));
}

TEST(Silence, IsAskedForAgainByAnotherWhenWhoDecidesLeaves) {
    with_seeds([](uint64_t seed) {
        Machine m{seed, 1, 3};
        m.world.islands[3]->stalled = true;
        m.world.give_up(0, 3); // nobody else suspects it
        EXPECT_EQ(m.keeper.next().notice, Notice::silence);
        ASSERT_TRUE(m.world.at(0).leave_machine(badge_spawn));
        m.world.settle();
        EXPECT_TRUE(m.world.stopped.contains(0));
        expect_silenced(m.keeper, m.world, 3);
        for (const unsigned by : {1u, 2u}) {
            EXPECT_EQ(m.state(by), CoreState::failed);
            EXPECT_EQ(m.world.at(by).core_at(0)->state, CoreState::stopped);
            EXPECT_EQ(m.world.at(by).owners().owner_of(m.ram), core_id(1));
        }
        m.world.expect_no_bad_messages();
    });
}

TEST(Silence, IsAskedForAgainByALowerCoreThatHasJoined) {
    with_seeds([](uint64_t seed) {
        World world{4, seed};
        for (const unsigned core : {2u, 3u})
            world.start_core(core, 1);
        world.settle();
        Domain keeper{world, 2, 40, "pci"};
        ASSERT_TRUE(keeper.monitor().trust(badge_spawn, 40));
        ASSERT_TRUE(keeper.monitor().offer(40, "pci"));
        world.settle();
        world.islands[3]->stalled = true;
        world.give_up(2, 3);
        EXPECT_EQ(keeper.next().notice, Notice::silence);
        world.start_core(0, 1);
        world.settle();
        EXPECT_FALSE(world.stopped.contains(0)) << "it decides when it has heard of everybody";
        expect_silenced(keeper, world, 3);
        for (const unsigned by : {0u, 1u, 2u})
            EXPECT_EQ(world.at(by).core_at(3)->state, CoreState::failed) << by;
        world.expect_no_bad_messages();
    });
}

TEST(Silence, OfACoreThatItsParentWasStartingIsWaitedForAtRest) {
    World world{4, 1};
    for (const unsigned core : {1u, 2u})
        world.start_core(core);
    world.settle();
    Domain keeper{world, 2, 40, "pci"};
    ASSERT_TRUE(keeper.monitor().trust(badge_spawn, 40));
    ASSERT_TRUE(keeper.monitor().offer(40, "pci"));
    ASSERT_TRUE(world.at(1).joint_make(badge_init, core_id(3), world.kernel(1).frame()));
    world.settle();
    world.islands[1]->stalled = true;
    world.give_up(0, 1);
    expect_silenced(keeper, world, 1);
    EXPECT_FALSE(world.at(0).has_work());
    expect_silenced(keeper, world, 3);
    EXPECT_EQ(world.at(2).core_at(3)->state, CoreState::failed);
}

/// Core 3 has failed loud, and core 1, which starts it again, fails before anybody hears more than
/// that it got RAM.
TEST(Silence, ThatNobodySawToIsOfOneLifeOnly) {
    Machine m{1, 1, 3};
    fail_core_3(m);
    m.keeper.die();
    m.world.settle();
    expect_nobodys(m);
    FakeKernel& kernel = m.world.kernel(1);
    const CapSlot ram = kernel.ram();
    const Range range{kernel.describe(ram)->base, large_page_bytes};
    ASSERT_TRUE(m.world.at(1).set_ram(range));
    m.world.settle();
    ASSERT_TRUE(m.world.at(1).joint_make(badge_init, core_id(3), kernel.frame()));
    ASSERT_TRUE(m.world.at(1).joint_give(badge_init, core_id(3), ram));
    const auto word = m.world.at(1).next_message(core_id(0));
    ASSERT_TRUE(word && std::holds_alternative<OwnerChange>(*word));
    m.world.at(0).receive(core_id(1), *word);
    m.world.stopped.insert(1);
    m.world.give_up(0, 1);
    EXPECT_EQ(m.world.at(2).core_at(3)->state, CoreState::failed);
    EXPECT_EQ(m.world.at(2).owners().owner_of(range), core_id(0));
    EXPECT_EQ(m.world.at(2).owners().owner_of(m.ram), nobody);
}

TEST(Silence, IsAskedForAgainByWhoDecidesNext) {
    with_seeds([](uint64_t seed) {
        Machine m{seed, 2, 3};
        m.world.islands[3]->stalled = true;
        m.world.give_up(1, 3);
        m.world.islands[0]->stalled = true; // who decides goes before the answer
        for (unsigned looks = 0; looks < 16; ++looks) {
            m.world.give_up(1, 0);
            m.world.give_up(1, 3);
            for (News news = m.keeper.next(); news.notice != Notice::nothing;
                 news = m.keeper.next())
                if (news.notice == Notice::silence)
                    (void)m.keeper.monitor().silent(40, core_id(unsigned(news.detail)));
        }
        m.world.settle();
        EXPECT_EQ(m.state(1), CoreState::failed);
        EXPECT_EQ(m.state(2), CoreState::failed);
        EXPECT_EQ(m.world.at(1).core_at(0)->state, CoreState::failed);
        EXPECT_EQ(m.world.at(2).owners().owner_of(m.ram), core_id(1));
    });
}

} // namespace
