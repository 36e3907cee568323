// The routing table: few prefixes, the longest that matches wins. The stack's own replica; who
// fills it is somebody else's policy.
#pragma once

#include <algorithm>
#include <optional>
#include <span>

#include "lib/base/result.hpp"
#include "net/arena.hpp"
#include "net/stack.hpp"

namespace net {

/// The next station of a packet.
struct Hop {
    Ipv4Address address;
    LinkNumber link;
};

class Routes {
  public:
    Routes(Arena& arena, size_t count) : entries_{arena.make<RouteInfo>(count)} {}

    /// Replaces an equal prefix.   errors   no_space
    Result<> add(Ipv4Prefix destination, Ipv4Address gateway, LinkNumber link) {
        const Ipv4Prefix prefix{destination.network(), destination.length};
        remove(prefix);
        ++changes_;
        if (used_ == entries_.size()) return fail(Err::no_space);
        // Longest first, so that the first match is the answer.
        size_t at = used_++;
        for (; at > 0 && entries_[at - 1].destination.length < prefix.length; --at) {
            entries_[at] = entries_[at - 1];
        }
        entries_[at] = {prefix, gateway, link};
        return {};
    }

    /// errors   not_found
    Result<> remove(Ipv4Prefix destination) {
        const Ipv4Prefix prefix{destination.network(), destination.length};
        const auto table = entries();
        const auto found = std::ranges::find(table, prefix, &RouteInfo::destination);
        if (found == table.end()) return fail(Err::not_found);
        std::copy(found + 1, table.end(), found);
        --used_;
        ++changes_;
        return {};
    }

    /// Where a packet goes next: the gateway, or the destination itself when it is on the link.
    std::optional<Hop> next_hop(Ipv4Address destination) const {
        for (const RouteInfo& route : entries()) {
            if (!route.destination.contains(destination)) continue;
            return Hop{route.gateway.is_any() ? destination : route.gateway, route.link};
        }
        return std::nullopt;
    }

    /// Takes out all that go by this link.
    void clear(LinkNumber link) {
        const auto gone = std::ranges::remove(entries(), link, &RouteInfo::link);
        used_ -= gone.size();
        ++changes_;
    }

    /// How often the table has changed, never zero: what was looked up before the last is stale.
    uint32_t changes() const { return changes_; }

    std::span<RouteInfo> entries() const { return entries_.first(used_); }

  private:
    std::span<RouteInfo> entries_;
    size_t used_{};
    uint32_t changes_ = 1;
};

} // namespace net
