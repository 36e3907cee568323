// The domain's log: lines collect in a ring until the console takes them.
#pragma once

namespace os {

class Domain;

/// Sets the sink of lib/base/log.hpp, with the level that the machine's settings ask for.
void begin_logging(const Domain& self);

} // namespace os
