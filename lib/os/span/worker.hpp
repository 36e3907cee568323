// One part of a domain that spans cores: threads, the page tables they see by, and the channel to
// the home. It begins with nothing but its own image; every page of the others comes by a fault.
#pragma once

#include "interfaces/span.hpp"
#include "lib/async/loop.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/shared_heap.hpp"
#include "lib/os/span/layout.hpp"
#include "lib/os/span/tables.hpp"
#include "lib/os/threads/scheduler.hpp"
#include "lib/span/replica.hpp"

namespace os {

class SpanWorker;

/// What the home tells a worker unasked (span.if, events).
class FromHome {
  public:
    explicit FromHome(SpanWorker& worker) : worker_{worker} {}

    void begin();
    void cut(const interfaces::span::CutArguments& a);

  private:
    SpanWorker& worker_;
};

class SpanWorker final : public ThreadSource, public async::Source, public SharedHeap {
  public:
    SpanWorker(Domain& self, uint32_t number)
        : self_{self}, number_{number}, link_{self}, from_home_{*this}, cuts_{self.loop(), 2},
          first_ring_{self.loop()} {}

    /// From the arguments that the home gave; ends with the channel to it.
    async::Task<> run();

    /// In the upcall: may the thread wait for that page?
    bool takes(const abi::DispatcherPage& page);

    // For threads (span.hpp).
    uint32_t number() const { return number_; }

    async::Task<VirtAddr> map(uint64_t bytes);
    async::Task<bool> unmap(span::Range range);
    async::Task<bool> protect(span::Range range, Rights rights);
    async::Task<uint32_t> last_cut();

    void program_ended(int code);

    // For FromHome.
    void begin();
    void cut(const interfaces::span::CutArguments& a);

    // ThreadSource
    Result<ThreadBlock*> take() override;
    void release(ThreadBlock& thread) override;
    void wake_far(ThreadBlock& thread) override;

    // SharedHeap
    void* allocate(size_t bytes) override;
    bool owns(const void* memory) const override;
    void release(void* memory) override;

    // async::Source
    bool pump() override;
    bool ready() override;

    void flush() override {}

    void arm(uint64_t epoch) override;
    void disarm() override;

  private:
    static constexpr size_t most_pieces = 1024, most_cuts = 32, most_frames = 512;
    static constexpr size_t heap_chunk = 256 * 1024;
    static constexpr uint32_t most_ways_given = 64;
    static constexpr Duration ring_again = milliseconds(10); // there was no memory or no slot

    using Client = interfaces::span::Client;
    using Replica = span::Replica<CapSlot, most_pieces, most_cuts>;

    struct Known { // a frame whose capability we have
        uint32_t number{};
        OwnedCap frame;
    };

    bool run_threads();
    async::Task<> join(uint64_t key);
    void start_program();
    async::Task<> resolve(ThreadBlock& thread);
    /// False: nobody may touch that page like that.
    async::Task<bool> bring_in(VirtAddr at, bool write);
    async::Task<CapSlot> frame(uint32_t number);
    Result<> map_piece(const span::Fill& fill, CapSlot frame);
    void forget_frame(uint32_t number);

    async::Task<> ring_new_bells();
    async::Task<> fetch_bell(uint32_t worker);
    async::Task<> answer_cut(uint32_t operation, bool dirty);
    async::Task<> tell_finished(int64_t code);

    Client home() { return Client{link_.channel()}; }

    Domain& self_;
    uint32_t number_;
    Binding link_;
    FromHome from_home_;
    interfaces::span::ClientSide<FromHome> side_{from_home_};
    async::Semaphore cuts_; // so that the channel is read while some of ours wait
    SharedTables tables_;
    Replica replica_;
    std::array<Known, most_frames> frames_;
    std::array<OwnedCap, span::Workers::most> bells_;
    std::array<bool, span::Workers::most> owes_ring_{}; // to those whose bells are not here yet
    async::Event first_ring_;
    ReadyQueue faulted_;
    bool set_up_{}, begun_{};
    uint32_t gave_way_{}; // times in a row
};

/// This part's one. Only in workers.
SpanWorker& worker();

} // namespace os

extern "C" int os_worker_main(os::Domain& self, uint64_t replica);
