// Where secrets come from: the processor's generator, else the jitter of the clock with a warning;
// with `seed=N` a sequence that repeats, and says so.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace os {

/// 128 bits, different at each call. With a seed the same sequence in every run.
std::array<uint64_t, 2> secret(std::optional<uint64_t> seed);

} // namespace os
