// The names of the machine as this core knows them, and of each name which peers have yet to hear
// how it stands. State and not a queue: a slow peer delays nobody and never makes it grow.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "monitor/heard.hpp"
#include "monitor/name.hpp"

namespace monitor {

class NameTable {
  public:
    static constexpr size_t capacity = 512;

    struct Entry {
        Name name{};
        CoreId home{};
        bool used{}; // present, or absent and not yet told to everybody
        bool present{};
        uint32_t owner{}; // client that offers it, where home is this core
        CoreSet untold{};
        // Not yet said again by the peer by whose way it came (see Names).
        std::optional<CoreId> stale{};
    };

    /// `untold`: who has to hear of it. Errors: no_space. Nothing changes when it is there already.
    Result<Entry*> add(const Name& name, CoreId home, const CoreSet& untold);
    /// Whether it was there.
    bool remove(const Name& name, CoreId home, const CoreSet& untold);
    /// The lowest core that offers it: of two that do, the lower one wins, everywhere.
    std::optional<CoreId> home_of(const Name& name) const;
    Entry* find(const Name& name, CoreId home);
    size_t count_of(CoreId home, uint32_t owner) const;
    /// What `peer` has to be told next, marked as told.
    const Entry* next_untold(CoreId peer);
    /// `peer` is to hear everything that is present (it has just joined).
    void tell_all(CoreId peer);
    void forget(CoreId peer);
    /// Names of `home` are no more, and nobody has to be told.
    void remove_all(CoreId home);

    std::span<Entry> entries() { return std::span{entries_}.first(high_); }

    std::span<const Entry> entries() const { return std::span{entries_}.first(high_); }

    /// Another number after each change.
    uint64_t version() const { return version_; }

  private:
    void settle(Entry& entry);
    void is_news(const Entry& entry);

    std::array<Entry, capacity> entries_{};
    size_t high_{};
    Heard heard_;
    uint64_t version_{};
};

} // namespace monitor
