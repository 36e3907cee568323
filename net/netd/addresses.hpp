// Which address the interface takes: configured, by DHCP, or the fall-back when nobody answers.
#pragma once

#include "lib/base/cmdline.hpp"
#include "net/netd/control.hpp"
#include "net/netd/host.hpp"

namespace netd {

/// How long DHCP may take before the fall-back is used; RFC 2131 4.1 resends after 4 and 8 s.
constexpr Duration lease_patience = seconds(10);

/// Gives the interface its address as the settings say, and follows the lease for ever.
async::Task<> configure_addresses(Host& host, const Cmdline& settings, InterfaceState& state);

} // namespace netd
