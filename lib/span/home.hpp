// The home of an address space that is replicated over cores: it alone orders map, unmap, protect
// and fill. What it takes away it takes away here first, under a new version, and then gathers one
// answer from each worker; until then nothing else begins in that range. Pure.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "lib/base/mutant.hpp"
#include "lib/base/result.hpp"
#include "lib/span/range.hpp"

namespace span {

/// Something is being taken away: what goes to the workers.
struct Cut {
    uint32_t operation{};
    Range range{};
    Version version{};
};

/// All workers have answered.
struct Gathered {
    uint32_t operation{};
    bool dirty{}; // somebody wrote there since it was mapped
};

template <size_t MostRegions, size_t MostCuts>
class Home {
  public:
    /// Errors: bad_argument (empty, or not whole pages), exists (something is there), busy (it is
    /// still being taken away), no_space.
    Result<> map(const Region& region) {
        if (!whole_pages(region.range)) return fail(Err::bad_argument);
        if (find(region.range) != nullptr) return fail(Err::exists);
        if (is_busy(region.range)) return fail(Err::busy);
        return add(region);
    }

    /// What a replica may map around `at`: never more than one table of 4 KiB pages covers.
    /// Errors: not_mapped.
    Result<Fill> fill(VirtAddr at) const {
        const Region* const region = find({at, at + 1});
        if (region == nullptr) return fail(Err::not_mapped);
        const VirtAddr block = virt(round_down(at.raw, large_page_bytes));
        return Fill{region->part({block, block + large_page_bytes}), version_};
    }

    /// Takes the range away: from now on nobody is given it. `workers` are those who may have some
    /// of it. Errors: bad_argument, not_mapped (nothing is there), busy, no_space.
    Result<Cut> unmap(const Range& range, Workers workers) {
        TRY_VOID(can_cut(range));
        if (!has_room_to_split(range)) return fail(Err::no_space);
        Operation* const operation = TRY(free_operation());
        carve(range, std::nullopt);
        return begin(*operation, range, workers);
    }

    /// The same for rights: replicas drop what they have and ask again.
    Result<Cut> protect(const Range& range, abi::Rights rights, Workers workers) {
        TRY_VOID(can_cut(range));
        if (!has_room_to_split(range)) return fail(Err::no_space);
        Operation* const operation = TRY(free_operation());
        carve(range, rights);
        return begin(*operation, range, workers);
    }

    /// A worker's answer to a cut. Gives the outcome with the last one. Errors: not_found (no such
    /// operation, or it was not asked).
    Result<std::optional<Gathered>> answered(uint32_t number, uint32_t worker, bool dirty) {
        for (Operation& o : operations_) {
            if (o.cut.operation != number || number == 0) continue;
            if (!o.waiting.has(worker)) break;
            o.dirty |= dirty;
            o.waiting.remove(worker);
            return planted(Mutant::gather_at_first_answer) ? end(o) : outcome(o);
        }
        return fail(Err::not_found);
    }

    /// An operation that waits for nobody (any more) is over; asked after `unmap` and `gone`.
    std::optional<Gathered> finished() {
        for (Operation& o : operations_)
            if (o.cut.operation != 0 && o.waiting.empty()) return end(o);
        return std::nullopt;
    }

    /// The worker is no more, and with it its page tables: it counts as having answered, and as
    /// having written, as nobody knows any more. Then ask finished() until it has nothing.
    void gone(uint32_t worker) {
        for (Operation& o : operations_) {
            o.dirty |= o.waiting.has(worker);
            o.waiting.remove(worker);
        }
    }

    Version version() const { return version_; }

    /// Is the frame to be seen anywhere?
    bool uses(uint32_t frame) const {
        for (const Region& r : regions())
            if (r.frame == frame) return true;
        return false;
    }

    bool is_busy(const Range& range) const {
        for (const Operation& o : operations_)
            if (o.cut.operation != 0 && o.cut.range.overlaps(range)) return true;
        return false;
    }

    /// A region that has part in the range.
    const Region* find(const Range& range) const {
        for (const Region& r : regions())
            if (r.range.overlaps(range)) return &r;
        return nullptr;
    }

    std::span<const Region> regions() const { return std::span{regions_}.first(count_); }

  private:
    struct Operation {
        Cut cut{}; // operation 0: unused
        Workers waiting{};
        bool dirty{};
    };

    static bool whole_pages(const Range& r) {
        return !r.empty() && r.begin.aligned(page_bytes) && r.end.aligned(page_bytes);
    }

    Result<> can_cut(const Range& range) const {
        if (!whole_pages(range)) return fail(Err::bad_argument);
        if (find(range) == nullptr) return fail(Err::not_mapped);
        return is_busy(range) ? Result<>{fail(Err::busy)} : Result<>{};
    }

    /// A cut leaves at most one more piece at each end.
    bool has_room_to_split(const Range&) const { return MostRegions - count_ >= 2; }

    Result<Operation*> free_operation() {
        for (Operation& o : operations_)
            if (o.cut.operation == 0) return &o;
        return fail(Err::no_space);
    }

    Result<> add(const Region& region) {
        if (count_ == MostRegions) return fail(Err::no_space);
        regions_[count_++] = region;
        return {};
    }

    /// Everything in the range goes, or gets `rights`.
    void carve(const Range& range, std::optional<abi::Rights> rights) {
        for (size_t i = 0; i < count_;) {
            const Region old = regions_[i];
            if (!old.range.overlaps(range)) {
                ++i;
                continue;
            }
            Region inside = old.part(range);
            const Range before{old.range.begin, inside.range.begin};
            const Range after{inside.range.end, old.range.end};
            std::optional<Region> keep;
            if (rights) {
                inside.rights = *rights;
                keep = inside;
            }
            regions_[i] = regions_[--count_];
            // What is put back lies outside the range or has its new rights: looked at once more
            // it would be cut into the same pieces, so it goes behind what is still to be seen.
            for (const Range& rest : {before, after})
                if (!rest.empty()) regions_[count_++] = old.part(rest);
            if (keep) kept_[kept_count_++] = *keep;
        }
        while (kept_count_ > 0)
            regions_[count_++] = kept_[--kept_count_];
    }

    Cut begin(Operation& operation, const Range& range, Workers workers) {
        version_ = version_.next();
        if (++last_operation_ == 0) ++last_operation_;
        operation = {{last_operation_, range, version_}, workers, false};
        return operation.cut;
    }

    std::optional<Gathered> outcome(Operation& o) {
        return o.waiting.empty() ? end(o) : std::nullopt;
    }

    std::optional<Gathered> end(Operation& o) {
        const Gathered result{o.cut.operation, o.dirty};
        o = {};
        return result;
    }

    std::array<Region, MostRegions> regions_{}, kept_{};
    size_t count_{}, kept_count_{};
    std::array<Operation, MostCuts> operations_{};
    uint32_t last_operation_{};
    Version version_{};
};

} // namespace span
