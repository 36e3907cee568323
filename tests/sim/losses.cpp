// Cores that go and come: they hang, are taken for dead because they are slow, or leave; the others
// find out, and some are started again.
#include <algorithm>

#include "lib/base/format.hpp"
#include "tests/sim/world.hpp"

namespace sim {

namespace {

void must(bool ok, const char* what) {
    if (!ok) throw Broken{what};
}

} // namespace

unsigned World::lowest() {
    for (unsigned core = 0; core < cores(); ++core)
        if (!island(core).dead) return core;
    throw Broken{"no core is left"};
}

/// Somebody has to be there in the end, and the others have to know of it.
bool World::stays(unsigned core) {
    unsigned informed = 0;
    for (unsigned i = 0; i < cores(); ++i)
        informed += !island(i).dead && island(i).monitor.is_informed();
    return informed < 3 || island(core).dead;
}

bool World::all_know_all() {
    const auto knows_all = [&](auto& island) {
        return island->monitor.cores().up().size() == cores() && island->monitor.is_informed();
    };
    return std::ranges::all_of(islands_, knows_all);
}

/// From here on it executes nothing, in whatever state it is.
void World::lose(unsigned core, const char* how) {
    Island& gone = island(core);
    gone.dead = true;
    note({.step = now, .from = static_cast<int8_t>(core), .what = how});
    for (Domain& domain : domains()) {
        if (domain.life == Domain::Life::unborn || domain.life == Domain::Life::dead) continue;
        if (&domain.island() != &gone) continue;
        if (domain.life != Domain::Life::dying) domain.leave();
        domain.life = Domain::Life::dead;
    }
}

void World::look_who_was_stopped(unsigned core) {
    for (const uint32_t apic : std::exchange(island(core).machine.stopped, {})) {
        const unsigned gone = apic - apic_of(0);
        if (!island(gone).dead) {
            ++(island(gone).leaves ? tally.left : tally.suspected);
            lose(gone, "core is stopped");
        }
        ASAN_POISON_MEMORY_REGION(arena_.of(gone), arena_.bytes());
    }
    if (island(core).machine.hangs) lose(core, "core gives itself up");
}

/// What a core that is gone had lent is nobody's any more when its memory is taken over.
void World::check_inherited() {
    for (const unsigned block : std::exchange(ownership_.inherited, {})) {
        const uint64_t begin = ram_base + uint64_t{block} * large_page_bytes;
        const uint8_t was = std::exchange(ownership_.late[block], Ownership::nobody);
        for (unsigned core = 0; core < cores(); ++core) {
            if (island(core).dead) continue;
            const auto& database = island(core).core.database();
            kernel::Slot* at = database.overlap(begin, begin + large_page_bytes);
            for (; at != nullptr; at = database.overlap_after(*at, begin, begin + large_page_bytes))
                must(
                    at->kind != Kind::frame || !at->has(kernel::flag::borrowed) || at->tag() != was,
                    "memory of a lost core is taken over while another still uses it"
                );
        }
    }
}

bool World::look_at_clock(unsigned core) {
    Island& here = island(core);
    if (here.dead || !here.monitor.expects_answers()) return false;
    here.as_monitor([&] { here.monitor.look_at_clock(); });
    return true;
}

/// Somebody who was asked to revoke something by way of another, and has passed it on.
std::optional<unsigned> World::on_the_way() {
    std::optional<unsigned> found;
    for (auto& island : islands_)
        island->monitor.relays().each([&](const monitor::Relay& relay) {
            relay.unanswered.each([&](CoreId core) {
                if (this->island(core.raw).monitor.relays().count() != 0) found = core.raw;
            });
        });
    return found;
}

/// All cores have borrowed what is revoked, and one is lost that has yet to answer for others.
void World::lose_on_the_way() {
    const bool obliging = std::exchange(settings.obliging, true);
    const CapSlot frame = lend_widely(random.draw(cores()), cores() - 1);
    settings.obliging = obliging;
    domains_[0].revoke_then_delete(frame);
    for (unsigned steps = 2000; steps > 0; --steps) {
        (void)step(true);
        const auto core = on_the_way();
        if (!core || stays(*core) || !random.one_in(8)) continue;
        --losses_left_;
        ++tally.lost;
        return lose(*core, "core hangs on the way of a revoke");
    }
}

void World::lose_something() {
    const unsigned core = random.draw(cores());
    if (stays(core)) return;
    --losses_left_;
    if (random.one_in(3)) {
        island(core).leaves = true;
        for (Domain& domain : domains())
            if (domain.life == Domain::Life::alive && &domain.island() == &island(core))
                spawners_[core].kill(domain);
        island(core).as_monitor([&] {
            (void)island(core).monitor.leave_machine(monitor::badge_spawn);
        });
        return;
    }
    ++tally.lost;
    lose(core, "core hangs");
}

/// When nothing else happens: time goes on for those who wait, and whoever is dead is asked for.
bool World::find_out() {
    bool any = false;
    for (unsigned core = 0; core < cores(); ++core)
        any |= look_at_clock(core);
    if (any) return true;
    for (unsigned core = 0; core < cores(); ++core) {
        if (!island(core).dead) continue;
        monitor::Monitor& asked = island(lowest()).monitor;
        const auto& record = asked.cores()[core_id(core)];
        if (record.state == monitor::CoreState::starting) any |= give_up_start(core, record.parent);
        if (record.state != monitor::CoreState::up) continue;
        island(lowest()).as_monitor([&] { (void)asked.suspect(monitor::badge_init, core_id(core)); }
        );
        any = true;
    }
    return any;
}

/// What core boot does when a core has not come up in time.
bool World::give_up_start(unsigned core, CoreId parent) {
    Island& there = island(parent.raw);
    bool done = false;
    if (there.dead) return done;
    there.as_monitor([&] {
        done = there.monitor.joint_failed(monitor::badge_init, core_id(core)).has_value();
    });
    return done;
}

/// What this core has of those that went: they are started again with it, or it is used here.
bool World::use_what_is_left(unsigned core) {
    Island& here = island(core);
    if (here.dead) return false;
    Port port{here, here.memory, {{abi::slot::monitor}}};
    bool any = false;
    for (unsigned gone = 0; gone < cores(); ++gone) {
        std::array<char, abi::name_bytes> text;
        const auto label = Text<abi::name_bytes>::cut(format_to(text, "core.{}", gone));
        const bool again = random.one_in(2);
        for (;;) {
            const auto got =
                here.as_memory([&] { return monitor::face::Client{port}.fetch(label); });
            if (!got) break;
            any = true;
            if (!again || !restart(here, gone, got->what)) memories_[core].inherits(got->what);
        }
    }
    return any;
}

/// With its own first blocks alone: there its CPU driver is.
bool World::restart(Island& here, unsigned core, CapSlot ram) {
    const kernel::Slot& what = here.memory.at(ram);
    const uint64_t bytes = what.bytes;
    if (!island(core).dead || what.base != ram_of(core).base || bytes < 3 * large_page_bytes)
        return false;
    monitor::Described frame;
    std::optional<monitor::Bell> bell;
    here.as_monitor([&] {
        const auto made = here.links.make_frame();
        if (!made) return;
        frame = *here.kernel.describe(made->slot);
        const auto rung = here.monitor.joint_make(monitor::badge_init, core_id(core), made->slot);
        if (rung) bell = *rung;
    });
    if (!bell) return false;
    Port port{here, here.memory, {{abi::slot::monitor}}};
    const auto started = here.as_memory([&] {
        return monitor::face::Client{port}.joint_start(core_id(core), 8, ram);
    });
    must(started.has_value(), "the restart of a core");
    for (unsigned peer = 0; peer < cores(); ++peer)
        wires_.door(core, peer).knocked = false;
    islands_[core].reset();
    islands_[core].emplace(
        core, static_cast<unsigned>(bytes / large_page_bytes), arena_, ownership_, wires_
    );
    ++tally.restarts;
    note({.step = now, .from = static_cast<int8_t>(core), .what = "core is started again"});
    island(core).attach_first_domains();
    begin_monitor(core, false);
    memories_[core].begin(*this, island(core));
    join(core, here.index, frame, *bell);
    spawners_[core].begin(*this, island(core));
    return true;
}

} // namespace sim
