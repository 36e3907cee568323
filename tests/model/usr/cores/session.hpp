// What the cores of this program share, and the figures that it prints.
#pragma once

#include "lib/base/bytes.hpp"
#include "tests/model/checks.hpp"
#include "tests/model/team.hpp"

namespace spanning {

struct Figure {
    std::string_view way;
    uint32_t samples;
    uint64_t cycles;
    uint64_t messages;
    uint32_t size{};           // bytes of a packet, channels that are waited for
    std::string_view region{}; // of the model, where lines are counted
    uint32_t flow{};           // of its first sample; the others' follow
};

struct Session {
    explicit Session(uint32_t cores) : team{cores} {}

    void add(const Figure& figure) {
        if (figure_count < figures.size()) figures[figure_count++] = figure;
    }

    experiments::Team team;
    experiments::Checks checks;
    std::array<Figure, 24> figures{};
    size_t figure_count{};
    MutableBytes page;                        // that goes
    alignas(64) std::atomic<uint64_t> gone{}; // pages so far
    uint64_t wrong{};                         // results of kernels
    uint64_t sent{}, received{};              // sums of packets
    uint64_t taken{};                         // cycles of who asks
};

/// Parts of all cores' threads; `lines` has room for lib/os/group.
void measure_unmap(Session& session, MutableBytes lines, uint32_t self);

void measure_wait(Session& session, MutableBytes lines, uint32_t self);

/// `memory` becomes two packet queues of lib/netq.
void measure_packets(Session& session, MutableBytes memory, uint32_t self);

/// By the first thread alone: parallel_for makes the others.
void measure_compute(Session& session);

} // namespace spanning
