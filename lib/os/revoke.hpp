// Revoking memory wherever it is: on this core by the CPU driver, on others by the monitors.
#pragma once

#include "lib/async/task.hpp"
#include "lib/os/space.hpp"

namespace os {

/// All copies of the RAM or frame in `slot` go, and everything that was made of it, on whatever
/// core; the capability itself stays. Waits until no other core has any of it, and until no device
/// reaches it that a peer has pinned it for. Errors: quota (too many revocations at a time).
async::Task<> revoke(CapSlot slot);

} // namespace os
