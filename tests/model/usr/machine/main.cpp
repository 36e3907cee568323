// Measures what cores cost each other, and operations of groups. Arguments: how many cores, of how
// many nodes, how many samples of each figure, how many turns a member polls before it sleeps.
#include "lib/base/cmdline.hpp"
#include "lib/base/log.hpp"
#include "lib/os/machine_costs.hpp"
#include "lib/os/manifest.hpp"
#include "lib/os/span/span.hpp"
#include "tests/model/usr/machine/groups.hpp"

namespace {

using namespace machine;

/// What the monitors have measured.
constinit group::CostTable published{};

uint64_t next_number(std::string_view& arguments, uint64_t otherwise, uint64_t most) {
    return parse_number(os::take_word(arguments), most).value_or(otherwise);
}

Result<Session*> make_session() {
    std::string_view arguments = os::program_arguments();
    (void)os::take_word(arguments); // the cores: domain_main's
    const MutableBytes memory = TRY(os::map_shared(sizeof(Session)));
    const unsigned count = os::worker_count();
    Session& session = *new (memory.data()) Session{.team = experiments::Team{count}};
    group::CostTable& costs = session.costs;
    costs = group::CostTable::unknown(count);
    costs.nodes = static_cast<uint32_t>(next_number(arguments, 1, group::max_nodes));
    for (unsigned core = 0; core < count; ++core)
        costs.node_of[core] = static_cast<uint8_t>(core * costs.nodes / count);
    for (auto& row : costs.between)
        row.fill(1);
    if (published.cores != 0)
        log::info(
            "the monitors say: from core 0 to {}: {} cycles",
            count - 1,
            published.latency(group::member(0), group::member(os::core_of_worker(count - 1).raw))
        );
    session.wanted = static_cast<uint32_t>(next_number(arguments, 5, 60));
    session.poll_turns = static_cast<uint32_t>(next_number(arguments, 0, 100'000'000));
    return &session;
}

void print(const Session& session) {
    const group::CostTable& costs = session.costs;
    log::info("a line takes {} cycles to send, {} to read", costs.send, costs.receive);
    for (unsigned b = 0; b < costs.nodes; ++b)
        log::info("from node 0 to {}: {} cycles", b, costs.between[0][b]);
    session.checks.print();
    for (const Figure& f : std::span{session.figures}.first(session.figure_count))
        experiments::say(
            "row operation={} shape={} members={} samples={}: messages={} cycles={} longest={}",
            what_names[size_t(f.what)],
            shape_names[size_t(f.shape)],
            f.cores,
            session.wanted,
            f.messages,
            f.cycles,
            f.longest
        );
}

Result<> run() {
    Session* const session = TRY(make_session());
    const MutableBytes lines =
        TRY(os::map_shared(os::GroupLines::bytes_for(session->team.members)));
    {
        std::array<os::Thread, os::GroupLines::most> others;
        for (uint32_t w = 1; w < session->team.members; ++w)
            others[w] = TRY(os::Thread::create_on(w, [session, lines, w] {
                run_member(*session, lines, group::member(w));
            }));
        run_member(*session, lines, {});
    }
    print(*session);
    return {};
}

int program() {
    const auto done = run();
    if (!done) log::error("machine cannot measure: {}", done.error());
    log::info("machine done");
    return done ? 0 : 1;
}

} // namespace

int domain_main(os::Domain& self) {
    (void)os::read_machine_costs(published);
    std::string_view arguments = self.arguments();
    const auto cores = next_number(arguments, 64, 64);
    return os::run_spanning(self, {.cores = static_cast<unsigned>(cores)}, program);
}
