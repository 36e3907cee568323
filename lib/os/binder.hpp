// This domain's dealings with its monitor about channels: one task reads the notices.
#pragma once

#include "interfaces/monitor.hpp"
#include "lib/os/channel.hpp"

namespace os {

/// Who can have devices of drivers on a core that has failed reach memory no more: the PCI service.
class DeviceKeeper {
  public:
    virtual void silence_devices_of(CoreId core) = 0;

  protected:
    ~DeviceKeeper() = default;
};

class Binder {
  public:
    explicit Binder(Domain& domain)
        : domain_{domain}, notice_{domain.loop()}, handed_{domain.loop()}, cores_{domain.loop()} {}

    /// Tells the monitor how this domain is rung. The second time it does nothing.
    Result<> begin();

    Result<> offer(Service& service);

    /// A bind under way: in the frame of the task that waits.
    struct Pending {
        explicit Pending(async::Loop& loop) : done{loop} {}

        ListHook<Pending> hook;
        uint32_t binding{};
        async::Event done;
        Fault status{Err::none};
        OwnedCap bell;
        bool ours{}; // it is established, and nobody has taken it over yet
    };

    /// Errors: those of monitor.bind.
    Result<> ask(Pending& pending, const ServiceName& name, bool wait, CapSlot frame);
    void forget(Pending& pending);

    /// A revoke on other cores under way: in the frame of the task that waits.
    struct Revocation {
        explicit Revocation(async::Loop& loop) : done{loop} {}

        ListHook<Revocation> hook;
        uint32_t request{}; // 0: nothing is lent
        async::Event done;
        Fault status{Err::none};
        OwnedCap back; // what was revoked
    };

    /// Errors: those of monitor.revoke.
    Result<> ask(Revocation& revocation, CapSlot what);
    void forget(Revocation& revocation);

    /// What is handed to this core under `label`, as soon as it is here. For those who may fetch.
    /// Errors: not_found (not until then), those of monitor.fetch.
    async::Task<OwnedCap> fetch(Text<16> label, Instant until);

    Result<> pin(uint32_t binding, CapSlot frame) { return monitor_->pin(binding, frame); }

    /// Capabilities beside the messages of a channel, as in monitor.if.
    Result<> send(uint32_t binding, uint32_t token, CapSlot what) {
        return monitor_->send(binding, token, what);
    }

    Result<CapSlot> receive(uint32_t binding, uint32_t token) {
        return TRY(monitor_->receive(binding, token)).what;
    }

    void keep_devices(DeviceKeeper& keeper) { keeper_ = &keeper; }

    /// Nothing is heard of whom `bell` rings on another core.
    void suspect(CapSlot bell);

    /// Notified when the state of a core has changed. The first caller has the monitor say so.
    Result<async::Signal*> cores();

    void add(ChannelEnd& end) { ends_.push_back(end); }

    /// The end goes: the peer is told by the monitor.
    void remove(ChannelEnd& end);

  private:
    using Notices = interfaces::monitor::NextResult;

    async::Task<> read_notices();
    void take(const Notices& notice);
    void established(const Notices& notice, OwnedCap bell);
    void revoked(const Notices& notice, OwnedCap back);
    void incoming(const Notices& notice, OwnedCap frame);
    Result<> accept(const Notices& notice, OwnedCap frame);
    Service* find(std::string_view name);

    Domain& domain_;
    LocalClient<interfaces::monitor::Client> monitor_{abi::slot_at(0, abi::slot::monitor)};
    async::Event notice_;
    async::Signal handed_;
    OwnedCap notice_bell_;
    bool begun_{};
    async::Signal cores_;
    bool watches_cores_{};
    DeviceKeeper* keeper_{};
    List<Pending, &Pending::hook> pending_;
    List<Revocation, &Revocation::hook> revocations_;
    List<ChannelEnd, &ChannelEnd::hook> ends_;
    List<Service, &Service::hook> services_;
};

/// This domain's one.
Binder& binder();

} // namespace os
