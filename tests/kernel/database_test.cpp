// The database against a model that looks at every slot.
#include "kernel/database.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <ranges>

#include "tests/kernel/check.hpp"

namespace {

using kernel::Database;
using kernel::Kind;
using kernel::Slot;

/// Nested ranges as retype makes them: the parts of a range do not overlap.
class Nested : public testing::Test {
  protected:
    void put(uint64_t base, uint64_t bytes, uint8_t depth, Kind kind, uint64_t tag = 0) {
        Slot& s = slots[used++];
        s.base = base;
        s.bytes = bytes;
        s.depth = depth;
        s.kind = kind;
        s.set_tag(tag);
        database.insert(s);
    }

    void grow(uint64_t base, uint64_t bytes, uint8_t depth) {
        put(base, bytes, depth, Kind::ram);
        while (random() % 3 == 0 && used < slots.size() - 20)
            put(base, bytes, depth, Kind::ram);
        if (bytes < 4 || depth > 8) return;
        const uint64_t part = bytes / (1 + random() % 4);
        for (uint64_t at = 0; at + part <= bytes && used < slots.size() - 20; at += part) {
            if (random() % 4 != 0) grow(base + at, part, static_cast<uint8_t>(depth + 1));
        }
    }

    std::vector<Slot*> model_descendants(const Slot& of, uint64_t begin, uint64_t end) {
        std::vector<Slot*> found;
        for (Slot* s : kernel_test::all_slots(database)) {
            if (!s->in_tree()) continue; // each object once
            if (kernel::descends(*s, of) && s->overlaps(begin, end)) found.push_back(s);
        }
        return found;
    }

    Slot* model_ancestor(const Slot& of) {
        Slot* best = nullptr;
        for (Slot* s : kernel_test::all_slots(database)) {
            if (kernel::descends(of, *s) && (best == nullptr || s->depth > best->depth)) best = s;
        }
        return best;
    }

    std::mt19937 random{1};
    std::vector<Slot> slots = std::vector<Slot>(400);
    size_t used{};
    Database database;
};

TEST_F(Nested, EveryLookUpAgreesWithALookAtEverySlot) {
    for (unsigned seed = 1; seed <= 30; ++seed) {
        random.seed(seed);
        for (size_t i = 0; i < used; ++i) {
            if (!slots[i].empty()) database.erase(slots[i]);
        }
        used = 0;
        grow(4096, 4096, 0);
        ASSERT_EQ(kernel_test::database_trouble(database), "") << "seed " << seed;
        for (size_t i = 0; i < used; ++i) {
            Slot& s = slots[i];
            const uint64_t begin = s.base + random() % s.bytes;
            const uint64_t end = begin + 1 + random() % (s.end() - begin);
            const auto expected = model_descendants(s, begin, end);
            Slot* const found = database.descendant(s, begin, end);
            ASSERT_EQ(found, expected.empty() ? nullptr : expected.front()) << "seed " << seed;
            Slot* const above = database.ancestor(s);
            Slot* const above_expected = model_ancestor(s);
            ASSERT_EQ(above == nullptr, above_expected == nullptr);
            if (above != nullptr) ASSERT_TRUE(kernel::same_object(*above, *above_expected));
            bool alone = true;
            for (size_t k = 0; k < used; ++k) {
                alone &= k == i || !kernel::same_object(slots[k], s);
            }
            ASSERT_EQ(database.is_last(s), alone) << "seed " << seed;
        }
    }
}

TEST_F(Nested, DescendantAfterWalksThemAll) {
    grow(4096, 4096, 0);
    const Slot& top = slots[0];
    std::vector<Slot*> walked;
    for (Slot* s = database.descendant(top); s != nullptr; s = database.descendant_after(top, *s)) {
        walked.push_back(s);
    }
    EXPECT_EQ(walked, model_descendants(top, top.base, top.end()));
    EXPECT_GT(walked.size(), 10u);
}

TEST_F(Nested, OverlapFindsEveryKindAndDepth) {
    grow(4096, 4096, 0);
    for (int round = 0; round < 200; ++round) {
        const uint64_t begin = 4000 + random() % 4400, end = begin + 1 + random() % 64;
        std::vector<Slot*> expected, walked;
        for (Slot* s : kernel_test::all_slots(database)) {
            if (s->in_tree() && s->overlaps(begin, end)) expected.push_back(s);
        }
        for (Slot* s = database.overlap(begin, end); s != nullptr;) {
            walked.push_back(s);
            s = database.overlap_after(*s, begin, end);
        }
        ASSERT_EQ(walked, expected);
    }
}

TEST_F(Nested, BadgesMakeDifferentObjects) {
    put(0, 8192, 1, Kind::dispatcher);
    put(0, 8192, 2, Kind::endpoint, 5);
    put(0, 8192, 2, Kind::endpoint, 6);
    EXPECT_TRUE(database.is_last(slots[1]));
    put(0, 8192, 2, Kind::endpoint, 5);
    EXPECT_EQ(database.copy_of(slots[1]), &slots[3]);
    EXPECT_TRUE(database.is_last(slots[2]));
}

/// Copies come and go without the tree's noticing, whoever of them goes.
TEST_F(Nested, ACopyTakesThePlaceOfTheOneInTheTree) {
    put(0, 100, 0, Kind::ram);
    put(0, 10, 1, Kind::frame);
    for (size_t i = 2; i < 6; ++i)
        database.insert_copy(slots[1], slots[i], abi::read);
    EXPECT_EQ(database.count(), 6u);
    for (const size_t i : {3u, 1u, 5u, 2u}) {
        database.erase(slots[i]);
        ASSERT_EQ(kernel_test::database_trouble(database), "") << i;
        ASSERT_NE(database.descendant(slots[0]), nullptr) << i;
    }
    EXPECT_EQ(database.descendant(slots[0]), &slots[4]);
    EXPECT_TRUE(database.is_last(slots[4]));
}

TEST_F(Nested, KeepersComeFirstInWhateverOrderTheyCome) {
    const auto keeper = [&](size_t at) {
        slots[at] = {.base = 0, .bytes = 10, .kind = Kind::frame, .depth = 251};
        slots[at].flags = kernel::flag::borrowed | kernel::flag::keeper;
        database.insert(slots[at]);
    };
    keeper(0);
    database.insert_copy(slots[0], slots[1], abi::read);
    keeper(2);
    database.erase(slots[0]);
    database.insert_copy(slots[1], slots[3], abi::read);
    EXPECT_EQ(kernel_test::database_trouble(database), "");
    EXPECT_FALSE(database.idle(slots[2]));
    database.relocate(slots[1], slots[4]);
    database.erase(slots[2]);
    keeper(5);
    EXPECT_EQ(kernel_test::database_trouble(database), "");
    EXPECT_TRUE(slots[5].in_tree());
    EXPECT_EQ(database.copy_to_revoke(slots[3]), &slots[4]);
    database.erase(slots[3]);
    database.erase(slots[4]);
    EXPECT_TRUE(database.idle(slots[5]));
}

TEST_F(Nested, LoansAreNeverCopies) {
    put(0, 4096, 2, Kind::loan, 1);
    put(0, 4096, 2, Kind::loan, 1);
    EXPECT_TRUE(database.is_last(slots[used - 1]));
    EXPECT_TRUE(database.is_last(slots[used - 2]));
}

/// Copies, keepers and mappings of a frame come, move and go in any order.
TEST_F(Nested, ARingKeepsItsOrderWhateverComesAndGoes) {
    constexpr size_t places = 24;
    for (unsigned seed = 1; seed <= 200; ++seed) {
        random.seed(seed);
        const auto all = std::span{slots}.first(places);
        const auto count = [&](auto&& is) { return std::ranges::count_if(all, is); };
        const auto is_mapping = [](const Slot& s) { return s.kind == Kind::mapping; };
        const auto is_frame = [](const Slot& s) { return s.kind == Kind::frame; };
        for (unsigned step = 0; step < 300; ++step) {
            Slot &s = all[random() % places], &other = all[random() % places];
            if (s.empty() && random() % 4 == 0) {
                s = {.base = 0, .bytes = 64, .kind = Kind::frame, .depth = 251};
                s.flags = kernel::flag::borrowed | kernel::flag::keeper;
                database.insert(s);
            } else if (s.empty() && is_frame(other) && random() % 2 == 0) {
                database.insert_copy(other, s, abi::read);
            } else if (s.empty() && is_frame(other)) {
                const uint64_t base = random() % 4 * 16;
                s = {.base = base, .bytes = 16, .kind = Kind::mapping, .depth = 252};
                s.flags = kernel::flag::borrowed;
                database.insert_mapping(other, s);
            } else if (!s.empty() && other.empty() && random() % 4 == 0) {
                database.relocate(s, other);
            } else if (!s.empty() &&
                       (is_mapping(s) || count(is_mapping) == 0 || count(is_frame) > 1)) {
                database.erase(s);
            }
            ASSERT_EQ(kernel_test::database_trouble(database), "") << "seed " << seed;
            for (const Slot& each : all | std::views::filter(is_frame)) {
                Slot* const mapping = database.mapping_of(each);
                ASSERT_EQ(mapping != nullptr, count(is_mapping) > 0);
                ASSERT_TRUE(mapping == nullptr || is_mapping(*mapping));
                ASSERT_EQ(database.is_last(each), count(is_frame) == 1);
                Slot* const copy = database.copy_to_revoke(each);
                ASSERT_TRUE(copy == nullptr || (is_frame(*copy) && copy != &each));
            }
        }
        for (Slot& s : all)
            if (is_mapping(s)) database.erase(s);
        for (Slot& s : all)
            if (is_frame(s)) database.erase(s);
    }
}

TEST_F(Nested, AMarkCoversCopiesAndDescendantsOnly) {
    put(0, 100, 0, Kind::ram);
    put(0, 50, 1, Kind::ram);
    put(0, 50, 1, Kind::ram);
    put(0, 10, 2, Kind::frame);
    put(50, 50, 1, Kind::ram);
    database.mark(slots[1]);
    EXPECT_FALSE(database.revoking(slots[0]));
    EXPECT_TRUE(database.revoking(slots[1]));
    EXPECT_TRUE(database.revoking(slots[2]));
    EXPECT_TRUE(database.revoking(slots[3]));
    EXPECT_FALSE(database.revoking(slots[4]));
    database.unmark(slots[1]);
    EXPECT_FALSE(database.revoking(slots[2]));
}

TEST_F(Nested, TheNinthMarkForgetsTheOldest) {
    for (uint64_t i = 0; i < 9; ++i)
        put(i * 10, 10, 0, Kind::ram);
    for (size_t i = 0; i < 9; ++i)
        database.mark(slots[i]);
    EXPECT_FALSE(database.revoking(slots[0]));
    for (size_t i = 1; i < 9; ++i)
        EXPECT_TRUE(database.revoking(slots[i]));
}

TEST_F(Nested, AMarkMovesWithItsCapabilityAndGoesWithIt) {
    put(0, 100, 0, Kind::ram);
    put(0, 100, 0, Kind::ram);
    database.mark(slots[0]);
    database.relocate(slots[0], slots[5]);
    EXPECT_TRUE(slots[0].empty());
    EXPECT_TRUE(database.revoking(slots[1]));
    database.erase(slots[5]);
    EXPECT_FALSE(database.revoking(slots[1]));
}

} // namespace
