#include "net/reassembly.hpp"

#include <algorithm>

namespace net {

Reassembly::Reassembly(Arena& arena, size_t datagrams, Drops& drops, Counters& counters)
    : partials_{arena.make<Partial>(datagrams)}, drops_{drops}, counters_{counters} {
    constexpr size_t each = most_header_bytes + blocks * 8;
    MutableBytes memory = arena.bytes(datagrams * each);
    for (Partial& partial : partials_) {
        partial.memory = memory.first(each);
        memory = memory.subspan(each);
    }
}

void Reassembly::give_up(Partial& partial, Drop reason) {
    drops_.count(reason);
    partial.used = false;
    --used_;
}

/// The entry of this datagram, or a new one; a peer holds at most half of the table.
Reassembly::Partial& Reassembly::claim(const wire::Ipv4& ip, Instant now) {
    Partial* spare = nullptr;
    Partial* oldest = nullptr;
    Partial* oldest_of_peer = nullptr;
    size_t of_peer = 0;
    const auto older = [](Partial* a, Partial& b) {
        return a == nullptr || b.started < a->started;
    };
    for (Partial& partial : partials_) {
        if (!partial.used) {
            spare = &partial;
            continue;
        }
        const bool same_peer = partial.source == ip.source;
        if (same_peer && partial.destination == ip.destination && partial.protocol == ip.protocol &&
            partial.identification == ip.identification) {
            return partial;
        }
        if (older(oldest, partial)) oldest = &partial;
        if (!same_peer) continue;
        ++of_peer;
        if (older(oldest_of_peer, partial)) oldest_of_peer = &partial;
    }
    Partial* chosen = spare;
    if (of_peer >= std::max<size_t>(1, partials_.size() / 2)) chosen = oldest_of_peer;
    if (chosen == nullptr) chosen = oldest;
    if (chosen->used) give_up(*chosen, Drop::fragment_evicted);
    chosen->used = true;
    ++used_;
    chosen->source = ip.source;
    chosen->destination = ip.destination;
    chosen->identification = ip.identification;
    chosen->protocol = ip.protocol;
    chosen->started = now;
    chosen->header_bytes = chosen->end = chosen->filled_blocks = 0;
    chosen->length.reset();
    chosen->filled.fill(0);
    return *chosen;
}

Reassembly::Overlap Reassembly::overlap(const Partial& partial, size_t from, size_t to) {
    size_t present = 0;
    for (size_t block = from; block < to; ++block) {
        present += partial.filled[block / 64] >> (block % 64) & 1;
    }
    if (present == 0) return Overlap::none;
    return present == to - from ? Overlap::all : Overlap::some;
}

void Reassembly::fill(Partial& partial, size_t from, size_t to) {
    for (size_t block = from; block < to; ++block) {
        partial.filled[block / 64] |= uint64_t{1} << (block % 64);
    }
    partial.filled_blocks += to - from;
}

void Reassembly::place(Partial& partial, size_t offset, Bytes header, Bytes payload) {
    if (offset == 0) {
        partial.header_bytes = header.size();
        const size_t at = most_header_bytes - header.size();
        std::ranges::copy(header, partial.memory.subspan(at).begin());
    }
    std::ranges::copy(payload, partial.memory.subspan(most_header_bytes + offset).begin());
}

std::optional<Reassembly::Whole>
Reassembly::add(const wire::Ipv4& ip, Bytes header, Bytes payload, Instant now) {
    ++counters_.fragments_in;
    const size_t offset = ip.offset_bytes();
    const size_t end = offset + payload.size();
    const bool last = !ip.has_more();
    if (partials_.empty() || payload.empty() || end > most_payload_bytes ||
        (!last && payload.size() % 8 != 0)) {
        drops_.count(Drop::fragment_bad);
        return std::nullopt;
    }
    Partial& partial = claim(ip, now);
    const size_t from = offset / 8, to = (end + 7) / 8;
    const Overlap overlapping = overlap(partial, from, to);
    if (overlapping == Overlap::all) {
        drops_.count(Drop::fragment_duplicate);
        return std::nullopt;
    }
    // Two lasts, or something behind the last, contradict each other as an overlap does.
    const bool contradicts = (last && (partial.length || partial.end > end)) ||
                             (partial.length && end > *partial.length);
    if (overlapping == Overlap::some || contradicts) {
        give_up(partial, Drop::fragment_overlap);
        return std::nullopt;
    }
    place(partial, offset, header, payload);
    fill(partial, from, to);
    partial.end = std::max(partial.end, end);
    if (last) partial.length = end;
    if (!partial.length || partial.filled_blocks != (*partial.length + 7) / 8) return std::nullopt;
    partial.used = false;
    --used_;
    ++counters_.reassembled;
    const Bytes both = Bytes{partial.memory}.subspan(
        most_header_bytes - partial.header_bytes, partial.header_bytes + *partial.length
    );
    return Whole{both.first(partial.header_bytes), both.subspan(partial.header_bytes), both};
}

std::optional<Instant> Reassembly::next_deadline() const {
    std::optional<Instant> first;
    if (used_ == 0) return first; // nearly always
    for (const Partial& partial : partials_) {
        if (!partial.used) continue;
        const Instant due = partial.started + time_out;
        if (!first || due < *first) first = due;
    }
    return first;
}

Bytes Reassembly::beginning_of(const Partial& partial) {
    size_t blocks_there = 0;
    while (blocks_there < blocks && (partial.filled[blocks_there / 64] >> blocks_there % 64 & 1)) {
        ++blocks_there;
    }
    return Bytes{partial.memory}.subspan(
        most_header_bytes - partial.header_bytes,
        partial.header_bytes + std::min(blocks_there * 8, partial.end)
    );
}

} // namespace net
