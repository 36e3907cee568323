// Deliberate bugs that the simulator can plant, one a run: `if (planted(Mutant::x))` where the
// right thing would be done. Everywhere else `planted` is false when compiled.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

enum class Mutant : uint8_t {
    none,
#define MUTANT(name, text) name,
#include "lib/base/mutant.def"
#undef MUTANT
};

struct MutantText {
    std::string_view name, text;
};

constexpr std::array mutant_texts = {
    MutantText{"none", "as it is"},
#define MUTANT(name, text) MutantText{#name, text},
#include "lib/base/mutant.def"
#undef MUTANT
};

#ifdef SKERRY_MUTANTS
inline Mutant planted_mutant = Mutant::none;

inline bool planted(Mutant which) {
    return planted_mutant == which;
}
#else
constexpr bool planted(Mutant) {
    return false;
}
#endif
