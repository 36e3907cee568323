// A ring of bytes over memory that somebody else owns: what waits to be acknowledged, or to be
// read. Bytes may be laid down ahead of the end, for segments that came out of order.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "lib/base/bytes.hpp"
#include "lib/base/invariant.hpp"

namespace net {

class ByteRing {
  public:
    ByteRing() = default;

    /// The size of `memory` is a power of two.
    explicit ByteRing(MutableBytes memory) : memory_{memory.data()}, capacity_{memory.size()} {}

    size_t capacity() const { return capacity_; }

    size_t size() const { return size_; }

    size_t room() const { return capacity_ - size_; }

    bool empty() const { return size_ == 0; }

    /// Appends what fits; returns how much that was.
    size_t write(Bytes data) {
        const size_t count = std::min(data.size(), room());
        place(0, data.first(count));
        grow(count);
        return count;
    }

    /// Appends all; the caller looked at room(). Nothing was laid down ahead.
    [[gnu::always_inline]] void append(Bytes data) {
        begin_anew();
        const size_t at = (start_ + size_) & (capacity_ - 1);
        size_ += data.size();
        if (data.size() <= capacity_ - at) [[likely]]
            return copy(memory_ + at, data);
        copy_around(at, data);
    }

    /// Lays bytes down `ahead` bytes after the end, without making them part of the content.
    void place(size_t ahead, Bytes data) {
        INVARIANT(ahead + data.size() <= room(), "the caller looked at room()");
        const size_t at = (start_ + size_ + ahead) & (capacity_ - 1);
        if (data.size() <= capacity_ - at) return copy(memory_ + at, data);
        copy_around(at, data);
    }

    /// Makes the next `count` bytes after the end, laid down before, part of the content.
    void grow(size_t count) {
        INVARIANT(count <= room(), "the caller looked at room()");
        size_ += count;
    }

    /// As many of the `length` bytes from `offset` on, which there are, as lie in one piece.
    Bytes front(size_t offset, size_t length) const {
        const size_t at = (start_ + offset) & (capacity_ - 1);
        return {memory_ + at, std::min(length, capacity_ - at)};
    }

    /// `length` bytes from `offset` on, in at most two pieces; the second may be empty.
    std::array<Bytes, 2> view(size_t offset, size_t length) const {
        INVARIANT(offset + length <= size_, "views stay within the content");
        if (length == 0) return {};
        const size_t at = (start_ + offset) & (capacity_ - 1);
        const size_t first = std::min(length, capacity_ - at);
        return {Bytes{memory_ + at, first}, Bytes{memory_, length - first}};
    }

    /// Copies from the front without taking.
    void peek(size_t offset, MutableBytes into) const {
        const auto pieces = view(offset, into.size());
        copy(into.data(), pieces[0]);
        copy(into.data() + pieces[0].size(), pieces[1]);
    }

    /// Nothing was laid down ahead: what comes next lies in one piece if the ring is empty.
    void begin_anew() {
        if (size_ == 0) start_ = 0;
    }

    void clear() { start_ = size_ = 0; }

    /// Goes on in other memory, a power of two not smaller than what is in use; what was laid down
    /// ahead comes along as far as it fits.
    void move_to(MutableBytes memory) {
        INVARIANT(size_ <= memory.size(), "content is not lost");
        for (size_t done = 0; done < std::min(capacity_, memory.size());) {
            const size_t at = (start_ + done) & (capacity_ - 1);
            const size_t left = std::min(capacity_, memory.size()) - done;
            const size_t count = std::min(capacity_ - at, left);
            copy(memory.data() + done, {memory_ + at, count});
            done += count;
        }
        memory_ = memory.data();
        capacity_ = memory.size();
        start_ = 0;
    }

    MutableBytes whole() const { return {memory_, capacity_}; }

    void consume(size_t count) {
        INVARIANT(count <= size_, "the caller looked at size()");
        size_ -= count;
        start_ = (start_ + count) & (capacity_ - 1);
    }

  private:
    [[gnu::noinline]] void copy_around(size_t at, Bytes data) {
        const size_t first = capacity_ - at;
        INVARIANT(data.size() <= capacity_, "the caller looked at room()");
        copy(memory_ + at, data.first(first));
        copy(memory_, data.subspan(first));
    }

    static void copy(std::byte* to, Bytes from) {
        if (!from.empty()) __builtin_memcpy(to, from.data(), from.size());
    }

    std::byte* memory_{};
    size_t capacity_{};
    size_t start_{}, size_{};
};

} // namespace net
