// One network card of the stack: the channel to its driver, the packet memory lent to it, and what
// is known of the link. The first one the stack is made with, each further one joins it.
#pragma once

#include <array>
#include <optional>

#include "interfaces/nic.hpp"
#include "lib/base/log.hpp"
#include "lib/base/mark.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/lasting.hpp"
#include "net/netd/control.hpp"
#include "net/netd/nic_port.hpp"

namespace netd {

class Card final : public net::Link, public DriverBell {
  public:
    static constexpr size_t packet_memory_bytes = 2 * 1024 * 1024;

    Card(os::Domain& self, Host& host, net::LinkNumber number)
        : host_{host}, number_{number}, driver_{self} {}

    /// Waits for the driver "nic.N".   errors   what binding to it and describing answer
    async::Task<net::MacAddress> open() {
        std::array<char, 8> name;
        co_await driver_.open(
            {.name = format_to(name, "nic.{}", number_.raw),
             .contract = interfaces::nic::contract,
             .bulk_bytes = packet_memory_bytes,
             .events = &side_}
        );
        interfaces::nic::Client client{driver_.channel()};
        const interfaces::nic::DescribeResult card = co_await client.describe();
        state_.link = card.link;
        state_.speed = card.speed;
        abilities_.sums = card.sums;
        abilities_.segments = card.sums && card.segments;
        co_return net::MacAddress{card.address};
    }

    /// Once the stack has it as a link.   errors   what the driver answers
    async::Task<> start() {
        const MutableBytes memory = driver_.bulk();
        const netq::Area area = co_await netq::Area::over(memory);
        mark_use<MarkedUse::queue>(&memory.front(), &memory.back());
        NicPort& port = port_.make(host_, area, *this, number_);
        host_.loop().add(port);
        port.provide_buffers();
        co_await interfaces::nic::Client{driver_.channel()}.start();
        co_return {};
    }

    InterfaceState& state() { return state_; }

    const NicPort& port() { return *port_; }

    /// Until the driver has gone; also if it has already.
    async::Task<> gone() { return os::until_gone(driver_); }

    // --- net::Link
    Result<> transmit(std::span<const Bytes> pieces, net::LinkWork work) override {
        if (!port_.made() || !state_.link) return fail(Err::link_down);
        return port_->transmit(pieces, work);
    }

    net::LinkAbilities abilities() const override { return abilities_; }

    // --- DriverBell
    void published() override { driver_.channel().published_elsewhere(); }

  private:
    /// From the driver.
    struct Heard {
        Card& card;

        void link_changed(const interfaces::nic::LinkChangedArguments& a) { card.link_is(a); }
    };

    void link_is(const interfaces::nic::LinkChangedArguments& a) {
        const bool news = state_.link != a.up;
        state_.link = a.up;
        state_.speed = a.speed;
        if (!news) return;
        log::info("nic.{} link {} {} Mb/s", number_.raw, a.up ? "up" : "down", a.speed);
        host_.links_changed();
    }

    Host& host_;
    net::LinkNumber number_;
    InterfaceState state_;
    net::LinkAbilities abilities_; // once it has been described
    Heard heard_{*this};
    interfaces::nic::ClientSide<Heard> side_{heard_};
    os::Binding driver_;
    os::Immortal<NicPort> port_;
};

} // namespace netd
