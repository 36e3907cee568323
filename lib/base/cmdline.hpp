// The settings of a boot: one line `key=value key=value ...`, from fw_cfg or GRUB. An unknown key
// or a bad value is told to the caller by name and left out; the rest of the line still counts.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "lib/base/log.hpp"
#include "lib/base/strong.hpp"

/// An IPv4 address in host order with the length of its network part: 10.77.0.2/24.
struct Ipv4Prefix {
    uint32_t address{};
    uint8_t bits{};
    friend constexpr bool operator==(Ipv4Prefix, Ipv4Prefix) = default;
};

/// Decimal, or hexadecimal after 0x; the whole text or nothing.
constexpr std::optional<uint64_t> parse_number(std::string_view text) {
    const bool hex = text.starts_with("0x");
    if (hex) text.remove_prefix(2);
    if (text.empty()) return std::nullopt;
    uint64_t value = 0;
    for (char c : text) {
        unsigned digit = 16;
        if (c >= '0' && c <= '9')
            digit = static_cast<unsigned>(c - '0');
        else if (hex && c >= 'a' && c <= 'f')
            digit = static_cast<unsigned>(c - 'a' + 10);
        else if (hex && c >= 'A' && c <= 'F')
            digit = static_cast<unsigned>(c - 'A' + 10);
        if (digit >= (hex ? 16u : 10u)) return std::nullopt;
        if (__builtin_mul_overflow(value, hex ? 16u : 10u, &value)) return std::nullopt;
        if (__builtin_add_overflow(value, uint64_t{digit}, &value)) return std::nullopt;
    }
    return value;
}

constexpr std::optional<uint64_t> parse_number(std::string_view text, uint64_t most) {
    const auto value = parse_number(text);
    return value && *value <= most ? value : std::nullopt;
}

/// Takes what stands before `separator` off the front of `text`, and the separator with it.
constexpr std::string_view take_until(std::string_view& text, char separator) {
    const std::string_view front = first_of(text, index_of(text, separator));
    text.remove_prefix(std::min(front.size() + 1, text.size()));
    return front;
}

constexpr std::optional<uint32_t> parse_ipv4(std::string_view text) {
    uint32_t address = 0;
    for (int part = 0; part < 4; ++part) {
        if (part == 3 && index_of(text, '.') != text.size()) return std::nullopt;
        const std::string_view digits = take_until(text, '.');
        if (digits.size() > 3) return std::nullopt;
        const auto byte = digits.starts_with("0x") ? std::nullopt : parse_number(digits, 255);
        if (!byte) return std::nullopt;
        address = address << 8 | static_cast<uint32_t>(*byte);
    }
    return address;
}

/// Without `/bits` the whole address is the network part.
constexpr std::optional<Ipv4Prefix> parse_ipv4_prefix(std::string_view text) {
    const bool has_bits = index_of(text, '/') != text.size();
    const auto address = parse_ipv4(take_until(text, '/'));
    const auto bits = has_bits ? parse_number(text, 32) : std::optional<uint64_t>{32};
    if (!address || !bits) return std::nullopt;
    return Ipv4Prefix{*address, static_cast<uint8_t>(*bits)};
}

/// How the cores are started: each by its parent in a tree, or all by core 0, at once or in turn.
enum class CoreStart : uint8_t { tree, flat, serial };

class Cmdline {
  public:
    enum class Trouble : uint8_t { unknown_key, bad_value };

    struct Problem {
        Trouble trouble;
        std::string_view key, value;
    };

    /// Calls report(Problem) for each word that is left out. The views in the result point into
    /// `line`. Of a key given twice the last one counts.
    template <std::invocable<Problem> Report>
    static constexpr Cmdline parse(std::string_view line, Report&& report) {
        Cmdline settings;
        while (!line.empty()) {
            std::string_view value = take_word(line);
            if (value.empty()) continue;
            const std::string_view key = take_until(value, '=');
            const std::optional<bool> taken = settings.take(key, value);
            if (!taken)
                report(Problem{Trouble::unknown_key, key, value});
            else if (!*taken)
                report(Problem{Trouble::bad_value, key, value});
        }
        return settings;
    }

    /// Nothing where the line did not say.
    std::optional<Ipv4Prefix> ip;
    bool ip_after_dhcp{}; // `ip=dhcp,A/n`: ask first; `ip` and `gateway` hold when nobody answers
    std::optional<uint32_t> gateway;
    std::string_view place; // as given: `name:core,name:name`; see core_for, shared_with
    std::string_view count; // as given: `SERVICE:WARM:N`
    std::optional<uint64_t> seed;
    std::optional<LogLevel> log_level;
    std::optional<uint32_t> tsc_khz;
    std::optional<uint32_t> poll;    // budget of the wait loop in turns, 0 for no polling
    std::optional<uint32_t> suspect; // ms until a core that does not answer is left out, 0 never
    std::optional<CoreStart> start;
    bool test{};
    bool memory_checked{}; // `memory=checked`: docs/domains.md, The memory server

    /// Where `place` puts the domain of that name, if it does.
    constexpr std::optional<CoreId> core_for(std::string_view name) const {
        const auto core = parse_number(placed(name), 254);
        if (!core) return std::nullopt;
        return CoreId{{static_cast<uint8_t>(*core)}};
    }

    /// The program whose domain `place` has it share; empty: it says nothing, or a core.
    constexpr std::string_view shared_with(std::string_view name) const {
        const std::string_view where = placed(name);
        return is_program(where) ? where : std::string_view{};
    }

    /// Names begin with a letter, and so are no cores.
    static constexpr bool is_program(std::string_view text) {
        return !text.empty() && text.front() >= 'a' && text.front() <= 'z';
    }

  private:
    constexpr std::string_view placed(std::string_view name) const {
        for (std::string_view rest = place; !rest.empty();) {
            std::string_view item = take_until(rest, ',');
            if (take_until(item, ':') == name) return item;
        }
        return {};
    }

    static constexpr bool is_space(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0';
    }

    static constexpr std::string_view take_word(std::string_view& line) {
        size_t end = 0;
        while (end < line.size() && !is_space(line[end]))
            ++end;
        const std::string_view word = first_of(line, end);
        line.remove_prefix(std::min(end + 1, line.size()));
        return word;
    }

    template <class T, class U>
    static constexpr bool keep(std::optional<T>& where, const std::optional<U>& value) {
        if (!value) return false;
        where = static_cast<T>(*value);
        return true;
    }

    static constexpr bool keep(std::string_view& where, std::string_view value) {
        if (value.empty()) return false;
        where = value;
        return true;
    }

    /// The enumerator that has this name.
    template <class Enum, size_t N>
    static constexpr std::optional<Enum>
    parse_name(std::string_view text, const std::array<std::string_view, N>& names) {
        for (size_t i = 0; i < N; ++i)
            if (names[i] == text) return Enum(i);
        return std::nullopt;
    }

    static constexpr std::optional<LogLevel> parse_level(std::string_view text) {
        return parse_name<LogLevel, 4>(text, {"error", "warn", "info", "trace"});
    }

    static constexpr std::optional<CoreStart> parse_start(std::string_view text) {
        return parse_name<CoreStart, 3>(text, {"tree", "flat", "serial"});
    }

    static constexpr bool valid_place(std::string_view text) {
        while (!text.empty()) {
            std::string_view item = take_until(text, ',');
            if (take_until(item, ':').empty()) return false;
            if (!is_program(item) && !parse_number(item, 254)) return false;
        }
        return true;
    }

    constexpr bool take_ip(std::string_view value) {
        const bool ask = value.starts_with("dhcp,");
        if (ask) value.remove_prefix(5);
        if (!keep(ip, parse_ipv4_prefix(value))) return false;
        ip_after_dhcp = ask;
        return true;
    }

    constexpr bool take_test(std::string_view value) {
        const auto number = parse_number(value, 1);
        if (number) test = *number == 1;
        return number.has_value();
    }

    /// Nothing when the key is unknown, false when the value is bad.
    constexpr std::optional<bool> take(std::string_view key, std::string_view value) {
        using namespace std::literals; // compared by length first, and that is known
        constexpr uint64_t most = 0xffff'ffff;
        if (key == "ip"sv) return take_ip(value);
        if (key == "gw"sv) return keep(gateway, parse_ipv4(value));
        if (key == "test"sv) return take_test(value);
        if (key == "memory"sv) return memory_checked = value == "checked";
        if (key == "place"sv) return valid_place(value) && keep(place, value);
        if (key == "count"sv) return keep(count, value);
        if (key == "seed"sv) return keep(seed, parse_number(value));
        if (key == "log"sv) return keep(log_level, parse_level(value));
        if (key == "tsc_khz"sv) return keep(tsc_khz, parse_number(value, most));
        if (key == "suspect"sv) return keep(suspect, parse_number(value, most));
        if (key == "start"sv) return keep(start, parse_start(value));
        if (key == "poll"sv) return keep(poll, parse_number(value, most));
        return std::nullopt;
    }
};
