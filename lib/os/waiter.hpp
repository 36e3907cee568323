// The event loop's way to sleep: the `wait` invocation. Local calls that arrive meanwhile are
// answered here, at once.
#pragma once

#include "lib/async/loop.hpp"
#include "lib/os/local.hpp"
#include "lib/os/vigil.hpp"

namespace os {

class Waiter : public async::Waiter {
  public:
    void answer_calls(LocalServer& server) { server_ = &server; }

    uint64_t wait(std::optional<Instant> deadline) override;
    Instant now() override;
    bool is_rung() override;

  private:
    Result<Arrival> next(std::optional<Instant> deadline);
    void answer(const Arrival& arrival);
    void send_reply();
    void forget_given();

    LocalServer* server_{};
    Words reply_{}; // of the last call, sent with the next wait
    bool owes_reply_{};
};

/// Of a domain that finds out when whom it waits for has stopped.
class PatientWaiter final : public Waiter {
  public:
    void set(Vigil& vigil) { vigil_ = &vigil; }

    uint64_t wait(std::optional<Instant> deadline) override {
        if (vigil_ != nullptr && vigil_->arranges_look()) return 0;
        return Waiter::wait(deadline);
    }

  private:
    Vigil* vigil_{};
};

} // namespace os
