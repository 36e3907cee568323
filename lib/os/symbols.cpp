#include "lib/os/symbols.hpp"

#include <array>

#include "lib/base/format.hpp"

namespace os {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool skip(std::string_view& text, std::string_view what) {
    if (!text.starts_with(what)) return false;
    text.remove_prefix(what.size());
    return true;
}

/// <source-name>: a length, and as many characters. Empty: there is none.
std::string_view take_source_name(std::string_view& rest) {
    size_t length = 0;
    std::string_view at = rest;
    while (!at.empty() && is_digit(at.front()) && length < 1000) {
        length = length * 10 + static_cast<size_t>(at.front() - '0');
        at.remove_prefix(1);
    }
    if (length == 0 || length > at.size()) return {};
    const std::string_view name = first_of(at, length);
    at.remove_prefix(length);
    rest = at;
    return name;
}

/// <template-args>: I ... E, with whatever nests in it.
void skip_template_arguments(std::string_view& rest) {
    if (rest.empty() || rest.front() != 'I') return;
    size_t depth = 0;
    while (!rest.empty()) {
        if (!take_source_name(rest).empty()) continue;
        const char c = rest.front();
        rest.remove_prefix(1);
        if (c == 'L') rest.remove_prefix(index_of(rest, 'E')); // a literal: type, digits, E
        if (c == 'I' || c == 'N' || c == 'X' || c == 'L' || c == 'J') ++depth;
        if (c == 'E' && --depth == 0) return;
    }
}

/// One part of a name: its text, "" at the end.
std::string_view take_part(std::string_view& rest, std::string_view before) {
    skip_template_arguments(rest);
    (void)skip(rest, "L"); // internal linkage
    if (skip(rest, "C1") || skip(rest, "C2")) return before;
    if (skip(rest, "D0") || skip(rest, "D1") || skip(rest, "D2")) return "~";
    if (skip(rest, "cl")) return "operator()";
    if (skip(rest, "aS")) return "operator=";
    if (skip(rest, "St")) return "std";
    const std::string_view name = take_source_name(rest);
    return name.starts_with("_GLOBAL__N") ? "(anonymous)" : name;
}

} // namespace

std::string_view readable(std::span<char> out, std::string_view symbol) {
    TextWriter text{out};
    std::string_view rest = symbol;
    if (!skip(rest, "_Z")) {
        text.put(symbol);
        return text.text();
    }
    const bool nested = skip(rest, "N");
    while (nested && (skip(rest, "K") || skip(rest, "V") || skip(rest, "R") || skip(rest, "O"))) {
    }
    std::string_view last;
    do {
        const std::string_view part = take_part(rest, last);
        if (part.empty()) break;
        if (!last.empty()) text.put("::");
        text.put(part);
        last = part;
    } while (nested);
    if (last.empty()) text.put(symbol);
    return text.text();
}

std::string_view name_of_trap(unsigned vector) {
    constexpr std::array<std::string_view, 22> names{
        "divide error",
        "debug",
        "non-maskable interrupt",
        "breakpoint",
        "overflow",
        "bound range",
        "invalid opcode",
        "no FPU",
        "double fault",
        "coprocessor overrun",
        "invalid TSS",
        "segment not present",
        "stack fault",
        "general protection",
        "page fault",
        "trap 15",
        "x87 error",
        "alignment check",
        "machine check",
        "SIMD error",
        "virtualization",
        "control protection",
    };
    return vector < names.size() ? names[vector] : "trap";
}

std::string_view access_of(unsigned code) {
    constexpr unsigned write = 2, fetch = 16;
    if ((code & fetch) != 0) return "execute";
    return (code & write) != 0 ? "write" : "read";
}

} // namespace os
