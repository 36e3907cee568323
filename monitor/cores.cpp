#include "monitor/cores.hpp"

#include <span>
#include <tuple>

namespace monitor {

namespace {

/// Of two changes at the same time the one that ends more counts.
unsigned weight(CoreState state) {
    switch (state) {
    case CoreState::absent: return 0;
    case CoreState::starting: return 1;
    case CoreState::up: return 2;
    case CoreState::stopping: return 3;
    case CoreState::failing: return 4;
    case CoreState::stopped: return 5;
    case CoreState::failed: return 6;
    }
    return 0;
}

} // namespace

bool CoreTable::learn(CoreId core, const CoreRecord& record) {
    CoreRecord& known = records_[core.raw];
    const auto order = [](const CoreRecord& r) {
        return std::tuple{r.version, weight(r.state), r.loud, uint8_t(255u - r.parent.raw)};
    };
    if (order(record) <= order(known)) return false;
    known = record;
    if (is_gone(record.state)) last_end_[core.raw] = record.version;
    count_ = std::max<size_t>(count_, core.raw + 1u);
    return true;
}

CoreSet CoreTable::up() const {
    CoreSet set;
    for (size_t i = 0; i < count_; ++i)
        if (records_[i].state == CoreState::up) set.insert({{static_cast<uint8_t>(i)}});
    return set;
}

bool CoreTable::any_leaving() const {
    const auto leaves = [](const CoreRecord& record) { return is_leaving(record.state); };
    return std::ranges::any_of(std::span{records_}.first(count_), leaves);
}

CoreId CoreTable::decider_but(const CoreSet& except) const {
    for (size_t i = 0; i < count_; ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        if (is_up(core) && !except.contains(core)) return core;
    }
    return {};
}

CoreSet CoreTable::neighbours(CoreId core) const {
    CoreSet set;
    const CoreId parent = records_[core.raw].parent;
    if (parent != core && is_up(parent)) set.insert(parent);
    for (size_t i = 0; i < count_; ++i) {
        const CoreId other{{static_cast<uint8_t>(i)}};
        if (other != core && records_[i].parent == core && is_up(other)) set.insert(other);
    }
    return set;
}

CoreId CoreTable::next_hop(CoreId from, CoreId to) const {
    CoreId at = to;
    for (size_t steps = 0; steps < count_; ++steps) {
        const CoreId above = records_[at.raw].parent;
        if (above == from) return at;
        if (above == at) break;
        at = above;
    }
    return records_[from.raw].parent;
}

std::optional<CoreId> CoreTable::living_ancestor(CoreId core) const {
    CoreId at = core;
    for (size_t steps = 0; steps < count_; ++steps) {
        const CoreId above = records_[at.raw].parent;
        if (above == at || above == core) return std::nullopt;
        if (is_up(above)) return above;
        at = above;
    }
    return std::nullopt;
}

std::optional<CoreId> CoreTable::root() const {
    for (size_t i = 0; i < count_; ++i)
        if (const CoreId core{{static_cast<uint8_t>(i)}}; is_up(core) && records_[i].parent == core)
            return core;
    return std::nullopt;
}

/// Without a root left, the lowest one is it from now on.
std::optional<CoreTable::Move> CoreTable::next_orphan() const {
    for (size_t i = 0; i < count_; ++i) {
        const CoreId core{{static_cast<uint8_t>(i)}};
        const CoreId parent = records_[i].parent;
        if (!is_up(core) || !is_gone(records_[parent.raw].state)) continue;
        const std::optional<CoreId> above = living_ancestor(parent);
        return Move{core, above ? *above : root().value_or(core)};
    }
    return std::nullopt;
}

} // namespace monitor
