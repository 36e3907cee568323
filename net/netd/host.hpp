// The stack inside its domain: it is told the time at every call, its timers are a task, and its
// events go to the session whose number is in the cookie.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "lib/async/loop.hpp"
#include "lib/async/sync.hpp"
#include "net/stack.hpp"

namespace netd {

/// Whoever owns sockets of the stack: a session, the pinger.
class SocketOwner {
  public:
    virtual void socket_event(uint16_t index, net::EventSet what) = 0;

    /// Has it a stream socket bound there, which the stack does not know of yet?
    virtual bool holds(net::Endpoint, bool /*reuse_address*/) const { return false; }

  protected:
    ~SocketOwner() = default;
};

/// Hears that a link has come, or that its address, gateway or state has changed.
class LinkWatcher {
  public:
    virtual void links_changed() = 0;

  protected:
    ~LinkWatcher() = default;
};

class Host : public net::Events {
  public:
    static constexpr size_t owners_max = 19;
    static constexpr size_t watchers_max = 2;

    explicit Host(async::Loop& loop) : loop_{loop}, deadline_moved_{loop} {}

    /// Once, before anything else: the stack cannot exist before who it calls.
    void set_stack(net::Stack& stack) { stack_ = &stack; }

    async::Loop& loop() { return loop_; }

    net::Stack& stack() { return *stack_; }

    Instant now() { return loop_.now(); }

    /// After any call into the stack: its next deadline may be nearer than what the timer sleeps
    /// for.
    void touched();

    /// Runs the stack's timers for ever.
    async::Task<> run_timers();

    /// Errors: no_slots.
    Result<uint8_t> enter(SocketOwner& owner);
    /// Where a stream socket may be bound; port 0: one is chosen.
    ///   errors   address_in_use, address_not_available
    Result<net::Port> bind_stream(net::Endpoint local, bool reuse_address);
    void leave(uint8_t number);

    /// Errors: no_slots.
    Result<> watch(LinkWatcher& watcher);
    void unwatch(LinkWatcher& watcher);
    void links_changed();

    static uint64_t cookie(uint8_t owner, uint16_t index) { return uint64_t{owner} << 16 | index; }

    void socket_event(net::SocketId socket, uint64_t cookie, net::EventSet what) override;
    void lease_changed(const net::Lease* lease) override;

    /// The lease in use; none: none yet, or lost.
    const std::optional<net::Lease>& lease() const { return lease_; }

    /// Set at each change of the lease.
    async::Signal& lease_signal() { return lease_signal_; }

  private:
    async::Loop& loop_;
    net::Stack* stack_{};
    async::Event deadline_moved_;
    async::Signal lease_signal_{loop_};
    std::optional<Instant> sleeping_until_;
    std::optional<net::Lease> lease_;
    std::array<SocketOwner*, owners_max> owners_{};
    std::array<LinkWatcher*, watchers_max> watchers_{};
};

} // namespace netd
