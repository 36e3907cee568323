// Which bytes beyond the next expected one have come: a bounded, sorted list of ranges. The bytes
// themselves lie in the receive ring already, at their places.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "net/tcp/sequence.hpp"

namespace net::tcp {

class Assembler {
  public:
    struct Range {
        SeqNumber begin, end;
    };

    static constexpr size_t most_ranges = 16;

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
            if (count_ == most_ranges) return false;
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

    void clear() { count_ = 0; }

  private:
    void remove(size_t at, size_t how_many) {
        for (size_t i = at; i + how_many < count_; ++i)
            ranges_[i] = ranges_[i + how_many];
        count_ -= how_many;
    }

    std::array<Range, most_ranges> ranges_;
    size_t count_{};
};

} // namespace net::tcp
