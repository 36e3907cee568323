// Worst cases that a hostile domain can build: no call takes more steps than docs/capabilities.md
// states, and repeating it gets to the end.
#include <gtest/gtest.h>

#include <memory>

#include "tests/kernel/check.hpp"
#include "tests/kernel/world.hpp"

namespace {

using namespace kernel_test;
namespace s = abi::slot;

constexpr uint64_t self = s::dispatcher;

class Bounds : public testing::Test {
  protected:
    Bounds() : me{world.make_domain(8)} { world.core->schedule(); }

    ~Bounds() override { EXPECT_EQ(core_trouble(*world.core), ""); }

    Slot& slot(uint64_t i) { return me.leaf->slot[i]; }

    /// A slot outside of all CNodes, as good as any.
    Slot& fresh() { return *slots_.emplace_back(std::make_unique<Slot>()); }

    /// Repeats it while it answers `again`; how often?
    template <class Step>
    unsigned until_done(Step&& step, Err last = Err::none) {
        for (unsigned calls = 1;; ++calls) {
            const Result<> r = step();
            EXPECT_LE(world.core->looks(), kernel::most_looks);
            most = std::max(most, world.core->looks());
            const Err status = r ? Err::none : r.error().top();
            if (status == Err::again && calls < 100'000) continue;
            EXPECT_EQ(status, last);
            return calls;
        }
    }

    /// A dispatcher that stands on what `me` stands on, and calls through `endpoint`'s slot.
    Dispatcher& clone() {
        Slot& made = world.make(Kind::dispatcher, fresh());
        World::must(world.core->configure(
            made,
            {&slot(s::root), &slot(s::address_space), &slot(12), abi::dispatcher_page_at, 8, nullptr
            }
        ));
        Dispatcher& d = world.core->dispatcher(made);
        World::must(world.core->start(d, 0x40'0000, 0x7000, 0));
        return d;
    }

    /// `count` callers, all queued for a server that does not listen.
    Domain crowd(unsigned count, uint64_t capability = 0) {
        Domain server = world.make_domain(8, false);
        world.connect(server, me, 40);
        for (unsigned i = 0; i < count; ++i)
            callers.push_back(&clone());
        World::must(world.core->stop(*me.dispatcher)); // it shares its page with all of them
        world.core->schedule();
        for (unsigned i = 0; i < count; ++i)
            world.invoke(Op::call, 40, {capability});
        EXPECT_EQ(waiting(), count);
        EXPECT_EQ(world.core->current(), nullptr);
        return server;
    }

    size_t waiting() const {
        return static_cast<size_t>(std::ranges::count_if(callers, [](const Dispatcher* d) {
            return d->state == State::queued;
        }));
    }

    /// Everybody who can run stops; how many were there?
    unsigned let_all_run() {
        unsigned ran = 0;
        while (Dispatcher* const d = world.core->schedule()) {
            EXPECT_EQ(World::status(*d), Err::peer_gone);
            World::must(world.core->stop(*d));
            ++ran;
        }
        return ran;
    }

    World world;
    Domain me;
    std::vector<Dispatcher*> callers;
    unsigned most{};

  private:
    std::vector<std::unique_ptr<Slot>> slots_;
};

// ------------------------------------------------------------------------------- who waits for it

TEST_F(Bounds, AStopSendsSomeCallersHomeAtOnceAndTheRestByAndBy) {
    Domain server = crowd(100);
    World::must(world.core->stop(*server.dispatcher));
    EXPECT_EQ(waiting(), 100 - kernel::callers_a_call);
    EXPECT_EQ(let_all_run(), 100u);
    EXPECT_EQ(waiting(), 0u);
}

TEST_F(Bounds, AFaultSendsCallersHomeInSteps) {
    Domain server = crowd(100);
    World::must(world.core->start(*server.dispatcher, 0x1000, 0x2000, 0));
    ASSERT_EQ(world.core->schedule(), server.dispatcher);
    world.core->on_fault(13, 0, 0);
    EXPECT_EQ(waiting(), 100 - kernel::callers_a_call);
    EXPECT_EQ(let_all_run(), 100u);
}

TEST_F(Bounds, NobodyNewWaitsForWhoSendsCallersHome) {
    Domain server = crowd(100);
    World::must(world.core->stop(*server.dispatcher));
    Dispatcher* const late = world.core->schedule();
    ASSERT_NE(late, nullptr);
    EXPECT_EQ(world.call(Op::call, 40), Err::peer_gone);
    EXPECT_EQ(world.call(Op::call, 40), Err::peer_gone);
}

TEST_F(Bounds, ARestartWaitsUntilAllCallersAreSentHome) {
    Domain server = crowd(100);
    World::must(world.core->stop(*server.dispatcher));
    const unsigned calls =
        until_done([&] { return world.core->start(*server.dispatcher, 0x1000, 0x2000, 0); });
    EXPECT_EQ(calls, 3u);
    EXPECT_EQ(waiting(), 0u);
    EXPECT_EQ(server.dispatcher->state, State::runnable);
}

TEST_F(Bounds, ACallerThatIsStoppedMeanwhileLeavesTheQueue) {
    Domain server = crowd(100);
    World::must(world.core->stop(*server.dispatcher));
    for (Dispatcher* d : callers)
        World::must(world.core->stop(*d));
    EXPECT_EQ(world.core->schedule(), nullptr);
    EXPECT_EQ(world.core->schedule(), nullptr); // nobody left to be sent home
    World::must(world.core->start(*server.dispatcher, 0x1000, 0x2000, 0));
}

TEST_F(Bounds, DeletingAServerSendsItsCallersHomeFirst) {
    Domain server = crowd(200);
    Slot& dispatcher = server.leaf->slot[self];
    EXPECT_GT(until_done([&] { return world.core->remove(dispatcher); }), 200 / 64u);
    EXPECT_EQ(waiting(), 0u);
    EXPECT_TRUE(slot(40).empty());
    EXPECT_EQ(let_all_run(), 200u);
}

TEST_F(Bounds, RevokingWhatAServerStandsOnSendsItsCallersHomeFirst) {
    Domain server = crowd(200);
    EXPECT_GT(until_done([&] { return world.core->revoke(server.leaf->slot[12]); }), 200 / 64u);
    EXPECT_EQ(server.dispatcher->state, State::unconfigured);
    EXPECT_EQ(waiting(), 0u);
    EXPECT_EQ(let_all_run(), 200u);
}

TEST_F(Bounds, CallsThatCannotBeDeliveredAreRefusedInSteps) {
    Domain server = crowd(100, s::leaf); // with a capability; the server's place for it is taken
    World::must(
        world.core->copy(server.leaf->slot[12], server.leaf->slot[s::receive], abi::all_rights)
    );
    World::must(world.core->start(*server.dispatcher, 0x1000, 0x2000, 0));
    ASSERT_EQ(world.core->schedule(), server.dispatcher);
    world.invoke(Op::wait, self, {0, abi::wait_accepts_calls});
    EXPECT_EQ(waiting(), 100 - kernel::callers_a_call);
    EXPECT_EQ(server.dispatcher->state, State::runnable); // woken in vain: it looks again
    EXPECT_EQ(World::value(*server.dispatcher, 0), static_cast<uint64_t>(abi::Woke::events));
    EXPECT_EQ(World::value(*server.dispatcher, 1), 0u);
}

// ----------------------------------------------------------------------------- long and wide
// things

TEST_F(Bounds, AChainOfAThousandCNodesGoesInSteps) {
    Slot* place = &slot(40);
    for (int i = 0; i < 1000; ++i) {
        world.make(Kind::cnode, *place);
        place = &world.core->cnode(*place).slot[63];
    }
    const size_t before = world.core->database().count();
    const unsigned calls = until_done([&] { return world.core->remove(slot(40)); });
    EXPECT_LT(calls, 2000u);
    // the far part of a long chain hangs in rings of its own: it goes with its memory
    until_done([&] { return world.core->revoke(world.ram()); });
    EXPECT_LT(world.core->database().count(), before - 1000);
    EXPECT_EQ(world.core->database().count(), 1u);
}

TEST_F(Bounds, ATreeOfFullCNodesGoesInSteps) {
    world.make(Kind::cnode, slot(40));
    for (Slot& place : world.core->cnode(slot(40)).slot) {
        world.make(Kind::cnode, place);
        for (Slot& inner : world.core->cnode(place).slot)
            World::must(world.core->copy(slot(s::quota), inner, abi::all_rights));
    }
    EXPECT_GT(until_done([&] { return world.core->remove(slot(40)); }), 4096 / 32u);
    EXPECT_TRUE(slot(40).empty());
}

TEST_F(Bounds, ManyLentFramesEndARevokeEarly) {
    for (int i = 0; i < 3000; ++i) {
        Slot& frame = world.make(Kind::frame, fresh(), page_bytes);
        World::must(world.core->lend(frame, fresh()));
    }
    until_done([&] { return world.core->revoke(world.ram()); }, Err::lent);
    EXPECT_GE(most, 1024u);
}

TEST_F(Bounds, AFullTableOfManyMappingsGoesInSteps) {
    world.make(Kind::page_table, slot(40));
    world.make(Kind::frame, slot(41), 512 * page_bytes);
    for (uint32_t i = 0; i < 512; ++i) {
        World::must(
            world.core->map(slot(40), slot(41), {i, i * page_bytes, abi::read, 0, 1}, fresh())
        );
    }
    EXPECT_GE(until_done([&] { return world.core->remove(slot(40)); }), 512 / 32u);
    EXPECT_EQ(world.core->database().descendant(slot(41)), nullptr);
}

TEST_F(Bounds, ManyFullMappingsOfOneFrameGoInSteps) {
    world.make(Kind::frame, slot(41), 512 * page_bytes);
    for (int i = 0; i < 100; ++i) {
        Slot& table = world.make(Kind::page_table, fresh());
        World::must(world.core->map(table, slot(41), {0, 0, abi::read, 0, 512}, fresh()));
    }
    // 512 entries count like 64 slots
    EXPECT_GE(until_done([&] { return world.core->remove(slot(41)); }), 100 * 64 / 1088u);
}

TEST_F(Bounds, ADeviceFrameGoesHoweverManyPartsOutliveIt) {
    Slot& device = fresh();
    World::must(
        world.core->insert_root(device, {Kind::device_frame, 0, 4096 * page_bytes, abi::all_rights})
    );
    for (uint64_t i = 0; i < 2000; ++i) {
        Slot& part = fresh();
        World::must(
            world.core->retype(device, Kind::device_frame, i * page_bytes, page_bytes, {&part, 1})
        );
    }
    EXPECT_EQ(until_done([&] { return world.core->remove(device); }), 1u);
}

TEST_F(Bounds, ARetypeMakesSixteenAtMost) {
    std::array<Slot, abi::retype_most + 1> parts{};
    Slot& ram = world.make(Kind::ram, fresh(), parts.size() * page_bytes);
    const auto refused = world.core->retype(ram, Kind::frame, 0, page_bytes, parts);
    EXPECT_EQ(refused.error().top(), Err::bad_argument);
    const size_t before = world.core->database().count();
    const std::span most = std::span{parts}.first(abi::retype_most);
    EXPECT_TRUE(world.core->retype(ram, Kind::frame, 0, page_bytes, most));
    EXPECT_EQ(world.core->database().count(), before + 16);
    for (Slot& part : most)
        World::must(world.core->remove(part));
}

TEST_F(Bounds, ADeviceFrameIsNotRetypedWhereItIsMappedOrMappedTooOften) {
    constexpr uint64_t tables = 3, entries = tables * kernel::table_entries;
    Slot& device = fresh();
    World::must(
        world.core->insert_root(device, {Kind::device_frame, 0, 4096 * page_bytes, abi::all_rights})
    );
    Slot* table = nullptr;
    std::vector<Slot*> mapped;
    for (uint64_t i = 0; i < entries; ++i) {
        if (i % kernel::table_entries == 0) table = &world.make(Kind::page_table, fresh());
        const auto entry = static_cast<uint32_t>(i % kernel::table_entries);
        const kernel::MapRequest page{entry, i * page_bytes, abi::read, 0, 1};
        World::must(world.core->map(*table, device, page, *mapped.emplace_back(&fresh())));
    }
    const auto retype = [&](uint64_t offset) -> Result<> {
        Slot& part = fresh();
        TRY_VOID(world.core->retype(device, Kind::device_frame, offset, page_bytes, {&part, 1}));
        return world.core->remove(part);
    };
    const uint64_t beyond = entries * page_bytes;
    EXPECT_FALSE(retype(beyond));
    for (uint64_t i = 1024; i < entries; ++i)
        World::must(world.core->remove(*mapped[i]));
    EXPECT_TRUE(retype(beyond));
    EXPECT_FALSE(retype(0));
    World::must(world.core->remove(*mapped[0]));
    EXPECT_TRUE(retype(0));
    until_done([&] { return world.core->remove(device); });
}

// ------------------------------------------------------------------------------------------
// vectors

TEST(VectorsBound, AVectorWakesThirtyTwoAtMost) {
    kernel::Vectors vectors;
    constexpr size_t places = 128 * kernel::most_sharers;
    const auto dispatchers = std::make_unique<kernel::Dispatcher[]>(places + 1);
    for (size_t i = 0; i < places; ++i)
        ASSERT_TRUE(vectors.join(dispatchers[i]));
    EXPECT_EQ(vectors.dispatchers_joined(), places);
    EXPECT_FALSE(vectors.join(dispatchers[places]));
    size_t most = 0;
    for (unsigned vector = kernel::first_remote_vector; vector <= kernel::last_vector; ++vector) {
        size_t sharers = 0;
        for (kernel::Dispatcher& d : *vectors.sharers(static_cast<uint8_t>(vector))) {
            (void)d;
            ++sharers;
        }
        most = std::max(most, sharers);
    }
    EXPECT_EQ(most, kernel::most_sharers);
    vectors.leave(dispatchers[17]);
    ASSERT_TRUE(vectors.join(dispatchers[places])); // where there is room again
    EXPECT_EQ(dispatchers[places].ipi_vector, kernel::first_remote_vector + 17);
    for (size_t i = 0; i <= places; ++i)
        vectors.leave(dispatchers[i]);
    EXPECT_EQ(vectors.dispatchers_joined(), 0u);
}

} // namespace
