// The domains of one core: made from images of the bundle, each on a RAM block of its own, watched,
// ended by giving that block back, and started again if their policy says so.
#pragma once

#include "interfaces/launch.hpp"
#include "interfaces/memory.hpp"
#include "interfaces/monitor.hpp"
#include "interfaces/parent.hpp"
#include "lib/async/loop.hpp"
#include "lib/async/sync.hpp"
#include "lib/base/bundle.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/fault_report.hpp"
#include "usr/spawn/child.hpp"
#include "usr/spawn/neighbours.hpp"

namespace spawn {

/// Badges of calls into the spawner: a launcher's, or a child's number.
constexpr uint64_t launcher_badge = uint64_t{1} << 23; // above all children
/// Numbers below are of domains that init makes itself.
constexpr uint32_t first_id = 16;
/// Event bit of the doorbell that children ring by faulting.
constexpr unsigned fault_event = 3;
constexpr uint32_t default_priority = 10;
constexpr uint64_t default_quota = 1024 * 1024;

class Spawner final : public os::LocalServer {
  public:
    Spawner(os::Domain& self, const bundle::Bundle& files, const os::Manifest& manifest)
        : self_{self}, files_{files}, manifest_{manifest}, changed_{self.loop()},
          neighbours_{self, memory_client_, monitor_client_} {}

    /// Makes the doorbell of faults. Errors: no_slots.
    Result<> begin();

    // -- making (spawner.cpp) --

    /// Quota and priority 0: the manifest's or the default. Asks other cores for memory if need be.
    async::Task<uint32_t> make(std::string_view name, uint64_t quota, uint32_t priority);
    /// The same at once: with what memory there is, down to an eighth of the quota.
    Result<uint32_t> prepare(std::string_view name, uint64_t quota, uint32_t priority);
    /// A worker of a domain whose home is elsewhere; `replica` counts from 1. No policy starts it
    /// again: its home does that, with all of them.
    async::Task<uint32_t>
    make_replica(std::string_view name, uint64_t quota, uint32_t priority, uint32_t replica);
    Result<Child*> find(uint32_t id);
    Result<> add_argument(uint32_t id, std::string_view text);
    Result<> take_wishes(uint32_t id, const Wishes& wishes);
    Result<> set_variables(uint32_t id, std::string_view words);
    Result<> give(uint32_t id, std::string_view name, os::OwnedCap what);
    Result<> start(uint32_t id);
    /// Who answers for the device, if this is a bus master. Errors: no_space.
    Result<> set_keeper(uint32_t id, DeviceKeeper& keeper);

    // -- ending (ending.cpp) --

    /// Its end begins; with nothing lent and no device it is over when this returns.
    Result<> kill(uint32_t id);
    /// When everything of it is back.
    async::Task<> is_over(uint32_t id);
    /// Ends it if need be, and starts it again: its new number.
    async::Task<uint32_t> restart(uint32_t id);

    /// The core leaves the machine: nothing is made any more.
    void refuse_more() { leaves_ = true; }

    /// Ends the drivers of this core that have their devices reach memory of peers that are gone.
    /// True: there is one that nobody can silence any more.
    bool end_holders();
    /// A keeper's answers. Errors: not_found (it is not this keeper's).
    Result<> silent(uint32_t id, const DeviceKeeper& keeper);
    Result<> ready(uint32_t id, const DeviceKeeper& keeper);
    void keeper_gone(const DeviceKeeper& keeper);

    /// What a label means that every core has its own of (os::is_local_label).
    Result<os::OwnedCap> local(std::string_view label);

    /// Every child that was made and whose entry was not needed again.
    Result<const Child*> child_at(uint32_t index) const;

    /// After an event on bit fault_event: reports and ends who faulted while disabled.
    void look_for_faults();

    Neighbours& neighbours() { return neighbours_; }

    interfaces::memory::Client& memory() { return memory_client_; }

    interfaces::monitor::Client& monitor() { return monitor_client_; }

    // os::LocalServer: parent.if from children, launch.if from launchers.
    rpc::LocalMessage serve(uint64_t badge, const rpc::LocalMessage& message) override;

    Result<> exited(uint64_t badge, const interfaces::parent::ExitedArguments&);
    Result<> faulted(uint64_t badge, const interfaces::parent::FaultedArguments&);
    Result<> backtrace(uint64_t badge, const interfaces::parent::BacktraceArguments&);
    Result<> last_words(uint64_t badge, const interfaces::parent::LastWordsArguments&);
    Result<interfaces::launch::PrepareResult>
    prepare(uint64_t badge, const interfaces::launch::PrepareArguments&);
    Result<> argument(uint64_t badge, const interfaces::launch::ArgumentArguments&);
    Result<> environment(uint64_t badge, const interfaces::launch::EnvironmentArguments&);
    Result<> give(uint64_t badge, const interfaces::launch::GiveArguments&);
    Result<> start(uint64_t badge, const interfaces::launch::StartArguments&);
    Result<interfaces::launch::KillResult>
    kill(uint64_t badge, const interfaces::launch::KillArguments&);
    Result<interfaces::launch::StateResult>
    state(uint64_t badge, const interfaces::launch::StateArguments&);
    void discard(abi::CapSlot slot);

  private:
    Result<Child*> free_entry();
    Result<> plan(Plan& plan, std::string_view name, uint64_t quota, uint32_t priority) const;
    Result<> build(Child& child);
    Result<uint32_t> enter(Plan& plan, uint64_t quota, abi::CapSlot ram);
    Result<uint32_t> make_of(Plan& plan);
    async::Task<uint32_t> make_of_all(Plan plan);
    Result<abi::CapSlot> allocate_quota(uint64_t& quota);
    void tell_lack(const Plan& plan);
    os::FaultSubject subject(const Child& child) const;

    void end(Child& child, State how, int64_t code);
    void attend(Child& child);
    void attend_the_rest();
    async::Task<> bring_about(Child& child);
    async::Task<bool> silence_device(Child& child);
    void give_up(Child& child);
    async::Task<> hurry(uint32_t id);
    Result<> take_back(Child& child);
    void over(Child& child);
    async::Task<> start_again(uint32_t former);
    void begin_by_policy(Child& former);
    void begin_again(Child& former);
    void begin_waiting(const Child& over);
    async::Task<uint32_t> start_instead_of(Child& former);
    static Result<> give_again(Child& child, const Plan& plan);
    async::Task<> wake_device(Child& child);

    os::Domain& self_;
    const bundle::Bundle& files_;
    const os::Manifest& manifest_;
    os::LocalPort memory_port_{abi::slot_at(0, abi::slot::memory)};
    os::LocalPort monitor_port_{abi::slot_at(0, abi::slot::monitor)};
    interfaces::memory::Client memory_client_{memory_port_};
    interfaces::monitor::Client monitor_client_{monitor_port_};
    os::OwnedCap fault_bell_;
    std::array<Child, 64> children_;
    Keepers keepers_;
    uint32_t fresh_id();

    uint32_t next_id_{first_id};
    bool leaves_{};
    async::Signal changed_; // how some child stands
    Neighbours neighbours_;
};

/// A domain that was prepared is ended again unless it gets as far as being started.
class Unstarted {
  public:
    Unstarted(Spawner& spawner, uint32_t id) : spawner_{spawner}, id_{id} {}

    Unstarted(const Unstarted&) = delete;

    ~Unstarted() {
        if (id_ != 0) (void)spawner_.kill(id_);
    }

    void started() { id_ = 0; }

  private:
    Spawner& spawner_;
    uint32_t id_;
};

} // namespace spawn
