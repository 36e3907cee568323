// RAM that changes its owner, in whole blocks: given up, taken over, taken back. What is given
// leaves a Loan where larger RAM of this core still contains it.
#include "kernel/core.hpp"

namespace kernel {

namespace {

constexpr uint64_t most_bytes = uint64_t{1} << 30; // a call: 512 entries of the window
constexpr unsigned copies_a_call = 32;
constexpr unsigned visits_a_call = 1024;

Result<> check_blocks(uint64_t base, uint64_t bytes) {
    if (base % large_page_bytes != 0 || bytes % large_page_bytes != 0) {
        return fail(Err::misaligned);
    }
    if (bytes > most_bytes || base >= OwnedBlocks::limit) return fail(Err::range_bounds);
    if (bytes > OwnedBlocks::limit - base) return fail(Err::range_bounds);
    return {};
}

} // namespace

void Core::own(uint64_t begin, uint64_t end) {
    owned_.set(begin, end, true);
    statistics_.bytes_owned += end - begin;
}

/// Nothing reaches [begin, end) from here any more.
void Core::disown(uint64_t begin, uint64_t end) {
    owned_.set(begin, end, false);
    statistics_.bytes_owned -= end - begin;
    machine_.disown(phys(begin), phys(end));
}

Result<> Core::check_blocks_free(uint64_t base, uint64_t bytes) const {
    TRY_VOID(check_blocks(base, bytes));
    if (owned_.any(base, base + bytes)) return fail(Err::range_in_use);
    if (database_.overlap(base, base + bytes) != nullptr) return fail(Err::range_in_use);
    return {};
}

/// May this RAM leave the core? Then it is one capability, with nothing derived.
Result<> Core::prepare_to_leave(Slot& ram) {
    if (ram.kind != Kind::ram) return fail(Err::cap_type);
    if (!ram.rights.has(abi::write)) return fail(Err::cap_rights);
    if (ram.base % large_page_bytes != 0 || ram.bytes % large_page_bytes != 0) {
        return fail(Err::misaligned);
    }
    if (ram.bytes > most_bytes) return fail(Err::range_bounds);
    if (database_.revoking(ram)) return fail(Err::revoking);
    if (database_.descendant(ram) != nullptr) return fail(Err::range_in_use);
    for (unsigned i = 0; i < copies_a_call; ++i) {
        Slot* const copy = database_.copy_of(ram);
        if (copy == nullptr) return {};
        database_.erase(*copy);
    }
    return database_.is_last(ram) ? Result<>{} : fail(Err::again);
}

Result<> Core::accept_ram(Slot& into, const Root& root) {
    if (!into.empty()) return fail(Err::slot_occupied);
    TRY_VOID(check_blocks_free(root.base, root.bytes));
    TRY_VOID(machine_.own(phys(root.base), phys(root.base + root.bytes)));
    return insert_root(
        into, {.kind = Kind::ram, .base = root.base, .bytes = root.bytes, .rights = abi::all_rights}
    );
}

Result<bool> Core::give(Slot& ram) {
    TRY_VOID(prepare_to_leave(ram));
    return leave(ram);
}

/// It is prepared. True: what contains it sees a Loan in its place, which can become RAM again.
bool Core::leave(Slot& ram) {
    disown(ram.base, ram.end());
    Slot what = ram;
    const bool leaves_loan = database_.ancestor(ram) != nullptr;
    database_.erase(ram);
    if (!leaves_loan) return false;
    what.kind = Kind::loan;
    what.flags = flag::given;
    database_.insert_as(ram, what);
    ++loans_;
    return true;
}

/// Nothing of another core's may be in use in memory that comes back.
Result<> Core::check_not_borrowed(uint64_t begin, uint64_t end) const {
    Slot* at = database_.overlap(begin, end);
    for (unsigned visits = 0; at != nullptr; ++visits) {
        if (at->has(flag::borrowed) || visits == visits_a_call) return fail(Err::range_in_use);
        at = database_.overlap_after(*at, begin, end);
    }
    return {};
}

Result<> Core::regain(Slot& loan) {
    if (loan.kind != Kind::loan) return fail(Err::cap_type);
    if (!loan.has(flag::given)) return fail(Err::bad_state);
    TRY_VOID(check_not_borrowed(loan.base, loan.end()));
    TRY_VOID(machine_.own(phys(loan.base), phys(loan.end())));
    Slot what = loan;
    database_.erase(loan);
    what.kind = Kind::ram;
    what.flags = 0;
    database_.insert_as(loan, what);
    --loans_;
    own(loan.base, loan.end());
    return {};
}

Result<> Core::split(Slot& loan, uint64_t offset, Slot& into) {
    if (loan.kind != Kind::loan) return fail(Err::cap_type);
    if (!loan.has(flag::given)) return fail(Err::bad_state);
    if (!into.empty()) return fail(Err::slot_occupied);
    if (offset % large_page_bytes != 0) return fail(Err::misaligned);
    if (offset == 0 || offset >= loan.bytes) return fail(Err::range_bounds);
    Slot front = loan, rest = loan;
    front.bytes = offset;
    rest.base += offset;
    rest.bytes -= offset;
    database_.erase(loan);
    database_.insert_as(loan, front);
    database_.insert_as(into, rest);
    ++loans_;
    return {};
}

} // namespace kernel
