// Arbitrary system calls of three domains that have almost everything, for the random walk and the
// fuzzer: only the numbers differ. Arguments are mostly plausible, for a call that fails at once
// tests little.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "tests/kernel/check.hpp"
#include "tests/kernel/world.hpp"

namespace kernel_test {

class CallStorm {
  public:
    explicit CallStorm(std::function<uint32_t()> random) : random_{std::move(random)} {
        world_.machine.only_arena = true;
        if (random_() % 2 == 0) world_.core->tlb().use(2); // few, so that they are taken over
        for (uint8_t i = 0; i < 3; ++i)
            domains_.push_back(world_.make_domain(8));
        for (Domain& d : domains_)
            furnish(d);
        // blocks of RAM: parts of the boot's, and one that came from another core
        world_.align(large_page_bytes);
        for (Domain& d : domains_)
            world_.make(Kind::ram, d.leaf->slot[blocks_at], large_page_bytes);
        World::must(world_.core->accept(
            domains_[0].leaf->slot[blocks_at + 1],
            {Kind::ram, spare_base, large_page_bytes, abi::all_rights}
        ));
        world_.core->schedule();
    }

    /// One entry to the kernel; false: everybody is gone.
    bool step() {
        Core& core = *world_.core;
        Dispatcher* const d = core.current();
        const uint32_t what = random_() % 16;
        if (d == nullptr) {
            if (!wake_somebody()) return false;
        } else if (what == 0) {
            world_.machine.time = world_.machine.time + microseconds(random_() % 20'000);
            core.on_timer();
        } else if (what == 1) {
            core.on_device_or_ipi_vector(static_cast<uint8_t>(random_()));
        } else if (what == 2) {
            scribble(*d);
        } else if (what == 3) {
            if (random_() % 8 == 0) core.on_fault(random_() % 20, random_(), random_());
        } else {
            system_call(*d);
        }
        const Dispatcher* const next = core.schedule();
        if (next != nullptr && core.tlb().tagged()) (void)core.tlb().load(next->root);
        revive();
        ++steps_;
        if (steps_ % 1024 == 0) world_.machine.forget();
        return true;
    }

    uint64_t calls() const { return world_.core->statistics().calls; }

    /// How often this operation succeeded.
    uint64_t successes(Op op) const { return successes_[static_cast<size_t>(op)]; }

    /// Empty if all that always holds does.
    std::string trouble() const {
        const auto& database = world_.core->database();
        if (auto found = core_trouble(*world_.core); !found.empty()) return found;
        for (Slot* s : all_slots(database)) {
            if (s->kind == Kind::mapping) {
                const auto& table = *world_.at<kernel::PageTable>(s->table);
                for (uint32_t i = 0; i < s->entry_count(); ++i) {
                    const uint64_t entry = table.entry[s->entry + i];
                    if ((entry & kernel::pte::present) == 0) return "a mapping without entry";
                    if (table.owner[s->entry + i] != s) return "an entry of another mapping";
                    const bool both = (entry & kernel::pte::writable) != 0 &&
                                      (entry & kernel::pte::no_execute) == 0;
                    if (s->has(kernel::flag::maps_table)) continue;
                    if (both) return "writable code";
                    const uint64_t at = s->base + i * kernel::entry_bytes(s->level);
                    if ((entry & kernel::pte::address) != at) return "an entry for other memory";
                    const bool writes = (entry & kernel::pte::writable) != 0;
                    if (writes && !s->rights.has(abi::write)) return "an entry with a right more";
                }
            }
            if (abi::table_level(s->kind) != 0) {
                const auto& table = *world_.at<kernel::PageTable>(s->base);
                const size_t own = s->kind == Kind::address_space ? 256 : 512;
                for (size_t i = 0; i < own; ++i) {
                    if ((table.entry[i] & kernel::pte::present) == 0) continue;
                    const Slot& owner = *table.owner[i];
                    if (owner.kind != Kind::mapping || owner.table != s->base) {
                        return "an entry without mapping";
                    }
                }
            }
        }
        const Dispatcher* const d = world_.core->current();
        if (d != nullptr && (d->state != State::runnable || d->page == nullptr)) {
            return "the running one cannot run";
        }
        if (world_.core->looks() > kernel::most_looks) return "too many slots in one call";
        return {};
    }

    /// At the end the boot's RAM can always be taken back whole, but for what was lent.
    std::string revoke_everything() {
        Result<> r = fail(Err::again);
        int calls = 0;
        while (!r && r.error() == Err::again && ++calls < 10'000) {
            r = world_.core->revoke(world_.ram());
        }
        if (!r && r.error() != Err::lent) return "revoke does not end";
        for (Slot* s : all_slots(world_.core->database())) {
            if (r && s != &world_.ram() && kernel::descends(*s, world_.ram())) return "a survivor";
        }
        if (r && world_.core->schedule() != nullptr) return "a survivor runs";
        return database_trouble(world_.core->database());
    }

  private:
    static constexpr size_t blocks_at = 46; // and the next
    static constexpr size_t unused_dispatcher = 48;

    void furnish(Domain& d) {
        Core& core = *world_.core;
        auto& slot = d.leaf->slot;
        const auto root = [&](size_t i, kernel::Root r) {
            World::must(core.insert_root(slot[i], r));
        };
        root(40, {Kind::interrupt, abi::interrupt_space + 9, 1, abi::all_rights});
        root(41, {Kind::io_port, abi::io_port_space, 4096, abi::all_rights});
        root(42, {Kind::core, abi::core_space + own_apic, 1, abi::all_rights});
        root(43, {Kind::core, abi::other_cores, 8, abi::all_rights});
        root(44, {Kind::device_frame, 0, 0x10'0000, abi::all_rights});
        root(45, {Kind::doorbell, abi::core_space + 3, 1, abi::all_rights, 0x81});
        for (Domain& other : domains_) {
            for (Slot& s : slot) {
                if (!s.empty() || &s == &slot[0]) continue;
                World::must(
                    core.make_endpoint(other.leaf->slot[abi::slot::dispatcher], s, random_() % 3)
                );
                break;
            }
        }
        world_.make(Kind::dispatcher, slot[unused_dispatcher]);
        World::must(core.make_doorbell(slot[abi::slot::dispatcher], slot[49], 5));
        for (size_t i = 17; i <= 20; ++i) {
            if (slot[i].empty()) {
                const Kind kind = static_cast<Kind>(static_cast<size_t>(Kind::page_table) + i - 17);
                world_.make(kind, slot[i]);
            }
        }
    }

    uint64_t odd_number() {
        constexpr std::array<uint64_t, 8> odd = {
            0, 1, 63, 64, 0x1000, ~uint64_t{0}, uint64_t{1} << 47, uint64_t{1} << 63
        };
        return odd[random_() % odd.size()];
    }

    /// A slot of leaf 0, mostly one that is filled, mostly of the kind that is wanted.
    uint64_t slot_of(const Dispatcher& d, uint32_t kinds) {
        if (d.cspace->slot[0].kind != Kind::cnode || random_() % 16 == 0) return random_() % 130;
        const auto& leaf = world_.core->cnode(d.cspace->slot[0]);
        const uint64_t from = random_() % 64;
        for (uint64_t i = 0; i < 64; ++i) {
            const Slot& s = leaf.slot[(from + i) % 64];
            if ((kinds >> static_cast<unsigned>(s.kind) & 1) != 0) return (from + i) % 64;
        }
        return from;
    }

    uint64_t argument(const Dispatcher& d) {
        switch (random_() % 8) {
        case 0: return odd_number();
        case 1: return random_();
        case 2: return random_() % 64 * 0x1000;
        case 3: return slot_of(d, 1); // an empty one
        case 4: return slot_of(d, 1u << static_cast<unsigned>(Kind::cnode));
        case 5: return random_() % 20;
        default: return slot_of(d, ~1u);
        }
    }

    /// A slot with whole blocks of RAM, if there is one.
    uint64_t block_slot(const Dispatcher& d) {
        if (d.cspace->slot[0].kind != Kind::cnode) return 0;
        const auto& leaf = world_.core->cnode(d.cspace->slot[0]);
        const uint64_t from = random_() % 64;
        for (uint64_t i = 0; i < 64; ++i) {
            const Slot& s = leaf.slot[(from + i) % 64];
            const bool kind = s.kind == Kind::ram || s.has(kernel::flag::given);
            if (kind && s.bytes >= large_page_bytes) return (from + i) % 64;
        }
        return from;
    }

    /// A frame of one page that may be a dispatcher's, if there is one.
    uint64_t page_slot(const Dispatcher& d) {
        if (d.cspace->slot[0].kind != Kind::cnode) return 0;
        const auto& leaf = world_.core->cnode(d.cspace->slot[0]);
        const uint64_t from = random_() % 64;
        for (uint64_t i = 0; i < 64; ++i) {
            const Slot& s = leaf.slot[(from + i) % 64];
            const bool own = s.kind == Kind::frame && !s.has(kernel::flag::borrowed);
            if (own && s.bytes == page_bytes) return (from + i) % 64;
        }
        return from;
    }

    uint64_t block_base() { return ram_base + random_() % 8 * large_page_bytes; }

    /// What a monitor is told by its peers, and what it had better not be told.
    std::array<uint64_t, 7> accepted(uint64_t leaf, uint64_t into) {
        using enum Kind;
        const auto make = [&](Kind k, uint64_t base, uint64_t bytes, uint64_t badge) {
            const auto kind = static_cast<uint64_t>(k);
            return std::array<uint64_t, 7>{leaf, into, kind, base, bytes, 15, badge};
        };
        switch (random_() % 8) {
        case 0: return make(ram, block_base(), large_page_bytes * (1 + random_() % 2), 0);
        case 1: return make(doorbell, abi::core_space + random_() % 9, 1, 0x30 + random_() % 200);
        case 2: return make(interrupt, abi::interrupt_space + random_() % 300, 1, 0);
        case 3: return make(io_port, abi::io_port_space + random_() % 0x1'0010, 1, 0);
        case 4: return make(device_frame, 0xfe00'0000 + random_() % 16 * 0x1000, 0x1000, 0);
        case 5: return make(frame, block_base() + random_() % 2 * 0x1000, 0x1000, 3);
        default: return make(frame, random_() % 16 * 0x1000, 0x1000, random_() % 4);
        }
    }

    /// The kinds an operation is of.
    static uint32_t kinds_of(Op op) {
        const auto bit = [](Kind k) { return 1u << static_cast<unsigned>(k); };
        using enum Op;
        if (op >= cnode_copy && op <= cnode_describe) return bit(Kind::cnode);
        if (op == table_map) return 15u << static_cast<unsigned>(Kind::page_table);
        if (op == mapping_protect || op == mapping_status) return bit(Kind::mapping);
        if (op >= dispatcher_configure && op <= resume) return bit(Kind::dispatcher);
        if (op == call) return bit(Kind::endpoint);
        if (op == ring) return bit(Kind::doorbell);
        if (op == interrupt_bind || op == interrupt_acknowledge) return bit(Kind::interrupt);
        if (op == port_in || op == port_out) return bit(Kind::io_port);
        if (op >= core_start && op <= core_hang) return bit(Kind::core);
        return ~1u;
    }

    /// Arguments that often make sense for this operation.
    std::array<uint64_t, 7> arguments(const Dispatcher& d, Op op) {
        std::array<uint64_t, 7> a{};
        for (uint64_t& word : a)
            word = argument(d);
        if (random_() % 8 == 0) return a;
        const auto kind_slot = [&](Kind k) { return slot_of(d, 1u << static_cast<unsigned>(k)); };
        const auto cnode = [&] { return kind_slot(Kind::cnode); };
        const auto object = [&](Kind k) -> uint64_t {
            return abi::bytes_of(k) != 0 ? abi::bytes_of(k) : 0x1000;
        };
        using enum Op;
        if (op == cnode_delete || op == cnode_revoke || op == cnode_move) {
            // seldom what one stands on
            const uint64_t victim = random_() % 32 == 0 ? random_() % 16 : 13 + random_() % 51;
            a = {op == cnode_move ? slot_of(d, 1) : victim, victim, 0, 0, 0, 0, 0};
        } else if (op == cnode_copy || op == cnode_mint) {
            a = {slot_of(d, 1), slot_of(d, ~1u), 15, 0, 0, 0, 0};
        } else if (op == cnode_retype) {
            const auto kind = static_cast<Kind>(1 + random_() % 11);
            a = {
                slot_of(d, 1),
                kind_slot(Kind::ram),
                static_cast<uint64_t>(kind),
                random_() % 64 * 0x1000,
                object(kind),
                1,
                0
            };
        } else if (op == table_map) {
            constexpr uint32_t tables = 7u << static_cast<unsigned>(Kind::page_table);
            const bool memory = random_() % 2 == 0;
            a = {
                random_() % 8,
                memory ? kind_slot(Kind::frame) : slot_of(d, tables),
                0,
                memory ? 3u : 0u,
                1,
                cnode(),
                slot_of(d, 1)
            };
        } else if (op == endpoint_make || op == doorbell_make) {
            a = {cnode(), slot_of(d, 1), 1 + random_() % 4, 0, 0, 0, 0};
        } else if (op == wait) {
            const auto now = static_cast<uint64_t>(world_.machine.time.ns);
            a = {
                random_() % 2 * (now + random_() % 1'000'000),
                random_() % 4,
                cnode(),
                slot_of(d, 1),
                0,
                0,
                0
            };
        } else if (op == call || op == reply || op == reply_wait) {
            a[0] = random_() % 2 == 0 ? 0 : slot_of(d, ~1u) | uint64_t{random_() % 2} << 32;
        } else if (op == dispatcher_configure) {
            const uint64_t bell = random_() % 2 == 0 ? 0 : kind_slot(Kind::doorbell);
            const uint64_t space = kind_slot(Kind::address_space);
            a = {cnode(), space, page_slot(d), 0x1000, random_() % 9, bell, 0};
        } else if (op == dispatcher_start) {
            a = {0x1000, 0x2000, 0, 0, 0, 0, 0};
        } else if (op == Op::port_in || op == Op::port_out) {
            a = {random_() % 4098, 1u << random_() % 3, random_(), 0, 0, 0, 0};
        } else if (op == mapping_protect || op == resume || op == core_info) {
            a[0] = random_() % 8;
        } else if (op == dispatcher_priority) {
            a = {random_() % 9, random_() % 2 * 5000, 0, 0, 0, 0, 0};
        } else if (op == interrupt_bind) {
            a = {kind_slot(Kind::doorbell), random_() % 4, 0, 0, 0, 0, 0};
        } else if (op == core_lend) {
            a = {kind_slot(Kind::frame), cnode(), slot_of(d, 1), 0, 0, 0, 0};
        } else if (op == core_accept) {
            a = accepted(cnode(), slot_of(d, 1));
        } else if (op == core_start) {
            a = {block_slot(d), random_() % 32 == 0 ? 0u : 8u, random_() % 9, 0, 0, 0, 0};
        } else if (op == core_give || op == core_regain) {
            a[0] = block_slot(d);
        } else if (op == core_recall) {
            a = {kind_slot(Kind::loan), random_() % 16, cnode(), slot_of(d, 1), 0, 0, 0};
        } else if (op == core_mark) {
            // mostly off again, or soon nothing goes on
            a = {slot_of(d, ~1u), random_() % 4 == 0 ? 1u : 0u, 0, 0, 0, 0, 0};
        } else if (op == core_watch) {
            a[0] = random_() % 4 == 0 ? 0 : kind_slot(Kind::doorbell);
        } else if (op == core_split) {
            a = {block_slot(d), random_() % 4 * large_page_bytes, cnode(), slot_of(d, 1), 0, 0, 0};
        } else if (op == core_stop) {
            a[0] = random_() % 4;
        } else if (op == core_vector) {
            a[0] = kind_slot(Kind::doorbell);
        }
        return a;
    }

    void system_call(Dispatcher& d) {
        const auto op = static_cast<Op>(random_() % (static_cast<uint32_t>(Op::count_) + 1));
        d.registers.rax = static_cast<uint64_t>(op);
        d.registers.rdi = slot_of(d, random_() % 8 == 0 ? ~1u : kinds_of(op));
        // own operations mostly on oneself, and stopping oneself seldom
        if (op >= Op::wait && op <= Op::resume) d.registers.rdi = abi::slot::dispatcher;
        if (op >= Op::core_start && op <= Op::core_hang && random_() % 8 != 0) {
            d.registers.rdi = op == Op::core_start ? 43 : 42;
        }
        if (op == Op::dispatcher_configure && random_() % 2 == 0) {
            d.registers.rdi = unused_dispatcher;
        }
        const auto a = arguments(d, op);
        for (size_t i = 0; i < a.size(); ++i)
            d.registers.*kernel::word_registers[i] = a[i];
        world_.machine.start_fails = op == Op::core_start && random_() % 8 == 0;
        enter(*world_.core);
        // who is called or waits has its answer later
        const bool done = d.registers.rax == 0 || d.state != State::runnable;
        if (op < Op::count_ && done) ++successes_[static_cast<size_t>(op)];
    }

    /// The domain writes what it likes into its page.
    void scribble(Dispatcher& d) {
        auto* const words = reinterpret_cast<uint64_t*>(d.page);
        for (int i = 0; i < 8; ++i) {
            words[random_() % (sizeof(abi::DispatcherPage) / 8)] =
                random_() % 2 == 0 ? odd_number() : random_();
        }
    }

    /// Everybody sleeps: the next deadline comes, or somebody is started afresh.
    bool wake_somebody() {
        if (const Instant next = world_.core->next_deadline(); next != never) {
            world_.machine.time = std::max(world_.machine.time, next);
            world_.core->on_timer();
            return true;
        }
        const size_t first = random_() % domains_.size();
        for (size_t i = 0; i < domains_.size(); ++i) {
            Dispatcher& d = *domains_[(first + i) % domains_.size()].dispatcher;
            if (d.state == State::unconfigured) continue;
            World::must(world_.core->stop(d));
            return true; // `revive` does the rest
        }
        return false;
    }

    /// Who has ended is started again, as a parent would.
    void revive() {
        for (Domain& d : domains_) {
            const State s = d.dispatcher->state;
            if (s == State::stopped || s == State::faulted) {
                (void)world_.core->start(*d.dispatcher, 0x1000, 0x2000, 0);
            }
        }
    }

    World world_;
    uint64_t steps_{};
    std::array<uint64_t, static_cast<size_t>(Op::count_)> successes_{};
    std::vector<Domain> domains_;
    std::function<uint32_t()> random_;
};

} // namespace kernel_test
