// A random walk whose every answer is predicted from a plain list of capabilities: what is derived,
// lent, borrowed, given away and marked follows from comparing each with each. SKERRY_SEED=n
// repeats one walk.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "tests/kernel/check.hpp"
#include "tests/kernel/world.hpp"

namespace {

using namespace kernel_test;

constexpr uint64_t unit = large_page_bytes / 8;
constexpr uint64_t region = uint64_t{4} << 30; // nothing of it is looked at, so it need not exist
constexpr uint64_t blocks = 8, own_blocks = 4; // of the region; the rest is other cores'

constexpr uint64_t block_base(uint64_t block) {
    return region + block * large_page_bytes;
}

/// What a capability is of; copies are equal.
struct Object {
    uint64_t base{}, bytes{};
    Kind kind{};
    unsigned depth{};
    uint64_t owner{};
    bool borrowed{};
    auto operator<=>(const Object&) const = default;

    bool below(const Object& above) const {
        return depth > above.depth && above.base <= base && end() <= above.end() &&
               borrowed == above.borrowed;
    }

    uint64_t end() const { return base + bytes; }

    bool overlaps(uint64_t begin, uint64_t limit) const { return base < limit && begin < end(); }
};

struct Cap {
    Object object;
    Rights rights{abi::all_rights};
    bool keeper{}, given{}, marked{};
};

using Tally = std::map<std::string, unsigned>; // operations that were carried out

class Model {
  public:
    Model(std::mt19937& numbers, Tally& tally)
        : random{numbers}, places(slots), caps(slots), done{tally} {
        for (uint64_t block = 0; block < blocks; ++block)
            owned.push_back(block < own_blocks);
        const uint64_t bytes = own_blocks * large_page_bytes;
        World::must(world.core->insert_root(places[0], {Kind::ram, region, bytes, abi::all_rights})
        );
        caps[0] = Cap{{region, bytes, Kind::ram}};
    }

    void agree() {
        size_t present = 0, loans = 0;
        for (size_t i = 0; i < slots; ++i) {
            ASSERT_EQ(places[i].empty(), !caps[i]) << i;
            if (!caps[i]) continue;
            ++present;
            loans += caps[i]->object.kind == Kind::loan ? 1 : 0;
            const Slot& s = places[i];
            namespace flag = kernel::flag;
            ASSERT_EQ(
                (Object{s.base, s.bytes, s.kind, s.depth, s.tag(), s.has(flag::borrowed)}),
                caps[i]->object
            );
            ASSERT_EQ(s.rights, caps[i]->rights);
            ASSERT_EQ(s.has(flag::keeper), caps[i]->keeper);
            ASSERT_EQ(s.has(flag::given), caps[i]->given);
            ASSERT_EQ(s.has(flag::marked), caps[i]->marked);
            ASSERT_EQ(world.core->database().idle(s), idle(*caps[i]));
            ASSERT_EQ(world.core->database().revoking(s), revoking(caps[i]->object));
        }
        ASSERT_EQ(world.core->database().count(), present + 1); // and the world's own RAM
        ASSERT_EQ(world.core->parked_loans(), loans);
        const auto own = static_cast<uint64_t>(std::ranges::count(owned, true));
        ASSERT_EQ(world.core->statistics().bytes_owned, ram_bytes + own * large_page_bytes);
        ASSERT_EQ(core_trouble(*world.core), "");
    }

    void step() {
        const Ranges before = in_use();
        switch (random() % 20) {
        case 0:
        case 1:
        case 2: copy(); break;
        case 3:
        case 4: move(); break;
        case 5:
        case 6:
        case 7:
        case 8: retype(); break;
        case 9: lend(); break;
        case 10: recall(); break;
        case 11: give(); break;
        case 12: regain(); break;
        case 13: accept_frame(); break;
        case 14: accept_ram(); break;
        case 15: mark(); break;
        case 16:
        case 17:
        case 18: remove(); break;
        default: revoke();
        }
        if (!testing::Test::HasFatalFailure()) drained_agrees(before);
    }

  private:
    static constexpr size_t slots = 192;

    // ------------------------------------------------------------------------ what the list says

    size_t any() { return random() % slots; }

    /// Mostly a filled slot that will do, if there is one.
    template <class Fits>
    size_t some(Fits&& fits) {
        const size_t from = any();
        for (size_t i = 0; i < slots && random() % 64 != 0; ++i) {
            const auto& c = caps[(from + i) % slots];
            if (c && fits(*c)) return (from + i) % slots;
        }
        return from;
    }

    size_t some(Kind kind) {
        return some([&](const Cap& c) { return c.object.kind == kind; });
    }

    size_t empty_place() {
        const size_t from = any();
        for (size_t i = 0; i < slots && random() % 64 != 0; ++i)
            if (!caps[(from + i) % slots]) return (from + i) % slots;
        return from;
    }

    template <class Holds>
    bool exists(Holds&& holds) const {
        return std::ranges::any_of(caps, [&](const auto& c) { return c && holds(*c); });
    }

    bool derived_in(const Object& from, uint64_t begin, uint64_t end) const {
        return exists([&](const Cap& c) {
            return c.object.below(from) && c.object.overlaps(begin, end);
        });
    }

    bool lent_below(const Object& from) const {
        return exists([&](const Cap& c) {
            return c.object.kind == Kind::loan && c.object.below(from);
        });
    }

    bool revoking(const Object& o) const {
        return exists([&](const Cap& c) {
            return c.marked && ((c.object == o && o.kind != Kind::loan) || o.below(c.object));
        });
    }

    size_t copies(const Object& of) const {
        if (of.kind == Kind::loan) return 1;
        return static_cast<size_t>(std::ranges::count_if(caps, [&](const auto& c) {
            return c && c->object == of;
        }));
    }

    bool any_owned(uint64_t begin, uint64_t end) const {
        for (uint64_t block = 0; block < blocks; ++block) {
            const Object o{block_base(block), large_page_bytes};
            if (owned[block] && o.overlaps(begin, end)) return true;
        }
        return false;
    }

    void set_owned(const Object& o, bool is) {
        for (uint64_t block = 0; block < blocks; ++block)
            if (o.overlaps(block_base(block), block_base(block + 1))) owned[block] = is;
    }

    bool idle(const Cap& c) const {
        return c.keeper && !exists([&](const Cap& other) {
                   return (other.object == c.object && !other.keeper) ||
                          other.object.below(c.object);
               });
    }

    Rights some_rights(Rights of) {
        return random() % 2 == 0 ? of : Rights{static_cast<uint8_t>(random() % 16)};
    }

    // --------------------------------------------------------------------------------- operations

    void copy() {
        const size_t from = some([](const Cap&) { return true; }), into = empty_place();
        const Rights rights = some_rights(caps[from] ? caps[from]->rights : abi::read);
        const bool expected = caps[from] && !caps[into] && caps[from]->object.kind != Kind::loan &&
                              caps[from]->rights.has(abi::copy | rights) &&
                              !revoking(caps[from]->object);
        const auto r = world.core->copy(places[from], places[into], rights);
        ASSERT_EQ(r.has_value(), expected);
        if (!expected) return;
        ++done["copy"];
        caps[into] = Cap{caps[from]->object, rights};
    }

    void move() {
        const size_t from = some([](const Cap&) { return true; }), into = empty_place();
        const bool expected = caps[from] && !caps[into];
        ASSERT_EQ(world.core->move(places[from], places[into]).has_value(), expected);
        if (!expected) return;
        ++done["move"];
        caps[into] = std::exchange(caps[from], std::nullopt);
    }

    void retype() {
        const size_t from = some(Kind::ram), into = empty_place();
        const Kind kind = random() % 2 == 0 ? Kind::ram : Kind::frame;
        constexpr std::array<uint64_t, 6> sizes = {1, 2, 3, 8, 8, 16};
        const uint64_t size = sizes[random() % sizes.size()];
        const uint64_t offset = (size >= 8 ? random() % 4 * 8 : random() % 32) * unit;
        const size_t count = std::min<size_t>(1 + random() % 3, slots - into);
        const uint64_t bytes = size * unit;
        const std::span<Slot> span{&places[into], count};
        bool expected = caps[from] && caps[from]->object.kind == Kind::ram &&
                        caps[from]->rights.has(abi::write) &&
                        offset + bytes * count <= caps[from]->object.bytes &&
                        !revoking(caps[from]->object);
        for (size_t i = 0; i < count; ++i)
            expected = expected && !caps[into + i];
        const uint64_t begin = expected ? caps[from]->object.base + offset : 0;
        expected = expected && !derived_in(caps[from]->object, begin, begin + bytes * count);
        const auto r = world.core->retype(places[from], kind, offset, bytes, span);
        ASSERT_EQ(r.has_value(), expected);
        if (expected) ++done["retype"];
        for (size_t i = 0; expected && i < count; ++i) {
            const Object o{begin + i * bytes, bytes, kind, caps[from]->object.depth + 1};
            caps[into + i] = Cap{o, kind == Kind::ram ? caps[from]->rights : abi::all_rights};
        }
    }

    void lend() {
        const size_t from = some(Kind::frame), into = empty_place();
        const bool expected = caps[from] && caps[from]->object.kind == Kind::frame && !caps[into] &&
                              !caps[from]->object.borrowed && caps[from]->rights.has(abi::copy) &&
                              !revoking(caps[from]->object);
        ASSERT_EQ(world.core->lend(places[from], places[into]).has_value(), expected);
        if (!expected) return;
        ++done["lend"];
        Object loan = caps[from]->object;
        loan.kind = Kind::loan;
        ++loan.depth;
        caps[into] = Cap{loan, caps[from]->rights};
    }

    void recall() {
        const size_t from = some(Kind::loan), into = empty_place();
        if (caps[into]) return; // the system call looks at that
        const Rights rights = some_rights(caps[from] ? caps[from]->rights : abi::read);
        bool expected = caps[from] && caps[from]->object.kind == Kind::loan && !caps[from]->given &&
                        caps[from]->rights.has(rights);
        Object frame;
        if (expected) {
            frame = caps[from]->object;
            frame.kind = Kind::frame;
            --frame.depth;
            ASSERT_GT(copies(frame), 0u) << "what is lent has a capability";
            expected = !revoking(frame);
        }
        ASSERT_EQ(world.core->recall(places[from], rights, places[into]).has_value(), expected);
        if (!expected) return;
        ++done["recall"];
        caps[into] = Cap{frame, rights};
    }

    static bool whole_blocks(const Object& o) {
        return o.base % large_page_bytes == 0 && o.bytes % large_page_bytes == 0;
    }

    void give() {
        const size_t at = some([](const Cap& c) {
            return c.object.kind == Kind::ram && whole_blocks(c.object) && c.object.depth > 0;
        });
        bool expected = caps[at] && caps[at]->object.kind == Kind::ram &&
                        caps[at]->rights.has(abi::write) && whole_blocks(caps[at]->object);
        if (expected) {
            const Object& o = caps[at]->object;
            expected = !revoking(o) && !derived_in(o, o.base, o.end());
        }
        Result<bool> r = fail(Err::again);
        while (!r && r.error() == Err::again)
            r = world.core->give(places[at]);
        ASSERT_EQ(r.has_value(), expected);
        if (!expected) return;
        const Cap was = *caps[at];
        const bool loan = exists([&](const Cap& c) { return was.object.below(c.object); });
        ASSERT_EQ(*r, loan);
        ++done[loan ? "give, with a loan" : "give, whole"];
        for (auto& c : caps)
            if (c && c->object == was.object) c.reset();
        set_owned(was.object, false);
        if (!loan) return;
        caps[at] = Cap{was.object, was.rights, false, true};
        caps[at]->object.kind = Kind::loan;
    }

    void regain() {
        const size_t at = some([](const Cap& c) { return c.given; });
        const bool expected =
            caps[at] && caps[at]->given && !exists([&](const Cap& c) {
                return c.object.borrowed &&
                       c.object.overlaps(caps[at]->object.base, caps[at]->object.end());
            });
        ASSERT_EQ(world.core->regain(places[at]).has_value(), expected);
        if (!expected) return;
        ++done["regain"];
        caps[at]->object.kind = Kind::ram;
        caps[at]->given = false;
        set_owned(caps[at]->object, true);
    }

    void accept_frame() {
        const size_t into = empty_place();
        const Object o{
            .base = region + random() % (blocks * 8) * unit,
            .bytes = (1 + random() % 3) * unit,
            .kind = Kind::frame,
            .depth = kernel::borrowed_depth,
            .owner = random() % 2,
            .borrowed = true,
        };
        // an owner's frames do not overlap, and no more do those of two owners
        const bool overlapping = exists([&](const Cap& c) {
            return c.object.borrowed && c.object != o && c.object.overlaps(o.base, o.end());
        });
        if (overlapping || o.end() > block_base(blocks)) return;
        const bool expected = !caps[into] && !any_owned(o.base, o.end());
        const auto r =
            world.core->accept(places[into], {o.kind, o.base, o.bytes, abi::all_rights, o.owner});
        ASSERT_EQ(r.has_value(), expected);
        if (!expected) return;
        ++done["accept_frame"];
        caps[into] = Cap{o, abi::all_rights, true};
    }

    void accept_ram() {
        const size_t into = empty_place();
        const uint64_t block = random() % blocks;
        const Object o{block_base(block), large_page_bytes * (1 + random() % 2), Kind::ram};
        if (o.end() > block_base(blocks)) return;
        const bool expected =
            !caps[into] && !any_owned(o.base, o.end()) &&
            !exists([&](const Cap& c) { return c.object.overlaps(o.base, o.end()); });
        const auto r = world.core->accept(places[into], {o.kind, o.base, o.bytes, abi::read});
        ASSERT_EQ(r.has_value(), expected);
        if (!expected) return;
        ++done["accept_ram"];
        caps[into] = Cap{o};
        set_owned(o, true);
    }

    void mark() {
        const bool on = random() % 4 == 0;
        const size_t at = on ? some([](const Cap&) { return true; })
                             : some([](const Cap& c) { return c.marked; });
        if (!caps[at]) return; // the system call looks at that
        const auto marks =
            std::ranges::count_if(caps, [](const auto& c) { return c && c->marked; });
        const bool room = caps[at]->marked || marks < 8;
        const bool expected = !on || (caps[at]->object.kind != Kind::loan && room);
        ASSERT_EQ(world.core->mark(places[at], on).has_value(), expected);
        if (!expected) return;
        ++done["mark"];
        caps[at]->marked = on;
    }

    void remove() {
        const size_t at = some([](const Cap&) { return true; });
        // RAM that nobody has a capability to is lost, and so would the walk be
        const bool root = caps[at] && caps[at]->object.kind == Kind::ram;
        if (root && caps[at]->object.depth == 0 && copies(caps[at]->object) == 1) return;
        bool expected = caps[at] && !caps[at]->given;
        if (expected && caps[at]->object.kind == Kind::frame && copies(caps[at]->object) == 1) {
            expected = !lent_below(caps[at]->object);
        }
        ASSERT_EQ(world.core->remove(places[at]).has_value(), expected);
        if (!expected) return;
        ++done["remove"];
        caps[at].reset();
    }

    /// All copies and descendants go, but loans, and one capability to each frame that is lent.
    /// A keeper goes only by the revoke of a keeper.
    void revoke() {
        const size_t at = some([](const Cap&) { return true; });
        if (!caps[at] || random() % 4 != 0) return;
        const Cap top = *caps[at];
        Result<> r = fail(Err::again);
        while (!r && r.error() == Err::again)
            r = world.core->revoke(places[at]);
        bool lent = false;
        for (size_t i = 0; i < slots; ++i) {
            if (i == at || !caps[i]) continue;
            const Object& o = caps[i]->object;
            const bool copy = o == top.object && o.kind != Kind::loan;
            if (!o.below(top.object) && !copy) continue;
            if (copy && caps[i]->keeper && !top.keeper) continue;
            if (o.kind == Kind::loan) {
                lent = true;
                continue;
            }
            // which of the copies of a lent frame stays is not the model's to say
            if (places[i].empty())
                caps[i].reset();
            else
                ASSERT_TRUE(o.kind == Kind::frame && lent_below(o));
        }
        for (const auto& c : caps) {
            const bool frame = c && c->object.kind == Kind::frame;
            if (frame && c->object.below(top.object)) ASSERT_EQ(copies(c->object), 1u);
        }
        ASSERT_EQ(r.has_value(), !lent);
        ++done[lent ? "revoke, lent" : "revoke"];
    }

    // ------------------------------------------------------------------------------------- checks

    using Ranges = std::set<std::pair<uint64_t, uint64_t>>;

    /// Borrowed frames that somebody but their keepers has.
    Ranges in_use() const {
        Ranges found;
        for (const auto& c : caps) {
            if (c && c->object.borrowed && !c->keeper) {
                found.emplace(c->object.base, c->object.bytes);
            }
        }
        return found;
    }

    void drained_agrees(const Ranges& before) {
        Ranges expected, told;
        for (const auto& c : caps) {
            if (!c || !idle(*c)) continue;
            const std::pair range{c->object.base, c->object.bytes};
            if (before.contains(range)) expected.insert(range);
        }
        for (;;) {
            const auto drained = world.core->take_drained();
            if (drained.what == abi::Drained::none) break;
            ASSERT_EQ(drained.what, abi::Drained::one);
            told.emplace(drained.range.base, drained.range.bytes);
        }
        ASSERT_EQ(told, expected);
        done["drained"] += static_cast<unsigned>(told.size());
    }

    World world;
    std::mt19937& random;
    std::vector<Slot> places;
    std::vector<std::optional<Cap>> caps;
    std::vector<bool> owned;
    Tally& done;
};

TEST(Model, AHundredThousandOperationsAnswerAsPredicted) {
    const char* const given = std::getenv("SKERRY_SEED");
    const unsigned seed = given == nullptr ? 1 : static_cast<unsigned>(std::atoi(given));
    std::cout << "seed " << seed << "\n";
    std::mt19937 random{seed};
    Tally tally;
    for (int walk = 0; walk < 200; ++walk) {
        Model model{random, tally};
        for (int i = 0; i < 500; ++i) {
            model.step();
            if (i % 16 == 0 && !testing::Test::HasFatalFailure()) model.agree();
            if (testing::Test::HasFatalFailure()) FAIL() << walk << '.' << i << ", seed " << seed;
        }
    }
    // a walk that every call refuses would prove nothing
    EXPECT_EQ(tally.size(), 15u);
    for (const auto& [what, times] : tally)
        EXPECT_GT(times, 0u) << what;
}

} // namespace
