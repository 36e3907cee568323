// Channels to the spawners of the cores. A spawner admits only so many sessions: who talks to many
// spawners now and then binds for each talk, and only who has a user to serve keeps the channels.
#pragma once

#include <array>

#include "interfaces/spawn.hpp"
#include "lib/os/channel.hpp"

namespace os {

/// `link` leads to the spawner of `core` from now on, if it did not. A core is up a moment before
/// its spawner offers its name: that is waited for. Errors: timed_out, those of Binding::open.
async::Task<interfaces::spawn::Client> bind_spawner(
    Domain& self,
    Binding& link,
    CoreId core,
    Duration patience = seconds(5),
    rpc::Handler* events = nullptr
);

/// Made as they are needed, and kept: memory that was lent to another core comes back slowly.
class Spawners {
  public:
    explicit Spawners(Domain& self) : self_{self} {}

    /// Errors: no_memory, those of bind_spawner.
    async::Task<interfaces::spawn::Client> of(CoreId core);

    /// The caller is done with that one, and so is everybody: where there are many, few are kept.
    void done_with(CoreId core);

  private:
    static constexpr size_t kept = 8;

    Domain& self_;
    std::array<Binding*, 256> links_{};
};

} // namespace os
