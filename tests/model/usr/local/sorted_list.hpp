// Timers in the order of their deadlines: the first is the next, and who comes in between walks.
#pragma once

#include <cstdint>

namespace local {

struct ListedTimer {
    uint64_t deadline{};
    ListedTimer *next{}, *prev{};
};

class SortedList {
  public:
    SortedList() { ends_.next = ends_.prev = &ends_; }

    SortedList(const SortedList&) = delete;

    /// From the far end, where most timers belong.
    void arm(ListedTimer& timer, uint64_t deadline) {
        timer.deadline = deadline;
        ListedTimer* before = ends_.prev;
        while (before != &ends_ && before->deadline > deadline)
            before = before->prev;
        timer.prev = before;
        timer.next = before->next;
        timer.prev->next = timer.next->prev = &timer;
    }

    void cancel(ListedTimer& timer) {
        timer.prev->next = timer.next;
        timer.next->prev = timer.prev;
        timer.next = timer.prev = nullptr;
    }

  private:
    ListedTimer ends_;
};

} // namespace local
