#include "tests/sim/island.hpp"

#include <utility>

namespace sim {

// -- local calls --

Result<rpc::LocalMessage> Port::call(const rpc::LocalMessage& message) {
    const uint64_t cap = message.cap.raw | (message.give ? abi::give_capability : 0);
    const auto& w = message.words;
    if (!caller_.running()) caller_.switch_to();
    caller_.load(Op::call, endpoint_.raw, {cap, w[0], w[1], w[2], w[3], w[4], w[5]});
    kernel_test::enter(*caller_.core);
    caller_.core->schedule();
    if (caller_.dispatcher->state == kernel::State::called) island_.answer_call();
    if (!caller_.runnable()) throw Broken{"a local call is never answered"};
    if (!caller_.running()) caller_.switch_to();
    const Answer a = caller_.answer();
    if (!a.ok()) return fail(a.status);
    rpc::LocalMessage reply;
    for (size_t i = 0; i < reply.words.size(); ++i)
        reply.words[i] = a.value[i + 1];
    if (a.value[0] == 0) return reply;
    const CapSlot received = abi::slot_at(0, abi::slot::receive);
    reply.cap = caller_.free_slot();
    if (reply.cap == abi::null_slot) {
        (void)caller_.remove(received);
        return fail(Err::no_slots);
    }
    TRY_VOID(caller_.move(received, reply.cap));
    return reply;
}

void Island::answer_call() {
    Actor& actor = core.current() == monitor_actor.dispatcher ? monitor_actor : memory;
    const bool nested = std::exchange(in_turn_, in_turn_ || &actor == &monitor_actor);
    if (!actor.running()) throw Broken{"a call went to somebody who does not serve"};
    const Answer a = actor.answer();
    rpc::LocalMessage in;
    for (size_t i = 0; i < in.words.size(); ++i)
        in.words[i] = a.value[i + 1];
    if ((a.value[0] & abi::woke_with_capability) != 0) {
        const bool ours = &actor == &monitor_actor;
        const auto slot = ours ? kernel.take() : Result<CapSlot>{actor.free_slot()};
        if (!slot) throw Broken{"the monitor is out of slots"};
        in.cap = *slot;
        must(actor.move(abi::slot_at(0, abi::slot::receive), in.cap));
    }
    const rpc::LocalMessage out = serve(actor, a.badge, in);
    const bool gives = out.give && out.cap != abi::null_slot;
    const uint64_t cap = out.cap.raw | (gives ? abi::give_capability : 0);
    const auto& w = out.words;
    const Answer sent =
        actor.invoke(Op::reply, abi::slot::dispatcher, {cap, w[0], w[1], w[2], w[3], w[4], w[5]});
    // what was to come along was revoked meanwhile: the caller is told so, as lib/os does
    if (!sent.ok()) {
        const uint64_t why = sent.status.raw();
        must(actor.invoke(Op::reply, abi::slot::dispatcher, {0, why}).result(), "no answer");
    }
    if (gives) {
        if (&actor == &monitor_actor)
            kernel.drop(out.cap);
        else if (!actor.at(out.cap).empty())
            (void)actor.remove(out.cap);
    }
    sleep(actor);
    in_turn_ = nested;
}

rpc::LocalMessage Island::serve(Actor& actor, uint64_t badge, const rpc::LocalMessage& message) {
    if (&actor == &monitor_actor) return monitor::face::serve(server, badge, message);
    return memory_service->serve(badge, message);
}

// -- the core --

void Island::must(const Result<>& done, const char* what) {
    if (!done) throw Broken{std::string{what} + ": " + std::string{text_of(done.error().top())}};
}

Island::Island(
    unsigned core_index, unsigned blocks, const Arena& arena, Ownership& owners, Wires& wires
)
    : index{core_index}, machine{core_index, blocks, arena, owners},
      core{
          machine,
          kernel::Config{
              .core = core_id(core_index),
              .apic = ApicId{{apic_of(core_index)}},
              .tsc_khz = 1'000'000,
              .tsc_at_start = 0,
              .window = machine.window(),
              .kernel_root =
                  phys(ram_base + uint64_t{core_index} * blocks_per_core * large_page_bytes),
          }
      },
      monitor_memory{std::make_unique<monitor::Monitor>(core_id(core_index), kernel, links)},
      monitor{*monitor_memory}, server{monitor, kernel, kernel} {
    // block 0 is the kernel's, block 1 for the first domains, the rest the memory server's
    const uint64_t begin = core.config().kernel_root.raw;
    const auto ram = [&](uint64_t from, uint64_t to) {
        const uint64_t base = begin + from * large_page_bytes;
        return kernel::Root{Kind::ram, base, (to - from) * large_page_bytes, abi::all_rights};
    };
    auto& boot = core.boot_cnode().slot;
    must(core.insert_root(boot[0], ram(1, 2)));
    make_actor(monitor_actor, Actor::max_leafs, 20);
    make_actor(spawner, 2, 8);
    make_actor(memory, 2, 16);
    const CapSlot core_slot{{Actor::first_free}};
    const kernel::Root own{Kind::core, abi::core_space + apic_of(index), 1, abi::all_rights};
    must(core.insert_root(monitor_actor.at(core_slot), own));
    const CapSlot others{{Actor::first_free + 1}};
    constexpr uint64_t apics = 256;
    must(core.insert_root(
        monitor_actor.at(others), {Kind::core, abi::other_cores, apics, abi::all_rights}
    ));
    kernel.begin(monitor_actor, core_slot, others);
    must(core.insert_root(memory.at({{Actor::first_free}}), ram(2, blocks)));
    links.quota = abi::slot_at(0, abi::slot::quota);
    boot_object(Kind::ram, monitor_actor.at(links.quota), uint64_t{1} << 19);
    sleep(monitor_actor);
    sleep(memory);
    const CapSlot bell = abi::slot_at(0, abi::slot::self_doorbell);
    as_monitor([&] {
        const auto own_bell = kernel.vector_of(bell);
        must(own_bell ? Result<>{} : fail(own_bell.error()));
        monitor_vector = static_cast<uint8_t>(own_bell->vector);
        links.begin(index, kernel, wires, *own_bell);
        const auto drain = kernel.take();
        must(drain ? Result<>{} : fail(drain.error()));
        must(kernel.watch(*drain, drained_bit));
    });
}

kernel::Slot& Island::boot_object(Kind kind, kernel::Slot& into, uint64_t bytes) {
    if (bytes == 0) bytes = abi::bytes_of(kind);
    must(core.retype(core.boot_cnode().slot[0], kind, boot_next_, bytes, {&into, 1}));
    boot_next_ += round_up(bytes, page_bytes);
    return into;
}

void Island::make_actor(Actor& actor, unsigned leafs, uint8_t priority) {
    namespace s = abi::slot;
    auto& boot = core.boot_cnode().slot;
    kernel::Slot& scratch = boot[2];
    boot_object(Kind::cnode, scratch);
    kernel::CNode& root = core.cnode(scratch);
    actor.core = &core;
    actor.machine = &machine;
    actor.wake_ups = this;
    actor.leafs = leafs;
    for (unsigned i = 0; i < leafs; ++i)
        actor.leaf[i] = &core.cnode(boot_object(Kind::cnode, root.slot[i]));
    auto& leaf = actor.leaf[0]->slot;
    must(core.move(scratch, leaf[s::root]));
    must(core.copy(root.slot[0], leaf[s::leaf], abi::all_rights));
    for (unsigned i = 1; i < leafs; ++i)
        must(core.copy(root.slot[i], leaf[Actor::leaf_slots + i], abi::all_rights));
    boot_object(Kind::dispatcher, leaf[s::dispatcher]);
    boot_object(Kind::address_space, leaf[s::address_space]);
    kernel::Slot& page = boot_object(Kind::frame, leaf[12], page_bytes);
    const uintptr_t at = std::bit_cast<uintptr_t>(machine.window()) + page.base;
    *std::bit_cast<abi::DispatcherPage*>(at) = {};
    must(core.configure(
        leaf[s::dispatcher],
        {&leaf[s::root], &leaf[s::address_space], &page, abi::dispatcher_page_at, priority, nullptr}
    ));
    actor.dispatcher = &core.dispatcher(leaf[s::dispatcher]);
    must(core.make_doorbell(leaf[s::dispatcher], leaf[s::self_doorbell], abi::event_channels));
    must(core.start(*actor.dispatcher, 0x40'0000, 0x7000, 0));
    core.schedule();
}

void Island::boot_endpoint(Actor& to, Actor& client, uint32_t slot, uint64_t badge) {
    must(core.make_endpoint(
        to.leaf[0]->slot[abi::slot::dispatcher], client.leaf[0]->slot[slot], badge
    ));
}

void Island::attach_first_domains() {
    boot_endpoint(monitor_actor, spawner, abi::slot::monitor, monitor::badge_spawn);
    boot_endpoint(monitor_actor, memory, abi::slot::monitor, monitor::badge_init);
    boot_endpoint(memory, spawner, abi::slot::memory, monitor::badge_spawn);
}

void Island::wake(Actor& actor) {
    if (&actor == &monitor_actor && monitor_vector != 0)
        core.on_device_or_ipi_vector(monitor_vector);
    else
        must(core.ring(actor.leaf[0]->slot[abi::slot::self_doorbell]));
    if (core.schedule() != actor.dispatcher) actor.switch_to();
    note_events(actor);
}

/// What `wait` has answered.
void Island::note_events(Actor& actor) {
    if (&actor != &monitor_actor) return;
    const Answer a = actor.answer();
    if ((a.value[1] >> drained_bit & 1) != 0) something_drained = true;
}

void Island::absorb_wake_up() {
    if (in_turn_ || !monitor_actor.runnable()) return;
    in_turn_ = true;
    note_events(monitor_actor);
    sleep(monitor_actor);
    in_turn_ = false;
}

void Island::sleep(Actor& actor) {
    for (unsigned tries = 0; tries < 8; ++tries) {
        if (!actor.running()) actor.switch_to();
        actor.load(Op::wait, abi::slot::dispatcher, {0, abi::wait_accepts_calls});
        kernel_test::enter(core);
        core.schedule();
        if (actor.dispatcher->state == kernel::State::waiting) return;
        note_events(actor);
    }
    throw Broken{"a server never gets to sleep"};
}

} // namespace sim
