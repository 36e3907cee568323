// The kernel half of every address space on this core: image with W^X and guard pages, the window
// to the RAM that this core owns and to no other, and the registers it drives itself. All tables
// lie in the core's own image block.
// Source: Intel SDM vol. 3A 4.5, 4.10.2.4 (global pages).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "lib/abi/boot_info.hpp"
#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"

namespace cpu {

constexpr VirtAddr window_begin = virt(0xffff'8000'0000'0000);
constexpr VirtAddr device_area = virt(0xffff'ff00'0000'0000);

class Paging {
  public:
    /// Builds the tables; the start-up tables are in force until `enter`. NX must be on.
    void build(const abi::BootInfo& info);
    void enter() const;

    PhysAddr root() const { return root_; }

    static std::byte* window() { return std::bit_cast<std::byte*>(window_begin.raw); }

    /// Uncached, for ever. Pages follow each other from device_area on.
    std::byte* map_device(PhysAddr page);

    /// Read-only, for the time of booting: [at, at + bytes), less than 1 GiB.
    const std::byte* lend(PhysAddr at, uint64_t bytes);
    void end_lend();

    /// The window forgets [begin, end), 2 MiB-aligned.
    void disown(PhysAddr begin, PhysAddr end);
    /// It shows [begin, end) from now on, 2 MiB-aligned. Its tables come from what is free in the
    /// image block. Errors, nothing changed: no_space.
    Result<> own(PhysAddr begin, PhysAddr end);

#ifdef PLANTED_FALSE_MOVE
    /// What `make check-isolation` must catch: announced as given away, and kept.
    std::byte* kept() const { return kept_; }
#endif

  private:
    using Table = std::array<uint64_t, 512>;

    PhysAddr new_table();
    Table& table(PhysAddr at) const;
    Table& next(Table& from, unsigned index);
    Table& window_directory(uint64_t at);
    void map_image(const abi::BootInfo& info);
    void map_window(const abi::BootInfo& info);
    static bool is_in_block(const abi::MemoryRange& r, const abi::BootInfo& info);
    template <class Visit>
    void each_block(uint64_t begin, uint64_t end, Visit&& visit);
    void map_blocks(uint64_t begin, uint64_t end);
    bool has_directory(uint64_t at) const;

    PhysAddr block_{}, free_{}, tables_end_{}, root_{};
    Table* window_pointers_{};
    Table* device_pages_{};
    Table* lent_pages_{};
    unsigned devices_{};
#ifdef PLANTED_FALSE_MOVE
    std::byte* kept_{};
#endif
};

} // namespace cpu
