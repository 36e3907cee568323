// What the routing table should be, out of what the links say and what was asked for; and the steps
// by which the stack's replica becomes that. Pure: asked again at any time, it finds the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "lib/base/result.hpp"
#include "net/address.hpp"
#include "net/routed/few.hpp"

namespace routed {

/// A link as the stack has it.
struct LinkState {
    net::Ipv4Prefix address{}; // any: none yet
    net::Ipv4Address gateway{};
    bool up{};

    bool has_address() const { return !address.address.is_any(); }
};

/// In the order of preference for one and the same prefix.
enum class Source : uint8_t { connected, fixed, lease };

struct Route {
    net::Ipv4Prefix destination{}; // its network
    net::Ipv4Address gateway{};    // any: on the link
    uint8_t link{};
    Source source{};
    bool used{};
};

/// Is it the same for who sends a packet?
constexpr bool same_way(const Route& a, const Route& b) {
    return a.destination == b.destination && a.gateway == b.gateway && a.link == b.link;
}

/// One call to the stack.
struct Step {
    enum class What : uint8_t { set, remove };

    What what{};
    Route route{};

    friend constexpr bool operator==(const Step& a, const Step& b) {
        return a.what == b.what && same_way(a.route, b.route);
    }
};

constexpr size_t links_max = 4, fixed_max = 64;
constexpr size_t routes_max = fixed_max + 2 * links_max;

constexpr net::Ipv4Prefix network_of(net::Ipv4Prefix prefix) {
    return {prefix.network(), prefix.length};
}

class Table {
  public:
    /// An equal prefix is replaced.   errors   no_space; bad_argument (a gateway that nobody is)
    Result<> add(net::Ipv4Prefix destination, net::Ipv4Address gateway);
    /// errors   not_found
    Result<> remove(net::Ipv4Prefix destination);
    /// The links as they are now.
    void learn(std::span<const LinkState> links);

    bool has_address(size_t link) const { return links_.entries()[link].has_address(); }

    /// All that is known; `used` where it is the best for its prefix and can be gone.
    std::span<const Route> routes() const { return routes_.entries(); }

    using Steps = Few<Step, 2 * routes_max>;

    /// What makes `replica` hold exactly what is used, in this order: first what goes, since its
    /// room may be needed.
    Steps steps(std::span<const Route> replica) const;

    /// A router has more than one address.
    bool forwards() const;

  private:
    void work_out();
    std::optional<uint8_t> link_to(net::Ipv4Address gateway) const;

    Few<LinkState, links_max> links_;
    Few<Route, fixed_max> fixed_;
    Few<Route, routes_max> routes_;
};

} // namespace routed
