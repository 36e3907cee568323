#include "net/netd/routes.hpp"

#include <array>

namespace netd::routes {

namespace {

Result<net::Ipv4Prefix> prefix_of(const std::array<uint8_t, 4>& octets, uint8_t length) {
    if (length > 32) return fail(Err::bad_argument);
    return net::Ipv4Prefix{net::Ipv4Address{octets}, length};
}

} // namespace

Result<net::LinkNumber> Server::find(uint32_t index) const {
    if (index >= host_.stack().links()) return fail(Err::not_found);
    return net::LinkNumber{{static_cast<uint8_t>(index)}};
}

async::Task<api::LinkResult> Server::link(api::LinkArguments a) {
    const net::LinkNumber link = co_await find(a.index);
    const net::Ipv4Prefix address = host_.stack().address(link);
    const InterfaceState& state = *states_[link.raw];
    co_return api::LinkResult{
        address.address.octets(), address.length, state.gateway.octets(), state.link
    };
}

async::Task<> Server::set_address(api::SetAddressArguments a) {
    const net::LinkNumber link = co_await find(a.index);
    const net::Ipv4Prefix address = co_await prefix_of(a.ip, a.prefix);
    co_await host_.stack().set_address(address, link);
    states_[link.raw]->source = Source::routing;
    host_.links_changed();
    co_return {};
}

async::Task<api::RouteResult> Server::route(api::RouteArguments a) {
    std::array<net::RouteInfo, 1> room;
    if (host_.stack().list_routes(a.index, room) == 0) co_await fail(Err::not_found);
    const net::RouteInfo& route = room[0];
    co_return api::RouteResult{
        route.destination.address.octets(),
        route.destination.length,
        route.gateway.octets(),
        route.link.raw
    };
}

async::Task<> Server::set_route(api::SetRouteArguments a) {
    const net::LinkNumber link = co_await find(a.link);
    const net::Ipv4Prefix destination = co_await prefix_of(a.destination, a.prefix);
    co_await host_.stack().add_route(destination, net::Ipv4Address{a.gateway}, link);
    co_return {};
}

async::Task<> Server::remove_route(api::RemoveRouteArguments a) {
    co_await host_.stack().remove_route(co_await prefix_of(a.destination, a.prefix));
    co_return {};
}

async::Task<> Server::set_forwarding(api::SetForwardingArguments a) {
    host_.stack().set_forwarding(a.on);
    co_return {};
}

} // namespace netd::routes
