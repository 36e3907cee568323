// Bytes from another domain, to every decoder that the generator makes.
#include <cstdlib>

#include "tests/fuzz/judge_decoders.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (decoders::judge_input(std::as_bytes(std::span{data, size})) == decoders::Outcome::broken)
        std::abort();
    return 0;
}
