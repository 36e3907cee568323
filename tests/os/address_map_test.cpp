#include "lib/os/address_map.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tests/os/address_world.hpp"

namespace {

using namespace os_test;

TEST(Range, EndsWithAGuardPageAndHoldsNothingAtFirst) {
    World w;
    const auto a = w.reserve(3 * page_bytes), b = w.reserve(page_bytes);
    EXPECT_GE(w.begin(b), w.begin(a) + 4 * page_bytes);
    for (uint64_t i = 0; i < 5; ++i)
        EXPECT_FALSE(w.map.on_fault(virt(w.begin(a) + i * page_bytes)));
    EXPECT_FALSE(w.map.on_fault(virt(0)));
    EXPECT_FALSE(w.map.on_fault(virt(~uint64_t{0})));
}

TEST(Range, RefusesWhatDoesNotFitAndLeavesItAsItWas) {
    World w;
    const auto id = w.reserve(2 * page_bytes);
    const CapSlot frame = w.kernel.foreign_frame(4 * page_bytes);
    EXPECT_EQ(w.map_frame(id, page_bytes, frame, 2 * page_bytes).error(), Err::range_bounds);
    EXPECT_EQ(w.map_frame(id, 1, frame, page_bytes).error(), Err::misaligned);
    EXPECT_EQ(w.map_frame(id, ~uint64_t{0xfff}, frame, page_bytes).error(), Err::range_bounds);
    EXPECT_EQ(w.map_frame(id, 0, {{9999}}, page_bytes).error(), Err::cap_empty);
    ASSERT_TRUE(w.map_frame(id, 0, frame, page_bytes));
    EXPECT_EQ(w.map_frame(id, 0, frame, 2 * page_bytes).error(), Err::exists);
    EXPECT_FALSE(w.kernel.walk(w.begin(id) + page_bytes));
    EXPECT_EQ(w.map.reserve(0, page_bytes).error(), Err::bad_argument);
    EXPECT_EQ(w.map.reserve(~uint64_t{0} - 5000, page_bytes).error(), Err::bad_argument);
}

TEST(Pages, AreAsLargeAsAddressesAndSizesAllow) {
    World w{4 * gib};
    const auto frame = w.kernel.make_frame(gib + 2 * mib + 3 * page_bytes, gib);
    ASSERT_TRUE(frame);
    const auto id = w.reserve(frame->extent.bytes(), gib);
    ASSERT_TRUE(w.map_frame(id, 0, frame->slot, frame->extent.bytes()));
    EXPECT_EQ(w.kernel.walk(w.begin(id) + gib - 1)->level, 3u);
    EXPECT_EQ(w.kernel.walk(w.begin(id) + gib + mib)->level, 2u);
    const auto last = w.kernel.walk(w.begin(id) + gib + 2 * mib + 2 * page_bytes + 5);
    EXPECT_EQ(last->level, 1u);
    EXPECT_EQ(
        last->physical, quota_base + frame->extent.begin + gib + 2 * mib + 2 * page_bytes + 5
    );
}

TEST(Pages, OfOneGibibyteOnlyWhereTheProcessorHasThem) {
    World w{4 * gib};
    w.kernel.highest = 2;
    const auto frame = w.kernel.make_frame(gib, gib);
    const auto id = w.reserve(gib, gib);
    ASSERT_TRUE(w.map_frame(id, 0, frame->slot, gib));
    EXPECT_EQ(w.kernel.walk(w.begin(id) + gib / 2)->level, 2u);
}

TEST(Pages, SmallOnesUntilPhysicalAndVirtualAddressAgree) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(5 * mib, foreign_base + 2 * mib - page_bytes);
    const auto id = w.reserve(5 * mib, 2 * mib, 2 * mib - page_bytes);
    ASSERT_TRUE(w.map_frame(id, 0, frame, 5 * mib));
    EXPECT_EQ(w.kernel.walk(w.begin(id))->level, 1u);
    EXPECT_EQ(w.kernel.walk(w.begin(id) + page_bytes)->level, 2u);
    EXPECT_EQ(w.kernel.walk(w.begin(id) + 5 * mib - 1)->level, 1u);
}

TEST(Pages, LargeOnesMayFollowWhereSmallOnesWere) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(4 * mib);
    const auto id = w.reserve(4 * mib, 2 * mib);
    ASSERT_TRUE(w.map_frame(id, page_bytes, frame, page_bytes));
    ASSERT_TRUE(w.map.unmap(id, page_bytes, page_bytes));
    ASSERT_TRUE(w.map_frame(id, 0, frame, 4 * mib));
    EXPECT_EQ(w.kernel.walk(w.begin(id))->level, 2u);
}

TEST(Protect, OfAPartLeavesTheRestAsItWas) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(6 * mib);
    const auto id = w.reserve(6 * mib, 2 * mib);
    ASSERT_TRUE(w.map_frame(id, 0, frame, 6 * mib));
    const uint64_t at = 2 * mib + 7 * page_bytes;
    ASSERT_TRUE(w.map.protect(id, at, 3 * page_bytes, abi::read));
    for (uint64_t page = 0; page < 6 * mib; page += page_bytes) {
        const auto seen = w.kernel.walk(w.begin(id) + page);
        ASSERT_TRUE(seen);
        EXPECT_EQ(seen->physical, foreign_base + page);
        const bool inside = page >= at && page < at + 3 * page_bytes;
        EXPECT_EQ(seen->rights, inside ? abi::read : rw);
    }
    EXPECT_EQ(w.kernel.walk(w.begin(id))->level, 2u);
}

TEST(Protect, NeverGivesMoreThanTheFrame) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(2 * page_bytes);
    const auto id = w.reserve(3 * page_bytes);
    ASSERT_TRUE(w.map.map(id, 0, {frame, 0, 2 * page_bytes, abi::read}));
    EXPECT_EQ(w.map.protect(id, 0, 3 * page_bytes, rw).error(), Err::not_mapped);
    ASSERT_TRUE(w.map.protect(id, 0, 2 * page_bytes, rw));
    EXPECT_EQ(w.kernel.walk(w.begin(id))->rights, rw);
}

TEST(Split, NeedsTheFrameWhereItWas) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(2 * page_bytes);
    const auto id = w.reserve(2 * page_bytes);
    ASSERT_TRUE(w.map_frame(id, 0, frame, 2 * page_bytes));
    w.kernel.rebase(frame, foreign_base + gib); // its owner's slot holds another frame by now
    EXPECT_EQ(w.map.unmap(id, 0, page_bytes).error(), Err::bad_state);
    EXPECT_EQ(w.kernel.walk(w.begin(id))->physical, foreign_base);
}

TEST(Backing, SaysWhichPartOfWhichFrameIsSeen) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(4 * page_bytes);
    const auto id = w.reserve(4 * page_bytes);
    ASSERT_TRUE(w.map.map(id, page_bytes, {frame, 2 * page_bytes, 2 * page_bytes, abi::read}));
    const auto b = w.map.backing_of(virt(w.begin(id) + 2 * page_bytes + 5));
    ASSERT_TRUE(b);
    EXPECT_EQ(b->frame, frame);
    EXPECT_EQ(b->offset, 3 * page_bytes + 5);
    EXPECT_EQ(b->rest, page_bytes - 5);
    EXPECT_EQ(b->rights, abi::read);
    EXPECT_EQ(w.map.backing_of(virt(w.begin(id))).error(), Err::not_mapped);
}

// -- nothing gets lost --

TEST(AddressMap, WhatWasTakenComesBack) {
    World w;
    const auto once = [&] {
        const CapSlot frame = w.kernel.foreign_frame(8 * mib);
        const auto a = w.reserve(8 * mib, 2 * mib), b = w.on_demand(4 * mib, 64 * kib);
        EXPECT_TRUE(w.map_frame(a, 0, frame, 8 * mib));
        EXPECT_TRUE(w.map.protect(a, 5 * page_bytes, 3 * mib, abi::read));
        EXPECT_TRUE(w.map.commit(b, 0, 2 * mib));
        w.map.remove(a);
        w.map.remove(b);
        w.kernel.revoke(frame);
    };
    once();
    once();
    const uint64_t quota = w.kernel.free_quota();
    const size_t slots = w.kernel.slots();
    for (int i = 0; i < 10; ++i)
        once();
    EXPECT_EQ(w.kernel.free_quota(), quota);
    EXPECT_EQ(w.kernel.slots(), slots);
}

TEST(AddressMap, AFailureAtAnyStepLeavesNothingBehind) {
    for (int step = 0; step < 60; ++step) {
        World w;
        const auto warm = w.reserve(page_bytes);
        ASSERT_TRUE(w.map_frame(warm, 0, w.kernel.foreign_frame(page_bytes), page_bytes));
        const CapSlot frame = w.kernel.foreign_frame(9 * mib + page_bytes, foreign_base + gib);
        const auto id = w.reserve(10 * mib, 2 * mib);
        w.kernel.fail_after = step;
        const auto mapped = w.map_frame(id, 0, frame, 9 * mib + page_bytes);
        w.kernel.fail_after = -1;
        if (mapped) {
            EXPECT_GT(step, 10);
            return;
        }
        for (uint64_t at = 0; at < 10 * mib; at += page_bytes)
            ASSERT_FALSE(w.kernel.walk(w.begin(id) + at)) << step;
        ASSERT_TRUE(w.map_frame(id, 0, frame, 9 * mib + page_bytes)) << step;
    }
    FAIL() << "it never succeeded";
}

/// Calls `change(map, id, step)` on a map of large and small pages, which may fail at any step:
/// then each page is seen as before. Ends when it has succeeded.
template <class Change>
void fail_at_every_step(Change&& change) {
    for (int step = 0; step < 60; ++step) {
        SCOPED_TRACE(step);
        World w{4 * gib};
        const auto frame = w.kernel.make_frame(2 * gib + 2 * mib, gib);
        const auto id = w.reserve(frame->extent.bytes(), gib);
        ASSERT_TRUE(w.map_frame(id, 0, frame->slot, frame->extent.bytes()));
        const auto first = w.kernel.walk(w.begin(id));
        const size_t slots = w.kernel.slots();
        w.kernel.fail_after = step;
        const auto changed = change(w.map, id);
        w.kernel.fail_after = -1;
        if (changed) {
            EXPECT_GT(step, 3);
            return;
        }
        for (uint64_t at = 0; at < frame->extent.bytes(); at += 512 * kib) {
            const auto seen = w.kernel.walk(w.begin(id) + at);
            ASSERT_TRUE(seen) << at;
            ASSERT_EQ(seen->physical, first->physical + at);
            ASSERT_EQ(seen->rights, rw);
        }
        EXPECT_TRUE(change(w.map, id));
        w.map.remove(id);
        EXPECT_LE(w.kernel.slots(), slots + 8) << "spare tables and their slots stay";
    }
    FAIL() << "it never succeeded";
}

TEST(AddressMap, AProtectThatFailsAtAnyStepTakesNothingAway) {
    fail_at_every_step([](AddressMap& map, AddressMap::Id id) {
        return map.protect(id, gib + 5 * page_bytes, page_bytes, abi::read);
    });
}

TEST(AddressMap, AnUnmapThatFailsAtAnyStepTakesNothingAway) {
    fail_at_every_step([](AddressMap& map, AddressMap::Id id) {
        return map.unmap(id, gib + 4 * mib - page_bytes, 2 * page_bytes);
    });
}

TEST(AddressMap, WhatIsTakenBackWhileItIsSplitIsDeadAndNotMissing) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(6 * mib);
    const auto id = w.reserve(6 * mib, 2 * mib);
    ASSERT_TRUE(w.map_frame(id, 0, frame, 6 * mib));
    w.kernel.after_unmap = [&] { w.kernel.revoke(frame); };
    EXPECT_TRUE(w.map.protect(id, 5 * page_bytes, page_bytes, abi::read));
    for (uint64_t at = 0; at < 6 * mib; at += page_bytes)
        ASSERT_TRUE(w.touch(w.begin(id) + at)) << at;
    EXPECT_TRUE(w.map.is_dead(id));
    w.map.remove(id);
}

TEST(AddressMap, AWantOfAddressesIsNoWantOfMemory) {
    World w;
    const auto pages = w.reserve(200 * page_bytes);
    while (w.map.reserve(page_bytes, page_bytes)) {
    }
    const CapSlot frame = w.kernel.foreign_frame(page_bytes);
    uint64_t at = 0;
    while (at < 200 * page_bytes && w.map_frame(pages, at, frame, page_bytes))
        at += 2 * page_bytes;
    ASSERT_LT(at, 200 * page_bytes) << "no more can be noted";
    const uint64_t quota = w.kernel.free_quota();
    const size_t slots = w.kernel.slots();
    for (int i = 0; i < 10; ++i)
        EXPECT_EQ(w.map_frame(pages, at, frame, page_bytes).error(), Err::no_space);
    EXPECT_EQ(w.kernel.free_quota(), quota);
    EXPECT_EQ(w.kernel.slots(), slots);
}

TEST(AddressMap, GrowthThatFailsAtAnyStepLeavesNothingBehind) {
    for (int step = 0; step < 2; ++step) { // a frame, and a slot for its mapping
        World w;
        const auto pages = w.reserve(200 * page_bytes);
        const CapSlot frame = w.kernel.foreign_frame(page_bytes);
        ASSERT_TRUE(w.map_frame(pages, 0, frame, page_bytes));
        unsigned failed = 0;
        for (uint64_t at = 2 * page_bytes; at < 200 * page_bytes; at += 2 * page_bytes) {
            const uint64_t quota = w.kernel.free_quota();
            w.kernel.fail_after = step;
            const bool mapped = w.map_frame(pages, at, frame, page_bytes).has_value();
            w.kernel.fail_after = -1;
            if (mapped) continue;
            ++failed;
            EXPECT_EQ(w.kernel.free_quota(), quota) << step;
            ASSERT_TRUE(w.map_frame(pages, at, frame, page_bytes));
        }
        EXPECT_GT(failed, 0u);
    }
}

/// Any order of map, unmap, protect and touch, beside a list of what every page has to be.
TEST(AddressMap, AgreesWithALookAtEveryPage) {
    constexpr uint64_t pages = 1536; // three large ones
    for (uint64_t seed = 1; seed <= 30; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937_64 random{seed};
        World w;
        const CapSlot frame = w.kernel.foreign_frame(pages * page_bytes);
        const auto id = w.reserve(pages * page_bytes, 2 * mib);
        std::map<uint64_t, std::pair<uint64_t, Rights>> wanted;
        for (int step = 0; step < 120; ++step) {
            const bool even = random() % 2 == 0;
            const uint64_t first = even ? random() % 3 * 512 : random() % pages;
            const uint64_t count = even ? 512 : 1 + random() % (pages - first);
            const uint64_t at = first * page_bytes, bytes = count * page_bytes;
            uint64_t present = 0;
            for (uint64_t p = first; p < first + count; ++p)
                present += wanted.count(p);
            switch (random() % 3) {
            case 0: {
                const bool done = w.map.map(id, at, {frame, at, bytes, rw}).has_value();
                ASSERT_EQ(done, present == 0);
                for (uint64_t p = first; done && p < first + count; ++p)
                    wanted[p] = {foreign_base + p * page_bytes, rw};
                break;
            }
            case 1: {
                ASSERT_TRUE(w.map.unmap(id, at, bytes));
                for (uint64_t p = first; p < first + count; ++p)
                    wanted.erase(p);
                break;
            }
            default: {
                const Rights rights = random() % 2 == 0 ? abi::read : rw;
                const bool done = w.map.protect(id, at, bytes, rights).has_value();
                ASSERT_EQ(done, present == count);
                for (uint64_t p = first; done && p < first + count; ++p)
                    wanted[p].second = rights;
            }
            }
            for (uint64_t p = 0; p < pages; ++p) {
                const auto seen = w.kernel.walk(w.begin(id) + p * page_bytes);
                ASSERT_EQ(seen.has_value(), wanted.contains(p)) << step << " page " << p;
                if (!seen) continue;
                ASSERT_EQ(seen->physical, wanted[p].first);
                ASSERT_EQ(seen->rights, wanted[p].second);
            }
        }
    }
}

} // namespace
