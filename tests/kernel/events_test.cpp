// Doorbells, vectors, device lines, ports, and what crosses between cores.
#include <gtest/gtest.h>

#include "tests/kernel/check.hpp"
#include "tests/kernel/world.hpp"

namespace {

using namespace kernel_test;
namespace s = abi::slot;
using enum abi::InterruptMode;

constexpr uint64_t leaf_cap = s::leaf, self = s::dispatcher;
constexpr uint64_t bell = 20, line = 21, core_cap = 22, remote_bell = 23, other_cores = 24;
constexpr uint64_t ports = 25;

class Events : public testing::Test {
  protected:
    Events() {
        me = world.make_domain(8);
        Core& core = *world.core;
        World::must(core.make_doorbell(slot(self), slot(bell), 9));
        World::must(core.insert_root(
            slot(line), {Kind::interrupt, abi::interrupt_space + 11, 1, abi::all_rights}
        ));
        World::must(core.insert_root(
            slot(core_cap), {Kind::core, abi::core_space + own_apic, 1, abi::all_rights}
        ));
        World::must(
            core.insert_root(slot(other_cores), {Kind::core, abi::other_cores, 8, abi::all_rights})
        );
        World::must(core.insert_root(
            slot(ports), {Kind::io_port, abi::io_port_space + 0x3f8, 8, abi::read | abi::write}
        ));
        core.schedule();
        EXPECT_EQ(accept(Kind::doorbell, abi::core_space + 3, 1, 0x81, remote_bell), Err::none);
    }

    ~Events() override { EXPECT_EQ(database_trouble(world.core->database()), ""); }

    Err accept(
        Kind kind,
        uint64_t base,
        uint64_t bytes,
        uint64_t badge,
        uint64_t into,
        uint64_t rights = 15
    ) {
        return world.call(
            Op::core_accept,
            core_cap,
            {leaf_cap, into, static_cast<uint64_t>(kind), base, bytes, rights, badge}
        );
    }

    Err bind(uint64_t doorbell, abi::InterruptMode mode) {
        return world.call(Op::interrupt_bind, line, {doorbell, static_cast<uint64_t>(mode)});
    }

    Slot& slot(uint64_t i) { return me.leaf->slot[i]; }

    World world;
    Domain me;
};

TEST_F(Events, RingSetsTheBitOfARunningDispatcher) {
    EXPECT_EQ(world.call(Op::ring, bell), Err::none);
    EXPECT_EQ(world.call(Op::ring, bell), Err::none);
    EXPECT_EQ(me.page->pending, 1u << 9);
}

TEST_F(Events, RingWakesASleeper) {
    Domain sleeper = world.make_domain(9);
    World::must(world.core->make_doorbell(sleeper.leaf->slot[self], slot(30), 4));
    world.core->schedule();
    world.invoke(Op::wait, self, {90'000, 0});
    ASSERT_EQ(world.core->current(), me.dispatcher);
    world.invoke(Op::ring, 30);
    EXPECT_EQ(world.core->current(), sleeper.dispatcher);
    EXPECT_EQ(World::value(*sleeper.dispatcher, 0), 0u);
    EXPECT_EQ(World::value(*sleeper.dispatcher, 1), 1u << 4);
    EXPECT_EQ(sleeper.page->pending, 0u);
    EXPECT_FALSE(sleeper.dispatcher->deadline_set);
}

TEST_F(Events, RingNeedsTheWriteRight) {
    slot(bell).rights = abi::read | abi::copy;
    EXPECT_EQ(world.call(Op::ring, bell), Err::cap_rights);
    EXPECT_EQ(me.page->pending, 0u);
}

TEST_F(Events, RingingAStoppedOrUnconfiguredDispatcherIsHarmless) {
    world.make(Kind::dispatcher, slot(30));
    World::must(world.core->make_doorbell(slot(30), slot(31), 4));
    EXPECT_EQ(world.call(Op::ring, 31), Err::none);
    Domain stopped = world.make_domain(8, false);
    World::must(world.core->make_doorbell(stopped.leaf->slot[self], slot(32), 4));
    EXPECT_EQ(world.call(Op::ring, 32), Err::none);
    EXPECT_EQ(stopped.page->pending, 1u << 4);
}

TEST_F(Events, ARemoteRingIsAnInterrupt) {
    EXPECT_EQ(world.call(Op::ring, remote_bell), Err::none);
    ASSERT_EQ(world.machine.ipis.size(), 1u);
    EXPECT_EQ(world.machine.ipis[0], (std::pair<uint32_t, uint8_t>{3, 0x81}));
    EXPECT_EQ(world.core->statistics().ipis_sent, 1u);
}

TEST_F(Events, AVectorFromAnotherCoreSetsTheRemoteBit) {
    Dispatcher& d = world.invoke(Op::core_vector, core_cap, {bell});
    EXPECT_EQ(World::value(d, 0), own_apic);
    const uint64_t vector = World::value(d, 1);
    EXPECT_EQ(World::value(world.invoke(Op::core_vector, core_cap, {bell}), 1), vector);
    world.core->on_device_or_ipi_vector(static_cast<uint8_t>(vector));
    EXPECT_EQ(me.page->pending, 1u << abi::event_remote);
    EXPECT_EQ(world.core->statistics().ipis_received, 1u);
    EXPECT_EQ(world.call(Op::core_vector, core_cap, {remote_bell}), Err::foreign);
    EXPECT_EQ(world.call(Op::core_vector, core_cap, {line}), Err::cap_type);
    EXPECT_EQ(world.call(Op::core_vector, other_cores, {bell}), Err::foreign);
}

TEST_F(Events, AnEventInterruptsWhoWantsToBeToldOfIt) {
    const uint64_t found = World::value(world.invoke(Op::core_vector, core_cap, {bell}), 1);
    const auto vector = static_cast<uint8_t>(found);
    const uint64_t rip = me.dispatcher->registers.rip;
    *me.page = {.wants_run_upcall = abi::run_upcall::never, .upcall_run = 0x5000};
    me.dispatcher->registers.rbx = 1234;
    world.core->on_device_or_ipi_vector(vector);
    EXPECT_EQ(me.dispatcher->registers.rip, rip);
    me.page->wants_run_upcall = abi::run_upcall::on_event;
    world.core->on_device_or_ipi_vector(vector);
    EXPECT_EQ(me.dispatcher->registers.rip, 0x5000u);
    EXPECT_EQ(me.page->disabled, 1u);
    EXPECT_EQ(me.page->save[0].rip, rip);
    EXPECT_EQ(me.page->save[0].rbx, 1234u);
    EXPECT_EQ(me.page->pending, 1u << abi::event_remote); // for `wait`
    me.dispatcher->registers.rip = 0x5004;
    world.core->on_device_or_ipi_vector(vector);
    EXPECT_EQ(me.dispatcher->registers.rip, 0x5004u); // not while disabled
}

TEST_F(Events, VectorsAreSharedWhenTheyRunOut) {
    constexpr size_t vectors = kernel::last_vector - kernel::first_remote_vector + 1;
    std::map<uint8_t, unsigned> users;
    for (size_t made = 0; made < vectors + 10; ++made) {
        Slot& cnode = me.root->slot[10 + made / 64];
        if (cnode.empty()) world.make(Kind::cnode, cnode);
        Slot& place = world.core->cnode(cnode).slot[made % 64];
        Slot& doorbell = world.scratch();
        world.make(Kind::dispatcher, place);
        World::must(world.core->make_doorbell(place, doorbell, 1));
        const auto vector = world.core->remote_vector(doorbell);
        World::must(world.core->remove(doorbell));
        ASSERT_TRUE(vector);
        ++users[*vector];
    }
    EXPECT_EQ(users.size(), vectors);
    unsigned shared = 0;
    for (const auto& [vector, count] : users) {
        EXPECT_LE(count, 2u);
        shared += count - 1;
    }
    EXPECT_EQ(shared, 10u);
}

/// More of them than there are vectors: each ring wakes whom it is for, and perhaps others.
TEST_F(Events, ThreeHundredSleepersAreWokenByTheVectorsTheyShare) {
    constexpr size_t sleepers = 300;
    constexpr uint64_t own = 41; // of whoever waits: all share one capability space
    std::vector<std::pair<Dispatcher*, uint8_t>> asleep;
    for (size_t made = 0; made < sleepers; ++made) {
        Slot& cnode = me.root->slot[10 + made / 32];
        if (cnode.empty()) world.make(Kind::cnode, cnode);
        Slot& place = world.core->cnode(cnode).slot[made % 32];
        Slot& page = world.core->cnode(cnode).slot[32 + made % 32];
        world.make(Kind::dispatcher, place);
        *world.at<abi::DispatcherPage>(world.make(Kind::frame, page, page_bytes).base) = {};
        Slot* const root = &me.leaf->slot[s::root];
        Slot* const space = &me.leaf->slot[s::address_space];
        World::must(
            world.core->configure(place, {root, space, &page, abi::dispatcher_page_at, 9, nullptr})
        );
        Slot& doorbell = world.scratch();
        World::must(world.core->make_doorbell(place, doorbell, 1));
        const auto vector = world.core->remote_vector(doorbell);
        World::must(world.core->remove(doorbell));
        ASSERT_TRUE(vector);
        Dispatcher& d = world.core->dispatcher(place);
        World::must(world.core->start(d, 0x40'0000, 0x7000, 0));
        ASSERT_EQ(world.core->schedule(), &d);
        World::must(world.core->copy(place, me.leaf->slot[own], abi::all_rights));
        world.invoke(Op::wait, own);
        World::must(world.core->remove(me.leaf->slot[own]));
        ASSERT_EQ(d.state, State::waiting);
        asleep.emplace_back(&d, *vector);
    }
    for (const auto& [d, vector] : asleep) {
        world.core->on_device_or_ipi_vector(vector);
        ASSERT_EQ(d->state, State::runnable);
        EXPECT_EQ(World::value(*d, 1), uint64_t{1} << abi::event_remote);
    }
}

TEST_F(Events, WhoRingsOtherCoresTooOftenPausesAndNoRingIsLost) {
    constexpr uint64_t far = remote_bell;
    Domain low = world.make_domain(2);
    for (unsigned i = 0; i < kernel::ring_burst; ++i)
        ASSERT_EQ(world.call(Op::ring, far), Err::none);
    ASSERT_EQ(world.core->current(), me.dispatcher);
    world.invoke(Op::ring, far);
    EXPECT_EQ(world.machine.ipis.size(), kernel::ring_burst + 1);
    EXPECT_EQ(me.dispatcher->state, State::held_back);
    EXPECT_EQ(world.core->current(), low.dispatcher);
    EXPECT_EQ(world.core->statistics().held_back, 1u);
    // it is no wait: what comes meanwhile stays for later
    World::must(world.core->ring(slot(bell)));
    EXPECT_EQ(me.dispatcher->state, State::held_back);
    ASSERT_EQ(world.core->next_deadline(), world.machine.time + kernel::ring_interval);
    world.machine.time = world.core->next_deadline();
    world.core->on_timer();
    ASSERT_EQ(world.core->schedule(), me.dispatcher);
    EXPECT_EQ(World::status(*me.dispatcher), Err::none);
    EXPECT_NE(me.page->pending, 0u);
    EXPECT_EQ(World::value(world.invoke(Op::core_info, core_cap, {2}), 5), 1u);
    // and it earns them anew
    world.machine.time = world.machine.time + kernel::ring_interval * kernel::ring_burst;
    for (unsigned i = 0; i < kernel::ring_burst; ++i)
        ASSERT_EQ(world.call(Op::ring, far), Err::none);
    EXPECT_EQ(me.dispatcher->state, State::runnable);
}

TEST_F(Events, WhoPausesCanBeStopped) {
    constexpr uint64_t far = remote_bell;
    for (unsigned i = 0; i <= kernel::ring_burst; ++i)
        world.invoke(Op::ring, far);
    ASSERT_EQ(me.dispatcher->state, State::held_back);
    World::must(world.core->stop(*me.dispatcher));
    EXPECT_EQ(world.core->next_deadline(), never);
    EXPECT_EQ(world.core->schedule(), nullptr);
}

TEST_F(Events, AnUnknownVectorIsCountedAsSpurious) {
    for (const unsigned v : {0x30u, 0x6fu, 0x70u, 0xefu}) {
        world.core->on_device_or_ipi_vector(static_cast<uint8_t>(v));
    }
    world.core->on_device_or_ipi_vector(0);
    world.core->on_device_or_ipi_vector(0xff);
    EXPECT_EQ(world.core->statistics().spurious, 6u);
    EXPECT_EQ(me.page->pending, 0u);
}

TEST_F(Events, ABoundEdgeLineSetsItsBitAndStaysOpen) {
    EXPECT_EQ(bind(bell, edge_high), Err::none);
    const auto& route = world.machine.routes.at(11);
    EXPECT_EQ(route.apic, own_apic);
    EXPECT_FALSE(route.masked);
    world.core->on_device_or_ipi_vector(route.vector);
    EXPECT_EQ(me.page->pending, 1u << 9);
    EXPECT_FALSE(route.masked);
    EXPECT_EQ(world.core->statistics().interrupts, 1u);
}

TEST_F(Events, ABoundLevelLineIsMaskedUntilAcknowledged) {
    EXPECT_EQ(bind(bell, level_low), Err::none);
    const auto& route = world.machine.routes.at(11);
    world.core->on_device_or_ipi_vector(route.vector);
    EXPECT_TRUE(route.masked);
    EXPECT_EQ(world.call(Op::interrupt_acknowledge, line), Err::none);
    EXPECT_FALSE(route.masked);
}

TEST_F(Events, RebindingKeepsTheVectorAndMovesTheBit) {
    World::must(world.core->make_doorbell(slot(self), slot(30), 10));
    EXPECT_EQ(bind(bell, edge_high), Err::none);
    const uint8_t vector = world.machine.routes.at(11).vector;
    EXPECT_EQ(bind(30, edge_high), Err::none);
    EXPECT_EQ(world.machine.routes.at(11).vector, vector);
    world.core->on_device_or_ipi_vector(vector);
    EXPECT_EQ(me.page->pending, 1u << 10);
}

TEST_F(Events, ARemoteDoorbellTakesEdgeLinesOnly) {
    EXPECT_EQ(bind(remote_bell, level_low), Err::unsupported);
    EXPECT_EQ(bind(remote_bell, edge_high), Err::none);
    EXPECT_EQ(world.machine.routes.at(11).apic, 3u);
    EXPECT_EQ(world.machine.routes.at(11).vector, 0x81);
}

TEST_F(Events, BindChecksItsArguments) {
    EXPECT_EQ(bind(line, edge_high), Err::cap_type);
    EXPECT_EQ(bind(19, edge_high), Err::cap_empty);
    EXPECT_EQ(bind(bell, static_cast<abi::InterruptMode>(4)), Err::bad_argument);
    slot(bell).rights = abi::read;
    EXPECT_EQ(bind(bell, edge_high), Err::cap_rights);
    slot(bell).rights = abi::all_rights;
    world.machine.route_fails = true;
    EXPECT_EQ(bind(bell, edge_high), Err::no_device);
    EXPECT_EQ(world.call(Op::interrupt_acknowledge, line), Err::bad_state);
    World::must(world.core->insert_root(
        slot(30), {Kind::interrupt, abi::interrupt_space + 20, 2, abi::all_rights}
    ));
    EXPECT_EQ(world.call(Op::interrupt_bind, 30, {bell, 0}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::interrupt_acknowledge, 30), Err::bad_argument);
}

TEST_F(Events, TheLastDeleteOfALineMasksIt) {
    ASSERT_EQ(bind(bell, edge_high), Err::none);
    const uint8_t vector = world.machine.routes.at(11).vector;
    ASSERT_EQ(world.call(Op::cnode_copy, leaf_cap, {30, line}), Err::none);
    EXPECT_EQ(world.call(Op::cnode_delete, leaf_cap, {30}), Err::none);
    EXPECT_FALSE(world.machine.routes.at(11).masked);
    EXPECT_EQ(world.call(Op::cnode_delete, leaf_cap, {line}), Err::none);
    EXPECT_TRUE(world.machine.routes.at(11).masked);
    world.core->on_device_or_ipi_vector(vector);
    EXPECT_EQ(me.page->pending, 0u);
}

TEST_F(Events, ADestroyedDispatcherLeavesNoVectorBehind) {
    Domain driver = world.make_domain(3);
    World::must(world.core->move(driver.leaf->slot[self], slot(30)));
    World::must(world.core->make_doorbell(slot(30), slot(31), 2));
    ASSERT_EQ(bind(31, edge_high), Err::none);
    const auto ipi = world.core->remote_vector(slot(31));
    ASSERT_TRUE(ipi);
    ASSERT_EQ(world.call(Op::cnode_delete, leaf_cap, {30}), Err::none);
    EXPECT_TRUE(world.machine.routes.at(11).masked);
    world.core->on_device_or_ipi_vector(world.machine.routes.at(11).vector);
    world.core->on_device_or_ipi_vector(*ipi);
    EXPECT_EQ(world.core->statistics().spurious, 2u);
}

TEST_F(Events, PortsAreReadAndWrittenWithinTheRange) {
    Dispatcher& d = world.invoke(Op::port_in, ports, {0x3fc, 4});
    EXPECT_EQ(World::value(d, 0), 0x3fcu * 16 + 4);
    EXPECT_EQ(world.call(Op::port_out, ports, {0x3f8, 1, 0x41}), Err::none);
    EXPECT_EQ(world.machine.port_writes.size(), 1u);
    EXPECT_EQ(world.call(Op::port_in, ports, {0x3fd, 4}), Err::range_bounds);
    EXPECT_EQ(world.call(Op::port_in, ports, {0x3f7, 1}), Err::range_bounds);
    EXPECT_EQ(world.call(Op::port_in, ports, {0x3f8, 3}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::port_in, ports, {0x1'03f8, 1}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::port_out, ports, {0x3f8, 1, uint64_t{1} << 32}), Err::bad_argument);
    slot(ports).rights = abi::read;
    EXPECT_EQ(world.call(Op::port_out, ports, {0x3f8, 1, 1}), Err::cap_rights);
    EXPECT_EQ(world.machine.port_writes.size(), 1u);
}

// --- other cores
// -----------------------------------------------------------------------------------

TEST_F(Events, AcceptMakesFramesOverForeignMemoryOnly) {
    EXPECT_EQ(accept(Kind::frame, 0x1000, 0x2000, 0, 30), Err::none);
    EXPECT_TRUE(slot(30).has(kernel::flag::borrowed));
    EXPECT_EQ(accept(Kind::frame, 0x1000, 0x1000, 0, 31), Err::none);
    EXPECT_EQ(accept(Kind::frame, ram_base, 0x1000, 0, 32), Err::range_in_use);
    EXPECT_EQ(accept(Kind::frame, ram_base - 0x1000, 0x2000, 0, 32), Err::range_in_use);
    EXPECT_EQ(accept(Kind::frame, 0x1800, 0x1000, 0, 32), Err::misaligned);
    EXPECT_EQ(accept(Kind::frame, 0x1000, 0, 0, 32), Err::bad_argument);
    EXPECT_EQ(accept(Kind::frame, uint64_t{1} << 52, 0x1000, 0, 32), Err::range_bounds);
    EXPECT_EQ(accept(Kind::frame, 0x1000, ~uint64_t{0xfff}, 0, 32), Err::range_bounds);
    EXPECT_EQ(accept(Kind::frame, 0x4000, 0x1000, 0, 30), Err::slot_occupied);
    EXPECT_EQ(accept(Kind::frame, 0x4000, 0x1000, 0, 32, 16), Err::bad_argument);
    for (const Kind k : {Kind::empty, Kind::cnode, Kind::dispatcher, Kind::core, Kind::mapping}) {
        EXPECT_EQ(accept(k, 0x8000, 0x1000, 0, 32), Err::cap_type);
    }
    EXPECT_EQ(
        world.call(Op::core_accept, other_cores, {leaf_cap, 32, 2, 0x8000, 0x1000, 15, 0}),
        Err::foreign
    );
}

TEST_F(Events, AcceptChecksDoorbellsLinesAndPorts) {
    EXPECT_EQ(accept(Kind::doorbell, abi::core_space + own_apic, 1, 0x81, 32), Err::bad_argument);
    EXPECT_EQ(accept(Kind::doorbell, abi::core_space + 3, 2, 0x81, 32), Err::bad_argument);
    EXPECT_EQ(accept(Kind::doorbell, abi::core_space + 3, 1, 0x2f, 32), Err::bad_argument);
    EXPECT_EQ(accept(Kind::doorbell, abi::core_space + 3, 1, 0xf0, 32), Err::bad_argument);
    EXPECT_EQ(accept(Kind::doorbell, 0x1000, 1, 0x81, 32), Err::range_bounds);
    EXPECT_EQ(accept(Kind::interrupt, abi::interrupt_space + 5, 1, 0, 32), Err::none);
    EXPECT_EQ(accept(Kind::interrupt, abi::interrupt_space + 11, 1, 0, 33), Err::range_in_use);
    EXPECT_EQ(accept(Kind::interrupt, 11, 1, 0, 33), Err::range_bounds);
    EXPECT_EQ(accept(Kind::io_port, abi::io_port_space + 0x60, 4, 0, 33), Err::none);
    EXPECT_EQ(accept(Kind::io_port, abi::io_port_space + 0xffff, 2, 0, 34), Err::range_bounds);
    EXPECT_EQ(accept(Kind::device_frame, 0xfee0'0000, 0x1000, 0, 34), Err::none);
}

TEST_F(Events, ABorrowedFrameIsNotLentOnAndIsNoDispatcherPage) {
    ASSERT_EQ(accept(Kind::frame, 0x1000, 0x1000, 0, 30), Err::none);
    EXPECT_EQ(world.call(Op::core_lend, core_cap, {30, leaf_cap, 31}), Err::foreign);
    Domain other = world.make_domain(8, false);
    World::must(world.core->move(other.leaf->slot[self], slot(40)));
    EXPECT_EQ(
        world.call(
            Op::dispatcher_configure, 40, {s::root, s::address_space, 30, 0x7f00'0000'0000, 1, 0}
        ),
        Err::foreign
    );
}

TEST_F(Events, LendLeavesALoanThatKeepsTheMemory) {
    world.make(Kind::frame, slot(30), 0x2000);
    EXPECT_EQ(world.call(Op::core_lend, core_cap, {30, leaf_cap, 31}), Err::none);
    EXPECT_EQ(world.core->parked_loans(), 1u);
    EXPECT_EQ(slot(31).kind, Kind::loan);
    EXPECT_EQ(world.core->database().ancestor(slot(31)), &slot(30));
    EXPECT_EQ(world.call(Op::cnode_copy, leaf_cap, {32, 31}), Err::cap_type);
    EXPECT_EQ(world.call(Op::core_lend, core_cap, {s::quota, leaf_cap, 32}), Err::cap_type);
    EXPECT_EQ(world.call(Op::core_lend, other_cores, {30, leaf_cap, 32}), Err::foreign);
    slot(30).rights = abi::read;
    EXPECT_EQ(world.call(Op::core_lend, core_cap, {30, leaf_cap, 32}), Err::cap_rights);
    EXPECT_EQ(world.call(Op::cnode_delete, leaf_cap, {31}), Err::none);
    EXPECT_EQ(world.core->parked_loans(), 0u);
}

TEST_F(Events, AnotherCoreIsStoppedByItsNumber) {
    EXPECT_EQ(world.call(Op::core_stop, core_cap, {3}), Err::none);
    EXPECT_EQ(world.machine.stopped, (std::vector<uint32_t>{3}));
    EXPECT_EQ(world.call(Op::core_stop, core_cap, {own_apic}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::core_stop, core_cap, {uint64_t{1} << 32}), Err::bad_argument);
    EXPECT_EQ(world.call(Op::core_stop, other_cores, {3}), Err::foreign);
    EXPECT_EQ(world.call(Op::core_hang, other_cores), Err::foreign);
    EXPECT_EQ(world.machine.hangs, 0u);
    EXPECT_EQ(world.call(Op::core_hang, core_cap), Err::none);
    EXPECT_EQ(world.machine.hangs, 1u);
}

class CoreStart : public Events {
  protected:
    CoreStart() {
        world.align(large_page_bytes);
        world.make(Kind::ram, slot(30), large_page_bytes);
    }

    Err start(uint64_t page = 8, uint64_t ram = 30, uint64_t core = 3) {
        return world.call(Op::core_start, other_cores, {ram, page, core});
    }
};

TEST_F(CoreStart, ConsumesTheMemoryAsGiveDoes) {
    const uint64_t base = slot(30).base;
    const uint64_t owned = world.core->statistics().bytes_owned;
    ASSERT_EQ(world.call(Op::cnode_copy, leaf_cap, {31, 30}), Err::none);
    EXPECT_EQ(World::value(world.invoke(Op::core_start, other_cores, {30, 8, 3}), 0), 1u);
    EXPECT_EQ(slot(30).kind, Kind::loan);
    EXPECT_TRUE(slot(31).empty());
    EXPECT_EQ(world.machine.started, (std::vector<std::pair<uint32_t, uint8_t>>{{3, 8}}));
    ASSERT_EQ(world.machine.disowned.size(), 1u);
    EXPECT_EQ(world.machine.disowned[0].first, base);
    EXPECT_EQ(world.machine.disowned[0].second, base + large_page_bytes);
    EXPECT_EQ(world.core->statistics().bytes_owned, owned - large_page_bytes);
    const uint64_t offset = base - ram_base;
    EXPECT_FALSE(world.core->retype(world.ram(), Kind::frame, offset, 0x1000, {&slot(34), 1}));
    EXPECT_EQ(accept(Kind::frame, base + 0x1000, 0x1000, 0, 32), Err::none); // lent back
    EXPECT_EQ(accept(Kind::frame, base - 0x1000, 0x2000, 0, 33), Err::range_in_use);
}

TEST_F(CoreStart, RefusesMemoryThatIsInUseOrUneven) {
    ASSERT_EQ(
        world.call(
            Op::cnode_retype, leaf_cap, {31, 30, static_cast<uint64_t>(Kind::frame), 0, 0x1000, 1}
        ),
        Err::none
    );
    EXPECT_EQ(start(), Err::range_in_use);
    ASSERT_EQ(world.call(Op::cnode_delete, leaf_cap, {31}), Err::none);
    EXPECT_EQ(start(8, s::quota), Err::misaligned);
    EXPECT_EQ(start(8, bell), Err::cap_type);
    EXPECT_EQ(start(0), Err::bad_argument);
    EXPECT_EQ(start(256), Err::bad_argument);
    EXPECT_EQ(start(8, 30, own_apic), Err::bad_argument);
    EXPECT_EQ(start(8, 30, 8), Err::range_bounds);
    slot(30).bytes = 513 * large_page_bytes;
    EXPECT_EQ(start(), Err::range_bounds) << "what a call gives up is bounded";
    slot(30).bytes = large_page_bytes;
    EXPECT_EQ(world.call(Op::core_start, core_cap, {30, 8, 0}), Err::foreign);
    slot(other_cores).rights = abi::read;
    EXPECT_EQ(start(), Err::cap_rights);
    EXPECT_TRUE(world.machine.started.empty());
}

TEST_F(CoreStart, ACoreThatDoesNotStartLeavesTheMemoryAlone) {
    world.machine.start_fails = true;
    EXPECT_EQ(start(), Err::core_dead);
    EXPECT_FALSE(slot(30).empty());
    EXPECT_TRUE(world.machine.disowned.empty());
}

TEST_F(CoreStart, TheMemoryOfAStoppedCoreCanBeRegainedAndStartedWithAgain) {
    const uint64_t owned = world.core->statistics().bytes_owned;
    for (int i = 0; i < 2; ++i) {
        ASSERT_EQ(start(), Err::none);
        EXPECT_EQ(world.core->parked_loans(), 1u);
        EXPECT_EQ(world.call(Op::core_regain, core_cap, {30}), Err::none);
        EXPECT_EQ(slot(30).kind, Kind::ram);
        EXPECT_EQ(world.core->statistics().bytes_owned, owned);
        EXPECT_EQ(world.core->parked_loans(), 0u);
    }
    EXPECT_EQ(world.machine.started.size(), 2u);
}

TEST_F(CoreStart, MemoryThatWasAnotherCoresLeavesNothing) {
    constexpr uint64_t far = uint64_t{8} << 30;
    ASSERT_EQ(accept(Kind::ram, far, large_page_bytes, 0, 32), Err::none);
    EXPECT_EQ(World::value(world.invoke(Op::core_start, other_cores, {32, 8, 3}), 0), 0u);
    EXPECT_TRUE(slot(32).empty());
}

TEST_F(Events, CoreInfoCounts) {
    Dispatcher& d = world.invoke(Op::core_info, core_cap, {0});
    EXPECT_EQ(World::value(d, 0), 2u);
    EXPECT_EQ(World::value(d, 1), own_apic);
    EXPECT_EQ(World::value(d, 2), 1'000'000u);
    EXPECT_GT(World::value(world.invoke(Op::core_info, core_cap, {2}), 0), 1u);
    EXPECT_EQ(World::value(world.invoke(Op::core_info, core_cap, {3}), 0), ram_bytes);
    EXPECT_EQ(World::value(world.invoke(Op::core_info, core_cap, {1}), 2), 1000u);
    const Dispatcher& in_use = world.invoke(Op::core_info, core_cap, {4});
    EXPECT_EQ(World::value(in_use, 0), world.core->database().count());
    EXPECT_EQ(World::value(in_use, 1), 0u);
    EXPECT_EQ(World::value(in_use, 2), 0u);
    EXPECT_EQ(world.call(Op::core_vector, core_cap, {bell}), Err::none);
    EXPECT_EQ(bind(bell, edge_high), Err::none);
    EXPECT_EQ(World::value(world.invoke(Op::core_info, core_cap, {4}), 1), 1u);
    EXPECT_EQ(World::value(world.invoke(Op::core_info, core_cap, {4}), 2), 1u);
    EXPECT_EQ(world.call(Op::core_info, core_cap, {5}), Err::bad_argument);
}

} // namespace
