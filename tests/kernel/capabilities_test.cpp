// Capability operations through the system call: one legal case each, then each test breaks one
// thing of it and nothing has changed.
#include <gtest/gtest.h>

#include "tests/kernel/check.hpp"
#include "tests/kernel/world.hpp"

namespace {

using namespace kernel_test;
namespace s = abi::slot;

constexpr uint64_t leaf_cap = s::leaf, ram_cap = s::quota;
constexpr uint64_t free_slot = 20;

class Capabilities : public testing::Test {
  protected:
    Capabilities() {
        me = world.make_domain();
        world.core->schedule();
    }

    ~Capabilities() override { EXPECT_EQ(database_trouble(world.core->database()), ""); }

    Err retype(
        uint64_t index,
        Kind kind,
        uint64_t offset,
        uint64_t bytes,
        uint64_t count = 1,
        uint64_t source = ram_cap
    ) {
        return world.call(
            Op::cnode_retype,
            leaf_cap,
            {index, source, static_cast<uint64_t>(kind), offset, bytes, count}
        );
    }

    /// It answers `expected`, and the database is as large as before.
    template <class F>
    void refuses(Err expected, F&& operation) {
        const size_t before = world.core->database().count();
        EXPECT_EQ(operation(), expected);
        EXPECT_EQ(world.core->database().count(), before);
    }

    Slot& slot(uint64_t i) { return me.leaf->slot[i]; }

    /// Deletes or revokes in as many calls as it takes.
    Err finish(Op op, uint64_t index) {
        Err e = Err::again;
        for (int calls = 0; e == Err::again && calls < 100; ++calls)
            e = world.call(op, leaf_cap, {index});
        return e;
    }

    World world;
    Domain me;
};

TEST_F(Capabilities, NullCallDecodesTheSlotAndAnswersNothing) {
    Dispatcher& d = world.invoke(Op::null_call, ram_cap, {1, 2, 3, 4, 5, 6, 7});
    EXPECT_EQ(World::status(d), Err::none);
    for (size_t i = 0; i < 7; ++i)
        EXPECT_EQ(World::value(d, i), i + 1);
    EXPECT_EQ(d.registers.rdi, ram_cap);
}

TEST_F(Capabilities, SlotsThatAreNoneAreRefused) {
    EXPECT_EQ(world.call(Op::null_call, 0), Err::cap_empty);
    EXPECT_EQ(world.call(Op::null_call, 19), Err::cap_empty);
    EXPECT_EQ(world.call(Op::null_call, 64 * 3 + 1), Err::cap_invalid);
    EXPECT_EQ(world.call(Op::null_call, 64 * 64), Err::cap_invalid);
    EXPECT_EQ(world.call(Op::null_call, ~uint64_t{0}), Err::cap_invalid);
}

TEST_F(Capabilities, OperationsThatAreNoneAreRefused) {
    const auto end = static_cast<uint64_t>(Op::count_);
    for (const uint64_t op : {end, end + 1, ~uint64_t{0}}) {
        EXPECT_EQ(World::status(world.invoke_raw(op, ram_cap)), Err::bad_operation);
    }
}

TEST_F(Capabilities, EveryOperationRefusesTheKindsItIsNotOf) {
    for (uint64_t op = 1; op < static_cast<uint64_t>(Op::count_); ++op) {
        refuses(Err::bad_operation, [&] {
            return World::status(world.invoke_raw(op, ram_cap, {1, 1, 1, 1, 1, 1, 1}));
        });
    }
}

TEST_F(Capabilities, CopyMakesANeighbour) {
    EXPECT_EQ(world.call(Op::cnode_copy, leaf_cap, {free_slot, ram_cap}), Err::none);
    EXPECT_TRUE(kernel::same_object(slot(free_slot), slot(ram_cap)));
    EXPECT_EQ(slot(free_slot).rights, abi::all_rights);
    EXPECT_EQ(world.core->database().copy_of(slot(free_slot)), &slot(ram_cap));
}

TEST_F(Capabilities, CopyNeedsAnEmptySlotInRange) {
    refuses(Err::slot_occupied, [&] {
        return world.call(Op::cnode_copy, leaf_cap, {s::dispatcher, ram_cap});
    });
    refuses(Err::bad_argument, [&] { return world.call(Op::cnode_copy, leaf_cap, {64, ram_cap}); });
    refuses(Err::cap_empty, [&] { return world.call(Op::cnode_copy, leaf_cap, {free_slot, 19}); });
}

TEST_F(Capabilities, CopyNeedsTheCopyRightAndAWritableCNode) {
    slot(ram_cap).rights = abi::read | abi::write;
    refuses(Err::cap_rights, [&] {
        return world.call(Op::cnode_copy, leaf_cap, {free_slot, ram_cap});
    });
    slot(ram_cap).rights = abi::all_rights;
    slot(leaf_cap).rights = abi::read | abi::copy;
    refuses(Err::cap_rights, [&] {
        return world.call(Op::cnode_copy, leaf_cap, {free_slot, ram_cap});
    });
}

TEST_F(Capabilities, MintShrinksRightsAndNeverGrowsThem) {
    const uint64_t read_copy = (abi::read | abi::copy).raw;
    EXPECT_EQ(world.call(Op::cnode_mint, leaf_cap, {free_slot, ram_cap, read_copy, 0}), Err::none);
    EXPECT_EQ(slot(free_slot).rights, abi::read | abi::copy);
    refuses(Err::cap_rights, [&] {
        return world.call(Op::cnode_mint, leaf_cap, {21, free_slot, abi::all_rights.raw, 0});
    });
    refuses(Err::bad_argument, [&] {
        return world.call(Op::cnode_mint, leaf_cap, {21, ram_cap, 16, 0});
    });
    refuses(Err::bad_argument, [&] {
        return world.call(Op::cnode_mint, leaf_cap, {21, ram_cap, 1, 99});
    });
}

TEST_F(Capabilities, MoveEmptiesTheSource) {
    EXPECT_EQ(world.call(Op::cnode_move, leaf_cap, {free_slot, ram_cap}), Err::none);
    EXPECT_TRUE(slot(ram_cap).empty());
    EXPECT_EQ(slot(free_slot).base, me.quota);
    refuses(Err::slot_occupied, [&] {
        return world.call(Op::cnode_move, leaf_cap, {free_slot, free_slot});
    });
}

TEST_F(Capabilities, MoveNeedsAWritableSourceCNode) {
    me.root->slot[0].rights = abi::read;
    refuses(Err::cap_rights, [&] {
        return world.call(Op::cnode_move, leaf_cap, {free_slot, ram_cap});
    });
}

TEST_F(Capabilities, RetypeMakesConsecutiveParts) {
    EXPECT_EQ(retype(free_slot, Kind::frame, 0x4000, 0x1000, 3), Err::none);
    for (uint64_t i = 0; i < 3; ++i) {
        const Slot& part = slot(free_slot + i);
        EXPECT_EQ(part.kind, Kind::frame);
        EXPECT_EQ(part.base, me.quota + 0x4000 + i * 0x1000);
        EXPECT_EQ(part.bytes, 0x1000u);
        EXPECT_EQ(part.depth, slot(ram_cap).depth + 1);
        EXPECT_EQ(world.core->database().ancestor(slot(free_slot + i)), &slot(ram_cap));
    }
}

TEST_F(Capabilities, RetypeRefusesOverlapsWithWhatIsDerived) {
    ASSERT_EQ(retype(free_slot, Kind::frame, 0x4000, 0x2000), Err::none);
    for (const uint64_t offset : {0x4000u, 0x5000u, 0x3000u}) {
        refuses(Err::range_in_use, [&] { return retype(30, Kind::ram, offset, 0x2000); });
    }
    refuses(Err::range_in_use, [&] { return retype(30, Kind::ram, 0, uint64_t{1} << 18); });
    EXPECT_EQ(retype(30, Kind::ram, 0x2000, 0x2000), Err::none);
    EXPECT_EQ(retype(31, Kind::ram, 0x6000, 0x2000), Err::none);
}

TEST_F(Capabilities, RetypeThroughACopySeesTheSameChildren) {
    ASSERT_EQ(world.call(Op::cnode_copy, leaf_cap, {free_slot, ram_cap}), Err::none);
    ASSERT_EQ(retype(30, Kind::frame, 0, 0x1000), Err::none);
    refuses(Err::range_in_use, [&] { return retype(31, Kind::frame, 0, 0x1000, 1, free_slot); });
}

TEST_F(Capabilities, RetypeChecksEveryNumber) {
    const uint64_t bytes = uint64_t{1} << 18;
    refuses(Err::range_bounds, [&] { return retype(30, Kind::frame, bytes, 0x1000); });
    refuses(Err::range_bounds, [&] { return retype(30, Kind::frame, 0, bytes + 0x1000); });
    refuses(Err::misaligned, [&] { return retype(30, Kind::frame, 0x800, 0x1000); });
    refuses(Err::misaligned, [&] { return retype(30, Kind::frame, 0, 0x1800); });
    refuses(Err::bad_argument, [&] { return retype(30, Kind::frame, 0, 0); });
    refuses(Err::bad_argument, [&] { return retype(30, Kind::frame, 0, 0x1000, 0); });
    refuses(Err::bad_argument, [&] { return retype(62, Kind::frame, 0, 0x1000, 3); });
    refuses(Err::bad_argument, [&] { return retype(30, Kind::frame, 0, 0x1000, ~uint64_t{0}); });
    refuses(Err::overflow, [&] { return retype(30, Kind::frame, 0, uint64_t{1} << 60, 16); });
    refuses(Err::overflow, [&] { return retype(30, Kind::frame, ~uint64_t{0xfff}, 0x1000); });
    refuses(Err::bad_argument, [&] { return retype(30, static_cast<Kind>(200), 0, 0x1000); });
    refuses(Err::slot_occupied, [&] { return retype(s::root, Kind::frame, 0, 0x1000); });
}

TEST_F(Capabilities, RetypeMakesNothingThatIsNotMadeSo) {
    using enum Kind;
    for (const Kind k :
         {empty, mapping, loan, device_frame, endpoint, doorbell, interrupt, io_port, core}) {
        refuses(Err::cap_type, [&] { return retype(30, k, 0, 0x1000); });
    }
    ASSERT_EQ(retype(30, frame, 0, 0x2000), Err::none);
    refuses(Err::cap_type, [&] { return retype(31, frame, 0, 0x1000, 1, 30); });
    refuses(Err::cap_type, [&] { return retype(31, ram, 0, 0x1000, 1, 30); });
}

TEST_F(Capabilities, KernelObjectsComeOneAtATimeInTheirOwnSize) {
    refuses(Err::bad_argument, [&] { return retype(30, Kind::cnode, 0, 0x1000, 2); });
    refuses(Err::bad_argument, [&] { return retype(30, Kind::cnode, 0, 0x2000); });
    refuses(Err::bad_argument, [&] { return retype(30, Kind::dispatcher, 0, 0x1000); });
    refuses(Err::bad_argument, [&] { return retype(30, Kind::page_table, 0, 0x1000); });
    EXPECT_EQ(retype(30, Kind::cnode, 0, 0x1000), Err::none);
    for (const Slot& inner : world.core->cnode(slot(30)).slot)
        EXPECT_TRUE(inner.empty());
}

TEST_F(Capabilities, RetypeNeedsTheWriteRight) {
    slot(ram_cap).rights = abi::read | abi::copy;
    refuses(Err::cap_rights, [&] { return retype(30, Kind::frame, 0, 0x1000); });
}

TEST_F(Capabilities, RangesOfTheSameKindAreCutByTheirUnit) {
    World::must(world.core->insert_root(
        slot(40), {Kind::io_port, abi::io_port_space + 0x100, 0x20, abi::read | abi::write}
    ));
    EXPECT_EQ(retype(30, Kind::io_port, 8, 4, 1, 40), Err::none);
    EXPECT_EQ(slot(30).base, abi::io_port_space + 0x108);
    EXPECT_EQ(slot(30).rights, abi::read | abi::write);
    refuses(Err::range_bounds, [&] { return retype(31, Kind::io_port, 0x1e, 4, 1, 40); });
    refuses(Err::range_in_use, [&] { return retype(31, Kind::io_port, 10, 1, 1, 40); });
    refuses(Err::cap_type, [&] { return retype(31, Kind::interrupt, 0, 1, 1, 40); });
}

TEST_F(Capabilities, DerivationEndsBeforeItsDepthWraps) {
    slot(ram_cap).depth = 250;
    refuses(Err::no_space, [&] { return retype(30, Kind::frame, 0, 0x1000); });
    slot(ram_cap).depth = 1;
}

TEST_F(Capabilities, DescribeSaysWhatIsThere) {
    Dispatcher& d = world.invoke(Op::cnode_describe, leaf_cap, {ram_cap});
    EXPECT_EQ(World::value(d, 0), static_cast<uint64_t>(Kind::ram) | 15u << 8);
    EXPECT_EQ(World::value(d, 1), me.quota);
    EXPECT_EQ(World::value(d, 2), uint64_t{1} << 18);
    EXPECT_EQ(world.call(Op::cnode_describe, leaf_cap, {64}), Err::bad_argument);
}

/// Neither what memory held before it became a CNode, nor what the slot held.
TEST_F(Capabilities, DescribeSaysNothingOfAnEmptySlot) {
    const auto says_nothing = [&](uint64_t cnode, uint64_t index) {
        Dispatcher& d = world.invoke(Op::cnode_describe, cnode, {index});
        for (size_t i = 0; i < 5; ++i)
            EXPECT_EQ(World::value(d, i), 0u);
    };
    says_nothing(leaf_cap, 19);
    ASSERT_EQ(retype(30, Kind::cnode, 0x4000, abi::bytes_of(Kind::cnode)), Err::none);
    for (const uint64_t index : {0u, 1u, 63u})
        says_nothing(30, index);
    ASSERT_EQ(retype(31, Kind::frame, 0x6000, 0x1000), Err::none);
    ASSERT_EQ(world.call(Op::cnode_delete, leaf_cap, {31}), Err::none);
    says_nothing(leaf_cap, 31);
}

TEST_F(Capabilities, EndpointCarriesItsBadgeAndDoorbellItsBit) {
    EXPECT_EQ(world.call(Op::endpoint_make, s::dispatcher, {leaf_cap, 30, 0x1234}), Err::none);
    EXPECT_EQ(slot(30).tag(), 0x1234u);
    EXPECT_EQ(
        world.call(Op::endpoint_make, s::dispatcher, {leaf_cap, 31, kernel::tag_limit}),
        Err::bad_argument
    );
    EXPECT_EQ(slot(30).kind, Kind::endpoint);
    EXPECT_EQ(world.call(Op::doorbell_make, s::dispatcher, {leaf_cap, 31, 62}), Err::none);
    refuses(Err::bad_argument, [&] {
        return world.call(Op::doorbell_make, s::dispatcher, {leaf_cap, 32, 0});
    });
    refuses(Err::bad_argument, [&] {
        return world.call(Op::doorbell_make, s::dispatcher, {leaf_cap, 32, 63});
    });
    refuses(Err::slot_occupied, [&] {
        return world.call(Op::endpoint_make, s::dispatcher, {leaf_cap, 31, 1});
    });
    refuses(Err::cap_type, [&] {
        return world.call(Op::endpoint_make, s::dispatcher, {ram_cap, 32, 1});
    });
}

// --- deleting and revoking -----------------------------------------------------------------------

TEST_F(Capabilities, DeleteOfACopyLeavesTheOther) {
    ASSERT_EQ(world.call(Op::cnode_copy, leaf_cap, {free_slot, ram_cap}), Err::none);
    EXPECT_EQ(world.call(Op::cnode_delete, leaf_cap, {free_slot}), Err::none);
    EXPECT_TRUE(slot(free_slot).empty());
    EXPECT_FALSE(slot(ram_cap).empty());
    refuses(Err::cap_empty, [&] { return world.call(Op::cnode_delete, leaf_cap, {free_slot}); });
    refuses(Err::bad_argument, [&] { return world.call(Op::cnode_delete, leaf_cap, {64}); });
}

TEST_F(Capabilities, RamComesBackWhenItsPartsAreGone) {
    ASSERT_EQ(retype(30, Kind::frame, 0, 0x1000), Err::none);
    ASSERT_EQ(world.call(Op::cnode_delete, leaf_cap, {30}), Err::none);
    EXPECT_EQ(retype(30, Kind::cnode, 0, 0x1000), Err::none);
}

TEST_F(Capabilities, DeletingTheLastCNodeDeletesItsSlotsInSteps) {
    ASSERT_EQ(retype(30, Kind::cnode, 0, 0x1000), Err::none);
    for (uint64_t i = 0; i < 40; ++i) {
        ASSERT_EQ(world.call(Op::cnode_copy, 30, {i, ram_cap}), Err::none);
    }
    EXPECT_EQ(world.call(Op::cnode_delete, leaf_cap, {30}), Err::again);
    EXPECT_EQ(finish(Op::cnode_delete, 30), Err::none);
    EXPECT_TRUE(slot(30).empty());
    EXPECT_EQ(retype(30, Kind::frame, 0, 0x1000), Err::none);
}

TEST_F(Capabilities, ACNodeThatHoldsItselfCanBeRevokedWithItsMemory) {
    ASSERT_EQ(retype(30, Kind::cnode, 0, 0x1000), Err::none);
    ASSERT_EQ(world.call(Op::cnode_move, 30, {5, 30}),
              Err::none); // now only reachable by itself
    EXPECT_EQ(world.call(Op::cnode_revoke, leaf_cap, {ram_cap}), Err::none);
    EXPECT_EQ(retype(30, Kind::frame, 0, uint64_t{1} << 18), Err::none);
}

TEST_F(Capabilities, ARingOfCNodesCanBeRevokedWithItsMemory) {
    constexpr uint64_t count = 6;
    for (uint64_t i = 0; i < count; ++i) {
        ASSERT_EQ(retype(30 + i, Kind::cnode, i * 0x1000, 0x1000), Err::none);
    }
    std::vector<kernel::CNode*> ring;
    for (uint64_t i = 0; i < count; ++i)
        ring.push_back(&world.core->cnode(slot(30 + i)));
    for (uint64_t i = 0; i < count; ++i) {
        World::must(world.core->copy(slot(ram_cap), ring[i]->slot[9], abi::read));
        World::must(world.core->move(slot(30 + i), ring[(i + 1) % count]->slot[3]));
    }
    EXPECT_EQ(finish(Op::cnode_revoke, ram_cap), Err::none);
    EXPECT_EQ(retype(30, Kind::frame, 0, uint64_t{1} << 18), Err::none);
}

TEST_F(Capabilities, AChainOfFiftyCNodesIsDeletedInBoundedSteps) {
    std::vector<kernel::CNode*> chain;
    for (uint64_t i = 0; i < 50; ++i) {
        ASSERT_EQ(retype(30, Kind::cnode, i * 0x1000, 0x1000), Err::none);
        chain.push_back(&world.core->cnode(slot(30)));
        if (i > 0)
            World::must(world.core->move(slot(30), chain[i - 1]->slot[7]));
        else
            World::must(world.core->move(slot(30), slot(31)));
    }
    int calls = 0;
    while (world.call(Op::cnode_delete, leaf_cap, {31}) == Err::again)
        ASSERT_LT(++calls, 20);
    EXPECT_TRUE(slot(31).empty());
    // what hangs in a ring of its own goes with its memory
    while (world.call(Op::cnode_revoke, leaf_cap, {ram_cap}) == Err::again)
        ASSERT_LT(++calls, 40);
    EXPECT_EQ(retype(30, Kind::frame, 0, uint64_t{1} << 18), Err::none);
}

TEST_F(Capabilities, RevokeDeletesCopiesAndDescendantsInSteps) {
    ASSERT_EQ(retype(50, Kind::cnode, 0x10000, 0x1000), Err::none);
    ASSERT_EQ(retype(30, Kind::ram, 0, 0x10000), Err::none);
    for (uint64_t i = 0; i < 16; ++i) {
        ASSERT_EQ(retype(31, Kind::frame, i * 0x1000, 0x1000, 1, 30), Err::none);
        ASSERT_EQ(world.call(Op::cnode_copy, 50, {i * 2, 31}), Err::none);
        ASSERT_EQ(world.call(Op::cnode_move, 50, {i * 2 + 1, 31}), Err::none);
        ASSERT_EQ(world.call(Op::cnode_copy, 50, {32 + i, 30}), Err::none);
    }
    EXPECT_EQ(world.call(Op::cnode_revoke, leaf_cap, {30}), Err::again);
    EXPECT_EQ(world.call(Op::cnode_copy, leaf_cap, {40, 30}), Err::revoking);
    EXPECT_EQ(retype(40, Kind::frame, 0, 0x1000, 1, 30), Err::revoking);
    EXPECT_EQ(world.call(Op::cnode_copy, leaf_cap, {40, ram_cap}), Err::none);
    EXPECT_EQ(finish(Op::cnode_revoke, 30), Err::none);
    for (const Slot& inner : world.core->cnode(slot(50)).slot)
        EXPECT_TRUE(inner.empty());
    EXPECT_EQ(retype(31, Kind::frame, 0, 0x10000, 1, 30), Err::none);
}

TEST_F(Capabilities, RevokeOfTheMemoryOneLivesInStopsOneself) {
    Domain other = world.make_domain();
    const uint64_t before = world.core->database().count();
    World::must(world.core->copy(world.ram(), other.leaf->slot[30], abi::all_rights));
    // the boot RAM holds both domains: whoever revokes it is gone half way, and says no more
    Result<> r = fail(Err::again);
    while (!r && r.error() == Err::again)
        r = world.core->revoke(world.ram());
    EXPECT_TRUE(r);
    EXPECT_LT(world.core->database().count(), before);
    EXPECT_EQ(world.core->database().count(), 1u);
    EXPECT_EQ(world.core->schedule(), nullptr);
}

TEST_F(Capabilities, RevokeStopsAtLoansAndDeletesTheRest) {
    World::must(
        world.core->insert_root(slot(40), {Kind::core, abi::core_space + own_apic, 1, abi::execute})
    );
    ASSERT_EQ(retype(30, Kind::frame, 0, 0x1000, 2), Err::none);
    ASSERT_EQ(world.call(Op::core_lend, 40, {30, leaf_cap, 41}), Err::none);
    ASSERT_EQ(world.call(Op::cnode_copy, leaf_cap, {33, 30}), Err::none);
    EXPECT_EQ(world.call(Op::cnode_revoke, leaf_cap, {ram_cap}), Err::lent);
    EXPECT_FALSE(slot(41).empty());
    EXPECT_TRUE(slot(31).empty());
    EXPECT_NE(slot(30).empty(),
              slot(33).empty()); // the last copy stays above its loan
    refuses(Err::range_in_use, [&] { return retype(45, Kind::frame, 0, 0x1000); });
    EXPECT_EQ(world.call(Op::cnode_delete, leaf_cap, {41}), Err::none);
    EXPECT_EQ(world.call(Op::cnode_revoke, leaf_cap, {ram_cap}), Err::none);
    EXPECT_EQ(retype(45, Kind::frame, 0, 0x1000), Err::none);
}

TEST_F(Capabilities, TheLastFrameStaysWhileItIsLent) {
    World::must(
        world.core->insert_root(slot(40), {Kind::core, abi::core_space + own_apic, 1, abi::execute})
    );
    ASSERT_EQ(retype(30, Kind::frame, 0, 0x1000), Err::none);
    ASSERT_EQ(world.call(Op::core_lend, 40, {30, leaf_cap, 41}), Err::none);
    refuses(Err::lent, [&] { return world.call(Op::cnode_delete, leaf_cap, {30}); });
}

} // namespace
