#include <optional>

#include "tests/model/usr/lines/session.hpp"

namespace lines {
namespace {

constexpr uint32_t rounds = 20, burst = 256;
constexpr uint32_t depths[] = {1, 2, 4, 8, 16, 32};

ump::Message next(ump::Endpoint& end) {
    ump::Message message;
    while (!end.try_recv(message))
        __builtin_ia32_pause();
    return message;
}

/// Half of a round trip; the first is not counted.
uint64_t play(ump::Endpoint& end, bool first) {
    uint64_t begun = 0;
    for (uint32_t i = 0; i <= rounds; ++i) {
        if (i == 1) begun = os::read_tsc();
        if (first) end.send(1, 0, {i});
        (void)next(end);
        if (!first) end.send(1, 0, {i});
    }
    return (os::read_tsc() - begun) / (2 * rounds);
}

/// Cycles a message when `depth` are under way and each is answered.
uint64_t stream(ump::Endpoint& end, uint32_t depth, bool first) {
    if (!first) {
        for (uint32_t i = 0; i < burst; ++i)
            end.send(1, 0, next(end).body);
        return 0;
    }
    const uint64_t begun = os::read_tsc();
    uint32_t sent = 0;
    for (uint32_t got = 0; got < burst; ++got) {
        for (; sent < burst && sent - got < depth; ++sent)
            end.send(1, 0, {sent});
        (void)next(end);
    }
    return (os::read_tsc() - begun) / burst;
}

} // namespace

/// With the next core, and with the first of each other socket.
void measure_distance(Session& session, uint32_t self) {
    const uint32_t members = session.team.members;
    for (uint32_t other = 1; other < members;
         other = other == 1 ? session.socket : other + session.socket) {
        if (other == session.socket && session.socket == 1) continue;
        const bool first = self == 0, part = first || self == other;
        std::optional<ump::Endpoint> end;
        if (part)
            end.emplace(first ? session.channel(other).client() : session.channel(other).server());
        session.team.align();
        const uint64_t latency = part ? play(*end, first) : 0;
        if (first) session.add({"latency", other, 1, latency, 0, rounds});
        for (const uint32_t depth : depths) {
            session.team.align();
            const uint64_t each = part ? stream(*end, depth, first) : 0;
            if (!first) continue;
            session.add({"stream", other, depth, each, 0, burst});
        }
        session.team.barrier.wait();
        if (part && first) session.sent += end->sent();
        if (part && !first) session.received += end->received();
    }
}

} // namespace lines
