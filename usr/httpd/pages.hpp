// The page at `/`: every core as a card, with the domains that run on it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace http {

struct DomainRow {
    uint8_t core{};
    std::string_view name;
    std::string_view state;
    uint64_t busy_us{};
    uint64_t dispatches{};
};

struct Overview {
    uint32_t cores{};
    uint64_t uptime_ms{};
    uint64_t served_requests{};
    std::span<const DomainRow> domains; // in any order
};

/// The page in `out`; cut off (and so still shown by a browser) if `out` is too small.
std::string_view write_overview(const Overview& overview, std::span<char> out);

} // namespace http
