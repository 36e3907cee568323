// Arguments: how many cores, and the subject: unmap, compute, wait or packets.
#include <new>

#include "lib/base/cmdline.hpp"
#include "lib/os/group.hpp"
#include "lib/os/manifest.hpp"
#include "tests/model/usr/cores/session.hpp"

namespace {

using namespace spanning;

void print_figure(const Figure& f) {
    if (f.region.empty())
        experiments::say(
            "row way={} size={} flow={} samples={}: cycles={} messages={}",
            f.way,
            f.size,
            f.flow,
            f.samples,
            f.cycles,
            f.messages
        );
    else
        experiments::say(
            "row way={} size={} samples={} region={}: cycles={}",
            f.way,
            f.size,
            f.samples,
            f.region,
            f.cycles
        );
}

void print(const Session& session) {
    session.checks.print();
    for (const Figure& f : std::span{session.figures}.first(session.figure_count))
        print_figure(f);
    experiments::print_sent(session.sent, session.received);
}

void measure(Session& session, std::string_view subject, MutableBytes memory, uint32_t self) {
    if (subject == "unmap") measure_unmap(session, memory, self);
    if (subject == "wait") measure_wait(session, memory, self);
    if (subject == "packets") measure_packets(session, memory, self);
    session.team.barrier.wait();
    if (self == 0 && subject == "compute") measure_compute(session);
}

Result<> run() {
    constexpr size_t queues = 512 * 1024;
    std::string_view arguments = os::program_arguments();
    (void)os::take_word(arguments); // the cores: domain_main's
    const std::string_view subject = os::take_word(arguments);
    const uint32_t cores = os::worker_count();
    const MutableBytes memory = TRY(os::map_shared(sizeof(Session)));
    const size_t bytes = subject == "packets" ? queues : os::GroupLines::bytes_for(cores);
    const MutableBytes more = TRY(os::map_shared(bytes));
    Session& session = *new (memory.data()) Session{cores};
    TRY_VOID(experiments::on_each(cores, [&session, more, subject](uint32_t self) {
        session.team.barrier.wait(); // all threads are there
        if (self == 0) {
            os::model::detail(true);
            os::model::begin("cores");
            session.checks.measure();
        }
        session.team.align();
        measure(session, subject, more, self);
        if (self != 0) return;
        os::model::end("cores");
        os::model::detail(false);
    }));
    print(session);
    if (session.wrong != 0) return fail(Err::malformed);
    return {};
}

int program() {
    const auto done = run();
    if (!done) log::error("cores cannot measure: {}", done.error());
    log::info("cores done");
    return done ? 0 : 1;
}

} // namespace

int domain_main(os::Domain& self) {
    std::string_view arguments = self.arguments();
    const auto cores = parse_number(os::take_word(arguments), 64);
    return os::run_spanning(self, {.cores = cores ? static_cast<unsigned>(*cores) : 64}, program);
}
