// net/netcard/main.cpp — the network stack as a domain. Who is handed the first card drives it as
// well, on the same loop: the queues between driver and stack are as they would be between two
// domains, but nobody has to be woken.
#include <optional>

#include "drivers/e1000/domain/driver.hpp"
#include "lib/async/sync.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/memory.hpp"
#include "net/netd/services.hpp"

namespace {

class OwnCard final : public netd::Card {
  public:
    OwnCard(os::Domain& self, netd::Host& host)
        : Card{host, net::LinkNumber{{0}}}, driver_{self}, opened_{driver_.open()},
          never_{self.loop()} {}

    async::Task<net::MacAddress> open() override {
        co_await opened_;
        const e1000::Link link = co_await driver_.link();
        link_is(link.up, link.mbit);
        is_able(true, driver_.segments());
        co_return net::MacAddress{driver_.mac()};
    }

    async::Task<> start() override {
        memory_.emplace(co_await os::Memory::make(packet_memory_bytes));
        const netq::Area area = co_await open_port(memory_->span());
        co_await driver_.start(stack_, area, co_await memory_->frame.base());
        ask_link();
        co_return {};
    }

    /// It goes when we do.
    async::Task<> gone() override {
        co_await never_.wait();
        co_return {};
    }

  private:
    /// What the driver knows of us. The port looks at the queues by itself.
    struct Stack final : e1000::Stack {
        explicit Stack(OwnCard& of) : card{of} {}

        void link_changed(const e1000::Link& link) override { card.link_is(link.up, link.mbit); }

        void published() override {}

        OwnCard& card;
    };

    // --- DriverBell: what the turn has brought goes out before it ends
    void published() override { driver_.run(); }

    /// It may have changed since it was opened.
    void ask_link() {
        if (const auto link = driver_.link()) link_is(link->up, link->mbit);
    }

    e1000::Driver driver_;
    Result<> opened_; // before the loop runs: it waits for the card
    Stack stack_{*this};
    std::optional<os::Memory> memory_;
    async::Signal never_;
};

os::Immortal<OwnCard> own;
os::Immortal<netd::DistantCard> distant;

netd::Card& first_card(os::Domain& self, netd::Host& host) {
    if (self.find_given("nic.registers")) return own.make(self, host);
    return distant.make(self, host, net::LinkNumber{{0}});
}

} // namespace

int domain_main(os::Domain& self) {
    return netd::serve(self, first_card);
}
