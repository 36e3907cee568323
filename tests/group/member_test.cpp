#include "lib/group/member.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/group/topologies.hpp"
#include "tests/group/world.hpp"

namespace {

using namespace group_test;

constexpr Shape shapes[] = {Shape::flat, Shape::k_ary, Shape::binomial, Shape::measured};

TEST(Member, ABroadcastReachesEveryOtherOnceWithAMessageEach) {
    for (const Shape shape : shapes) {
        World world{32, mesh(8, 4, 4), shape};
        world.begin(3, Operation::broadcast, Combine::none, 77);
        world.run();
        EXPECT_EQ(world.messages, 31u);
        for (unsigned i = 0; i < 32; ++i) {
            ASSERT_EQ(world.node(i).heard.size(), i == 3 ? 0u : 1u);
            if (i != 3) EXPECT_EQ(world.node(i).heard[0].words[0], 77u);
        }
        world.expect_agreement();
    }
}

TEST(Member, ACollectCombinesWordByWordWithTwoMessagesAMember) {
    struct Case {
        Combine how;
        uint64_t first, second;
    };

    constexpr Case cases[] = {
        {Combine::sum, 32 * 33 / 2, 0xffff'ffff},
        {Combine::minimum, 1, 1},
        {Combine::maximum, 32, 0x8000'0000},
        {Combine::any, 63, 0xffff'ffff},
        {Combine::all, 0, 0},
    };
    for (const Shape shape : shapes)
        for (const auto& [how, first, second] : cases) {
            World world{32, mesh(8, 4, 4), shape};
            world.begin(9, Operation::collect, how);
            world.run();
            ASSERT_TRUE(world.node(9).outcome);
            const Outcome& o = *world.node(9).outcome;
            EXPECT_EQ(o.status, Err::none);
            EXPECT_EQ(o.answered, 32u);
            EXPECT_EQ(o.words[0], first);
            EXPECT_EQ(o.words[1], second);
            EXPECT_EQ(world.messages, 62u);
        }
}

TEST(Member, AListBringsTheWordOfEachMember) {
    for (const unsigned count : {1u, 2u, 5u, 6u, 31u, 64u}) {
        World world{count, mesh(8, 8, 4)};
        world.begin(0, Operation::collect, Combine::list);
        world.run();
        auto& listed = world.node(0).listed;
        std::ranges::sort(listed);
        ASSERT_EQ(listed.size(), count);
        for (unsigned i = 0; i < count; ++i)
            EXPECT_EQ(listed[i], i + 1);
    }
}

TEST(Member, AnAgreementThatAllAcceptIsCarriedOutByAll) {
    World world{16, mesh(4, 4, 2)};
    const uint32_t number = world.begin(2, Operation::agree, Combine::none, 5);
    world.run();
    EXPECT_EQ(world.messages, 60u) << "down, up, down, up: 4 (n - 1)";
    ASSERT_TRUE(world.node(2).outcome);
    EXPECT_EQ(world.node(2).outcome->status, Err::none);
    for (const auto& n : world.nodes)
        EXPECT_TRUE(n->fates.at(uint64_t{2} << 32 | number));
    world.expect_agreement();
}

TEST(Member, OneRefusalAndNobodyCarriesItOut) {
    for (unsigned who = 0; who < 16; ++who) {
        World world{16, mesh(4, 4, 2), Shape::measured, who};
        world.node(who).says_yes = false;
        world.begin(2, Operation::agree);
        world.run();
        ASSERT_TRUE(world.node(2).outcome);
        EXPECT_EQ(world.node(2).outcome->status, Err::cancelled);
        for (const auto& n : world.nodes)
            for (const auto& [key, commit] : n->fates)
                EXPECT_FALSE(commit);
        world.expect_agreement();
    }
}

TEST(Member, OperationsOfDifferentMembersDoNotDisturbEachOther) {
    for (uint64_t seed = 0; seed < 30; ++seed) {
        World world{16, mesh(4, 4, 2), Shape::measured, seed};
        for (auto& n : world.nodes)
            n->late = seed % 2 == 0;
        for (unsigned i = 0; i < 16; ++i)
            world.begin(i, i % 2 ? Operation::agree : Operation::collect, Combine::sum);
        world.run();
        for (unsigned i = 0; i < 16; ++i) {
            ASSERT_TRUE(world.node(i).outcome) << "seed " << seed;
            EXPECT_EQ(world.node(i).outcome->status, Err::none);
        }
        world.expect_agreement();
    }
}

TEST(Member, HasOneOperationOfItsOwnAtATime) {
    World world{4, mesh(1, 4, 1)};
    world.begin(0, Operation::collect);
    EXPECT_EQ(world.node(0).part->begin(Operation::agree, {}, {}).error(), Err::busy);
    const std::array<uint64_t, 6> many{};
    world.run();
    EXPECT_EQ(world.node(0).part->begin(Operation::agree, {}, many).error(), Err::bad_argument);
}

TEST(Member, AloneDecidesAlone) {
    World world{1, mesh(1, 1, 1)};
    world.begin(0, Operation::agree);
    ASSERT_TRUE(world.node(0).outcome);
    EXPECT_EQ(world.node(0).outcome->status, Err::none);
    EXPECT_EQ(world.messages, 0u);
}

// One run for each step at which somebody may die, for everybody who may.
void death_at_every_step(unsigned count, Operation what, unsigned initiator, bool refuses) {
    for (unsigned victim = 0; victim < count; ++victim)
        for (unsigned when = 0;; ++when) {
            World world{count, mesh(4, count / 4, 2), Shape::measured, victim * 1000 + when};
            if (refuses) world.node(count - 1).says_yes = false;
            world.begin(initiator, what, Combine::sum);
            bool ended = false;
            for (unsigned i = 0; i < when && !ended; ++i)
                ended = !world.step();
            world.kill(victim);
            world.run();
            world.expect_agreement();
            if (victim != initiator) {
                ASSERT_TRUE(world.node(initiator).outcome)
                    << "victim " << victim << " step " << when;
                const Outcome& o = *world.node(initiator).outcome;
                EXPECT_GE(o.answered, count - 1);
                const bool no = refuses && (what == Operation::agree || victim != count - 1);
                if (no && victim != count - 1) EXPECT_EQ(o.status, Err::cancelled);
                if (!refuses) EXPECT_EQ(o.status, Err::none);
            }
            if (testing::Test::HasFailure()) return;
            if (ended) break;
        }
}

TEST(Member, ACollectEndsWhoeverDiesAtAnyStep) {
    death_at_every_step(12, Operation::collect, 5, false);
}

TEST(Member, AnAgreementEndsAlikeForAllWhoeverDiesAtAnyStep) {
    death_at_every_step(12, Operation::agree, 5, false);
    death_at_every_step(8, Operation::agree, 0, false);
}

TEST(Member, ARefusedAgreementEndsAlikeForAllWhoeverDiesAtAnyStep) {
    death_at_every_step(8, Operation::agree, 1, true);
}

TEST(Member, ManyOperationsAndDeathsEndAlikeForAllLivingMembers) {
    for (uint64_t seed = 0; seed < 400; ++seed) {
        World world{16, mesh(4, 4, 2), shapes[seed % 4], seed};
        for (auto& n : world.nodes) {
            n->late = world.random() % 2;
            n->says_yes = world.random() % 20 != 0;
        }
        for (unsigned i = 0; i < 16; ++i)
            if (world.random() % 2) world.begin(i, Operation::agree);
        for (int deaths = 0; deaths < 6; ++deaths) {
            for (uint64_t i = world.random() % 80; i > 0; --i)
                if (!world.step()) break;
            world.kill(static_cast<unsigned>(world.random() % 15)); // member 15 lives
        }
        world.run();
        world.expect_agreement();
        ASSERT_FALSE(HasFailure()) << "seed " << seed;
    }
}

TEST(Member, WhoeverDiesAndComesBackGoesOnWhereItWas) {
    for (uint64_t seed = 0; seed < 300; ++seed) {
        World world{8, mesh(2, 4, 2), Shape::measured, seed};
        const auto victim = static_cast<unsigned>(world.random() % 8);
        const auto other = (victim + 1) % 8;
        const uint32_t first = world.begin(victim, Operation::agree);
        world.begin(other, Operation::agree);
        for (uint64_t i = world.random() % 60; i > 0; --i)
            world.step();
        world.kill(victim);
        for (uint64_t i = world.random() % 60; i > 0; --i)
            world.step();
        world.join(victim);
        world.run();
        world.expect_agreement();
        const uint32_t second = world.begin(victim, Operation::agree);
        EXPECT_GE(second, first);
        world.run();
        ASSERT_TRUE(world.node(victim).outcome);
        EXPECT_EQ(world.node(victim).outcome->status, Err::none);
        ASSERT_TRUE(world.node(other).outcome);
        EXPECT_EQ(world.node(other).outcome->status, Err::none);
        world.expect_agreement();
        ASSERT_FALSE(HasFailure()) << "seed " << seed;
    }
}

TEST(Member, ACollectThatIsGivenUpSaysSoAndTheNextOneCounts) {
    World world{4, mesh(1, 4, 1)};
    world.node(3).late = true;
    world.begin(0, Operation::collect, Combine::sum);
    while (world.node(3).work.empty())
        ASSERT_TRUE(world.step());
    world.node(0).part->give_up();
    ASSERT_TRUE(world.node(0).outcome);
    EXPECT_EQ(world.node(0).outcome->status, Err::timed_out);
    world.begin(0, Operation::collect, Combine::sum);
    world.run();
    ASSERT_TRUE(world.node(0).outcome);
    EXPECT_EQ(world.node(0).outcome->status, Err::none);
    EXPECT_EQ(world.node(0).outcome->words[0], 10u) << "the late answer is not in it twice";
}

TEST(Member, AnAgreementThatIsGivenUpIsUndoneByAll) {
    for (uint64_t seed = 0; seed < 50; ++seed) {
        World world{8, mesh(2, 4, 2), Shape::measured, seed};
        world.node(7).late = true;
        world.begin(0, Operation::agree);
        for (uint64_t i = 0; i < seed; ++i)
            world.step();
        world.node(0).part->give_up();
        world.run();
        ASSERT_TRUE(world.node(0).outcome);
        const bool committed = world.node(0).fates.begin()->second;
        EXPECT_EQ(world.node(0).outcome->status, committed ? Err::none : Err::timed_out);
        world.expect_agreement();
    }
}

TEST(Member, DropsWhatIsNotForIt) {
    World world{4, mesh(1, 4, 1), Shape::flat};
    Message m{.kind = Kind::perform, .operation = Operation::collect, .initiator = member(9)};
    m.epoch = 1;
    world.node(1).part->receive(member(0), m);
    EXPECT_EQ(world.node(1).part->refused(), 1u) << "there is no member 9";
    m.initiator = member(0);
    m.number = 1;
    world.node(1).part->receive(member(2), m);
    EXPECT_EQ(world.node(1).part->refused(), 2u) << "not from its parent";
    m.kind = Kind::performed;
    world.node(0).part->receive(member(1), m);
    EXPECT_EQ(world.messages, 0u);
}

TEST(Member, AnyMessagesAtAllLeaveItWhole) {
    std::mt19937_64 random{11};
    for (int round = 0; round < 200; ++round) {
        World world{8, mesh(2, 4, 2), Shape::measured, random()};
        for (auto& n : world.nodes)
            n->late = true;
        world.begin(1, Operation::collect, Combine::list);
        for (int i = 0; i < 200; ++i) {
            std::array<uint64_t, 7> words;
            for (auto& w : words)
                w = random();
            words[0] = (random() % 6) | (random() % 3) << 8 | (random() % 7) << 16 |
                       (random() % 7) << 24 | (random() % 4) << 32;
            words[1] = (random() % 9) | (random() % 6) << 8 | (random() % 3) << 32;
            const auto m = Message::unpack(words);
            ASSERT_TRUE(m);
            world.node(static_cast<unsigned>(random() % 8)).part->receive(member(random() % 8), *m);
        }
    }
}

TEST(Message, KeepsEverythingInSevenWordsAndRefusesNonsense) {
    const Message m{
        Kind::told,
        Operation::agree,
        Combine::list,
        Verdict::aborted,
        member(254),
        5,
        300,
        0xdead'beef,
        0xcafe'f00d,
        {1, 2, 3, 4, 5}
    };
    const auto back = Message::unpack(m.pack());
    ASSERT_TRUE(back);
    EXPECT_EQ(back->pack(), m.pack());
    EXPECT_EQ(back->number, m.number);
    EXPECT_EQ(back->epoch, m.epoch);
    EXPECT_EQ(back->answered, 300u);
    for (unsigned byte : {0u, 1u, 2u, 3u}) {
        auto words = m.pack();
        words[0] |= uint64_t{0xff} << 8 * byte;
        EXPECT_EQ(Message::unpack(words).error(), Err::malformed);
    }
    auto words = m.pack();
    words[1] |= 0xff00;
    EXPECT_EQ(Message::unpack(words).error(), Err::malformed);
}

} // namespace
