// net/netcard/main.cpp — the network stack as a domain, and whoever shares it: the driver of the
// first card, if that is handed to it, or an application, if the image has its name. All are on one
// loop: the queues between them are as they would be between two domains, but nobody has to be
// woken.
#include <optional>

#include "drivers/e1000/domain/driver.hpp"
#include "lib/async/sync.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/memory.hpp"
#include "net/netd/application.hpp"
#include "net/netd/services.hpp"
#include "usr/httpd/server.hpp"
#include "usr/netsvc/agent.hpp"
#include "usr/netsvc/services.hpp"

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

/// Memory for the channel between stack and guest, and for the guest's data.
class OwnGuest : public netd::Guest {
  public:
    Result<> prepare(netd::Host& host) override {
        memory_.emplace(TRY(os::Memory::make(netd::Application::memory_needed(chunks_, bytes_))));
        host_ = &host;
        return {};
    }

    Result<> start() override {
        netd::Application& application =
            application_.emplace(self_.loop(), *host_, memory_->span(), bytes_);
        TRY_VOID(application.enter());
        return begin(application.network());
    }

  protected:
    OwnGuest(os::Domain& self, size_t chunks, uint32_t chunk_bytes)
        : self_{self}, chunks_{chunks}, bytes_{chunk_bytes} {}

    ~OwnGuest() = default;

    virtual Result<> begin(os::Network& network) = 0;

    os::Domain& self() { return self_; }

  private:
    os::Domain& self_;
    size_t chunks_;
    uint32_t bytes_;
    netd::Host* host_{};
    std::optional<os::Memory> memory_;
    std::optional<netd::Application> application_;
};

class NetsvcGuest final : public OwnGuest {
  public:
    explicit NetsvcGuest(os::Domain& in) : OwnGuest{in, netsvc::chunks, netsvc::chunk_bytes} {}

  private:
    Result<> begin(os::Network& network) override {
        const auto& settings = self().settings();
        TRY_VOID(services_.emplace(network, netsvc::marks_of(settings.count)).start());
        if (!settings.test) return {};
        netsvc::Agent& agent = agent_.emplace(network);
        return self().loop().spawn("socket agent", [&] { return agent.serve(); });
    }

    std::optional<netsvc::Services> services_;
    std::optional<netsvc::Agent> agent_;
};

class HttpdGuest final : public OwnGuest {
  public:
    explicit HttpdGuest(os::Domain& in)
        : OwnGuest{in, http::Server::chunks, http::Server::chunk_bytes}, server_{in} {}

  private:
    Result<> begin(os::Network& network) override { return server_.start(network); }

    http::Server server_;
};

os::Immortal<OwnCard> own;
os::Immortal<netd::DistantCard> distant;
os::Immortal<NetsvcGuest> netsvc_guest;
os::Immortal<HttpdGuest> httpd_guest;

netd::Card& first_card(os::Domain& self, netd::Host& host) {
    if (self.find_given("nic.registers")) return own.make(self, host);
    return distant.make(self, host, net::LinkNumber{{0}});
}

/// The name of the image says who else is in it.
netd::Guest* make_guest(os::Domain& self) {
    const bool is_netsvc = self.name() == "netsvc-netd", is_httpd = self.name() == "httpd-netd";
    constexpr size_t mib = 1024 * 1024;
    const size_t guest_task_bytes = is_netsvc ? 16 * mib : is_httpd ? 2 * mib : 0; // as by itself
    self.set_task_bytes(128 * 1024 + guest_task_bytes);
    if (is_netsvc) return &netsvc_guest.make(self);
    if (is_httpd) return &httpd_guest.make(self);
    return nullptr;
}

} // namespace

int domain_main(os::Domain& self) {
    netd::Guest* const guest = make_guest(self);
    return netd::serve(self, first_card, guest);
}
