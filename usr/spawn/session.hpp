// One client of the service spawn.K: lib/interfaces/spawn.if over its channel.
#pragma once

#include "interfaces/spawn.hpp"
#include "lib/os/channel.hpp"
#include "usr/spawn/spawner.hpp"

namespace spawn {

namespace api = interfaces::spawn;

class SpawnSession {
  public:
    SpawnSession(os::Session& session, Spawner& spawner) : session_{session}, spawner_{spawner} {}

    async::Task<api::SpawnResult> spawn(api::SpawnArguments a);
    async::Task<api::SpawnWithResult> spawn_with(api::SpawnWithArguments a);
    async::Task<> kill(api::KillArguments a);
    async::Task<api::DescribeResult> describe(api::DescribeArguments a);
    async::Task<api::MemoryResult> memory();
    async::Task<api::FiguresResult> figures();

  private:
    async::Task<> give_all(uint32_t id, std::string_view labels);
    async::Task<os::OwnedCap> find(std::string_view label);
    async::Task<os::OwnedCap> fetch(std::string_view label);

    os::Session& session_;
    Spawner& spawner_;
};

using SpawnService = os::ServiceOf<SpawnSession, api::ServerSide<SpawnSession>, Spawner>;

} // namespace spawn
