// The operations of lib/group on the first n cores, each along each kind of tree, timed by the
// clocks of the cores (which the coherence model keeps in step) and marked for the counting plugin.
#pragma once

#include "lib/os/group.hpp"
#include "lib/os/threads/sync.hpp"
#include "tests/model/checks.hpp"
#include "tests/model/team.hpp"
#include "tests/model/usr/machine/measure.hpp"

namespace machine {

enum class What : uint8_t { broadcast, gather, one_phase, two_phase, barrier };
constexpr std::array what_names{"broadcast", "gather", "one_phase", "two_phase", "barrier"};
constexpr std::array shape_names{"flat", "k_ary", "binomial", "measured"};

/// When a member was through with its part of a sample. One writer a line.
struct alignas(64) Finish {
    std::atomic<uint64_t> sample; // its number; published last
    uint64_t at, messages;
};

struct Figure {
    What what{};
    group::Shape shape{};
    unsigned cores{};
    uint64_t messages{}, cycles{}; // medians
    unsigned longest{};            // messages one after another, on the longest way
};

/// In memory that all cores see; zeroed.
struct Session {
    group::CostTable costs;
    Samples samples;
    std::array<Finish, os::GroupLines::most> finished;
    std::array<Figure, 256> figures;
    size_t figure_count;
    uint32_t wanted, poll_turns;
    experiments::Team team;
    experiments::Checks checks;
};

/// What the thread of one core does; `lines` is memory for that.
void run_member(Session& session, MutableBytes lines, group::MemberId self);

} // namespace machine
