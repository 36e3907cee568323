// A dispatcher page with any contents, and every way the kernel reads it: resume from both areas,
// faults, preemption, wait. Whatever it says, what is loaded next is a user's.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "kernel/hostile.hpp"
#include "tests/kernel/world.hpp"

namespace {

void check(const kernel_test::Dispatcher& d) {
    const auto& r = d.registers;
    if (d.state != kernel::State::runnable) return;
    if (!kernel::in_user_half(r.rip) || !kernel::in_user_half(r.fs_base)) std::abort();
    if (!kernel::in_user_half(r.gs_base)) std::abort();
    if ((r.rflags & ~kernel::rflags_of_domain) != kernel::rflags_fixed) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace kernel_test;
    for (int way = 0; way < 5; ++way) {
        World world;
        Domain me = world.make_domain(8);
        world.core->schedule();
        std::memcpy(me.page, data, std::min(size, sizeof(abi::DispatcherPage)));
        if (way < 2) {
            world.invoke(Op::resume, abi::slot::dispatcher, {static_cast<uint64_t>(way)});
        } else if (way == 2) {
            world.core->on_fault(14, 0, 0);
        } else if (way == 3) {
            world.invoke(Op::wait, abi::slot::dispatcher, {0, abi::wait_polls});
        } else {
            world.make_domain(9);
            world.core->schedule();
            world.invoke(Op::dispatcher_stop, abi::slot::dispatcher);
        }
        world.core->schedule();
        check(*me.dispatcher);
    }
    return 0;
}
