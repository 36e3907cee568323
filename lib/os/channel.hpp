// A channel's two ends in a domain, with all they stand on: memory, the peer's doorbell, lines and
// calls. A client's end is a Binding; a server's is a Session, one for each client, made by the
// Service that the domain offers. The monitor introduces them (docs/system.md, A channel).
#pragma once

#include <optional>
#include <string_view>

#include "lib/async/loop.hpp"
#include "lib/base/text.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/memory.hpp"
#include "lib/os/vigil.hpp"
#include "lib/rpc/channel.hpp"
#include "lib/ump/layout.hpp"

namespace os {

using ServiceName = Text<16>;

/// Lines in each direction, the same for every channel: both ends compute the layout from it.
constexpr size_t channel_lines = 32;
/// The bulk area begins at a page.
constexpr size_t bulk_offset = round_up(ump::Layout::bytes_for(channel_lines), page_bytes);

class Binder;

/// What the two ends have in common. Immovable: the loop and the monitor's notices find it here.
class ChannelEnd : protected rpc::Handler, protected rpc::Bell, protected rpc::Capabilities {
  public:
    ChannelEnd(const ChannelEnd&) = delete;

    bool is_open() const { return channel_.has_value() && !channel_->over(); }

    rpc::Channel& channel() { return *channel_; }

    /// What the monitor knows this end by.
    uint32_t binding() const { return binding_; }

    /// What rings the peer, for whoever routes an interrupt straight to it.
    CapSlot bell() const { return bell_.slot(); }

    /// The peer's memory has gone, with it or before it: what is seen is a private page.
    bool memory_is_dead() const { return view_.is_dead(); }

    /// Memory that both sides see; data goes there and its place by message.
    MutableBytes bulk() const { return view_.span().subspan(bulk_offset); }

    /// Where it is for a device that masters the bus.
    Result<PhysAddr> bulk_base() const { return phys(frame_base_.raw + bulk_offset); }

    ListHook<ChannelEnd> hook;

  protected:
    friend class Binder;

    explicit ChannelEnd(Domain& domain) : domain_{domain} {}

    ~ChannelEnd();

    Result<ump::Layout> layout() const {
        return ump::Layout::carve(view_.span().first(bulk_offset), channel_lines);
    }

    void ring() override { (void)Doorbell{{bell_.slot()}}.ring(); }

    Result<> send(uint32_t token, CapSlot what) override;
    Result<CapSlot> receive(uint32_t token) override;

    void discard(CapSlot slot) override { (void)slots().remove(slot); }

    Domain& domain_;
    uint32_t binding_{};
    bool pinned_{}; // a device reaches its memory, also after the peer has gone
    bool known_{};  // the monitor knows of the binding
    PhysAddr frame_base_{};
    View view_;
    OwnedCap bell_;
    std::optional<rpc::Channel> channel_;
};

/// The client's end. Reopening after the server has gone is allowed.
class Binding final : public ChannelEnd, private Vigil::Watched {
  public:
    explicit Binding(Domain& domain) : ChannelEnd{domain}, closed_{domain.loop()} {}

    ~Binding();

    struct Request {
        std::string_view name;
        rpc::Contract contract;
        size_t bulk_bytes{};
        bool wait{true};                // for the name to be offered
        std::optional<Instant> until{}; // at most
        rpc::Handler* events{};         // null: the server's one-way messages are dropped
        MutableBytes frames{};          // for tasks of the peer's calls: clients have none
    };

    /// Errors: not_found, timed_out, quota, no_slots, channel_closed, and the server's.
    async::Task<> open(Request request);

    /// An orderly end: what was sent is read by the server before it hears of the end.
    async::Task<> finish();

    /// Notified when the channel has ended.
    async::Signal& closed_signal() { return closed_; }

  private:
    void request(rpc::Channel& channel, uint16_t id, uint8_t number, Bytes b) override;
    Result<> message(rpc::Channel& channel, uint16_t number, Bytes bytes) override;
    void closed(rpc::Channel& channel, Err reason) override;
    void end_lines();
    void watch(bool other_core);
    bool awaits_answer() const override;
    uint64_t traffic() const override;
    void suspect() override;

    Frame frame_;
    rpc::Handler* events_{};
    async::Signal closed_;
};

/// The server's end: made when a client comes, deleted when it goes.
class Session final : public ChannelEnd {
  public:
    /// A device is told of the memory of this channel. When the client goes nobody gets that memory
    /// before this session has gone as well: its server takes the device off it in its destructor.
    Result<> pin();

    CoreId client_core() const { return client_core_; }

  private:
    friend class Binder;
    friend class Service;

    Session(Domain& domain, class Service& service) : ChannelEnd{domain}, service_{service} {}

    ~Session();

    void request(rpc::Channel& channel, uint16_t id, uint8_t number, Bytes b) override;
    Result<> message(rpc::Channel& channel, uint16_t number, Bytes bytes) override;
    void closed(rpc::Channel& channel, Err reason) override;

    class Service& service_;
    OwnedCap frame_;
    rpc::Handler* handler_{};
    void* server_{};
    void* frames_{};
    CoreId client_core_{};
};

/// A name and how its clients are served.
class Service {
  public:
    struct Limits {
        uint32_t sessions{32};
        size_t bulk_bytes{4 * 1024 * 1024}; // a client may ask for
        size_t task_bytes{8192};            // for the calls of one client
        uint32_t calls_at_a_time{8};
    };

    Service(std::string_view name, rpc::Contract contract, Limits limits)
        : name_{ServiceName::cut(name)}, contract_{contract}, limits_{limits} {}

    Service(const Service&) = delete;

    std::string_view name() const { return name_.view(); }

    ListHook<Service> hook;

  protected:
    ~Service() = default;

    struct Arrived {
        rpc::Handler* handler;
        void* server; // given to `left`
    };

    /// A client is there (its channel not yet). Answers who handles its messages, until `left`.
    virtual Result<Arrived> arrived(Session& session) = 0;
    /// It has gone: nothing of it is called any more.
    virtual void left(void* server) = 0;

  private:
    friend class Binder;
    friend class Session;

    ServiceName name_;
    rpc::Contract contract_;
    Limits limits_;
    uint32_t sessions_{};
};

/// A service with an object of its own for each client: `Server(Session&, Context&)` is a Server of
/// the interface whose generated ServerSide<Server> is `Side`.
template <class Server, class Side, class Context>
class ServiceOf final : public Service {
  public:
    ServiceOf(std::string_view name, rpc::Contract contract, Context& context, Limits limits = {})
        : Service{name, contract, limits}, context_{context} {}

  private:
    struct Served {
        Served(Session& session, Context& context) : server{session, context}, side{server} {}

        Server server;
        Side side;
    };

    Result<Arrived> arrived(Session& session) override {
        Served* const served = new (std::nothrow) Served{session, context_};
        if (served == nullptr) return fail(Err::no_memory);
        return Arrived{&served->side, served};
    }

    void left(void* server) override { delete static_cast<Served*>(server); }

    Context& context_;
};

/// Makes the name known; clients are served from now on. Errors: exists, name_too_long.
Result<> offer(Domain& domain, Service& service);

} // namespace os
