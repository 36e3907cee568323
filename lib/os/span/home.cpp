#include "lib/os/span/home.hpp"

#include <algorithm>
#include <bit>

#include "interfaces/monitor.hpp"
#include "lib/base/log.hpp"
#include "lib/os/entropy.hpp"
#include "lib/os/instructions.hpp"
#include "lib/os/revoke.hpp"
#include "lib/os/span/session.hpp"
#include "lib/os/spawners.hpp"
#include "lib/span/multicast.hpp"

namespace os {
namespace {

namespace api = interfaces::span;

} // namespace

SpanHome::SpanHome(Domain& self, const Spread& how)
    : self_{self}, how_{how}, addresses_{Extent{maps_at.raw, maps_end.raw}},
      joined_event_{self.loop()}, changed_{self.loop()} {}

async::Task<> SpanHome::run(int (*program)()) {
    co_await choose_cores();
    co_await make_control(program);
    if (const span::Region data = shared_image().region; !data.range.empty())
        co_await space_.map(data); // else the program has no data of its own
    co_await offer_service();
    for (uint32_t w = 0; w < worker_count_; ++w)
        co_await start_worker(w);
    // A worker that does not come would be waited for until somebody kills this domain.
    const Instant late = self_.loop().now() + patience;
    while (joined_.mask != ~uint64_t{0} >> (span::Workers::most - worker_count_))
        co_await joined_event_.wait_until(late);
    co_await api::Events{workers_[0]->session->channel()}.begin();
    co_return {};
}

/// The core we are on, and others that are up, in the order of their numbers.
Result<> SpanHome::choose_cores() {
    LocalClient<interfaces::monitor::Client> monitor{abi::slot_at(0, abi::slot::monitor)};
    const auto add = [&](CoreId core) -> Result<> {
        const auto key = secret(self_.settings().seed);
        workers_[worker_count_] = new (std::nothrow) Worker{self_, core, key[0] ^ key[1]};
        if (workers_[worker_count_] == nullptr) return fail(Err::no_memory);
        ++worker_count_;
        return {};
    };
    TRY_VOID(add(self_.core()));
    const size_t most = std::clamp<size_t>(how_.cores, 1, span::Workers::most);
    for (uint32_t core = 0; core < self_.core_count() && worker_count_ < most; ++core) {
        const auto state = monitor->core_at(core);
        const CoreId id{{static_cast<uint8_t>(core)}};
        if (state && state->state == interfaces::monitor::CoreState::up && id != self_.core())
            TRY_VOID(add(id));
    }
    return {};
}

Result<> SpanHome::make_control(int (*program)()) {
    control_frame_ = TRY(Frame::make(control_bytes));
    const View view = TRY(View::make(control_frame_));
    fill_words(view.span().data(), 0, view.bytes() / sizeof(uint64_t));
    Control& made = *new (view.span().data()) Control;
    made.program = std::bit_cast<uint64_t>(program);
    made.workers = worker_count_;
    for (uint32_t w = 0; w < worker_count_; ++w)
        made.desks[w].core = workers_[w]->core.raw;
    const std::string_view text = first_of(self_.arguments(), made.arguments.size() - 1);
    std::ranges::copy(text, made.arguments.begin());
    return {};
}

/// A name that nobody else has.
Result<> SpanHome::offer_service() {
    for (unsigned n = 0;; ++n) {
        std::array<char, 16> text;
        service_name_ = ServiceName::cut(format_to(text, "span.{}.{}", self_.core(), n));
        const Service::Limits limits{.sessions = span::Workers::most, .bulk_bytes = 0};
        SpanService* const service =
            new (std::nothrow) SpanService{service_name_.view(), api::contract, *this, limits};
        if (service == nullptr) return fail(Err::no_memory);
        const auto offered = offer(self_, *service);
        if (offered) return {};
        delete service;
        if (offered.error().top() != Err::exists) return offered;
    }
}

/// By the spawner of its core, who ends it when this channel ends.
async::Task<> SpanHome::start_worker(uint32_t number) {
    Worker& worker = *workers_[number];
    auto spawn = co_await bind_spawner(self_, worker.spawner, worker.core);
    const DispatcherState mine = co_await self().state();
    // Below us: who answers its page faults must not wait for it.
    const auto priority = static_cast<uint32_t>(std::max<uint64_t>(mine.priority, 2) - 1);
    co_await spawn.replicate(
        co_await Text<16>::from(self_.name()),
        service_name_,
        number,
        worker.key,
        how_.worker_quota,
        priority
    );
    co_return {};
}

Result<CapSlot>
SpanHome::join(uint32_t worker, uint64_t key, WorkerSession& session, OwnedCap bell) {
    if (worker >= worker_count_ || workers_[worker]->key != key) return fail(Err::cap_rights);
    Worker& who = *workers_[worker];
    if (who.session != nullptr) return fail(Err::busy);
    who.session = &session;
    who.bell = std::move(bell);
    joined_.add(worker);
    joined_event_.set();
    return control_frame_.slot();
}

/// A domain does not live on with a part of it gone: threads wait for each other.
void SpanHome::left(uint32_t worker) {
    workers_[worker]->session = nullptr;
    joined_.remove(worker);
    space_.gone(worker);
    while (const auto done = space_.finished())
        gathered(*done);
    if (ending_) return;
    log::error("worker {} on core {} is gone", worker, workers_[worker]->core);
    finished(-1);
}

void SpanHome::finished(int64_t code) {
    if (std::exchange(ending_, true)) return;
    self_.stop(static_cast<int>(code));
}

Result<CapSlot> SpanHome::bell(uint32_t worker) const {
    if (worker >= worker_count_ || !joined_.has(worker)) return fail(Err::not_found);
    return workers_[worker]->bell.slot();
}

// -- memory --

Result<uint32_t> SpanHome::make_frame(uint64_t bytes, Extent addresses) {
    const auto free = std::ranges::find(held_, 0u, &Held::number);
    if (free == held_.end()) return fail(Err::no_space);
    Frame frame = TRY(Frame::make(bytes));
    {
        const View view = TRY(View::make(frame));
        fill_words(view.span().data(), 0, view.bytes() / sizeof(uint64_t));
    }
    *free = {next_frame_++, std::move(frame), addresses};
    return free->number;
}

Result<CapSlot> SpanHome::frame(uint32_t number) const {
    if (number == image_frame) return abi::image_slot;
    const auto held = std::ranges::find(held_, number, &Held::number);
    if (held == held_.end() || number < first_frame) return fail(Err::not_found);
    return held->frame.slot();
}

void SpanHome::drop_frame(uint32_t number) {
    const auto held = std::ranges::find(held_, number, &Held::number);
    if (number < first_frame || held == held_.end()) return;
    addresses_.release(held->addresses);
    *held = Held{};
}

Result<span::Fill> SpanHome::fill(VirtAddr at) {
    const auto found = space_.fill(at);
    if (found || at < stacks_at || at >= stack_of(most_threads - 1).end) return found;
    TRY_VOID(make_stack(at));
    return space_.fill(at);
}

/// Stacks appear when they are touched.
Result<> SpanHome::make_stack(VirtAddr at) {
    const span::Range range = stack_of(static_cast<uint32_t>((at - stacks_at) / stack_stride));
    if (!range.contains(at)) return fail(Err::not_mapped); // the guard below one
    const uint32_t number = TRY(make_frame(range.bytes()));
    const auto mapped = space_.map({range, number, 0, abi::read | abi::write});
    if (!mapped) drop_frame(number);
    return mapped;
}

/// A page stays empty behind each.
Result<VirtAddr> SpanHome::map(uint64_t bytes) {
    const uint64_t rounded = round_up(bytes, page_bytes);
    if (rounded == 0 || rounded > maps_end - maps_at) return fail(Err::bad_argument);
    const Extent where = TRY(addresses_.take(rounded + page_bytes, page_bytes));
    const auto number = make_frame(rounded, where);
    if (!number) {
        addresses_.release(where);
        return fail(number.error());
    }
    const span::Range range{virt(where.begin), virt(where.begin + rounded)};
    const auto mapped = space_.map({range, *number, 0, abi::read | abi::write});
    if (mapped) return range.begin;
    drop_frame(*number);
    return fail(mapped.error());
}

/// The frame that nothing is seen of any more, now that the range is gone; 0: none, or several.
uint32_t SpanHome::gone_with(const span::Region& first) const {
    return first.frame >= first_frame && !space_.uses(first.frame) ? first.frame : 0;
}

async::Task<bool> SpanHome::take_away(span::Range range, std::optional<Rights> rights) {
    Waiting waiting{*this};
    for (;;) {
        const span::Region* const there = space_.find(range);
        const span::Region first = there != nullptr ? *there : span::Region{};
        const auto cut =
            rights ? space_.protect(range, *rights, joined_) : space_.unmap(range, joined_);
        if (!cut && cut.error().top() == Err::busy) {
            co_await changed_.wait();
            continue;
        }
        const span::Cut begun = co_await cut;
        const uint32_t gone = gone_with(first);
        waiting.operation = begun.operation;
        waiting_.push_back(waiting);
        co_await send_cut(begun, gone);
        co_await waiting.done.wait();
        last_messages_ = waiting.messages;
        if (gone != 0) {
            // It is used again only when no core can have any of it.
            const auto slot = frame(gone);
            if (slot && !co_await async::result_of(revoke(*slot))) co_return waiting.dirty;
            drop_frame(gone);
        }
        co_return waiting.dirty;
    }
}

/// Most find room in the ring at once; the others are waited for.
async::Task<> SpanHome::send_cut(span::Cut cut, uint32_t gone) {
    span::Workers late;
    const auto message = [&](uint32_t worker) {
        return api::Events{workers_[worker]->session->channel()};
    };
    const uint64_t begin = cut.range.begin.raw, bytes = cut.range.bytes();
    span::multicast(joined_, [&](uint32_t w) {
        if (!message(w).try_cut(cut.operation, begin, bytes, cut.version.raw, gone)) late.add(w);
    });
    while (!late.empty()) {
        const auto w = static_cast<uint32_t>(std::countr_zero(late.mask));
        late.remove(w);
        if (!joined_.has(w)) continue;
        (void)co_await async::result_of(
            message(w).cut(cut.operation, begin, bytes, cut.version.raw, gone)
        );
    }
    co_return {};
}

void SpanHome::answered(uint32_t operation, uint32_t worker, bool dirty) {
    const auto result = space_.answered(operation, worker, dirty);
    if (!result) return log::warn("worker {} answers what nobody asked", worker);
    for (Waiting& waiting : waiting_)
        if (waiting.operation == operation) waiting.messages += 2; // the cut, and this
    if (*result) gathered(**result);
}

void SpanHome::gathered(const span::Gathered& result) {
    for (Waiting& waiting : waiting_) {
        if (waiting.operation != result.operation) continue;
        waiting.dirty = result.dirty;
        waiting.done.set();
        break;
    }
    changed_.notify();
}

} // namespace os
