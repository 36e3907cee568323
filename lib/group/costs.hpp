// What a message costs between two cores: what the sender and the receiver spend on it, and how
// long it is under way. Measured for every pair up to 32 cores; above, for some pairs of each two
// nodes. Layout and meaning are fixed: the table is published read-only to every domain that asks.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "lib/group/members.hpp"

namespace group {

constexpr size_t max_nodes = 16;          // of a machine whose distances differ
constexpr size_t max_measured_pairs = 32; // cores, each with each

using Cost = uint32_t; // cycles

struct CostTable {
    uint32_t cores{};
    uint32_t nodes{1};
    uint32_t revision{}; // grows with each measurement; 0: nothing was measured
    Cost send{};         // what a sender cannot use for anything else
    Cost receive{};
    std::array<uint8_t, max_members> node_of{};
    /// As the firmware says (10 is local), and as measured: the median of the pairs looked at.
    std::array<std::array<uint8_t, max_nodes>, max_nodes> distance{};
    std::array<std::array<Cost, max_nodes>, max_nodes> between{};
    /// 0: not measured.
    std::array<std::array<Cost, max_measured_pairs>, max_measured_pairs> pair{};

    /// From the start of sending to when the receiver has it.
    Cost latency(MemberId from, MemberId to) const {
        if (from.raw < max_measured_pairs && to.raw < max_measured_pairs) {
            const Cost exact = pair[from.raw][to.raw];
            if (exact != 0) return exact;
        }
        const Cost typical = between[node(from)][node(to)];
        return typical != 0 ? typical : distance[node(from)][node(to)];
    }

    /// What `machine` says of some of its cores, who have other numbers here: the i-th is who(i).
    template <class Who>
    void take(const CostTable& machine, unsigned count, Who&& who) {
        *this = machine;
        cores = count;
        pair = {};
        for (unsigned i = 0; i < count; ++i) {
            node_of[i] = machine.node_of[who(i).raw];
            for (unsigned j = 0; j < count && std::max(i, j) < max_measured_pairs; ++j)
                if (i != j) pair[i][j] = machine.latency(who(i), who(j));
        }
    }

    uint8_t node(MemberId m) const { return uint8_t(node_of[m.raw] % max_nodes); }

    /// A machine of which nothing is known: everybody is equally far.
    static CostTable unknown(unsigned cores) {
        CostTable table{.cores = cores, .send = 1, .receive = 1};
        table.between[0][0] = 1;
        return table;
    }
};

/// The middle one; of none 0.
inline Cost median(std::span<Cost> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

} // namespace group
