// The server "trap": what a client asks for, it does to that client's channel.
#pragma once

#include "lib/os/domain.hpp"

namespace hostile {

/// Until it is told to stop; the exit code of the domain.
int serve(os::Domain& self, bool pins);

} // namespace hostile
