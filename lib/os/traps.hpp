// What faults are called, for people.
#pragma once

#include <string_view>

namespace os {

/// What a trap is called (SDM vol. 3A, table 6-1).
std::string_view name_of_trap(unsigned vector);

/// What a page fault's error code says was tried (SDM vol. 3A, 4.7).
std::string_view access_of(unsigned code);

} // namespace os
