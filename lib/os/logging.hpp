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

/// Takes lines to the console for ever, whenever there is one. `attached` is called each time the
/// console is reached.
async::Task<> forward_log(Domain& self);
void when_console_is_there(void (*attached)());

/// Goes on when the console has all lines, at the latest at `until`: before a domain ends itself.
async::Task<> log_written(Domain& self, Instant until);

/// How long a domain that ends waits for a console that does not come.
constexpr Duration log_patience = seconds(2);

/// The program is over, the loop has stopped: what is on its way to the console gets there.
void see_log_off(Domain& self);

/// The lines nobody took, to whoever started this domain.
void tell_parent_of_log();

} // namespace os
