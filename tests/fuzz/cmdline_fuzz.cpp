// Any line parses; what it keeps is in range.
#include "lib/base/cmdline.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const void* start = data;
    const auto settings =
        Cmdline::parse({static_cast<const char*>(start), size}, [](Cmdline::Problem p) {
            if (p.key.size() > 1'000'000) __builtin_trap();
        });
    if (settings.ip && settings.ip->bits > 32) __builtin_trap();
    (void)settings.core_for("netd");
    return 0;
}
