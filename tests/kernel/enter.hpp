// What the CPU driver does at a system call, for who has no registers but those in the dispatcher.
#pragma once

#include "kernel/answer.hpp"
#include "kernel/core.hpp"

namespace kernel_test {

/// The call of whoever runs, up to where somebody goes on or schedule() must be asked.
inline kernel::After enter(kernel::Core& core) {
    const kernel::Dispatcher& caller = *core.current();
    const kernel::After after = core.invoke();
    if (after == kernel::After::spoken_to) {
        kernel::copy_message(caller.registers, core.current()->registers);
    }
    return after;
}

} // namespace kernel_test
