// The file `routes` of the bundle: a line each, `#` begins a comment. A line that means nothing is
// told by its number and left out; the others count.
//   address LINK A.B.C.D/N          of a link beside the first
//   route   A.B.C.D/N via E.F.G.H   `default` stands for 0.0.0.0/0
#pragma once

#include <concepts>
#include <optional>
#include <string_view>
#include <variant>

#include "lib/base/cmdline.hpp"
#include "net/address.hpp"

namespace routed {

struct AddressLine {
    uint8_t link{};
    net::Ipv4Prefix address{};
    friend constexpr bool operator==(const AddressLine&, const AddressLine&) = default;
};

struct RouteLine {
    net::Ipv4Prefix destination{};
    net::Ipv4Address gateway{};
    friend constexpr bool operator==(const RouteLine&, const RouteLine&) = default;
};

using Line = std::variant<AddressLine, RouteLine>;

namespace detail {

constexpr bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

constexpr std::string_view take_word(std::string_view& text) {
    while (!text.empty() && is_blank(text.front()))
        text.remove_prefix(1);
    size_t end = 0;
    while (end < text.size() && !is_blank(text[end]))
        ++end;
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(end);
    return word;
}

constexpr std::optional<net::Ipv4Prefix> parse_prefix(std::string_view text) {
    if (text == "default") return net::Ipv4Prefix{};
    const auto prefix = parse_ipv4_prefix(text);
    if (!prefix) return std::nullopt;
    return net::Ipv4Prefix{net::Ipv4Address{prefix->address}, prefix->bits};
}

} // namespace detail

/// Of one line without its comment; nothing: it means nothing.
constexpr std::optional<Line> parse_line(std::string_view text) {
    const std::string_view verb = detail::take_word(text);
    const std::string_view first = detail::take_word(text);
    if (verb == "address") {
        const auto link = parse_number(first, 255);
        const auto address = detail::parse_prefix(detail::take_word(text));
        if (!link || !address || !detail::take_word(text).empty()) return std::nullopt;
        return AddressLine{static_cast<uint8_t>(*link), *address};
    }
    if (verb != "route") return std::nullopt;
    const auto destination = detail::parse_prefix(first);
    if (!destination || detail::take_word(text) != "via") return std::nullopt;
    const auto gateway = parse_ipv4(detail::take_word(text));
    if (!gateway || !detail::take_word(text).empty()) return std::nullopt;
    return RouteLine{*destination, net::Ipv4Address{*gateway}};
}

/// Calls take(Line) for each line and bad(number) for each that means nothing.
template <std::invocable<Line> Take, std::invocable<unsigned> Bad>
constexpr void parse_config(std::string_view text, Take&& take, Bad&& bad) {
    for (unsigned number = 1; !text.empty(); ++number) {
        std::string_view line = take_until(text, '\n');
        line = take_until(line, '#');
        std::string_view rest = line;
        if (detail::take_word(rest).empty()) continue;
        if (const auto parsed = parse_line(line))
            take(*parsed);
        else
            bad(number);
    }
}

} // namespace routed
