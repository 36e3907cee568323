#include "net/netd/host.hpp"

#include <algorithm>

namespace netd {

void Host::touched() {
    const std::optional<Instant> next = stack_->next_deadline();
    if (next && (!sleeping_until_ || *next < *sleeping_until_)) deadline_moved_.set();
}

async::Task<> Host::run_timers() {
    for (;;) {
        sleeping_until_ = stack_->next_deadline();
        if (sleeping_until_)
            co_await async::result_of(deadline_moved_.wait_until(*sleeping_until_));
        else
            co_await deadline_moved_.wait();
        stack_->advance(now());
    }
}

Result<uint8_t> Host::enter(SocketOwner& owner) {
    for (size_t i = 0; i < owners_.size(); ++i)
        if (owners_[i] == nullptr) {
            owners_[i] = &owner;
            return static_cast<uint8_t>(i);
        }
    return fail(Err::no_slots);
}

Result<net::Port> Host::bind_stream(net::Endpoint local, bool reuse_address) {
    const bool chosen = local.port.is_any();
    constexpr int tries = 32;
    for (int i = 0; i < (chosen ? tries : 1); ++i) {
        if (chosen) local.port = TRY(stack_->tcp_choose_port(local.address));
        TRY_VOID(stack_->tcp_may_bind(local, reuse_address));
        const bool held = std::ranges::any_of(owners_, [&](const SocketOwner* owner) {
            return owner != nullptr && owner->holds(local, reuse_address);
        });
        if (!held) return local.port;
    }
    return fail(Err::address_in_use);
}

void Host::leave(uint8_t number) {
    owners_[number] = nullptr;
}

Result<> Host::watch(LinkWatcher& watcher) {
    for (LinkWatcher*& place : watchers_) {
        if (place != nullptr) continue;
        place = &watcher;
        return {};
    }
    return fail(Err::no_slots);
}

void Host::unwatch(LinkWatcher& watcher) {
    for (LinkWatcher*& place : watchers_)
        if (place == &watcher) place = nullptr;
}

void Host::links_changed() {
    for (LinkWatcher* watcher : watchers_)
        if (watcher != nullptr) watcher->links_changed();
}

void Host::socket_event(net::SocketId, uint64_t cookie, net::EventSet what) {
    const size_t owner = cookie >> 16;
    if (owner < owners_.size() && owners_[owner] != nullptr)
        owners_[owner]->socket_event(static_cast<uint16_t>(cookie), what);
}

void Host::lease_changed(const net::Lease* lease) {
    lease_.reset();
    if (lease != nullptr) lease_ = *lease;
    lease_signal_.notify();
}

} // namespace netd
