// Memory that two domains see: one writes to it without a pause, the other is killed or
// revokes it.
#pragma once

#include "lib/base/result.hpp"
#include "lib/os/domain.hpp"

namespace mapper {

/// Offers "mapper", and lives on whatever its clients do.
Result<> begin_serving(os::Domain& self);
/// Shows memory to that server until the end.
Result<> begin_holding(os::Domain& self);
/// Shows memory to it and revokes it; ends with 0 if it is all its own again.
Result<> begin_taking_back(os::Domain& self);

} // namespace mapper
