// Who runs next: a ready list a priority with a bitmap over them, and the deadlines of those who
// sleep in order of time. Who runs is on no list. A small policy object: it knows nothing of
// messages or capabilities.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "kernel/dispatcher.hpp"

namespace kernel {

struct LaterLinks {
    static Dispatcher*& left(Dispatcher& d) { return d.later_left; }

    static Dispatcher*& right(Dispatcher& d) { return d.later_right; }

    static Dispatcher*& parent(Dispatcher& d) { return d.later_parent; }

    static uint8_t& height(Dispatcher& d) { return d.later_height; }

    static bool update(Dispatcher&) { return false; }

    static void begin(Dispatcher&) {}

    static bool include(Dispatcher&, const Dispatcher&) { return false; }
};

class Scheduler {
  public:
    /// Last of its priority.
    void ready(Dispatcher& d) {
        list(d).push_back(d);
        mark(d);
    }

    /// First of its priority: it goes on where somebody else stopped on its behalf.
    void ready_first(Dispatcher& d) {
        list(d).push_front(d);
        mark(d);
    }

    /// It does not run, and will not.
    void unready(Dispatcher& d) {
        changed_ = true;
        take(d);
    }

    /// Who runs sleeps or stops, or gives way.
    void give_up() { changed_ = true; }

    /// The first of the highest priority; nullptr: nobody is ready.
    Dispatcher* top() const {
        if (bitmap_ == 0) return nullptr;
        return ready_[static_cast<size_t>(std::bit_width(bitmap_) - 1)].front();
    }

    /// Nobody else of its priority is ready.
    [[gnu::always_inline]] bool alone(const Dispatcher& d) const {
        const Ready& peers = ready_[d.priority];
        return peers.front() == peers.back();
    }

    /// It leaves its list to run.
    [[gnu::always_inline]] void take(Dispatcher& d) {
        Ready& from = list(d);
        from.remove(d);
        if (from.empty()) bitmap_ &= ~(1u << d.priority);
    }

    Dispatcher* take_top() {
        Dispatcher* const first = top();
        if (first != nullptr) take(*first);
        return first;
    }

    /// Is anybody ready of a higher priority?
    bool above(uint8_t priority) const { return bitmap_ >> priority > 1; }

    bool at_or_above(uint8_t priority) const { return bitmap_ >> priority != 0; }

    /// Is anybody ready of this priority?
    bool at(uint8_t priority) const { return (bitmap_ >> priority & 1) != 0; }

    void sleep_until(Dispatcher& d, Instant deadline) {
        changed_ = true;
        d.deadline = deadline;
        d.deadline_set = true;
        later_.insert(d, [&](const Dispatcher& there) { return deadline < there.deadline; });
        if (earliest_ == nullptr || deadline < earliest_->deadline) earliest_ = &d;
    }

    void forget_deadline(Dispatcher& d) {
        if (!d.deadline_set) return;
        changed_ = true;
        if (earliest_ == &d) earliest_ = Tree<Dispatcher, LaterLinks>::next(d);
        later_.erase(d);
        d.deadline_set = false;
    }

    /// Who has the earliest deadline, or nullptr.
    Dispatcher* earliest() const { return earliest_; }

    Instant earliest_deadline() const { return earliest_ == nullptr ? never : earliest_->deadline; }

    /// Who runs, or until when, may be another than at the last `settle`.
    bool changed() const { return changed_; }

    void settle() { changed_ = false; }

  private:
    using Ready = List<Dispatcher, &Dispatcher::ready_hook>;

    Ready& list(const Dispatcher& d) { return ready_[d.priority]; }

    void mark(const Dispatcher& d) {
        bitmap_ |= 1u << d.priority;
        changed_ = true;
    }

    std::array<Ready, priorities> ready_;
    uint32_t bitmap_{};
    bool changed_{true};
    Tree<Dispatcher, LaterLinks> later_;
    Dispatcher* earliest_{}; // its first
};

} // namespace kernel
