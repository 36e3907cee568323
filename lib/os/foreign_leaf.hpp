// The slots of a CNode that is not of this domain's own space, while it is filled.
#pragma once

#include "lib/os/space.hpp"

namespace os {

/// What is ours becomes what stands at `index` of `to`.
inline Result<> move_to(CNode to, uint32_t index, OwnedCap& what) {
    TRY_VOID(to.move(index, what.slot()));
    slots().release(what.release());
    return {};
}

/// A CNode of the child, made visible under an index of our own root for as long as this lives.
class ForeignLeaf {
  public:
    ForeignLeaf() = default;
    ForeignLeaf(const ForeignLeaf&) = delete;

    ~ForeignLeaf() {
        if (leaf_ == 0) return;
        (void)root_cnode().remove(leaf_);
        slots().release_leaf(leaf_);
    }

    Result<> open(CapSlot cnode) {
        const uint32_t leaf = TRY(slots().take_leaf());
        if (const auto done = root_cnode().copy(leaf, cnode); !done) {
            slots().release_leaf(leaf);
            return fail(done.error());
        }
        leaf_ = leaf;
        cnode_ = cnode;
        return {};
    }

    /// Its capability goes into its own index 0, as in every leaf but the first.
    Result<> take(OwnedCap& cnode) {
        TRY_VOID(move_to({{cnode_}}, 0, cnode));
        cnode_ = at(0);
        return {};
    }

    CapSlot at(uint32_t index) const { return abi::slot_at(leaf_, index); }

    Place place(uint32_t index) const { return {cnode_, index}; }

    CNode cnode() const { return {{cnode_}}; }

  private:
    uint32_t leaf_{};
    CapSlot cnode_{};
};

} // namespace os
