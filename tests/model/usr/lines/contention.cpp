#include <new>
#include <optional>

#include "tests/model/usr/lines/session.hpp"

namespace lines {
namespace {

constexpr uint32_t warm = 3, counted = 24;
constexpr uint32_t sizes[] = {1, 2, 4, 8};

/// One writer at a time or many: a plain load and a plain store a line, as the paper's threads do.
void update(std::span<Word> words) {
    for (Word& word : words)
        // relaxed: lost updates are what the measured program would have, too
        word.value.store(word.value.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void share(Session& session, uint32_t self, uint32_t size) {
    const std::span words = std::span{session.lines}.first(size);
    uint64_t begun = 0;
    for (uint32_t i = 0; i < warm + counted; ++i) {
        if (i == warm) begun = os::read_tsc();
        update(words);
    }
    session.took[self].cycles = (os::read_tsc() - begun) / counted;
}

class Server {
  public:
    explicit Server(Session& session) : session_{session} {
        for (uint32_t m = 1; m < session.team.members; ++m)
            ends_[m].emplace(session.channel(m).client());
    }

    /// Until every client has had all its answers; cycles a request that were work.
    uint64_t serve(uint32_t members, uint32_t size) {
        const uint64_t wanted = uint64_t{members - 1} * (warm + counted);
        uint64_t served = 0, worked = 0;
        while (served < wanted) {
            for (uint32_t m = 1; m < members; ++m) {
                const uint64_t begun = os::read_tsc();
                ump::Message message;
                if (!ends_[m]->try_recv(message)) continue;
                update(std::span{session_.own}.first(size));
                ends_[m]->send(1, 0, message.body);
                worked += os::read_tsc() - begun;
                ++served;
            }
            __builtin_ia32_pause();
        }
        session_.received += served;
        return worked / wanted;
    }

  private:
    Session& session_;
    std::array<std::optional<ump::Endpoint>, most_cores> ends_;
};

void ask(Session& session, ump::Endpoint& end, uint32_t self) {
    uint64_t begun = 0;
    for (uint32_t i = 0; i < warm + counted; ++i) {
        if (i == warm) begun = os::read_tsc();
        INVARIANT(end.has_credit(), "one request at a time");
        end.send(1, 0, {i});
        ump::Message message;
        while (!end.try_recv(message))
            __builtin_ia32_pause();
    }
    session.took[self].cycles = (os::read_tsc() - begun) / counted;
}

} // namespace

void contend(Session& session, uint32_t self) {
    Server* const server = self == 0 ? new (std::nothrow) Server{session} : nullptr;
    std::optional<ump::Endpoint> client;
    if (self != 0) client.emplace(session.channel(self).server());
    for (uint32_t members = 2; members <= session.team.members; members *= 2)
        for (const uint32_t size : sizes) {
            session.team.align();
            if (self < members) share(session, self, size);
            session.team.align();
            if (self == 0)
                session.add({"shared", members, size, session.middle(0, members), 0, members});
            uint64_t of_server = 0;
            if (self == 0)
                of_server = server->serve(members, size);
            else if (self < members)
                ask(session, *client, self);
            session.team.barrier.wait();
            if (self != 0) continue;
            session.sent += uint64_t{members - 1} * (warm + counted);
            session.add(
                {"messages", members, size, session.middle(1, members), of_server, members - 1}
            );
        }
    delete server;
}

} // namespace lines
