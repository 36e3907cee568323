#include <new>

#include "lib/os/group.hpp"
#include "tests/model/usr/cores/session.hpp"

namespace spanning {
namespace {

constexpr uint32_t rounds = 12, warm = 2, for_ever = 10'000'000;
constexpr uint64_t think_cycles = 60'000; // between two requests of the one who asks

void serve(os::GroupLines& lines, uint32_t channels, uint32_t turns) {
    group::MemberSet from;
    for (uint32_t m = 1; m <= channels; ++m)
        from.insert(group::member(m));
    lines.poll_for(turns);
    for (uint32_t i = 0; i < rounds; ++i) {
        const auto heard = lines.hear(from);
        lines.send(heard.from, 1, heard.message.body);
        lines.flush();
    }
}

/// Cycles of a request; who answers has nothing to do in between.
uint64_t ask(os::GroupLines& lines) {
    lines.poll_for(for_ever);
    group::MemberSet server;
    server.insert(group::member(0));
    uint64_t sum = 0;
    for (uint32_t i = 0; i < rounds; ++i) {
        for (const uint64_t begun = os::read_tsc(); os::read_tsc() - begun < think_cycles;)
            __builtin_ia32_pause();
        const uint64_t begun = os::read_tsc();
        lines.send(group::member(0), 1, {i});
        lines.flush();
        (void)lines.hear(server);
        if (i >= warm) sum += os::read_tsc() - begun;
    }
    return sum / (rounds - warm);
}

} // namespace

void measure_wait(Session& session, MutableBytes memory, uint32_t self) {
    auto* const lines =
        new (std::nothrow) os::GroupLines{memory, group::member(self), session.team.members, 0};
    INVARIANT(lines != nullptr, "the quota has room for it");
    for (uint32_t channels = 1; channels < session.team.members; channels *= 2)
        for (const bool polls : {true, false}) {
            session.team.align();
            if (self == 0) serve(*lines, channels, polls ? for_ever : 0);
            if (self == channels) session.taken = ask(*lines); // the last that is looked at
            session.team.barrier.wait();
            if (self == 0)
                session.add({polls ? "polls" : "sleeps", rounds - warm, session.taken, 0, channels}
                );
        }
    delete lines;
}

} // namespace spanning
