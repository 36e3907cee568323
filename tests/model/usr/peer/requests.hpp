// What the other machine asks for, one thing at a time, and how many samples it takes of each.
#pragma once

#include <span>
#include <string_view>

#include "tests/model/usr/peer/world.hpp"

namespace peer {

struct Figure {
    std::string_view what;
    unsigned samples{};
    unsigned each{1}; // so many packets or segments in a sample
};

struct Order {
    unsigned warm{}, samples{};

    /// The setting `count=peer:WARM:N`. Errors: malformed.
    static Result<Order> parse(std::string_view setting);
};

struct Results {
    std::array<Figure, 8> figures{};
    size_t count{};
    uint64_t sent{}, received{}; // bytes that were to come back, and that did

    std::span<const Figure> all() const { return std::span{figures}.first(count); }
};

/// Everything, once the services of that machine answer. Errors: timed_out, those of the sockets.
Result<> measure(World& world, net::Ipv4Address whom, const Order& order, Results& into);

} // namespace peer
