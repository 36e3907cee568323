// How the cores of the machine are, and waiting until that has changed.
#pragma once

#include "interfaces/monitor.hpp"
#include "lib/os/channel.hpp"

namespace os {

using interfaces::monitor::CoreState;

/// As this core's monitor knows it. `absent` if there is no such core.
CoreState state_of(CoreId core);

/// Waits until the core is neither absent nor starting, or until the deadline. Answers how it is
/// then.
async::Task<CoreState> core_settles(CoreId core, Instant deadline);

/// Waits until any core's state has changed. Errors: timed_out.
async::Task<> core_changes(Instant deadline);

} // namespace os
