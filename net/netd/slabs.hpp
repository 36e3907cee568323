// Objects that are named by a small number, in memory that is taken a slab at a time: who has few
// pays for few. A number that comes again is told apart by its generation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <utility>

#include "lib/base/result.hpp"

namespace netd {

/// At most `most` of T, which is made from (its number, what `make` was given).
template <class T, size_t most>
class Slabs {
  public:
    Slabs() = default;
    Slabs(const Slabs&) = delete;

    ~Slabs() {
        for (Slab* slab : slabs_)
            delete slab;
    }

    /// Errors: no_slots (there are `most`), no_memory.
    template <class... Args>
    Result<T*> make(Args&&... args) {
        if (free_ == none) TRY_VOID(grow());
        const uint16_t number = free_;
        Cell& cell = cell_of(number);
        free_ = cell.next_free;
        return &cell.value.emplace(number, std::forward<Args>(args)...);
    }

    /// Null: there is none of this number.
    T* find(size_t number) {
        if (number >= made_) return nullptr;
        auto& value = cell_of(number).value;
        return value ? &*value : nullptr;
    }

    /// How often that number was given back, modulo 2^16.
    uint16_t generation(uint16_t number) const { return cell_of(number).generation; }

    void erase(uint16_t number) {
        Cell& cell = cell_of(number);
        cell.value.reset();
        ++cell.generation;
        cell.next_free = std::exchange(free_, number);
    }

    /// The first for which `is_it` holds, or null.
    template <class Predicate>
    T* find_if(Predicate&& is_it) const {
        for (size_t number = 0; number < made_; ++number) {
            auto& value = cell_of(number).value;
            if (value && is_it(*value)) return &*value;
        }
        return nullptr;
    }

  private:
    static constexpr size_t slab_cells = 64;
    static constexpr uint16_t none = 0xffff;
    static_assert(most % slab_cells == 0 && most < none);

    struct Cell {
        std::optional<T> value;
        uint16_t generation{};
        uint16_t next_free{none};
    };

    using Slab = std::array<Cell, slab_cells>;

    Cell& cell_of(size_t number) const {
        return (*slabs_[number / slab_cells])[number % slab_cells];
    }

    Result<> grow() {
        if (made_ == most) return fail(Err::no_slots);
        Slab* const slab = new (std::nothrow) Slab;
        if (slab == nullptr) return fail(Err::no_memory);
        slabs_[made_ / slab_cells] = slab;
        const auto first = static_cast<uint16_t>(made_);
        made_ += slab_cells;
        // The lowest is to be the next.
        for (auto number = static_cast<uint16_t>(made_); number-- > first;)
            cell_of(number).next_free = std::exchange(free_, number);
        return {};
    }

    std::array<Slab*, most / slab_cells> slabs_{};
    size_t made_{};
    uint16_t free_{none};
};

} // namespace netd
