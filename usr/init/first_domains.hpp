// The three domains that every core has besides init, which is their parent: memory, monitor,
// spawn.
#pragma once

#include <array>

#include "interfaces/launch.hpp"
#include "interfaces/memory.hpp"
#include "interfaces/parent.hpp"
#include "lib/base/bundle.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/fault_report.hpp"
#include "lib/os/line_joiner.hpp"
#include "lib/os/loader.hpp"

namespace init {

/// Badges that lib/interfaces/monitor.if's privileged callers have, and the spawner's launchers.
/// They are agreed with monitor/clients.hpp and usr/spawn/spawner.hpp.
constexpr uint64_t monitor_badge_init = 0, monitor_badge_spawn = 1;
constexpr uint64_t launcher_badge = uint64_t{1} << 23;

class FirstDomains final : public os::LocalServer {
  public:
    FirstDomains(os::Domain& self, const bundle::Bundle& files) : self_{self}, files_{files} {}

    /// Errors: not_found (the image is not in the bundle), those of Child::build and of memory.
    Result<> start_memory();
    Result<> start_monitor();
    /// Of the cores below this one, if this one was started with theirs. The rest goes on in a
    /// task.
    Result<> start_children();
    Result<> start_spawn();

    void set_unix_time(uint64_t seconds) { unix_time_ = seconds; }

    // Endpoints, once the domain behind each is started.
    os::CapSlot memory() const { return memory_.slot(); }

    os::CapSlot monitor() const { return abi::slot_at(0, abi::slot::monitor); }

    os::CapSlot launch() const { return launch_.slot(); }

    // parent.if; the badge is an index into children_.
    rpc::LocalMessage serve(uint64_t badge, const rpc::LocalMessage& message) override {
        return interfaces::parent::serve(*this, badge, message);
    }

    Result<> exited(uint64_t badge, const interfaces::parent::ExitedArguments&);
    Result<> faulted(uint64_t badge, const interfaces::parent::FaultedArguments&);
    Result<> backtrace(uint64_t badge, const interfaces::parent::BacktraceArguments&);
    Result<> last_words(uint64_t badge, const interfaces::parent::LastWordsArguments&);

    void discard(abi::CapSlot slot) { (void)os::slots().remove(slot); }

  private:
    enum Which : size_t { memory_child, monitor_child, spawn_child, count };

    static constexpr std::array<std::string_view, count> names{"memory", "monitor", "spawn"};
    // Nobody gives a child a priority above its own: spawn is above all services.
    static constexpr std::array<unsigned, count> priorities{27, 26, 28};

    Result<> build(Which which, os::CapSlot ram, os::OwnedCap monitor, os::CapSlot memory);
    Result<os::CapSlot> own_ram(uint64_t bytes);
    Result<os::CapSlot> allocate(uint64_t bytes);
    Result<> give_all_ram();
    Result<> give(Which which, std::string_view name);
    os::FaultSubject subject(uint64_t which) const;
    Result<os::OwnedCap> endpoint(Which which, uint64_t badge);

    os::Domain& self_;
    const bundle::Bundle& files_;
    uint64_t unix_time_{};
    std::array<os::Child, count> children_;
    std::array<os::LineJoiner, count> words_;
    os::OwnedCap memory_, launch_;
};

} // namespace init
