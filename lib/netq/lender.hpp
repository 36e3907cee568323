// Where each buffer of a pool is, as the side that owns the pool knows it, in private memory: free,
// in our hands, or lent to the other side for a purpose. What comes back is outside input: a buffer
// that was not lent for that purpose is refused, so none is ever in two places.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "lib/base/invariant.hpp"
#include "lib/base/result.hpp"

namespace netq {

/// What a buffer is lent for; each comes back by a ring of its own.
enum class Loan : uint8_t { receive, transmit };

/// Deals out buffers 0 .. count - 1 of an area. The last one back goes out first: it is warm.
template <size_t N>
class Lender {
  public:
    explicit Lender(uint32_t count) : count_{count} {
        INVARIANT(count <= N, "the pool is declared as large as its area");
        places_.fill(Place::foreign);
        while (count > 0)
            put_free(--count);
    }

    /// A free buffer, in our hands from now on.
    std::optional<uint32_t> allocate() {
        if (free_ == 0) return std::nullopt;
        const uint32_t buffer = stack_[--free_];
        places_[buffer] = Place::here;
        return buffer;
    }

    /// errors   protocol: it is not in our hands (free, lent already, or no buffer of this pool)
    Result<> free(uint32_t buffer) {
        TRY_VOID(leave(buffer, Place::here));
        put_free(buffer);
        return {};
    }

    /// Before its descriptor is pushed. errors: as free, so nothing is ever enqueued twice
    Result<> lend(uint32_t buffer, Loan loan) {
        TRY_VOID(leave(buffer, Place::here));
        places_[buffer] = lent(loan);
        ++lent_;
        return {};
    }

    /// Its descriptor came back: it is in our hands. errors: protocol (it was not lent for that)
    Result<> take_back(uint32_t buffer, Loan loan) {
        TRY_VOID(leave(buffer, lent(loan)));
        places_[buffer] = Place::here;
        --lent_;
        return {};
    }

    /// The other side is gone and reaches the memory no more: all it had is free. How many.
    size_t revoke() {
        for (uint32_t buffer = 0; buffer < count_; ++buffer)
            if (places_[buffer] == lent(Loan::receive) || places_[buffer] == lent(Loan::transmit))
                put_free(buffer);
        return std::exchange(lent_, 0);
    }

    size_t available() const { return free_; }

    size_t lent_out() const { return lent_; }

  private:
    enum class Place : uint8_t { foreign, free, here, receive, transmit };

    static constexpr Place lent(Loan loan) {
        return loan == Loan::receive ? Place::receive : Place::transmit;
    }

    Result<> leave(uint32_t buffer, Place from) const {
        if (buffer >= N || places_[buffer] != from) return fail(Err::protocol);
        return {};
    }

    void put_free(uint32_t buffer) {
        places_[buffer] = Place::free;
        stack_[free_++] = buffer;
    }

    uint32_t count_;
    size_t free_{}, lent_{};
    std::array<Place, N> places_;
    std::array<uint32_t, N> stack_{};
};

} // namespace netq
