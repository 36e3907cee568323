#include "lib/group/member.hpp"

#include <utility>

namespace group {

using Fate = Member::Slot::Fate;

Member::Member(const Start& start, Seam& seam)
    : self_{start.self}, view_{start.view}, known_{start.view.members}, costs_{start.costs},
      shape_{start.shape}, slots_{start.slots}, joins_later_{start.joins_later}, seam_{seam} {
    view_.members.each([&](MemberId m) {
        INVARIANT(m.raw < slots_.size(), "there is a slot for each member");
    });
    INVARIANT(view_.members.contains(self_), "a member is in its own view");
    start.former.each([&](MemberId m) { known_.insert(m); });
}

void Member::begin_membership() {
    if (!joins_later_) return;
    busy_ = true;
    open_wave(slot(self_), self_, Kind::ask);
    coordinate();
}

/// Begins again what falls to us in this view.
void Member::coordinate() {
    for (size_t i = 0; i < slots_.size(); ++i) {
        const MemberId m = member(i);
        if (m == self_) {
            restart_own();
        } else if (coordinator(m) == self_ && known_.contains(m) && !recovered_.contains(m)) {
            open_wave(slot(m), m, Kind::ask);
        }
    }
}

const Tree& Member::tree(MemberId root) {
    for (const auto& known : trees_)
        if (known && known->root() == root) return *known;
    auto& place = trees_[next_tree_++ % trees_.size()];
    return place.emplace(Tree::of(shape_, view_.members, root, costs_));
}

Result<uint32_t> Member::begin(Operation what, Combine how, std::span<const uint64_t> words) {
    if (busy_) return fail(Err::busy);
    if (words.size() > words_most) return fail(Err::bad_argument);
    Slot& own = slot(self_);
    own.request = {what, how, self_, own.request.number + 1, static_cast<uint8_t>(words.size())};
    std::ranges::copy(words, own.request.words.begin());
    const uint32_t number = own.request.number;
    own.fate = Fate::none;
    reason_ = Err::none;
    busy_ = begun_ = what != Operation::broadcast;
    open_wave(own, self_, Kind::perform);
    return number;
}

void Member::answer(MemberId m, uint32_t number, bool yes, std::span<const uint64_t> words) {
    if (m.raw >= slots_.size() || words.size() > words_most) return;
    Slot& s = slot(m);
    if (s.request.number != number || s.fate != Fate::pending) return;
    s.fate = Fate::answered;
    s.own = message_of(s, m, Kind::performed);
    s.own.verdict = yes ? Verdict::yes : Verdict::no;
    s.own.answered = 1;
    s.own.count = static_cast<uint8_t>(words.size());
    s.own.words = {};
    std::ranges::copy(words, s.own.words.begin());
    if (!s.wave.open || !s.wave.own_pending || s.wave.epoch != view_.epoch) return;
    s.wave.own_pending = false;
    merge(s, m, s.own);
    try_conclude(s, m);
}

void Member::receive(MemberId from, const Message& m) {
    if (m.initiator.raw >= slots_.size()) {
        ++refused_;
        return;
    }
    if (m.epoch < view_.epoch) return; // its sender will begin again, or its successor
    if (!goes_down(m.kind)) {
        receive_answer(from, m);
    } else if (m.epoch > view_.epoch) {
        // Whoever coordinates is in the newest view already, and begins again in that one.
        auto& held = slot(m.initiator).held;
        if (!held || held->message.epoch <= m.epoch) held = {from, m};
    } else {
        receive_down(from, m);
    }
}

void Member::receive_down(MemberId from, const Message& m) {
    const MemberId root = coordinator(m.initiator);
    if (root == self_ || tree(root).parent(self_) != from) {
        ++refused_;
        return;
    }
    Slot& s = slot(m.initiator);
    if (m.kind == Kind::perform) {
        take_perform(m);
    } else if (m.kind == Kind::decide) {
        take_decision(m);
    } else if (s.wave.epoch != view_.epoch || s.wave.kind != Kind::ask) {
        open_wave(s, m.initiator, Kind::ask);
    }
}

void Member::adopt(Slot& s, const Message& m) {
    s.request = {m.operation, m.combine, m.initiator, m.number, m.count, m.words};
    s.fate = Fate::none;
}

/// A new operation, or one that begins again in this view.
void Member::take_perform(const Message& m) {
    Slot& s = slot(m.initiator);
    if (m.number < s.request.number) return;
    const bool fresh = m.number > s.request.number;
    if (!fresh && s.wave.epoch == view_.epoch && s.wave.kind == Kind::perform) return;
    if (fresh) adopt(s, m);
    open_wave(s, m.initiator, Kind::perform);
}

void Member::take_decision(const Message& m) {
    Slot& s = slot(m.initiator);
    if (m.number < s.request.number) return;
    if (m.number == s.request.number && s.wave.epoch == view_.epoch && s.wave.kind == Kind::decide)
        return;
    if (m.number > s.request.number) adopt(s, m);
    settle_own(s, m.verdict == Verdict::committed);
    open_wave(s, m.initiator, Kind::decide);
}

/// Once, and an abort only where something was asked for.
void Member::settle_own(Slot& s, bool commit) {
    if (s.fate == Fate::committed || s.fate == Fate::aborted) return;
    const bool asked = s.fate != Fate::none;
    s.fate = commit ? Fate::committed : Fate::aborted;
    if (asked || commit) seam_.decided(s.request, commit);
}

Message Member::message_of(const Slot& s, MemberId initiator, Kind kind) const {
    Message m{
        .kind = kind,
        .operation = s.request.operation,
        .combine = s.request.combine,
        .initiator = initiator,
        .count = s.request.count,
        .number = s.request.number,
        .epoch = view_.epoch,
        .words = s.request.words,
    };
    if (kind == Kind::decide)
        m.verdict = s.fate == Fate::committed ? Verdict::committed : Verdict::aborted;
    return m;
}

/// Sends down, does its own part, and answers when that is all.
void Member::open_wave(Slot& s, MemberId initiator, Kind kind) {
    const Tree& way = tree(coordinator(initiator));
    const bool answers = kind != Kind::perform || s.request.operation != Operation::broadcast;
    s.wave = {.kind = kind, .open = answers, .epoch = view_.epoch};
    s.wave.sum = message_of(s, initiator, answer_to(kind));
    s.wave.sum.count = 0;
    s.wave.sum.words = {};
    if (answers) s.wave.awaiting = way.children(self_);
    // Until our own part is in, nothing that comes back can conclude the wave.
    s.wave.own_pending = true;
    const Message down = message_of(s, initiator, kind);
    way.each_child(self_, [&](MemberId child) { seam_.send(child, down); });
    if (kind == Kind::perform) {
        take_part(s, initiator, s.fate == Fate::none);
        return;
    }
    s.wave.own_pending = false;
    Message own = message_of(s, initiator, answer_to(kind));
    own.answered = 1;
    merge(s, initiator, kind == Kind::ask ? state_of(s, initiator) : own);
    try_conclude(s, initiator);
}

void Member::take_part(Slot& s, MemberId initiator, bool fresh) {
    if (s.request.operation == Operation::broadcast) {
        if (initiator != self_) seam_.perform(s.request);
        return;
    }
    if (fresh) {
        s.fate = Fate::pending;
        seam_.perform(Request{s.request});
        return;
    }
    if (s.fate == Fate::pending) return; // it is still at it
    s.wave.own_pending = false;
    merge(s, initiator, s.own);
    try_conclude(s, initiator);
}

void Member::receive_answer(MemberId from, const Message& m) {
    Slot& s = slot(m.initiator);
    if (!s.wave.open || s.wave.epoch != m.epoch || m.kind != answer_to(s.wave.kind)) return;
    if (m.kind != Kind::told && m.number != s.request.number) return;
    if (!s.wave.awaiting.contains(from)) {
        ++refused_;
        return;
    }
    if (m.verdict != Verdict::more) s.wave.awaiting.erase(from);
    merge(s, m.initiator, m);
    try_conclude(s, m.initiator);
}

void Member::merge(Slot& s, MemberId initiator, const Message& answer) {
    Message& sum = s.wave.sum;
    if (s.wave.kind == Kind::ask) {
        merge_state(sum, answer);
        return;
    }
    if (s.wave.kind == Kind::perform) {
        if (answer.verdict == Verdict::no) sum.verdict = Verdict::no;
        if (answer.verdict == Verdict::yes && sum.verdict == Verdict::none)
            sum.verdict = Verdict::yes;
        merge_words(s, initiator, answer);
    }
    sum.answered = static_cast<uint16_t>(sum.answered + answer.answered);
}

void Member::merge_words(Slot& s, MemberId initiator, const Message& answer) {
    Message& sum = s.wave.sum;
    if (s.request.combine != Combine::list) {
        // The first answer is taken as it is: 0 is not neutral for each way of combining.
        for (size_t i = 0; i < answer.count; ++i)
            sum.words[i] = i < sum.count
                               ? combined(s.request.combine, sum.words[i], answer.words[i])
                               : answer.words[i];
        sum.count = std::max(sum.count, answer.count);
        return;
    }
    for (const uint64_t word : answer.content()) {
        if (sum.count == words_most) {
            Message more = sum;
            more.verdict = Verdict::more;
            more.answered = 0;
            const MemberId root = coordinator(initiator);
            if (root == self_) {
                seam_.piece(s.request.number, more.words);
            } else {
                seam_.send(tree(root).parent(self_), more);
            }
            sum.count = 0;
        }
        sum.words[sum.count++] = word;
    }
}

/// What we know of the member's last operation.
Message Member::state_of(const Slot& s, MemberId initiator) const {
    Message m = message_of(s, initiator, Kind::told);
    m.answered = 1;
    if (s.request.operation != Operation::agree) return m;
    m.verdict = s.fate == Fate::committed ? Verdict::committed
                : s.fate == Fate::aborted ? Verdict::aborted
                                          : Verdict::prepared;
    return m;
}

/// The newest operation counts, and of that one a decision.
void Member::merge_state(Message& sum, const Message& told) const {
    const auto answered = static_cast<uint16_t>(sum.answered + told.answered);
    const bool decided = told.verdict == Verdict::committed || told.verdict == Verdict::aborted;
    if (told.number > sum.number || sum.answered == 0 || (told.number == sum.number && decided))
        sum = told;
    sum.answered = answered;
}

/// With all answers, or the first no of an agreement, there is something to say.
void Member::try_conclude(Slot& s, MemberId initiator) {
    Slot::Wave& wave = s.wave;
    if (!wave.open || wave.epoch != view_.epoch) return;
    const bool refused = wave.kind == Kind::perform && wave.sum.verdict == Verdict::no &&
                         s.request.operation == Operation::agree;
    if (!refused && (wave.own_pending || !wave.awaiting.empty())) return;
    wave.open = false;
    const MemberId root = coordinator(initiator);
    if (root == self_) {
        conclude(s, initiator);
        return;
    }
    Message up = wave.sum;
    up.kind = answer_to(wave.kind);
    up.epoch = view_.epoch;
    seam_.send(tree(root).parent(self_), up);
}

void Member::conclude(Slot& s, MemberId initiator) {
    const Message sum = s.wave.sum;
    if (s.wave.kind == Kind::ask) {
        concluded_ask(s, initiator);
    } else if (s.wave.kind == Kind::perform && s.request.operation == Operation::agree) {
        if (sum.verdict == Verdict::no) reason_ = Err::cancelled;
        decide(s, initiator, sum.verdict == Verdict::yes);
    } else if (initiator != self_) {
        recovered_.insert(initiator);
    } else if (s.wave.kind == Kind::decide) {
        finish(s, s.fate == Fate::committed ? Err::none : reason_, sum);
    } else {
        finish(s, sum.verdict == Verdict::no ? Err::cancelled : Err::none, sum);
    }
}

/// All live members have said what they know: nobody else will ever carry anything out. A member
/// that says `prepared` has no decision, and if nobody has one, none was ever acted on.
void Member::concluded_ask(Slot& s, MemberId initiator) {
    const Message sum = s.wave.sum;
    const bool ours = initiator == self_;
    if (sum.number > s.request.number) adopt(s, sum);
    if (sum.verdict == Verdict::none) {
        recovered_.insert(initiator);
        if (ours) busy_ = false;
        return;
    }
    reason_ = Err::peer_gone;
    decide(s, initiator, sum.verdict == Verdict::committed);
}

void Member::decide(Slot& s, MemberId initiator, bool commit) {
    settle_own(s, commit);
    open_wave(s, initiator, Kind::decide);
}

void Member::finish(Slot& s, Err status, const Message& sum) {
    busy_ = false;
    // What a former life of ours had begun is settled now, but nobody here waits for it.
    if (!std::exchange(begun_, false)) return;
    seam_.finished({s.request.number, status, sum.answered, sum.count, sum.words});
}

void Member::give_up() {
    Slot& own = slot(self_);
    if (!busy_ || own.wave.kind != Kind::perform) return;
    reason_ = Err::timed_out;
    if (own.request.operation == Operation::agree) {
        decide(own, self_, false);
        return;
    }
    own.wave.open = false;
    finish(own, Err::timed_out, own.wave.sum);
}

void Member::view(const View& next) {
    if (next.epoch <= view_.epoch || !next.members.contains(self_)) return;
    view_ = next;
    trees_ = {};
    next.members.each([&](MemberId m) {
        known_.insert(m);
        recovered_.erase(m);
    });
    coordinate();
    for (size_t i = 0; i < slots_.size(); ++i) {
        auto& held = slots_[i].held;
        if (!held || held->message.epoch > view_.epoch) continue;
        const Slot::Held one = *held;
        held.reset();
        receive(one.from, one.message);
    }
}

void Member::restart_own() {
    Slot& own = slot(self_);
    if (!busy_ || own.wave.epoch == view_.epoch) return;
    const bool decided = own.fate == Fate::committed || own.fate == Fate::aborted;
    if (own.wave.kind != Kind::perform || !decided) {
        if (own.wave.kind == Kind::perform) seam_.begins_again(own.request.number);
        open_wave(own, self_, own.wave.kind);
    }
}

} // namespace group
