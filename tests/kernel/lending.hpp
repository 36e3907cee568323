// One domain with the authority of a monitor, for tests of memory between cores.
#pragma once

#include <gtest/gtest.h>

#include "tests/kernel/check.hpp"
#include "tests/kernel/world.hpp"

namespace kernel_test::lending {

namespace s = abi::slot;
namespace flag = kernel::flag;

constexpr uint64_t leaf_cap = s::leaf, self = s::dispatcher;
constexpr uint64_t bell = 20, core_cap = 22, other_core = 24;
constexpr uint64_t ram_cap = 30, loan_cap = 31, frame_cap = 32, keeper_cap = 33;
constexpr uint64_t foreign = 0x20'0000; // RAM of another core, below the arena
constexpr uint64_t block = large_page_bytes;

class Fixture : public testing::Test {
  protected:
    Fixture() {
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

    ~Fixture() override { EXPECT_EQ(database_trouble(world.core->database()), ""); }

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

} // namespace kernel_test::lending
