// A home and four replicas whose messages are late in any order: cuts keep theirs on each channel,
// fills none at all, as a capability that comes with one may take its time.
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <map>
#include <random>
#include <vector>

#include "lib/span/home.hpp"
#include "lib/span/multicast.hpp"
#include "lib/span/replica.hpp"

namespace {

using span::Cut, span::Fill, span::Range, span::Region, span::Verdict, span::Workers;

constexpr uint32_t workers = 4, all_pages = 48;
constexpr VirtAddr base = virt(0x10'0000'0000);

constexpr Range pages(uint64_t first, uint64_t count) {
    return {base + first * page_bytes, base + (first + count) * page_bytes};
}

struct Wanted {
    VirtAddr at;
    Fill fill;
};

struct Mapping {
    Fill fill;
    bool written;
};

struct Worker {
    span::Replica<uint32_t, 6, 3> replica;
    std::deque<Cut> cuts;
    std::vector<Wanted> fills;                 // answered by the home, not here yet
    std::map<uint32_t, Mapping> mappings;      // by handle
    std::map<VirtAddr, span::Version> written; // not told to the home yet; when filled
    uint32_t next_handle{1};
};

class World {
  public:
    explicit World(uint64_t seed) : random_{seed} {}

    void run(int steps) {
        for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i)
            step();
        while (!testing::Test::HasFatalFailure() && deliver_any()) {
        }
        EXPECT_TRUE(under_way_.empty()) << "an operation never ended";
    }

  private:
    uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }

    void step() {
        switch (below(6)) {
        case 0: return map();
        case 1: return take_away();
        case 2: return ask();
        case 3: return write();
        default: (void)deliver_any();
        }
    }

    void map() {
        const Range range = pages(below(all_pages - 8), 1 + below(8));
        (void)home_.map({range, ++frames_, 0, abi::read | abi::write});
    }

    void take_away() {
        const Range range = pages(below(all_pages - 4), 1 + below(4));
        const Workers all{(1 << workers) - 1};
        const auto cut =
            below(3) == 0 ? home_.protect(range, abi::read, all) : home_.unmap(range, all);
        if (!cut) return;
        span::multicast(all, [&](uint32_t w) { workers_[w].cuts.push_back(*cut); });
        under_way_[cut->operation] = {range, false};
    }

    void ask() {
        Worker& worker = workers_[below(workers)];
        const VirtAddr at = base + below(all_pages) * page_bytes;
        if (worker.replica.find(at) != nullptr) return;
        if (const auto fill = home_.fill(at)) worker.fills.push_back({at, *fill});
    }

    void write() {
        Worker& worker = workers_[below(workers)];
        if (worker.mappings.empty()) return;
        auto it = worker.mappings.begin();
        std::advance(it, below(static_cast<uint32_t>(worker.mappings.size())));
        auto& [fill, written] = it->second;
        written = true;
        const Range& range = fill.region.range;
        const uint64_t all = range.bytes() / page_bytes;
        worker.written[range.begin + below(static_cast<uint32_t>(all)) * page_bytes] = fill.version;
    }

    bool deliver_any() {
        const uint32_t first = below(workers * 2);
        for (uint32_t i = 0; i < workers * 2; ++i) {
            const uint32_t choice = (first + i) % (workers * 2);
            const uint32_t w = choice / 2;
            if (choice % 2 == 0 ? deliver_cut(w) : deliver_fill(w)) return true;
        }
        return false;
    }

    auto remover(Worker& worker) {
        return [&worker](uint32_t handle) {
            const bool written = worker.mappings.at(handle).written;
            worker.mappings.erase(handle);
            return written;
        };
    }

    bool deliver_cut(uint32_t w) {
        Worker& worker = workers_[w];
        if (worker.cuts.empty()) return false;
        const Cut cut = worker.cuts.front();
        worker.cuts.pop_front();
        const bool dirty = worker.replica.cut(cut.range, cut.version, remover(worker));
        // What was written by way of a newer fill is another cut's to tell.
        const auto told = [&](const auto& w) {
            return cut.range.contains(w.first) && w.second < cut.version;
        };
        if (std::erase_if(worker.written, told) != 0) EXPECT_TRUE(dirty) << "a write is lost";
        under_way_.at(cut.operation).dirty |= dirty;
        const auto answer = home_.answered(cut.operation, w, dirty);
        EXPECT_TRUE(answer);
        if (answer && *answer) gathered(**answer);
        return true;
    }

    bool deliver_fill(uint32_t w) {
        Worker& worker = workers_[w];
        if (worker.fills.empty()) return false;
        const auto it = worker.fills.begin() + below(static_cast<uint32_t>(worker.fills.size()));
        const Wanted wanted = *it;
        worker.fills.erase(it);
        if (worker.replica.judge(wanted.fill, wanted.at) == Verdict::map) {
            if (!worker.replica.has_room()) worker.replica.evict(remover(worker));
            const Range range = wanted.fill.region.range;
            for (const auto& [handle, mapping] : worker.mappings)
                EXPECT_FALSE(mapping.fill.region.range.overlaps(range)) << "mapped twice";
            worker.mappings[worker.next_handle] = {wanted.fill, false};
            worker.replica.mapped(wanted.fill, worker.next_handle++);
        }
        return true;
    }

    /// The heart of it: after the gather nobody sees what was taken away.
    void gathered(const span::Gathered& result) {
        const auto found = under_way_.find(result.operation);
        ASSERT_NE(found, under_way_.end());
        const auto operation = found->second;
        under_way_.erase(found);
        EXPECT_EQ(result.dirty, operation.dirty);
        for (const Worker& worker : workers_)
            for (const auto& piece : worker.replica.pieces()) {
                const Region& seen = piece.fill.region;
                if (!seen.range.overlaps(operation.range)) continue;
                const Region* const now = home_.find(seen.range);
                ASSERT_NE(now, nullptr) << "still mapped after the gather";
                EXPECT_EQ(now->frame, seen.frame);
                EXPECT_EQ(now->rights, seen.rights);
            }
    }

    struct UnderWay {
        Range range;
        bool dirty;
    };

    std::mt19937_64 random_;
    span::Home<32, 4> home_;
    std::array<Worker, workers> workers_;
    std::map<uint32_t, UnderWay> under_way_;
    uint32_t frames_{};
};

TEST(Spanning, AfterAGatherNobodySeesWhatWasTakenAway) {
    const char* const set = std::getenv("SEED");
    const uint64_t first = set != nullptr ? std::strtoull(set, nullptr, 0) : std::random_device{}();
    for (uint64_t seed = first; seed < first + 200; ++seed) {
        SCOPED_TRACE("SEED=" + std::to_string(seed));
        World{seed}.run(600);
        if (testing::Test::HasFailure()) return;
    }
}

} // namespace
