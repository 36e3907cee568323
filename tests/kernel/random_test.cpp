// Two random walks. The first predicts every answer from a list of capabilities it keeps itself;
// the second throws arbitrary system calls of several domains at a core. After each step what
// always holds is checked. SKERRY_SEED=n repeats one walk.
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <random>

#include "tests/kernel/check.hpp"
#include "tests/kernel/random_calls.hpp"
#include "tests/kernel/world.hpp"

namespace {

using namespace kernel_test;

unsigned first_seed() {
    const char* const given = std::getenv("SKERRY_SEED");
    return given == nullptr ? 1 : static_cast<unsigned>(std::atoi(given));
}

/// A capability as the model sees it: where it is, and which range it names.
struct Cap {
    uint64_t base{}, bytes{};
    Kind kind{};
    unsigned depth{};
    auto operator<=>(const Cap&) const = default;

    bool below(const Cap& above) const {
        return depth > above.depth && above.base <= base &&
               base + bytes <= above.base + above.bytes;
    }
};

class Model : public testing::Test {
  protected:
    static constexpr size_t slots = 160;
    static constexpr uint64_t pages = 24; // few, so that things meet

    Model() {
        places.resize(slots);
        caps.resize(slots);
        World::must(world.core->insert_root(
            places[0], {Kind::ram, arena_base + 0x100'000, pages * page_bytes, abi::all_rights}
        ));
        caps[0] = Cap{arena_base + 0x100'000, pages * page_bytes, Kind::ram, 0};
    }

    size_t any() { return random() % slots; }

    bool derived_in(const Cap& from, uint64_t begin, uint64_t end) const {
        return std::ranges::any_of(caps, [&](const auto& c) {
            return c && c->below(from) && c->base < end && begin < c->base + c->bytes;
        });
    }

    bool lent_below(const Cap& from) const {
        return std::ranges::any_of(caps, [&](const auto& c) {
            return c && c->kind == Kind::loan && c->below(from);
        });
    }

    size_t copies(const Cap& of) const {
        return of.kind == Kind::loan ? 1 : static_cast<size_t>(std::ranges::count(caps, of));
    }

    void copy() {
        const size_t from = any(), into = any();
        const bool expected = caps[from] && !caps[into] && caps[from]->kind != Kind::loan;
        const auto r = world.core->copy(places[from], places[into], places[from].rights);
        ASSERT_EQ(r.has_value(), expected);
        if (expected) caps[into] = caps[from];
    }

    void move() {
        const size_t from = any(), into = any();
        const bool expected = caps[from] && !caps[into];
        ASSERT_EQ(world.core->move(places[from], places[into]).has_value(), expected);
        if (expected) caps[into] = std::exchange(caps[from], std::nullopt);
    }

    void retype() {
        const size_t from = any(), into = any();
        const Kind kind = random() % 2 == 0 ? Kind::ram : Kind::frame;
        const uint64_t offset = random() % pages * page_bytes;
        const uint64_t bytes = (1 + random() % 6) * page_bytes;
        const size_t count = std::min<size_t>(1 + random() % 3, slots - into);
        const std::span<Slot> span{&places[into], count};
        bool expected = caps[from] && caps[from]->kind == Kind::ram &&
                        offset + bytes * count <= caps[from]->bytes;
        for (size_t i = 0; i < count; ++i)
            expected = expected && !caps[into + i];
        const uint64_t begin = expected ? caps[from]->base + offset : 0;
        expected = expected && !derived_in(*caps[from], begin, begin + bytes * count);
        const auto r = world.core->retype(places[from], kind, offset, bytes, span);
        ASSERT_EQ(r.has_value(), expected);
        for (size_t i = 0; expected && i < count; ++i) {
            caps[into + i] = Cap{begin + i * bytes, bytes, kind, caps[from]->depth + 1};
        }
    }

    void lend() {
        const size_t from = any(), into = any();
        const bool expected = caps[from] && caps[from]->kind == Kind::frame && !caps[into];
        ASSERT_EQ(world.core->lend(places[from], places[into]).has_value(), expected);
        if (!expected) return;
        caps[into] = Cap{caps[from]->base, caps[from]->bytes, Kind::loan, caps[from]->depth + 1};
    }

    void remove() {
        const size_t at = any();
        if (caps[at] && caps[at]->depth == 0 && copies(*caps[at]) == 1) return; // keep the root
        bool expected = caps[at].has_value();
        if (expected && caps[at]->kind == Kind::frame && copies(*caps[at]) == 1) {
            expected = !lent_below(*caps[at]);
        }
        ASSERT_EQ(world.core->remove(places[at]).has_value(), expected);
        if (expected) caps[at].reset();
    }

    /// All copies and descendants go, but loans, and one capability to each frame that is lent.
    void revoke() {
        const size_t at = any();
        if (!caps[at] || random() % 4 != 0) return;
        const Cap top = *caps[at];
        Result<> r = fail(Err::again);
        while (!r && r.error() == Err::again)
            r = world.core->revoke(places[at]);
        bool lent = false;
        for (size_t i = 0; i < slots; ++i) {
            if (i == at || !caps[i]) continue;
            const bool goes = caps[i]->below(top) || (*caps[i] == top && top.kind != Kind::loan);
            if (!goes) continue;
            if (caps[i]->kind == Kind::loan) {
                lent = true;
                continue;
            }
            // which of the copies of a lent frame stays is not the model's to say
            if (places[i].empty())
                caps[i].reset();
            else
                ASSERT_TRUE(caps[i]->kind == Kind::frame && lent_below(*caps[i]));
        }
        for (const auto& c : caps) {
            if (c && c->kind == Kind::frame && c->below(top)) ASSERT_EQ(copies(*c), 1u);
        }
        ASSERT_EQ(r.has_value(), !lent);
    }

    void agree() {
        size_t present = 0;
        for (size_t i = 0; i < slots; ++i) {
            ASSERT_EQ(places[i].empty(), !caps[i]) << i;
            if (!caps[i]) continue;
            ++present;
            const Slot& s = places[i];
            ASSERT_EQ((Cap{s.base, s.bytes, s.kind, s.depth}), *caps[i]);
        }
        ASSERT_EQ(world.core->database().count(), present + 1); // and the world's own RAM
    }

    void step() {
        switch (random() % 8) {
        case 0:
        case 1: return copy();
        case 2: return move();
        case 3:
        case 4: return retype();
        case 5: return lend();
        case 6: return remove();
        default: return revoke();
        }
    }

    World world;
    std::mt19937 random;
    std::vector<Slot> places;
    std::vector<std::optional<Cap>> caps;
};

TEST_F(Model, AHundredThousandOperationsAnswerAsPredicted) {
    const unsigned seed = first_seed();
    std::cout << "seed " << seed << "\n";
    random.seed(seed);
    for (int i = 0; i < 100'000; ++i) {
        step();
        if (HasFatalFailure()) FAIL() << "step " << i << ", seed " << seed;
        if (i % 16 == 0) {
            ASSERT_EQ(database_trouble(world.core->database()), "") << i << ", seed " << seed;
            agree();
        }
    }
}

TEST(RandomCalls, LeaveEverythingThatAlwaysHoldsTrue) {
    const unsigned seed = first_seed();
    std::cout << "seed " << seed << "\n";
    std::mt19937 random{seed};
    std::array<uint64_t, static_cast<size_t>(Op::count_)> successes{};
    for (int round = 0; round < 60; ++round) {
        CallStorm storm{[&] { return static_cast<uint32_t>(random()); }};
        for (int i = 0; i < 2000 && storm.step(); ++i) {
            if (i % 8 == 0) ASSERT_EQ(storm.trouble(), "") << round << '.' << i << " seed " << seed;
        }
        for (size_t op = 0; op < successes.size(); ++op)
            successes[op] += storm.successes(static_cast<Op>(op));
        ASSERT_EQ(storm.trouble(), "") << round << " seed " << seed;
        ASSERT_EQ(storm.revoke_everything(), "") << round << " seed " << seed;
    }
    // a walk that every call refuses would prove nothing
    for (size_t op = 0; op < successes.size(); ++op)
        EXPECT_GT(successes[op], 0u) << "operation " << op << " never succeeded, seed " << seed;
}

} // namespace
