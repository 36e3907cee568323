#include "lib/os/address_map.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tests/os/fake_kernel.hpp"

namespace {

using namespace os_test;
using os::AddressMap, os::Busy;

constexpr Rights rw = abi::read | abi::write;
constexpr uint64_t kib = 1024, mib = 1024 * kib, gib = 1024 * mib;

struct World {
    explicit World(uint64_t quota = 64 * mib) : kernel{quota} {}

    AddressMap::Id reserve(uint64_t bytes, uint64_t align = page_bytes, uint64_t lead = 0) {
        return *map.reserve(bytes, align, lead);
    }

    AddressMap::Id on_demand(uint64_t bytes, uint64_t granule) {
        const auto id = reserve(bytes, granule);
        EXPECT_TRUE(map.make_on_demand(id, granule, rw));
        return id;
    }

    uint64_t begin(AddressMap::Id id) const { return map.begin_of(id).raw; }

    /// What the processor and the upcall do together.
    bool touch(uint64_t at) {
        if (kernel.walk(at)) return true;
        return map.on_fault(virt(at)) && kernel.walk(at).has_value();
    }

    Result<> map_frame(AddressMap::Id id, uint64_t at, CapSlot frame, uint64_t bytes) {
        return map.map(id, at, {frame, 0, bytes, rw});
    }

    FakeKernel kernel;
    AddressMap::Room room{};
    AddressMap map{root, kernel, room};
};

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

// -- on demand --

class OnDemand : public testing::TestWithParam<uint64_t> {};

INSTANTIATE_TEST_SUITE_P(
    Granules,
    OnDemand,
    testing::Values(4 * kib, 64 * kib, 2 * mib),
    [](const auto& granule) { return std::to_string(granule.param / kib) + "KiB"; }
);

TEST_P(OnDemand, GranulesAppearZeroedAtTheirTouchAndNowhereElse) {
    World w;
    const auto id = w.on_demand(8 * GetParam(), GetParam());
    EXPECT_FALSE(w.kernel.walk(w.begin(id)));
    ASSERT_TRUE(w.touch(w.begin(id) + 3 * GetParam() + 17));
    for (uint64_t g = 0; g < 8; ++g)
        for (uint64_t page = 0; page < GetParam(); page += page_bytes)
            EXPECT_EQ(w.kernel.walk(w.begin(id) + g * GetParam() + page).has_value(), g == 3);
    EXPECT_TRUE(w.kernel.is_zero(w.begin(id) + 3 * GetParam()));
    EXPECT_EQ(w.kernel.walk(w.begin(id) + 3 * GetParam())->rights, rw);
    EXPECT_FALSE(w.touch(w.begin(id) + 8 * GetParam())); // the guard page
}

TEST_P(OnDemand, MemoryThatComesBackIsZeroAgain) {
    World w{16 * mib};
    const auto id = w.on_demand(8 * GetParam(), GetParam());
    for (int round = 0; round < 50; ++round) {
        const uint64_t at = w.begin(id) + static_cast<uint64_t>(round % 8) * GetParam();
        ASSERT_TRUE(w.touch(at)) << round;
        for (uint64_t page = 0; page < GetParam(); page += page_bytes) {
            ASSERT_TRUE(w.kernel.is_zero(at + page)) << round;
            w.kernel.dirty(at + page);
        }
        if (round % 3 == 0) ASSERT_TRUE(w.map.unmap(id, at - w.begin(id), GetParam()));
        if (round % 8 == 7) ASSERT_TRUE(w.map.unmap(id, 0, 8 * GetParam()));
    }
}

TEST_P(OnDemand, InsideTheBooksATouchTakesOnlyWhatLiesReady) {
    World w;
    const auto id = w.on_demand(64 * GetParam(), GetParam());
    ASSERT_TRUE(w.touch(w.begin(id)));
    const unsigned before = w.kernel.takings;
    {
        const Busy busy;
        ASSERT_TRUE(w.touch(w.begin(id) + 40 * GetParam()));
        EXPECT_EQ(w.kernel.takings, before);
    }
    for (uint64_t i = 0; i < 16; ++i)
        ASSERT_TRUE(w.touch(w.begin(id) + i * GetParam()));
    EXPECT_GT(w.kernel.takings, before); // what was taken is there again
}

TEST(Demand, EightTouchesInsideTheBooksAreServedAfterEveryOtherOne) {
    World w;
    const auto id = w.on_demand(gib, page_bytes);
    uint64_t at = w.begin(id);
    for (int round = 0; round < 20; ++round) {
        ASSERT_TRUE(w.touch(at += 100 * page_bytes));
        const Busy busy;
        for (uint64_t i = 0; i < 8; ++i)
            ASSERT_TRUE(w.touch(at += page_bytes)) << round << " " << i;
    }
}

TEST(Demand, AUsedUpQuotaIsTheAnswerOfCommitAndTheTroubleOfATouch) {
    World w{2 * mib};
    const auto id = w.on_demand(16 * mib, 64 * kib);
    EXPECT_EQ(w.map.commit(id, 0, 16 * mib).error(), Err::quota);
    uint64_t at = 0;
    while (w.touch(w.begin(id) + at))
        at += 64 * kib;
    EXPECT_GT(at, mib);
    EXPECT_LT(at, 2 * mib);
    EXPECT_EQ(w.map.trouble(), Err::quota);
    // What is there stays usable, and what is given back can be had again.
    ASSERT_TRUE(w.map.unmap(id, 0, mib));
    EXPECT_TRUE(w.touch(w.begin(id) + at));
}

TEST(Demand, CommitBringsEverythingInAndKeepsWhatIsThere) {
    World w;
    const auto id = w.on_demand(mib, 64 * kib);
    ASSERT_TRUE(w.touch(w.begin(id) + 100 * kib));
    w.kernel.dirty(w.begin(id) + 100 * kib);
    ASSERT_TRUE(w.map.commit(id, 0, mib));
    for (uint64_t at = 0; at < mib; at += page_bytes)
        ASSERT_TRUE(w.kernel.walk(w.begin(id) + at));
    EXPECT_FALSE(w.kernel.is_zero(w.begin(id) + 100 * kib));
}

TEST(Demand, ProtectOfAPartOfAGranuleGivesItBackOnceAndWhole) {
    World w;
    const auto id = w.on_demand(mib, 64 * kib);
    ASSERT_TRUE(w.map.protect(id, 68 * kib, 8 * kib, abi::read));
    EXPECT_EQ(w.kernel.walk(w.begin(id) + 68 * kib)->rights, abi::read);
    EXPECT_EQ(w.kernel.walk(w.begin(id) + 76 * kib)->rights, rw);
    EXPECT_EQ(w.kernel.walk(w.begin(id) + 64 * kib)->rights, rw);
    EXPECT_EQ(w.map.unmap(id, 68 * kib, 4 * kib).error(), Err::misaligned);
    ASSERT_TRUE(w.map.unmap(id, 64 * kib, 64 * kib));
    EXPECT_FALSE(w.kernel.walk(w.begin(id) + 76 * kib));
    ASSERT_TRUE(w.touch(w.begin(id) + 68 * kib));
    EXPECT_EQ(w.kernel.walk(w.begin(id) + 68 * kib)->rights, rw);
}

TEST(Demand, RefusesSizesAndRightsThatAreNone) {
    World w;
    const auto id = w.reserve(mib, 64 * kib);
    EXPECT_EQ(w.map.make_on_demand(id, 8 * kib, rw).error(), Err::bad_argument);
    EXPECT_EQ(w.map.make_on_demand(id, 64 * kib, abi::write).error(), Err::bad_argument);
    EXPECT_EQ(w.map.make_on_demand(id, 64 * kib, abi::all_rights).error(), Err::bad_argument);
    EXPECT_EQ(w.map.commit(id, 0, mib).error(), Err::bad_state);
    ASSERT_TRUE(w.map.make_on_demand(id, 64 * kib, rw));
    EXPECT_EQ(w.map.make_on_demand(id, 64 * kib, rw).error(), Err::bad_state);
    EXPECT_EQ(w.map_frame(id, 0, w.kernel.foreign_frame(mib), mib).error(), Err::bad_state);
}

// -- memory that others take back --

TEST(Burial, EveryPageOfAViewThatDiedCanBeTouched) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(mib);
    const auto id = w.reserve(mib);
    ASSERT_TRUE(w.map_frame(id, 0, frame, mib));
    EXPECT_FALSE(w.map.is_dead(id));
    w.kernel.revoke(frame);
    const unsigned before = w.kernel.takings;
    for (int round = 0; round < 3; ++round)
        for (uint64_t at = 0; at < mib; at += page_bytes)
            ASSERT_TRUE(w.touch(w.begin(id) + at)) << at;
    EXPECT_TRUE(w.map.is_dead(id));
    EXPECT_EQ(w.kernel.takings, before); // so nothing can be lacking
    ASSERT_TRUE(w.touch(w.begin(id)));
    EXPECT_LT(w.kernel.walk(w.begin(id))->physical, foreign_base);
}

class BurialOf : public testing::TestWithParam<unsigned> {};

INSTANTIATE_TEST_SUITE_P(Levels, BurialOf, testing::Values(2u, 3u));

TEST_P(BurialOf, LargePagesNeedsNothingEither) {
    World w;
    w.kernel.highest = GetParam();
    const uint64_t bytes = GetParam() == 3 ? 6 * gib : 64 * mib;
    const CapSlot frame = w.kernel.foreign_frame(bytes);
    const auto id = w.reserve(bytes, gib);
    ASSERT_TRUE(w.map_frame(id, 0, frame, bytes));
    ASSERT_EQ(w.kernel.walk(w.begin(id))->level, GetParam());
    w.kernel.revoke(frame);
    const unsigned before = w.kernel.takings;
    std::mt19937_64 random{3};
    for (int i = 0; i < 5000; ++i)
        ASSERT_TRUE(w.touch(w.begin(id) + random() % bytes)) << i;
    EXPECT_EQ(w.kernel.takings, before);
    EXPECT_TRUE(w.map.is_dead(id));
    w.map.remove(id);
    const auto again = w.reserve(bytes, gib);
    ASSERT_TRUE(w.map_frame(again, 0, w.kernel.foreign_frame(bytes), bytes));
    EXPECT_EQ(w.kernel.walk(w.begin(again) + bytes - 1)->physical, foreign_base + bytes - 1);
}

TEST(Burial, AnInstructionOverFourPairsOfPagesFindsAllOfThem) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(64 * mib);
    const auto id = w.reserve(64 * mib, 2 * mib);
    ASSERT_TRUE(w.map_frame(id, 0, frame, 64 * mib));
    w.kernel.revoke(frame);
    const auto pages = [&](uint64_t first) {
        std::array<uint64_t, 6> at{}; // two that cross from one large page to the next, two more
        for (uint64_t i = 0; i < at.size(); ++i)
            at[i] =
                w.begin(id) + first + (i / 2 * 2 + 1) * 2 * mib - page_bytes + i % 2 * page_bytes;
        at[4] = w.begin(id) + first;
        at[5] = w.begin(id) + first + page_bytes;
        return at;
    };
    for (uint64_t first = 0; first < 20 * mib; first += 2 * mib) {
        for (uint64_t at : pages(first))
            ASSERT_TRUE(w.touch(at));
        for (uint64_t at : pages(first))
            EXPECT_TRUE(w.kernel.walk(at));
    }
}

TEST(Burial, KeepsToTheRightsOfTheView) {
    World w;
    const CapSlot frame = w.kernel.foreign_frame(page_bytes);
    const auto id = w.reserve(page_bytes);
    ASSERT_TRUE(w.map.map(id, 0, {frame, 0, page_bytes, abi::read}));
    w.kernel.revoke(frame);
    ASSERT_TRUE(w.touch(w.begin(id)));
    EXPECT_EQ(w.kernel.walk(w.begin(id))->rights, abi::read);
}

TEST(Burial, OneViewsDeathIsNotAnothers) {
    World w;
    const CapSlot a = w.kernel.foreign_frame(page_bytes);
    const CapSlot b = w.kernel.foreign_frame(page_bytes, foreign_base + mib);
    const auto first = w.reserve(page_bytes), second = w.reserve(page_bytes);
    ASSERT_TRUE(w.map_frame(first, 0, a, page_bytes));
    ASSERT_TRUE(w.map_frame(second, 0, b, page_bytes));
    w.kernel.revoke(a);
    ASSERT_TRUE(w.touch(w.begin(first)));
    EXPECT_TRUE(w.map.is_dead(first));
    EXPECT_FALSE(w.map.is_dead(second));
    EXPECT_EQ(w.kernel.walk(w.begin(second))->physical, foreign_base + mib);
}

TEST(Burial, AddressesOfTheDeadCanBeUsedAgain) {
    World w;
    for (int round = 0; round < 20; ++round) {
        const uint64_t bytes = round % 2 == 0 ? 4 * mib : 4 * mib - page_bytes;
        const CapSlot frame = w.kernel.foreign_frame(bytes);
        const auto id = w.reserve(bytes, 2 * mib);
        ASSERT_TRUE(w.map_frame(id, 0, frame, bytes)) << round;
        EXPECT_EQ(w.kernel.walk(w.begin(id) + 2 * mib)->physical, foreign_base + 2 * mib);
        EXPECT_FALSE(w.map.is_dead(id));
        w.kernel.revoke(frame);
        for (uint64_t at = 0; at < bytes; at += 37 * page_bytes)
            ASSERT_TRUE(w.touch(w.begin(id) + at));
        if (round % 3 == 0) {
            EXPECT_TRUE(w.map.unmap(id, 0, 2 * mib));
            EXPECT_FALSE(w.touch(w.begin(id)));
        }
        w.map.remove(id);
    }
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
