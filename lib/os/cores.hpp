// How the cores of the machine are, and waiting until that has changed.
#pragma once

#include <algorithm>

#include "interfaces/monitor.hpp"
#include "lib/os/channel.hpp"

namespace os {

using interfaces::monitor::CoreState;

/// How long a core may say nothing, or take to start: where there are many, virtual CPUs may share
/// few processors, and each of them may be late.
constexpr Duration patience_of(uint64_t core_count) {
    constexpr uint64_t usual_ms = 5000, cores_of_that = 16;
    const uint64_t ms = usual_ms * std::max(core_count, cores_of_that) / cores_of_that;
    return milliseconds(static_cast<int64_t>(ms));
}

/// As this core's monitor knows it. `absent` if there is no such core.
CoreState state_of(CoreId core);

/// Waits until the core is neither absent nor starting, or until the deadline. Answers how it is
/// then.
async::Task<CoreState> core_settles(CoreId core, Instant deadline);

/// The same, and until it is not failing either: when it is neither coming nor going.
async::Task<CoreState> core_rests(CoreId core, Instant deadline);

/// Waits until the core is in that state, or until the deadline. Answers how it is then.
async::Task<CoreState> core_becomes(CoreId core, CoreState wanted, Instant deadline);

} // namespace os
