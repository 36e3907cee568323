#include "tests/model/usr/machine/measure.hpp"

#include <algorithm>

#include "lib/os/instructions.hpp"

namespace machine {
namespace {

using namespace group;

constexpr unsigned warm = 2, counted = 9;

Cost as_cost(uint64_t cycles) {
    return static_cast<Cost>(std::clamp<uint64_t>(cycles, 1, ~Cost{}));
}

/// The median of half a round trip, in cycles.
Cost play(os::GroupLines& lines, MemberId other) {
    MemberSet only;
    only.insert(other);
    const bool first = lines.self() < other;
    std::array<Cost, counted> took{};
    for (unsigned i = 0; i < warm + counted; ++i) {
        const uint64_t begun = os::read_tsc();
        if (first) {
            lines.send(other, 1, {});
            lines.flush();
        }
        (void)lines.hear(only);
        if (!first) {
            lines.send(other, 1, {});
            lines.flush();
        } else if (i >= warm) {
            took[i - warm] = as_cost((os::read_tsc() - begun) / 2);
        }
    }
    return first ? median(took) : Cost{};
}

/// What each side is busy for; three lines that nobody answers fit into a ring.
void measure_ends(os::GroupLines& lines, Samples& into) {
    const unsigned self = lines.self().raw;
    MemberSet first;
    first.insert({});
    if (self == 1) (void)lines.hear(first);
    const uint64_t begun = os::read_tsc();
    for (int i = 0; i < 3; ++i)
        if (self == 0) lines.send(member(1), 1, {});
    if (self == 0) into.send = as_cost((os::read_tsc() - begun) / 3);
    lines.flush();
    if (self != 1) return;
    for (int i = 0; i < 2; ++i)
        (void)lines.hear(first);
    into.receive = as_cost((os::read_tsc() - begun) / 2);
    lines.flush();
}

} // namespace

void measure(os::GroupLines& lines, Samples& into) {
    const unsigned count = lines.members(), self = lines.self().raw;
    for (unsigned round = 0; round < rounds(count); ++round) {
        const unsigned other = partner(self, round, count);
        if (other == self) continue;
        const Cost cost = play(lines, member(other));
        if (self < other) into.from[self].to[other] = cost;
    }
    if (count > 1 && self < 2) measure_ends(lines, into);
}

void summarize(const Samples& samples, CostTable& table) {
    constexpr unsigned most = os::GroupLines::most;
    static constinit std::array<Cost, most * most> found{};
    const unsigned cores = std::min<unsigned>(table.cores, most);
    for (unsigned a = 0; a < table.nodes; ++a)
        for (unsigned b = 0; b < table.nodes; ++b) {
            size_t count = 0;
            for (unsigned i = 0; i < cores; ++i)
                for (unsigned j = 0; j < cores; ++j)
                    if (i != j && table.node_of[i] == a && table.node_of[j] == b)
                        found[count++] = samples.between(i, j);
            table.between[a][b] = median(std::span{found}.first(count));
        }
    for (unsigned i = 0; i < std::min<unsigned>(cores, max_measured_pairs); ++i)
        for (unsigned j = 0; j < std::min<unsigned>(cores, max_measured_pairs); ++j)
            table.pair[i][j] = i == j ? Cost{} : samples.between(i, j);
    table.send = samples.send;
    table.receive = samples.receive;
    ++table.revision;
}

} // namespace machine
