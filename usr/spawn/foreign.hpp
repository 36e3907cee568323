// RAM of other cores: what this core has asked for, has, or gives back. What is on its way lies
// with a monitor under a label, at one end or the other; an entry stays until it is known where.
#pragma once

#include <algorithm>
#include <array>

#include "lib/abi/capability.hpp"
#include "lib/base/result.hpp"
#include "lib/base/text.hpp"

namespace spawn {

using Label = Text<16>;

struct Foreign {
    enum class State : uint8_t {
        unused,
        on_its_way, // under `label`, from its home or back there
        in_use,     // the memory server has it
        kept,       // nobody has it but this entry
    };

    static constexpr uint8_t tries_max = 4;

    State state{};
    uint8_t home{};
    uint8_t tries{}; // to find out where it is
    uint64_t base{}, bytes{};
    Label label;
    abi::CapSlot ram{}; // of what is kept

    void move(Label under) {
        state = State::on_its_way;
        label = under;
        ram = abi::null_slot;
        tries = 0;
    }

    void keep(abi::CapSlot what) {
        state = State::kept;
        ram = what;
    }

    void use(uint64_t from, uint64_t count) {
        state = State::in_use;
        base = from;
        bytes = count;
        ram = abi::null_slot;
    }

    /// Its home has it not, for that reason. True: it was at neither end so often that it is not
    /// looked for any longer.
    bool missed(Err why) { return why == Err::not_found && ++tries == tries_max; }
};

class ForeignTable {
  public:
    static constexpr size_t capacity = 24;

    /// Errors: no_space.
    Result<Foreign*> add(uint8_t home, Label label) {
        const auto place = std::ranges::find(entries_, Foreign::State::unused, &Foreign::state);
        if (place == entries_.end()) return fail(Err::no_space);
        place->home = home;
        place->move(label);
        return &*place;
    }

    bool full() const { return count() == capacity; }

    void remove(Foreign& entry) { entry = Foreign{}; }

    /// What the memory server had, and has no more. Null: it is not foreign.
    Foreign* at(uint64_t base) {
        for (Foreign& entry : entries_)
            if (entry.state == Foreign::State::in_use && entry.base == base) return &entry;
        return nullptr;
    }

    /// The first in that state from entry `from` on. Null: none.
    Foreign* next(Foreign::State state, size_t& from) {
        while (from < capacity)
            if (Foreign& entry = entries_[from++]; entry.state == state) return &entry;
        return nullptr;
    }

    size_t count() const {
        return capacity - static_cast<size_t>(
                              std::ranges::count(entries_, Foreign::State::unused, &Foreign::state)
                          );
    }

  private:
    std::array<Foreign, capacity> entries_{};
};

} // namespace spawn
