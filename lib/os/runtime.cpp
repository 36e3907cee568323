// What compiler and standard library call without being asked: memory functions, failed
// assertions, allocation of what has no pool of its own.
#include <cstddef>
#include <cstdint>
#include <source_location>

#include "lib/base/format.hpp"
#include "lib/base/invariant.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/instructions.hpp"

extern "C" {

// Eight bytes an iteration: REP counts as an instruction each time round.
void* memcpy(void* to, const void* from, size_t bytes) {
    auto* const out = static_cast<std::byte*>(to);
    const auto* const in = static_cast<const std::byte*>(from);
    const size_t head = bytes & ~size_t{7};
    os::copy_words(out, in, bytes / 8);
    os::copy_bytes(out + head, in + head, bytes % 8);
    return to;
}

// By words both ways: what an iteration overwrites of the source lies on the side it came from.
void* memmove(void* to, const void* from, size_t bytes) {
    auto* const out = static_cast<std::byte*>(to);
    const auto* const in = static_cast<const std::byte*>(from);
    if (out <= in || out >= in + bytes) return memcpy(to, from, bytes);
    const size_t head = bytes & ~size_t{7};
    os::copy_bytes_backwards(out + head, in + head, bytes % 8);
    os::copy_words_backwards(out, in, bytes / 8);
    return to;
}

void* memset(void* to, int value, size_t bytes) {
    auto* const out = static_cast<std::byte*>(to);
    const size_t head = bytes & ~size_t{7};
    const uint64_t word = 0x0101'0101'0101'0101 * static_cast<uint8_t>(value);
    os::fill_words(out, word, bytes / 8);
    os::fill_bytes(out + head, value, bytes % 8);
    return to;
}

int memcmp(const void* a, const void* b, size_t bytes) {
    const auto* const left = static_cast<const unsigned char*>(a);
    const auto* const right = static_cast<const unsigned char*>(b);
    for (size_t i = 0; i < bytes; ++i)
        if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
    return 0;
}

const void* memchr(const void* where, int what, size_t bytes) {
    const auto* const at = static_cast<const unsigned char*>(where);
    for (size_t i = 0; i < bytes; ++i)
        if (at[i] == static_cast<unsigned char>(what)) return at + i;
    return nullptr;
}

size_t strlen(const char* text) {
    size_t n = 0;
    while (text[n] != '\0')
        ++n;
    return n;
}

} // extern "C"

void invariant_broken(const char* condition, const char* why, const std::source_location& where) {
    std::array<char, 240> text;
    os::end_with(format_to(
        text,
        "{}:{}: {} ({})",
        std::string_view{where.file_name()},
        where.line(),
        std::string_view{why},
        std::string_view{condition}
    ));
}

namespace std {

// _GLIBCXX_ASSERTIONS: an index out of bounds, an empty optional, and the like.
void __glibcxx_assert_fail(
    const char* file, int line, const char* function, const char* condition
) noexcept {
    std::array<char, 240> text;
    os::end_with(format_to(
        text,
        "{}:{}: {} ({})",
        std::string_view{file},
        line,
        std::string_view{condition},
        std::string_view{function}
    ));
}

} // namespace std

/// A virtual function of an object whose constructor or destructor is still running.
extern "C" [[noreturn]] void __cxa_pure_virtual() {
    os::end_with("a pure virtual function was called");
}
