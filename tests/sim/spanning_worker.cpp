#include "tests/sim/spanning.hpp"

#include <algorithm>

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

// -- worker --

bool Team::worker_step(Worker& worker, bool calm) {
    End* const end = end_at(*worker.domain, worker.channel);
    if (end == nullptr) return false;
    bool busy = read_at_worker(*end, worker);
    for (Fault& fault : worker.faults) {
        const bool ready =
            fault.state == Fault::State::filled && (!fault.waits || !end->waits_for_capability);
        if (ready && (calm || world_->random.one_in(3))) busy |= resolve(*end, worker, fault);
    }
    if (calm) return busy;
    touch(*end, worker);
    return true;
}

/// A fill may have to wait for its capability; what comes after it is read meanwhile, as the event
/// loop of lib/os does.
bool Team::read_at_worker(End& end, Worker& worker) {
    Channel::Direction& in = worker.domain->into(end);
    if (in.count == 0) return false;
    const Letter letter = in.front();
    if (letter.what == Letter::What::cut && worker.domain->out_of(end).count == Channel::room)
        return false;
    in.pop();
    ++world_->tally.letters;
    if (letter.what == Letter::What::cut) {
        cut(end, worker, letter);
        return true;
    }
    for (Fault& fault : worker.faults) {
        if (fault.state != Fault::State::asked || fault.at != letter.at) continue;
        if (letter.what == Letter::What::no_fill) {
            fault = {}; // a real domain would be told of its fault now
        } else {
            fault.state = Fault::State::filled;
            fault.fill = letter;
        }
        return true;
    }
    return true;
}

bool Team::resolve(End& end, Worker& worker, Fault& fault) {
    Domain& domain = *worker.domain;
    if (fault.fill.what == Letter::What::again) {
        ask(end, worker, fault);
        return true;
    }
    const auto got = domain.receive(end, fault.fill.token);
    if (!got && got.error() == Err::not_found) {
        const bool first = !fault.waits;
        fault.waits = end.waits_for_capability = true;
        return first;
    }
    if (!got) {
        ask_again(end, worker, fault);
        return true;
    }
    domain.came(*got, fault.fill);
    const span::Fill fill = fault.fill.fill;
    const span::Verdict verdict = worker.replica.judge(fill, fault.at);
    const bool there = !domain.actor.at(*got).empty();
    if (verdict == span::Verdict::map && there) show(worker, fill, *got);
    if (there) (void)domain.actor.remove(*got);
    if (verdict == span::Verdict::stale)
        ask_again(end, worker, fault);
    else
        fault = {};
    return true;
}

/// Its capability was taken, or will not come.
void Team::ask_again(End& end, Worker& worker, Fault& fault) {
    fault.fill = {.what = Letter::What::again}; // while there is no room to ask
    ask(end, worker, fault);
}

void Team::ask(End& end, Worker& worker, Fault& fault) {
    Domain& domain = *worker.domain;
    if (domain.out_of(end).count == Channel::room) return;
    fault.state = Fault::State::asked;
    fault.waits = false;
    domain.out_of(end).push({.what = Letter::What::fault, .at = fault.at});
    domain.note("faults", page_of(fault.at));
}

void Team::show(Worker& worker, const span::Fill& fill, CapSlot frame) {
    Actor& actor = worker.domain->actor;
    if (!worker.replica.has_room())
        worker.replica.evict([&](CapSlot mapping) { return take_piece_away(worker, mapping); });
    const CapSlot to = worker.domain->some_empty();
    if (to == abi::null_slot) return;
    const Place at = Actor::place_of(to);
    const span::Region& region = fill.region;
    const Answer a = actor.invoke(
        Op::table_map,
        page_table_slot,
        {page_of(region.range.begin),
         frame.raw,
         region.offset,
         region.rights.raw,
         region.range.bytes() / page_bytes,
         at.cnode,
         at.index}
    );
    worker.domain->counted("maps", a.result(), page_of(region.range.begin), fill.version.raw);
    if (a.ok()) worker.replica.mapped(fill, to);
}

/// Was it written?
bool Team::take_piece_away(Worker& worker, CapSlot mapping) {
    Actor& actor = worker.domain->actor;
    if (actor.at(mapping).kind != Kind::mapping) return false;
    const Answer a = actor.invoke(Op::mapping_status, mapping.raw);
    (void)actor.remove(mapping);
    return a.value[1] != 0;
}

void Team::cut(End& end, Worker& worker, const Letter& letter) {
    const auto operation = std::ranges::find(operations_, letter.cut.operation, &Operation::number);
    for (uint32_t i = page_of(letter.cut.range.begin); i < page_of(letter.cut.range.end); ++i) {
        // What a fill from after the cut brought stays, and what was written there with it.
        const auto* const piece = worker.replica.find(address_of(i));
        if (piece != nullptr && piece->fill.version >= letter.cut.version) continue;
        if (worker.written[i] && operation != operations_.end()) operation->written = true;
        worker.written[i] = false;
    }
    const auto remove = [&](CapSlot mapping) { return take_piece_away(worker, mapping); };
    const bool dirty = worker.replica.cut(letter.cut.range, letter.cut.version, remove);
    worker.domain->out_of(end).push(
        {.what = Letter::What::cut_done, .cut = letter.cut, .dirty = dirty}
    );
    worker.domain->note("unmaps", page_of(letter.cut.range.begin), letter.cut.version.raw);
}

kernel::PageTable& Team::table_of(const Worker& worker) const {
    const uintptr_t window = std::bit_cast<uintptr_t>(worker.domain->island().machine.window());
    const uint64_t base = worker.domain->actor.at({{page_table_slot}}).base;
    return *std::bit_cast<kernel::PageTable*>(window + base);
}

/// A thread of the worker reads or writes there: the hardware notes it, or a page fault comes.
void Team::touch(End& end, Worker& worker) {
    const uint32_t page = world_->random.draw(space_pages);
    uint64_t& entry = table_of(worker).entry[page];
    if ((entry & kernel::pte::present) != 0) {
        entry |= kernel::pte::accessed;
        if ((entry & kernel::pte::writable) == 0 || world_->random.one_in(2)) return;
        entry |= kernel::pte::dirty;
        worker.written[page] = true;
        return;
    }
    const VirtAddr at = address_of(page);
    const auto waiting = [&](const Fault& f) {
        return f.state != Fault::State::unused && f.at == at;
    };
    if (std::ranges::any_of(worker.faults, waiting)) return;
    const auto place = std::ranges::find(worker.faults, Fault::State::unused, &Fault::state);
    if (place == worker.faults.end()) return;
    if (worker.domain->out_of(end).count == Channel::room) return;
    place->at = at;
    ask(end, worker, *place);
}

void Team::check() const {
    if (over_ || home_ == nullptr) return;
    for (const Worker& worker : workers_) {
        if (worker.domain == nullptr || !worker.linked) continue;
        if (!worker.domain->actor.runnable()) continue;
        const kernel::PageTable& table = table_of(worker);
        for (uint32_t page = 0; page < space_pages; ++page) {
            const uint64_t entry = table.entry[page];
            if ((entry & kernel::pte::present) == 0) continue;
            const span::Range here{address_of(page), address_of(page + 1)};
            if (space_.is_busy(here)) continue;
            const span::Region* const region = space_.find(here);
            if (region == nullptr)
                throw Broken{"a replica shows a page that its home has unmapped"};
            const auto frame = std::ranges::find(frames_, region->frame, &Frame::number);
            const uint64_t offset = region->offset + (here.begin - region->range.begin);
            if ((entry & kernel::pte::address) != frame->base + offset)
                throw Broken{"a replica shows other memory than its home"};
            const bool writable = (entry & kernel::pte::writable) != 0;
            if (writable && !region->rights.has(abi::write))
                throw Broken{"a replica lets write what its home has protected"};
        }
    }
}

} // namespace sim
