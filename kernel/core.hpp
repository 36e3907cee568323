// One core's kernel: everything it knows hangs off this object. The CPU driver puts one in its own
// memory, calls it at every entry from user space or from the hardware, then asks who runs next.
//
// Order of calls at an entry: registers into current()->registers; one of invoke, on_timer,
// on_device_or_ipi_vector, on_fault; then, unless the answer says that current() goes on,
// schedule(); load what it answers (root, extended state, registers), or the kernel's own root and
// halt; program the timer for next_deadline().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "kernel/database.hpp"
#include "kernel/dispatcher.hpp"
#include "kernel/machine.hpp"
#include "kernel/owned.hpp"
#include "kernel/page_table.hpp"
#include "kernel/scheduler.hpp"
#include "kernel/slot.hpp"
#include "kernel/tlb.hpp"
#include "kernel/vectors.hpp"
#include "lib/abi/invocation.hpp"
#include "lib/base/result.hpp"

namespace kernel {

struct Config {
    CoreId core;
    ApicId apic;
    uint64_t tsc_khz;
    uint64_t tsc_at_start; // for the dispatcher pages
    std::byte* window;     // physical address p is at window + p
    PhysAddr kernel_root;  // its upper half goes into every address space
};

struct Statistics {
    uint64_t calls, interrupts, ipis_sent, ipis_received, spurious;
    uint64_t halts, switches, timer;
    uint64_t idle_ticks;
    uint64_t bytes_owned;
    uint64_t faults;    // of dispatchers that were stopped by one
    uint64_t held_back; // times that somebody had to pause for ringing other cores too often
};

/// A capability that comes from nothing: given at boot, or accepted from another core.
struct Root {
    Kind kind;
    uint64_t base, bytes;
    Rights rights;
    uint64_t badge{}; // of a borrowed frame: the core that owns it
    bool borrowed{};  // the memory is another core's
    bool keeper{};    // its copies say how long it is used here
};

struct MapRequest {
    uint32_t entry;
    uint64_t offset; // into the source
    Rights rights;
    uint64_t flags; // abi::MapFlags
    uint32_t count;
};

struct Configuration {
    Slot* cspace;
    Slot* vspace;
    Slot* page;
    VirtAddr page_address;
    uint8_t priority;
    Slot* fault_bell; // nullptr: none
};

/// What a call or a fault has led to.
enum class After : uint8_t {
    goes_on,   // who came in goes on at once
    spoken_to, // current() goes on at once: another one, whose last entry was a call as well; words
               // 1..6 of the message are still in the registers of who came in
    went_to,   // current() goes on at once: another one
    replaced,  // who came in goes on at once, with other registers, bases and all
    turn,      // schedule() says
};

/// Callers of one dispatcher that one call sends home, or offers to a waiting server in vain.
constexpr unsigned callers_a_call = 32;

/// Rings of other cores that a dispatcher may save up; it earns one each ring_interval.
constexpr unsigned ring_burst = 512;
constexpr Duration ring_interval = microseconds(2);

/// Slots that one delete or revoke looks at: docs/capabilities.md says how it comes about.
constexpr unsigned most_looks = 2304;

class Core {
  public:
    Core(Machine& machine, const Config& config);
    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    // --- entries -------------------------------------------------------------------------------
    Dispatcher* current() const { return current_; }

    /// The system call in current()->registers; the answer is written there.
    After invoke() {
        Dispatcher& d = *current_;
        Slot* const cap = named();
        if (cap != nullptr && d.registers.rax == std::to_underlying(abi::Op::null_call)) {
            d.registers.rax = 0;
            return After::goes_on;
        }
        return invoke_named(d, cap);
    }

    /// The same in parts, for who keeps the null call short: any other, on what rdi names.
    After invoke_named(Dispatcher& d, Slot* cap) {
        if (cap == nullptr) return refuse(d);
        switch (d.registers.rax) {
        case std::to_underlying(abi::Op::call): return call_quickly(d, *cap);
        case std::to_underlying(abi::Op::reply_wait): return reply_wait_quickly(d, *cap);
        case std::to_underlying(abi::Op::wait): return wait_quickly(d, *cap);
        case std::to_underlying(abi::Op::ring): return ring_quickly(d, *cap);
        case std::to_underlying(abi::Op::resume): return resume_quickly(d, *cap);
        case std::to_underlying(abi::Op::yield): return yield_quickly(d, *cap);
        case std::to_underlying(abi::Op::table_map): return map_quickly(d, *cap);
        case std::to_underlying(abi::Op::cnode_copy): return copy_quickly(d, *cap);
        case std::to_underlying(abi::Op::cnode_delete): return delete_quickly(d, *cap);
        case std::to_underlying(abi::Op::cnode_retype): return retype_quickly(d, *cap);
        default: return invoke(d, *cap);
        }
    }

    /// What rdi names, or nullptr; counts the call.
    Slot* named() {
        ++statistics_.calls;
        return look_up(*current_, current_->registers.rdi);
    }

    void on_timer();
    void on_device_or_ipi_vector(uint8_t vector);
    /// Of the current dispatcher in ring 3. `address` is CR2 for a page fault.
    After on_fault(uint64_t vector, uint64_t code, uint64_t address);

    /// Who runs now; it becomes current(). nullptr: nobody, halt.
    Dispatcher* schedule() {
        scheduler_.settle();
        if (!goes_on()) turn();
        return current_;
    }

    /// When on_timer() must be called at the latest.
    Instant next_deadline() {
        const Instant wake = scheduler_.earliest_deadline();
        if (current_ == nullptr || !scheduler_.at(current_->priority)) return wake;
        if (slice_end_ == never) slice_end_ = machine_.now() + current_->slice;
        return wake < slice_end_ ? wake : slice_end_;
    }

    // --- boot: the same plans and commits that invocations use -----------------------------------
    /// Slots that belong to the kernel itself: a place to begin. 0 is usable here.
    CNode& boot_cnode() { return boot_; }

    /// The slots of a CNode capability.
    CNode& cnode(const Slot& capability) const { return *at<CNode>(capability.base); }

    Dispatcher& dispatcher(const Slot& capability) const {
        return *at<Dispatcher>(capability.base);
    }

    Result<> insert_root(Slot& into, const Root& root);
    /// `into`: one slot for each new object, all empty.
    Result<> retype(Slot& source, Kind kind, uint64_t offset, uint64_t bytes, std::span<Slot> into);
    Result<> copy(Slot& source, Slot& into, Rights rights);
    Result<> move(Slot& source, Slot& into);
    Result<> map(Slot& table, Slot& source, const MapRequest& request, Slot& into);
    Result<> configure(Slot& dispatcher, const Configuration& configuration);
    Result<> start(Dispatcher& d, uint64_t entry, uint64_t stack, uint64_t argument);
    Result<> make_endpoint(Slot& dispatcher, Slot& into, uint64_t badge);
    Result<> make_doorbell(Slot& dispatcher, Slot& into, uint64_t bit);

    // --- what the operations are made of (operations.cpp and its neighbours) ---------------------
    Result<> remove(Slot& slot); // Err::again: not finished
    Result<> revoke(Slot& slot); // Err::again, Err::lent
    Result<> protect(Slot& mapping, Rights rights);
    Result<> stop(Dispatcher& d);
    Result<> set_priority(Dispatcher& d, uint8_t priority, Duration slice);
    Result<> ring(const Slot& doorbell);
    Result<> bind_interrupt(const Slot& line, const Slot& doorbell, abi::InterruptMode mode);
    Result<> acknowledge_interrupt(const Slot& line);
    /// Number `index` of those in `cores`; the RAM goes to it as with `give`.
    Result<bool> start_core(const Slot& cores, uint64_t index, Slot& ram, uint64_t start_page);
    Result<> stop_core(uint64_t apic);
    Result<> accept(Slot& into, const Root& root);
    Result<> lend(Slot& frame, Slot& into);
    Result<> recall(const Slot& loan, Rights rights, Slot& into);
    /// Does a Loan stand there now? Err::again: not finished.
    Result<bool> give(Slot& ram);
    Result<> regain(Slot& loan);
    /// Of what was given: the Loan ends `offset` bytes behind its base, `into` stands for the rest.
    Result<> split(Slot& loan, uint64_t offset, Slot& into);
    Result<> mark(Slot& slot, bool on);
    Result<> watch(Slot* doorbell); // nullptr: nobody does

    struct Range {
        uint64_t base, bytes;
    };

    struct Drained {
        abi::Drained what;
        Range range;
    };

    Drained take_drained();

    struct Touched {
        bool accessed, dirty;
    };

    Result<Touched> touched(const Slot& mapping) const;
    Result<uint8_t> remote_vector(const Slot& doorbell);

    Machine& machine() const { return machine_; }

    const Config& config() const { return config_; }

    const Database& database() const { return database_; }

    const Statistics& statistics() const { return statistics_; }

    /// For the CPU driver, which loads the roots.
    Tlb& tlb() { return tlb_; }

    /// Slots that the last delete or revoke looked at: most_looks at most.
    unsigned looks() const { return looks_; }

    /// Ranges that cannot be used here because another core may use them.
    size_t parked_loans() const { return loans_; }

  private:
    friend class Invoker;

    template <class T>
    T* at(uint64_t physical) const {
        return reinterpret_cast<T*>(window_ + physical);
    }

    // capability space (capabilities.cpp)
    /// nullptr: there is none, and `why_not` knows why.
    Slot* look_up(const Dispatcher& d, uint64_t slot) const {
        const uint64_t leaf = slot / abi::cnode_slots;
        if (leaf >= abi::cnode_slots || slot == abi::null_slot.raw) return nullptr;
        const Slot& in_root = d.cspace->slot[leaf];
        if (in_root.kind != Kind::cnode) return nullptr;
        Slot& found = cnode(in_root).slot[slot % abi::cnode_slots];
        if (found.empty()) [[unlikely]]
            return nullptr;
        return &found;
    }

    Fault why_not(const Dispatcher& d, uint64_t slot) const;

    Result<Slot*> find(const Dispatcher& d, uint64_t slot) const {
        if (Slot* const found = look_up(d, slot)) return found;
        return fail(why_not(d, slot));
    }

    // what keeps the null call short
    [[gnu::noinline]] After invoke(Dispatcher& d, Slot& cap);
    [[gnu::noinline]] After refuse(Dispatcher& d) const;

    // the calls that are made most (quick.cpp)
    [[gnu::noinline]] After call_quickly(Dispatcher& caller, Slot& cap);
    [[gnu::noinline]] After reply_wait_quickly(Dispatcher& d, Slot& cap);
    [[gnu::noinline]] After wait_quickly(Dispatcher& d, Slot& cap);
    [[gnu::noinline]] After ring_quickly(Dispatcher& d, Slot& cap);
    [[gnu::noinline]] After yield_quickly(Dispatcher& d, Slot& cap);
    [[gnu::noinline]] After copy_quickly(Dispatcher& d, Slot& cap);
    [[gnu::noinline]] After delete_quickly(Dispatcher& d, Slot& cap);
    [[gnu::noinline]] After retype_quickly(Dispatcher& d, Slot& cap);
    [[gnu::noinline]] After resume_quickly(Dispatcher& d, Slot& cap);
    [[gnu::noinline]] After map_quickly(Dispatcher& d, Slot& cap);
    [[gnu::noinline]] After call_with_capability(Dispatcher& caller, Slot& cap);
    void hand_over(Dispatcher& caller, Dispatcher& callee, uint64_t badge);
    void switch_quickly(Dispatcher& next);

    Result<Slot*> find_changeable(const Dispatcher& d, uint64_t slot) const;

    /// A slot to be filled; nullptr: that is none, and `why_no_place` knows why.
    [[gnu::always_inline]] Slot* empty_slot(const Slot& in, uint64_t index) const {
        if (in.kind != Kind::cnode || !in.rights.has(abi::write)) return nullptr;
        if (index >= abi::cnode_slots) return nullptr;
        Slot& slot = cnode(in).slot[index];
        return slot.empty() ? &slot : nullptr;
    }

    static Fault why_no_place(const Slot& in, uint64_t index);

    Result<Slot*> place(const Slot& in, uint64_t index) const {
        if (Slot* const found = empty_slot(in, index)) return found;
        return fail(why_no_place(in, index));
    }

    Result<> check_copy(const Slot& source, Rights rights) const;
    void make_object(Kind kind, uint64_t base);
    Result<> derive(Slot& dispatcher, Slot& into, Kind kind, uint64_t tag);

    // removal (removal.cpp)
    Result<Slot*> blocker(Slot& slot, const Slot& start);
    Result<Slot*> blocker_of_memory(Slot& slot, const Slot& start);
    Slot* blocker_of_table(Slot& table);
    Result<Slot*> blocker_of_dispatcher(Slot& slot, const Slot& start);
    Result<> let_go(Dispatcher& d);
    static Dispatcher* holder(Slot& slot);
    Result<Slot*> deepest(Slot& start);
    bool dispose_for(Slot& start, Slot& victim);
    bool goes_alone(Slot& slot) const;
    void dispose(Slot& victim);
    Result<bool> revoke_one(Slot& slot);

    // page tables (mapping.cpp)
    struct Place {
        PhysAddr root;
        VirtAddr address;
    };

    /// Where a table of pages hangs, as it was found last: until any table is unhooked.
    struct KnownPlace {
        uint64_t table{}; // 0: none known
        Place place{};
    };

    KnownPlace& known_place(uint64_t table) {
        return known_places_[table / abi::bytes_of(Kind::page_table) % known_places_.size()];
    }

    Result<> check_table(const Slot& table, Slot& source, const MapRequest& request) const;
    void fill(const MapRequest& request, Slot& mapping, uint64_t first, uint64_t apart);
    Result<> map_memory(
        const Slot& table, unsigned level, Slot& source, const MapRequest& request, Slot& into
    );
    void make_mapping(
        const Slot& table,
        unsigned level,
        Slot& source,
        const MapRequest& request,
        bool memory,
        Slot& into
    );
    void unmap(Slot& mapping);
    void flush(const Slot& mapping);
    std::optional<Place> place_of(const Slot& mapping);
    std::optional<Place> place_of_table(uint64_t table, unsigned level) const;
    void adopt(Slot& mapping);

    // dispatchers (dispatching.cpp)
    Result<> check_configuration(const Dispatcher& d, const Configuration& wanted) const;
    void hold_capability(Dispatcher& d, size_t which, Slot* capability);
    void make_runnable(Dispatcher& d);
    void unready(Dispatcher& d);

    bool goes_on() const {
        const Dispatcher* const d = current_;
        return d != nullptr && d->state == State::runnable && !slice_over_ &&
               !scheduler_.above(d->priority);
    }

    void sever(Dispatcher& d);
    bool send_home(Dispatcher& d);
    void unconfigure(Dispatcher& d);
    void destroy(Dispatcher& d);
    void turn();
    void put_back(Dispatcher& d);
    void charge();
    void switch_to(Dispatcher* next);
    void give_run_upcall(Dispatcher& d);
    void tell_current();
    void enter_upcall(Dispatcher& d, uint64_t entry);
    void stop_by_fault(Dispatcher& d, uint64_t vector, uint64_t code, uint64_t address);
    void tell_of_end(const Dispatcher& d);
    After resume(Dispatcher& d, abi::Area area);

    // local messages (messages.cpp)
    Result<Slot*> sent_capability(const Dispatcher& from, uint64_t word) const;
    Result<Slot*> receive_place(const Dispatcher& to) const;
    Result<bool> pass_capability(const Dispatcher& from, uint64_t word, const Dispatcher& to);
    void commit_pass(uint64_t word, Slot& source, Slot& into);
    void deliver(Dispatcher& caller, Dispatcher& callee, uint64_t badge, bool with_capability);
    bool take_queued(Dispatcher& d);
    void fail_caller(Dispatcher& caller, Fault why);
    Result<> call(Dispatcher& caller, const Slot& endpoint);
    void run_callee(Dispatcher& caller, Dispatcher& callee, uint64_t badge, bool passed);
    void answer_words(Dispatcher& d, Dispatcher& caller);
    Result<Dispatcher*> answer_caller(Dispatcher& d);
    Result<> reply(Dispatcher& d);
    Result<> reply_wait(Dispatcher& d);
    Result<> wait(Dispatcher& d);
    void listen(Dispatcher& d, int64_t deadline_ns, uint64_t flags);

    // events (events.cpp)
    void post(Dispatcher& d, unsigned bit);
    void pay_for_ring(Dispatcher& d);
    void wake(Dispatcher& d, uint64_t bits);
    void unbind_line(Line& line);
    void mask_lines(const Slot& range);

    // other cores (cores.cpp)
    Result<> check_accept(const Root& root) const;

    // memory between cores (ownership.cpp, borrowed.cpp)
    void own(uint64_t begin, uint64_t end);
    void disown(uint64_t begin, uint64_t end);
    Result<> check_blocks_free(uint64_t base, uint64_t bytes) const;
    Result<> check_not_borrowed(uint64_t begin, uint64_t end) const;
    Result<> prepare_to_leave(Slot& ram);
    bool leave(Slot& ram);
    Result<ApicId> other_core(const Slot& cores, uint64_t index) const;
    Result<> accept_ram(Slot& into, const Root& root);
    void note_removed(uint64_t base);
    void note_drained(const Slot* keeper);

    Machine& machine_;
    Config config_;
    uintptr_t window_;
    Dispatcher* current_{};
    uint64_t switched_at_;     // ticks
    Instant slice_end_{never}; // counts from when there is an equal to give way to
    List<Dispatcher, &Dispatcher::ready_hook> going_home_; // their callers are being sent home
    Dispatcher* payer_{};            // whose time it is: current(), or who called him
    const Dispatcher* donated_to_{}; // goes on within the slice of who called it
    bool slice_over_{};              // gives way to its equals
    Scheduler scheduler_;
    Database database_;
    Tlb tlb_;
    std::array<KnownPlace, 16> known_places_{};
    Vectors vectors_;
    Statistics statistics_{};
    uint64_t ring_ticks_; // ring_interval
    CNode boot_{};
    OwnedBlocks owned_;
    unsigned looks_{};
    size_t loans_{};
    Slot watch_{};                    // the doorbell of who returns what is not used any more
    std::array<Range, 64> drained_{}; // borrowed, and only keepers are left
    size_t drained_count_{};
    bool drained_many_{};
};

} // namespace kernel
