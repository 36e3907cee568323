// The one loop of a domain: runs tasks that can go on, fires timers, pumps sources (channels), and
// sleeps when there is nothing left to do. Single-threaded; the machine is behind Waiter.
#pragma once

#include <array>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <optional>

#include "lib/async/sleep.hpp"
#include "lib/async/waiting.hpp"
#include "lib/base/list.hpp"
#include "lib/base/log.hpp"
#include "lib/base/wheel.hpp"

namespace async {

/// The seam to the machine: the `wait` invocation in a domain, virtual time in a test.
class Waiter {
  public:
    /// Sleeps until an event or the deadline; answers the event bits, now cleared. A deadline that
    /// has passed means: do not sleep. Spurious returns are fine.
    virtual uint64_t wait(std::optional<Instant> deadline) = 0;
    virtual Instant now() = 0;

    /// Would `wait` now answer one of ring_bits? Asked by who is busy and has cold sources.
    virtual bool is_rung() { return false; }

  protected:
    ~Waiter() = default;
};

/// The event bits of a ring by the peer of a channel (docs/system.md).
constexpr uint64_t ring_bits = 0b11;

/// Something that peers write to in memory. The loop pumps it each turn and arms it before sleep.
/// A channel over which nothing comes for a while is cold: it stays armed, also while the loop is
/// awake, and costs nothing until a ring, when all cold ones are looked at.
class Source {
  public:
    Source() = default;
    Source(const Source&) = delete;
    ListHook<Source> hook;

    /// Does a bounded piece of work; false when there was none.
    virtual bool pump() = 0;
    /// Is there work for pump()? The last look before sleep, which may follow a turn that worked:
    /// what another source has left for this one since its pump counts.
    virtual bool ready() = 0;
    /// Wakes peers that wait for what was written since the last time.
    virtual void flush() = 0;
    virtual void arm(uint64_t epoch) = 0;
    virtual void disarm() = 0;

    /// Asked from time to time: has nothing happened since the last time, and would only a ring of
    /// the peer change that? Whatever else would must call Loop::heat.
    virtual bool cools() { return false; }

    bool is_cold() const { return cold_; }

    /// A word that changes when there is work, for polling: its low 16 bits become `expected`.
    struct Watch {
        const std::atomic<uint64_t>* word{};
        uint16_t expected{};
    };

    /// Nothing: not worth polling (the peer is on this core and cannot run meanwhile).
    virtual Watch watch() { return {}; }

  protected:
    ~Source() = default;

  private:
    friend class Loop;
    Watch watched_;
    bool cold_{}, cooling_{};
};

class Event;

/// What Loop::spawn takes: mostly `[&] { return f(x); }`. A coroutine itself only if it captures
/// nothing, as it is gone when the task runs on.
template <class X>
concept MakesTask = requires(const X& make) {
    { make() } -> std::same_as<Task<>>;
};

class Loop {
  public:
    /// `frames` is the memory of this domain's tasks. `poll_turns`: how long to look for messages
    /// before sleeping; about what sleeping and waking cost, so that a wait never costs more than
    /// twice the better choice. 0: never.
    Loop(Waiter& waiter, MutableBytes frames, uint32_t poll_turns)
        : waiter_{waiter}, pool_{frames}, poll_turns_{poll_turns}, wheel_{waiter.now()} {
        if (FramePool::current == nullptr) FramePool::current = &pool_;
    }

    Loop(const Loop&) = delete;

    ~Loop() {
        while (Spawned* const job = spawned_.front())
            end(*job);
        if (FramePool::current == &pool_) FramePool::current = nullptr;
    }

    Instant now() { return waiter_.now(); }

    FramePool& pool() { return pool_; }

    /// Runs the task that `make` answers up to its first wait, and on from the loop; an error it
    /// ends with is logged under `what`. It is made here, so that its frame is the domain's, also
    /// when a handler asks, whose own pool goes with its client. Errors: no_memory.
    template <MakesTask Make>
    Result<> spawn(std::string_view what, const Make& make) {
        const UsePool scope{&pool_};
        return start(what, make());
    }

    /// Runs until stop(), which may come first: from a task that failed before it ever waited.
    void run() {
        for (uint32_t busy = 0; !stopping_;) {
            const bool worked = turn();
            if (++turns_ % turns_between_looks == 0) cool_down();
            // Mostly what one turn leaves undone is nothing: then another one would find that out
            // dearly. As long as it is so, sleep() is asked at once, which looks at all again.
            const bool asks = !worked || (rests_ && ready_.empty());
            const Rest rest = asks ? sleep() : Rest::busy;
            if (asks) rests_ = rest != Rest::busy;
            if (rest == Rest::slept) {
                busy = 0;
            } else if (++busy % turns_between_looks == 0 || (!cold_.empty() && waiter_.is_rung())) {
                // Who never sleeps must hear interrupts, local calls and cold sources all the same.
                take_events();
            }
        }
        stopping_ = false;
    }

    void stop() { stopping_ = true; }

    /// Before `what` runs for long: what was sent is told, and from here on peers ring, as if this
    /// slept, until pay_attention. False: something else can go on already.
    [[nodiscard]] inline bool look_away(Source& what);

    void pay_attention() {
        for (Source& source : hot_)
            source.disarm();
    }

    /// What has rung meanwhile, and whoever calls; does not sleep.
    void take_events() { deliver(waiter_.wait(waiter_.now())); }

    /// One round of everything that can go on without sleeping; false when nothing could.
    [[gnu::always_inline]] bool turn() {
        bool worked = !ready_.empty();
        if (worked) run_ready();
        if (!wheel_.empty()) worked |= fire_timers();
        for (Source* source = hot_.front(); source != nullptr; source = next_) {
            next_ = hot_.next(*source);
            worked |= source->pump();
        }
        if (!ready_.empty()) {
            worked = true;
            run_ready();
        }
        for (Source& source : hot_)
            source.flush();
        return worked;
    }

    void add(Source& source) { hot_.push_back(source); }

    /// At any time, also from a pump.
    void remove(Source& source) {
        if (std::exchange(source.cold_, false)) return cold_.remove(source);
        if (next_ == &source) next_ = hot_.next(source);
        hot_.remove(source);
    }

    /// It is pumped and flushed from this turn on.
    [[gnu::noinline]] void heat(Source& source) {
        if (!source.cold_) return;
        source.cold_ = false;
        cold_.remove(source);
        hot_.push_back(source);
        source.disarm();
    }

    size_t hot_sources() const { return count(hot_); }

    size_t cold_sources() const { return count(cold_); }

    /// The event is set when `bit` was among those that ended a sleep (an interrupt, a notice).
    void bind(unsigned bit, Event& event) { events_[bit] = &event; }

    void unbind(unsigned bit) { events_[bit] = nullptr; }

    class Sleep {
      public:
        using leaf = void;

        Sleep(Loop& loop, Instant until) : loop_{&loop}, until_{until} {}

        Loop& loop() const { return *loop_; }

        bool ready() const { return false; }

        void begin(Waiting& waiting) const { waiting.arm(until_, std::nullopt); }

        void take() const {}

      private:
        Loop* loop_;
        Instant until_;
    };

    /// co_await loop.sleep_until(t): never earlier, at most a tick of the wheel (1 ms) later.
    Sleep sleep_until(Instant t) { return {*this, t}; }

    Sleep sleep_for(Duration d) { return {*this, now() + d}; }

    class Yield {
      public:
        using leaf = void;

        explicit Yield(Loop& loop) : loop_{&loop} {}

        Loop& loop() const { return *loop_; }

        bool ready() const { return false; }

        void begin(Waiting& waiting) const { waiting.wake(); }

        void take() const {}

      private:
        Loop* loop_;
    };

    /// Lets everything else go on first.
    Yield yield() { return Yield{*this}; }

    uint64_t sleeps() const { return sleeps_; }

  private:
    static constexpr uint32_t turns_between_looks = 64;

    /// How it ended when the loop was to rest: there was something to do at the last look; polling
    /// found it; or it came while this slept, with all events that there were.
    enum class Rest : uint8_t { busy, polled, slept };

    friend class Waiting;

    class Spawned final : public Job {
      public:
        Spawned(Loop& loop, std::string_view what) : loop_{loop}, what_{what} {}

        ListHook<Spawned> hook;

      private:
        void ended(Result<> result) override {
            if (!result) log::warn("{} ended: {}", what_, result.error());
            loop_.end(*this);
        }

        Loop& loop_;
        std::string_view what_;
    };

    Result<> start(std::string_view what, Task<> task) {
        void* const memory = pool_.allocate(sizeof(Spawned));
        if (memory == nullptr) return fail(Err::no_memory);
        Spawned* const job = new (memory) Spawned{*this, what};
        spawned_.push_back(*job);
        Result<> started = job->start(std::move(task));
        if (!started) end(*job);
        return started;
    }

    void end(Spawned& job) {
        spawned_.remove(job);
        job.~Spawned();
        FramePool::release(&job);
    }

    /// Only those who are ready now: who becomes ready meanwhile waits for the next turn.
    void run_ready() {
        ++round_;
        while (Waiting* const waiting = ready_.first()) {
            if (waiting->since_ == round_) break;
            ready_.remove(*waiting);
            waiting->run();
        }
    }

    bool fire_timers() {
        const auto next = wheel_.next();
        if (!next) return false;
        bool any = false;
        const Instant at = now();
        if (*next > at) return false;
        wheel_.advance(at, [&](Timer& timer) {
            Waiting& waiting = static_cast<Waiting&>(timer);
            any = true;
            waiting.finish(waiting.on_time_);
        });
        return any;
    }

    using Sources = List<Source, &Source::hook>;

    static size_t count(const Sources& sources) {
        size_t n = 0;
        for (const Source* s = sources.front(); s != nullptr; s = sources.next(*s))
            ++n;
        return n;
    }

    inline void cool_down();
    inline void look_at_cold();
    inline Rest sleep();
    inline void deliver(uint64_t bits);

    bool prepare_polling() {
        bool any = false;
        for (Source& source : hot_) {
            source.watched_ = source.watch();
            any |= source.watched_.word != nullptr;
        }
        return any;
    }

    /// In a section of its own, so that the instructions of turns that found nothing can be told
    /// from work; hence it calls nothing.
    [[gnu::section(".text.poll"), gnu::noinline]] bool poll() {
        Source* const first = hot_.front();
        for (uint32_t turn = 0; turn < poll_turns_; ++turn) {
            for (Source* source = first; source != nullptr; source = hot_.next(*source)) {
                const Source::Watch& watch = source->watched_;
                // acquire: pairs with the release that publishes a line
                if (watch.word != nullptr &&
                    uint16_t(watch.word->load(std::memory_order_acquire)) == watch.expected)
                    return true;
            }
            __builtin_ia32_pause();
        }
        return false;
    }

    Waiter& waiter_;
    FramePool pool_;
    uint32_t poll_turns_;
    Wheel wheel_;
    WaitQueue ready_;
    Sources hot_, cold_;
    Source* next_{}; // to be pumped in this turn
    List<Spawned, &Spawned::hook> spawned_;
    std::array<Event*, 64> events_{};
    uint64_t epoch_{};
    uint64_t sleeps_{};
    uint32_t turns_{}, round_{};
    bool rests_{}; // the last time it was asked, there was nothing to do before sleep
    bool stopping_{};
};

inline Waiting::~Waiting() {
    leave();
}

inline void Waiting::leave() {
    if (queue_ != nullptr) queue_->remove(*this);
    if (armed()) loop_->wheel_.cancel(*this);
}

inline void Waiting::finish(std::optional<Fault> error) {
    leave();
    error_ = error;
    woken_ = true;
    since_ = loop_->round_;
    loop_->ready_.add(*this);
}

inline void Waiting::arm(Instant deadline, std::optional<Fault> outcome) {
    on_time_ = outcome;
    loop_->wheel_.arm(*this, deadline);
}

} // namespace async

#include "lib/async/sync.hpp" // IWYU pragma: export

namespace async {

inline void Loop::deliver(uint64_t bits) {
    if ((bits & ring_bits) != 0) look_at_cold();
    for (; bits != 0; bits &= bits - 1)
        if (Event* const event = events_[static_cast<size_t>(std::countr_zero(bits))]) event->set();
}

/// Nothing is lost: this is the sleeper's protocol of nothing_to_do for one channel at a time. It
/// is armed in an epoch never used before; if the look after the fence finds nothing, then whatever
/// is sent from now on is rung for, and that ring leads to look_at_cold after it.
inline void Loop::cool_down() {
    bool any = false;
    for (Source& source : hot_) {
        source.cooling_ = source.cools();
        any |= source.cooling_;
    }
    if (!any) return;
    ++epoch_;
    for (Source& source : hot_)
        if (source.cooling_) source.arm(epoch_);
    // seq_cst: pairs with the fence of ump::BasicEndpoint::notify
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (Source *source = hot_.front(), *after{}; source != nullptr; source = after) {
        after = hot_.next(*source);
        if (!std::exchange(source->cooling_, false)) continue;
        if (source->ready()) {
            source->disarm();
            continue;
        }
        hot_.remove(*source);
        cold_.push_back(*source);
        source->cold_ = true;
    }
}

/// A ring may be for what was read while the channel was hot, and its sender has then rung for this
/// epoch: so each look begins a new one.
inline void Loop::look_at_cold() {
    if (cold_.empty()) return;
    ++epoch_;
    for (Source& source : cold_)
        source.arm(epoch_);
    // seq_cst: pairs with the fence of ump::BasicEndpoint::notify
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (Source *source = cold_.front(), *after{}; source != nullptr; source = after) {
        after = cold_.next(*source);
        if (source->ready()) heat(*source);
    }
}

inline bool Loop::look_away(Source& what) {
    ++epoch_;
    for (Source& source : hot_) {
        source.flush();
        source.arm(epoch_);
    }
    // seq_cst: pairs with the fence of ump::BasicEndpoint::notify
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!ready_.empty()) return false;
    for (Source& source : hot_)
        if (&source != &what && source.ready()) return false;
    return true;
}

inline Loop::Rest Loop::sleep() {
    if (stopping_) return Rest::slept;
    if (poll_turns_ != 0 && prepare_polling() && poll()) return Rest::polled;
    // seq_cst: pairs with the fence of ump::BasicEndpoint::notify (see nothing_to_do)
    const auto fence = [] { std::atomic_thread_fence(std::memory_order_seq_cst); };
    const bool rests = nothing_to_do(hot_, ++epoch_, fence);
    if (rests) {
        ++sleeps_;
        deliver(waiter_.wait(wheel_.next()));
    }
    for (Source& source : hot_)
        source.disarm();
    return rests ? Rest::slept : Rest::busy;
}

} // namespace async
