// What always holds of the capability database, and of everything that points into it.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "kernel/core.hpp"

namespace kernel_test {

/// All slots in order, behind each its copies and mappings. The walk uses the database's own links.
inline std::vector<kernel::Slot*> all_slots(const kernel::Database& database) {
    std::vector<kernel::Slot*> all;
    for (kernel::Slot* s = database.first(); s != nullptr; s = kernel::Database::next(*s)) {
        all.push_back(s);
    }
    return all;
}

inline bool in_order(const kernel::Slot& a, const kernel::Slot& b) {
    const auto key = [](const kernel::Slot& s) {
        return std::tuple{s.base, ~s.end(), s.depth, static_cast<unsigned>(s.kind), s.tag()};
    };
    return key(a) <= key(b);
}

/// Of `s`, which comes behind `before` in the ring that hangs from `of`.
inline std::string
ring_trouble(const kernel::Slot& of, const kernel::Slot& before, const kernel::Slot& s) {
    using kernel::Kind;
    const bool mapping = s.kind == Kind::mapping, keeper = s.has(kernel::flag::keeper);
    const bool belongs = mapping ? kernel::descends(s, of) : kernel::same_object(of, s);
    if (!belongs) return "a ring of something else";
    if (before.kind == Kind::mapping && !mapping) return "a copy behind a mapping";
    if (keeper && !before.has(kernel::flag::keeper)) return "a keeper behind a copy";
    if (s.left->right != &s || s.right->left != &s) return "a ring is broken";
    const bool is_first = &before == &of;
    if (is_first != (s.parent == &of)) return "the first of a ring";
    if (!is_first && s.parent != nullptr) return "one of a ring that is not the first";
    if (is_first && of.ring != &s) return "a ring that nothing knows";
    const bool is_first_mapping = mapping && before.kind != Kind::mapping;
    if (is_first_mapping && of.ring->across != &s) return "a first mapping that nothing knows";
    if (is_first_mapping && s.across != of.ring) return "a first mapping that knows nothing";
    const bool ends_without = !mapping && s.right == of.ring;
    if (ends_without && of.ring->across != nullptr) return "a mapping that is not there";
    return {};
}

/// Empty if all is well, else what is not.
inline std::string database_trouble(const kernel::Database& database) {
    const auto all = all_slots(database);
    if (all.size() != database.count()) return "count";
    const kernel::Slot* in_tree = nullptr; // the last one that was
    for (size_t i = 0; i < all.size(); ++i) {
        const kernel::Slot& s = *all[i];
        if (s.empty()) return "an empty slot in the tree";
        if (!s.in_tree()) {
            if (in_tree == nullptr) return "a ring of nothing";
            if (auto found = ring_trouble(*in_tree, *all[i - 1], s); !found.empty()) return found;
            continue;
        }
        if (s.kind == kernel::Kind::mapping) return "a mapping in the tree";
        if (in_tree != nullptr && !in_order(*in_tree, s)) return "order";
        if (in_tree != nullptr && kernel::same_object(*in_tree, s)) return "copies in the tree";
        in_tree = &s;
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

inline bool is_object_of_ram(const kernel::Slot& s) {
    using enum abi::Kind;
    return s.kind == frame || s.kind == cnode || s.kind == dispatcher ||
           abi::table_level(s.kind) != 0;
}

/// What is used at the same time lies apart, and what is another core's is nobody's here.
inline std::string overlap_trouble(const std::vector<kernel::Slot*>& all) {
    namespace flag = kernel::flag;
    const kernel::Slot* last = nullptr; // of the objects and of what is given away, in order
    uint64_t given_end = 0;
    for (const kernel::Slot* s : all) {
        if (s->base >= abi::io_port_space) break;
        if (s->has(flag::given)) given_end = std::max(given_end, s->end());
        if (s->has(flag::borrowed)) {
            if (last != nullptr && !last->has(flag::given) && last->end() > s->base) {
                return "something borrowed overlaps something owned";
            }
            continue;
        }
        if (s->base < given_end && !s->has(flag::given) && s->end() <= given_end) {
            return "something is derived from what was given away";
        }
        if (!is_object_of_ram(*s) && !s->has(flag::given)) continue;
        if (last != nullptr && last->end() > s->base && !kernel::same_object(*last, *s)) {
            return "two objects overlap";
        }
        last = s;
    }
    return {};
}

inline std::string dispatcher_trouble(const kernel::Core& core, const kernel::Slot& slot) {
    const kernel::Dispatcher& d = core.dispatcher(slot);
    using enum kernel::State;
    if (d.state == unconfigured) return d.page == nullptr ? "" : "unconfigured with a page";
    for (const size_t i : {kernel::hold::cspace, kernel::hold::vspace, kernel::hold::page}) {
        if (d.held[i].empty()) return "a dispatcher lost what it stands on";
    }
    if (d.root.raw != d.held[kernel::hold::vspace].base) return "another space";
    if (d.held[kernel::hold::page].has(kernel::flag::borrowed)) return "a borrowed page";
    if ((d.state == queued || d.state == called) && d.callee == nullptr) return "waits for nobody";
    if (d.state == called && d.callee->caller != &d) return "called by nobody";
    if (d.state == queued && !d.callee->going_home) {
        const auto other = d.callee->state;
        if (other == unconfigured || other == faulted) return "waits for what never comes";
    }
    if (d.caller != nullptr && (d.caller->state != called || d.caller->callee != &d)) {
        return "works for nobody";
    }
    return {};
}

/// What always holds of a core's capabilities and dispatchers. Empty if it does, else what does
/// not.
inline std::string core_trouble(const kernel::Core& core) {
    namespace flag = kernel::flag;
    if (auto found = database_trouble(core.database()); !found.empty()) return found;
    const auto all = all_slots(core.database());
    if (auto found = overlap_trouble(all); !found.empty()) return found;
    size_t loans = 0, marks = 0, standing = 0;
    for (const kernel::Slot* s : all) {
        loans += s->kind == abi::Kind::loan ? 1 : 0;
        marks += s->has(flag::revoking) ? 1 : 0;
        standing += s->has(flag::marked) ? 1 : 0;
        if (s->has(flag::keeper) && !s->has(flag::borrowed)) return "a keeper of what is owned";
        if (s->has(flag::given) && s->kind != abi::Kind::loan) return "given, and no loan";
        const bool foreign = s->kind == abi::Kind::frame && s->has(flag::borrowed);
        if (foreign && s->depth != kernel::borrowed_depth) return "borrowed, but not as deep";
        if (s->kind != abi::Kind::dispatcher) continue;
        if (auto found = dispatcher_trouble(core, *s); !found.empty()) return found;
    }
    if (loans != core.parked_loans()) return "loans are not counted right";
    if (marks > 8 || standing > 8) return "more marks than there are places";
    return {};
}

} // namespace kernel_test
