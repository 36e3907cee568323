// Nobody goes on before all have come. Arrivals go up the tree, the release goes down; a member
// that dies counts as having come. The root is the lowest live member. Views only lose members.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "lib/group/tree.hpp"

namespace group {

struct BarrierMessage {
    bool release{};
    uint32_t generation{};
    uint32_t epoch{};
};

class BarrierSeam {
  public:
    virtual void send(MemberId to, const BarrierMessage& message) = 0;
    /// All have come: who waits goes on.
    virtual void released(uint32_t generation) = 0;

  protected:
    ~BarrierSeam() = default;
};

class Barrier {
  public:
    Barrier(
        MemberId self,
        const View& view,
        const CostTable& costs,
        BarrierSeam& seam,
        Shape shape = Shape::measured
    )
        : self_{self}, view_{view}, costs_{costs}, seam_{seam}, shape_{shape}, tree_{make_tree()} {}

    /// We have come. Once, until released.
    void arrive() {
        here_ = true;
        look();
    }

    void receive(MemberId from, const BarrierMessage& m) {
        if (m.release) {
            if (m.generation == generation_ && here_) let_go();
        } else if (m.generation < generation_) {
            seam_.send(from, {true, m.generation, view_.epoch}); // it has missed the release
        } else {
            heard_[from.raw] = {m.generation, m.epoch};
            look();
        }
    }

    void view(const View& next) {
        if (next.epoch <= view_.epoch || !next.members.contains(self_)) return;
        view_ = next;
        tree_ = make_tree();
        // The new parent may still wait in a barrier that we are through.
        if (generation_ > 1 && self_ != tree_.root())
            seam_.send(tree_.parent(self_), {true, generation_ - 1, view_.epoch});
        look();
    }

    uint32_t generation() const { return generation_; }

  private:
    struct Arrival {
        uint32_t generation{}, epoch{};
        friend bool operator==(const Arrival&, const Arrival&) = default;
    };

    Tree make_tree() const {
        return Tree::of(shape_, view_.members, view_.members.lowest(), costs_);
    }

    /// Once for each generation in each view: all below us have come.
    void look() {
        const Arrival now{generation_, view_.epoch};
        bool complete = here_;
        tree_.each_child(self_, [&](MemberId c) { complete &= heard_[c.raw] == now; });
        if (!complete || told_ == now) return;
        if (self_ == tree_.root()) {
            let_go();
            return;
        }
        told_ = now;
        seam_.send(tree_.parent(self_), {false, generation_, view_.epoch});
    }

    void let_go() {
        here_ = false;
        const uint32_t over = generation_++;
        tree_.each_child(self_, [&](MemberId c) { seam_.send(c, {true, over, view_.epoch}); });
        seam_.released(over);
    }

    MemberId self_;
    View view_;
    const CostTable& costs_;
    BarrierSeam& seam_;
    Shape shape_;
    Tree tree_;
    uint32_t generation_{1};
    bool here_{};
    Arrival told_{};
    std::array<Arrival, max_members> heard_{};
};

} // namespace group
