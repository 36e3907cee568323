// Text from values, checked at compile time, into a span of fixed size; what does not fit is cut
// off. The template part only boxes its arguments: one ordinary function does the work.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "lib/base/result.hpp"
#include "lib/base/time.hpp"

/// The first `count` characters (all, if there are fewer). Like substr, which may throw and so
/// needs a function of the library that no domain has.
constexpr std::string_view first_of(std::string_view text, size_t count) {
    if (count < text.size()) text.remove_suffix(text.size() - count);
    return text;
}

/// Where `c` stands first, or the size of `text`.
constexpr size_t index_of(std::string_view text, char c) {
    size_t at = 0;
    while (at < text.size() && text[at] != c)
        ++at;
    return at;
}

/// Appends to a span it does not own; a full span swallows the rest and remembers that it did.
class TextWriter {
  public:
    constexpr explicit TextWriter(std::span<char> out) : out_{out} {}

    constexpr void put(char c) {
        if (used_ < out_.size())
            out_[used_++] = c;
        else
            truncated_ = true;
    }

    constexpr void put(std::string_view text) {
        for (char c : text)
            put(c);
    }

    constexpr void fill(char c, size_t times) {
        while (times-- > 0)
            put(c);
    }

    constexpr std::string_view text() const { return {out_.data(), used_}; }

    constexpr bool truncated() const { return truncated_; }

  private:
    std::span<char> out_;
    size_t used_{};
    bool truncated_{};
};

/// A type outside this file becomes formattable by `void format_value(TextWriter&, const T&)`
/// beside it; width and fill do not apply to it.
template <class T>
concept SelfFormatting = requires(TextWriter& w, const T& v) { format_value(w, v); };

namespace format_detail {

enum class Kind : uint8_t { signed_number, unsigned_number, boolean, character, text, custom };

using CustomWriter = void (*)(TextWriter&, const void*);

struct Arg {
    Kind kind{};
    uint64_t number{};
    std::string_view text{};
    const void* object{};
    CustomWriter write{};
};

/// What stands between the braces: [fill][< or >][0][width][x], as in std::format.
struct Spec {
    char fill{' '};
    char align{}; // '<', '>' or none: text to the left, numbers to the right
    bool hex{};
    uint16_t width{};
};

constexpr bool is_align(char c) {
    return c == '<' || c == '>';
}

constexpr bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// Reads the spec after the ':'; on anything unknown `ok` is false.
constexpr Spec parse_spec(std::string_view s, bool& ok) {
    Spec spec;
    if (s.size() >= 2 && is_align(s[1])) {
        spec.fill = s[0];
        spec.align = s[1];
        s.remove_prefix(2);
    } else if (!s.empty() && is_align(s[0])) {
        spec.align = s[0];
        s.remove_prefix(1);
    }
    if (!s.empty() && s[0] == '0' && spec.align == 0) {
        spec.fill = '0';
        spec.align = '>';
        s.remove_prefix(1);
    }
    while (!s.empty() && is_digit(s[0]) && spec.width < 1000) {
        spec.width = uint16_t(spec.width * 10 + (s[0] - '0'));
        s.remove_prefix(1);
    }
    if (s == "x")
        spec.hex = true;
    else if (!s.empty())
        ok = false;
    return spec;
}

/// Takes the next piece off `format`: a run of plain text, or one argument's braces.
struct Piece {
    std::string_view plain{};
    bool is_argument{};
    bool ok{true};
    Spec spec{};
};

constexpr Piece next_piece(std::string_view& format) {
    Piece piece;
    const char first = format[0];
    if (first == '{' || first == '}') {
        if (format.size() > 1 && format[1] == first) {
            piece.plain = first_of(format, 1);
            format.remove_prefix(2);
            return piece;
        }
        const size_t close = index_of(format, '}');
        piece.is_argument = true;
        piece.ok = first == '{' && close != format.size();
        std::string_view inside = first_of(format, close);
        format.remove_prefix(piece.ok ? close + 1 : format.size());
        inside.remove_prefix(1);
        if (!piece.ok || inside.empty()) return piece;
        piece.ok = inside[0] == ':';
        inside.remove_prefix(1);
        piece.spec = parse_spec(inside, piece.ok);
        return piece;
    }
    piece.plain = first_of(format, std::min(index_of(format, '{'), index_of(format, '}')));
    format.remove_prefix(piece.plain.size());
    return piece;
}

template <class T>
concept RawNumber = requires(const T& v) {
    { v.raw } -> std::convertible_to<uint64_t>;
};

template <class T>
constexpr Kind kind_of() {
    using U = std::remove_cvref_t<T>;
    if constexpr (SelfFormatting<U>)
        return Kind::custom;
    else if constexpr (std::same_as<U, bool>)
        return Kind::boolean;
    else if constexpr (std::same_as<U, char>)
        return Kind::character;
    else if constexpr (std::signed_integral<U>)
        return Kind::signed_number;
    else if constexpr (std::unsigned_integral<U> || RawNumber<U>)
        return Kind::unsigned_number;
    else if constexpr (std::convertible_to<const U&, std::string_view>)
        return Kind::text;
    else if constexpr (std::is_pointer_v<U>)
        return Kind::unsigned_number;
    else if constexpr (std::is_enum_v<U>)
        return Kind::unsigned_number;
    else
        static_assert(!sizeof(U), "this type has no format_value");
}

template <class T>
Arg box(const T& value) {
    Arg arg{.kind = kind_of<T>()};
    if constexpr (SelfFormatting<T>) {
        arg.object = &value;
        arg.write = [](TextWriter& w, const void* v) {
            format_value(w, *static_cast<const T*>(v));
        };
    } else if constexpr (std::integral<T>) {
        arg.number = static_cast<uint64_t>(value);
    } else if constexpr (RawNumber<T>) {
        arg.number = value.raw;
    } else if constexpr (std::convertible_to<const T&, std::string_view>) {
        arg.text = value;
    } else if constexpr (std::is_pointer_v<T>) {
        arg.number = std::bit_cast<uint64_t>(value);
    } else {
        arg.number = static_cast<uint64_t>(std::to_underlying(value));
    }
    return arg;
}

inline void put_padded(TextWriter& out, std::string_view text, Spec spec, char natural) {
    const size_t pad = spec.width > text.size() ? spec.width - text.size() : 0;
    const bool right = (spec.align != 0 ? spec.align : natural) == '>';
    if (right && spec.fill == '0' && !text.empty() && text[0] == '-') {
        out.put('-'); // zeros go between the sign and the digits
        text.remove_prefix(1);
    }
    if (right) out.fill(spec.fill, pad);
    out.put(text);
    if (!right) out.fill(spec.fill, pad);
}

inline void put_number(TextWriter& out, uint64_t value, bool negative, Spec spec) {
    std::array<char, 24> digits;
    size_t at = digits.size();
    const uint64_t base = spec.hex ? 16 : 10;
    if (negative) value = 0 - value;
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    if (negative) digits[--at] = '-';
    put_padded(out, {digits.data() + at, digits.size() - at}, spec, '>');
}

constexpr std::array<std::string_view, 2> yes_no{"no", "yes"};

inline void put_arg(TextWriter& out, const Arg& arg, Spec spec) {
    switch (arg.kind) {
    case Kind::signed_number:
        put_number(out, arg.number, static_cast<int64_t>(arg.number) < 0, spec);
        break;
    case Kind::unsigned_number: put_number(out, arg.number, false, spec); break;
    case Kind::boolean: put_padded(out, yes_no[arg.number & 1], spec, '<'); break;
    case Kind::character: {
        const char c = static_cast<char>(arg.number);
        put_padded(out, {&c, 1}, spec, '<');
        break;
    }
    case Kind::text: put_padded(out, arg.text, spec, '<'); break;
    case Kind::custom: arg.write(out, arg.object); break;
    }
}

/// The format string was checked when it was compiled, so pieces and arguments match.
inline void format_boxed(TextWriter& out, std::string_view format, std::span<const Arg> args) {
    size_t next = 0;
    while (!format.empty()) {
        const Piece piece = next_piece(format);
        if (!piece.ok) return;
        if (!piece.is_argument)
            out.put(piece.plain);
        else if (next < args.size())
            put_arg(out, args[next++], piece.spec);
    }
}

// Never defined: calling one of them makes a consteval constructor fail to compile, by its name.
void braces_do_not_match_or_spec_is_unknown();
void fewer_braces_than_arguments();
void more_braces_than_arguments();
void hex_is_for_numbers();

} // namespace format_detail

/// A literal whose braces fit the types `Args`; anything else does not compile.
template <class... Args>
class FormatString {
  public:
    template <class S>
        requires std::convertible_to<const S&, std::string_view>
    consteval FormatString(const S& literal) : text_{literal} {
        using namespace format_detail;
        constexpr std::array<Kind, sizeof...(Args) + 1> kinds{kind_of<Args>()..., Kind::custom};
        size_t used = 0;
        for (std::string_view rest = text_; !rest.empty();) {
            const Piece piece = next_piece(rest);
            if (!piece.ok) braces_do_not_match_or_spec_is_unknown();
            if (!piece.is_argument) continue;
            if (used == sizeof...(Args)) more_braces_than_arguments();
            if (piece.spec.hex && kinds[used] > Kind::unsigned_number) hex_is_for_numbers();
            ++used;
        }
        if (used != sizeof...(Args)) fewer_braces_than_arguments();
    }

    constexpr std::string_view text() const { return text_; }

  private:
    std::string_view text_;
};

template <class... Args>
using Format = FormatString<std::type_identity_t<Args>...>;

template <class... Args>
void format(TextWriter& out, Format<Args...> text, const Args&... args) {
    const std::array<format_detail::Arg, sizeof...(Args)> boxed{format_detail::box(args)...};
    format_detail::format_boxed(out, text.text(), boxed);
}

/// Returns the part of `out` that was written.
template <class... Args>
std::string_view format_to(std::span<char> out, Format<Args...> text, const Args&... args) {
    TextWriter writer{out};
    format(writer, text, args...);
    return writer.text();
}

inline void format_value(TextWriter& out, const Err& e) {
    out.put(text_of(e));
}

/// Newest first: "cannot start: the image is not ...: the data ends too early".
inline void format_value(TextWriter& out, const Fault& fault) {
    out.put(text_of(fault.top()));
    for (unsigned depth = 1; depth < 4 && fault.cause(depth) != Err::none; ++depth) {
        out.put(": ");
        out.put(text_of(fault.cause(depth)));
    }
}

/// Seconds with six decimals.
inline void format_value(TextWriter& out, const Duration& d) {
    const bool negative = d.ns < 0;
    const uint64_t us = static_cast<uint64_t>(negative ? -d.us() : d.us());
    if (negative) out.put('-');
    format(out, "{}.{:06}", us / 1'000'000, us % 1'000'000);
}

inline void format_value(TextWriter& out, const Instant& at) {
    format_value(out, Duration{at.ns});
}
