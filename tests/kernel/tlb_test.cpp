// A TLB that tags what it holds, as a fake: it fills itself with anything the loaded space says,
// with next-level tables too, and forgets only what it is told to. After every step all that it
// could use must be what the page tables say now. SKERRY_SEED=n repeats one walk.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "kernel/tlb.hpp"
#include "tests/kernel/world.hpp"

namespace {

using namespace kernel_test;
using kernel::PageTable;
using kernel::Tlb;
namespace pte = kernel::pte;

TEST(Tlb, ASpaceThatComesBackKeepsItsTranslations) {
    Tlb tlb;
    tlb.use(2);
    EXPECT_FALSE(tlb.load(phys(0x1000)).keep);
    EXPECT_FALSE(tlb.load(phys(0x2000)).keep);
    const Tlb::Load again = tlb.load(phys(0x1000));
    EXPECT_TRUE(again.keep);
    EXPECT_EQ(again.tag, 1);
}

TEST(Tlb, ATagThatIsTakenOverIsFlushedForBoth) {
    Tlb tlb;
    tlb.use(2);
    for (const uint64_t root : {0x1000u, 0x2000u, 0x3000u}) // the third takes the first's
        EXPECT_FALSE(tlb.load(phys(root)).keep);
    EXPECT_FALSE(tlb.load(phys(0x1000)).keep);
    EXPECT_TRUE(tlb.load(phys(0x3000)).keep);
}

TEST(Tlb, WhatChangedElsewhereIsFlushedOnce) {
    Tlb tlb;
    tlb.use(4);
    (void)tlb.load(phys(0x1000));
    (void)tlb.load(phys(0x2000));
    tlb.changed(phys(0x1000));
    EXPECT_TRUE(tlb.load(phys(0x2000)).keep);
    EXPECT_FALSE(tlb.load(phys(0x1000)).keep);
    EXPECT_TRUE(tlb.load(phys(0x1000)).keep);
}

TEST(Tlb, TagsAreNeverTheKernelsAndFitTheRegister) {
    Tlb tlb;
    tlb.use(0xffff);
    for (uint64_t i = 1; i < 100; ++i) {
        const Tlb::Load load = tlb.load(phys(i * 0x1000));
        EXPECT_GE(load.tag, 1);
        EXPECT_LE(load.tag, Tlb::most_tags);
    }
}

TEST(Tlb, WithoutTagsNothingIsKeptAccountOf) {
    Tlb tlb;
    EXPECT_FALSE(tlb.tagged());
    tlb.changed(phys(0x1000));
}

/// What a core's MMU may remember of page tables, by tag (SDM vol. 3A 4.10.2 and 4.10.3).
class FakeMmu {
  public:
    explicit FakeMmu(const World& world) : world_{world} {}

    void load(PhysAddr root, Tlb::Load how) {
        root_ = root.raw;
        tag_ = how.tag;
        if (!how.keep) flush_all();
        loads_kept += how.keep;
    }

    void flush_all() {
        std::erase_if(pages_, [&](const auto& e) { return e.first.first == tag_; });
        std::erase_if(tables_, [&](const auto& e) { return e.first.first == tag_; });
    }

    void flush_page(uint64_t at) {
        pages_.erase({tag_, at});
        pages_.erase({tag_, round_down(at, large_page_bytes)});
        std::erase_if(tables_, [&](const auto& e) { return e.first.first == tag_; });
    }

    /// The program touches that page, or the CPU thinks that it might.
    void fill(uint64_t at) {
        const uint64_t region = round_down(at, large_page_bytes);
        uint64_t directory_entry = walk_to_directory(region);
        if (const auto cached = tables_.find({tag_, region}); cached != tables_.end())
            directory_entry = cached->second;
        if ((directory_entry & pte::present) == 0) return;
        if ((directory_entry & pte::large) != 0) {
            pages_[{tag_, region}] = directory_entry;
            return;
        }
        tables_[{tag_, region}] = directory_entry;
        const uint64_t entry = table(directory_entry).entry[at >> 12 & 511];
        if ((entry & pte::present) != 0) pages_[{tag_, at}] = entry;
    }

    /// Of what the loaded space could use, the first that is not so; 0: none.
    uint64_t stale() const {
        for (const auto& [key, entry] : tables_)
            if (key.first == tag_ && walk_to_directory(key.second) != entry) return key.second;
        for (const auto& [key, entry] : pages_) {
            if (key.first != tag_) continue;
            const uint64_t above = walk_to_directory(round_down(key.second, large_page_bytes));
            const bool large = (entry & pte::large) != 0;
            const uint64_t now = large || (above & pte::present) == 0
                                     ? above
                                     : table(above).entry[key.second >> 12 & 511];
            if (now != entry) return key.second;
        }
        return 0;
    }

    size_t held() const { return pages_.size(); }

    unsigned loads_kept{};

  private:
    using Key = std::pair<uint16_t, uint64_t>;

    PageTable& table(uint64_t entry) const { return *world_.at<PageTable>(entry & pte::address); }

    uint64_t walk_to_directory(uint64_t region) const {
        uint64_t entry = root_ | pte::present;
        for (const unsigned shift : {39u, 30u, 21u}) {
            if ((entry & pte::present) == 0) return 0;
            entry = table(entry).entry[region >> shift & 511];
        }
        return (entry & pte::present) == 0 ? 0 : entry;
    }

    const World& world_;
    uint64_t root_{};
    uint16_t tag_{};
    std::map<Key, uint64_t> pages_;
    std::map<Key, uint64_t> tables_; // paging-structure caches: entries of directories
};

/// Domains, each in an address space made of its own RAM, that come and go.
class TaggedSpaces : public testing::Test {
  protected:
    static constexpr size_t spaces = 5, regions = 2, pages = 6, frames = 3;
    static constexpr uint64_t base = 1ull << 39 | 1ull << 30; // of the regions of each space

    struct Space {
        Domain domain;
        Slot ram{}, root{}, pointers{}, directory{}, tables[regions]{};
        Slot hooks[2]{}, table_hooks[regions]{}, large{};
        Slot mapping[regions][pages]{};
    };

    TaggedSpaces() : mmu{world} {
        world.core->tlb().use(3);
        world.align(large_page_bytes);
        world.make(Kind::frame, large_frame, large_page_bytes);
        for (Slot& frame : frame_slots)
            world.make(Kind::frame, frame, page_bytes);
        for (Space& s : all) {
            s.domain = world.make_domain(8, false);
            world.make(Kind::ram, s.ram, 16 * page_bytes);
            build(s);
        }
        turn();
    }

    /// Its objects in any order, so that what was a table may be a root now.
    void build(Space& s) {
        std::vector<Slot*> objects{&s.root, &s.pointers, &s.directory};
        for (Slot& t : s.tables)
            objects.push_back(&t);
        std::shuffle(objects.begin(), objects.end(), random);
        uint64_t at = 0;
        for (Slot* object : objects) {
            const Kind kind = object == &s.root        ? Kind::address_space
                              : object == &s.pointers  ? Kind::page_directory_pointers
                              : object == &s.directory ? Kind::page_directory
                                                       : Kind::page_table;
            World::must(core().retype(s.ram, kind, at, 2 * page_bytes, {object, 1}));
            at += 2 * page_bytes;
        }
        World::must(core().map(s.root, s.pointers, hook(base >> 39 & 511), s.hooks[0]));
        World::must(core().map(s.pointers, s.directory, hook(base >> 30 & 511), s.hooks[1]));
        auto& slot = s.domain.leaf->slot;
        Slot& dispatcher = slot[abi::slot::dispatcher];
        World::must(core().configure(
            dispatcher,
            {&slot[abi::slot::root], &s.root, &slot[12], abi::dispatcher_page_at, 8, nullptr}
        ));
        World::must(core().start(*s.domain.dispatcher, 0x40'0000, 0x7000, 0));
    }

    static kernel::MapRequest hook(uint64_t entry) {
        return {static_cast<uint32_t>(entry), 0, {}, 0, 1};
    }

    Core& core() { return *world.core; }

    /// As the CPU driver does it: what the call invalidates, then the next one's root.
    void turn() {
        for (const uint64_t page : world.machine.flushed_pages)
            mmu.flush_page(page);
        for (; world.machine.flushes > 0; --world.machine.flushes)
            mmu.flush_all();
        world.machine.flushed_pages.clear();
        const Dispatcher* const next = core().schedule();
        ASSERT_NE(next, nullptr);
        if (next->root == loaded) return;
        loaded = next->root;
        mmu.load(loaded, core().tlb().load(loaded));
    }

    void finish(Slot& slot, bool whole) {
        Result<> r = fail(Err::again);
        while (!r && r.error() == Err::again)
            r = whole ? core().revoke(slot) : core().remove(slot);
    }

    void drop(Slot& slot) {
        if (!slot.empty()) finish(slot, false);
    }

    void begin_anew(Space& s) {
        if (s.domain.dispatcher == core().current()) return;
        finish(s.ram, true);
        build(s);
    }

    Rights some_rights() { return random() % 2 == 0 ? abi::read : abi::read | abi::write; }

    void map_page(Space& s, size_t region, size_t page) {
        Slot& frame = frame_slots[random() % frames];
        const auto entry = static_cast<uint32_t>(page);
        (void)core().map(
            s.tables[region], frame, {entry, 0, some_rights(), 0, 1}, s.mapping[region][page]
        );
    }

    void map_large(Space& s) {
        constexpr auto large = static_cast<uint64_t>(abi::MapFlags::large);
        const auto entry = static_cast<uint32_t>(random() % regions);
        (void)core().map(s.directory, large_frame, {entry, 0, some_rights(), large, 1}, s.large);
    }

    void protect(Slot& mapping) {
        if (!mapping.empty()) (void)core().protect(mapping, some_rights());
    }

    void change(Space& s) {
        const size_t region = random() % regions, page = random() % pages;
        if (random() % 64 == 0) begin_anew(s);
        if (random() % 64 == 0) finish(frame_slots[random() % frames], true);
        switch (random() % 16) {
        case 0: drop(s.table_hooks[region]); break;
        case 1: drop(s.large); break;
        case 2: map_large(s); break;
        case 3:
        case 4: {
            const auto entry = static_cast<uint64_t>(region);
            (void)core().map(s.directory, s.tables[region], hook(entry), s.table_hooks[region]);
            break;
        }
        case 5: drop(s.mapping[region][page]); break;
        case 6:
        case 7:
        case 8: protect(s.mapping[region][page]); break;
        default: map_page(s, region, page);
        }
    }

    uint64_t any_page() {
        return base + random() % regions * large_page_bytes + random() % pages * page_bytes;
    }

    void run(Dispatcher& wanted) {
        World::must(core().set_priority(*core().current(), 8, {}));
        World::must(core().set_priority(wanted, 9, {}));
    }

    void step() {
        if (random() % 3 == 0)
            run(*all[random() % spaces].domain.dispatcher);
        else
            change(all[random() % spaces]);
        turn();
        for (int i = 0; i < 4; ++i)
            mmu.fill(any_page());
    }

    World world;
    FakeMmu mmu;
    std::mt19937 random{1};
    Slot large_frame{}, frame_slots[frames]{};
    Space all[spaces]{};
    PhysAddr loaded{};
};

TEST_F(TaggedSpaces, NothingStaleIsEverUsable) {
    const char* const given = std::getenv("SKERRY_SEED");
    const unsigned first = given == nullptr ? 1 : static_cast<unsigned>(std::atoi(given));
    size_t held = 0;
    for (unsigned seed = first; seed < first + (given == nullptr ? 40u : 1u); ++seed) {
        random.seed(seed);
        for (int i = 0; i < 3000; ++i) {
            step();
            ASSERT_EQ(mmu.stale(), 0u) << "seed " << seed << ", step " << i;
            held = std::max(held, mmu.held());
        }
    }
    EXPECT_GT(held, spaces) << "the walk filled the TLB";
    if (given == nullptr) EXPECT_GT(mmu.loads_kept, 100u) << "and used what was kept";
}

} // namespace
