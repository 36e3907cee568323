#include "usr/bench/peer.hpp"

#include "interfaces/bench.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/immortal.hpp"

namespace bench {
namespace {

namespace api = interfaces::bench;

constexpr unsigned sleeper_bit = 20;

/// Gives a capability to ourselves to whoever started us.
Result<> hello(os::Domain& self, os::CapSlot gift) {
    const os::Endpoint bench{{TRY(self.find_given("bench"))}};
    TRY(bench.call({.give = gift}));
    return {};
}

Result<os::CapSlot> own_endpoint() {
    const os::CapSlot slot = TRY(os::slots().take());
    TRY_VOID(os::self().make_endpoint(os::place_of(slot), 0));
    return slot;
}

/// Word 0 of a call: bytes of argument, which lie in the shared page. A capability is deleted.
Result<> serve_calls(os::Domain& self) {
    const os::CapSlot shared = TRY(self.find_given("shared"));
    const auto view = TRY(os::View::make(shared, 0, shared_bytes, abi::read));
    alignas(64) static std::array<std::byte, shared_bytes> argument;
    TRY_VOID(hello(self, TRY(own_endpoint())));
    const os::Place received = os::place_of(os::receive_slot);
    os::Arrival call = TRY(os::self().wait({}, abi::wait_accepts_calls, received));
    for (;;) {
        // Our own copy, as whoever wants to check an argument needs.
        if (const size_t bytes = call.words[0]; bytes != 0)
            std::ranges::copy(view.span().first(bytes), argument.begin());
        if (call.has_capability) TRY_VOID(os::CNode{{received.cnode}}.remove(received.index));
        call = TRY(os::self().reply_wait({}));
    }
}

Result<> sleep(os::Domain& self) {
    const os::CapSlot slot = TRY(os::slots().take());
    TRY_VOID(os::self().make_doorbell(os::place_of(slot), sleeper_bit));
    TRY_VOID(hello(self, slot));
    for (;;)
        TRY(os::self().wait({}, 0, os::place_of({})));
}

Result<> give_way(os::Domain& self) {
    TRY_VOID(hello(self, {}));
    for (;;)
        TRY_VOID(os::self().yield());
}

struct Nobody {};

struct Peer {
    Peer(os::Session&, Nobody&) {}

    async::Task<> nothing() { co_return {}; }

    async::Task<> keep(api::KeepArguments a) {
        kept = os::OwnedCap{a.what};
        co_return {};
    }

    os::OwnedCap kept;
};

constinit Nobody nobody;
constinit os::Immortal<os::ServiceOf<Peer, api::ServerSide<Peer>, Nobody>> service;

Result<> serve_channels(os::Domain& self, std::string_view name) {
    TRY_VOID(os::offer(self, service.make(name, api::contract, nobody)));
    // On another core nobody waits for a hello.
    return self.find_given("bench") ? hello(self, {}) : Result<>{};
}

Result<> play(os::Domain& self, std::string_view role) {
    if (role == role::newborn) return hello(self, {});
    if (role == role::server) return serve_calls(self);
    if (role == role::sleeper) return sleep(self);
    if (role == role::yielder) return give_way(self);
    if (role == role::stub) return serve_channels(self, peer_service);
    if (role == role::borrower) {
        static constinit Text<16> name; // the service goes by it for good
        name = borrower_on(self.core());
        return serve_channels(self, name.view());
    }
    return fail(Err::bad_argument);
}

} // namespace

Text<16> borrower_on(CoreId core) {
    std::array<char, 16> text;
    return Text<16>::cut(format_to(text, "bench.{}", core.raw));
}

int be_peer(os::Domain& self, std::string_view role) {
    if (!play(self, role)) return 1;
    return role == role::stub || role == role::borrower ? self.serve() : 0;
}

Result<> Peers::begin() {
    const os::CapSlot slot = TRY(os::slots().take());
    endpoint_ = os::OwnedCap{slot};
    TRY_VOID(os::self().make_endpoint(os::place_of(slot), 0));
    frame_ = TRY(os::Frame::make(shared_bytes));
    view_ = TRY(os::View::make(frame_));
    return {};
}

Result<Peers::Peer> Peers::start(std::string_view role, uint32_t priority, uint64_t quota) {
    const uint32_t id = TRY(launch_->prepare(Text<16>::cut("bench"), quota, priority)).id;
    TRY_VOID(launch_->argument(id, Text<32>::cut(role)));
    TRY_VOID(launch_->give(id, Text<16>::cut("bench"), endpoint_.slot()));
    TRY_VOID(launch_->give(id, Text<16>::cut("shared"), frame_.slot()));
    TRY_VOID(launch_->start(id));
    const auto place = os::place_of(os::receive_slot);
    const os::Arrival arrival = TRY(os::self().wait({}, abi::wait_accepts_calls, place));
    if (!arrival.is_message) return fail(Err::bad_state);
    if (!arrival.has_capability) return Peer{id, {}};
    return Peer{id, os::OwnedCap{TRY(os::slots().take_received())}};
}

void Peers::answer() {
    (void)os::self().reply({});
}

} // namespace bench
