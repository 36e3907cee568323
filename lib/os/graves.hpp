// Private pages for memory that others took back: what was mapped from a frame that somebody else
// revoked is absent now, and the first touch maps one reserved page there. Everything this takes
// exists from the first foreign mapping on, in two rings: who comes round loses the oldest page,
// and gets it back at its next touch. So it cannot run out, as no instruction touches so many
// pages.
#pragma once

#include <array>

#include "lib/os/space_source.hpp"

namespace os {

class Graves {
  public:
    constexpr Graves(SpaceSource& source, Paging& paging) : source_{&source}, paging_{&paging} {}

    /// Before something of others is mapped, with pages of up to that level. Errors: quota,
    /// no_slots.
    Result<> stock(unsigned level);

    /// Maps the reserved page at `at`, where a page of that level has gone.
    Result<> bury(VirtAddr at, unsigned level, Rights rights);

    /// Nothing in [begin, end) is one's own any more.
    void leave(uint64_t begin, uint64_t end) {
        if (any_) leave(begin, end, 2);
    }

  private:
    // An instruction touches at most two pages of code and four of data, each in a 2 MiB of its
    // own.
    static constexpr size_t pages = 12, tables = 4;

    struct Page {
        CapSlot mapping;
        bool mapped;
        uint64_t at;
    };

    struct SmallTable { // hangs where there was a large page
        CapSlot table, hang;
        uint64_t begin; // 0: hangs nowhere
    };

    using Tables = std::array<SmallTable, tables>;

    Result<CapSlot> hang_table(unsigned level, VirtAddr at, CapSlot above);
    void take_down(unsigned level, SmallTable& table);
    void leave(uint64_t begin, uint64_t end, unsigned highest);
    void empty(uint64_t begin, uint64_t end);

    SpaceSource* source_;
    Paging* paging_;
    CapSlot frame_{};
    std::array<Page, pages> pages_{};
    std::array<Tables, 2> tables_{}; // of level 1, of level 2
    std::array<size_t, 2> next_table_{};
    size_t next_page_{};
    bool any_{}; // somebody was buried
};

} // namespace os
