// Who offers which name, as the monitor of this core knows it: a page that it alone writes and
// every domain of the core may read (replica.hpp), so that a look-up asks nobody.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/base/strong.hpp"
#include "lib/base/text.hpp"
#include "lib/os/replica.hpp"

namespace os {

using NameText = Text<16>;

struct OfferedName {
    NameText name;
    CoreId home;
};

class NameReplica {
  public:
    static constexpr size_t capacity = 512;

    // -- the writer --

    /// What is published next begins empty.
    void begin() {
        Copy& copy = copies_.draft();
        for (Word& word : copy.index)
            put(word, 0);
        put(copy.count, 0);
    }

    /// Of two cores that offer one name the lower counts. Errors: no_space.
    Result<> add(const OfferedName& offered) {
        Copy& copy = copies_.draft();
        const Key key = key_of(offered.name.view());
        Word& place = copy.index[slot_of(copy, key)];
        if (const uint64_t known = get(place); known != 0) {
            Word& home = copy.entries[known - 1].home;
            if (offered.home.raw < get(home)) put(home, offered.home.raw);
            return {};
        }
        const uint64_t count = get(copy.count);
        if (count == capacity) return fail(Err::no_space);
        put(copy.entries[count].name[0], key[0]);
        put(copy.entries[count].name[1], key[1]);
        put(copy.entries[count].home, offered.home.raw);
        put(place, count + 1);
        put(copy.count, count + 1);
        return {};
    }

    void publish() { copies_.publish(); }

    // -- readers --

    std::optional<CoreId> home_of(std::string_view name) const {
        if (name.size() > NameText::capacity) return std::nullopt;
        const Key key = key_of(name);
        return copies_.read([&](const Copy& copy) -> std::optional<CoreId> {
            const uint64_t entry = get(copy.index[slot_of(copy, key)]);
            if (entry == 0 || entry > capacity) return std::nullopt;
            return CoreId{{static_cast<uint8_t>(get(copy.entries[entry - 1].home))}};
        });
    }

    /// The index-th, in the order in which the monitor learned of them.
    std::optional<OfferedName> at(size_t index) const {
        return copies_.read([&](const Copy& copy) -> std::optional<OfferedName> {
            if (index >= get(copy.count) || index >= capacity) return std::nullopt;
            const Entry& entry = copy.entries[index];
            const Key key{get(entry.name[0]), get(entry.name[1])};
            const auto text = std::bit_cast<std::array<char, sizeof(Key)>>(key);
            return OfferedName{
                NameText::cut({text.data(), text.size()}),
                CoreId{{static_cast<uint8_t>(get(entry.home))}}
            };
        });
    }

  private:
    using Word = std::atomic<uint64_t>;
    using Key = std::array<uint64_t, 2>;
    static constexpr unsigned index_bits = 10;
    static constexpr size_t index_size = size_t{1} << index_bits;
    static_assert(index_size >= 2 * capacity, "there is always a free slot to end a search at");

    struct Entry {
        std::array<Word, 2> name;
        Word home;
    };

    struct Copy {
        Word count;
        std::array<Word, index_size> index; // entry + 1; open addressing
        std::array<Entry, capacity> entries;
    };

    // relaxed: as Replica wants it
    static uint64_t get(const Word& word) { return word.load(std::memory_order_relaxed); }

    static void put(Word& word, uint64_t value) { word.store(value, std::memory_order_relaxed); }

    static Key key_of(std::string_view name) {
        std::array<char, sizeof(Key)> text{};
        for (size_t i = 0; i < name.size() && i < text.size(); ++i)
            text[i] = name[i];
        return std::bit_cast<Key>(text);
    }

    /// Where it stands, or the free slot where it would.
    static size_t slot_of(const Copy& copy, const Key& key) {
        constexpr uint64_t odd = 0x9e37'79b9'7f4a'7c15; // 2^64 divided by the golden ratio
        const uint64_t mixed = (key[0] ^ std::rotl(key[1] * odd, 32)) * odd;
        for (size_t slot = mixed >> (64 - index_bits), tries = 0;; slot = (slot + 1) % index_size) {
            const uint64_t entry = get(copy.index[slot]);
            if (entry == 0 || entry > capacity || ++tries == index_size) return slot;
            const Entry& at = copy.entries[entry - 1];
            if (get(at.name[0]) == key[0] && get(at.name[1]) == key[1]) return slot;
        }
    }

    Replica<Copy> copies_;
};

} // namespace os
