// Records of one type in a fixed table, each known by a number that is not valid again after the
// record was given back until its generation has gone round. Records are built and destroyed in
// place, so they may be on lists.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "lib/base/result.hpp"

namespace monitor {

struct Numbered {
    uint16_t place{}; // the table's
};

template <class T, size_t N>
class Table {
    static_assert(N < 0xffff);

  public:
    static constexpr size_t capacity = N;

    /// An unused record. Errors: no_space.
    Result<T*> take() {
        size_t index = high_;
        if (free_ != 0) {
            index = free_ - 1u;
            free_ = places_[index].next_free;
        } else if (high_ == N) {
            return fail(Err::no_space);
        } else {
            ++high_;
        }
        ++count_;
        T& record = places_[index].record.emplace();
        record.place = static_cast<uint16_t>(index);
        return &record;
    }

    /// `record` is on no list and holds no capability any more.
    void release(T& record) {
        const size_t index = record.place;
        Place& place = places_[index];
        place.record.reset();
        ++place.generation;
        place.next_free = free_;
        free_ = static_cast<uint16_t>(index + 1);
        --count_;
    }

    /// Never 0.
    uint32_t number_of(const T& record) const {
        return uint32_t{places_[record.place].generation} << 16 | (record.place + 1u);
    }

    T* find(uint32_t number) {
        const uint32_t index = (number & 0xffff) - 1;
        if (index >= high_) return nullptr;
        Place& place = places_[index];
        const bool same = place.record && place.generation == number >> 16;
        return same ? &*place.record : nullptr;
    }

    /// Whether there was a record of this number, which has gone.
    bool had(uint32_t number) const {
        const uint32_t index = (number & 0xffff) - 1;
        if (index >= high_) return false;
        return static_cast<int16_t>((number >> 16) - places_[index].generation) < 0;
    }

    /// The record in place `index`, below end(), if there is one.
    T* at(size_t index) { return places_[index].record ? &*places_[index].record : nullptr; }

    size_t end() const { return high_; }

    size_t count() const { return count_; }

    bool full() const { return count_ == N; }

    size_t left() const { return N - count_; }

    /// `visit` may release the record it is shown.
    template <class Visit>
    void each(Visit&& visit) {
        for (size_t i = 0; i < high_; ++i)
            if (places_[i].record) visit(*places_[i].record);
    }

  private:
    struct Place {
        std::optional<T> record;
        uint16_t generation{};
        uint16_t next_free{}; // index + 1; 0: the last
    };

    std::array<Place, N> places_{};
    size_t high_{}, count_{};
    uint16_t free_{};
};

} // namespace monitor
