// What this core has of others. A Borrow is one thing lent to us: the monitor holds its keeper, a
// capability of which the domains have copies, and gives it back when only keepers are left. A
// Parcel is a capability that came for an end of a binding and waits to be taken.
#pragma once

#include "monitor/loans.hpp"

namespace monitor {

struct Borrow : Numbered, Debt {
    Borrow() : Debt{Kind::borrow} {}

    CapSlot keeper{}; // null: it is on its way back
    CoreId owner{};
    uint32_t lend{}; // the owner's number
    Range range;
    bool taken{};      // a domain has had a copy
    uint32_t parcel{}; // that waits with it, 0 none
};

struct Parcel : Numbered {
    enum class Answer : uint8_t { local, lend, relend, none };

    uint32_t end{}; // the binding for which it came
    uint32_t token{};
    Fault status{Err::none}; // why it is empty
    CapSlot slot{};          // what it is, or
    uint32_t borrow{};       // of which a copy will be given
    // Who hears that it was taken: the sending end of this core, or a core by its number.
    Answer answer{Answer::none};
    CoreId from{};
    uint32_t number{};
    ListHook<Parcel> hook;
};

using ParcelList = List<Parcel, &Parcel::hook>;

/// A borrowed frame that a domain of ours sent on: its owner's affair until the answer comes.
struct Relent : Numbered, Debt {
    Relent() : Debt{Kind::relend} {}

    CoreId owner{};
    Relend content{};
    uint32_t sender_end{};
};

/// Answers for which there is no other record. Each message that asks for one has a place here
/// before it is sent: its sender counts them (Monitor::credit).
struct Word : Numbered, Debt {
    enum class What : uint8_t {
        bind_unheard, // the server's core did not even accept the frame
        bind_refused,
        lend_answer,
        relend_answer,
        hand_answer,
        lend_failed,
    };

    Word() : Debt{Kind::word} {}

    What what{};
    uint32_t number{};
    Fault status{Err::none};
    // lend_failed: which end waits in vain; the relender is answered afterwards
    EndName end{};
    uint32_t token{};
};

using BorrowTable = Table<Borrow, 1024>;
using ParcelTable = Table<Parcel, 512>;
using RelentTable = Table<Relent, 256>;
using WordTable = Table<Word, 2048>;

} // namespace monitor
