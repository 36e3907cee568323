// Revocations under way: those that this core drives as the owner, and those in which it takes
// part as a borrower. Both go on in bounded steps, whatever becomes of who asked.
#pragma once

#include <optional>

#include "monitor/loans.hpp"
#include "monitor/messages.hpp"

namespace monitor {

/// Of two rounds of one owner.
constexpr bool is_before(uint16_t round, uint16_t other) {
    return static_cast<int16_t>(round - other) < 0;
}

struct Revocation : Numbered {
    enum class State : uint8_t {
        waiting,   // for one of the marks
        gathering, // each core in `unanswered` has yet to say that nothing is left there
        removing,  // here, step by step
        done,      // its caller has yet to hear
    };

    State state{};
    CapSlot what{}; // the monitor's own copy, the caller's again in the end
    Range range;
    std::optional<uint32_t> caller; // nobody: it died meanwhile
    CoreSet unanswered;             // who was asked, for itself or for all behind it as well
    CoreSet tree;                   // all who are reached by way of others
    CoreSet below;                  // of these, who has yet to be given to somebody
    uint16_t round{};
    uint64_t turn{}; // in line
    size_t place_of_mark{};
    Fault status{Err::none};
    ListHook<Revocation> hook; // of the client's list
};

using DoneList = List<Revocation, &Revocation::hook>;
using RevocationTable = Table<Revocation, 64>;

/// One core is to be told of one revocation.
struct RevokeOut : Debt {
    RevokeOut() : Debt{Kind::revoke} {}

    uint32_t operation{};
};

/// One core is to be told of a revocation for itself and for all in `beyond`.
struct Forward : Numbered, Debt {
    Forward() : Debt{Kind::forward} {}

    Revoke content{};
};

using ForwardTable = Table<Forward, 128>;

/// Those behind this core, in a revocation that it passes on.
struct Relay : Numbered {
    Revoke content{}; // its `beyond`: who has yet to be given to somebody
    CoreSet unanswered;
};

using RelayTable = Table<Relay, 32>;

/// A revocation of another core's memory, here.
struct RevokeJob : Debt {
    RevokeJob() : Debt{Kind::revoked} {}

    CoreId asker{}; // the owner, or who passed it on
    uint16_t round{};
    bool incomplete{}; // it could not be passed on to all
    Relay* relay{};    // nobody behind us

    bool used{};
    CoreId owner{};
    uint32_t operation{};
    Range range;
    ListHook<RevokeJob> job_hook;
};

using JobList = List<RevokeJob, &RevokeJob::job_hook>;

} // namespace monitor
