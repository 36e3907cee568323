// Whose translations the TLB still holds, on a CPU that tags them with the address space they
// belong to (process-context identifiers): an address space that comes back finds its own again,
// unless something in it was taken away in the meantime. Without tags (0 in use) every load of a
// root flushes, and there is nothing to keep account of.
// Source: Intel SDM vol. 3A 4.10.1 (identifiers), 4.10.4.1 (what invalidates what).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "lib/base/strong.hpp"

namespace kernel {

class Tlb {
  public:
    /// Few: a core has few domains that come back soon, and each is looked for in turn.
    static constexpr uint16_t most_tags = 16;

    /// Tags 1..count are used from now on; 0 is left to the kernel's own root.
    void use(uint16_t count) { used_ = std::min(count, most_tags); }

    bool tagged() const { return used_ != 0; }

    /// How to load a root: under which tag, and whether what the TLB holds under it may be kept.
    struct Load {
        uint16_t tag;
        bool keep;
    };

    /// `root` is about to be loaded. The tag of another may be taken over: that flushes it.
    Load load(PhysAddr root) {
        uint16_t at = find(root);
        const bool known = at != used_;
        if (!known) {
            at = next_;
            next_ = static_cast<uint16_t>((next_ + 1) % used_);
        }
        Space& space = spaces_[at];
        const bool keep = known && !space.stale;
        space = {root, false};
        return {static_cast<uint16_t>(at + 1), keep};
    }

    /// A translation was taken away or restricted in a space that is not loaded: its next load must
    /// flush. In the one that is loaded, the caller invalidates what he changed. A space that ends
    /// has lost all of its mappings before, so it needs no word of its own.
    void changed(PhysAddr root) {
        if (const uint16_t at = find(root); at != used_) spaces_[at].stale = true;
    }

  private:
    struct Space {
        PhysAddr root{}; // 0: nobody's
        bool stale{};    // the TLB may hold what is not so any more
    };

    uint16_t find(PhysAddr root) const {
        uint16_t at = 0;
        while (at < used_ && spaces_[at].root != root)
            ++at;
        return at;
    }

    std::array<Space, most_tags> spaces_{};
    uint16_t used_{}, next_{};
};

} // namespace kernel
