// One worker as its home sees it: lib/interfaces/span.if over its channel.
#pragma once

#include "lib/os/span/home.hpp"

namespace os {

class WorkerSession {
  public:
    WorkerSession(Session& session, SpanHome& home) : session_{session}, home_{home} {}

    WorkerSession(const WorkerSession&) = delete;

    ~WorkerSession() {
        if (joined_) home_.left(number_);
    }

    rpc::Channel& channel() { return session_.channel(); }

    async::Task<interfaces::span::JoinResult> join(interfaces::span::JoinArguments a) {
        const CapSlot control = co_await home_.join(a.worker, a.key, *this, OwnedCap{a.bell});
        number_ = a.worker;
        joined_ = true;
        co_return interfaces::span::JoinResult{co_await slots().copy(control)};
    }

    async::Task<interfaces::span::BellResult> bell(interfaces::span::BellArguments a) {
        co_await only_workers();
        co_return interfaces::span::BellResult{co_await slots().copy(co_await home_.bell(a.worker))
        };
    }

    async::Task<interfaces::span::FillResult> fill(interfaces::span::FillArguments a) {
        co_await only_workers();
        const span::Fill fill = co_await home_.fill(virt(a.at));
        co_return interfaces::span::FillResult{
            .begin = fill.region.range.begin.raw,
            .bytes = fill.region.range.bytes(),
            .frame = fill.region.frame,
            .offset = fill.region.offset,
            .rights = fill.region.rights.raw,
            .state = fill.version.raw,
        };
    }

    async::Task<interfaces::span::FrameResult> frame(interfaces::span::FrameArguments a) {
        co_await only_workers();
        co_return interfaces::span::FrameResult{co_await slots().copy(co_await home_.frame(a.number)
        )};
    }

    async::Task<interfaces::span::MapResult> map(interfaces::span::MapArguments a) {
        co_await only_workers();
        co_return interfaces::span::MapResult{(co_await home_.map(a.bytes)).raw};
    }

    async::Task<interfaces::span::UnmapResult> unmap(interfaces::span::UnmapArguments a) {
        co_await only_workers();
        const span::Range range{virt(a.begin), virt(a.begin + a.bytes)};
        co_return interfaces::span::UnmapResult{co_await home_.take_away(range, std::nullopt)};
    }

    async::Task<interfaces::span::ProtectResult> protect(interfaces::span::ProtectArguments a) {
        co_await only_workers();
        const span::Range range{virt(a.begin), virt(a.begin + a.bytes)};
        const Rights rights = Rights{static_cast<uint8_t>(a.rights)} & (abi::read | abi::write);
        co_return interfaces::span::ProtectResult{co_await home_.take_away(range, rights)};
    }

    async::Task<interfaces::span::LastCutResult> last_cut() {
        co_return interfaces::span::LastCutResult{home_.last_cut_messages()};
    }

    void finished(const interfaces::span::FinishedArguments& a) {
        if (joined_) home_.finished(a.code);
    }

    void cut_done(const interfaces::span::CutDoneArguments& a) {
        if (joined_) home_.answered(a.operation, number_, a.dirty);
    }

  private:
    Result<> only_workers() const { return joined_ ? Result<>{} : fail(Err::cap_rights); }

    Session& session_;
    SpanHome& home_;
    uint32_t number_{};
    bool joined_{};
};

using SpanService = ServiceOf<WorkerSession, interfaces::span::ServerSide<WorkerSession>, SpanHome>;

} // namespace os
