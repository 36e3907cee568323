// A client's end of a channel, bound by hand: its lines are whatever this domain writes.
#pragma once

#include <optional>

#include "lib/os/binder.hpp"
#include "lib/rpc/wire.hpp"
#include "lib/ump/layout.hpp"

namespace hostile {

class Raw {
  public:
    explicit Raw(os::Domain& self) : self_{self} {}

    async::Task<> bind(std::string_view name) {
        frame_ = co_await os::Frame::make(os::bulk_offset);
        view_ = co_await os::View::make(frame_);
        const auto layout = co_await ump::Layout::carve(view_.span(), os::channel_lines);
        layout.clear();
        side_ = layout.client();
        end_.emplace(side_);
        os::Binder::Pending pending{self_.loop()};
        const auto text = co_await os::ServiceName::from(name);
        co_await os::binder().ask(pending, text, true, frame_.slot());
        co_await pending.done.wait();
        if (pending.status.top() != Err::none) co_await ::fail(pending.status);
        bell_ = std::move(pending.bell);
        binding_ = pending.binding;
        co_return {};
    }

    /// Gone without a word on the lines.
    void unbind() {
        os::LocalClient<interfaces::monitor::Client> monitor{abi::slot_at(0, abi::slot::monitor)};
        (void)monitor->unbind(binding_);
    }

    ump::Endpoint& end() { return *end_; }

    const ump::Side& side() const { return side_; }

    void ring() const { (void)os::Doorbell{{bell_.slot()}}.ring(); }

    /// A line in its right place that acknowledges what was never sent.
    void forge_acknowledgement() {
        ump::Line& line = side_.out[end_->sent() % side_.out.size()];
        const uint64_t word = ump::Control::pack(end_->sent() + 1, end_->received() + 9999, 1, 0);
        ump::RealMemory::store(line.control, word);
    }

    /// Reads until the server has ended the channel; what the server's last line says was why.
    async::Task<Err> reason() {
        while (!end_->closed()) {
            ump::Message ignored;
            while (end_->try_recv(ignored)) {
            }
            ring();
            co_await self_.loop().sleep_for(milliseconds(1));
        }
        co_return Err(side_.in[end_->received() % side_.in.size()].payload[0]);
    }

  private:
    os::Domain& self_;
    os::Frame frame_;
    os::View view_;
    os::OwnedCap bell_;
    uint32_t binding_{};
    ump::Side side_;
    std::optional<ump::Endpoint> end_;
};

} // namespace hostile
