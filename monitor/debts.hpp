// What a peer has yet to be told hangs as a record on that peer's list, in the order in which it
// came up: a lend before the revoke of what it lends. The record makes the message when the
// peer's channel has room, so that no message is ever queued.
#pragma once

#include "lib/base/list.hpp"
#include "monitor/core_set.hpp"

namespace monitor {

struct Debt {
    enum class Kind : uint8_t {
        binding,
        lend,
        borrow,
        relend,
        word,
        hand,
        revoke,
        forward,
        revoked
    };

    explicit Debt(Kind k) : kind{k} {}

    Kind kind;
    CoreId to{}; // while it hangs there
    ListHook<Debt> hook;

    bool owed() const { return hook.linked(); }
};

using DebtList = List<Debt, &Debt::hook>;

} // namespace monitor
