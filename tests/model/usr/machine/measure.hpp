// Costs of a message between each two cores, measured by all of them at the same time: in each
// round everybody plays ping-pong with another partner, as in a tournament.
#pragma once

#include "lib/group/costs.hpp"
#include "lib/os/group.hpp"

namespace machine {

/// Whom member `self` of `count` plays with in this round; itself: nobody. Rounds are 0 .. count -
/// 2, one more where count is odd.
constexpr unsigned partner(unsigned self, unsigned round, unsigned count) {
    const unsigned even = count + count % 2, ring = even - 1;
    unsigned other = ring;
    if (self == ring) {
        other = round * (even / 2) % ring; // twice that is the round
    } else if (const unsigned j = (round + ring - self) % ring; j != self) {
        other = j;
    }
    return other < count ? other : self;
}

constexpr unsigned rounds(unsigned count) {
    return count < 2 ? 0 : count + count % 2 - 1;
}

/// What was measured, half a round trip in cycles; one writer a row, the lower of both.
struct Samples {
    struct alignas(64) Row {
        std::array<group::Cost, os::GroupLines::most> to{};
    };

    std::array<Row, os::GroupLines::most> from{};
    alignas(64) group::Cost send{};    // by the first member
    alignas(64) group::Cost receive{}; // by the second

    group::Cost between(unsigned a, unsigned b) const {
        return from[a < b ? a : b].to[a < b ? b : a];
    }
};

/// All members call it.
void measure(os::GroupLines& lines, Samples& into);

/// Once all have, by one of them: pairs, and medians for each two nodes.
void summarize(const Samples& samples, group::CostTable& table);

} // namespace machine
