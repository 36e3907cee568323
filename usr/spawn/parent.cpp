// What children say to their parent (parent.if), and what launchers ask (launch.if).
#include "lib/base/log.hpp"
#include "lib/os/traps.hpp"
#include "usr/spawn/spawner.hpp"

namespace spawn {

using interfaces::launch::KillResult, interfaces::launch::PrepareResult,
    interfaces::launch::StateResult;

rpc::LocalMessage Spawner::serve(uint64_t badge, const rpc::LocalMessage& message) {
    return badge == launcher_badge ? interfaces::launch::serve(*this, badge, message)
                                   : interfaces::parent::serve(*this, badge, message);
}

void Spawner::discard(abi::CapSlot slot) {
    (void)os::slots().remove(slot);
}

// -- launch.if --

Result<PrepareResult> Spawner::prepare(uint64_t, const interfaces::launch::PrepareArguments& a) {
    return PrepareResult{TRY(prepare(a.name.view(), a.quota, a.priority))};
}

Result<> Spawner::argument(uint64_t, const interfaces::launch::ArgumentArguments& a) {
    return add_argument(a.id, a.text.view());
}

Result<> Spawner::environment(uint64_t, const interfaces::launch::EnvironmentArguments& a) {
    return set_variables(a.id, a.text.view());
}

Result<> Spawner::give(uint64_t, const interfaces::launch::GiveArguments& a) {
    return give(a.id, a.name.view(), os::OwnedCap{a.what});
}

Result<> Spawner::start(uint64_t, const interfaces::launch::StartArguments& a) {
    return start(a.id);
}

Result<KillResult> Spawner::kill(uint64_t, const interfaces::launch::KillArguments& a) {
    TRY_VOID(kill(a.id));
    return KillResult{TRY(find(a.id))->is_over()};
}

Result<StateResult> Spawner::state(uint64_t, const interfaces::launch::StateArguments& a) {
    const Child& child = *TRY(find(a.id));
    return StateResult{std::to_underlying(child.state), child.code};
}

// -- parent.if: the badge is the child's number --

Result<> Spawner::exited(uint64_t badge, const interfaces::parent::ExitedArguments& a) {
    Child& child = *TRY(find(static_cast<uint32_t>(badge)));
    const bool fault = child.how == State::faulted;
    if (!fault) log::info("domain {} ended with code {}", child.plan.name.view(), a.code);
    end(child, fault ? State::faulted : State::exited, a.code);
    return {};
}

os::FaultSubject Spawner::subject(const Child& child) const {
    return {child.plan.name.view(), self_.core(), child.plan.image};
}

Result<> Spawner::faulted(uint64_t badge, const interfaces::parent::FaultedArguments& a) {
    Child& child = *TRY(find(static_cast<uint32_t>(badge)));
    os::report_fault(subject(child), a);
    child.how = State::faulted;
    return {};
}

Result<> Spawner::backtrace(uint64_t badge, const interfaces::parent::BacktraceArguments& a) {
    os::report_backtrace(subject(*TRY(find(static_cast<uint32_t>(badge)))), a);
    return {};
}

Result<> Spawner::last_words(uint64_t badge, const interfaces::parent::LastWordsArguments& a) {
    Child& child = *TRY(find(static_cast<uint32_t>(badge)));
    child.words.add(a.text.view(), [&](std::string_view line) {
        log::error("domain {} says: {}", child.plan.name.view(), line);
    });
    return {};
}

void Spawner::look_for_faults() {
    constexpr uint64_t unconfigured_state = 0, faulted_state = 6; // docs/abi.md, dispatcher_state
    for (Child& child : children_) {
        if (child.state != State::running) continue;
        const auto state = child.domain.dispatcher().state();
        if (!state || state->state == unconfigured_state) {
            log::error(
                "domain {} on core {} stopped: something it stands on was revoked",
                child.plan.name.view(),
                self_.core().raw
            );
            end(child, State::faulted, -1);
            continue;
        }
        if (state->state != faulted_state) continue;
        log::error(
            "domain {} on core {} faulted while disabled: {}, address {:016x}",
            child.plan.name.view(),
            self_.core().raw,
            os::name_of_trap(static_cast<unsigned>(state->vector)),
            state->address
        );
        os::report_address(subject(child), "in", state->rip);
        end(child, State::faulted, -1);
    }
}

} // namespace spawn
