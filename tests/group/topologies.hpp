// Machines that do not exist here: sockets of cores, some hops apart, as the coherence model has
// them.
#pragma once

#include "lib/group/costs.hpp"

namespace group_test {

/// `wide` sockets a row; a hop costs both ways of a line.
inline group::CostTable mesh(unsigned sockets, unsigned cores, unsigned wide) {
    group::CostTable table{.cores = sockets * cores, .nodes = sockets, .revision = 1};
    table.send = 40;
    table.receive = 60;
    for (unsigned c = 0; c < table.cores; ++c)
        table.node_of[c] = static_cast<uint8_t>(c / cores);
    const auto gap = [](unsigned a, unsigned b) { return a > b ? a - b : b - a; };
    for (unsigned a = 0; a < sockets; ++a)
        for (unsigned b = 0; b < sockets; ++b) {
            const unsigned hops = gap(a % wide, b % wide) + gap(a / wide, b / wide);
            table.between[a][b] = static_cast<group::Cost>(400 + 70 * hops);
            table.distance[a][b] = static_cast<uint8_t>(10 + 5 * hops);
        }
    return table;
}

} // namespace group_test
