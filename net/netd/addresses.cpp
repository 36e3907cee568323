#include "net/netd/addresses.hpp"

#include "lib/base/log.hpp"

namespace netd {

namespace {

struct Dotted {
    net::Ipv4Address address;
};

void format_value(TextWriter& out, const Dotted& d) {
    const auto octets = d.address.octets();
    format(out, "{}.{}.{}.{}", octets[0], octets[1], octets[2], octets[3]);
}

Result<> use_settings(Host& host, const Cmdline& settings, InterfaceState& state) {
    const net::Ipv4Prefix address{net::Ipv4Address{settings.ip->address}, settings.ip->bits};
    TRY_VOID(host.stack().set_address(address));
    if (settings.gateway) {
        state.gateway = net::Ipv4Address{*settings.gateway};
        TRY_VOID(host.stack().add_route({}, state.gateway));
    }
    log::info(
        "address {}/{} gateway {}", Dotted{address.address}, address.length, Dotted{state.gateway}
    );
    return {};
}

void use_lease(const net::Lease& lease, InterfaceState& state) {
    state.source = Source::dhcp;
    state.gateway = lease.router;
    state.dns = lease.dns;
    log::info(
        "address {}/{} gateway {} by DHCP from {}",
        Dotted{lease.address.address},
        lease.address.length,
        Dotted{lease.router},
        Dotted{lease.server}
    );
}

} // namespace

async::Task<> configure_addresses(Host& host, const Cmdline& settings, InterfaceState& state) {
    if (settings.ip && !settings.ip_after_dhcp) {
        co_await use_settings(host, settings, state);
        state.source = Source::configured;
        host.links_changed();
        co_return {};
    }
    host.stack().start_dhcp(host.now());
    host.touched();
    if (!host.lease() && settings.ip) {
        const auto heard =
            co_await async::result_of(host.lease_signal().wait_until(host.now() + lease_patience));
        if (!heard) {
            host.stack().stop_dhcp();
            co_await use_settings(host, settings, state);
            state.source = Source::fallback;
            host.links_changed();
            co_return {};
        }
    }
    for (;;) {
        if (host.lease()) {
            use_lease(*host.lease(), state);
        } else {
            state.source = Source::none;
            state.gateway = state.dns = {};
            log::info("address none: asking by DHCP");
        }
        host.links_changed();
        co_await host.lease_signal().wait();
    }
}

} // namespace netd
