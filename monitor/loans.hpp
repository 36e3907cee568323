// What of this core's memory is lent to whom, exactly. A Loan is one frame; a Lent is one core that
// has it or may have it, entered before the message that lends leaves, erased when the borrower
// says that nothing is left. So the set of borrowers is never too small.
#pragma once

#include "monitor/debts.hpp"
#include "monitor/messages.hpp"
#include "monitor/range.hpp"
#include "monitor/seams.hpp"
#include "monitor/table.hpp"

namespace monitor {

struct Loan : Numbered {
    CapSlot slot{};
    Range range;
    uint32_t lents{};
};

struct Lent : Numbered, Debt {
    Lent() : Debt{Kind::lend} {}

    Loan* loan{}; // null: a doorbell, of which no count is kept once it has been taken
    CoreId core{};
    abi::Rights rights;
    bool in_flight{};  // its answer has not come
    bool of_binding{}; // it went with a Bind, whose answer settles it
    // what the Lend says, until it is told
    EndName end{};
    uint32_t token{};
    Bell bell{};
    // whose sending it was: an end of this core (0: nobody's), or another core's relend
    uint32_t sender_end{};
    bool relent{};
    CoreId relender{};
    uint32_t relend{};
};

using LoanTable = Table<Loan, 1024>;
using LentTable = Table<Lent, 2048>;

} // namespace monitor
