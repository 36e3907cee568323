// The home of a domain that spans cores: the part that was started first. It runs no threads; it
// starts the workers, gives out memory and orders every change of the address space.
#pragma once

#include "interfaces/span.hpp"
#include "interfaces/spawn.hpp"
#include "lib/async/loop.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/span/layout.hpp"
#include "lib/os/span/span.hpp"
#include "lib/span/home.hpp"

namespace os {

class WorkerSession;

class SpanHome {
  public:
    SpanHome(Domain& self, const Spread& how);

    /// Everything, from the first worker to the end of the program.
    async::Task<> run(int (*program)());

    // For the sessions of the workers.

    /// Errors: cap_rights, busy, not_found (no such worker).
    Result<CapSlot> join(uint32_t worker, uint64_t key, WorkerSession& session, OwnedCap bell);
    void left(uint32_t worker);
    Result<CapSlot> bell(uint32_t worker) const;

    Result<span::Fill> fill(VirtAddr at);
    Result<CapSlot> frame(uint32_t number) const;
    Result<VirtAddr> map(uint64_t bytes);
    /// With rights: protects; without: unmaps. Answers whether somebody had written there.
    async::Task<bool> take_away(span::Range range, std::optional<Rights> rights);
    void answered(uint32_t operation, uint32_t worker, bool dirty);
    void finished(int64_t code);

    uint32_t last_cut_messages() const { return last_messages_; }

  private:
    static constexpr size_t most_regions = 512, most_cuts = 16;
    static constexpr Duration patience = seconds(10);

    struct Held { // a frame of ours that the workers see
        uint32_t number{};
        Frame frame;
        Extent addresses{}; // of map(), with the guard page
    };

    struct Worker {
        Worker(Domain& self, CoreId on, uint64_t secret) : spawner{self}, core{on}, key{secret} {}

        Binding spawner; // as long as it is open the worker lives
        CoreId core{};
        uint64_t key{};
        OwnedCap bell;
        WorkerSession* session{};
    };

    struct Waiting { // for an operation's end, in the frame of the task that waits

        explicit Waiting(SpanHome& owner) : home{owner}, done{owner.self_.loop()} {}

        Waiting(const Waiting&) = delete;

        ~Waiting() {
            if (hook.linked()) home.waiting_.remove(*this);
        }

        SpanHome& home;
        ListHook<Waiting> hook;
        uint32_t operation{}, messages{};
        bool dirty{};
        async::Event done;
    };

    Result<> choose_cores();
    Result<> make_control(int (*program)());
    Result<> offer_service();
    async::Task<> start_worker(uint32_t number);

    Result<uint32_t> make_frame(uint64_t bytes, Extent addresses = {});
    Result<> make_stack(VirtAddr at);
    uint32_t gone_with(const span::Region& first) const;
    void drop_frame(uint32_t number);
    async::Task<> send_cut(span::Cut cut, uint32_t gone);
    void gathered(const span::Gathered& result);

    Domain& self_;
    Spread how_;
    ServiceName service_name_;
    ::span::Home<most_regions, most_cuts> space_;
    std::array<Held, most_regions> held_;
    uint32_t next_frame_{first_frame};
    Extents<64> addresses_;
    std::array<Worker*, span::Workers::most> workers_{};
    uint32_t worker_count_{};
    span::Workers joined_;
    async::Event joined_event_;
    async::Signal changed_;
    List<Waiting, &Waiting::hook> waiting_;
    Frame control_frame_;
    uint32_t last_messages_{};
    bool ending_{};
};

} // namespace os
