// The control registers and MSRs of this core, and the extended registers of user programs.
// Source: Intel SDM vol. 3A 2.5, 11.12 (PAT), vol. 1 13 (XSAVE), vol. 4 (MSRs).
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpudriver/x86_64/features.hpp"

namespace cpu {

/// No-execute pages and memory types: before the final page tables.
void enable_page_attributes();

/// Everything else: protection, SYSCALL, extended registers for user programs.
void enable_features(const Features& features);

/// SSE, AVX and x87 registers, saved and loaded when the dispatcher changes.
class ExtendedState {
  public:
    static constexpr size_t area_bytes = 4096;

    /// Switches on what fits an area.
    void enable(const Features& features);

    bool by_xsave() const { return xsave_; }

    void save(std::byte* area) const {
        if (xsave_)
            xsave(area);
        else
            fxsave(area);
    }

    void load(const std::byte* area) const {
        if (xsave_)
            xrstor(area);
        else
            fxrstor(area);
    }

    /// The state of a program that has not run yet. `area` is zeroed memory or anything else.
    void make_fresh(std::byte* area) const;

  private:
    bool xsave_{};
};

} // namespace cpu
