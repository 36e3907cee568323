#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/async/fake_waiter.hpp"

namespace {

using async::result_of;
using async::Task;

struct Tasks : testing::Test, TestLoop {
    std::string trace;

    struct Mark {
        std::string& trace;
        char letter;

        ~Mark() { trace += letter; }
    };

    Result<> run(Task<> task) {
        const auto started = loop.spawn("test", [&] { return std::move(task); });
        loop.run();
        EXPECT_EQ(loop.pool().used(), 0u) << "no frame is left over";
        return started;
    }

    Task<int> value(int v) { co_return v; }

    Task<int> later(int v) {
        co_await loop.sleep_for(milliseconds(10));
        co_return v;
    }

    Task<int> refuse(Err e, bool wait) {
        const Mark mark{trace, 'r'};
        if (wait) co_await loop.sleep_for(milliseconds(1));
        co_return fail(e);
    }

    Task<int> pass_on(Err e, bool wait) {
        const Mark mark{trace, 'p'};
        const int v = co_await refuse(e, wait);
        trace += "never";
        co_return v;
    }

    Task<> keep(Task<int> task, std::vector<int>& values) {
        values.push_back(co_await std::move(task));
        co_return {};
    }
};

TEST_F(Tasks, GiveTheirValueAtOnceOrLater) {
    std::vector<int> values;
    ASSERT_TRUE(run(keep(value(3), values)));
    ASSERT_TRUE(run(keep(later(4), values)));
    EXPECT_EQ(values, (std::vector{3, 4}));
}

TEST_F(Tasks, AnErrorUnwindsTheFramesInBetween) {
    for (bool wait : {false, true}) {
        trace.clear();
        Fault seen{Err::none};
        const auto outer = [](Tasks& t, bool waits, Fault& out) -> Task<> {
            const Mark mark{t.trace, 'o'};
            const auto result = co_await result_of(t.pass_on(Err::busy, waits));
            out = result.error();
            t.trace += '!';
            co_return {};
        };
        ASSERT_TRUE(run(outer(*this, wait, seen)));
        EXPECT_EQ(seen, Err::busy);
        EXPECT_EQ(trace, "rp!o") << "the innermost first, each once";
    }
}

TEST_F(Tasks, AnUnhandledErrorEndsTheSpawnedTaskOnly) {
    const auto outer = [](Tasks& t) -> Task<> {
        const Mark mark{t.trace, 'o'};
        co_await t.pass_on(Err::busy, true);
        t.trace += "never";
        co_return {};
    };
    ASSERT_TRUE(run(outer(*this)));
    EXPECT_EQ(trace, "rpo");
}

TEST_F(Tasks, AnOrdinaryResultIsAwaitedTheSameWay) {
    const auto body = [](Tasks& t) -> Task<> {
        const Mark mark{t.trace, 'm'};
        const int v = co_await Result<int>{5};
        t.trace += std::to_string(v);
        co_await Result<>{fail(Err::no_slots)};
        t.trace += "never";
        co_return {};
    };
    ASSERT_TRUE(run(body(*this)));
    EXPECT_EQ(trace, "5m");
    trace.clear();
    const auto leaves = [](Tasks& t) -> Task<> {
        const Mark mark{t.trace, 'm'};
        co_await fail(Err::busy);
        t.trace += "never";
        co_return {};
    };
    ASSERT_TRUE(run(leaves(*this)));
    EXPECT_EQ(trace, "m");
}

TEST_F(Tasks, AFailedFrameIsAnError) {
    TestLoop small{256};
    Err inner = Err::none;
    const auto body = [](Tasks& t, Err& out) -> Task<> {
        std::vector<char> big(10);
        const auto result = co_await result_of(t.later(1));
        out = result ? Err::none : result.error().top();
        co_return {};
    };
    const auto started = small.loop.spawn("x", [&] { return body(*this, inner); });
    if (started)
        EXPECT_EQ(inner, Err::no_memory);
    else
        EXPECT_EQ(started.error().top(), Err::no_memory);
    EXPECT_EQ(
        small.loop.spawn("y", [&] { return body(*this, inner); }).error().top(), Err::no_memory
    );
}

TEST_F(Tasks, WhatIsSpawnedTakesNothingFromThePoolOfWhoSpawnsIt) {
    std::vector<std::byte> memory(4096);
    async::FramePool theirs{memory};
    const auto body = [](Tasks& t) -> Task<> {
        co_await t.later(1);
        t.trace += 'x';
        co_return {};
    };
    {
        const async::UsePool scope{&theirs};
        ASSERT_TRUE(loop.spawn("test", [&] { return body(*this); }));
        EXPECT_EQ(async::FramePool::current, &theirs);
    }
    EXPECT_EQ(theirs.used(), 0u);
    loop.run();
    EXPECT_EQ(trace, "x");
}

TEST_F(Tasks, DeepChainsUnwindWithoutUsingTheStack) {
    const auto dive = [](auto&& self, Tasks& t, int depth) -> Task<int> {
        if (depth == 0) co_return fail(Err::busy);
        co_return co_await self(self, t, depth - 1);
    };
    TestLoop big{4 << 20};
    Err seen = Err::none;
    const auto body = [&dive](Tasks& t, Err& out) -> Task<> {
        out = (co_await result_of(dive(dive, t, 5000))).error().top();
        co_return {};
    };
    ASSERT_TRUE(big.loop.spawn("deep", [&] { return body(*this, seen); }));
    EXPECT_EQ(seen, Err::busy);
    EXPECT_EQ(big.loop.pool().used(), 0u);
}

TEST_F(Tasks, AnUnawaitedTaskNeverRuns) {
    {
        const auto unused = refuse(Err::busy, false);
    }
    EXPECT_EQ(trace, "");
    EXPECT_EQ(loop.pool().used(), 0u);
}

struct TestJob final : async::Job {
    std::optional<Result<>> result;

    void ended(Result<> r) override { result = r; }
};

TEST_F(Tasks, AJobSaysHowItEnded) {
    TestJob job;
    const auto body = [](Tasks& t) -> Task<> {
        co_await t.refuse(Err::no_slots, true);
        co_return {};
    };
    ASSERT_TRUE(job.start(body(*this)));
    EXPECT_TRUE(job.running());
    loop.run();
    EXPECT_FALSE(job.running());
    EXPECT_EQ(job.result->error(), Err::no_slots);
}

TEST_F(Tasks, ACancelledJobReleasesWhatItHolds) {
    async::Event never{loop};
    const auto body = [](Tasks& t, async::Event& event) -> Task<> {
        const Mark mark{t.trace, 'm'};
        (void)co_await result_of(t.later(1));
        co_await event.wait();
        co_return {};
    };
    for (bool in_child : {true, false}) {
        trace.clear();
        TestJob job;
        ASSERT_TRUE(job.start(body(*this, never)));
        if (!in_child) loop.run();
        EXPECT_TRUE(job.running());
        job.cancel();
        EXPECT_EQ(trace, "m");
        EXPECT_FALSE(job.result) << "nobody asked it";
        loop.run();
        EXPECT_EQ(loop.pool().used(), 0u);
    }
}

TEST(FramePool, GivesFreedFramesAgainAndKnowsItsEnd) {
    std::vector<std::byte> memory(1024);
    async::FramePool pool{memory};
    void* const first = pool.allocate(100);
    void* const second = pool.allocate(400);
    ASSERT_TRUE(first && second);
    EXPECT_EQ(pool.allocate(500), nullptr);
    async::FramePool::release(first);
    EXPECT_EQ(pool.allocate(90), first);
    EXPECT_EQ(pool.allocate(1 << 20), nullptr);
    async::FramePool::release(first);
    async::FramePool::release(second);
    EXPECT_EQ(pool.used(), 0u);
}

} // namespace
