#include "lib/group/tree.hpp"

#include <algorithm>

namespace group {
namespace {

/// The members as a list, the root first, the others as they follow it round.
struct Ranks {
    std::array<MemberId, max_members> at{};
    unsigned count{};

    Ranks(const MemberSet& members, MemberId root) {
        at[count++] = root;
        members.each([&](MemberId m) {
            if (m > root) at[count++] = m;
        });
        members.each([&](MemberId m) {
            if (m < root) at[count++] = m;
        });
    }
};

constexpr uint32_t never = ~uint32_t{};

/// A broadcast as it would go: who has it, and when each can send again.
class Play {
  public:
    Play(const MemberSet& members, MemberId root, const CostTable& costs)
        : members_{members}, waiting_{members}, costs_{costs} {
        ready_.fill(never);
        waiting_.erase(root);
        ready_[root.raw] = 0;
        members.each([&](MemberId m) { ++waiting_in_[costs.node(m)]; });
        --waiting_in_[costs.node(root)];
        reached_[costs.node(root)] = true;
    }

    bool done() const { return waiting_.empty(); }

    struct Step {
        MemberId from, to;
    };

    Step next() {
        const MemberId from = first_ready();
        const MemberId to = farthest(from);
        const uint8_t node = costs_.node(to);
        waiting_.erase(to);
        --waiting_in_[node];
        reached_[node] = true;
        ready_[to.raw] = ready_[from.raw] + costs_.latency(from, to);
        ready_[from.raw] += std::max<uint32_t>(costs_.send, 1);
        return {from, to};
    }

  private:
    bool some_node_unreached() const {
        for (size_t n = 0; n < max_nodes; ++n)
            if (!reached_[n] && waiting_in_[n] > 0) return true;
        return false;
    }

    /// Who can send soonest, of those to whom something is left to do.
    MemberId first_ready() const {
        const bool all_are_useful = some_node_unreached();
        MemberId best{};
        uint32_t when = never;
        members_.each([&](MemberId m) {
            if (ready_[m.raw] >= when) return;
            if (!all_are_useful && waiting_in_[costs_.node(m)] == 0) return;
            when = ready_[m.raw];
            best = m;
        });
        return best;
    }

    /// In the farthest node without anybody yet; if all have somebody, in the own one.
    MemberId farthest(MemberId from) const {
        const bool outside = some_node_unreached();
        MemberId best{};
        uint32_t cost = 0;
        waiting_.each([&](MemberId m) {
            const uint8_t node = costs_.node(m);
            if (outside ? reached_[node] : node != costs_.node(from)) return;
            const uint32_t there = 1 + uint32_t{costs_.latency(from, m)};
            if (there <= cost) return;
            cost = there;
            best = m;
        });
        return best;
    }

    MemberSet members_, waiting_;
    const CostTable& costs_;
    std::array<uint32_t, max_members> ready_;
    std::array<unsigned, max_nodes> waiting_in_{};
    std::array<bool, max_nodes> reached_{};
};

} // namespace

Tree::Tree(MemberId root) : root_{root} {
    parent_[root.raw] = root.raw;
    first_.fill(none);
    last_.fill(none);
    next_.fill(none);
}

void Tree::append(MemberId parent, MemberId child) {
    parent_[child.raw] = parent.raw;
    (first_[parent.raw] == none ? first_[parent.raw] : next_[last_[parent.raw]]) = child.raw;
    last_[parent.raw] = child.raw;
}

Tree Tree::flat(const MemberSet& members, MemberId root) {
    return k_ary(members, root, max_members);
}

Tree Tree::k_ary(const MemberSet& members, MemberId root, unsigned k) {
    const Ranks ranks{members, root};
    Tree tree{root};
    for (unsigned i = 1; i < ranks.count; ++i)
        tree.append(ranks.at[(i - 1) / std::max(k, 1u)], ranks.at[i]);
    return tree;
}

Tree Tree::binomial(const MemberSet& members, MemberId root) {
    const Ranks ranks{members, root};
    Tree tree{root};
    // Who has it sends at distance 2^r in round r counted from the top, so the largest part first.
    for (unsigned step = std::bit_ceil(ranks.count) / 2; step > 0; step /= 2)
        for (unsigned i = 0; i + step < ranks.count; i += 2 * step)
            tree.append(ranks.at[i], ranks.at[i + step]);
    return tree;
}

Tree Tree::measured(const MemberSet& members, MemberId root, const CostTable& costs) {
    Tree tree{root};
    for (Play play{members, root, costs}; !play.done();) {
        const auto step = play.next();
        tree.append(step.from, step.to);
    }
    return tree;
}

Tree Tree::of(Shape shape, const MemberSet& members, MemberId root, const CostTable& costs) {
    switch (shape) {
    case Shape::flat: return flat(members, root);
    case Shape::k_ary: return k_ary(members, root, 4);
    case Shape::binomial: return binomial(members, root);
    case Shape::measured: break;
    }
    return measured(members, root, costs);
}

unsigned Tree::depth_below(MemberId m) const {
    unsigned deepest = 0;
    each_child(m, [&](MemberId c) { deepest = std::max(deepest, 1 + depth_below(c)); });
    return deepest;
}

unsigned Tree::depth() const {
    return depth_below(root_);
}

unsigned Tree::degree() const {
    unsigned most = 0;
    for (size_t m = 0; m < max_members; ++m) {
        unsigned own = 0;
        each_child(member(m), [&](MemberId) { ++own; });
        most = std::max(most, own);
    }
    return most;
}

namespace {

class Walk {
  public:
    Walk(const Tree& tree, const CostTable& costs) : tree_{tree}, costs_{costs} {}

    /// `m` has it at `now`; answers when it has heard from all below it and its answer can leave.
    uint32_t from(MemberId m, uint32_t now) {
        last_ = std::max(last_, now);
        std::array<uint32_t, max_members> answers{};
        unsigned count = 0;
        uint32_t sending = now;
        tree_.each_child(m, [&](MemberId child) {
            const uint32_t heard = from(child, sending + costs_.latency(m, child));
            answers[count++] = heard + costs_.latency(child, m);
            sending += costs_.send;
        });
        std::sort(answers.begin(), answers.begin() + count);
        uint32_t ready = sending;
        for (unsigned i = 0; i < count; ++i)
            ready = std::max(answers[i], ready + costs_.receive);
        return ready;
    }

    uint32_t last() const { return last_; }

  private:
    const Tree& tree_;
    const CostTable& costs_;
    uint32_t last_{};
};

} // namespace

Forecast forecast(const Tree& tree, const CostTable& costs) {
    Walk walk{tree, costs};
    const uint32_t gathered = walk.from(tree.root(), 0);
    return {walk.last(), gathered};
}

Shape best_shape(const MemberSet& members, MemberId root, const CostTable& costs) {
    Shape best{};
    uint64_t least = ~uint64_t{};
    for (const Shape shape : {Shape::flat, Shape::k_ary, Shape::binomial, Shape::measured}) {
        const Forecast f = forecast(Tree::of(shape, members, root, costs), costs);
        const uint64_t time = uint64_t{f.broadcast} + f.gather;
        if (time >= least) continue;
        least = time;
        best = shape;
    }
    return best;
}

} // namespace group
