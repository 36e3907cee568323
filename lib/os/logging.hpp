// The domain's log: lines collect in a ring until somebody takes them to the console.
#pragma once

#include "lib/async/loop.hpp"
#include "lib/os/text_ring.hpp"

namespace os {

class Domain;

using LogRing = TextRing<8192>;
LogRing& log_ring();

/// Sets the sink of lib/base/log.hpp, with the level that the machine's settings ask for.
void begin_logging(const Domain& self);

/// `bell` is set whenever there is a line to take.
void tell_of_lines(async::Event& bell);

} // namespace os
