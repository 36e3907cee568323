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
    bool worked = std::exchange(arrived_any_, false) && tell_held();
    for (unsigned i = 0; i < lines_a_turn && ending_ == Err::none && receive_line(); ++i)
        worked = true;
    worked |= send_queued();
    if (endpoint_.closed())
        close(endpoint_.closed_because() == Err::protocol ? Err::protocol : Err::peer_gone);
    if (ending_ == Err::none) return worked;
    settle();
    handler_.closed(*this, ending_); // may be the end of this object
    return true;
}

bool Channel::ready() {
    if (ending_ != Err::none || arrived_any_) return true;
    if (may_read() && endpoint_.has_message()) return true;
    const bool wants_out = filler_.lines > 0 || refusal_count_ > 0 ||
                           (queue_.front() != nullptr && can_go(*queue_.front()));
    return (wants_out && endpoint_.has_credit()) || endpoint_.closed();
}

bool Channel::receive_line() {
    if (!may_read()) return false;
    const auto message = endpoint_.try_recv();
    if (!message) return false;
    if (greeted_)
        take_line(*message);
    else
        greet(*message);
    return true;
}

void Channel::greet(const ump::Message& message) {
    greeted_ = true;
    if (message.tag != make_tag(Kind::control, greeting)) return close(Err::protocol);
    if (message.body[0] != contract_.interface || message.body[1] != contract_.version)
        close(Err::version_mismatch);
}

void Channel::take_line(const ump::Message& message) {
    const uint16_t tag = message.tag & static_cast<uint16_t>(~more_follows);
    const bool more = (message.tag & more_follows) != 0;
    const async::UseFlow flow{message.flow};
    const Bytes line = std::as_bytes(std::span{message.body});
    if (assembled_ == 0 && !more) return dispatch(tag, line);
    // The lines of a message follow each other: the sender has one message under way at a time.
    if (assembled_ != 0 && tag != assembling_) return close(Err::protocol);
    if (assembly_.size() - assembled_ < line.size()) return close(Err::protocol);
    std::ranges::copy(line, assembly_.begin() + assembled_);
    assembled_ += line.size();
    assembling_ = tag;
    if (more) return;
    const Bytes whole = Bytes{assembly_}.first(assembled_);
    assembled_ = 0;
    dispatch(tag, whole);
}

void Channel::dispatch(uint16_t tag, Bytes bytes) {
    const uint16_t low = tag & low_mask;
    switch (kind_of(tag)) {
    case Kind::request: return serve(low, bytes);
    case Kind::reply: return settle_answer(low, bytes);
    case Kind::one_way: return tell(low, bytes);
    case Kind::control: return close(Err::protocol);
    }
}

/// What follows is not read before it is told, so that one-way messages keep their order.
void Channel::tell(uint16_t number, Bytes bytes) {
    const auto told = handler_.message(*this, number, bytes);
    held_.waits = !told && told.error().top() == Err::would_block;
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
    tell(held_.number, Bytes{assembly_}.first(held_.size));
    return !held_.waits;
}

void Channel::serve(uint16_t id, Bytes bytes) {
    const async::UsePool scope{&pool_};
    ++served_;
    void* const memory = pool_.allocate(sizeof(Served));
    if (memory != nullptr) {
        Served* const served = new (memory) Served{*this};
        jobs_.push_back(*served);
        ++serving_;
        const auto number = std::to_integer<uint8_t>(bytes[0]);
        if (served->start(handler_.request(*this, id, number, bytes.subspan(1)))) return;
        end(*served);
    }
    refusals_[refusal_count_++] = {id, Err::no_memory};
}

void Channel::end(Served& served) {
    jobs_.remove(served);
    --serving_;
    served.~Served();
    async::FramePool::release(&served);
}

void Channel::settle_answer(uint16_t id, Bytes bytes) {
    if (id >= calls_max || (used_ids_[id / 64] >> (id % 64) & 1) == 0) return close(Err::protocol);
    used_ids_[id / 64] &= ~(uint64_t{1} << (id % 64));
    Outgoing* const call = std::exchange(waiting_[id], nullptr);
    const bool brings = (bring_[id / 64] >> (id % 64) & 1) != 0;
    if (call == nullptr) { // its task was cancelled
        Bytes rest = bytes.subspan(1);
        if (brings && bytes[0] == status_done) drop_capability(*peel<uint32_t>(rest));
        return;
    }
    call->waits_for_answer_ = false;
    const std::byte status = bytes[0];
    bytes = bytes.subspan(1);
    if (status != status_done) {
        const uint64_t chain = *peel<uint64_t>(bytes); // a line is longer than this
        // An error that is none would let the task go on without an answer.
        const Fault fault = Fault::from_raw(chain);
        return call->waiting_->wake(fault.top() == Err::none ? Fault{Err::protocol} : fault);
    }
    if (const auto read = call->deliver(bytes); !read) return call->waiting_->wake(read.error());
    call->waiting_->wake();
}

// --- outwards

std::optional<uint16_t> Channel::free_id() const {
    for (size_t i = 0; i < used_ids_.size(); ++i)
        if (~used_ids_[i] != 0)
            return static_cast<uint16_t>(
                64 * i + static_cast<size_t>(std::countr_one(used_ids_[i]))
            );
    return std::nullopt;
}

bool Channel::can_go(const Outgoing& out) const {
    return !out.is_call() || out.begun() || free_id();
}

Result<> Channel::try_post(Post& out) {
    if (ending_ != Err::none) return fail(why_over());
    if (!out.ready()) return fail(Err::channel_full);
    return {};
}

void Channel::enqueue(Outgoing& out, async::Waiting& waiting) {
    out.waiting_ = &waiting;
    if (ending_ != Err::none) {
        waiting.wake(why_over());
        return;
    }
    queue_.push_back(out);
    send_queued();
}

bool Channel::send_line(const Outgoing& out, bool blank) {
    const uint32_t lines = lines_for(out.bytes_.size());
    const size_t offset = out.lines_sent_ * line_payload;
    ump::Body body{};
    if (!blank) {
        const Bytes rest = out.bytes_.subspan(std::min(offset, out.bytes_.size()));
        const Bytes part = rest.first(std::min(rest.size(), line_payload));
        std::ranges::copy(part, std::as_writable_bytes(std::span{body}).begin());
    }
    const bool more = out.lines_sent_ + 1 < lines;
    const auto tag = static_cast<uint16_t>(out.tag_ | (more ? more_follows : 0));
    return endpoint_.try_send(tag, out.flow_, body).has_value();
}

/// False when credit ran out first.
bool Channel::send_lines(Outgoing& out) {
    for (const uint32_t lines = lines_for(out.bytes_.size()); out.lines_sent_ < lines;) {
        if (!send_line(out, false)) return false;
        ++out.lines_sent_;
    }
    return true;
}

bool Channel::send_refusals() {
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
    return done > 0;
}

/// Answers whether anything went out.
bool Channel::send_queued() {
    const uint64_t before = endpoint_.sent();
    for (; filler_.lines > 0; --filler_.lines) {
        const auto more = static_cast<uint16_t>(filler_.lines > 1 ? more_follows : 0);
        if (!endpoint_.try_send(static_cast<uint16_t>(filler_.tag | more), 0, {})) break;
    }
    while (Outgoing* const out = filler_.lines > 0 ? nullptr : queue_.front()) {
        if (!can_go(*out)) break;
        if (out->is_call() && !out->begun()) {
            if (!endpoint_.has_credit()) break;
            const uint16_t id = *free_id();
            const uint64_t bit = uint64_t{1} << (id % 64);
            used_ids_[id / 64] |= bit;
            bring_[id / 64] = (bring_[id / 64] & ~bit) | (out->brings_capability_ ? bit : 0);
            out->tag_ = make_tag(Kind::request, id);
        }
        if (!send_lines(*out)) break;
        queue_.remove(*out);
        if (out->is_call()) {
            waiting_[out->tag_ & low_mask] = out;
            out->waits_for_answer_ = true;
        } else {
            out->waiting_->wake();
        }
    }
    // Between messages, not between the lines of one.
    const Outgoing* const front = queue_.front();
    if (refusal_count_ > 0 && filler_.lines == 0 && (front == nullptr || !front->begun()))
        send_refusals();
    return endpoint_.sent() != before;
}

/// The task that waited is gone, by cancellation.
void Channel::withdraw(Outgoing& out) {
    if (out.waits_for_answer_) {
        waiting_[out.tag_ & low_mask] = nullptr; // the id stays taken until the answer has come
        return;
    }
    queue_.remove(out);
    if (out.begun()) filler_ = {out.tag_, lines_for(out.bytes_.size()) - out.lines_sent_};
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

async::Task<abi::CapSlot> Channel::take_capability(abi::CapSlot token) {
    if (token == abi::null_slot) co_return abi::null_slot;
    if (capabilities_ == nullptr) co_await fail(Err::unsupported);
    Wanted wanted{*this, token.raw};
    for (;;) {
        if (over_) co_await fail(why_over());
        const auto got = capabilities_->receive(token.raw);
        if (got || got.error().top() != Err::not_found) {
            wanted.token = 0;
            co_return co_await got;
        }
        co_await arrived_.wait();
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
    arrived_any_ = true;
    for (uint32_t& token : unwanted_)
        if (token != 0) drop_capability(std::exchange(token, 0));
    arrived_.notify();
}

/// Nobody waits for it any more: it is taken and deleted, now or when it comes.
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
    return ending_;
}

/// From the loop or the destructor, so no handler of ours is on the stack.
void Channel::settle() {
    over_ = true;
    loop_.remove(*this);
    endpoint_.close(ending_ == Err::protocol ? Err::protocol : Err::channel_closed);
    endpoint_.notify(*bell_);
    while (Served* const served = jobs_.front())
        end(*served);
    const auto drop = [this](Outgoing& out) {
        out.waits_for_answer_ = false;
        out.waiting_->wake(why_over());
    };
    while (Outgoing* const out = queue_.pop_front())
        drop(*out);
    for (Outgoing*& call : waiting_)
        if (call != nullptr) drop(*std::exchange(call, nullptr));
    while (Wanted* const wanted = wanted_.pop_front())
        wanted->channel = nullptr;
    arrived_.fail(why_over());
}

Outgoing::~Outgoing() {
    // Only then: otherwise the channel knows nothing of it, and may be gone.
    if (hook.linked() || waits_for_answer_) channel_->withdraw(*this);
}

async::Loop& Outgoing::loop() const {
    return channel_->loop();
}

/// Straight into the ring, if nobody waits before and the whole message fits.
bool Post::ready() {
    if (channel_->ending_ != Err::none || !channel_->queue_.empty()) return false;
    if (channel_->filler_.lines > 0) return false;
    if (!channel_->endpoint_.has_credit_for(lines_for(bytes_.size()))) return false;
    return channel_->send_lines(*this);
}

void Post::begin(async::Waiting& waiting) {
    channel_->enqueue(*this, waiting);
}

void Call::begin(async::Waiting& waiting) {
    channel_->enqueue(*this, waiting);
}

} // namespace rpc
