// What the servers of this core take for what everybody asks of them.
#include "interfaces/memory.hpp"
#include "interfaces/monitor.hpp"
#include "usr/bench/figures.hpp"

namespace bench {
namespace {

constexpr uint32_t newborn_priority = 12;
constexpr uint64_t newborn_quota = 512 * 1024; // tools/targets.toml knows: all of it is zeroed
constexpr uint32_t most_spawns = 10;

void measure_memory(Harness& harness, os::CapSlot memory) {
    os::LocalClient<interfaces::memory::Client> server{memory};
    os::CapSlot ram{};
    const auto allocate = [&] {
        if (const auto block = server->allocate(page_bytes)) ram = block->ram;
    };
    const auto release = [&] {
        (void)server->release(ram);
        (void)os::slots().remove(ram);
    };
    harness.measure("allocate", allocate, release);
    allocate();
    harness.measure("release", release, allocate);
    release();
}

void measure_names(Harness& harness) {
    os::LocalClient<interfaces::monitor::Client> monitor{abi::slot_at(0, abi::slot::monitor)};
    harness.measure("name_lookup", [&] { (void)monitor->name_at(0); });
}

/// From the first word to the spawner to the first word of the new domain's main.
void measure_spawn(Harness& harness, Peers& peers) {
    Result<Peers::Peer> peer = fail(Err::not_found);
    harness.measure(
        "spawn",
        [&] { peer = peers.start(role::newborn, newborn_priority, newborn_quota); },
        [&] { peers.answer(); },
        most_spawns
    );
    if (!peer && harness.wants("spawn")) harness.failed("spawn", peer.error());
}

} // namespace

void measure_servers(Harness& harness, Peers& peers, os::CapSlot memory) {
    measure_memory(harness, memory);
    measure_names(harness);
    measure_spawn(harness, peers);
}

} // namespace bench
