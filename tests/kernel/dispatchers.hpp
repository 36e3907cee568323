// A domain that may call anything, and others beside it: for tests of dispatchers.
#pragma once

#include <gtest/gtest.h>

#include "tests/kernel/check.hpp"
#include "tests/kernel/world.hpp"

namespace kernel_test::dispatchers {

using kernel::After;
namespace s = abi::slot;

constexpr uint64_t leaf_cap = s::leaf, self = s::dispatcher, frame = 12;

class Fixture : public testing::Test {
  protected:
    Fixture() {
        me = world.make_domain(8);
        world.core->schedule();
    }

    ~Fixture() override { EXPECT_EQ(database_trouble(world.core->database()), ""); }

    /// Another domain's dispatcher and what it stands on, in my slots 20..23.
    void take(Domain& other) {
        const uint32_t from[] = {s::dispatcher, s::root, s::address_space, frame};
        for (uint32_t i = 0; i < 4; ++i) {
            World::must(
                world.core->copy(other.leaf->slot[from[i]], me.leaf->slot[20 + i], abi::all_rights)
            );
        }
    }

    Err
    configure(uint64_t page_address = 0x7f00'0000'0000, uint64_t priority = 8, uint64_t bell = 0) {
        return world.call(Op::dispatcher_configure, 20, {21, 22, 23, page_address, priority, bell});
    }

    /// What the CPU driver has to do after this call of whoever runs; then it does it.
    After after(Op op, uint64_t slot, uint64_t argument = 0) {
        Core& core = *world.core;
        const Dispatcher* const before = core.current();
        abi::SaveArea& r = core.current()->registers;
        r.rax = std::to_underlying(op);
        r.rdi = slot;
        r.rsi = argument;
        r.rdx = r.r10 = r.r8 = r.r9 = r.r12 = r.r13 = 0;
        const After what = enter(core);
        const Dispatcher* const now = core.current();
        const Dispatcher* const next = core.schedule();
        if (what == After::goes_on) EXPECT_EQ(next, before);
        if (what == After::went_to) {
            EXPECT_NE(now, before);
            EXPECT_EQ(next, now);
        }
        return what;
    }

    void advance(Duration d) { world.machine.time = world.machine.time + d; }

    World world;
    Domain me;
};

} // namespace kernel_test::dispatchers
