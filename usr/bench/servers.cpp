// What the servers of this core take for what everybody asks of them.
#include "interfaces/memory.hpp"
#include "lib/os/grant.hpp"
#include "lib/os/names.hpp"
#include "usr/bench/figures.hpp"

namespace bench {
namespace {

constexpr uint32_t newborn_priority = 12;
constexpr uint64_t newborn_quota = 512 * 1024; // tools/targets.toml knows: all of it is zeroed
constexpr uint32_t most_spawns = 10;

void measure_memory(Harness& harness, os::CapSlot memory) {
    os::LocalClient<interfaces::memory::Client> server{memory};
    os::CapSlot ram{};
    const auto call = [&] {
        if (const auto block = server->allocate(page_bytes)) ram = block->ram;
    };
    const auto give_back = [&] {
        (void)server->release(ram);
        (void)os::slots().remove(ram);
    };
    harness.measure("allocate_call", call, give_back);
    os::PageGrant grant{memory};
    const auto allocate = [&] {
        if (const auto page = grant.take()) ram = *page;
    };
    const auto release = [&] { (void)grant.give(ram); };
    harness.measure("allocate", allocate, release);
    allocate();
    harness.measure("release", release, allocate);
    release();
}

void measure_names(Harness& harness) {
    Result<CoreId> found = os::home_of("console");
    harness.measure("name_lookup", [&] { found = os::home_of("console"); });
    if (!found && harness.wants("name_lookup")) harness.failed("name_lookup", found.error());
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

/// Until everything of it is back: memory, slots, its place with monitor and spawner. It has said
/// hello, and nothing of it is lent.
void measure_kill(Harness& harness, Peers& peers) {
    Result<Peers::Peer> peer = fail(Err::not_found);
    const auto start = [&] { peer = peers.start(role::newborn, newborn_priority, newborn_quota); };
    const auto kill = [&] {
        if (peer && !peers.end(*peer)) peer = fail(Err::bad_state);
    };
    if (harness.wants("kill")) start();
    harness.measure("kill", kill, start, most_spawns);
    kill();
    if (!peer && harness.wants("kill")) harness.failed("kill", peer.error());
}

} // namespace

void measure_servers(Harness& harness, Peers& peers, os::CapSlot memory) {
    measure_memory(harness, memory);
    measure_names(harness);
    measure_spawn(harness, peers);
    measure_kill(harness, peers);
}

} // namespace bench
