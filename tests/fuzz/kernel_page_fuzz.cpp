// A dispatcher page with any contents, and every way the kernel reads it.
#include "tests/fuzz/kernel_inputs.hpp"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    kernel_test::kept_arena = kernel_test::make_arena();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    return kernel_fuzz::run_or_stop(kernel_fuzz::run_page({data, size}));
}
