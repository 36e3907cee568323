#include "lib/rpc/channel.hpp"

#include <algorithm>
#include <bit>

#include "lib/rpc/codec.hpp"

namespace rpc {

Channel::Channel(async::Loop& loop, const Setup& setup, Handler& handler)
    : loop_{loop}, endpoint_{setup.side}, bell_{setup.bell}, handler_{handler},
      contract_{setup.contract}, from_other_core_{setup.from_other_core},
      calls_at_a_time_{setup.calls_at_a_time},
      pool_{setup.frames.empty() ? loop.pool() : own_pool_.emplace(setup.frames)},
      capabilities_{setup.capabilities}, arrived_{loop} {
    INVARIANT(bell_ != nullptr, "whoever binds a channel knows how to wake its peer");
    const ump::Body hello{contract_.interface, contract_.version};
    const auto sent = endpoint_.try_send(make_tag(Kind::control, greeting), 0, hello);
    INVARIANT(sent, "the ring of a new channel is empty");
    loop_.add(*this);
}

Channel::~Channel() {
    close();
    if (!over_) settle();
}

// --- inwards

bool Channel::pump() {
    unsigned taken = 0;
    uint64_t control;
    ump::Body body;
    while (!attention_ && taken < lines_a_turn && endpoint_.try_recv(control, body)) {
        ++taken;
        async::Waiting* const answered = take(control, body);
        if (answered == nullptr) continue;
        if (!endpoint_.has_message()) { // nothing more to do here but for him
            answered->go_on();
            return true; // this object may be gone
        }
        answered->wake();
    }
    if (attention_ || endpoint_.closed() || has_cancellations()) [[unlikely]]
        return attend() || taken != 0; // this object may be gone
    return taken != 0;
}

/// The same when there is more to do.
bool Channel::attend() {
    bool worked = arrived_any_ && std::exchange(arrived_any_, false) && tell_held();
    uint64_t control;
    ump::Body body;
    for (unsigned i = 0; i < lines_a_turn && may_read(); ++i) {
        if (!endpoint_.try_recv(control, body)) break;
        worked = true;
        if (!greeted_)
            greet(control, body);
        else if (async::Waiting* const answered = take(control, body))
            answered->wake();
    }
    if (has_cancellations() || any_cancelled_) take_cancellations();
    if (has_to_send()) worked |= send_queued();
    if (ending_ != Err::none || endpoint_.closed() || gone_) return wind_up() || worked;
    attention_ = !greeted_ || arrived_any_ || held_.waits || any_cancelled_ || has_to_send() ||
                 serving_ >= calls_at_a_time_;
    return worked;
}

/// Its end, if nothing comes before that. True: this object may be gone.
bool Channel::wind_up() {
    // What is left is at most a ring, or somebody writes who should not.
    const bool more = gone_ && may_read() && endpoint_.has_message();
    if (more && ++pumps_after_gone_ < ump::max_ring_lines / lines_a_turn) return true;
    if (endpoint_.closed()) {
        const bool broken = endpoint_.closed_because() == Err::protocol;
        close(broken ? Err::protocol : finishing_ ? Err::channel_closed : Err::peer_gone);
    }
    if (gone_) close(Err::peer_gone);
    settle();
    handler_.closed(*this, ending_); // may be the end of this object
    return true;
}

/// In short: pump() does nothing else either where nothing calls for attention.
bool Channel::ready() {
    if (attention_) [[unlikely]]
        return ready_to_attend();
    if (endpoint_.has_message()) return true;
    return endpoint_.closed() || has_cancellations();
}

bool Channel::ready_to_attend() {
    if (ending_ != Err::none || arrived_any_ || gone_ || has_cancellations()) return true;
    if (may_read() && endpoint_.has_message()) return true;
    if (endpoint_.closed()) return true;
    if (!has_to_send()) return false;
    const bool wants_out =
        withdraws_ || has_notes() || (queue_.front() != nullptr && can_go(*queue_.front()));
    return wants_out && endpoint_.has_credit();
}

bool Channel::cools() {
    const uint64_t now = endpoint_.sent() + endpoint_.received();
    const bool quiet = now == std::exchange(traffic_, now);
    return quiet && may_read() && !has_to_send() && !arrived_any_ && !gone_;
}

/// Answers whose wait ends with it: the wait for an answer that could be read.
[[gnu::always_inline]] inline async::Waiting*
Channel::take(uint64_t control, const ump::Body& body) {
    const auto [sequence, ack, tag, flow] = ump::Control::unpack(control);
    if ((tag & more_follows) != 0 || assembled_ != 0) [[unlikely]]
        return take_part(control, body);
    const Bytes bytes = std::as_bytes(std::span{body});
    if (kind_of(tag) == Kind::reply) return settle_answer(tag & low_mask, bytes);
    const async::UseFlow scope{flow};
    dispatch(tag, bytes);
    return nullptr;
}

void Channel::greet(uint64_t control, const ump::Body& body) {
    greeted_ = true;
    if (ump::Control::unpack(control).tag != make_tag(Kind::control, greeting))
        return close(Err::protocol);
    if (body[0] != contract_.interface || body[1] != contract_.version)
        close(Err::version_mismatch);
}

/// The lines of a message follow each other: the sender has one message under way at a time.
async::Waiting* Channel::take_part(uint64_t control, const ump::Body& body) {
    const auto [sequence, ack, sent, flow] = ump::Control::unpack(control);
    if (assembled_ != 0 && sent == make_tag(Kind::control, withdrawn)) {
        assembled_ = 0;
        return nullptr;
    }
    const uint16_t tag = sent & static_cast<uint16_t>(~more_follows);
    const Bytes line = std::as_bytes(std::span{body});
    const bool fits = assembly_.size() - assembled_ >= line.size();
    if ((assembled_ != 0 && tag != assembling_) || !fits) {
        close(Err::protocol);
        return nullptr;
    }
    std::ranges::copy(line, assembly_.begin() + assembled_);
    assembled_ += line.size();
    assembling_ = tag;
    if ((sent & more_follows) != 0) return nullptr;
    const Bytes whole = Bytes{assembly_}.first(assembled_);
    assembled_ = 0;
    if (kind_of(tag) == Kind::reply) return settle_answer(tag & low_mask, whole);
    const async::UseFlow scope{flow};
    dispatch(tag, whole);
    return nullptr;
}

/// What is not an answer.
[[gnu::always_inline]] inline void Channel::dispatch(uint16_t tag, Bytes bytes) {
    const uint16_t low = tag & low_mask;
    if (kind_of(tag) != Kind::request) return tell(tag, bytes);
    if (gone_) return; // nobody waits for the answer
    const async::UsePool scope{&pool_};
    handler_.request(*this, low, std::to_integer<uint8_t>(bytes[0]), bytes.subspan(1));
}

/// Neither answer nor request.
void Channel::tell(uint16_t tag, Bytes bytes) {
    const uint16_t low = tag & low_mask;
    if (kind_of(tag) == Kind::one_way) return tell_message(low, bytes);
    if (low != recalled) return close(Err::protocol);
    drop_capability(*peel<uint32_t>(bytes)); // a line is longer than this
}

/// It may be late: a call of that id can have been answered, but not yet another one have come, as
/// the peer takes the bit away before it uses the id again.
void Channel::take_cancellations() {
    cancellations_ = endpoint_.load_aside(aside_count);
    any_cancelled_ = false;
    for (size_t i = 0; i < used_ids_.size(); ++i)
        any_cancelled_ |= endpoint_.load_aside(aside_ids + i) != 0;
    const auto is_cancelled = [this](const Serving& serving) {
        const size_t id = serving.id();
        const uint64_t ids = id < calls_max ? endpoint_.load_aside(aside_ids + id / 64) : 0;
        return (ids >> (id % 64) & 1) != 0;
    };
    const auto cancel_one = [&] {
        for (Serving& serving : jobs_)
            if (is_cancelled(serving) && serving.cancel()) return true; // others may be gone now
        return false;
    };
    while (cancel_one()) {
    }
}

void Channel::tell_cancelled(uint16_t id, bool is_cancelled) {
    const uint64_t bit = uint64_t{1} << (id % 64);
    uint64_t& ids = cancelled_[id / 64];
    if (((ids & bit) != 0) == is_cancelled) return;
    ids ^= bit;
    endpoint_.store_aside(aside_ids + id / 64, ids);
    if (is_cancelled) endpoint_.store_aside(aside_count, ++cancels_);
}

/// What follows is not read before it is told, so that one-way messages keep their order.
void Channel::tell_message(uint16_t number, Bytes bytes) {
    const auto told = handler_.message(*this, number, bytes);
    held_.waits = !told && told.error().top() == Err::would_block;
    attention_ |= held_.waits;
    if (!held_.waits) {
        if (!told) close(Err::protocol);
        return;
    }
    if (bytes.data() != assembly_.data()) std::ranges::copy(bytes, assembly_.begin());
    held_.number = number;
    held_.size = bytes.size();
    held_.flow = async::current_flow;
}

bool Channel::tell_held() {
    if (!held_.waits) return false;
    const async::UseFlow flow{held_.flow};
    tell_message(held_.number, Bytes{assembly_}.first(held_.size));
    return !held_.waits;
}

/// As take().
[[gnu::always_inline]] inline async::Waiting* Channel::settle_answer(uint16_t id, Bytes bytes) {
    const size_t place = id % calls_max;
    Call* const call = waiting_[place];
    if (call == nullptr || id >= calls_max) [[unlikely]] {
        drop_answer(id, bytes);
        return nullptr;
    }
    waiting_[place] = nullptr;
    used_ids_[place / 64] &= ~(uint64_t{1} << (place % 64));
    call->waits_for_answer_ = false;
    const bool done = bytes[0] == status_done;
    if (done && call->deliver(bytes.subspan(1))) [[likely]]
        return call->waiting_;
    settle_failure(*call, done ? Bytes{} : bytes.subspan(1));
    return nullptr;
}

/// The answer is an error, `chain`, or cannot be read.
void Channel::settle_failure(Call& call, Bytes chain) {
    if (chain.empty()) return call.settled(Err::malformed);
    // A line is longer than this. An error that is none would let the task go on without an answer.
    const Fault fault = Fault::from_raw(*peel<uint64_t>(chain));
    call.settled(fault.top() == Err::none ? Fault{Err::protocol} : fault);
}

/// To a call that nobody waits for: cancelled, or never made.
void Channel::drop_answer(uint16_t id, Bytes bytes) {
    if (id >= calls_max) return close(Err::protocol);
    const uint64_t bit = uint64_t{1} << (id % 64);
    // One that is not all sent has its id, but no answer yet.
    if ((used_ids_[id / 64] & cancelled_[id / 64] & bit) == 0) return close(Err::protocol);
    used_ids_[id / 64] &= ~bit;
    tell_cancelled(id, false);
    Bytes rest = bytes.subspan(1);
    const bool brings = (bring_[id / 64] & bit) != 0;
    if (brings && bytes[0] == status_done) drop_capability(*peel<uint32_t>(rest));
}

// --- outwards

bool Channel::can_go(const Outgoing& out) const {
    return !out.is_call() || out.begun() || free_id();
}

/// False when credit ran out first.
bool Channel::send_lines(Outgoing& out) {
    for (; out.lines_sent_ < out.line_count_; ++out.lines_sent_) {
        const bool more = out.lines_sent_ + 1 < out.line_count_;
        const auto tag = static_cast<uint16_t>(out.tag_ | (more ? more_follows : 0));
        if (!endpoint_.try_send(tag, out.flow_, out.lines_[out.lines_sent_])) return false;
    }
    return true;
}

/// Apart, so that what flush() does mostly saves no registers.
void Channel::flush_credit() {
    endpoint_.notify(*bell_);
}

/// What is not as simple as Call::go has it.
void Channel::send_or_queue(Call& call) {
    warm();
    if (!is_clear() || ~used_ids_[0] == 0 || !endpoint_.has_room_for(call.line_count_))
        return enqueue(call);
    give_id(call);
    send_now(call);
    waiting_[call.tag_ & low_mask] = &call;
    call.waits_for_answer_ = true;
}

void Channel::enqueue(Outgoing& out) {
    const bool is_answer = kind_of(out.tag_) == Kind::reply;
    if (ending_ != Err::none || (finishing_ && !is_answer)) return out.settled(why_over());
    attention_ = true;
    queue_.push_back(out);
    send_queued();
}

void Channel::send_refusals() {
    size_t done = 0;
    for (; done < refusal_count_; ++done) {
        ump::Body body{};
        Writer out{std::as_writable_bytes(std::span{body})};
        out.put(std::to_integer<uint8_t>(status_failed));
        out.put(Fault{refusals_[done].why});
        if (!endpoint_.try_send(make_tag(Kind::reply, refusals_[done].id), 0, body)) break;
    }
    for (size_t i = done; i < refusal_count_; ++i)
        refusals_[i - done] = refusals_[i];
    refusal_count_ -= done;
}

void Channel::send_recalls() {
    for (; recall_count_ > 0; --recall_count_) {
        const ump::Body token{recalls_[recall_count_ - 1]};
        if (!endpoint_.try_send(make_tag(Kind::control, recalled), 0, token)) return;
    }
}

void Channel::send_withdrawn() {
    if (withdraws_ && endpoint_.try_send(make_tag(Kind::control, withdrawn), 0, {}))
        withdraws_ = false;
}

/// Answers whether anything went out.
bool Channel::send_queued() {
    if (endpoint_.has_ended()) {
        refusal_count_ = recall_count_ = 0; // the peer has not read the end yet
        return false;
    }
    const uint64_t before = endpoint_.sent();
    send_withdrawn();
    while (Outgoing* const out = withdraws_ ? nullptr : queue_.front()) {
        if (!can_go(*out)) break;
        if (out->is_call() && !out->begun()) {
            if (!endpoint_.has_credit()) break;
            give_id(*out);
        }
        if (!send_lines(*out)) break;
        queue_.remove(*out);
        if (out->is_call()) {
            waiting_[out->tag_ & low_mask] = static_cast<Call*>(out);
            out->waits_for_answer_ = true;
        } else {
            out->settled(std::nullopt);
        }
    }
    // Between messages, not between the lines of one.
    const Outgoing* const front = queue_.front();
    if (!withdraws_ && (front == nullptr || !front->begun())) {
        if (refusal_count_ > 0) send_refusals();
        if (recall_count_ > 0) send_recalls();
        if (finishing_) end_sending();
    }
    return endpoint_.sent() != before;
}

void Channel::begin_finish(async::Waiting& waiting) {
    if (ending_ != Err::none || over_)
        return ending_ == Err::channel_closed ? waiting.wake() : waiting.wake(why_over());
    warm();
    attention_ = finishing_ = true;
    finishers_.add(waiting);
}

/// The last message, if all that comes before it is over.
void Channel::end_sending() {
    const bool all_sent = queue_.empty() && !has_notes() && serving_ == 0;
    const bool all_answered = std::ranges::all_of(used_ids_, [](uint64_t ids) { return ids == 0; });
    if (all_sent && all_answered) endpoint_.end();
}

/// The task that waited is gone, by cancellation.
void Channel::withdraw(Outgoing& out) {
    warm();
    if (out.waits_for_answer_) { // the id stays taken until the answer has come
        const auto id = static_cast<uint16_t>(out.tag_ & low_mask);
        const uint64_t bit = uint64_t{1} << (id % 64);
        waiting_[id] = nullptr;
        bring_[id / 64] = (bring_[id / 64] & ~bit) | (out.brings_capability_ ? bit : 0);
        return tell_cancelled(id, true);
    }
    attention_ = true;
    queue_.remove(out);
    withdraws_ |= out.begun();
    if (out.begun() && out.is_call()) {
        const size_t id = out.tag_ & low_mask;
        used_ids_[id / 64] &= ~(uint64_t{1} << (id % 64));
    }
    if (out.sent_ahead_ != 0 && recall_count_ < recalls_.size())
        recalls_[recall_count_++] = out.sent_ahead_;
}

// --- capabilities

Result<> Channel::send_capability(abi::CapSlot& slot) {
    if (slot == abi::null_slot) return {};
    if (ending_ != Err::none) return fail(why_over());
    if (capabilities_ == nullptr) return fail(Err::unsupported);
    if (++last_token_ == abi::null_slot.raw) ++last_token_;
    TRY_VOID(capabilities_->send(last_token_, slot));
    slot = {{last_token_}};
    return {};
}

async::Task<abi::CapSlot> Channel::take_capability(Wanted& wanted) {
    if (wanted.token == 0) co_return abi::null_slot;
    for (;;) {
        if (wanted.channel == nullptr) co_await fail(Err::channel_closed);
        Channel& channel = *wanted.channel;
        if (channel.capabilities_ == nullptr) co_await fail(Err::unsupported);
        const auto got = channel.capabilities_->receive(wanted.token);
        if (got || got.error().top() != Err::not_found) {
            wanted.token = 0;
            co_return co_await got;
        }
        co_await channel.arrived_.wait();
    }
}

Result<> Channel::take_now(abi::CapSlot& slot) {
    if (slot == abi::null_slot) return {};
    if (capabilities_ == nullptr) return fail(Err::unsupported);
    const auto got = capabilities_->receive(slot.raw);
    if (!got && got.error().top() == Err::not_found) return fail(Err::would_block);
    slot = got ? *got : abi::null_slot;
    return {};
}

void Channel::capability_arrived() {
    warm();
    attention_ = arrived_any_ = true;
    for (uint32_t& token : unwanted_)
        if (token != 0) drop_capability(std::exchange(token, 0));
    arrived_.notify();
}

void Channel::drop_capability(uint32_t token) {
    if (token == 0 || capabilities_ == nullptr) return;
    const auto got = capabilities_->receive(token);
    if (got) return discard(*got);
    if (got.error().top() != Err::not_found) return;
    const auto place = std::ranges::find(unwanted_, 0u);
    if (place != unwanted_.end()) *place = token;
}

// --- the end

Fault Channel::why_over() const {
    return ending_ == Err::none ? Err::channel_closed : ending_; // none: an orderly end has begun
}

/// From the loop or the destructor, so no handler of ours is on the stack.
void Channel::settle() {
    over_ = true;
    loop_.remove(*this);
    endpoint_.close(ending_ == Err::protocol ? Err::protocol : Err::channel_closed);
    endpoint_.notify(*bell_);
    while (Serving* const serving = jobs_.front())
        end(*serving);
    const auto drop = [this](Outgoing& out) {
        out.waits_for_answer_ = false;
        out.settled(why_over());
    };
    while (Outgoing* const out = queue_.pop_front())
        drop(*out);
    for (Call*& call : waiting_)
        if (call != nullptr) drop(*std::exchange(call, nullptr));
    while (Wanted* const wanted = wanted_.pop_front())
        wanted->channel = nullptr;
    arrived_.fail(why_over());
    if (ending_ == Err::channel_closed)
        finishers_.wake_all();
    else
        finishers_.fail_all(why_over());
}

} // namespace rpc
