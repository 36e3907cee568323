// Which core owns which RAM, in blocks of 2 MiB: the same on every core once it has heard of all
// changes. Like a core's record each piece has a version, and the later word counts.
#pragma once

#include "monitor/heard.hpp"
#include "monitor/range.hpp"

namespace monitor {

/// Owns what a device may write to that nobody can silence.
constexpr CoreId nobody{{max_cores - 1}};

class OwnerTable {
  public:
    static constexpr size_t capacity = 1024;
    /// What others have done cannot be refused: so many pieces are kept for that.
    static constexpr size_t kept_for_others = 256;

    struct Piece {
        Range range;
        CoreId owner{};
        bool used{};
        uint32_t version{};
        CoreSet untold{}; // peers that have yet to hear of it
    };

    /// False: nothing of it is news. Errors: no_space (pieces).
    Result<bool> learn(const Range& range, CoreId owner, uint32_t version, const CoreSet& untold);

    /// A change that this core makes, on top of what it knows and of version `than`.
    Result<> assign(const Range& range, CoreId owner, const CoreSet& untold, uint32_t than = 0);

    /// One assign() goes well, and leaves so many pieces free.
    bool has_room(size_t left = 0) const;

    /// Of what is known of it.
    uint32_t newest(const Range& range) const;

    /// Nothing: it has none, or more than one.
    std::optional<CoreId> owner_of(const Range& range) const;

    template <class Visit>
    void each(Visit&& visit) const {
        for (size_t i = 0; i < high_; ++i)
            if (pieces_[i].used) visit(pieces_[i]);
    }

    /// What `peer` has to be told next, marked as told.
    const Piece* next_untold(CoreId peer);
    void tell_all(CoreId peer);
    void forget(CoreId peer);

  private:
    Result<> cut_out(const Range& range, uint32_t version);
    Result<Piece*> take();
    Result<Piece*> add(const Piece& piece);

    std::array<Piece, capacity> pieces_{};
    size_t high_{};
    Heard heard_;
};

} // namespace monitor
