#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/async/fake_waiter.hpp"

namespace {

using async::result_of;
using async::Task;

struct LoopTest : testing::Test, TestLoop {
    std::string trace;
    Instant start = loop.now();

    void spawn(Task<> task) {
        ASSERT_TRUE(loop.spawn("test", [&] { return std::move(task); }));
    }

    Task<> say(Duration after, char letter) {
        co_await loop.sleep_for(after);
        trace += letter;
        co_return {};
    }
};

TEST_F(LoopTest, TimersFireInOrderAndNotEarly) {
    spawn(say(milliseconds(30), 'c'));
    spawn(say(milliseconds(10), 'a'));
    spawn(say(milliseconds(20), 'b'));
    loop.run();
    EXPECT_EQ(trace, "abc");
    EXPECT_GE((loop.now() - start).ms(), 30);
    EXPECT_LE((loop.now() - start).ms(), 33);
}

TEST_F(LoopTest, AStopThatComesBeforeTheRunEndsIt) {
    const auto fails_at_once = [](LoopTest& t) -> Task<> {
        t.loop.stop();
        co_return fail(Err::quota);
    };
    spawn(say(milliseconds(10), 'a'));
    spawn(fails_at_once(*this));
    loop.run();
    EXPECT_EQ(trace, "");
    EXPECT_EQ(waiter.waits, 0);
    loop.run();
    EXPECT_EQ(trace, "a") << "and ends one run only";
}

TEST_F(LoopTest, SleepsOnlyWhenNothingIsLeftToDo) {
    const auto busy = [](LoopTest& t) -> Task<> {
        for (int i = 0; i < 100; ++i)
            co_await t.loop.yield();
        t.trace += 'x';
        co_return {};
    };
    spawn(busy(*this));
    loop.run();
    EXPECT_EQ(trace, "x");
    EXPECT_EQ(waiter.waits, 1) << "the sleep that ends the test";
}

TEST_F(LoopTest, TasksThatYieldTakeTurns) {
    const auto body = [](LoopTest& t, char letter) -> Task<> {
        for (int i = 0; i < 3; ++i) {
            t.trace += letter;
            co_await t.loop.yield();
        }
        co_return {};
    };
    spawn(body(*this, 'a'));
    spawn(body(*this, 'b'));
    loop.run();
    EXPECT_EQ(trace, "ababab");
}

TEST_F(LoopTest, AnEventStaysSetUntilTaken) {
    async::Event event{loop};
    const auto wait = [](LoopTest& t, async::Event& e, char letter) -> Task<> {
        co_await e.wait();
        t.trace += letter;
        co_return {};
    };
    event.set();
    event.set();
    spawn(wait(*this, event, 'a'));
    EXPECT_EQ(trace, "a") << "was set: no waiting";
    spawn(wait(*this, event, 'b'));
    loop.run();
    EXPECT_EQ(trace, "a") << "taken once";
    event.set();
    loop.run();
    EXPECT_EQ(trace, "ab");
}

TEST_F(LoopTest, AWaitMayTimeOut) {
    async::Event event{loop};
    const auto wait = [](LoopTest& t, async::Event& e, Duration d) -> Task<> {
        const auto r = co_await result_of(e.wait_until(t.loop.now() + d));
        t.trace += r ? 'e' : 't';
        co_return {};
    };
    spawn(wait(*this, event, milliseconds(5)));
    loop.run();
    EXPECT_EQ(trace, "t");
    spawn(wait(*this, event, milliseconds(50)));
    const auto set_later = [](LoopTest& t, async::Event& e) -> Task<> {
        co_await t.loop.sleep_for(milliseconds(5));
        e.set();
        co_return {};
    };
    spawn(set_later(*this, event));
    loop.run();
    EXPECT_EQ(trace, "te");
}

TEST_F(LoopTest, AnEventThatWokeACancelledTaskIsNotLost) {
    async::Event event{loop};
    const auto wait = [](async::Event& e) -> Task<> {
        co_await e.wait();
        co_return {};
    };
    {
        async::Job job;
        ASSERT_TRUE(job.start(wait(event)));
        event.set();
    }
    async::Job second;
    ASSERT_TRUE(second.start(wait(event)));
    EXPECT_FALSE(second.running());
}

TEST_F(LoopTest, ASignalWakesThoseWhoWaitAndNobodyElse) {
    async::Signal signal{loop};
    const auto wait = [](LoopTest& t, async::Signal& s, char letter) -> Task<> {
        const auto r = co_await result_of(s.wait());
        t.trace += r ? letter : '-';
        co_return {};
    };
    signal.notify();
    spawn(wait(*this, signal, 'a'));
    spawn(wait(*this, signal, 'b'));
    loop.run();
    EXPECT_EQ(trace, "");
    signal.notify();
    loop.run();
    EXPECT_EQ(trace, "ab");
    spawn(wait(*this, signal, 'c'));
    signal.fail(Err::peer_gone);
    loop.run();
    EXPECT_EQ(trace, "ab-");
}

TEST_F(LoopTest, ASemaphoreAdmitsInOrder) {
    async::Semaphore two{loop, 2};
    int inside = 0;
    const auto body = [](LoopTest& t, async::Semaphore& s, int& count, char letter) -> Task<> {
        const auto guard = co_await s.acquire();
        EXPECT_LE(++count, 2);
        t.trace += letter;
        co_await t.loop.sleep_for(milliseconds(letter == 'a' ? 30 : 10));
        --count;
        co_return {};
    };
    for (char letter : {'a', 'b', 'c', 'd', 'e'})
        spawn(body(*this, two, inside, letter));
    loop.run();
    EXPECT_EQ(trace, "abcde");
}

TEST_F(LoopTest, APermitGrantedToACancelledTaskGoesOn) {
    async::Semaphore one{loop, 1};
    const auto take = [](LoopTest& t, async::Semaphore& s) -> Task<> {
        const auto guard = co_await s.acquire();
        co_await t.loop.sleep_for(milliseconds(1));
        co_return {};
    };
    async::Job first, second, third;
    ASSERT_TRUE(first.start(take(*this, one)));
    ASSERT_TRUE(second.start(take(*this, one)));
    ASSERT_TRUE(third.start(take(*this, one)));
    first.cancel();  // the permit goes to the second, which has not run yet
    second.cancel(); // and so on to the third
    loop.run();
    EXPECT_FALSE(third.running());
}

TEST_F(LoopTest, ADoorbellsBitSetsItsEvent) {
    async::Event irq{loop};
    loop.bind(5, irq);
    waiter.plan(start + milliseconds(3), uint64_t{1} << 5 | uint64_t{1} << 9);
    const auto wait = [](LoopTest& t, async::Event& e) -> Task<> {
        co_await e.wait();
        t.trace += 'i';
        co_return {};
    };
    spawn(wait(*this, irq));
    loop.run();
    EXPECT_EQ(trace, "i");
}

TEST_F(LoopTest, HearsDoorbellsAlsoWhenItIsNeverIdle) {
    async::Event irq{loop};
    loop.bind(5, irq);
    waiter.plan(start, uint64_t{1} << 5);
    const auto wait = [](LoopTest& t, async::Event& e) -> Task<> {
        co_await e.wait();
        t.loop.stop();
        co_return {};
    };
    const auto work = [](LoopTest& t) -> Task<> {
        for (int turns = 0; turns < 10000; ++turns)
            co_await t.loop.yield();
        t.trace += "never";
        t.loop.stop();
        co_return {};
    };
    spawn(wait(*this, irq));
    spawn(work(*this));
    loop.run();
    EXPECT_EQ(trace, "");
}

/// A mailbox that "another core" fills.
struct FakeSource final : async::Source {
    explicit FakeSource(std::string& t) : trace{t} {}

    bool pump() override {
        if (mail == 0) return false;
        --mail;
        trace += 'm';
        if (on_pump) on_pump();
        return true;
    }

    bool ready() override {
        if (arrives_at_last_look) {
            arrives_at_last_look = false;
            ++mail;
        }
        return mail > 0;
    }

    void flush() override { ++flushes; }

    void arm(uint64_t epoch) override {
        EXPECT_GT(epoch, armed);
        armed = epoch;
    }

    void disarm() override { ++disarms; }

    std::string& trace;
    int mail{}, flushes{}, disarms{};
    uint64_t armed{};
    bool arrives_at_last_look{};
    std::function<void()> on_pump;
};

TEST_F(LoopTest, ASourceIsPumpedArmedAndLookedAtOnceMore) {
    FakeSource source{trace};
    loop.add(source);
    source.mail = 2;
    source.arrives_at_last_look = true;
    loop.run();
    EXPECT_EQ(trace, "mmm");
    EXPECT_EQ(waiter.waits, 1) << "what arrived at the last look kept it awake";
    EXPECT_EQ(source.armed, 2u);
    EXPECT_EQ(source.disarms, 2);
    EXPECT_GE(source.flushes, 3);
    loop.remove(source);
}

TEST_F(LoopTest, APumpMayRemoveAnySource) {
    FakeSource first{trace}, second{trace}, third{trace};
    for (FakeSource* s : {&first, &second, &third}) {
        loop.add(*s);
        s->mail = 1;
    }
    first.on_pump = [&] {
        loop.remove(second);
        loop.remove(first);
    };
    loop.run();
    EXPECT_EQ(trace, "mm");
    loop.remove(third);
}

/// A channel as the loop sees it: whoever is armed is rung for.
struct CoolSource final : async::Source {
    explicit CoolSource(FakeWaiter& w) : waiter{w} {}

    bool pump() override {
        ++touched;
        if (mail == 0) return false;
        --mail;
        ++got;
        quiet = false;
        return true;
    }

    bool ready() override {
        ++touched;
        if (arrives_at_look > 0 && --arrives_at_look == 0) send();
        return mail > 0;
    }

    void flush() override {}

    void arm(uint64_t e) override { epoch = e; }

    void disarm() override {
        epoch = 0;
        if (on_wake && !waiter.none_planned()) on_wake();
    }

    bool cools() override { return std::exchange(quiet, true); }

    /// What a peer does.
    void send() {
        ++mail;
        if (epoch == 0 || epoch == rung) return;
        rung = epoch;
        ++rings;
        waiter.plan(waiter.now(), 1);
    }

    FakeWaiter& waiter;
    std::function<void()> on_wake;
    int mail{}, got{}, rings{}, touched{}, arrives_at_look{};
    uint64_t epoch{}, rung{};
    bool quiet{};
};

struct HotAndCold : TestLoop {
    explicit HotAndCold(size_t count) {
        for (size_t i = 0; i < count; ++i)
            loop.add(*channels.emplace_back(std::make_unique<CoolSource>(waiter)));
    }

    ~HotAndCold() {
        for (const auto& channel : channels)
            loop.remove(*channel);
    }

    /// One message after another over one channel.
    void traffic(CoolSource& over, int messages) {
        for (int i = 0; i < messages; ++i) {
            over.send();
            loop.run();
        }
    }

    int touched() {
        int sum = 0;
        for (size_t i = 1; i < channels.size(); ++i)
            sum += std::exchange(channels[i]->touched, 0);
        return sum;
    }

    std::vector<std::unique_ptr<CoolSource>> channels;
};

TEST(LoopCold, FiveHundredQuietChannelsCostNothing) {
    HotAndCold t{500};
    CoolSource& hot = *t.channels[0];
    t.traffic(hot, 200);
    EXPECT_EQ(t.loop.cold_sources(), 499u);
    EXPECT_EQ(t.loop.hot_sources(), 1u);
    t.touched();
    // The loop is awake: nobody rings for what comes over the hot one.
    hot.mail = 1000;
    t.loop.run();
    EXPECT_EQ(hot.got, 1200);
    EXPECT_EQ(t.touched(), 0);
}

TEST(LoopCold, ARingLeadsToOneLookAtEach) {
    HotAndCold t{500};
    t.traffic(*t.channels[0], 200);
    t.touched();
    CoolSource& cold = *t.channels[77];
    cold.send();
    EXPECT_EQ(cold.rings, 1);
    t.loop.run();
    EXPECT_EQ(cold.got, 1);
    EXPECT_FALSE(cold.is_cold());
    EXPECT_LE(t.touched(), 499 + 4);
}

TEST(LoopCold, ARingIsHeardByWhoIsBusy) {
    HotAndCold t{3};
    t.traffic(*t.channels[0], 200);
    t.channels[0]->mail = 10'000;
    CoolSource& cold = *t.channels[1];
    cold.send();
    while (cold.got == 0 && t.channels[0]->mail > 0)
        t.loop.turn();
    EXPECT_EQ(cold.got, 0) << "turn() alone does not look: run() does";
    t.channels[0]->mail = 10'000;
    t.loop.run();
    EXPECT_EQ(cold.got, 1);
}

TEST(LoopCold, WhatComesWhileItCoolsIsNotLost) {
    for (int look = 1; look < 400; look += 7) {
        HotAndCold t{2};
        t.channels[1]->arrives_at_look = look;
        t.traffic(*t.channels[0], 400);
        EXPECT_EQ(t.channels[1]->got + t.channels[1]->mail, t.channels[1]->arrives_at_look == 0);
        EXPECT_EQ(t.channels[1]->mail, 0) << look;
    }
}

TEST(LoopTurns, ATurnThatLeavesNothingIsNotFollowedByAnother) {
    TestLoop t;
    CoolSource source{t.waiter};
    t.loop.add(source);
    source.send();
    t.loop.run();
    for (int i = 1; i <= 20; ++i)
        t.waiter.plan(t.waiter.now() + milliseconds(i), 1);
    source.mail = 0;
    source.on_wake = [&] { ++source.mail; };
    source.touched = 0;
    t.loop.run();
    EXPECT_EQ(source.got, 20) << "the last of those that wake it brings nothing";
    EXPECT_LE(source.touched, 2 * 20 + 4) << "pumped once, looked at once more, for each";
    t.loop.remove(source);
}

TEST(LoopTurns, WhoHasMuchToDoIsNotAskedForSleepInBetween) {
    TestLoop t;
    CoolSource source{t.waiter};
    t.loop.add(source);
    source.send();
    t.loop.run();
    source.touched = 0;
    source.mail = 1000;
    t.loop.run();
    EXPECT_LE(source.touched, 1000 + 4);
    t.loop.remove(source);
}

TEST(LoopCold, AColdOneMayGo) {
    HotAndCold t{3};
    t.traffic(*t.channels[0], 200);
    t.loop.remove(*t.channels[2]);
    t.channels.pop_back();
    EXPECT_EQ(t.loop.cold_sources(), 1u);
    t.loop.heat(*t.channels[1]);
    EXPECT_EQ(t.channels[1]->epoch, 0u);
    EXPECT_EQ(t.loop.cold_sources(), 0u);
}

/// A word in memory that "another core" writes while the loop polls.
struct PolledSource final : async::Source {
    std::atomic<uint64_t> word{};
    int messages{3}; // still to come
    int pumped{}, armings{};
    bool same_core{};
    std::function<void()> on_pump;

    bool pump() override {
        if (!ready()) return false;
        word = 0;
        ++pumped;
        if (on_pump) on_pump();
        return true;
    }

    bool ready() override { return uint16_t(word) == 1; }

    void flush() override {}

    void arm(uint64_t) override { ++armings; }

    void disarm() override {}

    Watch watch() override {
        if (messages > 0) {
            --messages;
            word = 0x7'0001;
        }
        return same_core ? Watch{} : Watch{&word, 1};
    }
};

TEST(LoopPolling, FindsAMessageWithoutTellingItsPeers) {
    TestLoop t{64 * 1024, 100};
    PolledSource source;
    t.loop.add(source);
    t.loop.run();
    EXPECT_EQ(source.pumped, 3);
    EXPECT_EQ(t.waiter.waits, 1);
    EXPECT_EQ(source.armings, 1) << "only when polling had found nothing";
    t.loop.remove(source);
}

TEST(LoopPolling, IsForOtherCoresOnly) {
    TestLoop t{64 * 1024, 100};
    PolledSource source;
    source.same_core = true;
    t.loop.add(source);
    t.loop.run();
    EXPECT_EQ(source.armings, 4) << "each message was found at the last look";
    t.loop.remove(source);
}

/// Of both kinds: a peer that answers while this polls, and one whose message is there at the last
/// look before each sleep.
class NeverQuiet : public testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(LoopPolling, NeverQuiet, testing::Bool());

TEST_P(NeverQuiet, KeepsNobodyElseFromBeingHeard) {
    TestLoop t{64 * 1024, 100};
    PolledSource talks;
    talks.same_core = GetParam();
    talks.messages = 1000;
    CoolSource cold{t.waiter};
    async::Event irq{t.loop};
    t.loop.bind(5, irq);
    int heard_event = 0, heard_cold = 0;
    const auto wait = [](async::Event& e, PolledSource& source, int& heard) -> Task<> {
        co_await e.wait();
        heard = source.pumped;
        co_return {};
    };
    ASSERT_TRUE(t.loop.spawn("wait", [&] { return wait(irq, talks, heard_event); }));
    talks.on_pump = [&] {
        if (talks.pumped == 300) {
            EXPECT_TRUE(cold.is_cold());
            cold.send();
            t.waiter.plan(t.waiter.now(), uint64_t{1} << 5);
        }
        if (cold.got == 1 && heard_cold == 0) heard_cold = talks.pumped;
    };
    t.loop.add(talks);
    t.loop.add(cold);
    t.loop.run();
    EXPECT_EQ(talks.pumped, 1000);
    for (const int heard : {heard_event, heard_cold}) {
        EXPECT_GE(heard, 300);
        EXPECT_LE(heard, 300 + 130) << "two looks";
    }
    t.loop.unbind(5);
    t.loop.remove(talks);
    t.loop.remove(cold);
}

TEST(LoopPolling, ABudgetOfZeroNeverPolls) {
    TestLoop t{64 * 1024, 0};
    PolledSource source;
    t.loop.add(source);
    t.loop.run();
    EXPECT_EQ(source.messages, 3) << "nobody even asked what to watch";
    t.loop.remove(source);
}

} // namespace
