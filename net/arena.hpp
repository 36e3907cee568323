// Cuts one piece of memory into the stack's tables, once, at start. Run with no memory it counts:
// so each table is asked for in one piece, never in a loop over another table.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>

#include "lib/base/bytes.hpp"

namespace net {

class Arena {
  public:
    explicit Arena(MutableBytes memory) : memory_{memory} {}

    /// `count` objects made of `arguments`. Empty when memory ran out: see fits().
    template <class T, class... Arguments>
    std::span<T> make(size_t count, const Arguments&... arguments) {
        void* at = take(count * sizeof(T), alignof(T));
        if (at == nullptr) return {};
        T* first = static_cast<T*>(at);
        for (size_t i = 0; i < count; ++i)
            ::new (static_cast<void*>(first + i)) T(arguments...);
        return {first, count};
    }

    /// Bytes left as they are.
    MutableBytes bytes(size_t count) {
        void* at = take(count, line);
        if (at == nullptr) return {};
        return {static_cast<std::byte*>(at), count};
    }

    /// False once something was asked for that the memory did not hold.
    bool fits() const { return used_ <= memory_.size(); }

    size_t used() const { return used_; }

  private:
    static constexpr size_t line = 64;

    void* take(size_t count, size_t alignment) {
        const auto base = std::bit_cast<uintptr_t>(memory_.data());
        const size_t from = ((base + used_ + alignment - 1) & ~(alignment - 1)) - base;
        used_ = from + count;
        return used_ <= memory_.size() ? memory_.data() + from : nullptr;
    }

    MutableBytes memory_;
    size_t used_{};
};

/// A stack of free things out of a table: constant time, no memory of its own but one pointer
/// each, `T::next_free`.
template <class T>
class FreeList {
  public:
    void put(T& item) {
        item.next_free = first_;
        first_ = &item;
    }

    T* take() {
        T* item = first_;
        if (item != nullptr) first_ = item->next_free;
        return item;
    }

    bool empty() const { return first_ == nullptr; }

  private:
    T* first_{};
};

} // namespace net
