// The stack's routing table for the one who owns it: lib/interfaces/routes.if.
#pragma once

#include <span>

#include "interfaces/routes.hpp"
#include "net/netd/control.hpp"
#include "net/netd/host.hpp"

namespace netd::routes {

namespace api = interfaces::routes;

class Server : public LinkWatcher {
  public:
    /// `states` has one for each link there may be.
    Server(Host& host, std::span<InterfaceState* const> states) : host_{host}, states_{states} {}

    async::Task<api::LinkResult> link(api::LinkArguments a);
    async::Task<> set_address(api::SetAddressArguments a);
    async::Task<api::RouteResult> route(api::RouteArguments a);
    async::Task<> set_route(api::SetRouteArguments a);
    async::Task<> remove_route(api::RemoveRouteArguments a);
    async::Task<> set_forwarding(api::SetForwardingArguments a);

  private:
    Result<net::LinkNumber> find(uint32_t index) const;

    Host& host_;
    std::span<InterfaceState* const> states_;
};

} // namespace netd::routes
