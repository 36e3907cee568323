// How much memory a core starts with, and in which pieces it comes: of its own NUMA node where the
// firmware tells of nodes, each core of a node the same.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <span>

#include "lib/abi/boot_info.hpp"
#include "lib/base/result.hpp"

namespace coreboot {

/// What a core needs for itself: image and tables, init, monitor, memory server, spawner.
constexpr uint64_t smallest_share = 6 * 1024 * 1024;
constexpr uint64_t comfortable_share = 16 * 1024 * 1024;

/// A core's RAM, the same for each: the largest power of two that leaves core 0 a quarter and
/// more of all; where that is little, whole blocks that leave it a fifth. Errors: no_memory (not
/// even the smallest share each).
constexpr Result<uint64_t> share_of(uint64_t total_bytes, uint64_t cores) {
    if (cores == 0) return fail(Err::bad_argument);
    const uint64_t good = std::bit_floor(total_bytes / 4 * 3 / cores);
    if (good >= comfortable_share) return good;
    const uint64_t most = round_down(total_bytes / 5 * 4 / cores, large_page_bytes);
    if (most < smallest_share) return fail(Err::no_memory);
    return std::min(most, comfortable_share);
}

constexpr uint64_t overlap_of(const abi::MemoryRange& a, const abi::NodeMemory& b) {
    const uint64_t begin = std::max(a.begin, b.begin), end = std::min(a.end, b.end);
    return begin < end ? end - begin : 0;
}

/// RAM of the machine that lies in that node.
constexpr uint64_t bytes_in_node(const abi::BootInfo& info, uint64_t node) {
    uint64_t sum = 0;
    for (const abi::NodeMemory& m : std::span{info.node_memory}.first(info.node_memory_count))
        for (const abi::MemoryRange& r : std::span{info.ram}.first(info.ram_count))
            if (m.node == node) sum += overlap_of(r, m);
    return sum;
}

/// How much a core of `node` gets: of its node's memory where there are nodes, so that core 0 keeps
/// a quarter and more of its own node; else, and where a node has too little, of all memory evenly.
/// Errors: no_memory.
constexpr Result<uint64_t>
share_for(const abi::BootInfo& info, uint64_t total_bytes, uint64_t node) {
    const auto even = share_of(total_bytes, info.core_count);
    if (info.node_count == 0) return even;
    uint64_t cores = 0;
    for (const abi::CoreEntry& other : std::span{info.cores}.first(info.core_count))
        cores += other.node == node ? 1 : 0;
    if (cores == 0) return even;
    const uint64_t bytes = std::min(bytes_in_node(info, node), total_bytes);
    if (info.cores[0].node != node)
        return bytes / cores < comfortable_share ? even : std::bit_floor(bytes / cores);
    const auto share = share_of(bytes, cores);
    return share ? share : even;
}

/// Memory that a core starts with, in blocks as the memory server has them.
class Pieces {
  public:
    // So many that the hand-over page and the memory server there have room for more.
    static constexpr size_t most = 24;

    std::span<const abi::MemoryRange> all() const { return std::span{pieces_}.first(count_); }

    uint64_t bytes() const {
        uint64_t sum = 0;
        for (const abi::MemoryRange& r : all())
            sum += r.end - r.begin;
        return sum;
    }

    /// False: there is no room.
    bool add(const abi::MemoryRange& range) {
        if (count_ == most) return false;
        pieces_[count_++] = range;
        return true;
    }

    /// Collects `bytes`, the largest blocks first: take(bytes) answers where one of that size lies,
    /// if there is one. What there is not, is left out.
    template <class Take>
    void collect(uint64_t bytes, Take&& take) {
        uint64_t size = std::bit_floor(bytes);
        while (bytes >= large_page_bytes && count_ < most) {
            size = std::min(size, std::bit_floor(bytes));
            if (size < large_page_bytes) return;
            if (const std::optional<PhysAddr> at = take(size)) {
                (void)add({at->raw, at->raw + size});
                bytes -= size;
            } else {
                size /= 2;
            }
        }
    }

  private:
    std::array<abi::MemoryRange, most> pieces_{};
    size_t count_{};
};

} // namespace coreboot
