// Revokes by way of others. Who is asked passes it on to a part of those that are to be asked, by a
// tree of what messages cost that it makes itself, and answers when all behind it have. So nobody
// has to agree on a tree, and the longest way is logarithmic.
//
// When one of them is lost the owner asks all directly, and begins a new round: when it hears of
// the loss, or of who passed it on and heard of the loss first. What is still on its way of an
// earlier round is overtaken by that: a core drops it once it has heard of the owner.
#include <utility>

#include "lib/base/mutant.hpp"
#include "lib/group/tree.hpp"
#include "monitor/monitor.hpp"

namespace monitor {

namespace {

using group::MemberId, group::Tree;

group::MemberSet members(const CoreSet& cores, CoreId self) {
    group::MemberSet set;
    cores.each([&](CoreId core) { set.insert(group::member(core.raw)); });
    set.insert(group::member(self.raw));
    return set;
}

/// All that hear of it by way of `top`.
void collect_below(const Tree& tree, MemberId top, CoreSet& into) {
    tree.each_child(top, [&](MemberId child) {
        into.insert({{child.raw}});
        collect_below(tree, child, into);
    });
}

void add_handling(group::CostTable& costs, group::Cost send, group::Cost way) {
    costs.send += send;
    for (auto& row : costs.between)
        for (group::Cost& cost : row)
            cost += way;
    for (auto& row : costs.pair)
        for (group::Cost& cost : row)
            if (cost != 0) cost += way;
}

} // namespace

/// Gives parts of `beyond` to cores of it, as far as there is room: the cores that will answer.
/// Errors: those of need_link; what was given stays given.
Result<CoreSet> Monitor::spread(Revoke& content) {
    if (std::exchange(tree_costs_revision_, costs_.revision()) != costs_.revision()) {
        costs_.fill(tree_costs_);
        add_handling(tree_costs_, handling_.send, handling_.way);
    }
    const MemberId self = group::member(self_.raw);
    const Tree tree = Tree::measured(members(content.beyond, self_), self, tree_costs_);
    CoreSet asked;
    Result<> linked;
    tree.each_child(self, [&](MemberId child) {
        const CoreId core{{child.raw}};
        if (!linked || forwards_.full()) return;
        linked = need_link(core);
        if (!linked) return;
        Forward& forward = **forwards_.take();
        forward.content = content;
        forward.content.beyond = {};
        collect_below(tree, child, forward.content.beyond);
        content.beyond.erase(core);
        content.beyond.erase_all(forward.content.beyond);
        owe(forward, core);
        asked.insert(core);
    });
    if (!linked) return fail(linked.error());
    return asked;
}

// -- the owner --

void Monitor::spread(Revocation& revocation) {
    if (revocation.below.empty()) return;
    Revoke content{
        .operation = revocations_.number_of(revocation),
        .owner = self_,
        .life = static_cast<uint8_t>(cores_[self_].version),
        .round = revocation.round,
        .base = revocation.range.base,
        .bytes = revocation.range.bytes,
        .beyond = revocation.below,
    };
    const auto asked = spread(content);
    if (!asked) return ask_all_directly();
    revocation.below = content.beyond;
    revocation.unanswered.insert_all(*asked);
}

void Monitor::drop_forwards(CoreId owner, std::optional<uint32_t> operation) {
    forwards_.each([&](Forward& forward) {
        if (forward.content.owner != owner) return;
        if (operation && forward.content.operation != *operation) return;
        forgive(forward);
        forwards_.release(forward);
    });
}

/// Nothing is certain any more of what goes by way of others.
void Monitor::ask_all_directly() {
    ++round_;
    for (Revocation* const revocation : marks_) {
        if (revocation == nullptr || revocation->tree.empty()) continue;
        if (revocation->state != Revocation::State::gathering) continue;
        drop_forwards(self_, revocations_.number_of(*revocation));
        revocation->round = round_;
        revocation->below = {};
        CoreSet again = std::exchange(revocation->tree, {});
        again.insert_all(revocation->unanswered); // their answers are of an earlier round
        ask(*revocation, again);
    }
    busy_ = true;
}

// -- who passes it on --

/// Only the owner's own words are in order with what it lends.
bool Monitor::is_overtaken(CoreId from, const Revoke& message) const {
    if (from == message.owner) return false;
    const Peer& owner = peers_[message.owner.raw];
    const auto end_of_last_life = static_cast<uint8_t>(cores_.end_of_last_life(message.owner));
    return owner.link == Link::none || is_before(message.round, owner.round) ||
           static_cast<int8_t>(message.life - end_of_last_life) <= 0;
}

void Monitor::begin_relay(RevokeJob& job, const Revoke& message) {
    const auto relay = relays_.take();
    job.incomplete = !relay;
    if (!relay) return;
    job.relay = *relay;
    job.relay->content = message;
    spread(job);
}

void Monitor::spread(RevokeJob& job) {
    Relay& relay = *job.relay;
    if (relay.content.beyond.empty()) return;
    if (const auto asked = spread(relay.content)) {
        relay.unanswered.insert_all(*asked);
        return;
    }
    job.incomplete = true;
    relay.content.beyond = {};
    relay.unanswered = {}; // the owner asks them
}

void Monitor::end_relay(RevokeJob& job) {
    if (job.relay == nullptr) return;
    drop_forwards(job.owner, job.operation);
    relays_.release(*std::exchange(job.relay, nullptr));
}

// -- both --

void Monitor::on(CoreId from, const Revoked& message) {
    if (message.owner != self_) {
        for (RevokeJob& job : peer(message.owner).jobs) {
            const bool meant = job.used && job.relay != nullptr && job.round == message.round &&
                               job.operation == message.operation;
            if (!meant) continue;
            job.relay->unanswered.erase(from);
            job.incomplete |= !message.complete;
            busy_ = true;
        }
        return;
    }
    Revocation* const revocation = revocations_.find(message.operation);
    const bool expected = revocation != nullptr && revocation->round == message.round &&
                          revocation->unanswered.contains(from);
    if (!expected) {
        // Of those that were asked twice both answers come.
        if (message.round == round_) ++counters_.bad_messages;
        return;
    }
    if (!message.complete) return ask_all_directly();
    gathered(*revocation, from);
}

/// Nobody will answer for those behind `core`, and what it has passed on nobody asks for.
void Monitor::lost_on_the_way(CoreId core) {
    for (RevokeJob& job : peer(core).jobs)
        end_relay(job);
    drop_forwards(core, std::nullopt);
    forwards_.each([&](Forward& forward) { forward.content.beyond.erase(core); });
    for (RevokeJob& job : jobs_) {
        if (job.relay == nullptr) continue;
        // The owner asks those behind it; if it has yet to hear of the loss, because we say so.
        const bool unheard = job.relay->unanswered.contains(core);
        if (!planted(Mutant::relay_for_the_lost)) job.incomplete |= unheard;
        job.relay->content.beyond.erase(core);
        job.relay->unanswered.erase(core);
    }
    busy_ = true;
    bool meant = false;
    for (const Revocation* const revocation : marks_)
        meant |= revocation != nullptr && revocation->tree.contains(core);
    if (meant) ask_all_directly();
}

} // namespace monitor
