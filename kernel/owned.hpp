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
        for (uint64_t i = first(begin); i < beyond(end); ++i) {
            const uint64_t bit = uint64_t{1} << i % 64;
            uint64_t& word = words_[static_cast<size_t>(i / 64)];
            word = owned ? word | bit : word & ~bit;
        }
    }

    /// Is any block owned that [begin, end) touches?
    bool any(uint64_t begin, uint64_t end) const {
        uint64_t i = first(begin);
        while (i < beyond(end)) {
            const uint64_t word = words_[static_cast<size_t>(i / 64)];
            if ((word >> i % 64 & 1) != 0) return true;
            i = word == 0 ? (i / 64 + 1) * 64 : i + 1;
        }
        return false;
    }

  private:
    static constexpr uint64_t blocks = limit / large_page_bytes;

    static uint64_t first(uint64_t begin) { return begin / large_page_bytes; }

    static uint64_t beyond(uint64_t end) {
        const uint64_t i = (end - 1) / large_page_bytes + 1;
        return i < blocks ? i : blocks;
    }

    std::array<uint64_t, blocks / 64> words_{};
};

} // namespace kernel
