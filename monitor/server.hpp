// Calls of monitor.if, unpacked: from the generated arguments to the protocol and back.
#pragma once

#include "interfaces/monitor.hpp"
#include "monitor/monitor.hpp"

namespace monitor {

namespace face = interfaces::monitor;

static_assert(uint32_t(face::Notice::handed) == uint32_t(Notice::handed));

/// What the machine has to show. Of the CPU driver's figures, four of one page from `first` on.
class CoreFigures {
  public:
    virtual Result<std::array<uint64_t, 4>> core_info(uint32_t page, uint32_t first) = 0;
    /// A capability, to be given away, to read the replica of the names.
    virtual Result<CapSlot> names_table() = 0;
    virtual Result<CapSlot> costs_table() = 0;

  protected:
    ~CoreFigures() = default;
};

static_assert(uint32_t(face::CoreState::stopped) == uint32_t(CoreState::stopped));

class Server {
  public:
    Server(Monitor& monitor, Kernel& kernel, CoreFigures& figures)
        : monitor_{monitor}, kernel_{kernel}, figures_{figures} {}

    Result<face::AttachResult> attach(uint64_t badge, const face::AttachArguments& a) {
        return face::AttachResult{TRY(monitor_.attach(id(badge), a.bell))};
    }

    Result<> attach_channels(uint64_t badge, const face::AttachChannelsArguments& a) {
        return monitor_.attach_channels(id(badge), a.bell);
    }

    Result<> offer(uint64_t badge, const face::OfferArguments& a) {
        return monitor_.offer(id(badge), a.name.view());
    }

    Result<> withdraw(uint64_t badge, const face::WithdrawArguments& a) {
        return monitor_.withdraw(id(badge), a.name.view());
    }

    Result<face::BindResult> bind(uint64_t badge, const face::BindArguments& a) {
        return face::BindResult{TRY(monitor_.bind(id(badge), a.name.view(), a.wait, a.frame))};
    }

    Result<face::NextResult> next(uint64_t badge) {
        const News news = TRY(monitor_.next(id(badge)));
        const auto notice = face::Notice(uint32_t(news.notice));
        return face::NextResult{notice, news.binding, news.status, news.detail, news.more};
    }

    Result<face::TakeBellResult> take_bell(uint64_t badge, const face::TakeBellArguments& a) {
        return face::TakeBellResult{TRY(monitor_.take_bell(id(badge), a.binding))};
    }

    Result<face::AskedNameResult> asked_name(uint64_t badge, const face::AskedNameArguments& a) {
        return face::AskedNameResult{text(TRY(monitor_.asked_name(id(badge), a.binding)))};
    }

    Result<> answer(uint64_t badge, const face::AnswerArguments& a) {
        return monitor_.answer(id(badge), a.binding, a.status);
    }

    Result<> unbind(uint64_t badge, const face::UnbindArguments& a) {
        return monitor_.unbind(id(badge), a.binding);
    }

    Result<> send(uint64_t badge, const face::SendArguments& a) {
        return monitor_.send(id(badge), a.binding, a.token, a.what);
    }

    Result<face::ReceiveResult> receive(uint64_t badge, const face::ReceiveArguments& a) {
        return face::ReceiveResult{TRY(monitor_.receive(id(badge), a.binding, a.token))};
    }

    Result<face::RevokeResult> revoke(uint64_t badge, const face::RevokeArguments& a) {
        return face::RevokeResult{TRY(monitor_.revoke(id(badge), a.what))};
    }

    Result<> pin(uint64_t badge, const face::PinArguments& a) {
        return monitor_.pin(id(badge), a.binding, a.frame);
    }

    Result<face::NamesResult> names(uint64_t) {
        return face::NamesResult{TRY(figures_.names_table())};
    }

    Result<face::CostsResult> costs(uint64_t) {
        return face::CostsResult{TRY(figures_.costs_table())};
    }

    Result<face::CoreAtResult> core_at(uint64_t, const face::CoreAtArguments& a) {
        const Core core = TRY(monitor_.core_at(a.index));
        return face::CoreAtResult{core.apic, face::CoreState(uint32_t(core.state)), core.messages};
    }

    Result<> watch_cores(uint64_t badge) { return monitor_.watch_cores(id(badge)); }

    Result<face::CoreInfoResult> core_info(uint64_t, const face::CoreInfoArguments& a) {
        const auto v = TRY(figures_.core_info(a.info, a.first));
        return face::CoreInfoResult{v[0], v[1], v[2], v[3]};
    }

    Result<face::NewClientResult> new_client(uint64_t badge, const face::NewClientArguments& a) {
        const CapSlot endpoint = TRY(monitor_.new_client(id(badge), a.id, a.name.view()));
        if (a.trusted) TRY_VOID(monitor_.trust(id(badge), a.id));
        return face::NewClientResult{endpoint};
    }

    Result<> client_gone(uint64_t badge, const face::ClientGoneArguments& a) {
        return monitor_.client_gone(id(badge), a.id);
    }

    Result<> hand(uint64_t badge, const face::HandArguments& a) {
        return monitor_.hand(id(badge), a.to, a.label.view(), a.what);
    }

    Result<face::FetchResult> fetch(uint64_t badge, const face::FetchArguments& a) {
        return face::FetchResult{TRY(monitor_.fetch(id(badge), a.label.view()))};
    }

    Result<face::HoldingResult> holding(uint64_t badge) {
        return face::HoldingResult{TRY(monitor_.holding(id(badge)))};
    }

    Result<face::JointMakeResult> joint_make(uint64_t badge, const face::JointMakeArguments& a) {
        const Bell bell = TRY(monitor_.joint_make(id(badge), a.to, a.frame));
        return face::JointMakeResult{uint64_t{bell.vector} << 32 | bell.apic};
    }

    Result<> joint_give(uint64_t badge, const face::JointGiveArguments& a) {
        return monitor_.joint_give(id(badge), a.to, a.ram);
    }

    Result<> joint_start(uint64_t badge, const face::JointStartArguments& a) {
        return monitor_.joint_start(id(badge), a.to, a.start_page, a.ram);
    }

    Result<> joint_failed(uint64_t badge, const face::JointFailedArguments& a) {
        return monitor_.joint_failed(id(badge), a.to);
    }

    Result<> suspect(uint64_t badge, const face::SuspectArguments& a) {
        return monitor_.suspect(id(badge), a.which);
    }

    Result<> silent(uint64_t badge, const face::SilentArguments& a) {
        return monitor_.silent(id(badge), a.which);
    }

    Result<> leave(uint64_t badge) { return monitor_.leave_machine(id(badge)); }

    Result<> hang(uint64_t badge) { return monitor_.hang(id(badge)); }

    void discard(CapSlot slot) { kernel_.drop(slot); }

  private:
    /// Badges are given by this monitor and by init, all of 32 bits.
    static uint32_t id(uint64_t badge) { return static_cast<uint32_t>(badge); }

    static Text<abi::name_bytes> text(const Name& name) {
        return Text<abi::name_bytes>::cut(name.view());
    }

    Monitor& monitor_;
    Kernel& kernel_;
    CoreFigures& figures_;
};

static_assert(face::Server<Server>);

} // namespace monitor
