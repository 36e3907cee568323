// An intrusive hierarchical timing wheel: arm and cancel in constant time, no memory of its own
// beyond the slots. Four levels of 64 slots; one tick is 2^20 ns, so that no division is needed.
// To postpone an armed timer is one store: it is moved on when the slot that it lies in comes up.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "lib/base/invariant.hpp"
#include "lib/base/time.hpp"

/// Lives inside its owner, usually as a base class of a type that knows the owner.
class Timer {
  public:
    Timer() = default;
    Timer(const Timer&) = delete; // the wheel holds its address

    ~Timer() { INVARIANT(!armed(), "cancel before destroying"); }

    bool armed() const { return links_.next != nullptr; }

    /// Meaningful while armed; rounded up to a tick.
    Instant deadline() const { return {int64_t(tick_ << tick_shift)}; }

  private:
    friend class Wheel;
    static constexpr unsigned tick_shift = 20;

    struct Links {
        Links *next{}, *prev{};
    };

    Links links_;
    uint64_t tick_; // both while armed
    uint8_t slot_;
};

class Wheel {
  public:
    explicit Wheel(Instant start) : now_{floor_tick(start)} {
        for (Links& slot : slots_)
            slot = {&slot, &slot};
    }

    Wheel(const Wheel&) = delete;

    /// Arming an armed timer moves it. A deadline that has passed expires at the next tick.
    void arm(Timer& timer, Instant deadline) {
        if (deadline.ns <= int64_t(now_ << Timer::tick_shift)) [[unlikely]]
            deadline.ns = int64_t(now_ + 1) << Timer::tick_shift;
        const uint64_t tick = ceil_tick(deadline);
        if (timer.armed()) {
            if (tick >= timer.tick_) {
                timer.tick_ = tick;
                return;
            }
            cancel(timer);
        }
        timer.tick_ = tick;
        insert(timer, tick);
    }

    /// No effect when not armed.
    void cancel(Timer& timer) {
        if (!timer.armed()) return;
        unlink(timer.links_);
        const Links& slot = slots_[timer.slot_];
        // Also right for a timer that advance() has set aside: its slot was left empty then.
        if (slot.next == &slot) occupied_[timer.slot_ / slots_a_level] &= ~bit(timer.slot_);
    }

    bool empty() const {
        uint64_t any = 0;
        for (const uint64_t slots : occupied_)
            any |= slots;
        return any == 0;
    }

    /// When advance() has something to do: at or before the earliest deadline, as timers far away
    /// are first moved nearer. None: no timer is armed.
    std::optional<Instant> next() const {
        const auto tick = next_edge();
        if (!tick) return std::nullopt;
        return Instant{int64_t(*tick << Timer::tick_shift)};
    }

    /// Calls expired(timer), each disarmed first, in order of ticks, never before its deadline.
    /// `expired` may arm or cancel any timer, itself included.
    template <std::invocable<Timer&> F>
    void advance(Instant now, F&& expired) {
        const uint64_t target = floor_tick(now);
        while (now_ < target) {
            const auto edge = next_edge();
            if (!edge || *edge > target) {
                now_ = target;
                return;
            }
            now_ = *edge;
            for (unsigned level = levels - 1; level > 0; --level) {
                if (now_ % (uint64_t{1} << (slot_bits * level)) == 0) cascade(level);
            }
            fire(expired);
        }
    }

  private:
    using Links = Timer::Links;
    static constexpr unsigned slot_bits = 6;
    static constexpr unsigned slots_a_level = 1u << slot_bits;
    static constexpr unsigned levels = 4;
    static constexpr uint64_t reach = uint64_t{1} << (slot_bits * levels);

    static uint64_t floor_tick(Instant at) {
        return at.ns <= 0 ? 0 : uint64_t(at.ns) >> Timer::tick_shift;
    }

    /// Of a time after the start.
    static uint64_t ceil_tick(Instant at) {
        return ((uint64_t(at.ns) - 1) >> Timer::tick_shift) + 1;
    }

    static uint64_t bit(unsigned slot) { return uint64_t{1} << (slot % slots_a_level); }

    static void unlink(Links& links) {
        links.prev->next = links.next;
        links.next->prev = links.prev;
        links = {};
    }

    static Timer& timer_of(Links& links) {
        // The links are the first member of a standard-layout class.
        static_assert(offsetof(Timer, links_) == 0);
        return *static_cast<Timer*>(static_cast<void*>(&links));
    }

    /// `tick` is at or after now_. Beyond the wheel's reach it waits in the last slot.
    void insert(Timer& timer, uint64_t tick) {
        const uint64_t away = tick - now_;
        // Nearly all are within four seconds.
        if (away < slots_a_level) return put(timer, 0, tick);
        if (away < slots_a_level * slots_a_level) return put(timer, 1, tick);
        const unsigned level = away >> (slot_bits * 3) == 0 ? 2 : 3;
        put(timer, level, away < reach ? tick : now_ + reach - 1);
    }

    [[gnu::always_inline]] void put(Timer& timer, unsigned level, uint64_t tick) {
        const unsigned within = unsigned(tick >> (slot_bits * level)) % slots_a_level;
        const unsigned slot = level * slots_a_level + within;
        timer.slot_ = uint8_t(slot);
        Links& head = slots_[slot];
        Links* last = head.prev;
        timer.links_ = {&head, last};
        last->next = head.prev = &timer.links_;
        occupied_[level] |= bit(within);
    }

    std::optional<uint64_t> next_edge() const {
        std::optional<uint64_t> first;
        for (unsigned level = 0; level < levels; ++level) {
            if (occupied_[level] == 0) continue;
            const uint64_t here = now_ >> (slot_bits * level);
            const int current = int(here % slots_a_level);
            // The slot after the current one comes first; the current one is a whole turn away.
            const auto turned = std::rotr(occupied_[level], current + 1);
            const uint64_t edge = (here + unsigned(std::countr_zero(turned)) + 1)
                                  << (slot_bits * level);
            if (!first || edge < *first) first = edge;
        }
        return first;
    }

    /// Moves the timers of a slot to a list of their own, so that what is armed meanwhile into
    /// the same slot waits for the next turn.
    void take(unsigned slot, Links& into) {
        Links& head = slots_[slot];
        into = {&into, &into};
        if (head.next == &head) return;
        into = head;
        into.next->prev = &into;
        into.prev->next = &into;
        head = {&head, &head};
        occupied_[slot / slots_a_level] &= ~bit(slot);
    }

    void cascade(unsigned level) {
        const unsigned within = unsigned(now_ >> (slot_bits * level)) % slots_a_level;
        Links list;
        take(level * slots_a_level + within, list);
        while (list.next != &list) {
            Timer& timer = timer_of(*list.next);
            unlink(timer.links_);
            insert(timer, timer.tick_);
        }
    }

    template <class F>
    void fire(F&& expired) {
        Links list;
        take(unsigned(now_ % slots_a_level), list);
        while (list.next != &list) {
            Timer& timer = timer_of(*list.next);
            unlink(timer.links_);
            if (timer.tick_ > now_) { // postponed meanwhile
                insert(timer, timer.tick_);
            } else {
                expired(timer);
            }
        }
    }

    std::array<Links, slots_a_level * levels> slots_;
    std::array<uint64_t, levels> occupied_{};
    uint64_t now_;
};
