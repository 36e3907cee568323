// One client of the service spawn.K: lib/interfaces/spawn.if over its channel.
#pragma once

#include "interfaces/spawn.hpp"
#include "lib/os/channel.hpp"
#include "usr/spawn/spawner.hpp"

namespace spawn {

namespace api = interfaces::spawn;

class SpawnSession final : public DeviceKeeper {
  public:
    SpawnSession(os::Session& session, Spawner& spawner) : session_{session}, spawner_{spawner} {}

    SpawnSession(const SpawnSession&) = delete;

    ~SpawnSession() {
        spawner_.keeper_gone(*this);
        for (uint32_t id : replicas_)
            if (id != 0) (void)spawner_.kill(id);
    }

    async::Task<api::SpawnResult> spawn(api::SpawnArguments a);
    async::Task<api::SpawnWithResult> spawn_with(api::SpawnWithArguments a);
    async::Task<api::ReplicateResult> replicate(api::ReplicateArguments a);
    async::Task<> kill(api::KillArguments a);
    async::Task<api::RestartResult> restart(api::RestartArguments a);
    async::Task<api::DescribeResult> describe(api::DescribeArguments a);
    async::Task<api::StartedWithResult> started_with(api::StartedWithArguments a);
    async::Task<api::MemoryResult> memory();
    async::Task<api::FiguresResult> figures();
    async::Task<> leave();
    void crash();

    async::Task<api::DonateResult> donate(api::DonateArguments a);
    async::Task<> returned(api::ReturnedArguments a);

    async::Task<api::OverdueResult> overdue() {
        co_return api::OverdueResult{spawner_.end_holders()};
    }

    async::Task<> silent(api::SilentArguments a) { co_return spawner_.silent(a.id, *this); }

    async::Task<> ready(api::ReadyArguments a) { co_return spawner_.ready(a.id, *this); }

    // DeviceKeeper: the client of this session has the device.
    Result<> silence(uint32_t id) override {
        return api::Events{session_.channel()}.try_silence(id);
    }

    Result<> wake(uint32_t first, uint32_t id) override {
        return api::Events{session_.channel()}.try_wake(first, id);
    }

  private:
    async::Task<> give_all(uint32_t id, std::string_view labels);
    async::Task<os::OwnedCap> find(std::string_view label);

    static constexpr size_t most_replicas = 4;

    os::Session& session_;
    Spawner& spawner_;
    std::array<uint32_t, most_replicas> replicas_{}; // they end with their home, our client
};

using SpawnService = os::ServiceOf<SpawnSession, api::ServerSide<SpawnSession>, Spawner>;

} // namespace spawn
