// Page tables through the system call.
#include <gtest/gtest.h>

#include "tests/kernel/check.hpp"
#include "tests/kernel/world.hpp"

namespace {

using namespace kernel_test;
using kernel::PageTable;
namespace s = abi::slot;
namespace pte = kernel::pte;

constexpr uint64_t leaf_cap = s::leaf, root_table = s::address_space;
constexpr uint64_t l3 = 20, l2 = 21, l1 = 22, frame = 23, m3 = 24, m2 = 25, m1 = 26, page = 27;
constexpr uint64_t spare = 28;
constexpr uint64_t r = 1, rw = 3, rx = 5;
constexpr uint64_t large = static_cast<uint64_t>(abi::MapFlags::large) << 8;

class Mapping : public testing::Test {
  protected:
    Mapping() {
        me = world.make_domain();
        world.make(Kind::page_directory_pointers, me.leaf->slot[l3]);
        world.make(Kind::page_directory, me.leaf->slot[l2]);
        world.make(Kind::page_table, me.leaf->slot[l1]);
        world.make(Kind::frame, me.leaf->slot[frame], 0x8000);
        world.core->schedule();
    }

    ~Mapping() override { EXPECT_EQ(database_trouble(world.core->database()), ""); }

    Err
    map(uint64_t table,
        uint64_t entry,
        uint64_t source,
        uint64_t offset,
        uint64_t rights,
        uint64_t count,
        uint64_t into) {
        return world.call(
            Op::table_map, table, {entry, source, offset, rights, count, leaf_cap, into}
        );
    }

    /// Tables at entries 1, 2, 3 of levels 4, 3, 2; five pages of the frame from entry 10.
    void map_all() {
        ASSERT_EQ(map(root_table, 1, l3, 0, 0, 1, m3), Err::none);
        ASSERT_EQ(map(l3, 2, l2, 0, 0, 1, m2), Err::none);
        ASSERT_EQ(map(l2, 3, l1, 0, 0, 1, m1), Err::none);
        ASSERT_EQ(map(l1, 10, frame, 0x1000, rw, 5, page), Err::none);
    }

    template <class F>
    void refuses(Err expected, F&& operation) {
        const size_t before = world.core->database().count();
        EXPECT_EQ(operation(), expected);
        EXPECT_EQ(world.core->database().count(), before);
    }

    PageTable& table(uint64_t cap) { return *world.at<PageTable>(slot(cap).base); }

    Slot& slot(uint64_t i) { return me.leaf->slot[i]; }

    Err remove(uint64_t i) { return world.call(Op::cnode_delete, leaf_cap, {i}); }

    static constexpr uint64_t address = 1ull << 39 | 2ull << 30 | 3ull << 21 | 10ull << 12;

    World world;
    Domain me;
};

TEST_F(Mapping, ANewAddressSpaceHasTheKernelsHalfAndAnEmptyUserHalf) {
    const PageTable& root = table(root_table);
    for (size_t i = 0; i < 256; ++i)
        EXPECT_EQ(root.entry[i], 0u);
    for (size_t i = 256; i < 512; ++i)
        EXPECT_EQ(root.entry[i], 0x1000 * i + 1);
    for (const uint64_t e : table(l1).entry)
        EXPECT_EQ(e, 0u);
}

TEST_F(Mapping, EntriesHaveBaseRightsAndOwner) {
    map_all();
    EXPECT_EQ(table(root_table).entry[1], slot(l3).base | pte::present | pte::user | pte::writable);
    for (uint64_t i = 0; i < 5; ++i) {
        const uint64_t base = slot(frame).base + 0x1000 + i * 0x1000;
        const uint64_t expected = base | pte::present | pte::user | pte::writable | pte::no_execute;
        EXPECT_EQ(table(l1).entry[10 + i], expected);
        EXPECT_EQ(table(l1).owner[10 + i], &slot(page));
    }
    EXPECT_EQ(table(l1).entry[9], 0u);
    EXPECT_EQ(table(l1).entry[15], 0u);
}

TEST_F(Mapping, RightsBecomeBits) {
    ASSERT_EQ(map(l1, 0, frame, 0, r, 1, 40), Err::none);
    ASSERT_EQ(map(l1, 1, frame, 0, rx, 1, 41), Err::none);
    EXPECT_EQ(table(l1).entry[0] & pte::flags, pte::present | pte::user | pte::no_execute);
    EXPECT_EQ(table(l1).entry[1] & pte::flags, pte::present | pte::user);
}

TEST_F(Mapping, MemoryTypesBecomeBits) {
    ASSERT_EQ(map(l1, 0, frame, 0, r | 1 << 8, 1, 40), Err::none);
    ASSERT_EQ(map(l1, 1, frame, 0, r | 2 << 8, 1, 41), Err::none);
    constexpr uint64_t type = pte::write_through | pte::cache_disable;
    EXPECT_EQ(table(l1).entry[0] & type, type);
    EXPECT_EQ(table(l1).entry[1] & type, pte::write_through);
    refuses(Err::bad_argument, [&] { return map(l1, 2, frame, 0, r | 3 << 8, 1, spare); });
    refuses(Err::bad_argument, [&] { return map(l1, 2, frame, 0, r | 8 << 8, 1, spare); });
}

TEST_F(Mapping, NothingIsBothWritableAndExecutable) {
    refuses(Err::bad_argument, [&] { return map(l1, 0, frame, 0, 7, 1, spare); });
    refuses(Err::bad_argument, [&] { return map(l1, 0, frame, 0, 15, 1, spare); });
}

TEST_F(Mapping, RightsAreAtMostTheFrames) {
    slot(frame).rights = abi::read | abi::copy;
    refuses(Err::cap_rights, [&] { return map(l1, 0, frame, 0, rw, 1, spare); });
    refuses(Err::cap_rights, [&] { return map(l1, 0, frame, 0, rx, 1, spare); });
    refuses(Err::bad_argument, [&] { return map(l1, 0, frame, 0, 0, 1, spare); });
    EXPECT_EQ(map(l1, 0, frame, 0, r, 1, spare), Err::none);
}

TEST_F(Mapping, OccupiedEntriesAreRefused) {
    map_all();
    refuses(Err::entry_occupied, [&] { return map(l1, 14, frame, 0, r, 2, spare); });
    refuses(Err::entry_occupied, [&] { return map(l1, 8, frame, 0, r, 3, spare); });
    EXPECT_EQ(map(l1, 15, frame, 0, r, 2, spare), Err::none);
}

TEST_F(Mapping, EveryNumberIsChecked) {
    refuses(Err::bad_argument, [&] { return map(l1, 512, frame, 0, r, 1, spare); });
    refuses(Err::bad_argument, [&] { return map(l1, 511, frame, 0, r, 2, spare); });
    refuses(Err::bad_argument, [&] { return map(l1, 0, frame, 0, r, 0, spare); });
    refuses(Err::bad_argument, [&] { return map(l1, 0, frame, 0, r, 513, spare); });
    refuses(Err::bad_argument, [&] { return map(l1, 0, frame, 0, r, ~uint64_t{0}, spare); });
    refuses(Err::misaligned, [&] { return map(l1, 0, frame, 0x800, r, 1, spare); });
    refuses(Err::range_bounds, [&] { return map(l1, 0, frame, 0x8000, r, 1, spare); });
    refuses(Err::range_bounds, [&] { return map(l1, 0, frame, 0x1000, r, 8, spare); });
    refuses(Err::range_bounds, [&] { return map(l1, 0, frame, ~uint64_t{0xfff}, r, 1, spare); });
    refuses(Err::slot_occupied, [&] { return map(l1, 0, frame, 0, r, 1, l1); });
    refuses(Err::bad_argument, [&] { return map(l1, 0, frame, 0, r, 1, 64); });
    refuses(Err::cap_type, [&] { return map(l1, 0, s::quota, 0, r, 1, spare); });
    slot(l1).rights = abi::read;
    refuses(Err::cap_rights, [&] { return map(l1, 0, frame, 0, r, 1, spare); });
}

TEST_F(Mapping, LargePagesAreOfTheirLevelAndAligned) {
    world.align(large_page_bytes);
    world.make(Kind::frame, slot(40), large_page_bytes * 2);
    ASSERT_EQ(map(l2, 7, 40, 0, rw | large, 2, 41), Err::none);
    EXPECT_EQ(
        table(l2).entry[8],
        slot(40).base + large_page_bytes | pte::present | pte::user | pte::writable |
            pte::no_execute | pte::large
    );
    EXPECT_EQ(slot(41).entry_count(), 2u);
    refuses(Err::bad_argument, [&] { return map(l2, 0, 40, 0, r, 1, spare); });
    refuses(Err::bad_argument, [&] { return map(l1, 0, 40, 0, r | large, 1, spare); });
    refuses(Err::misaligned, [&] { return map(l2, 0, 40, 0x1000, r | large, 1, spare); });
    refuses(Err::misaligned, [&] { return map(l3, 0, 40, 0, r | large, 1, spare); });
    refuses(Err::cap_type, [&] { return map(root_table, 0, 40, 0, r | large, 1, spare); });
    EXPECT_EQ(remove(41), Err::none);
    EXPECT_EQ(table(l2).entry[7], 0u);
    EXPECT_EQ(table(l2).entry[8], 0u);
}

TEST_F(Mapping, AGigabyteOfDeviceMemoryFitsAtLevelThree) {
    World::must(world.core->insert_root(
        slot(40), {Kind::device_frame, uint64_t{4} << 30, uint64_t{2} << 30, abi::read | abi::write}
    ));
    ASSERT_EQ(map(l3, 5, 40, uint64_t{1} << 30, rw | large | 1 << 8, 1, 41), Err::none);
    EXPECT_EQ(table(l3).entry[5] & pte::address, uint64_t{5} << 30);
}

TEST_F(Mapping, TablesHangInTheNextLevelOnly) {
    refuses(Err::cap_type, [&] { return map(root_table, 0, l2, 0, 0, 1, spare); });
    refuses(Err::cap_type, [&] { return map(l3, 0, l1, 0, 0, 1, spare); });
    refuses(Err::cap_type, [&] { return map(l1, 0, l3, 0, 0, 1, spare); });
    refuses(Err::cap_type, [&] { return map(l1, 0, root_table, 0, 0, 1, spare); });
    refuses(Err::cap_type, [&] { return map(l2, 0, l2, 0, 0, 1, spare); });
    refuses(Err::bad_argument, [&] { return map(l2, 0, l1, 0, 0, 2, spare); });
    refuses(Err::bad_argument, [&] { return map(l2, 0, l1, 0x1000, 0, 1, spare); });
}

TEST_F(Mapping, ATableHangsInOnePlace) {
    map_all();
    refuses(Err::range_in_use, [&] { return map(l2, 9, l1, 0, 0, 1, spare); });
    ASSERT_EQ(remove(m1), Err::none);
    EXPECT_EQ(map(l2, 9, l1, 0, 0, 1, spare), Err::none);
}

TEST_F(Mapping, TheKernelsHalfAndTheLastUserEntryAreOutOfReach) {
    for (const uint64_t entry : {255u, 256u, 511u}) {
        refuses(Err::bad_argument, [&] { return map(root_table, entry, l3, 0, 0, 1, spare); });
    }
    EXPECT_EQ(map(root_table, 254, l3, 0, 0, 1, spare), Err::none);
}

TEST_F(Mapping, DeletingAMappingUnmapsAndFlushesItsPages) {
    map_all();
    world.machine.flushed_pages.clear();
    EXPECT_EQ(remove(page), Err::none);
    for (size_t i = 10; i < 15; ++i)
        EXPECT_EQ(table(l1).entry[i], 0u);
    ASSERT_EQ(world.machine.flushed_pages.size(), 5u);
    EXPECT_EQ(world.machine.flushed_pages.front(), address);
    EXPECT_EQ(world.machine.flushed_pages.back(), address + 0x4000);
}

TEST_F(Mapping, ManyPagesOrATableFlushEverything) {
    map_all();
    world.make(Kind::frame, slot(40), 0x20000);
    ASSERT_EQ(map(l1, 100, 40, 0, r, 32, 41), Err::none);
    EXPECT_EQ(remove(41), Err::none);
    EXPECT_EQ(world.machine.flushes, 1u);
    EXPECT_EQ(remove(m2), Err::none);
    EXPECT_EQ(world.machine.flushes, 2u);
    EXPECT_EQ(table(l3).entry[2], 0u);
}

TEST_F(Mapping, WhatIsNotInTheLoadedSpaceNeedsNoFlush) {
    ASSERT_EQ(map(l1, 10, frame, 0, r, 1, page), Err::none); // the table hangs nowhere
    EXPECT_EQ(remove(page), Err::none);
    EXPECT_TRUE(world.machine.flushed_pages.empty());
    EXPECT_EQ(world.machine.flushes, 0u);
}

TEST_F(Mapping, ProtectChangesTheEntriesAndFlushes) {
    map_all();
    EXPECT_EQ(world.call(Op::mapping_protect, page, {rx}), Err::none);
    for (size_t i = 10; i < 15; ++i) {
        EXPECT_EQ(table(l1).entry[i] & (pte::writable | pte::no_execute), 0u);
    }
    EXPECT_EQ(world.machine.flushed_pages.size(), 5u);
    EXPECT_EQ(world.call(Op::mapping_protect, page, {rw}), Err::none);
    EXPECT_EQ(world.call(Op::mapping_protect, page, {7}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::mapping_protect, page, {2}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::mapping_protect, page, {16}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::mapping_protect, m1, {r}), Err::cap_type);
    slot(page).rights = abi::read;
    EXPECT_EQ(world.call(Op::mapping_protect, page, {rw}), Err::cap_rights);
}

TEST_F(Mapping, DeletingTheLastFrameUnmapsIt) {
    map_all();
    ASSERT_EQ(map(l1, 100, frame, 0, r, 1, spare), Err::none);
    ASSERT_EQ(world.call(Op::cnode_copy, leaf_cap, {40, frame}), Err::none);
    EXPECT_EQ(remove(40), Err::none);
    EXPECT_NE(table(l1).entry[10], 0u);
    EXPECT_EQ(remove(frame), Err::none);
    EXPECT_EQ(table(l1).entry[10], 0u);
    EXPECT_EQ(table(l1).entry[100], 0u);
    EXPECT_TRUE(slot(page).empty());
    EXPECT_TRUE(slot(spare).empty());
}

TEST_F(Mapping, DeletingTheLastTableUnhooksItAndItsMappings) {
    map_all();
    EXPECT_EQ(remove(l1), Err::none);
    EXPECT_EQ(table(l2).entry[3], 0u);
    EXPECT_TRUE(slot(m1).empty());
    EXPECT_TRUE(slot(page).empty());
    EXPECT_FALSE(slot(frame).empty());
}

TEST_F(Mapping, AMovedMappingIsStillTheOneOfItsEntries) {
    map_all();
    ASSERT_EQ(world.call(Op::cnode_move, leaf_cap, {40, page}), Err::none);
    EXPECT_EQ(table(l1).owner[12], &slot(40));
    EXPECT_EQ(remove(l1), Err::none);
    EXPECT_TRUE(slot(40).empty());
    EXPECT_EQ(world.call(Op::cnode_copy, leaf_cap, {41, m2}), Err::cap_type);
}

TEST_F(Mapping, RevokingTheMemoryOfAFrameUnmapsIt) {
    ASSERT_EQ(
        world.call(
            Op::cnode_retype,
            leaf_cap,
            {40, s::quota, static_cast<uint64_t>(Kind::frame), 0, 0x1000, 1}
        ),
        Err::none
    );
    ASSERT_EQ(map(l1, 0, 40, 0, rw, 1, 41), Err::none);
    EXPECT_EQ(world.call(Op::cnode_revoke, leaf_cap, {s::quota}), Err::none);
    EXPECT_EQ(table(l1).entry[0], 0u);
}

TEST_F(Mapping, TheSpaceOfADispatcherOutlivesItsCapabilityInTheCNode) {
    map_all();
    EXPECT_EQ(remove(root_table), Err::none);
    EXPECT_NE(table(l3).entry[2], 0u);
    EXPECT_EQ(world.at<PageTable>(me.dispatcher->root.raw)->entry[1] & pte::present, 1u);
    EXPECT_EQ(world.call(Op::null_call, s::quota), Err::none); // still running
}

TEST_F(Mapping, RevokingTheSpaceStopsItsDispatcher) {
    Domain other = world.make_domain(3);
    World::must(world.core->copy(other.leaf->slot[s::address_space], slot(40), abi::all_rights));
    ASSERT_EQ(other.dispatcher->state, State::runnable);
    EXPECT_EQ(world.call(Op::cnode_revoke, leaf_cap, {40}), Err::none);
    EXPECT_EQ(other.dispatcher->state, State::unconfigured);
    EXPECT_EQ(world.core->current(), me.dispatcher);
}

} // namespace
