// The stack's domain, whatever drives its first card: "net" for applications, "netctl" for the
// shell, "routes" for net/routed. Without a card it waits for one: nobody is served before.
#pragma once

#include "lib/os/domain.hpp"
#include "net/netd/card.hpp"

namespace netd {

/// The card that the stack is made with; it stays for good.
using MakeFirstCard = Card& (*)(os::Domain& self, Host& host);

/// All that a main of such a domain does; answers its result.
int serve(os::Domain& self, MakeFirstCard first);

} // namespace netd
