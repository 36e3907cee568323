// What is asked of a dispatcher.
#include "kernel/invoker.hpp"

namespace kernel {

Result<> Invoker::own_dispatcher() const {
    if (cap_.base != caller_.self.raw) return fail(Err::bad_argument);
    return {};
}

Result<> Invoker::configure() {
    // nobody makes somebody more urgent than himself
    if (argument(4) > caller_.priority) return fail(Err::bad_argument);
    const Configuration wanted{
        .cspace = TRY(capability(0)),
        .vspace = TRY(capability(1)),
        .page = TRY(capability(2)),
        .page_address = virt(argument(3)),
        .priority = static_cast<uint8_t>(argument(4)),
        .fault_bell = argument(5) == 0 ? nullptr : TRY(capability(5)),
    };
    return core_.configure(cap_, wanted);
}

Result<> Invoker::priority() {
    constexpr uint64_t most_us = 1'000'000;
    if (argument(0) > caller_.priority || argument(1) > most_us) return fail(Err::bad_argument);
    const auto slice = microseconds(static_cast<int64_t>(argument(1)));
    Dispatcher& d = core_.dispatcher(cap_);
    return core_.set_priority(d, static_cast<uint8_t>(argument(0)), slice);
}

Result<> Invoker::state() {
    const Dispatcher& d = core_.dispatcher(cap_);
    const Registers& r = d.registers;
    std::array<uint64_t, 6> words{};
    if (argument(0) == 0) {
        words = {static_cast<uint64_t>(d.state), r.rip, r.rsp, r.rbp, r.rflags, d.fault_vector};
    } else if (argument(0) == 1) {
        words = {d.fault_address, d.fault_code, r.rax, r.rdi, r.rsi, r.rdx};
    } else if (argument(0) == 2) {
        const auto busy_ns = static_cast<uint64_t>(core_.machine().duration(d.busy_ticks).ns);
        words = {busy_ns, d.dispatches, d.calls_received, d.priority, 0, 0};
    } else {
        return fail(Err::bad_argument);
    }
    for (size_t i = 0; i < words.size(); ++i)
        value(i, words[i]);
    return {};
}

Result<> Invoker::endpoint() {
    return core_.make_endpoint(cap_, *TRY(empty_place(0)), argument(2));
}

Result<> Invoker::doorbell() {
    return core_.make_doorbell(cap_, *TRY(empty_place(0)), argument(2));
}

} // namespace kernel
