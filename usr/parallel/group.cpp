// Workers as a group: what one says reaches all, what all say reaches one, along the tree that the
// published costs of this machine make the best.
#include "lib/os/group.hpp"

#include <new>

#include "lib/base/log.hpp"
#include "lib/os/machine_costs.hpp"
#include "lib/os/span/span.hpp"
#include "usr/parallel/work.hpp"

namespace parallel {
namespace {

using group::Combine, group::MemberId;

constexpr unsigned most_members = 16, rounds = 3;
constinit group::CostTable machine{};

struct Team {
    os::GroupPlan plan;
    unsigned members;
    MutableBytes lines;
    std::atomic<unsigned> wrong;
};

constinit Team team{};

/// One worker's part; too large for a thread's stack.
class Part {
  public:
    explicit Part(MemberId self)
        : lines_{team.lines, self, team.members, 0},
          group_{
              lines_,
              {.members = team.members,
               .costs = team.plan.costs,
               .shape = team.plan.shape,
               .slots = std::span{slots_}.first(team.members)}
          } {}

    /// All say the same in the same order; somebody else is against it in each round, or nobody.
    void run() {
        for (unsigned round = 0; round < rounds; ++round) {
            group_.barrier();
            const uint64_t said = 1000 + round, mine = lines_.self().raw + 1u;
            uint64_t heard = is_root() ? said : 0;
            group_.broadcast({}, {&heard, 1});
            const auto sum = group_.collect({}, Combine::sum, {&mine, 1});
            const unsigned n = team.members;
            const bool all_came = !is_root() || sum.words[0] == uint64_t{n} * (n + 1) / 2;
            const bool agreed = group_.agree({}, lines_.self().raw != round);
            if (heard != said || !all_came || agreed != (round >= n)) ++team.wrong;
        }
    }

  private:
    bool is_root() const { return lines_.self() == MemberId{}; }

    os::GroupLines lines_;
    std::array<group::Member::Slot, most_members> slots_;
    os::Group group_;
};

void take_part(MemberId self) {
    Part* const part = new (std::nothrow) Part{self};
    if (part == nullptr) {
        ++team.wrong;
        return;
    }
    part->run();
    delete part;
}

Result<> run() {
    team.members = std::min<unsigned>(os::worker_count(), most_members);
    team.plan.make(machine, team.members);
    team.lines = TRY(os::map_shared(os::GroupLines::bytes_for(team.members)));
    {
        std::array<os::Thread, most_members> others;
        for (uint32_t w = 1; w < team.members; ++w)
            others[w] = TRY(os::Thread::create_on(w, [w] { take_part(group::member(w)); }));
        take_part({});
    }
    log::info(
        "group of {}: {} tree, costs of revision {}",
        team.members,
        group::name_of(team.plan.shape),
        machine.revision
    );
    return {};
}

} // namespace

void know_machine() {
    (void)os::read_machine_costs(machine);
}

bool act_as_one() {
    const auto done = run();
    if (!done) log::error("no group: {}", done.error());
    return done && team.wrong == 0;
}

} // namespace parallel
