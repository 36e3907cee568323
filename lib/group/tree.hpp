// The tree along which one member reaches all others. Each has one parent, and children in the
// order in which it sends to them; answers go the same ways back.
//
// The measured tree is built by playing the broadcast: whoever can send first sends next, and to
// the farthest node that nobody has reached yet, as what travels longest has to leave first
// (Smelt); what is left is reached within its node. So a message crosses from node to node once a
// node.
#pragma once

#include <string_view>

#include "lib/group/costs.hpp"
#include "lib/group/members.hpp"

namespace group {

enum class Shape : uint8_t { flat, k_ary, binomial, measured }; // simple ones first

constexpr std::string_view name_of(Shape s) {
    constexpr std::string_view names[] = {"flat", "k-ary", "binomial", "measured"};
    return names[size_t(s)];
}

class Tree {
  public:
    static Tree flat(const MemberSet& members, MemberId root);
    static Tree k_ary(const MemberSet& members, MemberId root, unsigned k);
    static Tree binomial(const MemberSet& members, MemberId root);
    static Tree measured(const MemberSet& members, MemberId root, const CostTable& costs);
    static Tree of(Shape shape, const MemberSet& members, MemberId root, const CostTable& costs);

    MemberId root() const { return root_; }

    /// Of the root, the root.
    MemberId parent(MemberId m) const { return member(parent_[m.raw]); }

    bool has_children(MemberId m) const { return first_[m.raw] != none; }

    MemberSet children(MemberId m) const {
        MemberSet set;
        each_child(m, [&](MemberId child) { set.insert(child); });
        return set;
    }

    /// In the order of sending.
    template <class Visit>
    void each_child(MemberId m, Visit&& visit) const {
        for (uint16_t c = first_[m.raw]; c != none; c = next_[c])
            visit(member(c));
    }

    /// Links from the root to the deepest member.
    unsigned depth() const;
    /// Children of the member that has most.
    unsigned degree() const;

  private:
    static constexpr uint16_t none = 0xffff;

    explicit Tree(MemberId root);
    void append(MemberId parent, MemberId child);
    unsigned depth_below(MemberId m) const;

    MemberId root_;
    std::array<uint8_t, max_members> parent_{};
    std::array<uint16_t, max_members> first_, last_, next_;
};

/// What the tree takes by the table: until the last member has a broadcast, and until the root has
/// heard from all when each answers as soon as it can.
struct Forecast {
    uint32_t broadcast{};
    uint32_t gather{};
};

Forecast forecast(const Tree& tree, const CostTable& costs);

/// The one by which the root has soonest heard from all, and all have soonest heard from the root;
/// of equals the simplest.
Shape best_shape(const MemberSet& members, MemberId root, const CostTable& costs);

} // namespace group
