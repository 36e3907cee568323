// A domain that spans cores, by the protocol of lib/span: its home orders the address space, each
// worker has a replica that page faults fill. Home and workers are domains of their own here, bound
// to each other, and any of them may die. Frames travel with the fills as capabilities.
#pragma once

#include <array>
#include <bitset>

#include "lib/span/home.hpp"
#include "lib/span/multicast.hpp"
#include "lib/span/replica.hpp"
#include "tests/sim/domain.hpp"

namespace sim {

class World;

class Team {
  public:
    static constexpr unsigned most_workers = 8;
    static constexpr unsigned space_pages = 48; // of the address space, so that ranges often meet

    void begin(World& world, uint32_t id);

    /// The newborn becomes its home, or a worker of it.
    bool wants(const Domain& newborn) const;
    void enter(Domain& newborn);

    /// One step of a member, as Domain::step.
    bool step(Domain& member, bool calm);
    /// The binding of this channel is over, for that member.
    void lost(Domain& member, uint16_t channel);
    /// That domain is no more.
    void gone(const Domain& member);

    const char* waits_for(const Domain& member) const;

    bool is_over() const { return over_; }

    /// Every page that a replica shows is what the home has there now, or on its way out.
    void check() const;

  private:
    struct Frame {
        uint32_t number{}; // 0: unused
        CapSlot slot{};
        uint64_t base{};
    };

    /// A page fault of a worker that is not resolved yet.
    struct Fault {
        enum class State : uint8_t { unused, asked, filled };

        State state{};
        VirtAddr at{};
        Letter fill{};
        bool waits{}; // for the capability
    };

    struct Worker {
        Domain* domain{};
        uint16_t channel{};
        bool linked{}; // the home talks to it
        span::Replica<CapSlot, 32, 3> replica{};
        std::array<Fault, 4> faults{};
        std::array<span::Cut, 4> cuts{}; // to be told, when its channel has room
        unsigned cut_count{};
        std::bitset<space_pages> written{}; // as the hardware knows
    };

    Worker* worker_of(const Domain& member);
    const Worker* worker_of(const Domain& member) const;
    Worker* worker_at(uint16_t channel);
    static End* end_at(Domain& member, uint16_t channel);

    // the home
    bool home_step(bool calm);
    bool read_at_home(End& end, Worker& worker);
    void answer_fault(End& end, VirtAddr at);
    void map_one();
    void take_away(bool protect);
    void gathered(const span::Gathered& outcome);
    void finish_operations();
    bool drop_unused_frame();
    bool send_cuts();
    span::Workers linked() const;

    // a worker
    bool worker_step(Worker& worker, bool calm);
    bool read_at_worker(End& end, Worker& worker);
    bool resolve(End& end, Worker& worker, Fault& fault);
    void show(Worker& worker, const span::Fill& fill, CapSlot frame);
    void touch(End& end, Worker& worker);
    bool take_piece_away(Worker& worker, CapSlot mapping);
    void cut(End& end, Worker& worker, const Letter& letter);
    void ask(End& end, Worker& worker, Fault& fault);
    void ask_again(End& end, Worker& worker, Fault& fault);
    kernel::PageTable& table_of(const Worker& worker) const;

    struct Operation {
        uint32_t number{};
        span::Range range{};
        bool written{}; // before it came to where that was
    };

    World* world_{};
    uint32_t id_{};
    Domain* home_{};
    bool over_{};
    span::Home<24, 4> space_{};
    std::array<Operation, 4> operations_{};
    std::array<Frame, 12> frames_{};
    uint32_t last_frame_{};
    std::array<Worker, most_workers> workers_{};
    unsigned worker_count_{};
};

} // namespace sim
