// The machine's NUMA nodes, for the hand-over page: who and what belongs to which, numbered densely
// in the order of the firmware's proximity domains. Pure; the tables are outside input. What does
// not fit leaves the machine without nodes: better none than some.
#pragma once

#include <algorithm>
#include <optional>

#include "lib/abi/boot_info.hpp"
#include "lib/hw/acpi_numa.hpp"

namespace boot {

/// The proximity domains that have memory or a core of ours; a node's number is its place here.
class Nodes {
  public:
    /// Errors: no_space (more than the hand-over page takes).
    static Result<Nodes> of(const abi::BootInfo& info, const hw::acpi::Srat& srat) {
        Nodes nodes;
        for (const auto& m : srat.memory)
            TRY_VOID(nodes.add(m.domain));
        for (const abi::CoreEntry& core : std::span{info.cores}.first(info.core_count))
            for (const auto& p : srat.processors)
                if (p.apic.raw == core.apic_id) TRY_VOID(nodes.add(p.domain));
        std::ranges::sort(std::span{nodes.domain_}.first(nodes.count_));
        return nodes;
    }

    size_t count() const { return count_; }

    uint32_t domain(size_t node) const { return domain_[node]; }

    std::optional<uint16_t> find(uint32_t domain) const {
        const std::span known = std::span{domain_}.first(count_);
        const auto at = std::ranges::find(known, domain);
        if (at == known.end()) return std::nullopt;
        return static_cast<uint16_t>(at - known.begin());
    }

  private:
    Result<> add(uint32_t domain) {
        if (find(domain)) return {};
        if (count_ == domain_.size()) return fail(Err::no_space);
        domain_[count_++] = domain;
        return {};
    }

    std::array<uint32_t, abi::nodes_max> domain_{};
    size_t count_{};
};

/// Without a SLIT, or where it says nothing legal, other nodes are twice as far as one's own.
inline uint8_t distance_between(const hw::acpi::Slit& slit, uint32_t from, uint32_t to) {
    constexpr uint8_t own = 10, other = 20;
    if (from == to) return own;
    return slit.between(from, to).value_or(other);
}

/// Fills the fields of `info` that speak of nodes; cores that the SRAT does not know are in node 0.
/// Errors: not_found (no node), no_space; then `info` has none.
inline Result<>
fill_nodes(abi::BootInfo& info, const hw::acpi::Srat& srat, const hw::acpi::Slit& slit) {
    const Nodes nodes = TRY(Nodes::of(info, srat));
    if (nodes.count() == 0) return fail(Err::not_found);
    if (srat.memory.size() > info.node_memory.size()) return fail(Err::no_space);
    for (const auto& m : srat.memory)
        info.node_memory[info.node_memory_count++] = {
            .begin = m.begin.raw, .end = m.end.raw, .node = *nodes.find(m.domain)
        };
    for (abi::CoreEntry& core : std::span{info.cores}.first(info.core_count))
        for (const auto& p : srat.processors)
            if (p.apic.raw == core.apic_id) core.node = *nodes.find(p.domain);
    for (size_t from = 0; from < nodes.count(); ++from)
        for (size_t to = 0; to < nodes.count(); ++to)
            info.node_distance[from][to] =
                distance_between(slit, nodes.domain(from), nodes.domain(to));
    info.node_count = nodes.count();
    return {};
}

} // namespace boot
