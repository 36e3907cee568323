// Channels to the spawners of the cores, made as they are needed and kept: memory that was lent to
// another core comes back slowly.
#pragma once

#include <array>

#include "interfaces/spawn.hpp"
#include "lib/os/channel.hpp"

namespace os {

class Spawners {
  public:
    explicit Spawners(Domain& self) : self_{self} {}

    /// A core is up a moment before its spawner offers its name: that is waited for. Errors:
    /// timed_out, those of Binding::open.
    async::Task<interfaces::spawn::Client> of(CoreId core);

    /// The caller is done with that one, and so is everybody: where there are many, few are kept.
    void done_with(CoreId core);

  private:
    static constexpr size_t kept = 32;
    static constexpr Duration patience = seconds(5);

    Domain& self_;
    std::array<Binding*, 256> links_{};
};

} // namespace os
