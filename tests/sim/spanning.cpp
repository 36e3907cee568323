#include "tests/sim/spanning.hpp"

#include <algorithm>
#include <utility>

#include "tests/sim/world.hpp"

namespace sim {

namespace {

uint32_t page_of(VirtAddr at) {
    return static_cast<uint32_t>(at.raw / page_bytes);
}

VirtAddr address_of(uint32_t page) {
    return virt(uint64_t{page} * page_bytes);
}

} // namespace

void Team::begin(World& world, uint32_t id) {
    world_ = &world;
    id_ = id;
    home_ = nullptr;
    over_ = false;
    space_ = {};
    operations_ = {};
    frames_ = {};
    last_frame_ = 0;
    workers_ = {};
    worker_count_ = 0;
}

bool Team::wants(const Domain& newborn) const {
    if (over_) return false;
    if (home_ == nullptr) return true;
    const auto there = std::span{workers_}.first(worker_count_);
    const bool has_core = std::ranges::any_of(there, [&](const Worker& w) {
        return w.domain != nullptr && &w.domain->island() == &newborn.island();
    });
    return !has_core && worker_count_ < most_workers && &newborn.island() != &home_->island();
}

void Team::enter(Domain& newborn) {
    newborn.team = this;
    const auto name = service_name(names + id_);
    if (home_ == nullptr) {
        home_ = &newborn;
        newborn.offer_own(name);
        return;
    }
    const auto channel = newborn.bind_to(name);
    if (!channel) {
        newborn.team = nullptr;
        return;
    }
    Worker& worker = workers_[worker_count_++];
    worker = {};
    worker.domain = &newborn;
    worker.channel = *channel;
}

Team::Worker* Team::worker_of(const Domain& member) {
    for (Worker& w : workers_)
        if (w.domain == &member) return &w;
    return nullptr;
}

const Team::Worker* Team::worker_of(const Domain& member) const {
    for (const Worker& w : workers_)
        if (w.domain == &member) return &w;
    return nullptr;
}

Team::Worker* Team::worker_at(uint16_t channel) {
    for (Worker& w : std::span{workers_}.first(worker_count_))
        if (w.channel == channel) return &w;
    return nullptr;
}

End* Team::end_at(Domain& member, uint16_t channel) {
    for (End& end : member.ends)
        if (end.state == End::State::open && end.channel == channel) return &end;
    return nullptr;
}

bool Team::step(Domain& member, bool calm) {
    if (over_) return false;
    if (&member == home_) return home_step(calm);
    Worker* const worker = worker_of(member);
    return worker != nullptr && worker_step(*worker, calm);
}

void Team::lost(Domain& member, uint16_t channel) {
    if (&member != home_) return;
    Worker* const worker = worker_at(channel);
    if (worker == nullptr) return;
    space_.gone(static_cast<uint32_t>(worker - workers_.data()));
    worker->linked = false;
    worker->written.reset();
    worker->cut_count = 0;
    finish_operations();
}

void Team::gone(const Domain& member) {
    if (&member == home_) {
        // the workers are ordinary domains from now on
        over_ = true;
        home_ = nullptr;
    }
    if (Worker* const worker = worker_of(member)) {
        worker->domain = nullptr;
        worker->written.reset();
    }
}

const char* Team::waits_for(const Domain& member) const {
    if (over_) return nullptr;
    if (&member == home_) {
        return space_.is_busy({virt(0), address_of(space_pages)}) ? "its workers, to unmap"
                                                                  : nullptr;
    }
    const Worker* const worker = worker_of(member);
    if (worker == nullptr || !worker->linked) return nullptr;
    const auto open = [](const Fault& f) { return f.state != Fault::State::unused; };
    return std::ranges::any_of(worker->faults, open) ? "its home, to resolve a fault" : nullptr;
}

// -- home --

span::Workers Team::linked() const {
    span::Workers all;
    for (uint32_t i = 0; i < worker_count_; ++i)
        if (workers_[i].linked) all.add(i);
    return all;
}

bool Team::home_step(bool calm) {
    bool busy = send_cuts();
    for (End& end : home_->ends) {
        if (end.state != End::State::open) continue;
        Worker* const worker = worker_at(end.channel);
        if (worker == nullptr) continue;
        worker->linked = true;
        busy |= read_at_home(end, *worker);
    }
    busy |= drop_unused_frame();
    if (calm) return busy;
    switch (world_->random.draw(6)) {
    case 0:
    case 1: map_one(); break;
    case 2: take_away(false); break;
    case 3: take_away(true); break;
    default: break;
    }
    return true;
}

bool Team::read_at_home(End& end, Worker& worker) {
    Channel::Direction& in = home_->into(end);
    if (in.count == 0 || home_->out_of(end).count == Channel::room) return false;
    const Letter letter = in.front();
    in.pop();
    ++world_->tally.letters;
    if (letter.what == Letter::What::fault) {
        answer_fault(end, letter.at);
    } else if (letter.what == Letter::What::cut_done) {
        const auto number = static_cast<uint32_t>(&worker - workers_.data());
        const auto outcome = space_.answered(letter.cut.operation, number, letter.dirty);
        if (outcome && *outcome) gathered(**outcome);
    }
    return true;
}

void Team::answer_fault(End& end, VirtAddr at) {
    Letter answer{.what = Letter::What::no_fill, .at = at};
    const auto fill = space_.fill(at);
    if (fill) {
        const auto frame = std::ranges::find(frames_, fill->region.frame, &Frame::number);
        answer.token = end.next_token++;
        const auto sent = home_->send(end, answer.token, frame->slot);
        answer.what = sent ? Letter::What::fill : Letter::What::again;
        if (!sent) answer.token = 0;
        answer.fill = *fill;
        answer.kind = Kind::frame;
        answer.base = frame->base;
        answer.bytes = home_->actor.at(frame->slot).bytes;
        answer.rights = home_->actor.at(frame->slot).rights.raw;
    }
    home_->out_of(end).push(answer);
    home_->note(fill ? "fills" : "has nothing there", page_of(at));
}

void Team::map_one() {
    const auto unused = std::ranges::find(frames_, 0u, &Frame::number);
    const CapSlot to = home_->some_empty();
    if (unused == frames_.end() || to == abi::null_slot) return;
    Random& random = world_->random;
    const uint32_t pages = 1 + random.draw(6);
    const uint64_t offset = (14 + random.draw(44)) * page_bytes;
    Actor& actor = home_->actor;
    const CapSlot quota{{abi::slot::quota}};
    if (!actor.retype(quota, Kind::frame, offset, pages * page_bytes, to)) return;
    const uint32_t begin = random.draw(space_pages - pages);
    const span::Range range{address_of(begin), address_of(begin + pages)};
    const Rights rights = random.one_in(3) ? abi::read : abi::read | abi::write;
    const auto done = space_.map({range, last_frame_ + 1, 0, rights});
    home_->counted("maps for all", done, begin, pages);
    if (!done) {
        (void)actor.remove(to);
        return;
    }
    *unused = {++last_frame_, to, actor.at(to).base};
}

void Team::take_away(bool protect) {
    Random& random = world_->random;
    const uint32_t begin = random.draw(space_pages - 8), pages = 1 + random.draw(8);
    const span::Range range{address_of(begin), address_of(begin + pages)};
    const Rights rights = random.one_in(2) ? abi::read : abi::read | abi::write;
    const span::Workers all = linked();
    const auto cut = protect ? space_.protect(range, rights, all) : space_.unmap(range, all);
    const char* const what = protect ? "protects for all" : "unmaps for all";
    home_->counted(what, cut ? Result<>{} : fail(cut.error()), begin, pages);
    if (!cut) return;
    const auto place = std::ranges::find(operations_, 0u, &Operation::number);
    *place = {cut->operation, range, false};
    (void)span::multicast(all, [&](uint32_t worker) {
        Worker& w = workers_[worker];
        w.cuts[w.cut_count++] = *cut;
    });
    finish_operations();
}

bool Team::send_cuts() {
    bool busy = false;
    for (Worker& worker : workers_) {
        while (worker.cut_count != 0) {
            End* const end = end_at(*home_, worker.channel);
            if (end == nullptr || home_->out_of(*end).count == Channel::room) break;
            Letter letter{.what = Letter::What::cut};
            letter.cut = worker.cuts[0];
            for (unsigned i = 1; i < worker.cut_count; ++i)
                worker.cuts[i - 1] = worker.cuts[i];
            --worker.cut_count;
            home_->out_of(*end).push(letter);
            busy = true;
        }
    }
    return busy;
}

void Team::finish_operations() {
    while (const auto outcome = space_.finished())
        gathered(*outcome);
}

/// The home believes that nobody sees any more what it took away, and knows whether it was written.
void Team::gathered(const span::Gathered& outcome) {
    const auto operation = std::ranges::find(operations_, outcome.operation, &Operation::number);
    if (operation == operations_.end()) throw Broken{"the end of an unmap that nobody began"};
    const span::Range range = operation->range;
    const bool written = std::exchange(*operation, {}).written;
    home_->note("has unmapped or protected", page_of(range.begin), page_of(range.end));
    if (written && !outcome.dirty) throw Broken{"a page was written, and its home does not know"};
    check();
}

/// A frame that is seen nowhere any more goes, and whatever of it is left elsewhere.
bool Team::drop_unused_frame() {
    if (home_->revoke.state != Revoke::State::idle) return false;
    for (Frame& frame : frames_) {
        if (frame.number == 0 || space_.uses(frame.number)) continue;
        const auto in_cut =
            std::ranges::any_of(operations_, [](const Operation& o) { return o.number != 0; });
        if (in_cut) continue;
        home_->revoke_then_delete(frame.slot);
        frame = {};
        return true;
    }
    return false;
}

} // namespace sim
