// Memory that is lent: the owner's tables, and the borrower's.
#include <utility>

#include "lib/base/mutant.hpp"
#include "monitor/monitor.hpp"

namespace monitor {

// -- the owner --

Loan* Monitor::find_loan(const Range& range) {
    for (size_t i = 0; i < loans_.end(); ++i)
        if (Loan* const loan = loans_.at(i); loan != nullptr && loan->range == range) return loan;
    return nullptr;
}

/// `core` has it or may have it, from now on: before the message that lends can leave.
Result<Lent*> Monitor::enter(Loan& loan, CoreId core, abi::Rights rights) {
    Lent& lent = *TRY(lents_.take());
    lent.loan = &loan;
    lent.core = core;
    lent.rights = rights;
    ++loan.lents;
    return &lent;
}

Result<Lent*> Monitor::lend(CoreId to, CapSlot frame, const Range& range, abi::Rights rights) {
    // A frame that is lent already needs no new Loan, so the CPU driver is not asked.
    if (is_revoking(range)) return fail(Err::revoking);
    if (lents_.full()) return fail(Err::no_space);
    Loan* loan = find_loan(range);
    if (loan == nullptr) {
        loan = TRY(loans_.take());
        loan->range = range;
        const auto made = kernel_.lend(frame);
        if (!made) {
            loans_.release(*loan);
            return fail(made.error());
        }
        loan->slot = *made;
    }
    return enter(*loan, to, rights);
}

/// Its place among the answers is taken (`ask`), and the message goes when there is room.
void Monitor::begin_lend(Lent& lent, const EndName& end, uint32_t token) {
    lent.in_flight = true;
    lent.end = end;
    lent.token = token;
    owe(lent, lent.core);
}

/// The borrower has answered, or never will.
void Monitor::settle_lend(Lent& lent, Fault status) {
    if (!std::exchange(lent.in_flight, false)) return;
    if (lent.of_binding) return; // the answer to its Bind was counted
    forgive(lent);
    answered(lent.core);
    if (lent.relent)
        say(lent.relender, Word::What::relend_answer, lent.relend, status);
    else
        sent_was_taken(lent.sender_end);
}

/// `lent.core` has nothing of it any more.
void Monitor::end_lend(Lent& lent, Fault status) {
    settle_lend(lent, status);
    Loan* const loan = lent.loan;
    lents_.release(lent);
    if (loan == nullptr) return;
    --loan->lents;
    forget_unused(*loan);
}

void Monitor::end_lend(uint32_t number, Fault status) {
    if (Lent* const lent = lents_.find(number)) end_lend(*lent, status);
}

void Monitor::forget_unused(Loan& loan) {
    if (loan.lents > 0) return;
    drop(loan.slot);
    loans_.release(loan);
}

Message Monitor::lend_message(const Lent& lent) {
    monitor::Lend message{
        .lend = lents_.number_of(lent),
        .end = lent.end,
        .token = lent.token,
        .kind = lent.loan != nullptr ? abi::Kind::frame : abi::Kind::doorbell,
        .rights = planted(Mutant::rights_grow) ? abi::all_rights : lent.rights,
        .bell = lent.bell,
    };
    if (lent.loan != nullptr) {
        message.base = lent.loan->range.base;
        message.bytes = lent.loan->range.bytes;
    }
    return message;
}

void Monitor::on(CoreId from, const LendAnswer& message) {
    Lent* const lent = lents_.find(message.lend);
    if (lent == nullptr || lent->core != from || !lent->in_flight || lent->of_binding) {
        ++counters_.bad_messages;
        return;
    }
    settle_lend(*lent, message.status);
    const bool kept =
        message.status == Err::none && lent->loan != nullptr && !planted(Mutant::loan_lost);
    if (!kept) end_lend(*lent, message.status);
}

void Monitor::on(CoreId from, const Return& message) {
    Lent* const lent = lents_.find(message.lend);
    // A revoke may have come by way of others, and its answer before this.
    if (lents_.had(message.lend)) return;
    if (lent == nullptr || lent->core != from || lent->loan == nullptr) {
        ++counters_.bad_messages;
        return;
    }
    if (!planted(Mutant::return_ignored)) end_lend(*lent, Err::none);
}

// -- the borrower --

Result<Borrow*> Monitor::borrow(CoreId owner, uint32_t lend, const Described& what) {
    Borrow& borrow = *TRY(borrows_.take());
    const auto keeper = kernel_.accept(what);
    if (!keeper) {
        borrows_.release(borrow);
        return fail(keeper.error());
    }
    borrow.keeper = *keeper;
    borrow.owner = owner;
    borrow.lend = lend;
    borrow.range = {what.base, what.bytes};
    return &borrow;
}

/// A copy for a domain: from now on the CPU driver says when the last one has gone.
Result<CapSlot> Monitor::give_out(Borrow& borrow) {
    const CapSlot copy = TRY(kernel_.copy(borrow.keeper));
    borrow.taken = true;
    borrow.parcel = 0;
    return copy;
}

/// Nothing but the keeper is left: the owner may forget that it was lent.
void Monitor::give_back(Borrow& borrow) {
    drop(borrow.keeper);
    if (peer(borrow.owner).link == Link::none) return borrows_.release(borrow);
    owe(borrow, borrow.owner);
}

/// The owner knows, or hears of it in another way.
void Monitor::forget(Borrow& borrow) {
    drop(borrow.keeper);
    forgive(borrow);
    borrows_.release(borrow);
}

bool Monitor::may_return(const Borrow& borrow) {
    if (!borrow.taken || borrow.keeper == abi::null_slot) return false;
    if (pinned_end(borrow.owner, borrow.range) != nullptr) return false;
    const auto what = kernel_.describe(borrow.keeper);
    // A copy may have been given out since the CPU driver said so.
    return !what || what->idle || planted(Mutant::drained_too_early);
}

/// A few of what the CPU driver says has drained.
bool Monitor::take_drained() {
    constexpr unsigned a_turn = 8;
    for (unsigned i = 0; i < a_turn; ++i) {
        const Drained next = kernel_.drained();
        if (next.what == Drained::What::nothing) {
            drained_ = false;
            return i > 0;
        }
        if (next.what == Drained::What::look_at_all) {
            sweep_ = borrows_.end();
            continue;
        }
        const Range range{next.base, next.bytes};
        borrows_.each([&](Borrow& borrow) {
            if (borrow.range == range && may_return(borrow)) give_back(borrow);
        });
    }
    return true;
}

/// Some of the borrows, when it is not known which have drained.
bool Monitor::sweep() {
    constexpr unsigned a_turn = 16;
    for (unsigned i = 0; i < a_turn && sweep_ > 0; ++i) {
        Borrow* const borrow = borrows_.at(--sweep_);
        if (borrow != nullptr && may_return(*borrow)) give_back(*borrow);
    }
    return sweep_ > 0;
}

} // namespace monitor
