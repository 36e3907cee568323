#include "lib/os/group.hpp"

#include <algorithm>
#include <bit>
#include <new>

#include "lib/os/span/span.hpp"

namespace os {

using group::MemberId, group::MemberSet;

constexpr uint32_t turns_at_a_time = 4000;

GroupLines::GroupLines(MutableBytes memory, MemberId self, unsigned members, uint32_t poll_turns)
    : memory_{memory}, self_{self}, members_{members}, poll_turns_{poll_turns} {
    INVARIANT(members <= most && memory.size() >= bytes_for(members), "who made it has counted");
    desk(self).thread = scheduler().current();
}

GroupLines::Desk& GroupLines::desk(MemberId m) const {
    void* const at = memory_.data() + m.raw * sizeof(Desk);
    return *std::launder(static_cast<Desk*>(at));
}

void GroupLines::Bell::ring() const {
    // acq_rel: pairs with the one of `sleep`; of all who ring, one wakes
    if (desk.parked.exchange(false, std::memory_order_acq_rel)) scheduler().wake(*desk.thread);
}

ump::Endpoint& GroupLines::to(MemberId peer) {
    auto& end = ends_[peer.raw];
    if (end) return *end;
    const size_t low = std::min(self_, peer).raw, high = std::max(self_, peer).raw;
    const size_t place = high * (high - 1) / 2 + low, bytes = ump::Layout::bytes_for(ring);
    const auto layout =
        ump::Layout::carve(memory_.subspan(members_ * sizeof(Desk) + place * bytes, bytes), ring);
    INVARIANT(layout.has_value(), "all of it is in the memory, and aligned");
    return end.emplace(self_ < peer ? layout->client() : layout->server());
}

void GroupLines::send(MemberId peer, uint16_t tag, const ump::Body& body) {
    ump::Endpoint& end = to(peer);
    while (!end.try_send(tag, 0, body)) {
        // Whoever is asked to read does so sooner or later: its loop needs nothing of ours.
        flush();
        give_way();
    }
    ++sent_;
    unflushed_.insert(peer);
}

void GroupLines::flush() {
    if (unflushed_.empty()) return;
    unflushed_.each([&](MemberId peer) { to(peer).acknowledge(); });
    ump::RealMemory::fence_after_publish();
    unflushed_.each([&](MemberId peer) {
        Bell bell{desk(peer)};
        to(peer).notify_fenced(bell);
    });
    unflushed_ = {};
}

std::optional<GroupLines::Heard> GroupLines::look(const MemberSet& from) {
    std::optional<Heard> heard;
    from.each([&](MemberId peer) {
        if (heard) return;
        ump::Message message;
        if (to(peer).try_recv(message)) heard = Heard{peer, message};
        if (heard) unflushed_.insert(peer); // we may owe it an acknowledgement
    });
    return heard;
}

/// Calls nothing, as its section tells turns that find nothing from work.
[[gnu::section(".text.poll"), gnu::noinline]] static bool
poll_words(const auto* watched, size_t count, uint32_t turns) {
    for (; turns > 0; --turns) {
        for (size_t i = 0; i < count; ++i)
            // acquire: pairs with the release that publishes a line
            if (uint16_t(watched[i].word->load(std::memory_order_acquire)) == watched[i].expected)
                return true;
        __builtin_ia32_pause();
    }
    return false;
}

/// The loop has its turn now and then: a wake-up of ours on its way to another core needs it.
bool GroupLines::poll(const MemberSet& from) {
    if (poll_turns_ == 0) return false;
    size_t count = 0;
    from.each([&](MemberId peer) {
        const ump::Endpoint& end = to(peer);
        watched_[count++] = {&end.next_control(), end.next_sequence()};
    });
    for (uint32_t left = poll_turns_; left > 0;) {
        const uint32_t turns = std::min(left, turns_at_a_time);
        if (poll_words(watched_.data(), count, turns)) return true;
        left -= turns;
        scheduler().rest();
    }
    return false;
}

/// As in docs/channels.md: say so, fence, look once more.
void GroupLines::sleep(const MemberSet& from) {
    ++epoch_;
    from.each([&](MemberId peer) { to(peer).arm(epoch_); });
    Desk& own = desk(self_);
    // release: the fence below orders it before the last look
    own.parked.store(true, std::memory_order_release);
    ump::RealMemory::fence_after_arm();
    bool something = false;
    from.each([&](MemberId peer) { something |= to(peer).has_message(); });
    // acq_rel: if it is no longer ours, somebody has taken it and wakes us
    if (!something || !own.parked.exchange(false, std::memory_order_acq_rel)) scheduler().block();
    from.each([&](MemberId peer) { to(peer).disarm(); });
}

GroupLines::Heard GroupLines::hear(const MemberSet& from) {
    for (;;) {
        if (const auto heard = look(from)) return *heard;
        flush();
        if (!poll(from)) sleep(from);
    }
}

void GroupPlan::make(const group::CostTable& machine, unsigned members) {
    if (machine.revision == 0)
        costs = group::CostTable::unknown(members);
    else
        costs.take(machine, members, [](unsigned i) {
            return group::member(core_of_worker(i).raw);
        });
    shape = group::best_shape(MemberSet::first(members), {}, costs);
}

Group::Group(GroupLines& lines, const How& how)
    : lines_{lines}, view_{1, MemberSet::first(how.members)}, how_{how},
      member_{{lines.self(), view_, {}, how.costs, how.shape, how.slots}, *this},
      barrier_{lines.self(), view_, how.costs, *this, how.shape}, neighbours_{neighbours({})} {}

MemberSet Group::neighbours(MemberId root) const {
    const auto tree = group::Tree::of(how_.shape, view_.members, root, how_.costs);
    MemberSet set = tree.children(lines_.self());
    if (root != lines_.self()) set.insert(tree.parent(lines_.self()));
    return set;
}

template <class Done>
void Group::serve_until(MemberId root, Done&& done) {
    if (root != neighbours_of_) {
        neighbours_ = neighbours(root);
        neighbours_of_ = root;
    }
    while (!done()) {
        const auto [from, line] = lines_.hear(neighbours_);
        if (line.tag() == arrival) {
            const auto& w = line.body;
            barrier_.receive(from, {w[0] != 0, uint32_t(w[1]), uint32_t(w[2])});
        } else if (const auto message = group::Message::unpack(line.body)) {
            member_.receive(from, *message);
        }
    }
    lines_.flush();
}

void Group::send(MemberId to, const group::Message& message) {
    lines_.send(to, operation, message.pack());
}

void Group::send(MemberId to, const group::BarrierMessage& m) {
    lines_.send(to, arrival, {m.release, m.generation, m.epoch});
}

void Group::perform(const group::Request& request) {
    asked_ = request;
    reply();
}

/// When we are asked and have come.
void Group::reply() {
    if (!in_call_ || !asked_ || asked_->operation == group::Operation::broadcast) return;
    const group::Request request = *asked_;
    member_.answer(request.initiator, request.number, says_yes_, mine_);
}

void Group::decided(const group::Request&, bool commit) {
    decision_ = commit;
}

void Group::piece(uint32_t, std::span<const uint64_t> words) {
    INVARIANT(words.size() <= listed_.size() - listed_count_, "members list so many in all");
    std::ranges::copy(words, listed_.begin() + ptrdiff_t(listed_count_));
    listed_count_ += words.size();
}

void Group::begins_again(uint32_t) {
    listed_count_ = 0;
}

void Group::finished(const group::Outcome& outcome) {
    outcome_ = outcome;
}

void Group::released(uint32_t) {
    released_ = true;
}

void Group::broadcast(MemberId root, std::span<uint64_t> words) {
    INVARIANT(words.size() <= group::words_most, "a message has no more");
    if (root == lines_.self()) {
        const auto begun = member_.begin(group::Operation::broadcast, group::Combine::none, words);
        INVARIANT(begun, "one operation at a time");
        lines_.flush();
        return;
    }
    serve_until(root, [&] { return asked_.has_value(); });
    std::ranges::copy_n(asked_->words.begin(), ptrdiff_t(words.size()), words.begin());
    asked_.reset();
}

group::Outcome Group::take_part(
    MemberId root,
    group::Operation what,
    group::Combine how,
    bool yes,
    std::span<const uint64_t> mine
) {
    INVARIANT(mine.size() <= group::words_most, "a message has no more");
    says_yes_ = yes;
    mine_ = mine;
    in_call_ = true;
    listed_count_ = 0;
    if (root == lines_.self()) {
        const auto begun = member_.begin(what, how, {});
        INVARIANT(begun, "one operation at a time");
        serve_until(root, [&] { return outcome_.has_value(); });
    } else {
        reply();
        const bool two = what == group::Operation::agree;
        serve_until(root, [&] {
            return asked_ && (!two || decision_) && member_.has_answered(root);
        });
    }
    in_call_ = false;
    asked_.reset();
    const group::Outcome outcome = outcome_.value_or(group::Outcome{});
    outcome_.reset();
    return outcome;
}

group::Outcome Group::collect(MemberId root, group::Combine how, std::span<const uint64_t> mine) {
    return take_part(root, group::Operation::collect, how, true, mine);
}

bool Group::agree(MemberId root, bool yes) {
    (void)take_part(root, group::Operation::agree, group::Combine::none, yes, {});
    return std::exchange(decision_, std::nullopt).value_or(false);
}

void Group::barrier() {
    released_ = false;
    barrier_.arrive();
    serve_until({}, [&] { return released_; });
}

} // namespace os
