// Names of functions for people: what stands in a symbol table is mangled (Itanium C++ ABI, 5.1).
// Only the name is wanted, so parameters and template arguments are left out.
#pragma once

#include <span>
#include <string_view>

namespace os {

/// Writes `_ZN2os4Loop3runEv` as `os::Loop::run`; what it cannot read it copies as it is.
std::string_view readable(std::span<char> out, std::string_view symbol);

/// What a trap is called (SDM vol. 3A, table 6-1).
std::string_view name_of_trap(unsigned vector);

/// What a page fault's error code says was tried (SDM vol. 3A, 4.7).
std::string_view access_of(unsigned code);

} // namespace os
