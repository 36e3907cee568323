// The groups of figures. What cannot be set up is told, and the rest is measured all the same.
#pragma once

#include "lib/async/task.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "usr/bench/harness.hpp"
#include "usr/bench/peer.hpp"

namespace bench {

inline void tell(Harness& harness, std::string_view what, const Result<>& done) {
    if (!done) harness.failed(what, done.error());
}

/// One domain with the CPU driver below it.
void measure_primitives(Harness& harness);
/// The capability database, with the few entries of a running system and with 10,000 more.
void measure_capabilities(Harness& harness, os::CapSlot memory);
/// Threads of one dispatcher.
Result<> measure_threads(os::Domain& self, Harness& harness);
/// Two domains of this core, by local call, doorbell and channel.
void measure_domains(Harness& harness, Peers& peers);
/// Both ends of a channel in this domain, through generated code.
void measure_stubs(Harness& harness);
/// The servers of this core: memory, monitor, spawn.
void measure_servers(Harness& harness, Peers& peers, os::CapSlot memory);
/// Two domains of this core through channel, stubs and both event loops.
async::Task<> measure_binding(os::Domain& self, Harness& harness, Peers& peers);
/// The same with the other one on core 1.
async::Task<> measure_remote(os::Domain& self, Harness& harness);
/// A frame lent to a domain on each other core.
async::Task<> measure_lending(os::Domain& self, Harness& harness);
/// The last core leaves the machine and comes back.
async::Task<> measure_cores(os::Domain& self, Harness& harness);

} // namespace bench
