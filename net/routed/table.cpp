#include "net/routed/table.hpp"

#include "lib/base/invariant.hpp"

namespace routed {

Result<> Table::add(net::Ipv4Prefix destination, net::Ipv4Address gateway) {
    if (destination.length > 32 || !gateway.is_plain_unicast()) return fail(Err::bad_argument);
    const net::Ipv4Prefix network = network_of(destination);
    fixed_.remove_if([&](const Route& route) { return route.destination == network; });
    TRY_VOID(fixed_.add({.destination = network, .gateway = gateway, .source = Source::fixed}));
    work_out();
    return {};
}

Result<> Table::remove(net::Ipv4Prefix destination) {
    const net::Ipv4Prefix network = network_of(destination);
    if (!fixed_.remove_if([&](const Route& route) { return route.destination == network; }))
        return fail(Err::not_found);
    work_out();
    return {};
}

void Table::learn(std::span<const LinkState> links) {
    links_.clear();
    for (const LinkState& link : links.first(std::min(links.size(), links_max)))
        INVARIANT(links_.add(link).has_value(), "no more than there is room for");
    work_out();
}

/// Each way from all that was told: for one prefix the source decides, and of one source the first.
void Table::work_out() {
    routes_.clear();
    const auto add = [&](Route route, bool possible) {
        route.used = possible && std::ranges::none_of(routes_.entries(), [&](const Route& better) {
                         return better.used && better.destination == route.destination;
                     });
        INVARIANT(routes_.add(route).has_value(), "routes_max counts them all");
    };
    const auto links = links_.entries();
    for (size_t i = 0; i < links.size(); ++i)
        if (links[i].has_address())
            add({.destination = network_of(links[i].address),
                 .link = static_cast<uint8_t>(i),
                 .source = Source::connected},
                true);
    for (Route route : fixed_.entries()) {
        const auto link = link_to(route.gateway);
        route.link = link.value_or(0);
        add(route, link.has_value());
    }
    for (size_t i = 0; i < links.size(); ++i)
        if (!links[i].gateway.is_any())
            add({.destination = {},
                 .gateway = links[i].gateway,
                 .link = static_cast<uint8_t>(i),
                 .source = Source::lease},
                link_to(links[i].gateway) == static_cast<uint8_t>(i));
}

std::optional<uint8_t> Table::link_to(net::Ipv4Address gateway) const {
    const auto links = links_.entries();
    std::optional<uint8_t> best; // the longest prefix, as for any other packet to it
    for (size_t i = 0; i < links.size(); ++i)
        if (links[i].has_address() && links[i].address.contains(gateway) &&
            (!best || links[i].address.length > links[*best].address.length))
            best = static_cast<uint8_t>(i);
    return best;
}

Table::Steps Table::steps(std::span<const Route> replica) const {
    Steps steps;
    const auto add = [&](Step::What what, const Route& route) {
        INVARIANT(steps.add({what, route}).has_value(), "at most each of two tables");
    };
    for (const Route& there : replica.first(std::min(replica.size(), routes_max))) {
        const bool wanted = std::ranges::any_of(routes_.entries(), [&](const Route& route) {
            return route.used && route.destination == there.destination;
        });
        if (!wanted) add(Step::What::remove, there);
    }
    for (const Route& route : routes_.entries()) {
        const bool there = std::ranges::any_of(replica, [&](const Route& other) {
            return same_way(route, other);
        });
        if (route.used && !there) add(Step::What::set, route);
    }
    return steps;
}

bool Table::forwards() const {
    return std::ranges::count_if(links_.entries(), &LinkState::has_address) > 1;
}

} // namespace routed
