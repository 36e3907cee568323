// What is asked of interrupt lines and I/O ports.
#include "kernel/invoker.hpp"

namespace kernel {

Result<> Invoker::bind() {
    if (argument(1) > static_cast<uint64_t>(abi::InterruptMode::edge_low)) {
        return fail(Err::bad_argument);
    }
    const auto mode = static_cast<abi::InterruptMode>(argument(1));
    return core_.bind_interrupt(cap_, *TRY(capability(0)), mode);
}

/// The port in argument 0, whose bytes all lie in the capability's range.
Result<uint16_t> Invoker::port(size_t width_argument) const {
    const uint64_t port = argument(0), width = argument(width_argument);
    if (width != 1 && width != 2 && width != 4) return fail(Err::bad_argument);
    if (port > UINT16_MAX) return fail(Err::bad_argument);
    const uint64_t first = cap_.base - abi::io_port_space;
    if (port < first || port + width > first + cap_.bytes) return fail(Err::range_bounds);
    return static_cast<uint16_t>(port);
}

Result<> Invoker::port_in() {
    const uint16_t from = TRY(port(1));
    value(0, core_.machine().port_in(from, static_cast<unsigned>(argument(1))));
    return {};
}

Result<> Invoker::port_out() {
    const uint16_t to = TRY(port(1));
    const uint32_t word = TRY(narrow(2));
    core_.machine().port_out(to, static_cast<unsigned>(argument(1)), word);
    return {};
}

} // namespace kernel
