// Lists of memory ranges, and what the boot program works out with them: which whole 2 MiB blocks
// are RAM, and where a run of blocks is free. Pure; the firmware's map is outside input.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "lib/abi/boot_info.hpp"
#include "lib/base/strong.hpp"
#include "lib/hw/multiboot2.hpp"

namespace boot {

using Range = abi::MemoryRange;

constexpr bool overlap(Range a, Range b) {
    return a.begin < b.end && b.begin < a.end;
}

/// Half-open ranges in any order. When it is full, more is forgotten: RAM is lost, never invented.
class Ranges {
  public:
    static constexpr size_t most = 256;

    constexpr std::span<const Range> all() const { return std::span{range_}.first(count_); }

    constexpr uint32_t forgotten() const { return forgotten_; }

    constexpr void add(Range r) {
        if (r.begin >= r.end) return;
        if (count_ == most)
            ++forgotten_;
        else
            range_[count_++] = r;
    }

    /// Cuts `gone` out of every range; what is left is in no particular order.
    constexpr void subtract(Range gone) {
        const size_t before = count_;
        for (size_t i = 0; i < before; ++i) {
            const Range r = range_[i];
            if (!overlap(r, gone)) continue;
            range_[i] = {r.begin, std::max(r.begin, gone.begin)};
            add({std::max(gone.end, r.begin), r.end});
        }
        drop_empty();
    }

    /// Ascending order; ranges that touch or overlap become one.
    constexpr void merge() {
        const std::span used = std::span{range_}.first(count_);
        std::ranges::sort(used, {}, &Range::begin);
        size_t kept = 0;
        for (const Range r : used) {
            if (kept > 0 && r.begin <= range_[kept - 1].end)
                range_[kept - 1].end = std::max(range_[kept - 1].end, r.end);
            else
                range_[kept++] = r;
        }
        count_ = kept;
    }

    /// Rounds every range inwards.
    constexpr void shrink_to(uint64_t alignment) {
        for (Range& r : std::span{range_}.first(count_)) {
            r.begin = r.begin > ~uint64_t{0} - alignment ? r.end : round_up(r.begin, alignment);
            r.end = std::max(r.begin, round_down(r.end, alignment));
        }
        drop_empty();
    }

    constexpr uint64_t bytes() const {
        uint64_t sum = 0;
        for (const Range r : all())
            sum += r.end - r.begin;
        return sum;
    }

  private:
    constexpr void drop_empty() {
        const auto end = std::remove_if(
            range_.begin(),
            range_.begin() + static_cast<std::ptrdiff_t>(count_),
            [](Range r) { return r.begin >= r.end; }
        );
        count_ = static_cast<size_t>(end - range_.begin());
    }

    std::array<Range, most> range_{};
    size_t count_{};
    uint32_t forgotten_{};
};

/// What the firmware calls available and does not also call something else; sorted.
constexpr Ranges available(std::span<const hw::multiboot2::MemoryRange> map) {
    using hw::multiboot2::MemoryType;
    Ranges ram;
    for (const auto& r : map)
        if (r.type == MemoryType::available) ram.add({r.base.raw, r.base.raw + r.bytes});
    ram.merge();
    for (const auto& r : map)
        if (r.type != MemoryType::available) ram.subtract({r.base.raw, r.base.raw + r.bytes});
    ram.merge();
    return ram;
}

/// The blocks that core 0 will own: whole, from 2 MiB (below lie the boot program, the firmware's
/// data and the start-up pages) to the end of the CPU driver's window.
constexpr Ranges whole_blocks(Ranges ram, uint64_t window_end) {
    ram.subtract({0, large_page_bytes});
    ram.subtract({window_end, ~uint64_t{0}});
    ram.shrink_to(large_page_bytes);
    ram.merge();
    return ram;
}

/// The lowest place below 4 GiB for `bytes`, block-aligned, that overlaps nothing of `taken`.
constexpr std::optional<uint64_t>
find_run(const Ranges& blocks, uint64_t bytes, std::span<const Range> taken) {
    constexpr uint64_t limit = uint64_t{1} << 32;
    for (const Range r : blocks.all()) {
        uint64_t at = r.begin;
        while (at + bytes <= std::min(r.end, limit)) {
            const Range run{at, at + bytes};
            const auto hit = std::ranges::find_if(taken, [&](Range t) { return overlap(t, run); });
            if (hit == taken.end()) return at;
            at = round_up(hit->end, large_page_bytes);
        }
    }
    return std::nullopt;
}

/// Two pages below 640 KiB for starting cores; not the first 32 KiB, where firmware keeps data.
constexpr std::optional<uint64_t> find_start_pages(const Ranges& ram) {
    constexpr uint64_t lowest = 0x8000, end = 0xa0000, bytes = 2 * page_bytes;
    for (const Range r : ram.all()) {
        const uint64_t at = std::max(lowest, round_up(r.begin, page_bytes));
        if (at + bytes <= std::min(r.end, end)) return at;
    }
    return std::nullopt;
}

/// The addresses below 4 GiB that are left for device registers: above all that the firmware
/// mentions, below the I/O APIC.
constexpr Range pci_window(std::span<const hw::multiboot2::MemoryRange> map) {
    constexpr uint64_t end = 0xfec0'0000;
    uint64_t begin = 0;
    for (const auto& r : map)
        if (r.base.raw + r.bytes <= end) begin = std::max(begin, r.base.raw + r.bytes);
    return {round_up(begin, large_page_bytes), end};
}

} // namespace boot
