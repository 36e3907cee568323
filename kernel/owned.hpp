// Which 2 MiB blocks of RAM this core owns: one bit each, as far as the window to RAM reaches.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "lib/base/strong.hpp"

namespace kernel {

class OwnedBlocks {
  public:
    static constexpr uint64_t limit = uint64_t{1} << 38;

    /// Of every block that [begin, end) touches.
    void set(uint64_t begin, uint64_t end, bool owned) {
        for (Piece at = piece(first(begin), beyond(end)); at.mask != 0; at = next(at)) {
            uint64_t& word = words_[at.word];
            word = owned ? word | at.mask : word & ~at.mask;
        }
    }

    /// Is any block owned that [begin, end) touches?
    bool any(uint64_t begin, uint64_t end) const {
        for (Piece at = piece(first(begin), beyond(end)); at.mask != 0; at = next(at))
            if ((words_[at.word] & at.mask) != 0) return true;
        return false;
    }

  private:
    static constexpr uint64_t blocks = limit / large_page_bytes;

    /// What of a run of blocks lies in one word; beyond the last nothing does.
    struct Piece {
        size_t word;
        uint64_t mask;
        uint64_t rest, end; // blocks that come after it
    };

    static Piece piece(uint64_t from, uint64_t end) {
        if (from >= end) return {};
        const uint64_t in_word = from % 64, room = 64 - in_word;
        const uint64_t count = end - from < room ? end - from : room;
        const uint64_t mask = ~uint64_t{0} >> (64 - count) << in_word;
        return {static_cast<size_t>(from / 64), mask, from + count, end};
    }

    static Piece next(const Piece& p) { return piece(p.rest, p.end); }

    static uint64_t first(uint64_t begin) { return begin / large_page_bytes; }

    static uint64_t beyond(uint64_t end) {
        const uint64_t i = (end - 1) / large_page_bytes + 1;
        return i < blocks ? i : blocks;
    }

    std::array<uint64_t, blocks / 64> words_{};
};

} // namespace kernel
