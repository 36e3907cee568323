// A bundle from anywhere is refused, or every file in it lies inside it.
#include "lib/base/bundle.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto bundle = bundle::Bundle::parse(std::as_bytes(std::span{data, size}));
    if (!bundle) return 0;
    for (uint32_t i = 0; i < bundle->count(); ++i) {
        const auto file = bundle->file(i);
        (void)file.intact();
        const auto found = bundle->find(file.name);
        if (!found || found->data.data() != file.data.data()) __builtin_trap();
    }
    return 0;
}
