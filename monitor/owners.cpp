#include "monitor/owners.hpp"

#include <algorithm>
#include <span>

namespace monitor {

namespace {

constexpr bool overlap(const Range& a, const Range& b) {
    return a.base < b.end() && b.base < a.end();
}

} // namespace

Result<OwnerTable::Piece*> OwnerTable::take() {
    for (size_t i = 0; i < high_; ++i)
        if (!pieces_[i].used) return &pieces_[i];
    if (high_ == capacity) return fail(Err::no_space);
    return &pieces_[high_++];
}

Result<OwnerTable::Piece*> OwnerTable::add(const Piece& piece) {
    Piece* const place = TRY(take());
    *place = piece;
    heard_.news(static_cast<size_t>(place - pieces_.data()), piece.untold);
    return place;
}

/// Older pieces keep what lies outside.
Result<> OwnerTable::cut_out(const Range& range, uint32_t version) {
    for (size_t i = 0; i < high_; ++i) {
        Piece& piece = pieces_[i];
        if (!piece.used || piece.version >= version || !overlap(piece.range, range)) continue;
        const Range was = piece.range;
        if (was.base < range.base && range.end() < was.end()) {
            Piece behind = piece;
            behind.range = {range.end(), was.end() - range.end()};
            TRY(add(behind));
        }
        if (was.base < range.base)
            piece.range.bytes = range.base - was.base;
        else if (range.end() < was.end())
            piece.range = {range.end(), was.end() - range.end()};
        else
            piece.used = false;
    }
    return {};
}

Result<bool>
OwnerTable::learn(const Range& range, CoreId owner, uint32_t version, const CoreSet& untold) {
    TRY_VOID(cut_out(range, version));
    // What is still there is newer, or the same.
    bool news = false;
    for (uint64_t at = range.base; at < range.end();) {
        uint64_t next = range.end();
        bool covered = false;
        for (size_t i = 0; i < high_ && !covered; ++i) {
            const Piece& piece = pieces_[i];
            if (!piece.used) continue;
            covered = piece.range.base <= at && at < piece.range.end();
            if (covered)
                next = piece.range.end();
            else if (piece.range.base > at)
                next = std::min(next, piece.range.base);
        }
        if (!covered) {
            TRY(add({{at, next - at}, owner, true, version, untold}));
            news = true;
        }
        at = next;
    }
    return news;
}

/// A change has a piece of its own, and may leave one behind it of the piece that it lies in.
bool OwnerTable::has_room(size_t left) const {
    const auto used = std::ranges::count(std::span{pieces_}.first(high_), true, &Piece::used);
    return static_cast<size_t>(used) + 2 + left <= capacity;
}

uint32_t OwnerTable::newest(const Range& range) const {
    uint32_t newest = 0;
    each([&](const Piece& piece) {
        if (overlap(piece.range, range)) newest = std::max(newest, piece.version);
    });
    return newest;
}

Result<>
OwnerTable::assign(const Range& range, CoreId owner, const CoreSet& untold, uint32_t than) {
    TRY(learn(range, owner, std::max(newest(range), than) + 1, untold));
    return {};
}

std::optional<CoreId> OwnerTable::owner_of(const Range& range) const {
    std::optional<CoreId> owner;
    uint64_t known = 0;
    bool several = false;
    each([&](const Piece& piece) {
        if (!overlap(piece.range, range)) return;
        several |= owner && *owner != piece.owner;
        owner = piece.owner;
        known += std::min(piece.range.end(), range.end()) - std::max(piece.range.base, range.base);
    });
    return several || known != range.bytes ? std::nullopt : owner;
}

const OwnerTable::Piece* OwnerTable::next_untold(CoreId peer) {
    for (size_t& i = heard_.all_below(peer); i < high_; ++i) {
        Piece& piece = pieces_[i];
        if (!piece.used || !piece.untold.contains(peer)) continue;
        piece.untold.erase(peer);
        return &piece;
    }
    return nullptr;
}

void OwnerTable::tell_all(CoreId peer) {
    for (size_t i = 0; i < high_; ++i)
        if (pieces_[i].used) pieces_[i].untold.insert(peer);
    heard_.all_below(peer) = 0;
}

void OwnerTable::forget(CoreId peer) {
    for (size_t i = 0; i < high_; ++i)
        pieces_[i].untold.erase(peer);
}

} // namespace monitor
