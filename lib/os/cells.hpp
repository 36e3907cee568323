// Small records of one size that are taken and given back: what a space notes of its mappings and
// of its memory. Starts with what is built in; grows by whole pages and never shrinks.
#pragma once

#include <cstddef>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace os {

class Cells {
  public:
    static constexpr size_t cell_bytes = 40;

    void add(std::span<std::byte> memory) {
        for (; memory.size() >= cell_bytes; memory = memory.subspan(cell_bytes))
            put(memory.data());
    }

    /// nullptr: none is left.
    template <class T>
    T* take() {
        static_assert(sizeof(T) <= cell_bytes && std::is_trivially_destructible_v<T>);
        if (first_ == nullptr) return nullptr;
        void* const memory = std::exchange(first_, first_->next);
        --count_;
        return new (memory) T{};
    }

    template <class T>
    void give(T* record) {
        put(record);
    }

    size_t count() const { return count_; }

  private:
    struct Free {
        Free* next;
    };

    void put(void* memory) {
        first_ = new (memory) Free{first_};
        ++count_;
    }

    Free* first_{};
    size_t count_{};
};

} // namespace os
