#include "monitor/names.hpp"

namespace monitor {

NameTable::Entry* NameTable::find(const Name& name, CoreId home) {
    for (Entry& entry : entries())
        if (entry.used && entry.home == home && entry.name == name) return &entry;
    return nullptr;
}

Result<NameTable::Entry*> NameTable::add(const Name& name, CoreId home, const CoreSet& untold) {
    Entry* entry = find(name, home);
    if (entry != nullptr && entry->present) {
        entry->stale.reset();
        return entry;
    }
    for (size_t i = 0; entry == nullptr && i < high_; ++i)
        if (!entries_[i].used) entry = &entries_[i];
    if (entry == nullptr) {
        if (high_ == capacity) return fail(Err::no_space);
        entry = &entries_[high_++];
    }
    ++version_;
    *entry = {.name = name, .home = home, .used = true, .present = true, .untold = untold};
    is_news(*entry);
    return entry;
}

void NameTable::is_news(const Entry& entry) {
    heard_.news(static_cast<size_t>(&entry - entries_.data()), entry.untold);
}

bool NameTable::remove(const Name& name, CoreId home, const CoreSet& untold) {
    Entry* const entry = find(name, home);
    if (entry == nullptr || !entry->present) return false;
    ++version_;
    entry->present = false;
    entry->untold = untold;
    is_news(*entry);
    settle(*entry);
    return true;
}

/// A name that is gone, and of which everybody knows, leaves its place.
void NameTable::settle(Entry& entry) {
    if (!entry.present && entry.untold.empty()) entry.used = false;
}

std::optional<CoreId> NameTable::home_of(const Name& name) const {
    std::optional<CoreId> lowest;
    for (size_t i = 0; i < high_; ++i) {
        const Entry& entry = entries_[i];
        if (!entry.present || entry.name != name) continue;
        if (!lowest || entry.home < *lowest) lowest = entry.home;
    }
    return lowest;
}

size_t NameTable::count_of(CoreId home, uint32_t owner) const {
    size_t count = 0;
    for (size_t i = 0; i < high_; ++i) {
        const Entry& entry = entries_[i];
        if (entry.used && entry.home == home && entry.owner == owner) ++count;
    }
    return count;
}

const NameTable::Entry* NameTable::next_untold(CoreId peer) {
    for (size_t& i = heard_.all_below(peer); i < high_; ++i) {
        Entry& entry = entries_[i];
        if (!entry.used || !entry.untold.contains(peer)) continue;
        entry.untold.erase(peer);
        settle(entry); // keeps name, home and present: the caller still reads them
        return &entry;
    }
    return nullptr;
}

void NameTable::tell_all(CoreId peer) {
    for (Entry& entry : entries())
        if (entry.present && entry.home != peer) entry.untold.insert(peer);
    heard_.all_below(peer) = 0;
}

void NameTable::remove_all(CoreId home) {
    ++version_;
    for (Entry& entry : entries())
        if (entry.used && entry.home == home) entry = {};
}

void NameTable::forget(CoreId peer) {
    for (Entry& entry : entries()) {
        if (!entry.used) continue;
        entry.untold.erase(peer);
        settle(entry);
    }
}

} // namespace monitor
