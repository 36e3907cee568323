// Arbitrary system calls, interrupts, faults and dispatcher pages: the bytes decide every choice.
#include "tests/fuzz/kernel_inputs.hpp"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    kernel_test::kept_arena = kernel_test::make_arena();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    return kernel_fuzz::run_or_stop(kernel_fuzz::run_calls({data, size}));
}
