#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "lib/async/frame_pool.hpp"

namespace {

TEST(FramePool, ManySmallFramesDoNotKeepLargeOnesOutForEver) {
    std::vector<std::byte> memory(64 * 1024);
    async::FramePool pool{memory};
    for (int round = 0; round < 3; ++round) {
        std::vector<void*> frames;
        while (void* const frame = pool.allocate(64))
            frames.push_back(frame);
        EXPECT_GT(frames.size(), 400u);
        EXPECT_EQ(pool.allocate(4000), nullptr);
        void* const kept = frames[100]; // somebody always stays
        frames.erase(frames.begin() + 100);
        for (void* frame : frames)
            async::FramePool::release(frame);
        std::vector<void*> large;
        while (void* const frame = pool.allocate(4000)) {
            std::memset(frame, 0xee, 4000);
            large.push_back(frame);
        }
        EXPECT_GE(large.size(), 14u);
        EXPECT_EQ(pool.used(), large.size() + 1);
        EXPECT_EQ(pool.allocate(4000), nullptr);
        async::FramePool::release(kept);
        for (void* frame : large)
            async::FramePool::release(frame);
    }
    EXPECT_EQ(pool.used(), 0u);
}

TEST(FramePool, LooksForRoomAgainAfterARelease) {
    alignas(16) std::array<std::byte, 5 * 128> memory;
    async::FramePool pool{memory};
    std::array<void*, 5> frames;
    for (void*& frame : frames)
        frame = pool.allocate(64);
    ASSERT_NE(frames.back(), nullptr);
    async::FramePool::release(frames[1]);
    async::FramePool::release(frames[3]);
    EXPECT_EQ(pool.allocate(200), nullptr) << "no two that are free lie side by side";
    void* const again = pool.allocate(64);
    void* const other = again == frames[1] ? frames[0] : frames[2];
    async::FramePool::release(other); // as many are in use as when it was refused
    void* const large = pool.allocate(200);
    EXPECT_NE(large, nullptr);
    for (void* const frame : {again, large, frames[4], other == frames[0] ? frames[2] : frames[0]})
        if (frame != nullptr) async::FramePool::release(frame);
}

TEST(FramePool, GivesNoMemoryTwice) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random{seed};
    std::vector<std::byte> memory(16 * 1024);
    async::FramePool pool{memory};
    std::vector<std::pair<unsigned char*, size_t>> frames;
    for (int i = 0; i < 20'000; ++i) {
        const size_t bytes = 1 + random() % (random() % 4 == 0 ? 6000 : 300);
        if (random() % 2 == 0) {
            if (auto* const frame = static_cast<unsigned char*>(pool.allocate(bytes))) {
                std::memset(frame, static_cast<int>(bytes & 0xff), bytes);
                frames.push_back({frame, bytes});
            }
        } else if (!frames.empty()) {
            std::swap(frames[random() % frames.size()], frames.back());
            const auto [frame, size] = frames.back();
            frames.pop_back();
            const auto wrong = std::count_if(frame, frame + size, [&](unsigned char c) {
                return c != static_cast<unsigned char>(size & 0xff);
            });
            ASSERT_EQ(wrong, 0) << i;
            async::FramePool::release(frame);
        }
    }
    EXPECT_EQ(pool.used(), frames.size());
    for (const auto& [frame, size] : frames)
        async::FramePool::release(frame);
}

} // namespace
