// One network card of the stack: its packet memory and what is known of its link, whoever drives
// it. The first one the stack is made with, each further one joins it.
#pragma once

#include <array>
#include <span>

#include "interfaces/nic.hpp"
#include "lib/base/log.hpp"
#include "lib/base/mark.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/lasting.hpp"
#include "net/netd/control.hpp"
#include "net/netd/nic_port.hpp"

namespace netd {

class Card : public net::Link, public DriverBell {
  public:
    static constexpr size_t packet_memory_bytes = 2 * 1024 * 1024;

    Card(const Card&) = delete;

    /// Waits for whoever drives it.   errors   what that one answers
    virtual async::Task<net::MacAddress> open() = 0;

    /// Once the stack has it as a link.   errors   what the driver answers
    virtual async::Task<> start() = 0;

    /// Until its driver has gone; also if it has already.
    virtual async::Task<> gone() = 0;

    InterfaceState& state() { return state_; }

    const NicPort& port() { return *port_; }

    // --- net::Link
    Result<> transmit(std::span<const Bytes> pieces, net::LinkWork work) override {
        if (!port_.made() || !state_.link) return fail(Err::link_down);
        return port_->transmit(pieces, work);
    }

    net::LinkAbilities abilities() const override { return abilities_; }

  protected:
    Card(Host& host, net::LinkNumber number) : host_{host}, number_{number} {}

    ~Card() = default;

    net::LinkNumber number() const { return number_; }

    void is_able(bool sums, bool segments) {
        abilities_.sums = sums;
        abilities_.segments = sums && segments;
    }

    /// Its queues are in that memory. Errors: misaligned, no_space.
    Result<netq::Area> open_port(MutableBytes memory) {
        const netq::Area area = TRY(netq::Area::over(memory));
        mark_use<MarkedUse::queue>(&memory.front(), &memory.back());
        NicPort& port = port_.make(host_, area, *this, number_);
        host_.loop().add(port);
        port.provide_buffers();
        return area;
    }

    void link_is(bool up, uint32_t speed) {
        const bool news = state_.link != up;
        state_.link = up;
        state_.speed = speed;
        if (!news || !port_.made()) return;
        log::info("nic.{} link {} {} Mb/s", number_.raw, up ? "up" : "down", speed);
        host_.links_changed();
    }

  private:
    Host& host_;
    net::LinkNumber number_;
    InterfaceState state_;
    net::LinkAbilities abilities_; // once it is open
    os::Immortal<NicPort> port_;
};

/// Its driver has a domain of its own, and offers it as "nic.N".
class DistantCard final : public Card {
  public:
    DistantCard(os::Domain& self, Host& host, net::LinkNumber number)
        : Card{host, number}, driver_{self} {}

    async::Task<net::MacAddress> open() override {
        std::array<char, 8> name;
        co_await driver_.open(
            {.name = format_to(name, "nic.{}", number().raw),
             .contract = interfaces::nic::contract,
             .bulk_bytes = packet_memory_bytes,
             .events = &side_}
        );
        interfaces::nic::Client client{driver_.channel()};
        const interfaces::nic::DescribeResult card = co_await client.describe();
        link_is(card.link, card.speed);
        is_able(card.sums, card.segments);
        co_return net::MacAddress{card.address};
    }

    async::Task<> start() override {
        co_await open_port(driver_.bulk());
        co_await interfaces::nic::Client{driver_.channel()}.start();
        co_return {};
    }

    async::Task<> gone() override { return os::until_gone(driver_); }

  private:
    /// From the driver.
    struct Heard {
        DistantCard& card;

        void link_changed(const interfaces::nic::LinkChangedArguments& a) {
            card.link_is(a.up, a.speed);
        }
    };

    // --- DriverBell
    void published() override { driver_.channel().published_elsewhere(); }

    Heard heard_{*this};
    interfaces::nic::ClientSide<Heard> side_{heard_};
    os::Binding driver_;
};

} // namespace netd
