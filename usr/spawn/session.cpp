#include "usr/spawn/session.hpp"

#include <algorithm>

namespace spawn {
async::Task<api::SpawnResult> SpawnSession::spawn(api::SpawnArguments a) {
    const Wishes wishes = co_await Wishes::parse(a.environment.view());
    const uint64_t quota = wishes.quota != 0 ? wishes.quota : a.quota;
    const uint32_t id = co_await spawner_.make(a.name.view(), quota, 0);
    Unstarted guard{spawner_, id};
    co_await spawner_.add_argument(id, a.arguments.view());
    co_await spawner_.take_wishes(id, wishes);
    co_await spawner_.start(id);
    guard.started();
    co_return api::SpawnResult{id};
}

async::Task<api::SpawnWithResult> SpawnSession::spawn_with(api::SpawnWithArguments a) {
    const uint32_t id = co_await spawner_.make(a.name.view(), a.quota, a.priority);
    Unstarted guard{spawner_, id};
    co_await spawner_.add_argument(id, a.arguments.view());
    co_await spawner_.set_variables(id, a.environment.view());
    co_await spawner_.set_keeper(id, *this);
    co_await give_all(id, a.labels.view());
    co_await spawner_.start(id);
    guard.started();
    co_return api::SpawnWithResult{id};
}

/// `labels` lives in the frame of the task that waits for this one.
async::Task<> SpawnSession::give_all(uint32_t id, std::string_view labels) {
    for (auto label = os::take_word(labels); !label.empty(); label = os::take_word(labels)) {
        os::OwnedCap what = co_await find(label);
        co_await spawner_.give(id, label, std::move(what));
    }
    co_return {};
}

/// What every core has its own of the spawner has; anything else was handed to the monitor.
async::Task<os::OwnedCap> SpawnSession::find(std::string_view label) {
    if (os::is_local_label(label)) co_return spawner_.local(label);
    co_return co_await spawner_.neighbours().fetch(co_await Text<16>::from(label));
}

async::Task<api::DonateResult> SpawnSession::donate(api::DonateArguments a) {
    const auto donation = co_await spawner_.neighbours().donate(a.to, a.bytes);
    co_return api::DonateResult{donation.bytes, donation.label};
}

async::Task<> SpawnSession::returned(api::ReturnedArguments a) {
    return spawner_.neighbours().returned(a.label);
}

async::Task<api::ReplicateResult> SpawnSession::replicate(api::ReplicateArguments a) {
    const auto place = std::ranges::find(replicas_, 0u);
    if (place == replicas_.end()) co_await fail(Err::no_space);
    const uint32_t id =
        co_await spawner_.make_replica(a.name.view(), a.quota, a.priority, a.worker + 1);
    Unstarted guard{spawner_, id};
    std::array<char, 48> arguments;
    co_await spawner_.add_argument(id, format_to(arguments, "{} {}", a.home.view(), a.key));
    co_await spawner_.start(id);
    guard.started();
    *place = id;
    co_return api::ReplicateResult{id};
}

async::Task<> SpawnSession::kill(api::KillArguments a) {
    co_await spawner_.kill(a.id);
    co_return co_await async::result_of(spawner_.is_over(a.id));
}

async::Task<api::RestartResult> SpawnSession::restart(api::RestartArguments a) {
    co_return api::RestartResult{co_await spawner_.restart(a.id)};
}

async::Task<api::StartedWithResult> SpawnSession::started_with(api::StartedWithArguments a) {
    const Plan& plan = (co_await spawner_.find(a.id))->plan;
    std::array<char, 256> labels;
    TextWriter text{labels};
    for (const Given& given : plan.all_given())
        format(text, "{}{}", text.text().empty() ? "" : " ", given.label.view());
    co_return api::StartedWithResult{
        .arguments = Text<256>::cut(plan.argument_text()),
        .environment = Text<256>::cut(plan.environment.view()),
        .labels = Text<256>::cut(text.text()),
    };
}

async::Task<api::DescribeResult> SpawnSession::describe(api::DescribeArguments a) {
    const Child& child = *co_await spawner_.child_at(a.index);
    api::DescribeResult result{
        .id = child.id,
        .name = child.plan.name,
        .state = std::to_underlying(child.state),
        .code = child.code,
        .quota = child.quota,
        .restarts = child.restarts,
        .bus_master = child.plan.bus_master,
    };
    const auto state = child.domain.dispatcher().state();
    if (!child.is_over() && state) {
        result.busy_ns = state->busy_ns;
        result.dispatches = state->dispatches;
    }
    co_return result;
}

async::Task<api::MemoryResult> SpawnSession::memory() {
    const auto state = co_await spawner_.memory().state();
    co_return api::MemoryResult{
        state.total, state.free, state.largest, state.foreign, state.damaged
    };
}

async::Task<api::FiguresResult> SpawnSession::figures() {
    const auto number = [](abi::CoreInfo page) { return static_cast<uint32_t>(page); };
    const auto idle = co_await spawner_.monitor().core_info(number(abi::CoreInfo::idle), 0);
    const auto used = co_await spawner_.monitor().core_info(number(abi::CoreInfo::in_use), 0);
    const auto traffic = co_await spawner_.monitor().core_info(number(abi::CoreInfo::traffic), 0);
    co_return api::FiguresResult{
        .halts = idle.value0,
        .idle_ns = idle.value1,
        .up_ns = idle.value2,
        .system_calls = traffic.value0,
        .interrupts = traffic.value1,
        .capabilities = used.value0,
        .wakeable = used.value1,
        .lines = used.value2,
    };
}

async::Task<> SpawnSession::leave() {
    spawner_.refuse_more();
    for (uint32_t index = 0;; ++index) {
        const auto child = spawner_.child_at(index);
        if (!child) break;
        const uint32_t id = (*child)->id;
        if ((*child)->is_alive()) (void)spawner_.kill(id);
        co_await spawner_.is_over(id);
    }
    co_await spawner_.monitor().leave();
    co_return {};
}

void SpawnSession::crash() {
    (void)spawner_.monitor().hang();
}

} // namespace spawn
