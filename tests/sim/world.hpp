// A whole machine in one thread: islands, the wires between them, the domains on them, and one seed
// that says what happens next. Everything is reused from run to run.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "lib/base/random.hpp"
#include "tests/sim/domain.hpp"
#include "tests/sim/services.hpp"
#include "tests/sim/spanning.hpp"

namespace sim {

struct Settings {
    unsigned cores{4};
    unsigned domains_per_core{3};
    uint32_t steps{40'000}; // in which something new may begin
    bool teams{true};       // domains that span cores, too
    bool losses{true};      // cores fail, leave, and are started again, in half of the runs
    bool obliging{};        // every bind is accepted
    bool check_often{};     // after every step, not only at rest
};

struct Tally {
    uint64_t messages{};   // between monitors, delivered
    uint64_t letters{};    // between domains, delivered
    uint64_t operations{}; // of domains that succeeded
    uint64_t refused{};    // those that did not
    uint64_t births{}, deaths{};
    uint64_t full{};                                  // times that a channel was full for long
    uint64_t lends{};                                 // capabilities that came with messages
    uint64_t revokes{}, asked{};                      // done; those that the monitors had to do
    uint64_t moves{};                                 // of blocks of RAM
    uint64_t lost{}, suspected{}, left{}, restarts{}; // cores: that hung, that were only slow, ..
    uint64_t steps{}, most_slots{};

    void add(const Tally& t) {
        messages += t.messages;
        letters += t.letters;
        operations += t.operations;
        refused += t.refused;
        births += t.births;
        deaths += t.deaths;
        full += t.full;
        lends += t.lends;
        revokes += t.revokes;
        asked += t.asked;
        moves += t.moves;
        lost += t.lost;
        suspected += t.suspected;
        left += t.left;
        restarts += t.restarts;
        steps += t.steps;
        most_slots = most_slots < t.most_slots ? t.most_slots : most_slots;
    }
};

class World {
  public:
    World(const Settings& settings, const Arena& arena);

    /// Messages about revokes: all, and those from and to core 0.
    struct RevokeFigure {
        uint64_t all{}, of_owner{};
    };

    /// A frame of core 0 that is lent to so many cores is revoked.
    RevokeFigure revoke_figure(unsigned borrowers);

    /// One run. Throws Broken; the chart then tells what led to it.
    void run(uint64_t seed);

    Settings settings;
    Random random{0};
    Chart chart;
    Tally tally{};
    uint32_t now{};

    Island& island(unsigned core) { return *islands_[core]; }

    unsigned cores() const { return settings.cores; }

    std::span<Domain> domains() { return std::span{domains_}.first(domain_count_); }

    std::span<Channel> channels() { return channels_; }

    Spawner& spawner(unsigned core) { return spawners_[core]; }

    MemoryServer& memory(unsigned core) { return memories_[core]; }

    Ownership& ownership() { return ownership_; }

    void note(const Event& event) {
        chart.add(event);
        if (verbose) std::fputs(chart.text(cores(), 1).c_str(), stdout);
    }

    /// A free channel, for a frame at this address.
    Result<uint16_t> open_channel(uint64_t base);
    std::optional<uint16_t> channel_at(uint64_t base) const;

    uint32_t new_badge() { return next_badge_++; }

    uint32_t new_label() { return next_label_++; }

    int16_t new_number() { return next_number_++; }

    Domain* unborn();
    /// A newborn may become a member of a domain that spans cores.
    void perhaps_join_team(Domain& newborn);

    std::span<Team> teams() { return std::span{teams_}.first(team_count_); }

    std::vector<std::array<uint64_t, 2>> scratch; // for the checks, kept from run to run
    bool verbose{};

  private:
    void boot();
    void begin_monitor(unsigned core, bool from_the_start);
    monitor::Range ram_of(unsigned core) const;
    void join(unsigned core);
    void join(unsigned core, unsigned parent, monitor::Described frame, monitor::Bell bell);
    bool hear_knock(unsigned core);
    // cores that go and come (losses.cpp)
    bool stays(unsigned core);
    bool all_know_all();
    void lose(unsigned core, const char* how);
    void look_who_was_stopped(unsigned core);
    void check_inherited();
    bool look_at_clock(unsigned core);
    CapSlot lend_widely(unsigned at, unsigned borrowers);
    void lose_something();
    std::optional<unsigned> on_the_way();
    void lose_on_the_way();
    bool find_out();
    bool give_up_start(unsigned core, CoreId parent);
    bool use_what_is_left(unsigned core);
    bool restart(Island& here, unsigned core, CapSlot ram);
    unsigned lowest();
    bool step(bool calm);
    bool deliver(unsigned core, unsigned peer, bool calm);
    bool put(unsigned core, unsigned peer);
    bool monitor_works(unsigned core);
    void stall_something();
    bool domain_step(Domain& domain, bool calm);
    void chaos();
    void settle();
    void kill_all();

    const Arena& arena_;
    Ownership ownership_;
    Wires wires_;
    std::vector<std::optional<Island>> islands_;
    std::vector<Spawner> spawners_;
    std::vector<MemoryServer> memories_;
    std::vector<Domain> domains_;
    unsigned domain_count_{};
    std::array<Channel, 512> channels_;
    std::array<Team, 2> teams_;
    unsigned team_count_{};
    bool lossy_{}; // cores go and come in this run
    bool deep_{};  // what goes along a tree of cores is passed on often
    unsigned losses_left_{};
    bool booted_{}; // all cores know of each other: from now on some may be lost
    uint64_t channels_opened_{};
    RevokeFigure revokes_;
    unsigned line_capacity_{};
    uint32_t next_badge_{};
    uint32_t next_label_{}, next_team_{};
    int16_t next_number_{};
};

} // namespace sim
