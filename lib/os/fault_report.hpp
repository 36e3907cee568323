// How a parent tells of a child's end, the same for init and spawn: what happened, in which
// function, called from where.
#pragma once

#include <string_view>

#include "interfaces/parent.hpp"
#include "lib/base/bytes.hpp"
#include "lib/base/strong.hpp"

namespace os {

struct FaultSubject {
    std::string_view name;
    CoreId core;
    Bytes image; // for the names of functions; empty: none are known
};

void report_fault(const FaultSubject& who, const interfaces::parent::FaultedArguments& what);
void report_backtrace(const FaultSubject& who, const interfaces::parent::BacktraceArguments& from);

/// One line: what the address is part of.
void report_address(const FaultSubject& who, std::string_view relation, uint64_t address);

} // namespace os
