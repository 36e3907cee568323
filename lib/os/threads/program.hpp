// A domain whose program is threads: `int domain_main(os::Domain& self) { return
// os::run_threads(self, program); }`. They run below the event loop, so whatever is a task can be
// waited for from a thread as well.
#pragma once

#include "lib/async/loop.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/threads/sync.hpp"
#include "lib/os/threads/thread.hpp"

namespace os {

/// From now on this dispatcher runs threads. The second time it does nothing.
void begin_threads(Domain& self);

/// `program` is the first thread; the domain ends with its result.
int run_threads(Domain& self, int (*program)());

/// The current thread waits for the task; other threads go on meanwhile.
///
///   errors   the task's; no_memory (its frame)
template <class T>
Result<T> await(async::Task<T> task);

namespace detail {

/// Lies in the loop's memory: the end of a task finds it without touching any thread's stack.
template <class T>
struct Awaited {
    Result<T> result{::fail(Err::cancelled)};
    ThreadBlock* thread{};
    bool done{};
};

template <class T>
async::Task<> await_in_loop(async::Task<T> task, Awaited<T>* to) {
    to->result = co_await async::result_of(std::move(task));
    to->done = true;
    if (to->thread != nullptr) scheduler().wake(*to->thread);
    co_return {};
}

} // namespace detail

template <class T>
Result<T> await(async::Task<T> task) {
    const Hold hold;
    using Awaited = detail::Awaited<T>;
    async::Loop& loop = domain().loop();
    void* const memory = loop.pool().allocate(sizeof(Awaited));
    if (memory == nullptr) return fail(Err::no_memory);
    Awaited* const awaited = new (memory) Awaited;
    const auto started =
        loop.spawn("a thread's", [&] { return detail::await_in_loop(std::move(task), awaited); });
    Hold::ask_for_rest();
    if (started && !awaited->done) {
        awaited->thread = scheduler().current();
        scheduler().block();
    }
    const Result<T> result =
        started ? std::move(awaited->result) : Result<T>{fail(started.error())};
    awaited->~Awaited();
    async::FramePool::release(memory);
    return result;
}

} // namespace os
