#include "tests/sim/services.hpp"

#include <algorithm>

#include "tests/sim/invariants.hpp"
#include "tests/sim/world.hpp"

namespace sim {

namespace {

void must(const Result<>& done, const char* what) {
    if (!done) throw Broken{std::string{what} + ": " + std::string{text_of(done.error().top())}};
}

} // namespace

void Spawner::begin(World& world, Island& island) {
    world_ = &world;
    island_ = &island;
    endings_.fill({});
    Actor& self = island.spawner;
    Port port{island, self, {{abi::slot::monitor}}};
    const CapSlot bell = self.free_slot();
    const Place at = Actor::place_of(bell);
    must(
        self.invoke(Op::doorbell_make, abi::slot::dispatcher, {at.cnode, at.index, 2}).result(),
        "bell"
    );
    const auto attached = Monitor{port}.attach(bell);
    must(attached ? Result<>{} : fail(attached.error()), "attach");
    must(self.remove(bell), "bell");
}

unsigned Spawner::children() const {
    const auto mine = [&](const Domain& d) {
        const bool lives = d.life != Domain::Life::unborn && d.life != Domain::Life::dead;
        return lives && &d.island() == island_;
    };
    return static_cast<unsigned>(std::ranges::count_if(world_->domains(), mine));
}

Result<> Spawner::spawn() {
    Domain* const domain = world_->unborn();
    if (domain == nullptr) return fail(Err::no_space);
    domain->begin(*world_, *island_, world_->new_badge(), world_->new_number());
    Port port{*island_, island_->spawner, {{abi::slot::memory}}};
    const auto granted = port.call({.words = {MemoryServer::allocate, quota_bytes}});
    if (!granted) return fail(granted.error());
    if (granted->words[0] != 0) return fail(Fault::from_raw(granted->words[0]));
    domain->ram_of_spawner = granted->cap;
    domain->ram_base_address = island_->spawner.at(granted->cap).base;
    for (Domain& other : world_->domains())
        other.forget_allowed(domain->ram_base_address, quota_bytes);
    must(build(*domain), "building a domain");
    domain->life = Domain::Life::alive;
    world_->perhaps_join_team(*domain);
    ++world_->tally.births;
    world_->note({
        .step = world_->now,
        .from = static_cast<int8_t>(island_->index),
        .domain = domain->number,
        .what = "is born",
        .a = domain->ram_base_address,
        .b = domain->badge,
    });
    return {};
}

/// All by system calls of the spawner, as usr/spawn does it.
Result<> Spawner::build(Domain& domain) {
    namespace s = abi::slot;
    Actor& self = island_->spawner;
    const CapSlot ram = domain.ram_of_spawner;
    uint64_t used = 0;
    const auto make = [&](Kind kind, uint64_t bytes, uint64_t cnode, uint64_t index) {
        const uint64_t at = used;
        used += bytes;
        const auto number = static_cast<uint64_t>(kind);
        return self.invoke(Op::cnode_retype, cnode, {index, ram.raw, number, at, bytes, 1})
            .result();
    };
    const auto object = [&](Kind kind, uint64_t cnode, uint64_t index) {
        return make(kind, abi::bytes_of(kind), cnode, index);
    };
    std::array<CapSlot, 3> mine{}; // root, leafs
    for (CapSlot& slot : mine) {
        slot = self.free_slot();
        const Place at = Actor::place_of(slot);
        TRY_VOID(object(Kind::cnode, at.cnode, at.index));
    }
    const uint64_t root = mine[0].raw, leaf = mine[1].raw, second = mine[2].raw;
    const auto copy = [&](uint64_t cnode, uint64_t index, uint64_t from) {
        return self.invoke(Op::cnode_copy, cnode, {index, from}).result();
    };
    TRY_VOID(copy(root, 0, leaf));
    TRY_VOID(copy(root, 1, second));
    TRY_VOID(copy(leaf, s::root, root));
    TRY_VOID(copy(leaf, s::leaf, leaf));
    TRY_VOID(copy(leaf, Actor::leaf_slots + 1, second));
    TRY_VOID(copy(leaf, s::quota, ram.raw));

    // what the spawner needs itself: dispatcher, tables, page; copies go to the domain
    std::array<CapSlot, 6> made{};
    constexpr std::array kinds = {
        Kind::dispatcher,
        Kind::address_space,
        Kind::page_directory_pointers,
        Kind::page_directory,
        Kind::page_table,
        Kind::frame,
    };
    constexpr std::array<uint32_t, 6> places = {
        s::dispatcher, s::address_space, 13, 14, page_table_slot, 12
    };
    for (size_t i = 0; i < made.size(); ++i) {
        made[i] = self.free_slot();
        const Place at = Actor::place_of(made[i]);
        const uint64_t bytes = kinds[i] == Kind::frame ? page_bytes : abi::bytes_of(kinds[i]);
        TRY_VOID(make(kinds[i], bytes, at.cnode, at.index));
        TRY_VOID(copy(leaf, places[i], made[i].raw));
    }
    for (size_t i = 1; i < 4; ++i) {
        const uint64_t hook = Actor::leaf_slots + 1 + i;
        TRY_VOID(self.invoke(Op::table_map, made[i].raw, {0, made[i + 1].raw, 0, 0, 1, leaf, hook})
                     .result());
    }
    const uintptr_t window = std::bit_cast<uintptr_t>(island_->machine.window());
    *std::bit_cast<abi::DispatcherPage*>(window + self.at(made[5]).base) = {};
    constexpr uint64_t priority = 8;
    TRY_VOID(self.invoke(
                     Op::dispatcher_configure,
                     made[0].raw,
                     {root, made[1].raw, made[5].raw, abi::dispatcher_page_at.raw, priority, 0}
    )
                 .result());
    TRY_VOID(self.invoke(Op::doorbell_make, made[0].raw, {leaf, s::self_doorbell, 1}).result());

    Actor& child = domain.actor;
    child.core = &island_->core;
    child.machine = &island_->machine;
    child.wake_ups = island_;
    child.leafs = 2;
    child.leaf[0] = &island_->core.cnode(self.at(mine[1]));
    child.leaf[1] = &island_->core.cnode(self.at(mine[2]));
    child.dispatcher = &island_->core.dispatcher(self.at(made[0]));

    Port port{*island_, self, {{s::monitor}}};
    const auto name = Text<abi::name_bytes>::cut("domain");
    const auto endpoint = TRY(Monitor{port}.new_client(domain.badge, name, false));
    TRY_VOID(self.invoke(Op::cnode_move, leaf, {s::monitor, endpoint.endpoint.raw}).result());
    TRY_VOID(self.invoke(Op::dispatcher_start, made[0].raw, {0x40'0000, 0x7000, 0}).result());
    for (const CapSlot slot : mine)
        TRY_VOID(self.remove(slot));
    for (size_t i = 1; i < made.size(); ++i)
        TRY_VOID(self.remove(made[i]));
    domain.dispatcher_of_spawner = made[0];

    // its first two calls, as lib/os makes them
    Port own{*island_, child, {{s::monitor}}};
    const CapSlot bell = child.free_slot();
    const Place at = Actor::place_of(bell);
    TRY_VOID(child.invoke(Op::doorbell_make, s::dispatcher, {at.cnode, at.index, 2}).result());
    TRY(Monitor{own}.attach(bell));
    TRY_VOID(child.remove(bell));
    return Monitor{own}.attach_channels({{s::self_doorbell}});
}

void Spawner::kill(Domain& domain) {
    for (Ending& ending : endings_) {
        if (ending.phase != Phase::idle) continue;
        ending = {Phase::stop, &domain, 0};
        domain.life = Domain::Life::dying;
        return;
    }
}

bool Spawner::step() {
    take_notices();
    bool busy = false;
    for (Domain& domain : world_->domains())
        if (domain.life == Domain::Life::exiting && &domain.island() == island_) {
            kill(domain);
            busy = true;
        }
    for (Ending& ending : endings_)
        if (ending.phase != Phase::idle) busy |= go_on(ending);
    return busy;
}

bool Spawner::go_on(Ending& ending) {
    Domain& domain = *ending.domain;
    Actor& self = island_->spawner;
    Port port{*island_, self, {{abi::slot::monitor}}};
    const auto note = [&](const char* what, Err status = Err::none) {
        const auto core = static_cast<int8_t>(island_->index);
        world_->note({
            .step = world_->now,
            .from = core,
            .domain = domain.number,
            .what = what,
            .status = status,
        });
    };
    switch (ending.phase) {
    case Phase::stop:
        must(
            self.invoke(Op::dispatcher_stop, domain.dispatcher_of_spawner.raw).result(), "stopping"
        );
        ++world_->tally.deaths;
        domain.leave();
        note("is stopped");
        ending.phase = Phase::gone;
        return true;
    case Phase::gone:
        must(Monitor{port}.client_gone(domain.badge), "client_gone");
        check_names(*island_, domain.badge);
        note("is gone");
        ending.phase = Phase::revoke;
        return true;
    case Phase::revoke: {
        const auto done = self.step(Op::cnode_revoke, domain.ram_of_spawner);
        note("ram: revoke", done ? Err::none : done.error().top());
        if (done) ending.phase = Phase::release;
        if (done || done.error() == Err::again) return true;
        if (done.error() != Err::lent) must(done, "the revoke of a dead domain's memory");
        const auto asked = Monitor{port}.revoke(domain.ram_of_spawner);
        note("ram: asks its monitor", asked ? Err::none : asked.error().top());
        if (!asked) {
            // eight at a time, and more wait; beyond that one asks again
            if (asked.error() != Err::quota && asked.error() != Err::busy)
                must(fail(asked.error()), "the monitor does not revoke");
            return true;
        }
        if (asked->request == 0) return true;
        ending.request = asked->request;
        ending.phase = Phase::asked;
        return true;
    }
    case Phase::release: {
        Port memory{*island_, self, {{abi::slot::memory}}};
        const auto answer = memory.call({
            .words = {MemoryServer::release},
            .cap = domain.ram_of_spawner,
            .give = true,
        });
        must(answer ? Result<>{} : fail(answer.error()), "release");
        if (answer->words[0] != 0)
            throw Broken{
                "release: " + std::string{text_of(Fault::from_raw(answer->words[0]).top())}
            };
        note("is over");
        check_dead(*world_, domain);
        finished(ending);
        return true;
    }
    default: return false;
    }
}

void Spawner::take_notices() {
    Actor& self = island_->spawner;
    if (self.dispatcher->page->pending == 0) return;
    (void)self.invoke(Op::wait, abi::slot::dispatcher, {0, abi::wait_polls});
    Port port{*island_, self, {{abi::slot::monitor}}};
    for (;;) {
        const auto news = Monitor{port}.next();
        must(news ? Result<>{} : fail(news.error()), "the spawner's next");
        if (news->notice == monitor::face::Notice::nothing) return;
        if (news->notice != monitor::face::Notice::revoked) continue;
        for (Ending& ending : endings_) {
            if (ending.phase != Phase::asked || ending.request != news->binding) continue;
            must(news->status == Err::none ? Result<>{} : fail(news->status), "a kill's revoke");
            ending.domain->ram_of_spawner = news->more;
            ending.phase = Phase::revoke;
        }
    }
}

bool Spawner::waits() const {
    return std::ranges::any_of(endings_, [](const Ending& e) { return e.phase != Phase::idle; });
}

void Spawner::finished(Ending& ending) {
    ending.domain->life = Domain::Life::dead;
    ending = {};
}

} // namespace sim
