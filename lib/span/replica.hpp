// One worker's copy of the address space: a cache of the home's page tables that is filled by page
// faults. A fill may be under way while the home takes the range away; so each cut is remembered
// with its version, and a fill from before it is dropped and asked for again. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "lib/base/invariant.hpp"
#include "lib/base/mutant.hpp"
#include "lib/span/range.hpp"

namespace span {

enum class Verdict : uint8_t {
    map,   // map it, then tell mapped()
    there, // it is mapped already
    stale, // the home has taken it away since: ask again
};

/// `Handle` is what the machine needs to take a piece away again (the slot of a Mapping).
template <class Handle, size_t MostPieces, size_t MostCuts>
class Replica {
  public:
    struct Piece {
        Fill fill{};
        Handle handle{};
    };

    Verdict judge(const Fill& fill, VirtAddr at) const {
        if (!planted(Mutant::fill_without_version) && is_stale(fill)) return Verdict::stale;
        if (find(at) != nullptr) return Verdict::there;
        // Pieces of different ages, cut differently: the home knows how it is now.
        return overlaps(fill.region.range) ? Verdict::stale : Verdict::map;
    }

    /// Its page tables have the fill now. There is room: has_room() was asked.
    void mapped(const Fill& fill, const Handle& handle) {
        INVARIANT(has_room(), "who maps has made room");
        pieces_[count_++] = {fill, handle};
    }

    bool has_room() const { return count_ < MostPieces; }

    /// Drops the piece that was mapped first, to make room. `remove(handle)` says whether it was
    /// dirty; that is told with the next cut that can have to do with it.
    template <class Remove>
    void evict(Remove&& remove) {
        INVARIANT(count_ > 0, "there is something to drop");
        const Piece piece = pieces_[0];
        for (size_t i = 1; i < count_; ++i)
            pieces_[i - 1] = pieces_[i];
        --count_;
        if (remove(piece.handle)) dirty_before_ = dirty_before_.hull(piece.fill.region.range);
    }

    /// The home has taken `range` away: every older piece in it goes. A piece goes as a whole; what
    /// of it lies outside comes back by the next fault. Answers whether somebody wrote there.
    template <class Remove>
    bool cut(const Range& range, Version version, Remove&& remove) {
        remember(range, version);
        bool dirty = dirty_before_.overlaps(range);
        size_t kept = 0;
        for (size_t i = 0; i < count_; ++i) {
            const Piece piece = pieces_[i];
            const Range& where = piece.fill.region.range;
            if (!where.overlaps(range) || piece.fill.version >= version) {
                pieces_[kept++] = piece;
                continue;
            }
            const bool written = remove(piece.handle);
            dirty |= written;
            // What was written outside of this cut is told with another one.
            if (written && !range.covers(where)) dirty_before_ = dirty_before_.hull(where);
        }
        count_ = kept;
        return dirty;
    }

    const Piece* find(VirtAddr at) const {
        for (const Piece& p : pieces())
            if (p.fill.region.range.contains(at)) return &p;
        return nullptr;
    }

    std::span<const Piece> pieces() const { return std::span{pieces_}.first(count_); }

  private:
    bool is_stale(const Fill& fill) const {
        if (fill.version < floor_) return true;
        for (const Past& p : past_)
            if (fill.version < p.version && p.range.overlaps(fill.region.range)) return true;
        return false;
    }

    bool overlaps(const Range& range) const {
        for (const Piece& p : pieces())
            if (p.fill.region.range.overlaps(range)) return true;
        return false;
    }

    /// With no place left the oldest cut becomes one of the whole address space: that drops a fill
    /// too many, never one too few.
    void remember(const Range& range, Version version) {
        Past& oldest = past_[next_past_++ % MostCuts];
        floor_ = std::max(floor_, oldest.version);
        oldest = {range, version};
    }

    struct Past {
        Range range{};
        Version version{};
    };

    std::array<Piece, MostPieces> pieces_{};
    size_t count_{};
    std::array<Past, MostCuts> past_{};
    size_t next_past_{};
    Version floor_{};
    Range dirty_before_{};
};

} // namespace span
