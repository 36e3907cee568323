// Frames between cores, as one core's kernel sees it: lent and borrowed; ranges marked while other
// cores give back what they have.
#include "tests/kernel/lending.hpp"

namespace {

using namespace kernel_test;
using namespace kernel_test::lending;

class Lending : public Fixture {};

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
