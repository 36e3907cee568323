#include "lib/os/span/worker.hpp"

#include <algorithm>
#include <bit>

#include "lib/base/log.hpp"
#include "lib/os/fault.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/lasting.hpp"
#include "lib/os/logging.hpp"
#include "lib/os/manifest.hpp"
#include "lib/os/span/span.hpp"
#include "lib/os/threads/program.hpp"

namespace os {
namespace {

namespace api = interfaces::span;

constinit Immortal<SpanWorker> the_worker;

constexpr uint64_t code_write = 2; // SDM vol. 3A, 4.7
constexpr span::Range everything{control_at, maps_end};

async::Task<> live() {
    const auto ended = co_await async::result_of(the_worker->run());
    // Without its home it is nothing; whoever started it takes it away.
    if (!ended) log::error("worker {} ends: {}", the_worker->number(), ended.error());
    domain().stop(ended ? 0 : -1);
    co_return {};
}

[[noreturn]] void die(const ThreadBlock& thread) {
    die_of_page_fault(virt(thread.fault_address), thread.fault_code, thread.registers);
}

bool may_wait(const abi::DispatcherPage& page) {
    return the_worker->takes(page);
}

} // namespace

SpanWorker& worker() {
    return *the_worker;
}

// -- the beginning --

async::Task<> SpanWorker::run() {
    std::string_view text = self_.arguments();
    const std::string_view home_name = take_word(text);
    const auto key = parse_number(take_word(text), ~uint64_t{0});
    if (!key) co_await fail(Err::malformed);
    co_await link_.open({.name = home_name, .contract = api::contract, .events = &side_});
    co_await join(*key);
    scheduler().begin(*this, number_);
    use_shared_heap(*this);
    set_thread_pager(may_wait);
    co_await self_.loop().spawn("first rings", [&] { return ring_new_bells(); });
    self_.loop().add(*this);
    set_up_ = true;
    if (begun_) start_program();
    co_await until_gone(link_);
    co_return {};
}

/// What all have from the start is mapped before any thread runs, and for good.
async::Task<> SpanWorker::join(uint64_t key) {
    const CapSlot bell = abi::slot_at(0, abi::slot::self_doorbell);
    frames_[0] = {control_frame, OwnedCap{(co_await home().join(number_, key, bell)).control}};
    const span::Range range{control_at, control_at + control_bytes};
    co_await tables_.map(
        {range, control_frame, 0, abi::read | abi::write}, frames_[0].frame.slot()
    );
    co_return {};
}

/// The home may say so before the memory that comes with its answer to join() is here.
void SpanWorker::begin() {
    begun_ = true;
    if (set_up_) start_program();
}

void SpanWorker::start_program() {
    auto first = Thread::create([] {
        const auto program = std::bit_cast<int (*)()>(control().program);
        worker().program_ended(program());
    });
    if (!first) return domain().stop(-1);
    first->detach();
}

void SpanWorker::program_ended(int code) {
    const Hold hold;
    (void)self_.loop().spawn("end of the program", [&] { return tell_finished(code); });
    Hold::ask_for_rest();
}

/// Our lines of log go by a channel of our own, which ends with us.
async::Task<> SpanWorker::tell_finished(int64_t code) {
    co_await log_written(self_, self_.loop().now() + log_patience);
    co_await home().finished(code);
    co_return {};
}

void FromHome::begin() {
    worker_.begin();
}

void FromHome::cut(const api::CutArguments& a) {
    worker_.cut(a);
}

// -- page faults --

/// Nothing may be done here but to note it: what was interrupted may be in the middle of anything.
bool SpanWorker::takes(const abi::DispatcherPage& page) {
    const VirtAddr at = virt(page.fault_address);
    if (!everything.contains(at) && !shared_image().region.range.contains(at)) return false;
    ThreadBlock& thread = *os_current_thread;
    thread.fault_address = page.fault_address;
    thread.fault_code = page.fault_code;
    faulted_.push(thread);
    return true;
}

async::Task<> SpanWorker::resolve(ThreadBlock& thread) {
    const bool write = (thread.fault_code & code_write) != 0;
    const auto there = co_await async::result_of(bring_in(virt(thread.fault_address), write));
    if (!there) {
        if (!link_.is_open()) co_return {}; // the end of all of us
        log::error("a page cannot be had: {}", there.error());
    }
    if (!there || !*there) die(thread);
    scheduler().resume(thread);
    co_return {};
}

async::Task<bool> SpanWorker::bring_in(VirtAddr at, bool write) {
    for (;;) {
        const Replica::Piece* const piece = replica_.find(at);
        if (piece != nullptr && (!write || piece->fill.region.rights.has(abi::write)))
            co_return true; // another thread was faster
        const auto answer = co_await async::result_of(home().fill(at.raw));
        if (!answer && answer.error().top() == Err::not_mapped) co_return false;
        const api::FillResult filled = co_await answer;
        const Rights rights{static_cast<uint8_t>(filled.rights)};
        const span::Range range{virt(filled.begin), virt(filled.begin + filled.bytes)};
        const span::Fill fill{
            {range, filled.frame, filled.offset, rights}, span::Version{{filled.state}}
        };
        if (!rights.has(write ? abi::write : abi::read)) co_return false;
        const auto memory = co_await async::result_of(frame(filled.frame));
        if (!memory && memory.error().top() == Err::not_found) continue; // it went meanwhile
        const CapSlot slot = co_await memory;
        if (replica_.judge(fill, at) == span::Verdict::map) co_await map_piece(fill, slot);
        // Else it is there, or out of date: then the home is asked again, who has sent us the cut
        // that made it so before its next answer.
    }
}

Result<> SpanWorker::map_piece(const span::Fill& fill, CapSlot frame) {
    const auto drop = [&](CapSlot mapping) { return tables_.unmap(mapping); };
    if (!replica_.has_room()) replica_.evict(drop);
    const CapSlot mapping = TRY(tables_.map(fill.region, frame));
    replica_.mapped(fill, mapping);
    return {};
}

async::Task<CapSlot> SpanWorker::frame(uint32_t number) {
    const auto known = std::ranges::find(frames_, number, &Known::number);
    if (known != frames_.end()) co_return known->frame.slot();
    OwnedCap got{(co_await home().frame(number)).what};
    // Another thread's fault may have brought it meanwhile.
    const auto again = std::ranges::find(frames_, number, &Known::number);
    if (again != frames_.end()) co_return again->frame.slot();
    const auto free = std::ranges::find(frames_, 0u, &Known::number);
    if (free == frames_.end()) co_await ::fail(Err::no_space);
    *free = {number, std::move(got)};
    co_return free->frame.slot();
}

void SpanWorker::forget_frame(uint32_t number) {
    const auto known = std::ranges::find(frames_, number, &Known::number);
    if (number >= first_frame && known != frames_.end()) *known = Known{};
}

void SpanWorker::cut(const api::CutArguments& a) {
    const span::Range range{virt(a.begin), virt(a.begin + a.bytes)};
    const bool dirty = replica_.cut(range, span::Version{{a.state}}, [&](CapSlot mapping) {
        return tables_.unmap(mapping);
    });
    forget_frame(a.gone);
    if (home().try_cut_done(a.operation, dirty)) return;
    (void)self_.loop().spawn("answer to a cut", [&] { return answer_cut(a.operation, dirty); });
}

async::Task<> SpanWorker::answer_cut(uint32_t operation, bool dirty) {
    co_await home().cut_done(operation, dirty);
    co_return {};
}

// -- for threads --

async::Task<VirtAddr> SpanWorker::map(uint64_t bytes) {
    const auto guard = co_await cuts_.acquire();
    co_return virt((co_await home().map(bytes)).begin);
}

async::Task<bool> SpanWorker::unmap(span::Range range) {
    const auto guard = co_await cuts_.acquire();
    co_return (co_await home().unmap(range.begin.raw, range.bytes())).dirty;
}

async::Task<bool> SpanWorker::protect(span::Range range, Rights rights) {
    const auto guard = co_await cuts_.acquire();
    co_return (co_await home().protect(range.begin.raw, range.bytes(), rights.raw)).dirty;
}

async::Task<uint32_t> SpanWorker::last_cut() {
    co_return (co_await home().last_cut()).messages;
}

// -- ThreadSource --

Result<ThreadBlock*> SpanWorker::take() {
    Control& all = control();
    const SpinGuard guard{all.threads};
    if (ThreadBlock* const kept = all.free_threads.take()) return kept;
    if (all.threads_made == most_threads) return fail(Err::no_space);
    const uint32_t index = all.threads_made++;
    ThreadBlock& block = all.blocks[index];
    const span::Range stack = stack_of(index);
    block.stack_begin = stack.begin.raw;
    block.stack_end = stack.end.raw;
    return &block;
}

void SpanWorker::release(ThreadBlock& thread) {
    Control& all = control();
    const SpinGuard guard{all.threads};
    all.free_threads.push(thread);
}

void SpanWorker::wake_far(ThreadBlock& thread) {
    const uint32_t to = thread.worker;
    Desk& desk = control().desks[to];
    desk.inbox.push(thread);
    // seq_cst: pairs with the fence between arm() and ready() of that worker's loop
    std::atomic_thread_fence(std::memory_order_seq_cst);
    // relaxed: ordered by the fence above
    if (desk.asleep.load(std::memory_order_relaxed) == 0) return;
    // relaxed: one of several wakers rings
    if (desk.asleep.exchange(0, std::memory_order_relaxed) == 0) return;
    if (!bells_[to].is_null()) {
        (void)Doorbell{{bells_[to].slot()}}.ring();
        return;
    }
    owes_ring_[to] = true;
    first_ring_.set();
    Hold::ask_for_rest();
}

/// Who is owed a ring sleeps until it comes, as nobody else rings: what fails is tried again.
async::Task<> SpanWorker::ring_new_bells() {
    for (;;) {
        co_await first_ring_.wait();
        bool again = false;
        for (uint32_t to = 0; to < owes_ring_.size(); ++to) {
            if (!std::exchange(owes_ring_[to], false)) continue;
            if (co_await async::result_of(fetch_bell(to)))
                (void)Doorbell{{bells_[to].slot()}}.ring();
            else
                owes_ring_[to] = again = true;
        }
        if (!again) continue;
        co_await self_.loop().sleep_for(ring_again);
        first_ring_.set();
    }
}

async::Task<> SpanWorker::fetch_bell(uint32_t worker) {
    bells_[worker] = OwnedCap{(co_await home().bell(worker)).bell};
    co_return {};
}

// -- SharedHeap --

void* SpanWorker::allocate(size_t bytes) {
    Control& all = control();
    const Lock lock{all.heap_lock};
    if (void* const memory = all.heap.allocate(bytes)) return memory;
    const auto more = map_shared(std::max(heap_chunk, bytes + page_bytes));
    if (!more) return nullptr;
    all.heap.add(*more);
    return all.heap.allocate(bytes);
}

bool SpanWorker::owns(const void* memory) const {
    return everything.contains(virt(std::bit_cast<uint64_t>(memory)));
}

void SpanWorker::release(void* memory) {
    Control& all = control();
    const Lock lock{all.heap_lock};
    all.heap.release(memory);
}

// -- async::Source --

bool SpanWorker::pump() {
    bool worked = false;
    while (ThreadBlock* const thread = faulted_.take()) {
        if (!self_.loop().spawn("a page", [&] { return resolve(*thread); })) die(*thread);
        worked = true;
    }
    scheduler().admit(control().desks[number_].inbox);
    return run_threads() || worked;
}

/// Threads run as long as they like: whoever wants this part meanwhile rings, which interrupts
/// them.
bool SpanWorker::run_threads() {
    if (scheduler().idle()) return false;
    abi::DispatcherPage& shared = page();
    const std::atomic_ref pending{shared.pending};
    shared.wants_run_upcall = abi::run_upcall::on_event;
    // The CPU driver of this core looks there when it likes: the wish comes before our last look.
    std::atomic_signal_fence(std::memory_order_seq_cst); // pairs with the CPU driver's look
    const bool waits = !self_.loop().look_away(*this);
    scheduler().admit(control().desks[number_].inbox); // who was woken before we armed
    // relaxed: written on this same core
    const bool rung = pending.load(std::memory_order_relaxed) != 0;
    // Whoever never has enough does not stop them for ever: he sends again, and that rings.
    const bool gives_way = (rung || waits) && ++gave_way_ < most_ways_given;
    if (!gives_way) {
        gave_way_ = 0;
        (void)scheduler().run();
    }
    shared.wants_run_upcall = abi::run_upcall::never;
    self_.loop().pay_attention();
    // relaxed: as above
    if (pending.load(std::memory_order_relaxed) != 0) self_.loop().take_events();
    return true;
}

bool SpanWorker::ready() {
    return !control().desks[number_].inbox.empty() || !scheduler().idle() || !faulted_.empty();
}

void SpanWorker::arm(uint64_t) {
    // relaxed: the loop's fence follows, and then ready()
    control().desks[number_].asleep.store(1, std::memory_order_relaxed);
}

void SpanWorker::disarm() {
    // relaxed: a late ring wakes for nothing
    control().desks[number_].asleep.store(0, std::memory_order_relaxed);
}

} // namespace os

int os_worker_main(os::Domain& self, uint64_t replica) {
    os::the_worker.make(self, static_cast<uint32_t>(replica - 1));
    if (!self.loop().spawn("worker", [&] { return os::live(); })) return -1;
    return self.serve();
}
