// What always holds of the capability database, and of everything that points into it.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "kernel/core.hpp"

namespace kernel_test {

/// All slots in order. The walk uses the tree's own links.
inline std::vector<kernel::Slot*> all_slots(const kernel::Database& database) {
    std::vector<kernel::Slot*> all;
    using Slots = kernel::Database::Slots;
    for (kernel::Slot* s = database.slots().first(); s != nullptr; s = Slots::next(*s)) {
        all.push_back(s);
    }
    return all;
}

inline bool in_order(const kernel::Slot& a, const kernel::Slot& b) {
    const auto key = [](const kernel::Slot& s) {
        return std::tuple{
            s.base,
            ~s.end(),
            s.depth,
            static_cast<unsigned>(s.kind),
            s.extra,
            !s.has(kernel::flag::keeper)
        };
    };
    return key(a) <= key(b);
}

/// Empty if all is well, else what is not.
inline std::string database_trouble(const kernel::Database& database) {
    const auto all = all_slots(database);
    if (all.size() != database.count()) return "count";
    for (size_t i = 0; i < all.size(); ++i) {
        const kernel::Slot& s = *all[i];
        if (s.empty()) return "an empty slot in the tree";
        if (i > 0 && !in_order(*all[i - 1], s)) return "order";
        if (s.parent == nullptr && database.slots().root() != &s) return "parent";
        int left = 0, right = 0;
        uint64_t greatest = s.end();
        for (kernel::Slot* child : {s.left, s.right}) {
            if (child == nullptr) continue;
            if (child->parent != &s) return "parent of a child";
            greatest = std::max(greatest, child->max_end);
            (child == s.left ? left : right) = child->height;
        }
        if (s.height != 1 + std::max(left, right)) return "height";
        if (std::abs(left - right) > 1) return "balance";
        if (s.max_end != greatest) return "greatest end";
    }
    return {};
}

} // namespace kernel_test
