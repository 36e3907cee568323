// The stack's domain, whatever drives its first card: "net" for applications, "netctl" for the
// shell, "routes" for net/routed. Without a card it waits for one: nobody is served before.
#pragma once

#include "lib/os/domain.hpp"
#include "net/netd/card.hpp"

namespace netd {

/// The card that the stack is made with; it stays for good.
using MakeFirstCard = Card& (*)(os::Domain& self, Host& host);

/// An application that the stack shares a domain with.
class Guest {
  public:
    /// Takes the memory it needs, before the stack takes what is left.
    virtual Result<> prepare(Host& host) = 0;
    /// The stack is there.
    virtual Result<> start() = 0;

  protected:
    ~Guest() = default;
};

/// All that a main of such a domain does; answers its result.
///   guest   null: none
int serve(os::Domain& self, MakeFirstCard first, Guest* guest);

} // namespace netd
