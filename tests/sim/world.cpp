#include "tests/sim/world.hpp"

#include <algorithm>

#include "interfaces/intermon.hpp"
#include "tests/sim/invariants.hpp"

namespace sim {

namespace {

constexpr uint32_t long_full = 100; // steps that count as "full for long"

void must(bool ok, const char* what) {
    if (!ok) throw Broken{what};
}

const char* name_of(const monitor::Encoded& message) {
    // the names are literals, so they end in a NUL
    return interfaces::intermon::message_names[message.number - 1u].data();
}

uint64_t first_word(const monitor::Encoded& message) {
    uint32_t word = 0;
    const Bytes bytes = message.bytes().first(std::min(message.size, sizeof word));
    std::ranges::copy(bytes, std::as_writable_bytes(std::span{&word, 1}).begin());
    return word;
}

} // namespace

World::World(const Settings& s, const Arena& arena)
    : settings{s}, arena_{arena}, wires_{s.cores}, islands_(s.cores), spawners_(s.cores),
      memories_(s.cores), domains_(size_t{s.cores} * 24) {}

void World::run(uint64_t seed) {
    random = Random{seed};
    chart.clear();
    tally = {};
    now = 1;
    boot();
    if (lossy_ && deep_) lose_on_the_way();
    chaos();
    settle();
    check_at_rest(*this);
    kill_all();
    settle();
    check_at_rest(*this);
    check_nothing_is_left(*this);
    tally.steps = now;
}

// -- boot --

void World::boot() {
    for (auto& island : islands_)
        island.reset();
    ownership_.clear();
    wires_.clear();
    line_capacity_ = 4u << random.draw(4);
    next_badge_ = monitor::badges_of_init;
    next_number_ = 1;
    next_label_ = next_team_ = 0;
    channels_opened_ = 0;
    revokes_ = {};
    for (Channel& channel : channels_)
        channel = {};
    domain_count_ = 0;
    team_count_ = 0;
    booted_ = false;
    lossy_ = settings.losses && cores() > 1 && random.one_in(2);
    losses_left_ = lossy_ ? 1 + random.draw(3) : 0;
    deep_ = random.one_in(2);
    for (Domain& domain : domains_)
        domain.life = Domain::Life::unborn;
    for (unsigned i = 0; i < cores(); ++i) {
        islands_[i].emplace(i, blocks_per_core, arena_, ownership_, wires_);
        island(i).attach_first_domains();
        begin_monitor(i, true);
        memories_[i].begin(*this, island(i));
    }
    for (unsigned i = 1; i < cores(); ++i)
        join(i);
    for (unsigned i = 0; i < cores(); ++i)
        spawners_[i].begin(*this, island(i));
}

/// What the hand-over page says to a core that starts, and what its RAM is if nobody else says.
void World::begin_monitor(unsigned core, bool from_the_start) {
    monitor::Monitor& monitor = island(core).monitor;
    for (unsigned i = 0; i < cores(); ++i)
        monitor.set_core(core_id(i), apic_of(i));
    if (deep_) monitor.set_handling({.send = 20000, .way = 1}); // then trees are chains
    must(monitor.open_doorstep().has_value(), "no doorstep");
    if (from_the_start) must(monitor.set_ram(ram_of(core)).has_value(), "the RAM of a core");
}

monitor::Range World::ram_of(unsigned core) const {
    constexpr uint64_t bytes = blocks_per_core * large_page_bytes;
    return {ram_base + core * bytes, bytes};
}

/// What core boot does for a core of the first hour. The tree is by two.
void World::join(unsigned core) {
    const unsigned parent = (core - 1) / 2;
    Island& above = island(parent);
    monitor::Described frame;
    monitor::Bell bell;
    above.as_monitor([&] {
        const auto made = above.links.make_frame();
        must(made.has_value(), "no frame for a core that joins");
        frame = *above.kernel.describe(made->slot);
        const auto rung = above.monitor.joint_make(monitor::badge_init, core_id(core), made->slot);
        must(rung.has_value(), "joint_make");
        bell = *rung;
    });
    join(core, parent, frame, bell);
}

/// What the init of the new core does.
void World::join(unsigned core, unsigned parent, monitor::Described frame, monitor::Bell bell) {
    Island& there = island(core);
    there.as_monitor([&] {
        frame.rights = abi::read | abi::write;
        frame.badge = parent;
        const auto lent = there.kernel.accept(frame);
        const auto back = there.kernel.accept({
            .kind = Kind::doorbell,
            .rights = abi::write,
            .base = abi::core_space + bell.apic,
            .bytes = 1,
            .badge = bell.vector,
        });
        must(lent && back && there.monitor.join(core_id(parent), *lent, *back), "join");
    });
}

// -- the things that can happen --

bool World::put(unsigned core, unsigned peer) {
    Island& here = island(core);
    if (here.dead || !here.links.end(peer).open) return false;
    Line& line = here.links.out(peer);
    if (line.full(line_capacity_)) {
        if (line.full_since == 0) line.full_since = now;
        here.monitor.no_room(core_id(peer));
        return false;
    }
    bool sent = false;
    here.as_monitor([&] {
        const auto message = here.monitor.next_message(core_id(peer));
        if (!message) return;
        const monitor::Encoded encoded = monitor::encode(*message);
        line.push(encoded);
        sent = true;
        const CapSlot bell = here.links.end(peer).bell;
        must(bell != abi::null_slot, "a monitor has a message for a peer that it cannot wake");
        here.kernel.ring(bell);
        const auto ipi = std::exchange(here.machine.sent, {});
        const Island& there = island(peer);
        must(
            ipi.apic == apic_of(peer) && ipi.vector == there.monitor_vector,
            "a monitor's bell rings somebody else"
        );
    });
    return sent;
}

bool World::deliver(unsigned core, unsigned peer, bool calm) {
    Island& here = island(core);
    if (here.dead || !here.links.end(peer).open) return false;
    Line& line = here.links.in(peer);
    if (line.empty() || (!calm && line.stalled_until > now)) return false;
    const monitor::Encoded encoded = line.pop();
    if (line.full_since != 0 && now - line.full_since >= long_full) ++tally.full;
    line.full_since = 0;
    note({
        .step = now,
        .from = static_cast<int8_t>(peer),
        .to = static_cast<int8_t>(core),
        .what = name_of(encoded),
        .a = first_word(encoded),
    });
    ++tally.messages;
    here.as_monitor([&] {
        const auto message = monitor::decode(encoded.number, encoded.bytes());
        must(message.has_value(), "a message that its receiver cannot read");
        const bool of_revoke = std::holds_alternative<monitor::Revoke>(*message) ||
                               std::holds_alternative<monitor::Revoked>(*message);
        revokes_.all += of_revoke;
        revokes_.of_owner += of_revoke && (core == 0 || peer == 0);
        here.monitor.receive(core_id(peer), *message);
    });
    return true;
}

bool World::hear_knock(unsigned core) {
    Island& here = island(core);
    if (here.dead) return false;
    for (unsigned peer = 0; peer < cores(); ++peer) {
        DoorLine& line = wires_.door(core, peer);
        if (!std::exchange(line.knocked, false)) continue;
        here.as_monitor([&] { here.monitor.knocked(core_id(peer), line.knock); });
        return true;
    }
    return false;
}

/// What a monitor does between messages: a bounded piece at a time.
bool World::monitor_works(unsigned core) {
    if (hear_knock(core)) return true;
    Island& here = island(core);
    if (here.dead) return false;
    const bool drained = std::exchange(here.something_drained, false);
    if (!drained && !here.monitor.has_work()) return false;
    bool busy = drained;
    here.as_monitor([&] {
        if (drained) here.monitor.look_for_drained();
        busy |= here.monitor.work();
    });
    look_who_was_stopped(core);
    check_inherited();
    return busy;
}

void World::stall_something() {
    const unsigned core = random.draw(cores());
    const uint32_t until = now + 20 + random.draw(600);
    switch (random.draw(4)) {
    case 3: island(core).machine.refuse_own = random.one_in(2); break;
    case 0: island(core).stalled_until = until; break;
    case 1: {
        const unsigned peer = random.draw(cores());
        if (island(core).links.end(peer).open) island(core).links.in(peer).stalled_until = until;
        break;
    }
    default: {
        Channel& channel = channels_[random.draw(static_cast<uint32_t>(channels_.size()))];
        (random.one_in(2) ? channel.to_server : channel.to_client).stalled_until = until;
    }
    }
}

bool World::domain_step(Domain& domain, bool calm) {
    const bool lives = domain.life == Domain::Life::alive || domain.life == Domain::Life::exiting;
    if (!lives) return false;
    Island& here = domain.island();
    const bool busy = domain.step(calm);
    // a bell of another core rings it at once: a vector is a hint and may come at any time
    if (const auto ipi = std::exchange(here.machine.sent, {}); ipi.vector != 0) {
        Island& there = island(ipi.apic - apic_of(0));
        if (!there.dead && ipi.vector != there.monitor_vector) {
            there.core.on_device_or_ipi_vector(ipi.vector);
            there.core.schedule();
        }
    }
    return busy;
}

bool World::step(bool calm) {
    ++now;
    const unsigned core = random.draw(cores());
    if (island(core).dead) return false;
    if (!calm && island(core).stalled_until > now) return false;
    if (!calm && booted_ && random.one_in(200)) return look_at_clock(core);
    const unsigned peer = random.draw(cores());
    switch (random.draw(9)) {
    case 8: return monitor_works(core);
    case 0:
    case 1: return core != peer && put(core, peer);
    case 2:
    case 3: return core != peer && deliver(core, peer, calm);
    case 4: {
        if (random.one_in(2)) return spawners_[core].step();
        if (!calm && random.one_in(8)) stall_something();
        if (lossy_ && random.one_in(8)) return use_what_is_left(core);
        return memories_[core].fetch_blocks();
    }
    default: {
        if (domain_count_ == 0) return false;
        Domain& domain = domains_[random.draw(domain_count_)];
        const bool awake = calm || domain.island().stalled_until <= now;
        return awake && domain_step(domain, calm);
    }
    }
}

void World::chaos() {
    for (const uint32_t end = now + settings.steps; now < end;) {
        (void)step(false);
        if (settings.check_often && now % 16 == 0) check_always(*this);
        if (!random.one_in(40)) continue;
        booted_ |= lossy_ && all_know_all();
        if (losses_left_ != 0 && booted_ && random.one_in(150)) lose_something();
        const unsigned core = random.draw(cores());
        if (island(core).dead) continue;
        if (spawners_[core].children() < settings.domains_per_core) {
            const auto born = spawners_[core].spawn();
            must(born || born.error() == Err::no_memory, "a domain cannot be made");
        } else if (random.one_in(4)) {
            (void)memories_[core].give_block(random.draw(cores()));
        } else if (random.one_in(24)) {
            for (Domain& domain : domains())
                if (domain.life == Domain::Life::alive && &domain.island() == &island(core)) {
                    spawners_[core].kill(domain);
                    break;
                }
        }
    }
}

/// Everything that is under way comes to its end; nothing new begins.
void World::settle() {
    const uint32_t patience = 50'000 * cores() * cores();
    const uint32_t begin = now;
    for (unsigned core = 0; core < cores(); ++core)
        island(core).machine.refuse_own = false;
    for (bool busy = true; busy;) {
        busy = false;
        // by chance for a while, then everybody in turn: when nobody has anything to do, it is
        // quiet
        for (unsigned i = 0; i < 64 * cores(); ++i)
            busy |= step(true);
        if (busy) {
            must(now - begin < patience, "the machine never comes to rest");
            continue;
        }
        for (unsigned core = 0; core < cores(); ++core) {
            if (island(core).dead) continue;
            busy |= use_what_is_left(core);
            busy |= monitor_works(core);
            busy |= spawners_[core].step();
            busy |= memories_[core].fetch_blocks();
            for (unsigned peer = 0; peer < cores(); ++peer)
                if (peer != core) busy |= put(core, peer) || deliver(core, peer, true);
        }
        for (Domain& domain : domains())
            busy |= domain_step(domain, true);
        if (!busy && lossy_) busy = find_out();
    }
}

void World::kill_all() {
    for (;;) {
        bool any = false;
        for (Domain& domain : domains())
            if (domain.life == Domain::Life::alive) {
                spawners_[domain.island().index].kill(domain);
                any = true;
            }
        if (!any) return;
        settle();
    }
}

// -- a figure --

/// A frame of a domain on core `at`, of which one on each of `borrowers` other cores has a copy.
CapSlot World::lend_widely(unsigned at, unsigned borrowers) {
    for (unsigned i = 0; i <= borrowers; ++i)
        must(spawners_[(at + i) % cores()].spawn().has_value(), "a domain that borrows");
    Domain& owner = domains_[0];
    const auto name = service_name(0);
    owner.offer_own(name);
    const CapSlot frame = owner.make_frame_for(page_bytes);
    settle();
    for (unsigned begin = 1; begin <= borrowers; begin += Domain::max_ends) {
        const unsigned end = std::min(begin + Domain::max_ends, borrowers + 1);
        for (unsigned i = begin; i < end; ++i)
            must(domains_[i].bind_to(name).has_value(), "a bind of who borrows");
        settle();
        owner.send_to_all(frame);
        settle();
        owner.close_all();
        settle();
    }
    return frame;
}

World::RevokeFigure World::revoke_figure(unsigned borrowers) {
    settings.teams = false;
    settings.obliging = true;
    settings.losses = false;
    random = Random{1};
    tally = {};
    boot();
    const CapSlot frame = lend_widely(0, borrowers);
    revokes_ = {};
    domains_[0].revoke_then_delete(frame);
    settle();
    return revokes_;
}

// -- books --

Domain* World::unborn() {
    for (Domain& domain : domains())
        if (domain.life == Domain::Life::dead) return &domain;
    if (domain_count_ == domains_.size()) return nullptr;
    return &domains_[domain_count_++];
}

void World::perhaps_join_team(Domain& newborn) {
    if (!settings.teams || lossy_) return;
    if (team_count_ == 0 || teams_[team_count_ - 1].is_over()) {
        if (!random.one_in(2)) return;
        // of those that are over only the last two are looked at
        if (team_count_ == teams_.size()) {
            if (!teams_[0].is_over()) return;
            for (Domain& domain : domains())
                if (domain.team == teams_.data()) domain.team = nullptr;
            teams_[0].begin(*this, next_team_++ % 4);
            return teams_[0].enter(newborn);
        }
        teams_[team_count_++].begin(*this, next_team_++ % 4);
    }
    for (Team& team : teams())
        if (newborn.team == nullptr && team.wants(newborn) && random.one_in(2)) team.enter(newborn);
}

Result<uint16_t> World::open_channel(uint64_t base) {
    for (size_t i = 0; i < channels_.size(); ++i) {
        if (channels_[i].ends != 0) continue;
        channels_[i] = {};
        channels_[i].ends = 1;
        channels_[i].opened = ++channels_opened_;
        channels_[i].base = base;
        return static_cast<uint16_t>(i);
    }
    return fail(Err::no_space);
}

std::optional<uint16_t> World::channel_at(uint64_t base) const {
    std::optional<uint16_t> newest;
    for (size_t i = 0; i < channels_.size(); ++i) {
        const Channel& c = channels_[i];
        if (c.ends == 0 || c.base != base) continue;
        if (!newest || channels_[*newest].opened < c.opened) newest = static_cast<uint16_t>(i);
    }
    return newest;
}

} // namespace sim
