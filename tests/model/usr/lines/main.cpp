// Arguments: how many cores, `contend` or `distance`, how many cores a socket has.
#include <new>

#include "lib/base/cmdline.hpp"
#include "lib/os/manifest.hpp"
#include "tests/model/usr/lines/session.hpp"

namespace {

using namespace lines;

void print(const Session& session) {
    session.checks.print();
    for (const Figure& f : std::span{session.figures}.first(session.figure_count))
        experiments::say(
            "row way={} members={} size={}: cycles={} server={} operations={}",
            f.way,
            f.members,
            f.size,
            f.cycles,
            f.server,
            f.operations
        );
    experiments::print_sent(session.sent, session.received);
}

void begin(Session& session) {
    os::model::detail(true);
    os::model::begin("lines");
    session.checks.measure();
}

void end() {
    os::model::end("lines");
    os::model::detail(false);
}

Result<> run() {
    std::string_view arguments = os::program_arguments();
    (void)os::take_word(arguments); // the cores: domain_main's
    const bool contends = os::take_word(arguments) == "contend";
    const auto socket = parse_number(os::take_word(arguments), most_cores);
    const uint32_t cores = os::worker_count();
    const MutableBytes memory = TRY(os::map_shared(sizeof(Session)));
    const MutableBytes rings = TRY(os::map_shared(cores * ump::Layout::bytes_for(ring)));
    const uint32_t of_a_socket = socket && *socket > 0 ? static_cast<uint32_t>(*socket) : cores;
    Session& session = *new (memory.data()) Session{cores, of_a_socket, rings};
    TRY_VOID(experiments::on_each(cores, [&session, contends](uint32_t self) {
        session.team.barrier.wait(); // all threads are there
        if (self == 0) begin(session);
        contends ? contend(session, self) : measure_distance(session, self);
        session.team.barrier.wait();
        if (self == 0) end();
    }));
    print(session);
    return {};
}

int program() {
    const auto done = run();
    if (!done) log::error("lines cannot measure: {}", done.error());
    log::info("lines done");
    return done ? 0 : 1;
}

} // namespace

int domain_main(os::Domain& self) {
    std::string_view arguments = self.arguments();
    const auto cores = parse_number(os::take_word(arguments), most_cores);
    return os::run_spanning(self, {.cores = cores ? static_cast<unsigned>(*cores) : 0}, program);
}
