// Tasks: code that waits reads from top to bottom. `co_await x` gives x's value, or ends this task
// with x's error: its frame is destroyed (so guards release) and the error goes on to whoever
// waits, up to the first who asked with `co_await result_of(x)`. No exceptions are involved.
#pragma once

#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>

#include "lib/async/frame_pool.hpp"
#include "lib/base/result.hpp"

namespace async {

class Promise;

/// The place where the end of a task is awaited. It outlives the task.
class Link {
  public:
    std::coroutine_handle<> waiter{}; // resumed with the result
    Promise* leaves_through{};        // not null: an error ends that task instead

    /// Keeps the error; the task's frame is gone already.
    virtual void fail(Fault fault) = 0;

    /// The result is there: what to run next.
    virtual std::coroutine_handle<> finished() { return waiter; }

  protected:
    ~Link() = default;
};

template <class T>
class ResultLink : public Link {
  public:
    std::optional<Result<T>> result;
};

template <class T>
class Task;

template <class X>
struct ResultOf {
    X& what; // of the same expression
};

/// Gives the Result itself, for those who can do something about an error.
template <class X>
ResultOf<X> result_of(X&& what) {
    static_assert(!std::is_lvalue_reference_v<X>, "await a task in the expression that made it");
    return {what};
}

/// `co_await` of a Result that is there already.
template <class T>
class ResultAwaiter;

/// What can be waited for besides tasks says how in an Awaiter of its own: see waiting.hpp.
template <class X>
concept Leaf = requires { typename X::leaf; };

template <class X, bool propagates>
class LeafAwaiter;

template <class T, bool propagates>
class TaskAwaiter;

/// What every task is, whatever its type.
class Promise {
  public:
    Link* link{};
    std::coroutine_handle<> self{};
    FramePool* pool{FramePool::current};
    uint16_t flow{current_flow};

    /// Null is an answer: see get_return_object_on_allocation_failure.
    static void* operator new(size_t bytes) noexcept {
        return FramePool::current == nullptr ? nullptr : FramePool::current->allocate(bytes);
    }

    static void operator delete(void* frame) { FramePool::release(frame); }

    std::suspend_always initial_suspend() noexcept { return {}; }

    void unhandled_exception() noexcept { INVARIANT(false, "there are no exceptions"); }

    /// Ends this suspended task with `fault`, and those above that only pass errors on. Answers
    /// what to run next. Afterwards the frame is gone, and all that lived in it.
    std::coroutine_handle<> unwind(Fault fault) {
        for (Promise* promise = this;;) {
            Link* const up = promise->link;
            Promise* const above = up->leaves_through;
            promise->self.destroy();
            up->fail(fault);
            if (above == nullptr) return up->finished();
            promise = above;
        }
    }

    template <class T>
    TaskAwaiter<T, true> await_transform(Task<T>&& task) {
        return TaskAwaiter<T, true>{std::move(task)};
    }

    template <class T>
    TaskAwaiter<T, false> await_transform(ResultOf<Task<T>>&& of) {
        return TaskAwaiter<T, false>{std::move(of.what)};
    }

    template <Leaf X>
    LeafAwaiter<X, true> await_transform(X&& leaf) {
        return LeafAwaiter<X, true>{leaf};
    }

    template <Leaf X>
    LeafAwaiter<X, false> await_transform(ResultOf<X>&& of) {
        return LeafAwaiter<X, false>{of.what};
    }

    template <class T>
    ResultAwaiter<T> await_transform(Result<T> result) {
        return ResultAwaiter<T>{std::move(result)};
    }

    /// `co_await fail(Err::x)` leaves at once.
    ResultAwaiter<void> await_transform(std::unexpected<Fault> fault);
};

template <class T>
class TaskPromise : public Promise {
  public:
    Task<T> get_return_object() noexcept;
    static Task<T> get_return_object_on_allocation_failure() noexcept;

    void return_value(Result<T> value) {
        static_cast<ResultLink<T>*>(link)->result.emplace(std::move(value));
    }

    struct Final {
        bool await_ready() noexcept { return false; }

        void await_resume() noexcept {}

        std::coroutine_handle<> await_suspend(std::coroutine_handle<TaskPromise> ended) noexcept {
            // The frame that `this` lives in may go below: only locals from here on.
            auto* const up = static_cast<ResultLink<T>*>(ended.promise().link);
            if (!*up->result && up->leaves_through != nullptr)
                return up->leaves_through->unwind(up->result->error());
            return up->finished();
        }
    };

    Final final_suspend() noexcept { return {}; }
};

/// A piece of work that starts when it is awaited (or spawned) and ends with a Result<T>. Inside:
/// `co_return value`, `co_return fail(Err::x)`; a Task<> ends with `co_return {}`.
/// Parameters by value, or references to what outlives the task.
template <class T = void>
class [[nodiscard]] Task {
  public:
    using promise_type = TaskPromise<T>;
    using Handle = std::coroutine_handle<promise_type>;

    explicit Task(Handle handle) : handle_{handle} {}

    Task(Task&& other) noexcept : handle_{std::exchange(other.handle_, {})} {}

    Task& operator=(Task&&) = delete;

    ~Task() {
        if (handle_) handle_.destroy();
    }

    bool has_frame() const { return static_cast<bool>(handle_); }

    /// Null when there was no memory for the frame.
    Handle take() { return std::exchange(handle_, {}); }

  private:
    Handle handle_;
};

template <class T>
Task<T> TaskPromise<T>::get_return_object() noexcept {
    const auto handle = Task<T>::Handle::from_promise(*this);
    self = handle;
    return Task<T>{handle};
}

template <class T>
Task<T> TaskPromise<T>::get_return_object_on_allocation_failure() noexcept {
    return Task<T>{{}};
}

template <class T, bool propagates>
class TaskAwaiter final : public ResultLink<T> {
  public:
    explicit TaskAwaiter(Task<T>&& task) : child_{task.take()} {}

    TaskAwaiter(const TaskAwaiter&) = delete; // the task holds its address

    ~TaskAwaiter() {
        if (child_) child_.destroy();
    }

    bool await_ready() { return false; }

    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> parent) {
        this->waiter = parent;
        this->leaves_through = propagates ? &parent.promise() : nullptr;
        if (!child_) return without_memory(parent.promise());
        child_.promise().link = this;
        return child_;
    }

    auto await_resume() {
        if constexpr (!propagates)
            return std::move(*this->result);
        else if constexpr (!std::is_void_v<T>)
            return std::move(**this->result);
    }

    void fail(Fault fault) override {
        child_ = {};
        this->result.emplace(std::unexpected{fault});
    }

  private:
    std::coroutine_handle<> without_memory(Promise& parent) {
        if constexpr (propagates) return parent.unwind(Err::no_memory);
        this->result.emplace(std::unexpected{Fault{Err::no_memory}});
        return this->waiter;
    }

    typename Task<T>::Handle child_;
};

template <class T>
class ResultAwaiter {
  public:
    explicit ResultAwaiter(Result<T>&& result) : result_{std::move(result)} {}

    bool await_ready() const { return result_.has_value(); }

    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> task) {
        return task.promise().unwind(result_.error());
    }

    T await_resume() {
        if constexpr (!std::is_void_v<T>) return std::move(*result_);
    }

  private:
    Result<T> result_;
};

inline ResultAwaiter<void> Promise::await_transform(std::unexpected<Fault> fault) {
    return ResultAwaiter<void>{Result<>{fault}};
}

/// Holds a running task that nobody awaits. `ended` is called once, after the frame is gone, and
/// may start the next. Destroying the job cancels the task: its locals are destroyed where it
/// waits. Never from inside the task itself.
class Job : private ResultLink<void> {
  public:
    Job() = default;
    Job(const Job&) = delete;

    ~Job() { cancel(); }

    bool running() const { return static_cast<bool>(task_); }

    /// Runs the task up to its first wait. Errors: no_memory (the task got no frame).
    Result<> start(Task<> task) {
        INVARIANT(!running(), "a job runs one task at a time");
        task_ = task.take();
        if (!task_) return fail_with(Err::no_memory);
        result.reset();
        leaves_through = nullptr;
        waiter = std::noop_coroutine();
        task_.promise().link = this;
        const UsePool scope{task_.promise().pool};
        const UseFlow flow{task_.promise().flow};
        task_.resume();
        return {};
    }

    void cancel() {
        if (auto task = std::exchange(task_, {})) task.destroy();
    }

  protected:
    virtual void ended(Result<>) {}

  private:
    static Result<> fail_with(Err e) { return ::fail(e); }

    void fail(Fault fault) override {
        task_ = {};
        result.emplace(std::unexpected{fault});
    }

    std::coroutine_handle<> finished() override {
        cancel();       // at its end: frees the frame
        ended(*result); // may be the end of this object
        return std::noop_coroutine();
    }

    Task<>::Handle task_{};
};

} // namespace async
