// What the cores of this program share: lines to fight for, channels, and what was measured.
#pragma once

#include <array>
#include <atomic>

#include "lib/base/bytes.hpp"
#include "lib/ump/layout.hpp"
#include "tests/model/checks.hpp"
#include "tests/model/team.hpp"

namespace lines {

constexpr unsigned most_cores = 64, most_lines = 8;
constexpr size_t ring = 64;

struct alignas(64) Word {
    std::atomic<uint64_t> value;
};

/// One writer each: cycles that an operation of that core took.
struct alignas(64) Took {
    uint64_t cycles;
};

struct Figure {
    std::string_view way;
    uint32_t members, size; // lines of an update; messages under way
    uint64_t cycles, server, operations;
};

struct Session {
    Session(uint32_t cores, uint32_t of_a_socket, MutableBytes rings)
        : team{cores}, socket{of_a_socket}, channels{rings} {}

    /// Of core 0 and another.
    ump::Layout channel(uint32_t other) const {
        constexpr size_t bytes = ump::Layout::bytes_for(ring);
        const auto layout = ump::Layout::carve(channels.subspan(other * bytes, bytes), ring);
        INVARIANT(layout.has_value(), "whoever mapped the memory counted");
        return *layout;
    }

    void add(const Figure& figure) {
        if (figure_count < figures.size()) figures[figure_count++] = figure;
    }

    uint64_t middle(uint32_t first, uint32_t end) const {
        std::array<uint64_t, most_cores> sorted{};
        for (uint32_t m = first; m < end; ++m)
            sorted[m - first] = took[m].cycles;
        std::ranges::sort(std::span{sorted}.first(end - first));
        return sorted[(end - first) / 2];
    }

    experiments::Team team;
    uint32_t socket;
    MutableBytes channels;
    std::array<Word, most_lines> lines, own; // everybody's, the server's
    std::array<Took, most_cores> took;
    std::array<Figure, 96> figures;
    size_t figure_count;
    experiments::Checks checks;
    uint64_t sent, received; // requests
};

/// Parts of all cores' threads.
void contend(Session& session, uint32_t self);
void measure_distance(Session& session, uint32_t self);

} // namespace lines
