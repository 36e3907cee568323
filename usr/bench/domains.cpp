// Two protection domains of one core: calls, wake-ups, switches, spawning.
#include "usr/bench/figures.hpp"

namespace bench {
namespace {

// Ours is that of the manifest.
constexpr uint32_t above_us = 12, equal_to_us = 5;

Result<> measure_calls(Harness& harness, Peers& peers) {
    const Peers::Peer peer = TRY(peers.start(role::server, above_us));
    peers.answer();
    const os::Endpoint server{{peer.to.slot()}};
    harness.measure("local_call", [&] { (void)server.call({}); });
    static constinit std::array<std::byte, shared_bytes> argument{};
    const auto call = [&](size_t bytes) {
        std::ranges::copy(std::span{argument}.first(bytes), peers.shared().span().begin());
        (void)server.call({.word = {bytes}});
    };
    harness.measure("local_call_capability", [&] { (void)server.call({.give = server.slot}); });
    harness.measure("local_call_64", [&] { call(64); });
    harness.measure("local_call_1024", [&] { call(1024); });
    peers.end(peer);
    return {};
}

/// The sleeper is above us: it runs at once and sleeps again before we go on.
Result<> measure_wake(Harness& harness, Peers& peers) {
    const Peers::Peer peer = TRY(peers.start(role::sleeper, above_us));
    peers.answer();
    const os::Doorbell bell{{peer.to.slot()}};
    harness.measure("wake_same_core", [&] { (void)bell.ring(); });
    peers.end(peer);
    return {};
}

/// There and back: two system calls and two switches.
Result<> measure_switch(Harness& harness, Peers& peers) {
    const Peers::Peer peer = TRY(peers.start(role::yielder, equal_to_us));
    peers.answer();
    harness.measure("yield_pair", [&] { (void)os::self().yield(); });
    peers.end(peer);
    return {};
}

} // namespace

void measure_domains(Harness& harness, Peers& peers) {
    tell(harness, "calls between domains", measure_calls(harness, peers));
    tell(harness, "wake-ups", measure_wake(harness, peers));
    tell(harness, "switches", measure_switch(harness, peers));
}

} // namespace bench
