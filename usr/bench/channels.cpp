// Calls through generated stubs: both ends in one event loop, for the length of the path; and
// between two domains of this core that sleep in between.
#include "interfaces/bench.hpp"
#include "interfaces/spawn.hpp"
#include "lib/async/loop.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/memory.hpp"
#include "usr/bench/figures.hpp"

namespace bench {
namespace {

namespace api = interfaces::bench;

/// There is always something to do until the last answer is there.
class NeverSleeps final : public async::Waiter {
  public:
    uint64_t wait(std::optional<Instant>) override { return 0; }

    Instant now() override { return os::now(); }
};

class Silent final : public rpc::Bell {
  public:
    void ring() override {}
};

struct Server {
    async::Task<> nothing() { co_return {}; }

    async::Task<> keep(api::KeepArguments) { co_return {}; }
};

async::Task<> call_often(Harness& harness, std::string_view id, api::Client client) {
    if (!harness.begin(id)) co_return {};
    while (harness.more()) {
        harness.start();
        co_await client.nothing();
        harness.stop();
    }
    harness.finish();
    co_return {};
}

async::Task<> call_and_stop(Harness& harness, async::Loop& loop, rpc::Channel& channel) {
    co_await async::result_of(call_often(harness, "stub_call", api::Client{channel}));
    loop.stop();
    co_return {};
}

Result<> run_stubs(Harness& harness) {
    if (!harness.wants("stub_call")) return {};
    constexpr size_t lines = os::channel_lines;
    const auto memory = TRY(os::Memory::make(ump::Layout::bytes_for(lines)));
    const auto frames = TRY(os::Memory::make(64 * 1024));
    const auto layout = TRY(ump::Layout::carve(memory.span(), lines));
    layout.clear();
    NeverSleeps waiter;
    Silent bell;
    Server server;
    rpc::OnlyCalls nothing_else;
    api::ServerSide<Server> side{server};
    async::Loop loop{waiter, frames.span(), 0};
    rpc::Channel there{
        loop, {.side = layout.server(), .bell = &bell, .contract = api::contract}, side
    };
    rpc::Channel here{
        loop, {.side = layout.client(), .bell = &bell, .contract = api::contract}, nothing_else
    };
    TRY_VOID(loop.spawn("calls", [&] { return call_and_stop(harness, loop, here); }));
    loop.run();
    return {};
}

} // namespace

void measure_stubs(Harness& harness) {
    tell(harness, "stubs", run_stubs(harness));
}

namespace {

async::Task<> call_peer(os::Domain& self, Harness& harness, std::string_view id) {
    os::Binding link{self};
    co_await link.open({.name = peer_service, .contract = api::contract});
    co_await call_often(harness, id, api::Client{link.channel()});
    co_return {};
}

} // namespace

async::Task<> measure_binding(os::Domain& self, Harness& harness, Peers& peers) {
    constexpr uint32_t above_us = 12;
    const auto peer = peers.start(role::stub, above_us);
    if (!peer) co_return std::unexpected{peer.error()};
    peers.answer();
    co_await call_peer(self, harness, "channel_call");
    co_return {};
}

async::Task<> measure_remote(os::Domain& self, Harness& harness) {
    namespace spawn = interfaces::spawn;
    os::Binding link{self};
    co_await link.open({.name = "spawn.1", .contract = spawn::contract});
    spawn::Client there{link.channel()};
    co_await there.spawn(Text<16>::cut("bench"), Text<128>::cut(role::stub), {}, 0);
    co_await call_peer(self, harness, "channel_call_remote");
    co_return {};
}

} // namespace bench
