// RAM between cores, as one core's kernel sees it: given away, taken over, taken back.
#include "tests/kernel/lending.hpp"

namespace {

using namespace kernel_test;
using namespace kernel_test::lending;

class Ownership : public Fixture {};

TEST_F(Ownership, GivenRamIsALoanWhileLargerRamContainsIt) {
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

TEST_F(Ownership, WhatWasGivenComesBackInPieces) {
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

TEST_F(Ownership, AcceptedRamIsOnesOwnAndIsGivenOnWhole) {
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

TEST_F(Ownership, AcceptOfRamTakesWholeBlocksThatNobodyHasHere) {
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

TEST_F(Ownership, GiveRefusesWhatIsInUseUnevenOrNotOnes) {
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

TEST_F(Ownership, ManyCopiesOfGivenRamGoInSteps) {
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

TEST_F(Ownership, RegainWaitsUntilNothingIsBorrowedFromThere) {
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

TEST_F(Ownership, WhatIsLentBackIsNotOnesOwn) {
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

TEST_F(Ownership, RevokeEndsThoughMuchIsLentBack) {
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

} // namespace
