// Who has the devices of bus masters, known by number: the plan of a domain that is to be started
// again may wait for memory longer than the session of its keeper lasts.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "lib/base/result.hpp"

namespace spawn {

/// Whoever started a bus master, and has its device.
class DeviceKeeper {
  public:
    /// Asks that the device reaches memory no more; the answer is Spawner::silent.
    virtual Result<> silence(uint32_t id) = 0;
    /// Asks that it may again, for domain `id`; the answer is Spawner::ready. `first` is the number
    /// of the domain that it was started for.
    virtual Result<> wake(uint32_t first, uint32_t id) = 0;

  protected:
    ~DeviceKeeper() = default;
};

class Keepers {
  public:
    static constexpr size_t capacity = 8;

    /// Its number, never 0 and never used again for another. Errors: no_space.
    Result<uint32_t> number_of(DeviceKeeper& keeper) {
        auto entry = std::ranges::find(entries_, &keeper, &Entry::keeper);
        if (entry != entries_.end()) return entry->number;
        entry = std::ranges::find(entries_, nullptr, &Entry::keeper);
        if (entry == entries_.end()) return fail(Err::no_space);
        *entry = {&keeper, ++last_};
        return entry->number;
    }

    /// Null: it has gone.
    DeviceKeeper* find(uint32_t number) const {
        const auto entry = std::ranges::find(entries_, number, &Entry::number);
        return entry == entries_.end() ? nullptr : entry->keeper;
    }

    void remove(const DeviceKeeper& keeper) {
        const auto entry = std::ranges::find(entries_, &keeper, &Entry::keeper);
        if (entry != entries_.end()) *entry = {};
    }

  private:
    struct Entry {
        DeviceKeeper* keeper{};
        uint32_t number{};
    };

    std::array<Entry, capacity> entries_{};
    uint32_t last_{};
};

} // namespace spawn
