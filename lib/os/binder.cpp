#include "lib/os/binder.hpp"

#include "lib/base/log.hpp"
#include "lib/os/immortal.hpp"

namespace os {
namespace {

constexpr unsigned monitor_event = 2; // docs/system.md, Event bits
constexpr Duration look_again = milliseconds(100);
constexpr Rights shared_rights = abi::read | abi::write;

constinit Immortal<Binder> the_binder;

bool is_on_other_core(CapSlot bell) {
    const auto what = describe(bell);
    return what && what->base >= abi::core_space;
}

} // namespace

Binder& binder() {
    if (!the_binder.made()) the_binder.make(domain());
    return *the_binder;
}

Result<> Binder::begin() {
    if (begun_) return {};
    const CapSlot slot = TRY(slots().take());
    notice_bell_ = OwnedCap{slot};
    TRY_VOID(self().make_doorbell(place_of(slot), monitor_event));
    TRY(monitor_->attach(slot));
    TRY_VOID(monitor_->attach_channels(abi::slot_at(0, abi::slot::self_doorbell)));
    domain_.loop().bind(monitor_event, notice_);
    begun_ = true; // before it reads, as what it reads may lead here
    const auto reads =
        domain_.loop().spawn("notices of the monitor", [&] { return read_notices(); });
    begun_ = reads.has_value(); // else nobody would hear what is asked for
    return reads;
}

Result<> Binder::offer(Service& service) {
    TRY_VOID(begin());
    services_.push_back(service);
    const auto offered = monitor_->offer(service.name_);
    if (!offered) services_.remove(service);
    return offered;
}

Result<> Binder::ask(Pending& pending, const ServiceName& name, bool wait, CapSlot frame) {
    TRY_VOID(begin());
    pending.binding = TRY(monitor_->bind(name, wait, frame)).binding;
    pending_.push_back(pending);
    return {};
}

void Binder::forget(Pending& pending) {
    if (pending.hook.linked())
        pending_.remove(pending);
    else if (!pending.ours)
        return;
    (void)monitor_->unbind(pending.binding);
}

Result<> Binder::ask(Revocation& revocation, CapSlot what) {
    TRY_VOID(begin());
    revocation.request = TRY(monitor_->revoke(what)).request;
    if (revocation.request != 0) revocations_.push_back(revocation);
    return {};
}

void Binder::suspect(CapSlot bell) {
    const auto what = describe(bell);
    if (!what || what->base < abi::core_space) return;
    for (unsigned i = 0; i < domain_.core_count(); ++i) {
        const auto core = monitor_->core_at(i);
        const bool meant = core && abi::core_space + core->apic == what->base;
        if (meant) (void)monitor_->suspect(CoreId{{static_cast<uint8_t>(i)}});
    }
}

Result<async::Signal*> Binder::cores() {
    TRY_VOID(begin());
    if (!watches_cores_) TRY_VOID(monitor_->watch_cores());
    watches_cores_ = true;
    return &cores_;
}

/// It goes on without us.
void Binder::forget(Revocation& revocation) {
    if (revocation.hook.linked()) revocations_.remove(revocation);
}

void Binder::revoked(const Notices& news, OwnedCap back) {
    for (Revocation& revocation : revocations_) {
        if (revocation.request != news.binding) continue;
        revocation.status = news.status;
        revocation.back = std::move(back);
        revocations_.remove(revocation);
        revocation.done.set();
        return;
    }
}

async::Task<OwnedCap> Binder::fetch(Text<16> label, Instant until) {
    co_await begin();
    for (;;) {
        const auto fetched = monitor_->fetch(label);
        if (fetched) co_return OwnedCap{fetched->what};
        const bool late = domain_.loop().now() >= until;
        if (late || fetched.error().top() != Err::not_found) co_await ::fail(fetched.error());
        (void)co_await async::result_of(handed_.wait_until(until));
    }
}

void Binder::remove(ChannelEnd& end) {
    if (end.hook.linked()) ends_.remove(end);
    if (std::exchange(end.known_, false)) (void)monitor_->unbind(end.binding_);
}

async::Task<> Binder::read_notices() {
    for (;;) {
        co_await notice_.wait();
        for (;;) {
            // A notice may bring a capability, and without a slot for it would be lost.
            while (!slots().has_room()) {
                log::warn("no slots: the monitor's notices wait");
                co_await domain_.loop().sleep_for(look_again);
            }
            const auto news = monitor_->next();
            if (!news) {
                log::warn("monitor does not answer: {}", news.error());
                break;
            }
            if (news->notice == interfaces::monitor::Notice::nothing) break;
            take(*news);
        }
    }
}

void Binder::take(const Notices& news) {
    using enum interfaces::monitor::Notice;
    OwnedCap more{news.more};
    if (news.notice == established) return this->established(news, std::move(more));
    if (news.notice == incoming) return this->incoming(news, std::move(more));
    if (news.notice == interfaces::monitor::Notice::revoked)
        return this->revoked(news, std::move(more));
    if (news.notice == handed) return handed_.notify();
    if (news.notice == stop) return domain_.stop(0);
    if (news.notice == core_changed) return cores_.notify();
    if (news.notice == silence && keeper_ != nullptr) {
        const CoreId core{{static_cast<uint8_t>(news.detail)}};
        keeper_->silence_devices_of(core);
        (void)monitor_->silent(core);
        return;
    }
    if (news.notice == withdrawn) {
        log::warn("a service of ours was offered by another core first");
        return;
    }
    for (ChannelEnd& end : ends_) {
        if (end.binding_ != news.binding) continue;
        if (news.notice == capability) {
            if (end.channel_) end.channel_->capability_arrived();
            return;
        }
        end.known_ = end.pinned_; // what a device reaches is ours until we unbind
        if (end.channel_) end.channel_->peer_gone();
        return;
    }
}

void Binder::established(const Notices& news, OwnedCap bell) {
    for (Pending& pending : pending_) {
        if (pending.binding != news.binding) continue;
        pending.status = news.status;
        pending.bell = std::move(bell);
        pending.ours = news.status == Err::none;
        pending_.remove(pending);
        pending.done.set();
        return;
    }
    if (news.status == Err::none) (void)monitor_->unbind(news.binding); // nobody waits any more
}

Service* Binder::find(std::string_view name) {
    for (Service& service : services_)
        if (service.name() == name) return &service;
    return nullptr;
}

void Binder::incoming(const Notices& news, OwnedCap frame) {
    const auto accepted = accept(news, std::move(frame));
    if (accepted) return;
    (void)monitor_->answer(news.binding, accepted.error());
    log::warn("a client of core {} is refused: {}", news.detail & 0xff, accepted.error());
}

Result<> Binder::accept(const Notices& news, OwnedCap frame) {
    const auto asked = TRY(monitor_->asked_name(news.binding));
    Service* const service = find(asked.name.view());
    if (service == nullptr) return fail(Err::not_found);
    if (service->sessions_ == service->limits_.sessions) return fail(Err::no_space);
    const Description what = TRY(describe(frame.slot()));
    const bool fits =
        what.bytes >= bulk_offset && what.bytes - bulk_offset <= service->limits_.bulk_bytes;
    if (what.kind != Kind::frame || !fits) return fail(Err::bad_argument);

    Session* const session = new (std::nothrow) Session{domain_, *service};
    if (session == nullptr) return fail(Err::no_memory);
    const auto opened = [&]() -> Result<> {
        session->frame_base_ = phys(what.base);
        session->frame_ = std::move(frame);
        session->view_ = TRY(View::make(session->frame_.slot(), 0, what.bytes, shared_rights));
        session->bell_ = OwnedCap{TRY(monitor_->take_bell(news.binding)).bell};
        session->client_core_ = {{static_cast<uint8_t>(news.detail)}};
        session->frames_ = operator new(service->limits_.task_bytes, std::nothrow);
        if (session->frames_ == nullptr) return fail(Err::no_memory);
        const ump::Layout layout = TRY(session->layout());
        const Service::Arrived arrived = TRY(service->arrived(*session));
        session->handler_ = arrived.handler;
        session->server_ = arrived.server;
        rpc::Handler& handler = *session;
        session->channel_.emplace(
            domain_.loop(),
            rpc::Setup{
                .side = layout.server(),
                .bell = session,
                .contract = service->contract_,
                .from_other_core = is_on_other_core(session->bell_.slot()),
                .calls_at_a_time = service->limits_.calls_at_a_time,
                .capabilities = session,
                .frames = {static_cast<std::byte*>(session->frames_), service->limits_.task_bytes},
            },
            handler
        );
        session->binding_ = news.binding;
        return monitor_->answer(news.binding, Fault{Err::none});
    }();
    if (!opened) {
        delete session;
        return opened;
    }
    ++service->sessions_;
    session->known_ = true;
    add(*session);
    return {};
}

} // namespace os
