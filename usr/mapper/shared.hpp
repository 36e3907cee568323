// Memory that two domains see: one writes to it without a pause, the other is killed.
#pragma once

#include "lib/base/result.hpp"
#include "lib/os/domain.hpp"

namespace mapper {

/// Offers "mapper", and lives on whatever its clients do.
Result<> begin_serving(os::Domain& self);
/// Shows memory to that server until the end.
Result<> begin_holding(os::Domain& self);

} // namespace mapper
