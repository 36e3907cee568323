// Ranges of sequence numbers, sorted, disjoint and bounded: at the receiver what came out of order
// (the bytes lie in the ring already), at the sender what the peer says it has (RFC 2018).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "net/tcp/sequence.hpp"

namespace net::tcp {

class Ranges {
  public:
    struct Range {
        SeqNumber begin, end;
    };

    static constexpr size_t most = 32;

    bool empty() const { return count_ == 0; }

    size_t size() const { return count_; }

    const Range& operator[](size_t i) const { return ranges_[i]; }

    /// Notes begin..end. False: it would be one range too many, and nothing changed.
    bool add(SeqNumber begin, SeqNumber end) {
        size_t first = 0; // the first range that touches or follows
        while (first < count_ && before(ranges_[first].end, begin))
            ++first;
        size_t last = first; // one behind the last range that touches
        Range merged{begin, end};
        for (; last < count_ && !after(ranges_[last].begin, end); ++last) {
            merged.begin = earlier(merged.begin, ranges_[last].begin);
            merged.end = later(merged.end, ranges_[last].end);
        }
        if (first == last) {
            if (count_ == most) return false;
            for (size_t i = count_; i > first; --i)
                ranges_[i] = ranges_[i - 1];
            ++count_;
        } else {
            remove(first + 1, last - first - 1);
        }
        ranges_[first] = merged;
        return true;
    }

    /// In-order data now reach up to `next`: returns how far they reach with what lies behind.
    SeqNumber advance(SeqNumber next) {
        size_t done = 0;
        while (done < count_ && !after(ranges_[done].begin, next)) {
            next = later(next, ranges_[done].end);
            ++done;
        }
        remove(0, done);
        return next;
    }

    /// What lies before `edge` is of no interest any more.
    void forget_before(SeqNumber edge) {
        size_t done = 0;
        while (done < count_ && !after(ranges_[done].end, edge))
            ++done;
        remove(0, done);
        if (count_ != 0) ranges_[0].begin = later(ranges_[0].begin, edge);
    }

    /// The first number from `at` on that is in no range.
    SeqNumber skip(SeqNumber at) const {
        for (size_t i = 0; i < count_ && !after(ranges_[i].begin, at); ++i)
            at = later(at, ranges_[i].end);
        return at;
    }

    /// Where the first range after `at` begins; `none` if there is none.
    SeqNumber next_begin(SeqNumber at, SeqNumber none) const {
        for (size_t i = 0; i < count_; ++i) {
            if (after(ranges_[i].begin, at)) return ranges_[i].begin;
        }
        return none;
    }

    /// How many numbers before `edge` are in ranges.
    uint32_t covered_before(SeqNumber edge) const {
        uint32_t sum = 0;
        for (size_t i = 0; i < count_ && before(ranges_[i].begin, edge); ++i)
            sum += earlier(ranges_[i].end, edge) - ranges_[i].begin;
        return sum;
    }

    void clear() { count_ = 0; }

  private:
    void remove(size_t at, size_t how_many) {
        if (how_many == 0) return;
        for (size_t i = at; i + how_many < count_; ++i)
            ranges_[i] = ranges_[i + how_many];
        count_ -= how_many;
    }

    std::array<Range, most> ranges_;
    size_t count_{};
};

} // namespace net::tcp
