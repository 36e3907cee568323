// What a program finds itself to be: its name, its core, what it was given, and its event loop.
// Every main has one shape: find what I was given, open it, offer it, serve.
#pragma once

#include <optional>
#include <string_view>

#include "lib/abi/startup.hpp"
#include "lib/base/cmdline.hpp"
#include "lib/base/result.hpp"
#include "lib/base/time.hpp"
#include "lib/os/local.hpp"

namespace async {
class Loop;
}

namespace os {

class Vigil;
class Waiter;

/// Time on this core's clock.
Instant now();

class Domain {
  public:
    std::string_view name() const { return name_; }

    CoreId core() const { return core_; }

    unsigned core_count() const { return core_count_; }

    /// How long another core may say nothing that is waited for; 0: for ever.
    Duration patience() const;

    /// The machine's settings, and the domain's own argument string.
    const Cmdline& settings() const { return settings_; }

    std::string_view command_line() const { return command_line_; }

    std::string_view arguments() const { return arguments_; }

    /// The value of a variable of the environment this domain was given.
    std::optional<std::string_view> environment(std::string_view name) const;

    /// All of it, as NAME=VALUE, by index. Errors: not_found past the end.
    Result<std::string_view> variable(size_t index) const;

    /// Seconds since 1970 when the machine started; 0 unknown.
    uint64_t unix_time() const { return unix_time_; }

    /// A capability the spawner gave under this name. There is no other way to obtain authority.
    /// Errors: not_found.
    Result<CapSlot> find_given(std::string_view name) const;

    /// All that was given, by index. Errors: not_found past the end.
    struct Given {
        std::string_view name;
        CapSlot slot;
    };

    Result<Given> given(size_t index) const;

    /// The event loop. Its tasks live in memory of task_bytes, taken at the first call.
    async::Loop& loop();

    /// Of who waits for other cores; null if they may take for ever.
    Vigil* vigil();

    void set_task_bytes(size_t bytes) { task_bytes_ = bytes; }

    /// An event bit for a device's doorbell, 4..15. Errors: no_space.
    Result<unsigned> take_event_bit();

    void give_event_bit(unsigned bit);

    /// Local calls into this domain go to `server` from now on. They are delivered in serve().
    void answer_calls(LocalServer& server);

    /// Runs the event loop until stop(); answers stop's code.
    int serve();
    void stop(int code);

  private:
    friend class Startup;

    bool can_reach_console() const;
    bool is_patient() const;
    Waiter& waiter() const;

    std::string_view name_, command_line_, arguments_;
    CoreId core_{};
    unsigned core_count_{};
    uint64_t unix_time_{};
    Cmdline settings_{};
    size_t task_bytes_{64 * 1024};
    uint16_t event_bits_{0xfff0}; // free ones
    int code_{};
};

Domain& domain();

} // namespace os

/// The program: defined by each domain, called once. Its result goes to whoever started it.
int domain_main(os::Domain& self);
