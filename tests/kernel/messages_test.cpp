// Calls between two domains of one core.
#include <gtest/gtest.h>

#include "tests/kernel/check.hpp"
#include "tests/kernel/world.hpp"

namespace {

using namespace kernel_test;
namespace s = abi::slot;

constexpr uint64_t leaf_cap = s::leaf, self = s::dispatcher, gate = 20, gift = 21;
constexpr uint64_t accepts = abi::wait_accepts_calls;

class Messages : public testing::Test {
  protected:
    Messages() {
        server = world.make_domain(8);
        client = world.make_domain(8);
        world.connect(server, client, gate, 0xbad6e);
        World::must(world.core->copy(
            client.leaf->slot[s::quota], client.leaf->slot[gift], abi::read | abi::copy
        ));
        world.core->schedule();
    }

    ~Messages() override { EXPECT_EQ(database_trouble(world.core->database()), ""); }

    void server_waits(uint64_t flags = accepts) {
        ASSERT_EQ(world.core->current(), server.dispatcher);
        world.invoke(Op::wait, self, {0, flags});
    }

    void client_calls(uint64_t capability = 0) {
        ASSERT_EQ(world.core->current(), client.dispatcher);
        world.invoke(Op::call, gate, {capability, 11, 12, 13, 14, 15, 16});
    }

    void switch_to(const Domain& domain) {
        while (world.core->current() != domain.dispatcher)
            world.invoke(Op::yield, self);
    }

    static void expect_words(const Dispatcher& d, uint64_t first) {
        for (size_t i = 1; i < 7; ++i)
            EXPECT_EQ(World::value(d, i), first + i - 1);
    }

    World world;
    Domain server, client;
};

TEST_F(Messages, ACallToAWaitingReceiverSwitchesToIt) {
    server_waits();
    client_calls();
    EXPECT_EQ(world.core->current(), server.dispatcher);
    EXPECT_EQ(client.dispatcher->state, State::called);
    EXPECT_EQ(World::status(*server.dispatcher), Err::none);
    EXPECT_EQ(server.dispatcher->registers.rdi, 0xbad6eu);
    EXPECT_EQ(World::value(*server.dispatcher, 0), 1u);
    expect_words(*server.dispatcher, 11);
}

TEST_F(Messages, TheCallersTimePaysForTheCallAndWhatItCalls) {
    server_waits();
    world.machine.time = world.machine.time + milliseconds(1);
    client_calls();
    world.machine.time = world.machine.time + milliseconds(2);
    world.invoke(Op::reply_wait, self);
    world.machine.time = world.machine.time + milliseconds(4);
    const uint64_t before = server.dispatcher->busy_ticks;
    world.invoke(Op::dispatcher_stop, self);
    EXPECT_EQ(server.dispatcher->busy_ticks, before);
    EXPECT_EQ(world.machine.duration(client.dispatcher->busy_ticks), milliseconds(7));
}

TEST_F(Messages, WhoLostTheCoreWhileItWorkedPaysForTheRest) {
    server_waits();
    client_calls();
    Domain high = world.make_domain(20);
    world.core->schedule();
    ASSERT_EQ(world.core->current(), high.dispatcher);
    world.invoke(Op::dispatcher_stop, self);
    ASSERT_EQ(world.core->current(), server.dispatcher);
    const uint64_t paid = client.dispatcher->busy_ticks;
    world.machine.time = world.machine.time + milliseconds(2);
    world.invoke(Op::reply_wait, self);
    EXPECT_EQ(world.core->current(), client.dispatcher);
    EXPECT_EQ(client.dispatcher->busy_ticks, paid);
    EXPECT_EQ(world.machine.duration(server.dispatcher->busy_ticks), milliseconds(2));
    world.machine.time = world.machine.time + milliseconds(3);
    world.invoke(Op::dispatcher_stop, self);
    EXPECT_EQ(world.machine.duration(client.dispatcher->busy_ticks - paid), milliseconds(3));
}

TEST_F(Messages, AnAnswerDoesNotPassWhoIsReadyBetween) {
    World::must(world.core->set_priority(*server.dispatcher, 12, Duration{}));
    world.core->schedule();
    server_waits();
    client_calls();
    Domain between = world.make_domain(10);
    ASSERT_EQ(world.core->schedule(), server.dispatcher);
    world.invoke(Op::reply_wait, self, {0, 21, 22, 23, 24, 25, 26});
    EXPECT_EQ(world.core->current(), between.dispatcher);
    world.invoke(Op::dispatcher_stop, self);
    EXPECT_EQ(world.core->current(), client.dispatcher);
    expect_words(*client.dispatcher, 21);
}

TEST_F(Messages, ReplyWaitAnswersAndSwitchesBack) {
    server_waits();
    client_calls();
    world.invoke(Op::reply_wait, self, {0, 21, 22, 23, 24, 25, 26});
    EXPECT_EQ(world.core->current(), client.dispatcher);
    EXPECT_EQ(World::status(*client.dispatcher), Err::none);
    EXPECT_EQ(World::value(*client.dispatcher, 0), 0u);
    expect_words(*client.dispatcher, 21);
    EXPECT_EQ(server.dispatcher->state, State::waiting);
    client_calls();
    EXPECT_EQ(world.core->current(), server.dispatcher);
}

TEST_F(Messages, ReplyLetsTheServerGoOn) {
    server_waits();
    client_calls();
    Dispatcher& d = world.invoke(Op::reply, self, {0, 21, 22, 23, 24, 25, 26});
    EXPECT_EQ(&d, server.dispatcher);
    EXPECT_EQ(world.core->current(), server.dispatcher);
    EXPECT_EQ(World::status(d), Err::none);
    EXPECT_EQ(client.dispatcher->state, State::runnable);
    expect_words(*client.dispatcher, 21);
}

TEST_F(Messages, ACallToABusyReceiverQueuesInOrder) {
    Domain second = world.make_domain(8);
    world.connect(server, second, gate, 2);
    switch_to(client);
    client_calls();
    EXPECT_EQ(client.dispatcher->state, State::queued);
    switch_to(second);
    world.invoke(Op::call, gate, {0, 31});
    ASSERT_EQ(world.core->current(), server.dispatcher);
    Dispatcher& d = world.invoke(Op::wait, self, {0, accepts});
    EXPECT_EQ(d.registers.rdi, 0xbad6eu);
    expect_words(d, 11);
    world.invoke(Op::reply_wait, self, {0});
    EXPECT_EQ(server.dispatcher->registers.rdi, 2u);
    EXPECT_EQ(World::value(*server.dispatcher, 1), 31u);
}

TEST_F(Messages, WithoutAcceptingNoCallIsDelivered) {
    server_waits(0);
    client_calls();
    EXPECT_EQ(client.dispatcher->state, State::queued);
    EXPECT_EQ(world.core->current(), nullptr);
    EXPECT_EQ(server.dispatcher->state, State::waiting);
}

TEST_F(Messages, EventsComeBeforeCalls) {
    switch_to(client);
    client_calls();
    server.page->pending = 4;
    Dispatcher& d = world.invoke(Op::wait, self, {0, accepts});
    EXPECT_EQ(World::value(d, 0), 0u);
    EXPECT_EQ(World::value(d, 1), 4u);
    world.invoke(Op::wait, self, {0, accepts});
    EXPECT_EQ(World::value(d, 0), 1u);
}

TEST_F(Messages, ADeadlineIsForgottenWhenAMessageComes) {
    world.invoke(Op::wait, self, {50'000, accepts});
    EXPECT_NE(world.core->next_deadline(), never);
    client_calls();
    world.invoke(Op::dispatcher_stop, self);
    EXPECT_FALSE(server.dispatcher->deadline_set);
}

TEST_F(Messages, TheCallRunsOnTheCallersSlice) {
    server_waits();
    world.make_domain(8);
    ASSERT_EQ(world.core->current(), client.dispatcher);
    const auto end = world.core->next_deadline();
    ASSERT_NE(end, never);
    world.machine.time = world.machine.time + kernel::default_slice / 2;
    client_calls();
    EXPECT_EQ(world.core->current(), server.dispatcher);
    EXPECT_EQ(world.core->next_deadline(), end);
}

TEST_F(Messages, AServerOfLowerPriorityRunsWhenNothingHigherDoes) {
    server_waits();
    ASSERT_EQ(world.call(Op::dispatcher_priority, self, {8, 0}), Err::none);
    World::must(world.core->set_priority(*server.dispatcher, 2, Duration{}));
    Domain middle = world.make_domain(5);
    client_calls();
    EXPECT_EQ(world.core->current(), middle.dispatcher);
    world.invoke(Op::dispatcher_stop, self);
    EXPECT_EQ(world.core->current(), server.dispatcher);
    expect_words(*server.dispatcher, 11);
}

TEST_F(Messages, OneCannotCallOneself) {
    World::must(
        world.core->make_endpoint(server.leaf->slot[s::dispatcher], server.leaf->slot[gate], 0)
    );
    EXPECT_EQ(world.call(Op::call, gate), Err::bad_state);
}

TEST_F(Messages, CallsToTheDeadAndTheUnbornFailAtOnce) {
    server_waits();
    World::must(world.core->stop(*server.dispatcher));
    client_calls();
    EXPECT_EQ(client.dispatcher->state, State::queued); // it may still start
    World fresh;
    Domain caller = fresh.make_domain();
    fresh.make(Kind::dispatcher, caller.leaf->slot[30]);
    World::must(fresh.core->make_endpoint(caller.leaf->slot[30], caller.leaf->slot[31], 0));
    fresh.core->schedule();
    EXPECT_EQ(fresh.call(Op::call, 31), Err::not_configured);
}

TEST_F(Messages, ReplyWithoutACallerFails) {
    EXPECT_EQ(world.call(Op::reply, self, {0, 1}), Err::peer_gone);
    world.invoke(Op::reply_wait, self, {0, 1});
    EXPECT_EQ(server.dispatcher->state, State::waiting);
}

TEST_F(Messages, TakingTheNextMessageWithoutReplyingSendsTheFirstCallerHome) {
    server_waits();
    client_calls();
    Domain second = world.make_domain(8);
    world.connect(server, second, gate, 2);
    world.invoke(Op::wait, self, {0, accepts});
    ASSERT_EQ(world.core->current(), second.dispatcher);
    world.invoke(Op::call, gate, {0, 1});
    EXPECT_EQ(client.dispatcher->state, State::runnable);
    EXPECT_EQ(World::status(*client.dispatcher), Err::peer_gone);
    EXPECT_EQ(server.dispatcher->caller, second.dispatcher);
}

TEST_F(Messages, WhenTheServerStopsItsCallersGoHome) {
    server_waits();
    client_calls();
    Domain second = world.make_domain(9);
    world.connect(server, second, gate, 2);
    world.core->schedule();
    world.invoke(Op::call, gate, {0, 1});
    ASSERT_EQ(second.dispatcher->state, State::queued);
    ASSERT_EQ(world.core->current(), server.dispatcher);
    world.invoke(Op::dispatcher_stop, self);
    for (const Domain& d : {client, second}) {
        EXPECT_EQ(d.dispatcher->state, State::runnable);
        EXPECT_EQ(World::status(*d.dispatcher), Err::peer_gone);
    }
}

TEST_F(Messages, WhenTheCallerStopsTheServerHasNobodyToAnswer) {
    server_waits();
    client_calls();
    World::must(world.core->stop(*client.dispatcher));
    EXPECT_EQ(world.call(Op::reply, self, {0, 1}), Err::peer_gone);
    EXPECT_EQ(client.dispatcher->state, State::stopped);
}

TEST_F(Messages, AQueuedCallerThatStopsLeavesTheQueue) {
    switch_to(client);
    client_calls();
    World::must(world.core->stop(*client.dispatcher));
    EXPECT_TRUE(server.dispatcher->callers.empty());
}

// --- capabilities in messages
// ----------------------------------------------------------------------

TEST_F(Messages, ACapabilityIsCopiedIntoTheReceiveSlot) {
    server_waits();
    client_calls(gift);
    EXPECT_EQ(World::value(*server.dispatcher, 0), 1u | abi::woke_with_capability);
    const Slot& received = server.leaf->slot[s::receive];
    EXPECT_TRUE(kernel::same_object(received, client.leaf->slot[gift]));
    EXPECT_EQ(received.rights, abi::read | abi::copy);
}

TEST_F(Messages, GivingEmptiesTheSendersSlot) {
    server_waits();
    client_calls(gift | abi::give_capability);
    EXPECT_TRUE(client.leaf->slot[gift].empty());
    EXPECT_FALSE(server.leaf->slot[s::receive].empty());
}

TEST_F(Messages, TheReceiveSlotIsTheOneOfTheLastWait) {
    world.invoke(Op::wait, self, {0, abi::wait_polls, leaf_cap, 33});
    world.invoke(Op::wait, self, {0, accepts});
    client_calls(gift);
    EXPECT_FALSE(server.leaf->slot[33].empty());
}

TEST_F(Messages, AnOccupiedReceiveSlotIsTheCallersError) {
    World::must(
        world.core->copy(server.leaf->slot[s::quota], server.leaf->slot[s::receive], abi::read)
    );
    server_waits();
    client_calls(gift);
    EXPECT_EQ(World::status(*client.dispatcher), Err::slot_occupied);
    EXPECT_EQ(world.core->current(), client.dispatcher);
    EXPECT_EQ(server.dispatcher->state, State::waiting);
}

TEST_F(Messages, SendingWhatOneMayNotSendFails) {
    server_waits();
    client.leaf->slot[gift].rights = abi::read;
    client_calls(gift);
    EXPECT_EQ(World::status(*client.dispatcher), Err::cap_rights);
    client_calls(19);
    EXPECT_EQ(World::status(*client.dispatcher), Err::cap_empty);
    client_calls(uint64_t{1} << 40 | gift);
    EXPECT_EQ(World::status(*client.dispatcher), Err::bad_argument);
    client.root->slot[0].rights = abi::read;
    client_calls(gift | abi::give_capability);
    EXPECT_EQ(World::status(*client.dispatcher), Err::cap_rights);
    EXPECT_EQ(server.dispatcher->state, State::waiting);
}

TEST_F(Messages, AQueuedCallWhoseCapabilityIsGoneGoesHomeAndTheNextIsTaken) {
    Domain second = world.make_domain(8);
    world.connect(server, second, gate, 2);
    switch_to(client);
    client_calls(gift);
    switch_to(second);
    world.invoke(Op::call, gate, {0, 31});
    World::must(world.core->remove(client.leaf->slot[gift]));
    Dispatcher& d = world.invoke(Op::wait, self, {0, accepts});
    EXPECT_EQ(d.registers.rdi, 2u);
    EXPECT_EQ(World::status(*client.dispatcher), Err::cap_empty);
    EXPECT_EQ(client.dispatcher->state, State::runnable);
}

TEST_F(Messages, AReplyBringsACapabilityToTheClientsReceiveSlot) {
    server_waits();
    client_calls();
    world.invoke(Op::reply_wait, self, {s::quota, 21});
    EXPECT_EQ(World::value(*client.dispatcher, 0), 1u);
    EXPECT_EQ(World::value(*client.dispatcher, 1), 21u);
    EXPECT_EQ(client.leaf->slot[s::receive].base, server.quota);
}

TEST_F(Messages, AClientWithoutRoomGetsTheErrorAndTheServerGoesOn) {
    World::must(
        world.core->copy(client.leaf->slot[s::quota], client.leaf->slot[s::receive], abi::read)
    );
    server_waits();
    client_calls();
    world.invoke(Op::reply_wait, self, {s::quota | abi::give_capability, 21});
    EXPECT_EQ(World::status(*client.dispatcher), Err::slot_occupied);
    EXPECT_EQ(World::value(*client.dispatcher, 1), 0u);
    EXPECT_FALSE(server.leaf->slot[s::quota].empty());
    EXPECT_EQ(server.dispatcher->state, State::waiting);
}

TEST_F(Messages, AReplyThatCannotBeSentChangesNothing) {
    server_waits();
    client_calls();
    EXPECT_EQ(world.call(Op::reply_wait, self, {19, 21}), Err::cap_empty);
    EXPECT_EQ(client.dispatcher->state, State::called);
    EXPECT_EQ(server.dispatcher->caller, client.dispatcher);
    EXPECT_EQ(world.call(Op::reply, self, {0, 21}), Err::none);
}

TEST_F(Messages, RevokingTheReceiversCNodeDoesNotLeaveADanglingReceiver) {
    server_waits();
    World::must(world.core->copy(server.leaf->slot[s::root], client.leaf->slot[30], abi::all_rights)
    );
    ASSERT_EQ(world.call(Op::cnode_revoke, leaf_cap, {30}), Err::none);
    EXPECT_EQ(server.dispatcher->state, State::unconfigured);
    client_calls(gift);
    EXPECT_EQ(World::status(*client.dispatcher), Err::not_configured);
}

} // namespace
