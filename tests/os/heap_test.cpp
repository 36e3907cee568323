#include "lib/os/heap.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace {

class HeapTest : public testing::Test {
  protected:
    alignas(16) std::array<std::byte, 4096> chunk;
    os::Heap heap;

    void SetUp() override { heap.add(chunk); }
};

TEST_F(HeapTest, HandsOutAlignedMemoryThatDoesNotOverlap) {
    std::vector<std::pair<std::byte*, size_t>> taken;
    for (size_t bytes = 1; void* p = heap.allocate(bytes); bytes += 37) {
        EXPECT_EQ(std::bit_cast<uintptr_t>(p) % 16, 0u);
        taken.emplace_back(static_cast<std::byte*>(p), bytes);
    }
    ASSERT_GT(taken.size(), 5u);
    std::ranges::sort(taken);
    for (size_t i = 1; i < taken.size(); ++i)
        EXPECT_LE(taken[i - 1].first + taken[i - 1].second, taken[i].first);
}

TEST_F(HeapTest, JoinsEverythingAgain) {
    std::vector<void*> taken;
    std::mt19937 random{7};
    for (int i = 0; i < 40; ++i)
        if (void* p = heap.allocate(random() % 100)) taken.push_back(p);
    std::ranges::shuffle(taken, random);
    for (void* p : taken)
        heap.release(p);
    EXPECT_EQ(heap.free_bytes(), 4096u);
    EXPECT_NE(heap.allocate(4096 - 16), nullptr) << "one piece, not many";
}

TEST_F(HeapTest, AnswersNullWhenNothingFits) {
    EXPECT_EQ(heap.allocate(4096), nullptr);
    EXPECT_EQ(heap.allocate(SIZE_MAX), nullptr);
    EXPECT_EQ(heap.free_bytes(), 4096u);
    heap.release(nullptr);
}

TEST_F(HeapTest, NoticesWhatIsGivenBackTwice) {
    void* const p = heap.allocate(10);
    (void)heap.allocate(10);
    heap.release(p);
    EXPECT_ANY_THROW(heap.release(p));
}

TEST_F(HeapTest, GrowsByChunksThatNeedNotTouch) {
    alignas(16) std::array<std::byte, 256> more;
    heap.add(more);
    EXPECT_EQ(heap.free_bytes(), 4096u + 256);
}

} // namespace
