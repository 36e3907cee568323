// Channels to every name there is, and lines on them that their protocols do not know.
#pragma once

#include "lib/async/loop.hpp"
#include "lib/base/random.hpp"
#include "lib/os/channel.hpp"
#include "tests/hostile/usr/chaos/storm.hpp"

namespace chaos {

class Channels {
  public:
    Channels(Random& random, os::Domain& self, Storm& storm)
        : random_{random}, self_{self}, storm_{storm} {}

    /// Binds one name, speaks on that channel for a while, and drops it. Nothing more after it was
    /// not answered once, which only harm to itself excuses.
    async::Task<> visit();

    uint64_t lines() const { return lines_; }

    uint64_t visits() const { return visits_; }

  private:
    Result<Text<16>> choose_name();
    void become_deaf(std::string_view name);
    void babble(os::Binding& binding, const rpc::Contract& contract);
    void scribble(os::Binding& binding);

    Random& random_;
    os::Domain& self_;
    Storm& storm_;
    bool deaf_{};
    uint64_t lines_{}, visits_{};
};

} // namespace chaos
