#include "tests/model/usr/machine/groups.hpp"

#include <new>

#include "lib/base/mark.hpp"
#include "lib/os/instructions.hpp"
#include "lib/os/model.hpp"
#include "tests/model/checks.hpp"

namespace machine {
namespace {

using namespace group;

constexpr MemberId root{};
constexpr uint64_t settle_cycles = 4000; // until the last has left the barrier and looks

/// Too large for a thread's stack.
struct Team {
    Team(os::GroupLines& lines, unsigned members, const CostTable& costs, Shape shape)
        : group{lines, {members, costs, shape, std::span{slots}.first(members)}} {}

    std::array<Member::Slot, os::GroupLines::most> slots;
    os::Group group;
};

class Runner {
  public:
    Runner(Session& session, os::GroupLines& lines) : session_{session}, lines_{lines} {}

    /// All operations on the first `members`, of whom this one is.
    void run(unsigned members, Shape shape, unsigned samples) {
        Team* const team = new (std::nothrow) Team{lines_, members, session_.costs, shape};
        INVARIANT(team != nullptr, "the quota has room for it");
        members_ = members;
        for (const What what : all)
            take(team->group, what, shape, samples);
        delete team;
    }

    /// The same for who is not among them: samples are numbered alike by all.
    void rest(unsigned samples) { sample_ += std::size(all) * (samples + 1); }

  private:
    static constexpr What all[] = {
        What::broadcast, What::gather, What::one_phase, What::two_phase, What::barrier
    };

    bool is_root() const { return lines_.self() == root; }

    void take(os::Group& team, What what, Shape shape, unsigned samples) {
        std::array<Cost, 64> cycles{};
        uint64_t messages = 0;
        for (unsigned i = 0; i <= samples; ++i) {
            team.barrier();
            const bool counts = i > 0 && samples > 1;
            if (is_root()) {
                for (const uint64_t begun = os::read_tsc(); os::read_tsc() - begun < settle_cycles;)
                    __builtin_ia32_pause();
                if (counts) mark<16>();
            }
            const uint64_t begun = os::read_tsc(), sent = lines_.sent();
            perform(team, what);
            finish(lines_.sent() - sent);
            if (!is_root()) continue;
            for (unsigned m = 0; m < members_; ++m)
                while (!experiments::comes_to(session_.finished[m].sample, sample_))
                    os::scheduler().rest();
            if (!counts) continue;
            mark<17>();
            cycles[i - 1] = as_cost(last(what) - begun);
            messages = all_messages();
        }
        if (!is_root() || samples < 2) return;
        const Cost middle = median(std::span{cycles}.first(samples));
        const unsigned longest = longest_way(what, shape);
        if (session_.figure_count < session_.figures.size())
            session_.figures[session_.figure_count++] = {
                what, shape, members_, messages, middle, longest
            };
    }

    /// As if each message took one step, of its sender and on its way.
    unsigned longest_way(What what, Shape shape) const {
        const auto tree = Tree::of(shape, MemberSet::first(members_), root, session_.costs);
        const Forecast steps = forecast(tree, CostTable::unknown(members_));
        switch (what) {
        case What::broadcast: return steps.broadcast;
        case What::gather:
        case What::one_phase: return steps.gather;
        case What::two_phase: return 2 * steps.gather;
        case What::barrier: break;
        }
        return steps.gather;
    }

    static Cost as_cost(uint64_t cycles) {
        return static_cast<Cost>(std::min<uint64_t>(cycles, ~Cost{}));
    }

    void perform(os::Group& team, What what) {
        const uint64_t mine = lines_.self().raw;
        uint64_t word = mine;
        switch (what) {
        case What::broadcast: team.broadcast(root, {&word, 1}); break;
        case What::gather: (void)team.collect(root, Combine::list, {&mine, 1}); break;
        case What::one_phase: (void)team.collect(root, Combine::any, {&mine, 1}); break;
        case What::two_phase: (void)team.agree(root, true); break;
        case What::barrier: team.barrier(); break;
        }
    }

    void finish(uint64_t messages) {
        Finish& own = session_.finished[lines_.self().raw];
        own.at = os::read_tsc();
        own.messages = messages;
        // release: publishes the two words before
        own.sample.store(++sample_, std::memory_order_release);
    }

    /// An answer is there when the root has it, the rest when all have.
    uint64_t last(What what) const {
        uint64_t end = session_.finished[0].at;
        if (what == What::gather || what == What::one_phase) return end;
        for (unsigned m = 0; m < members_; ++m)
            end = std::max(end, session_.finished[m].at);
        return end;
    }

    uint64_t all_messages() const {
        uint64_t sum = 0;
        for (unsigned m = 0; m < members_; ++m)
            sum += session_.finished[m].messages;
        return sum;
    }

    Session& session_;
    os::GroupLines& lines_;
    unsigned members_{};
    uint64_t sample_{};
};

constexpr Shape shapes[] = {Shape::flat, Shape::k_ary, Shape::binomial, Shape::measured};

} // namespace

void run_member(Session& session, MutableBytes memory, MemberId self) {
    auto* const made = new (std::nothrow) os::GroupLines{memory, self, session.team.members, 0};
    INVARIANT(made != nullptr, "the quota has room for it");
    os::GroupLines& lines = *made;
    Runner runner{session, lines};
    for (const Shape shape : shapes) { // every line is touched once, so that no page is missing
        runner.run(session.team.members, shape, 1);
        session.team.barrier.wait();
    }
    if (self == root) {
        os::model::detail(true);
        os::model::begin("machine");
        session.checks.measure();
    }
    session.team.align();
    lines.poll_for(session.poll_turns);
    measure(lines, session.samples);
    session.team.barrier.wait();
    if (self == root) summarize(session.samples, session.costs);
    session.team.barrier.wait();
    for (unsigned members = 2; members <= session.team.members; members *= 2)
        for (const Shape shape : shapes) {
            session.team.align();
            if (self.raw < members)
                runner.run(members, shape, session.wanted);
            else
                runner.rest(session.wanted);
        }
    session.team.barrier.wait();
    if (self == root) {
        os::model::end("machine");
        os::model::detail(false);
    }
    delete made;
}

} // namespace machine
