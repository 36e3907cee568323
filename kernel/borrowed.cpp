// Frames between cores: what is lent, what is accepted and kept, and when only its keeper is left.
#include "kernel/core.hpp"

namespace kernel {

namespace {

constexpr unsigned visits_a_removal = 64;

}

Result<> Core::lend(Slot& frame, Slot& into) {
    if (frame.kind != Kind::frame) return fail(Err::cap_type);
    if (!into.empty()) return fail(Err::slot_occupied);
    if (!frame.rights.has(abi::copy)) return fail(Err::cap_rights);
    // what is borrowed is lent on by its owner
    if (frame.has(flag::borrowed)) return fail(Err::foreign);
    if (database_.revoking(frame)) return fail(Err::revoking);
    into.base = frame.base;
    into.bytes = frame.bytes;
    into.kind = Kind::loan;
    into.rights = frame.rights;
    into.depth = static_cast<uint8_t>(frame.depth + 1);
    database_.insert(into);
    ++loans_;
    return {};
}

/// For whom the frame was lent to and who is on its own core after all.
Result<> Core::recall(const Slot& loan, Rights rights, Slot& into) {
    if (loan.kind != Kind::loan) return fail(Err::cap_type);
    if (loan.has(flag::given)) return fail(Err::bad_state);
    if (!loan.rights.has(rights)) return fail(Err::cap_rights);
    Slot* const frame = database_.lent_frame(loan);
    if (frame == nullptr) return fail(Err::cap_empty);
    if (database_.revoking(*frame)) return fail(Err::revoking);
    database_.insert_copy(*frame, into, rights);
    return {};
}

Result<> Core::mark(Slot& slot, bool on) {
    if (!on) {
        database_.unmark_standing(slot);
        return {};
    }
    // each of these is an object of its own, and nothing derives from it
    if (slot.kind == Kind::mapping || slot.kind == Kind::loan) return fail(Err::cap_type);
    return database_.mark_standing(slot);
}

Result<> Core::watch(Slot* doorbell) {
    if (doorbell == nullptr) {
        if (!watch_.empty()) database_.erase(watch_);
        return {};
    }
    if (doorbell->kind != Kind::doorbell) return fail(Err::cap_type);
    if (!doorbell->rights.has(abi::write)) return fail(Err::cap_rights);
    if (database_.revoking(*doorbell)) return fail(Err::revoking);
    if (!watch_.empty()) database_.erase(watch_);
    database_.insert_copy(*doorbell, watch_, doorbell->rights);
    if (drained_many_ || drained_count_ != 0) (void)ring(watch_);
    return {};
}

/// Something borrowed is gone that lay at `base` and was no keeper: are only keepers left?
void Core::note_removed(uint64_t base) {
    Slot* at = database_.overlap(base, base + 1);
    // RAM that was given away lies around what its owner lends back
    unsigned visits = 0;
    while (at != nullptr && !(at->has(flag::borrowed) && at->kind == Kind::frame)) {
        if (++visits == visits_a_removal) return note_drained(nullptr);
        at = database_.overlap_after(*at, base, base + 1);
    }
    if (at != nullptr && database_.idle(*at)) note_drained(at);
}

/// nullptr: it is not known which.
void Core::note_drained(const Slot* keeper) {
    if (keeper == nullptr || drained_count_ == drained_.size()) {
        drained_many_ = true;
    } else {
        for (size_t i = 0; i < drained_count_; ++i) {
            if (drained_[i].base == keeper->base && drained_[i].bytes == keeper->bytes) return;
        }
        drained_[drained_count_++] = {keeper->base, keeper->bytes};
    }
    if (!watch_.empty()) (void)ring(watch_);
}

Core::Drained Core::take_drained() {
    if (drained_many_) {
        drained_many_ = false;
        drained_count_ = 0;
        return {abi::Drained::many, {}};
    }
    if (drained_count_ == 0) return {abi::Drained::none, {}};
    return {abi::Drained::one, drained_[--drained_count_]};
}

} // namespace kernel
