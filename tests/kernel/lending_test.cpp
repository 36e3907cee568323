// Memory between cores, as one core's kernel sees it: frames lent and borrowed, RAM given away,
// taken over and taken back, ranges marked while other cores give back what they have.
#include <gtest/gtest.h>

#include "tests/kernel/check.hpp"
#include "tests/kernel/world.hpp"

namespace {

using namespace kernel_test;
namespace s = abi::slot;
namespace flag = kernel::flag;

constexpr uint64_t leaf_cap = s::leaf, self = s::dispatcher;
constexpr uint64_t bell = 20, core_cap = 22, other_core = 24;
constexpr uint64_t ram_cap = 30, loan_cap = 31, frame_cap = 32, keeper_cap = 33;
constexpr uint64_t foreign = 0x20'0000; // RAM of another core, below the arena
constexpr uint64_t block = large_page_bytes;

class Lending : public testing::Test {
  protected:
    Lending() {
        me = world.make_domain(8);
        Core& core = *world.core;
        World::must(core.make_doorbell(slot(self), slot(bell), 9));
        const auto root = [&](uint64_t i, uint64_t apic) {
            World::must(
                core.insert_root(slot(i), {Kind::core, abi::core_space + apic, 1, abi::all_rights})
            );
        };
        root(core_cap, own_apic);
        root(other_core, 3);
        core.schedule();
    }

    ~Lending() override { EXPECT_EQ(database_trouble(world.core->database()), ""); }

    Err accept(Kind kind, uint64_t base, uint64_t bytes, uint64_t badge, uint64_t into) {
        return world.call(
            Op::core_accept,
            core_cap,
            {leaf_cap, into, static_cast<uint64_t>(kind), base, bytes, 15, badge}
        );
    }

    Err copy(uint64_t from, uint64_t into) {
        return world.call(Op::cnode_copy, leaf_cap, {into, from});
    }

    Err remove(uint64_t i) { return world.call(Op::cnode_delete, leaf_cap, {i}); }

    Err revoke(uint64_t i) { return world.call(Op::cnode_revoke, leaf_cap, {i}); }

    Err give(uint64_t i) { return world.call(Op::core_give, core_cap, {i}); }

    Err regain(uint64_t i) { return world.call(Op::core_regain, core_cap, {i}); }

    Err mark(uint64_t i, uint64_t on) { return world.call(Op::core_mark, core_cap, {i, on}); }

    Err retype(uint64_t from, Kind kind, uint64_t bytes, uint64_t into, uint64_t offset = 0) {
        return world.call(
            Op::cnode_retype, leaf_cap, {into, from, static_cast<uint64_t>(kind), offset, bytes, 1}
        );
    }

    uint64_t describe(uint64_t i, size_t value) {
        return World::value(world.invoke(Op::cnode_describe, leaf_cap, {i}), value);
    }

    uint64_t flags_of(uint64_t i) { return describe(i, 4); }

    struct Drained {
        uint64_t what, base, bytes;
        bool operator==(const Drained&) const = default;
    };

    Drained drained() {
        const Dispatcher& d = world.invoke(Op::core_drained, core_cap);
        EXPECT_EQ(World::status(d), Err::none);
        return {World::value(d, 0), World::value(d, 1), World::value(d, 2)};
    }

    /// A block of the boot RAM, in `into`.
    void make_block(uint64_t into = ram_cap, uint64_t blocks = 1) {
        world.align(block);
        world.make(Kind::ram, slot(into), blocks * block);
    }

    /// Maps one page of the frame; its table and the mapping take two slots.
    void map(uint64_t frame, uint64_t table, uint64_t mapping, uint64_t pages = 1) {
        world.make(Kind::page_table, slot(table));
        ASSERT_EQ(
            world.call(Op::table_map, table, {0, frame, 0, 3, pages, leaf_cap, mapping}), Err::none
        );
    }

    Slot& slot(uint64_t i) { return me.leaf->slot[i]; }

    World world;
    Domain me;
};

constexpr uint64_t none = 0, one = 1, many = 2;

// ------------------------------------------------------------------------------ what is borrowed

TEST_F(Lending, AKeeperNamesItsOwnerAndItsCopiesAreNone) {
    ASSERT_EQ(accept(Kind::frame, foreign, 0x1000, 6, keeper_cap), Err::none);
    ASSERT_EQ(copy(keeper_cap, 40), Err::none);
    EXPECT_EQ(describe(keeper_cap, 3), 6u);
    EXPECT_EQ(describe(40, 3), 6u);
    EXPECT_EQ(flags_of(40), abi::describe_borrowed);
    EXPECT_EQ(flags_of(keeper_cap), abi::describe_borrowed | abi::describe_keeper);
    EXPECT_EQ(world.call(Op::cnode_mint, leaf_cap, {41, keeper_cap, 1, 6}), Err::none);
    EXPECT_EQ(world.call(Op::cnode_mint, leaf_cap, {42, keeper_cap, 1, 7}), Err::bad_argument);
    EXPECT_EQ(accept(Kind::frame, foreign, 0x1000, 256, 43), Err::bad_argument);
    EXPECT_EQ(accept(Kind::frame, foreign, 0x1000, 255, 43), Err::none);
}

TEST_F(Lending, ALentFrameGoesWithItsCNode) {
    world.make(Kind::frame, slot(frame_cap), page_bytes);
    ASSERT_EQ(world.call(Op::core_lend, core_cap, {frame_cap, leaf_cap, loan_cap}), Err::none);
    world.make(Kind::cnode, slot(40));
    ASSERT_EQ(world.call(Op::cnode_move, 40, {7, frame_cap}), Err::none);
    EXPECT_EQ(world.call(Op::cnode_delete, 40, {7}), Err::lent); // by itself it does not
    EXPECT_EQ(remove(40), Err::none);
    // nobody has the frame any more, but another core may
    EXPECT_EQ(slot(loan_cap).kind, Kind::loan);
    EXPECT_EQ(world.call(Op::core_recall, core_cap, {loan_cap, 1, leaf_cap, 41}), Err::cap_empty);
    EXPECT_EQ(remove(loan_cap), Err::none);
}

TEST_F(Lending, AMovedKeeperIsStillOne) {
    ASSERT_EQ(accept(Kind::frame, foreign, 0x1000, 6, keeper_cap), Err::none);
    ASSERT_EQ(world.call(Op::cnode_move, leaf_cap, {40, keeper_cap}), Err::none);
    EXPECT_EQ(flags_of(40), abi::describe_borrowed | abi::describe_keeper | abi::describe_idle);
    EXPECT_EQ(flags_of(keeper_cap), 0u);
}

TEST_F(Lending, AKeeperIsIdleWhenNoCopyAndNoMappingIsLeft) {
    ASSERT_EQ(accept(Kind::frame, foreign, 0x2000, 6, keeper_cap), Err::none);
    EXPECT_NE(flags_of(keeper_cap) & abi::describe_idle, 0u);
    map(keeper_cap, 40, 41);
    EXPECT_EQ(flags_of(keeper_cap) & abi::describe_idle, 0u);
    ASSERT_EQ(copy(keeper_cap, 42), Err::none);
    ASSERT_EQ(remove(41), Err::none);
    EXPECT_EQ(flags_of(keeper_cap) & abi::describe_idle, 0u);
    EXPECT_EQ(flags_of(42) & abi::describe_idle, 0u);
    ASSERT_EQ(remove(42), Err::none);
    EXPECT_NE(flags_of(keeper_cap) & abi::describe_idle, 0u);
}

TEST_F(Lending, ARevokeOfACopyLeavesTheKeeper) {
    ASSERT_EQ(accept(Kind::frame, foreign, page_bytes, 3, keeper_cap), Err::none);
    for (uint64_t into = 40; into < 43; ++into)
        ASSERT_EQ(copy(keeper_cap, into), Err::none);
    EXPECT_EQ(revoke(41), Err::none);
    EXPECT_TRUE(slot(40).empty());
    EXPECT_EQ(slot(41).kind, Kind::frame);
    EXPECT_TRUE(slot(42).empty());
    EXPECT_EQ(slot(keeper_cap).kind, Kind::frame);
    // so that the monitor can still take it away
    EXPECT_EQ(revoke(keeper_cap), Err::none);
    EXPECT_TRUE(slot(41).empty());
}

TEST_F(Lending, TheLastCopyTellsOnceThatAFrameIsDrained) {
    ASSERT_EQ(world.call(Op::core_watch, core_cap, {bell}), Err::none);
    ASSERT_EQ(accept(Kind::frame, foreign, 0x2000, 6, keeper_cap), Err::none);
    ASSERT_EQ(accept(Kind::frame, foreign, 0x2000, 6, 34), Err::none); // lent twice
    ASSERT_EQ(copy(keeper_cap, 40), Err::none);
    ASSERT_EQ(copy(40, 41), Err::none);
    EXPECT_EQ(drained(), (Drained{none, 0, 0}));
    ASSERT_EQ(remove(40), Err::none);
    EXPECT_EQ(me.page->pending, 0u);
    ASSERT_EQ(remove(41), Err::none);
    EXPECT_EQ(me.page->pending, 1u << 9);
    EXPECT_EQ(drained(), (Drained{one, foreign, 0x2000}));
    EXPECT_EQ(drained(), (Drained{none, 0, 0}));
    me.page->pending = 0;
    ASSERT_EQ(remove(keeper_cap), Err::none); // keepers come and go unnoticed
    ASSERT_EQ(remove(34), Err::none);
    EXPECT_EQ(me.page->pending, 0u);
    EXPECT_EQ(drained(), (Drained{none, 0, 0}));
}

TEST_F(Lending, AMappingHoldsABorrowedFrameToo) {
    ASSERT_EQ(accept(Kind::frame, foreign, 0x2000, 6, keeper_cap), Err::none);
    ASSERT_EQ(copy(keeper_cap, 40), Err::none);
    world.make(Kind::page_table, slot(41));
    ASSERT_EQ(world.call(Op::table_map, 41, {0, 40, 0x1000, 3, 1, leaf_cap, 42}), Err::none);
    ASSERT_EQ(remove(40), Err::none);
    EXPECT_EQ(drained(), (Drained{none, 0, 0}));
    ASSERT_EQ(remove(41), Err::none); // the table, and the mapping with it
    EXPECT_TRUE(slot(42).empty());
    EXPECT_EQ(drained(), (Drained{one, foreign, 0x2000}));
}

TEST_F(Lending, WhatDrainedBeforeTheWatchIsRungAtOnce) {
    ASSERT_EQ(accept(Kind::frame, foreign, 0x2000, 6, keeper_cap), Err::none);
    ASSERT_EQ(copy(keeper_cap, 40), Err::none);
    ASSERT_EQ(remove(40), Err::none);
    EXPECT_EQ(me.page->pending, 0u);
    EXPECT_EQ(world.call(Op::core_watch, core_cap, {bell}), Err::none);
    EXPECT_EQ(me.page->pending, 1u << 9);
    me.page->pending = 0;
    EXPECT_EQ(world.call(Op::core_watch, core_cap, {0}), Err::none); // nobody listens
    ASSERT_EQ(copy(keeper_cap, 40), Err::none);
    ASSERT_EQ(remove(40), Err::none);
    EXPECT_EQ(me.page->pending, 0u);
    EXPECT_EQ(drained(), (Drained{one, foreign, 0x2000})); // and it is noted once
    EXPECT_EQ(drained(), (Drained{none, 0, 0}));
}

TEST_F(Lending, TheWatchGoesWithItsDispatcher) {
    Domain other = world.make_domain(8);
    World::must(world.core->make_doorbell(other.leaf->slot[self], slot(40), 4));
    ASSERT_EQ(world.call(Op::core_watch, core_cap, {40}), Err::none);
    ASSERT_EQ(world.call(Op::core_watch, core_cap, {core_cap}), Err::cap_type);
    World::must(world.core->remove(other.leaf->slot[self]));
    EXPECT_TRUE(slot(40).empty());
    ASSERT_EQ(accept(Kind::frame, foreign, 0x2000, 6, keeper_cap), Err::none);
    ASSERT_EQ(copy(keeper_cap, 41), Err::none);
    ASSERT_EQ(remove(41), Err::none); // rings nobody
    slot(bell).rights = abi::copy;
    EXPECT_EQ(world.call(Op::core_watch, core_cap, {bell}), Err::cap_rights);
}

TEST_F(Lending, MoreDrainedFramesThanAreNotedMeanLookAtAll) {
    for (uint64_t i = 0; i < 65; ++i) {
        ASSERT_EQ(accept(Kind::frame, foreign + i * 0x1000, 0x1000, 6, 40), Err::none);
        ASSERT_EQ(copy(40, 41), Err::none);
        ASSERT_EQ(remove(41), Err::none);
        ASSERT_EQ(remove(40), Err::none);
    }
    EXPECT_EQ(drained().what, many);
    EXPECT_EQ(drained().what, none);
}

TEST_F(Lending, RevokingAKeeperTakesEveryCopyAndMapping) {
    ASSERT_EQ(accept(Kind::frame, foreign, 0x2000, 6, keeper_cap), Err::none);
    ASSERT_EQ(accept(Kind::frame, foreign, 0x2000, 6, 34), Err::none);
    ASSERT_EQ(copy(keeper_cap, 40), Err::none);
    map(40, 41, 42, 2);
    EXPECT_EQ(revoke(keeper_cap), Err::none);
    EXPECT_TRUE(slot(34).empty() && slot(40).empty() && slot(42).empty());
    EXPECT_EQ(remove(keeper_cap), Err::none);
}

TEST_F(Lending, OnlyOnesOwnCoreWithTheExecuteRightIsAsked) {
    constexpr std::array ops{
        Op::core_accept,
        Op::core_lend,
        Op::core_recall,
        Op::core_give,
        Op::core_regain,
        Op::core_mark,
        Op::core_watch,
        Op::core_drained,
        Op::core_vector
    };
    for (const Op op : ops)
        EXPECT_EQ(world.call(op, other_core, {bell, 1}), Err::foreign);
    slot(core_cap).rights = abi::write | abi::read;
    for (const Op op : ops)
        EXPECT_EQ(world.call(op, core_cap, {bell, 1}), Err::cap_rights);
    for (const Op op : ops)
        EXPECT_EQ(world.call(op, bell, {bell, 1}), Err::bad_operation);
}

// ----------------------------------------------------------------------------------- RAM moves

TEST_F(Lending, GivenRamIsALoanWhileLargerRamContainsIt) {
    make_block();
    const uint64_t base = slot(ram_cap).base, owned = world.core->statistics().bytes_owned;
    const unsigned depth = slot(ram_cap).depth;
    ASSERT_EQ(copy(ram_cap, 40), Err::none);
    const Dispatcher& d = world.invoke(Op::core_give, core_cap, {ram_cap});
    EXPECT_EQ(World::status(d), Err::none);
    EXPECT_EQ(World::value(d, 0), 1u);
    EXPECT_TRUE(slot(40).empty());
    EXPECT_EQ(slot(ram_cap).kind, Kind::loan);
    EXPECT_EQ(slot(ram_cap).depth, depth);
    EXPECT_EQ(flags_of(ram_cap), abi::describe_given);
    EXPECT_EQ(world.core->statistics().bytes_owned, owned - block);
    EXPECT_EQ(world.core->parked_loans(), 1u);
    EXPECT_EQ(world.machine.disowned, (decltype(world.machine.disowned){{base, base + block}}));
    const uint64_t offset = base - ram_base;
    EXPECT_FALSE(world.core->retype(world.ram(), Kind::frame, offset, 0x1000, {&slot(40), 1}));
    EXPECT_EQ(remove(ram_cap), Err::lent);
    EXPECT_FALSE(slot(ram_cap).empty());
    EXPECT_EQ(accept(Kind::ram, base, block, 0, 40), Err::range_in_use); // only regain ends it
    EXPECT_EQ(world.call(Op::cnode_move, leaf_cap, {41, ram_cap}), Err::none);
    EXPECT_EQ(regain(41), Err::none);
    EXPECT_EQ(slot(41).kind, Kind::ram);
    EXPECT_EQ(slot(41).depth, depth);
    EXPECT_EQ(slot(41).rights, abi::all_rights);
    EXPECT_EQ(flags_of(41), 0u);
    EXPECT_EQ(world.core->statistics().bytes_owned, owned);
    EXPECT_EQ(world.core->parked_loans(), 0u);
    EXPECT_EQ(world.machine.owned, world.machine.disowned);
    EXPECT_EQ(retype(41, Kind::frame, 0x1000, 40), Err::none);
}

TEST_F(Lending, WhatWasGivenComesBackInPieces) {
    world.align(block);
    world.make(Kind::ram, slot(ram_cap), 2 * block);
    const uint64_t base = slot(ram_cap).base, owned = world.core->statistics().bytes_owned;
    const auto split = [&](uint64_t offset) {
        return world.call(Op::core_split, core_cap, {ram_cap, offset, leaf_cap, 41});
    };
    EXPECT_EQ(split(block), Err::cap_type) << "it is here";
    ASSERT_EQ(world.call(Op::core_give, core_cap, {ram_cap}), Err::none);
    EXPECT_EQ(split(0), Err::range_bounds);
    EXPECT_EQ(split(2 * block), Err::range_bounds);
    EXPECT_EQ(split(block / 2), Err::misaligned);
    ASSERT_EQ(split(block), Err::none);
    EXPECT_EQ(slot(ram_cap).bytes, block);
    EXPECT_EQ(slot(41).base, base + block);
    EXPECT_EQ(world.core->parked_loans(), 2u);
    EXPECT_EQ(regain(41), Err::none);
    EXPECT_EQ(world.core->statistics().bytes_owned, owned - block);
    EXPECT_EQ(regain(ram_cap), Err::none);
    EXPECT_EQ(world.core->statistics().bytes_owned, owned);
    EXPECT_EQ(world.core->parked_loans(), 0u);
}

TEST_F(Lending, AcceptedRamIsOnesOwnAndIsGivenOnWhole) {
    make_block();
    const uint64_t base = slot(ram_cap).base;
    World::must(world.core->remove(slot(ram_cap)));
    make_block(40); // the next one, given away from the root: no RAM is around it any more
    const uint64_t owned = world.core->statistics().bytes_owned;
    EXPECT_EQ(accept(Kind::ram, foreign, block, 0, ram_cap), Err::none);
    EXPECT_EQ(slot(ram_cap).kind, Kind::ram);
    EXPECT_EQ(slot(ram_cap).depth, 0u);
    EXPECT_EQ(slot(ram_cap).rights, abi::all_rights);
    EXPECT_EQ(world.core->statistics().bytes_owned, owned + block);
    EXPECT_EQ(accept(Kind::frame, foreign + 0x1000, 0x1000, 0, 41), Err::range_in_use);
    const Dispatcher& d = world.invoke(Op::core_give, core_cap, {ram_cap});
    EXPECT_EQ(World::value(d, 0), 0u);
    EXPECT_TRUE(slot(ram_cap).empty());
    EXPECT_EQ(world.core->parked_loans(), 0u);
    EXPECT_EQ(world.core->statistics().bytes_owned, owned);
    EXPECT_EQ(accept(Kind::frame, foreign + 0x1000, 0x1000, 0, 41), Err::none);
    EXPECT_EQ(accept(Kind::ram, foreign, block, 0, ram_cap), Err::range_in_use); // borrowed from
    EXPECT_EQ(accept(Kind::ram, base, block, 0, ram_cap), Err::range_in_use);
}

TEST_F(Lending, AcceptOfRamTakesWholeBlocksThatNobodyHasHere) {
    EXPECT_EQ(accept(Kind::ram, foreign + 0x1000, block, 0, 40), Err::misaligned);
    EXPECT_EQ(accept(Kind::ram, foreign, block + 0x1000, 0, 40), Err::misaligned);
    EXPECT_EQ(accept(Kind::ram, foreign, 0, 0, 40), Err::bad_argument);
    EXPECT_EQ(accept(Kind::ram, foreign, 513 * block, 0, 40), Err::range_bounds);
    EXPECT_EQ(accept(Kind::ram, uint64_t{1} << 38, block, 0, 40), Err::range_bounds);
    EXPECT_EQ(accept(Kind::ram, (uint64_t{1} << 38) - block, 2 * block, 0, 40), Err::range_bounds);
    EXPECT_EQ(accept(Kind::ram, ~uint64_t{0} << 21, block, 0, 40), Err::range_bounds);
    EXPECT_EQ(accept(Kind::ram, ram_base, block, 0, 40), Err::range_in_use);
    EXPECT_EQ(accept(Kind::ram, arena_base, block, 0, 40), Err::range_in_use); // the kernel's own
    EXPECT_EQ(accept(Kind::frame, arena_base, 0x1000, 0, 40), Err::range_in_use);
    EXPECT_EQ(accept(Kind::ram, foreign, block, 0, bell), Err::slot_occupied);
    world.machine.own_fails = true;
    EXPECT_EQ(accept(Kind::ram, foreign, block, 0, 40), Err::no_space);
    EXPECT_TRUE(slot(40).empty());
    EXPECT_TRUE(world.machine.owned.empty());
}

TEST_F(Lending, GiveRefusesWhatIsInUseUnevenOrNotOnes) {
    make_block();
    ASSERT_EQ(retype(ram_cap, Kind::frame, 0x1000, 40), Err::none);
    EXPECT_EQ(give(ram_cap), Err::range_in_use);
    EXPECT_EQ(give(40), Err::cap_type);
    ASSERT_EQ(remove(40), Err::none);
    EXPECT_EQ(give(s::quota), Err::misaligned);
    EXPECT_EQ(world.call(Op::core_give, other_core, {ram_cap}), Err::foreign);
    EXPECT_EQ(give(60), Err::cap_empty);
    ASSERT_EQ(mark(ram_cap, 1), Err::none);
    EXPECT_EQ(give(ram_cap), Err::revoking);
    ASSERT_EQ(mark(ram_cap, 0), Err::none);
    slot(ram_cap).rights = abi::read;
    EXPECT_EQ(give(ram_cap), Err::cap_rights);
    EXPECT_EQ(slot(ram_cap).kind, Kind::ram);
    EXPECT_TRUE(world.machine.disowned.empty());
}

TEST_F(Lending, ManyCopiesOfGivenRamGoInSteps) {
    make_block();
    make_block(29);
    ASSERT_EQ(retype(29, Kind::cnode, 0x1000, 28), Err::none);
    for (uint64_t i = 0; i < 64; ++i)
        ASSERT_EQ(world.call(Op::cnode_copy, 28, {i, ram_cap}), Err::none);
    EXPECT_EQ(give(ram_cap), Err::again);
    EXPECT_TRUE(world.machine.disowned.empty());
    EXPECT_EQ(give(ram_cap), Err::none);
    EXPECT_EQ(slot(ram_cap).kind, Kind::loan);
    EXPECT_EQ(remove(28), Err::none);
}

TEST_F(Lending, RegainWaitsUntilNothingIsBorrowedFromThere) {
    make_block();
    const uint64_t base = slot(ram_cap).base;
    EXPECT_EQ(regain(ram_cap), Err::cap_type);
    ASSERT_EQ(give(ram_cap), Err::none);
    ASSERT_EQ(accept(Kind::frame, base + 0x4000, 0x1000, 3, keeper_cap), Err::none);
    EXPECT_EQ(regain(ram_cap), Err::range_in_use);
    ASSERT_EQ(remove(keeper_cap), Err::none);
    world.machine.own_fails = true;
    EXPECT_EQ(regain(ram_cap), Err::no_space);
    world.machine.own_fails = false;
    EXPECT_EQ(world.call(Op::core_regain, other_core, {ram_cap}), Err::foreign);
    EXPECT_EQ(regain(ram_cap), Err::none);
    ASSERT_EQ(retype(ram_cap, Kind::frame, 0x1000, frame_cap), Err::none);
    ASSERT_EQ(world.call(Op::core_lend, core_cap, {frame_cap, leaf_cap, loan_cap}), Err::none);
    EXPECT_EQ(regain(loan_cap), Err::bad_state);
}

TEST_F(Lending, WhatIsLentBackIsNotOnesOwn) {
    make_block(ram_cap, 2);
    ASSERT_EQ(retype(ram_cap, Kind::ram, block, 40), Err::none);
    ASSERT_EQ(retype(ram_cap, Kind::frame, 0x1000, 41, block), Err::none);
    const uint64_t base = slot(40).base;
    ASSERT_EQ(give(40), Err::none);
    // both a frame of the same range as what was given and a smaller one
    ASSERT_EQ(accept(Kind::frame, base, block, 3, keeper_cap), Err::none);
    ASSERT_EQ(accept(Kind::frame, base + 0x2000, 0x1000, 3, 34), Err::none);
    map(34, 42, 43);
    EXPECT_EQ(revoke(ram_cap), Err::lent);
    EXPECT_TRUE(slot(41).empty());
    EXPECT_FALSE(slot(43).empty()); // the frame is another core's, whatever lay around it
    EXPECT_EQ(slot(40).kind, Kind::loan);
    EXPECT_EQ(flags_of(34) & abi::describe_idle, 0u);
    EXPECT_EQ(remove(43), Err::none);
    EXPECT_NE(flags_of(34) & abi::describe_idle, 0u);
}

TEST_F(Lending, RevokeEndsThoughMuchIsLentBack) {
    make_block(ram_cap, 2);
    ASSERT_EQ(retype(ram_cap, Kind::ram, block, 40), Err::none);
    ASSERT_EQ(retype(ram_cap, Kind::frame, 0x1000, 41, block), Err::none);
    const uint64_t base = slot(40).base;
    ASSERT_EQ(give(40), Err::none);
    std::vector<Slot> keepers(2000);
    for (Slot& into : keepers)
        World::must(world.core->accept(into, {Kind::frame, base, block, abi::all_rights, 3}));
    EXPECT_EQ(revoke(ram_cap), Err::lent);
    EXPECT_TRUE(slot(41).empty());
    EXPECT_EQ(regain(40), Err::range_in_use);
    for (Slot& into : keepers)
        World::must(world.core->remove(into));
    EXPECT_EQ(regain(40), Err::none);
}

// ------------------------------------------------------------------------------------- recall

TEST_F(Lending, RecallMakesACopyOfWhatIsLent) {
    world.make(Kind::frame, slot(frame_cap), 0x2000);
    ASSERT_EQ(
        world.call(Op::cnode_mint, leaf_cap, {34, frame_cap, (abi::read | abi::copy).raw}),
        Err::none
    );
    ASSERT_EQ(world.call(Op::core_lend, core_cap, {34, leaf_cap, loan_cap}), Err::none);
    const auto recall = [&](uint64_t loan, Rights rights, uint64_t into) {
        return world.call(Op::core_recall, core_cap, {loan, rights.raw, leaf_cap, into});
    };
    EXPECT_EQ(recall(loan_cap, abi::read, 40), Err::none);
    EXPECT_EQ(slot(40).kind, Kind::frame);
    EXPECT_EQ(slot(40).base, slot(frame_cap).base);
    EXPECT_EQ(slot(40).rights, abi::read);
    EXPECT_EQ(slot(40).depth, slot(frame_cap).depth);
    EXPECT_EQ(recall(loan_cap, abi::read | abi::write, 41), Err::cap_rights); // not lent
    EXPECT_EQ(recall(loan_cap, abi::read, 40), Err::slot_occupied);
    EXPECT_EQ(recall(frame_cap, abi::read, 41), Err::cap_type);
    EXPECT_EQ(
        world.call(Op::core_recall, core_cap, {loan_cap, 16, leaf_cap, 41}), Err::bad_argument
    );
    EXPECT_EQ(world.call(Op::core_recall, other_core, {loan_cap, 1, leaf_cap, 41}), Err::foreign);
    ASSERT_EQ(mark(frame_cap, 1), Err::none);
    EXPECT_EQ(recall(loan_cap, abi::read, 41), Err::revoking);
    ASSERT_EQ(mark(frame_cap, 0), Err::none);
    make_block();
    ASSERT_EQ(give(ram_cap), Err::none);
    EXPECT_EQ(recall(ram_cap, abi::read, 41), Err::bad_state);
}

// ------------------------------------------------------------------------------- standing marks

TEST_F(Lending, AMarkRefusesEverythingNewInItsRange) {
    make_block();
    ASSERT_EQ(retype(ram_cap, Kind::frame, 0x1000, frame_cap), Err::none);
    world.make(Kind::page_table, slot(34));
    ASSERT_EQ(mark(ram_cap, 1), Err::none);
    ASSERT_EQ(mark(ram_cap, 1), Err::none);
    EXPECT_EQ(flags_of(ram_cap), abi::describe_revoking);
    EXPECT_EQ(copy(frame_cap, 40), Err::revoking);
    EXPECT_EQ(world.call(Op::cnode_mint, leaf_cap, {40, frame_cap, 1}), Err::revoking);
    EXPECT_EQ(copy(ram_cap, 40), Err::revoking);
    EXPECT_EQ(retype(ram_cap, Kind::frame, 0x1000, 40, 0x1000), Err::revoking);
    EXPECT_EQ(world.call(Op::table_map, 34, {0, frame_cap, 0, 3, 1, leaf_cap, 40}), Err::revoking);
    EXPECT_EQ(world.call(Op::core_lend, core_cap, {frame_cap, leaf_cap, 40}), Err::revoking);
    EXPECT_EQ(give(ram_cap), Err::revoking);
    ASSERT_EQ(world.call(Op::cnode_move, leaf_cap, {41, ram_cap}), Err::none); // it goes along
    EXPECT_EQ(copy(frame_cap, 40), Err::revoking);
    EXPECT_EQ(revoke(41), Err::none); // and outlives a revoke
    EXPECT_TRUE(slot(frame_cap).empty());
    EXPECT_EQ(retype(41, Kind::frame, 0x1000, 40), Err::revoking);
    EXPECT_EQ(mark(41, 0), Err::none);
    EXPECT_EQ(flags_of(41), 0u);
    EXPECT_EQ(retype(41, Kind::frame, 0x1000, 40), Err::none);
    EXPECT_EQ(mark(41, 0), Err::none);
    EXPECT_EQ(mark(41, 2), Err::bad_argument);
    EXPECT_EQ(world.call(Op::core_mark, other_core, {41, 1}), Err::foreign);
}

TEST_F(Lending, EightMarksStandAtATime) {
    for (uint64_t i = 0; i < 9; ++i)
        world.make(Kind::frame, slot(40 + i), 0x1000);
    for (uint64_t i = 0; i < 8; ++i)
        ASSERT_EQ(mark(40 + i, 1), Err::none);
    EXPECT_EQ(mark(48, 1), Err::no_slots);
    EXPECT_EQ(copy(48, 50), Err::none);
    ASSERT_EQ(remove(43), Err::none); // its mark goes with it
    EXPECT_EQ(mark(48, 1), Err::none);
    EXPECT_EQ(copy(48, 51), Err::revoking);
    EXPECT_EQ(revoke(44), Err::none);
    EXPECT_EQ(copy(44, 51), Err::revoking);
    EXPECT_EQ(world.call(Op::core_lend, core_cap, {50, leaf_cap, 51}), Err::revoking);
}

TEST_F(Lending, MappingsAndLoansAreNotMarked) {
    world.make(Kind::frame, slot(frame_cap), 0x1000);
    ASSERT_EQ(world.call(Op::core_lend, core_cap, {frame_cap, leaf_cap, loan_cap}), Err::none);
    map(frame_cap, 40, 41);
    EXPECT_EQ(mark(loan_cap, 1), Err::cap_type);
    EXPECT_EQ(mark(41, 1), Err::cap_type);
}

// --------------------------------------------------------------------------- accessed and dirty

TEST_F(Lending, AMappingTellsWhatTheHardwareNoted) {
    world.make(Kind::frame, slot(frame_cap), 0x3000);
    map(frame_cap, 40, 41, 3);
    const auto status = [&](uint64_t mapping) {
        const Dispatcher& d = world.invoke(Op::mapping_status, mapping);
        EXPECT_EQ(World::status(d), Err::none);
        return std::pair{World::value(d, 0), World::value(d, 1)};
    };
    auto& entry = world.at<kernel::PageTable>(slot(40).base)->entry;
    EXPECT_EQ(status(41), (std::pair<uint64_t, uint64_t>{0, 0}));
    entry[1] |= kernel::pte::accessed;
    EXPECT_EQ(status(41), (std::pair<uint64_t, uint64_t>{1, 0}));
    entry[2] |= kernel::pte::dirty;
    EXPECT_EQ(status(41), (std::pair<uint64_t, uint64_t>{1, 1}));
    ASSERT_EQ(world.call(Op::mapping_protect, 41, {1}), Err::none);
    EXPECT_EQ(status(41), (std::pair<uint64_t, uint64_t>{1, 1})); // protection keeps it
    EXPECT_EQ(world.call(Op::mapping_status, frame_cap), Err::bad_operation);

    world.make(Kind::page_directory, slot(42));
    ASSERT_EQ(world.call(Op::table_map, 42, {0, 40, 0, 0, 1, leaf_cap, 43}), Err::none);
    world.at<kernel::PageTable>(slot(42).base)->entry[0] |= kernel::pte::dirty;
    EXPECT_EQ(status(43), (std::pair<uint64_t, uint64_t>{0, 0})); // ignored there by the hardware
}

} // namespace
