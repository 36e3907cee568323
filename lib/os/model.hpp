// What a program says to the coherence model (tools/sim, docs/model.md); without that plugin each
// of these is one store to the program's own stack.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace os::model {

enum class Call : uint64_t { begin = 1, end = 2, clock = 3, detail = 4, note = 5, align = 6 };

/// Answers the simulated time of this core, in cycles; 0 without the model.
inline uint64_t call(Call what, uint64_t argument = 0, std::string_view name = {}) {
    struct alignas(64) Block {
        Call what{};
        uint64_t argument, result{};
        std::array<char, 40> name{};
    } block{.argument = argument};

    std::copy_n(name.begin(), std::min(name.size(), block.name.size() - 1), block.name.begin());
    // A store with prefixes that no compiler makes.
    asm volatile(".byte 0x2e, 0x3e, 0x2e, 0x3e\n\tmovq %%rax, (%%rbx)"
                 :
                 : "a"(what), "b"(&block)
                 : "memory");
    return block.result;
}

/// What all cores do from here to the end of that name is one record.
inline void begin(std::string_view region) {
    (void)call(Call::begin, 0, region);
}

inline void end(std::string_view region) {
    (void)call(Call::end, 0, region);
}

/// A record with a number and this core's clock.
inline void note(std::string_view name, uint64_t number) {
    (void)call(Call::note, number, name);
}

/// The model runs or rests.
inline void detail(bool on) {
    (void)call(Call::detail, on ? 1 : 0);
}

/// Waits in the model for `cores` of them; then their clocks are equal and their caches empty, and
/// what follows is the same in each run.
inline void align(uint64_t cores) {
    (void)call(Call::align, cores);
}

} // namespace os::model
