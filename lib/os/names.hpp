// Names of services, looked up in the replica that this core's monitor keeps: no call.
#pragma once

#include "lib/os/name_replica.hpp"

namespace os {

/// The core whose domain offers `name`, as far as it is known here. Errors: not_found; at the first
/// time those of mapping the replica.
Result<CoreId> home_of(std::string_view name);

/// All names, by index. Errors: not_found past the end; as above.
Result<OfferedName> offered_at(size_t index);

} // namespace os
