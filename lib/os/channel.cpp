#include "lib/os/channel.hpp"

#include "lib/base/log.hpp"
#include "lib/os/binder.hpp"

namespace os {

ChannelEnd::~ChannelEnd() {
    channel_.reset();
    binder().remove(*this);
}

Result<> ChannelEnd::send(uint32_t token, CapSlot what) {
    return binder().send(binding_, token, what);
}

Result<CapSlot> ChannelEnd::receive(uint32_t token) {
    return binder().receive(binding_, token);
}

Result<> offer(Domain&, Service& service) {
    return binder().offer(service);
}

// -- Binding --

Binding::~Binding() {
    watch(false);
    // Before the members that the channel uses: the base class would be too late.
    channel_.reset();
    end_lines();
}

/// The memory is about to be used for something else.
void Binding::end_lines() {
    if (view_.span().empty()) return;
    if (const auto lines = layout()) lines->end();
}

async::Task<> Binding::open(Request asked) {
    channel_.reset();
    binder().remove(*this);
    bell_.reset();
    end_lines();
    view_ = View{};
    frame_ = co_await Frame::make(bulk_offset + asked.bulk_bytes);
    frame_base_ = co_await frame_.base();
    view_ = co_await View::make(frame_);
    const ump::Layout lines = co_await layout();
    lines.clear();
    const ServiceName name = co_await ServiceName::from(asked.name);

    struct Forget { // when this task is cancelled
        Binder::Pending& pending;

        ~Forget() { binder().forget(pending); }
    };

    Binder::Pending pending{domain_.loop()};
    const Forget forget{pending};
    co_await binder().ask(pending, name, asked.wait, frame_.slot());
    co_await async::Event::Wait{pending.done, asked.until};
    if (pending.status.top() != Err::none) co_await ::fail(pending.status);
    bell_ = std::move(pending.bell);
    binding_ = pending.binding;
    known_ = true;
    pending.ours = false;
    binder().add(*this);
    events_ = asked.events;
    const auto bell_is = co_await describe(bell_.slot());
    const bool other_core = bell_is.base >= abi::core_space;
    rpc::Handler& handler = *this;
    channel_.emplace(
        domain_.loop(),
        rpc::Setup{
            .side = lines.client(),
            .bell = this,
            .contract = asked.contract,
            .from_other_core = other_core,
            .capabilities = this,
            .frames = asked.frames,
        },
        handler
    );
    watch(other_core);
    co_return {};
}

/// Only who is on another core can stop while this one runs.
void Binding::watch(bool other_core) {
    Vigil* const vigil = domain_.vigil();
    if (vigil == nullptr || other_core == Vigil::Watched::hook.linked()) return;
    if (other_core)
        vigil->add(*this);
    else
        vigil->remove(*this);
}

bool Binding::awaits_answer() const {
    return channel_.has_value() && channel_->awaits_peer();
}

uint64_t Binding::traffic() const {
    return channel_.has_value() ? channel_->lines_sent() + channel_->lines_received() : 0;
}

void Binding::suspect() {
    binder().suspect(bell_.slot());
}

async::Task<> Binding::finish() {
    if (is_open()) co_await channel_->finish();
    channel_.reset();
    binder().remove(*this);
    co_return {};
}

void Binding::request(rpc::Channel& channel, uint16_t id, uint8_t number, Bytes bytes) {
    if (events_ != nullptr) return events_->request(channel, id, number, bytes);
    // Nobody calls a client: whoever tries has broken the protocol.
    channel.close(Err::protocol);
}

Result<> Binding::message(rpc::Channel& channel, uint16_t number, Bytes bytes) {
    return events_ != nullptr ? events_->message(channel, number, bytes) : Result<>{};
}

void Binding::closed(rpc::Channel& channel, Err reason) {
    if (events_ != nullptr) events_->closed(channel, reason);
    binder().remove(*this);
    closed_.notify();
}

// -- Session --

Result<> Session::pin() {
    TRY_VOID(binder().pin(binding_, frame_.slot()));
    pinned_ = true;
    return {};
}

Session::~Session() {
    channel_.reset(); // ends its tasks, which may use what follows
    if (server_ != nullptr) service_.left(server_);
    operator delete(frames_);
}

void Session::request(rpc::Channel& channel, uint16_t id, uint8_t number, Bytes bytes) {
    handler_->request(channel, id, number, bytes);
}

Result<> Session::message(rpc::Channel& channel, uint16_t number, Bytes bytes) {
    return handler_->message(channel, number, bytes);
}

void Session::closed(rpc::Channel&, Err reason) {
    if (reason == Err::protocol || reason == Err::version_mismatch)
        log::warn(
            "{}: a client of core {} is cut off: {}", service_.name(), client_core_.raw, reason
        );
    --service_.sessions_;
    delete this;
}

} // namespace os
