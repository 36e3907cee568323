// The channel's own code and the loop's own last look, in every order a store buffer allows.
#include "tests/support/interleaving.hpp"

#include <gtest/gtest.h>

#include <array>

#include "lib/async/sleep.hpp"
#include "lib/ump/endpoint.hpp"

namespace {

using interleaving::ModelBell;
using interleaving::ModelWord;
using interleaving::Operation;
using interleaving::Replay;

enum class Leave { nothing, publish_fence, arm_fence };

template <Leave leave_out, bool with_payload = true>
struct ModelMemory {
    using Word = ModelWord;
    using Payload = ModelWord; // one word of the payload stands for all

    static uint64_t load(const Word& w) {
        return Replay::perform({Operation::Kind::load, w.address});
    }

    static void store(Word& w, uint64_t value) {
        Replay::perform({Operation::Kind::store, w.address, value});
    }

    static void write(Payload& to, const ump::Body& from) {
        if (with_payload) store(to, from[0]);
    }

    static void read(const Payload& from, ump::Body& to) { to = {with_payload ? load(from) : 0}; }

    static void fence_after_publish() {
        if (leave_out != Leave::publish_fence) Replay::perform({Operation::Kind::fence});
    }

    static void fence_after_arm() {
        if (leave_out != Leave::arm_fence) Replay::perform({Operation::Kind::fence});
    }
};

constexpr size_t lines = 4;

/// A channel in model memory; thread 0 is the client, thread 1 the server.
template <class Memory>
class ModelChannel {
  public:
    using Endpoint = ump::BasicEndpoint<Memory>;

    explicit ModelChannel(size_t first_address = 0) : next_{first_address} {
        for (auto* ring : {&up_, &down_})
            for (auto& line : *ring)
                line = {{next_++}, {next_++}};
        for (auto* control : {&client_, &server_})
            *control = {{next_++}, {next_++}, {}};
    }

    size_t words() const { return next_; }

    Endpoint client() { return Endpoint{{up_, down_, &client_, &server_}}; }

    Endpoint server() { return Endpoint{{down_, up_, &server_, &client_}}; }

  private:
    size_t next_;
    std::array<ump::BasicLine<Memory>, lines> up_, down_;
    ump::BasicControlLine<Memory> client_, server_;
};

/// An end as the event loop sees it.
template <class Memory>
struct Source {
    ump::BasicEndpoint<Memory>& end;
    bool wants_credit{};

    void arm(uint64_t epoch) { end.arm(epoch); }

    bool ready() { return end.has_message() || (wants_credit && end.has_credit()); }
};

template <class Memory>
void sleep(std::span<Source<Memory>> sources, uint64_t epoch) {
    if (async::nothing_to_do(sources, epoch, [] { Memory::fence_after_arm(); }))
        interleaving::block();
    for (auto& source : sources)
        source.end.disarm();
}

template <class Memory>
void send(ModelChannel<Memory>& channel, int count, bool in_one_batch) {
    auto end = channel.client();
    ModelBell bell{1};
    std::array<Source<Memory>, 1> sources{{{end, true}}};
    uint64_t epoch = 0;
    for (int sent = 0; sent < count;) {
        if (end.try_send(1, 0, {uint64_t(sent + 1)})) {
            if (++sent < count && in_one_batch) continue;
            end.notify(bell);
        } else {
            end.notify(bell);
            sleep<Memory>(sources, ++epoch);
        }
    }
}

template <class Memory>
void receive(ModelChannel<Memory>& channel, int count) {
    auto end = channel.server();
    ModelBell bell{0};
    std::array<Source<Memory>, 1> sources{{{end}}};
    uint64_t epoch = 0;
    for (int got = 0; got < count;) {
        if (ump::Message message; end.try_recv(message)) {
            const uint64_t value = message.body[0];
            ++got;
            if (value != 0 && value != uint64_t(got)) interleaving::block(); // stuck: never rung
            end.notify(bell);
        } else {
            sleep<Memory>(sources, ++epoch);
        }
    }
}

template <Leave leave_out, bool with_payload = true>
interleaving::Outcome explore(int count, bool in_one_batch = false) {
    using Memory = ModelMemory<leave_out, with_payload>;
    ModelChannel<Memory> channel;
    interleaving::Explorer explorer{
        channel.words(),
        {[&] { send(channel, count, in_one_batch); }, [&] { receive(channel, count); }}
    };
    return explorer.run();
}

TEST(SleepProtocol, LosesNoWakeUpInAnyOrder) {
    for (int count : {1, 2, 3}) {
        const auto outcome = explore<Leave::nothing>(count);
        EXPECT_FALSE(outcome.stuck) << outcome.trace;
        std::printf("%d messages: %zu states\n", count, outcome.states);
    }
}

TEST(SleepProtocol, WaitsForCreditWithoutLosingItsWakeUp) {
    const auto outcome = explore<Leave::nothing, false>(4, true); // the ring takes three
    EXPECT_FALSE(outcome.stuck) << outcome.trace;
    std::printf("4 messages: %zu states\n", outcome.states);
}

TEST(SleepProtocol, LosesOneWithoutTheSendersFence) {
    const auto outcome = explore<Leave::publish_fence>(1);
    EXPECT_TRUE(outcome.stuck);
    std::printf("lost by%s\n", outcome.trace.c_str());
}

TEST(SleepProtocol, LosesOneWithoutTheSleepersFence) {
    const auto outcome = explore<Leave::arm_fence>(1);
    EXPECT_TRUE(outcome.stuck);
    std::printf("lost by%s\n", outcome.trace.c_str());
}

/// Two senders, one sleeper with a channel from each: one fence serves all channels.
template <Leave leave_out>
interleaving::Outcome explore_two_channels() {
    using Memory = ModelMemory<leave_out>;
    ModelChannel<Memory> first, second{first.words()};
    const auto serve = [&] {
        auto one = first.server(), two = second.server();
        std::array<Source<Memory>, 2> sources{{{one}, {two}}};
        uint64_t epoch = 0;
        for (int got = 0; got < 2;) {
            const int before = got;
            for (auto* end : {&one, &two})
                if (ump::Message message; end->try_recv(message)) ++got;
            if (got == before) sleep<Memory>(sources, ++epoch);
        }
    };
    const auto send_one = [](ModelChannel<Memory>& channel) {
        auto end = channel.client();
        ModelBell bell{1};
        if (end.try_send(1, 0, {1})) end.notify(bell);
    };
    interleaving::Explorer explorer{
        second.words(), {[&] { send_one(first); }, serve, [&] { send_one(second); }}
    };
    return explorer.run();
}

TEST(SleepProtocol, OneSleeperWatchesTwoChannels) {
    const auto outcome = explore_two_channels<Leave::nothing>();
    EXPECT_FALSE(outcome.stuck) << outcome.trace;
    std::printf("2 channels: %zu states\n", outcome.states);
    EXPECT_TRUE(explore_two_channels<Leave::publish_fence>().stuck);
    EXPECT_TRUE(explore_two_channels<Leave::arm_fence>().stuck);
}

/// A receiver that is awake, but looks at this channel only when rung: as async::Loop::cool_down
/// and look_at_cold do it. It is hot for `hot_looks` looks after each message.
enum class Mutant { none, no_second_look, same_epoch, keeps_epoch };

template <Leave leave_out, Mutant mutant = Mutant::none>
interleaving::Outcome explore_cold(int count, int hot_looks) {
    using Memory = ModelMemory<leave_out, false>;
    ModelChannel<Memory> channel;
    const auto cold_server = [&] {
        auto end = channel.server();
        uint64_t epoch = 0;
        int got = 0;
        const auto take = [&] {
            ump::Message message;
            const bool there = end.try_recv(message);
            got += there;
            return there;
        };
        while (got < count) {
            // Hot: disarmed, so that nobody rings.
            for (int look = 0; look < hot_looks && got < count; ++look)
                take();
            if (got == count) break;
            const auto arm = [&] {
                if (mutant != Mutant::same_epoch || epoch == 0) ++epoch;
                end.arm(epoch);
                Memory::fence_after_arm();
            };
            arm();
            // Cold: armed. Rings are all that is heard; some are for what was read already.
            while ((mutant == Mutant::no_second_look && epoch == 1) || !end.has_message()) {
                interleaving::block();
                if (mutant != Mutant::keeps_epoch) arm();
            }
            end.disarm();
            take();
        }
    };
    const auto client = [&] {
        auto end = channel.client();
        ModelBell bell{1};
        for (int sent = 0; sent < count; ++sent) {
            (void)end.try_send(1, 0, {1});
            end.notify(bell);
        }
    };
    interleaving::Explorer explorer{channel.words(), {client, cold_server}};
    return explorer.run();
}

TEST(ColdChannel, LosesNoMessageInAnyOrder) {
    for (int hot_looks : {0, 1}) {
        const auto outcome = explore_cold<Leave::nothing>(3, hot_looks);
        EXPECT_FALSE(outcome.stuck) << outcome.trace;
        std::printf("%d hot looks: %zu states\n", hot_looks, outcome.states);
    }
}

TEST(ColdChannel, NeedsBothFencesTheSecondLookAndAnEpochOfItsOwn) {
    EXPECT_TRUE((explore_cold<Leave::publish_fence>(2, 0).stuck));
    EXPECT_TRUE((explore_cold<Leave::arm_fence>(2, 0).stuck));
    EXPECT_TRUE((explore_cold<Leave::nothing, Mutant::no_second_look>(2, 0).stuck));
    EXPECT_TRUE((explore_cold<Leave::nothing, Mutant::same_epoch>(3, 0).stuck));
    EXPECT_TRUE((explore_cold<Leave::nothing, Mutant::keeps_epoch>(3, 0).stuck));
}

/// Each side sends something, then ends; both hear all of it, then the end, asleep or not.
TEST(OrderlyEnd, IsHeardByBothAfterTheLastMessageInAnyOrder) {
    using Memory = ModelMemory<Leave::nothing, false>;
    ModelChannel<Memory> channel;
    const auto side = [](auto end, size_t peer, int sends, int awaits) {
        ModelBell bell{peer};
        for (int i = 0; i < sends; ++i)
            (void)end.try_send(1, 0, {1});
        end.end();
        end.notify(bell);
        std::array<Source<Memory>, 1> sources{{{end}}};
        uint64_t epoch = 0;
        int got = 0;
        while (!end.closed()) {
            ump::Message message;
            if (end.try_recv(message))
                ++got;
            else if (!end.closed())
                sleep<Memory>(sources, ++epoch);
        }
        if (got != awaits) interleaving::block(); // stuck: never rung
    };
    interleaving::Explorer explorer{
        channel.words(),
        {[&] { side(channel.client(), 1, 1, 0); }, [&] { side(channel.server(), 0, 0, 1); }}
    };
    const auto outcome = explorer.run();
    EXPECT_FALSE(outcome.stuck) << outcome.trace;
    std::printf("orderly end: %zu states\n", outcome.states);
}

TEST(Interleaving, FindsTheOrderThatDekkerNeedsFencesFor) {
    // The checker itself: without fences both threads can miss the other's store.
    for (bool fences : {true, false}) {
        ModelWord x{0}, y{1};
        const auto thread = [fences](ModelWord own, ModelWord other) {
            Replay::perform({Operation::Kind::store, own.address, 1});
            if (fences) Replay::perform({Operation::Kind::fence});
            if (Replay::perform({Operation::Kind::load, other.address}) == 0) interleaving::block();
        };
        interleaving::Explorer explorer{2, {[&] { thread(x, y); }, [&] { thread(y, x); }}};
        // One of the two may block for ever; both only without fences. A blocked pair shows as a
        // trace with two loads of 0: count them by letting each ring the other when it passes.
        const auto ringing = [&](ModelWord own, ModelWord other, size_t peer) {
            thread(own, other);
            ModelBell{peer}.ring();
        };
        interleaving::Explorer pair{2, {[&] { ringing(x, y, 1); }, [&] { ringing(y, x, 0); }}};
        EXPECT_EQ(pair.run().stuck, !fences);
        EXPECT_TRUE(explorer.run().stuck);
    }
}

} // namespace
