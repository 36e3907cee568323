// Points and spans of time, in nanoseconds. Clocks of different cores are not comparable.
#pragma once

#include <compare>
#include <cstdint>

struct Duration {
    int64_t ns{};
    friend constexpr auto operator<=>(Duration, Duration) = default;

    friend constexpr Duration operator+(Duration a, Duration b) { return {a.ns + b.ns}; }

    friend constexpr Duration operator-(Duration a, Duration b) { return {a.ns - b.ns}; }

    friend constexpr Duration operator*(Duration a, int64_t n) { return {a.ns * n}; }

    friend constexpr Duration operator/(Duration a, int64_t n) { return {a.ns / n}; }

    constexpr int64_t us() const { return ns / 1000; }

    constexpr int64_t ms() const { return ns / 1'000'000; }
};

constexpr Duration nanoseconds(int64_t n) {
    return {n};
}

constexpr Duration microseconds(int64_t n) {
    return {n * 1000};
}

constexpr Duration milliseconds(int64_t n) {
    return {n * 1'000'000};
}

constexpr Duration seconds(int64_t n) {
    return {n * 1'000'000'000};
}

/// Nanoseconds since this core's clock started.
struct Instant {
    int64_t ns{};
    friend constexpr auto operator<=>(Instant, Instant) = default;

    friend constexpr Instant operator+(Instant a, Duration d) { return {a.ns + d.ns}; }

    friend constexpr Instant operator-(Instant a, Duration d) { return {a.ns - d.ns}; }

    friend constexpr Duration operator-(Instant a, Instant b) { return {a.ns - b.ns}; }
};

/// The deadline of who has none.
constexpr Instant never{INT64_MAX};
