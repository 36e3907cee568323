// All cores of a machine get their memory along core boot's tree, each out of what its parent got.
#include <vector>

#include <gtest/gtest.h>

#include "usr/coreboot/share.hpp"
#include "usr/coreboot/tree.hpp"
#include "usr/memory/buddy.hpp"

using namespace coreboot;
using memory::Buddy;

namespace {

constexpr uint64_t mebibyte = 1024 * 1024;
constexpr uint64_t image_bytes = 832 * 1024; // of its block, what is not RAM

CoreId core_id(size_t index) {
    return {{static_cast<uint8_t>(index)}};
}

/// As a core's CPU driver hands it to `init`, and `init` to the memory server.
void add(Buddy& memory, const Pieces& pieces) {
    uint16_t root = 0;
    const auto give = [&](uint64_t begin, uint64_t end) {
        if (begin < end) ASSERT_TRUE(memory.add(phys(begin), end - begin, root++));
    };
    const uint64_t first = pieces.all()[0].begin;
    give(first + image_bytes, first + large_page_bytes);
    bool has_quota = false;
    for (const abi::MemoryRange& r : pieces.all()) {
        uint64_t begin = r.begin == first ? r.begin + large_page_bytes : r.begin;
        if (!has_quota && begin + large_page_bytes <= r.end) {
            has_quota = true;
            begin += large_page_bytes;
        }
        give(begin, r.end);
    }
    EXPECT_TRUE(has_quota) << "init lives in a whole block";
}

uint64_t cores_below(const Tree& tree, CoreId top, unsigned count) {
    uint64_t below = 0;
    for (unsigned i = top.raw; i < count; ++i)
        below += tree.is_below(core_id(i), top) ? 1 : 0;
    return below;
}

TEST(Machine, OfTwoHundredAndFiftyFiveCoresIsSharedOutAlongTheTree) {
    constexpr unsigned count = 255;
    constexpr uint64_t all = 2030 * mebibyte, begin = 14 * mebibyte;
    abi::BootInfo info{};
    info.core_count = count;
    const Tree tree{info};
    const uint64_t share = *share_of(all, count);
    std::vector<Buddy> memory(count);
    ASSERT_TRUE(memory[0].add(phys(begin), all, 0));
    for (unsigned i = 0; i < count; ++i) {
        EXPECT_TRUE(memory[i].allocate(2 * mebibyte)) << "the monitor of core " << i;
        tree.each_child(core_id(i), [&](CoreId child) {
            Pieces pieces;
            const uint64_t wanted = cores_below(tree, child, count) * share;
            pieces.collect(wanted, [&](uint64_t bytes) -> std::optional<PhysAddr> {
                const auto block = memory[i].allocate(bytes);
                return block ? std::optional{block->base} : std::nullopt;
            });
            ASSERT_EQ(pieces.bytes(), wanted) << "core " << unsigned{child.raw};
            add(memory[child.raw], pieces);
        });
        EXPECT_TRUE(memory[i].allocate(mebibyte)) << "the spawner of core " << i;
    }
}

} // namespace
