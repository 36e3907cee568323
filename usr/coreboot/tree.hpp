// Who starts whom: the cores of a NUMA node as a tree by two below the lowest of them, and these as
// a tree by two below core 0. A parent has a lower number than its children.
#pragma once

#include <array>
#include <span>

#include "lib/abi/boot_info.hpp"

namespace coreboot {

class Tree {
  public:
    /// `flat`: all directly below core 0.
    explicit constexpr Tree(const abi::BootInfo& info, bool flat = false)
        : count_{std::min<size_t>(info.core_count, info.cores.size())} {
        if (flat) return;
        List leaders;
        std::array<List, abi::nodes_max> members;
        for (size_t i = 0; i < count_; ++i) {
            const auto core = static_cast<uint8_t>(i);
            List& node = members[info.cores[i].node % members.size()];
            parent_[i] = node.count == 0 ? leaders.add(core) : node.parent();
            node.add(core);
        }
    }

    constexpr CoreId parent(CoreId core) const { return {{parent_[core.raw]}}; }

    /// Whether `core` is `top`, or below it.
    constexpr bool is_below(CoreId core, CoreId top) const {
        while (core > top)
            core = parent(core);
        return core == top;
    }

    template <class Visit>
    constexpr void each_child(CoreId of, Visit&& visit) const {
        for (size_t i = of.raw + 1u; i < count_; ++i)
            if (parent_[i] == of.raw) visit(CoreId{{static_cast<uint8_t>(i)}});
    }

    constexpr bool has_children(CoreId core) const {
        bool any = false;
        each_child(core, [&](CoreId) { any = true; });
        return any;
    }

  private:
    /// A tree by two in the order in which cores are added.
    struct List {
        std::array<uint8_t, 256> core{};
        size_t count{};

        /// Of the core that is added next.
        constexpr uint8_t parent() const { return core[count == 0 ? 0 : (count - 1) / 2]; }

        constexpr uint8_t add(uint8_t added) {
            const uint8_t above = count == 0 ? added : parent();
            core[count++] = added;
            return above;
        }
    };

    std::array<uint8_t, 256> parent_{};
    size_t count_;
};

} // namespace coreboot
