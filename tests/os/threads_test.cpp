// The scheduler and what threads wait with, on the host: a switch is one of ucontext.
#include <gtest/gtest.h>
#include <ucontext.h>

#include <map>
#include <memory>
#include <vector>

#include "lib/os/threads/sync.hpp"
#include "lib/os/threads/thread.hpp"

namespace {

/// Contexts by the address of what the scheduler knows of them.
std::map<const os::Context*, ucontext_t> contexts;

constexpr size_t stack_bytes = 256 * 1024;

class Source final : public os::ThreadSource {
  public:
    Result<os::ThreadBlock*> take() override {
        if (taken == most) return fail(Err::no_space);
        ++taken;
        blocks.push_back(std::make_unique<os::ThreadBlock>());
        stacks.push_back(std::make_unique<std::byte[]>(stack_bytes));
        os::ThreadBlock& block = *blocks.back();
        block.stack_begin = std::bit_cast<uint64_t>(stacks.back().get());
        block.stack_end = block.stack_begin + stack_bytes;
        return &block;
    }

    void release(os::ThreadBlock& thread) override {
        contexts.erase(&thread.context);
        --taken;
    }

    void wake_far(os::ThreadBlock& thread) override { far.push_back(&thread); }

    size_t taken{}, most{100};
    std::vector<os::ThreadBlock*> far;
    std::vector<std::unique_ptr<os::ThreadBlock>> blocks;
    std::vector<std::unique_ptr<std::byte[]>> stacks;
};

void load(const os::Context* to) {
    if (!contexts.contains(to)) {
        ucontext_t& fresh = contexts[to];
        getcontext(&fresh);
        fresh.uc_stack.ss_sp = std::bit_cast<void*>(os_current_thread->stack_begin);
        fresh.uc_stack.ss_size = stack_bytes;
        makecontext(&fresh, &os_run_thread, 0);
    }
}

} // namespace

void os_switch(os::Context* from, const os::Context* to) {
    load(to);
    swapcontext(&contexts[from], &contexts[to]);
}

void os_enter(const os::Context* to) {
    setcontext(&contexts[to]);
    std::abort();
}

void os_begin_thread() {}

void os_resume_thread() {}

namespace {

class Threads : public testing::Test {
  protected:
    Threads() { os::scheduler().begin(source, 0); }

    ~Threads() override {
        run();
        contexts.clear();
        EXPECT_EQ(source.taken, 0u);
    }

    template <class Body>
    void go(const Body& body) {
        auto thread = os::Thread::create(body);
        ASSERT_TRUE(thread);
        thread->detach();
    }

    static void run() {
        while (os::scheduler().run()) {
        }
    }

    Source source;
    std::vector<int> seen;
};

TEST_F(Threads, RunInTheOrderInWhichTheyWereMade) {
    for (int i = 0; i < 3; ++i)
        go([this, i] { seen.push_back(i); });
    run();
    EXPECT_EQ(seen, (std::vector{0, 1, 2}));
}

TEST_F(Threads, YieldLetsTheOthersRun) {
    for (int i = 0; i < 2; ++i)
        go([this, i] {
            for (int turn = 0; turn < 2; ++turn) {
                seen.push_back(i);
                os::scheduler().yield();
            }
        });
    run();
    EXPECT_EQ(seen, (std::vector{0, 1, 0, 1}));
}

TEST_F(Threads, JoinWaitsForTheEnd) {
    go([this] {
        auto child = os::Thread::create([this] {
            os::scheduler().yield();
            seen.push_back(1);
        });
        ASSERT_TRUE(child);
        child->join();
        seen.push_back(2);
    });
    run();
    EXPECT_EQ(seen, (std::vector{1, 2}));
}

TEST_F(Threads, JoinOfOneThatHasEndedReturnsAtOnce) {
    go([this] {
        auto child = os::Thread::create([this] { seen.push_back(1); });
        ASSERT_TRUE(child);
        os::scheduler().yield();
        os::scheduler().yield();
        child->join();
        seen.push_back(2);
    });
    run();
    EXPECT_EQ(seen, (std::vector{1, 2}));
}

TEST_F(Threads, TheLoopHasItsTurnHoweverBusyTheyAre) {
    bool stop = false;
    for (int i = 0; i < 2; ++i)
        go([&stop] {
            while (!stop)
                os::scheduler().yield();
        });
    EXPECT_TRUE(os::scheduler().run()); // comes back
    EXPECT_TRUE(os::scheduler().run());
    stop = true;
    run();
}

TEST_F(Threads, ARestThatIsDueWaitsForTheEndOfTheHold) {
    go([this] {
        {
            const os::Hold outer;
            const os::Hold inner;
            os::Hold::set_rest_due(true); // as the upcall of a ring does
            seen.push_back(1);
        }
        seen.push_back(2);
    });
    EXPECT_TRUE(os::scheduler().run());
    EXPECT_EQ(seen, (std::vector{1})); // the loop has its turn, and the other goes on later
    EXPECT_EQ(os::Hold::depth(), 0u);
    EXPECT_TRUE(os::scheduler().run());
    EXPECT_EQ(seen, (std::vector{1, 2}));
}

TEST_F(Threads, WhoGivesTheLoopSomethingToDoLetsItHaveItsTurn) {
    os::Hold::ask_for_rest(); // not a thread's: nobody is to rest
    EXPECT_FALSE(os::Hold::is_rest_due());
    go([this] {
        const os::Hold hold;
        os::Hold::ask_for_rest();
        seen.push_back(1);
    });
    go([this] { seen.push_back(2); });
    EXPECT_TRUE(os::scheduler().run());
    EXPECT_EQ(seen, (std::vector{1}));
    run();
    EXPECT_EQ(seen, (std::vector{1, 2}));
}

TEST_F(Threads, WhoIsHeldBySpinsIsHeldNoMoreAfterwards) {
    go([this] {
        os::Spin spin;
        spin.lock();
        EXPECT_EQ(os::Hold::depth(), 1u);
        spin.unlock();
        EXPECT_EQ(os::Hold::depth(), 0u);
        os::scheduler().yield();
        EXPECT_EQ(os::Hold::depth(), 0u);
        seen.push_back(1);
    });
    go([this] {
        EXPECT_EQ(os::Hold::depth(), 0u);
        seen.push_back(2);
    });
    run();
    EXPECT_EQ(seen, (std::vector{2, 1}));
    EXPECT_EQ(os::Hold::depth(), 0u);
}

TEST_F(Threads, WhileARestIsDueNoOtherThreadBegins) {
    go([] {
        const os::Hold hold;
        os::Hold::set_rest_due(true);
        os::scheduler().yield();
    });
    go([this] { seen.push_back(1); });
    EXPECT_TRUE(os::scheduler().run());
    EXPECT_TRUE(seen.empty());
    run();
    EXPECT_EQ(seen, (std::vector{1}));
}

TEST_F(Threads, NoMoreThanTheSourceHas) {
    source.most = 1;
    go([this] {
        const auto second = os::Thread::create([] {});
        EXPECT_EQ(second.error(), Err::no_space);
        seen.push_back(1);
    });
    run();
    EXPECT_EQ(seen, std::vector{1});
}

TEST_F(Threads, AMutexGoesToWhoWaitsLongest) {
    os::Mutex mutex;
    for (int i = 0; i < 3; ++i)
        go([&, i] {
            const os::Lock lock{mutex};
            os::scheduler().yield();
            seen.push_back(i);
        });
    go([&] { EXPECT_FALSE(mutex.try_lock()); });
    run();
    EXPECT_EQ(seen, (std::vector{0, 1, 2}));
    EXPECT_TRUE(mutex.try_lock());
}

TEST_F(Threads, AConditionWakesWhoWaitsForIt) {
    os::Mutex mutex;
    os::Condition changed;
    int items = 0;
    for (int i = 0; i < 2; ++i)
        go([&] {
            os::Lock lock{mutex};
            changed.wait(lock, [&] { return items > 0; });
            seen.push_back(items--);
        });
    go([&] {
        for (int i = 0; i < 2; ++i) {
            {
                const os::Lock lock{mutex};
                ++items;
            }
            changed.notify_one();
            os::scheduler().yield();
        }
    });
    run();
    EXPECT_EQ(seen.size(), 2u);
    EXPECT_EQ(items, 0);
}

TEST_F(Threads, NotifyAllWakesEverybody) {
    os::Mutex mutex;
    os::Condition changed;
    bool open = false;
    for (int i = 0; i < 5; ++i)
        go([&, i] {
            os::Lock lock{mutex};
            changed.wait(lock, [&] { return open; });
            seen.push_back(i);
        });
    go([&] {
        const os::Lock lock{mutex};
        open = true;
        changed.notify_all();
    });
    run();
    EXPECT_EQ(seen.size(), 5u);
}

TEST_F(Threads, ABarrierHoldsEverybodyUntilTheLastAndCanBeUsedAgain) {
    os::Barrier barrier{3};
    for (int i = 0; i < 3; ++i)
        go([&, i] {
            for (int round = 0; round < 2; ++round) {
                seen.push_back(round);
                for (int k = 0; k < i; ++k)
                    os::scheduler().yield();
                barrier.wait();
            }
        });
    run();
    EXPECT_EQ(seen, (std::vector{0, 0, 0, 1, 1, 1}));
}

TEST_F(Threads, EachHasItsOwnWords) {
    static constinit os::ThreadLocal<int> mine;
    static constinit os::ThreadLocal<const char*> name;
    for (int i = 1; i < 3; ++i)
        go([this, i] {
            EXPECT_EQ(mine.get(), 0);
            mine.set(i);
            name.set("x");
            os::scheduler().yield();
            seen.push_back(mine.get());
            mine.here() += 10;
            os::scheduler().yield();
            seen.push_back(mine.get());
        });
    run();
    EXPECT_EQ(seen, (std::vector{1, 2, 11, 12}));
}

TEST_F(Threads, AThreadOfAnotherDispatcherIsSentThere) {
    go([] {
        auto far = os::Thread::create_on(3, [] {});
        ASSERT_TRUE(far);
        far->detach();
    });
    run();
    ASSERT_EQ(source.far.size(), 1u);
    EXPECT_EQ(source.far[0]->worker, 3u);
    source.far[0]->worker = 0; // so that it ends
    os::scheduler().wake(*source.far[0]);
}

TEST_F(Threads, AWakeUpThatComesBeforeTheWaitIsNotLost) {
    go([this] {
        os::ThreadBlock& me = *os::scheduler().current();
        os::scheduler().wake(me);
        os::scheduler().block();
        seen.push_back(1);
    });
    run();
    EXPECT_EQ(seen, std::vector{1});
}

TEST_F(Threads, WhoIsWokenFromElsewhereGoesOnHere) {
    os::ThreadInbox inbox;
    os::ThreadBlock* sleeper = nullptr;
    go([&] {
        sleeper = os::scheduler().current();
        os::scheduler().block();
        seen.push_back(1);
    });
    run();
    EXPECT_TRUE(seen.empty());
    inbox.push(*sleeper);
    os::scheduler().admit(inbox);
    run();
    EXPECT_EQ(seen, std::vector{1});
}

TEST(ThreadInbox, GivesThemInTheOrderInWhichTheyCame) {
    std::array<os::ThreadBlock, 3> blocks;
    os::ThreadInbox inbox;
    EXPECT_TRUE(inbox.empty());
    for (auto& block : blocks)
        inbox.push(block);
    os::ThreadQueue queue;
    inbox.take_all(queue);
    for (auto& block : blocks)
        EXPECT_EQ(queue.take(), &block);
    EXPECT_EQ(queue.take(), nullptr);
    EXPECT_TRUE(inbox.empty());
}

} // namespace
