// The command line on the console: reads keys, runs one command at a time, and shows a prompt.
#include "lib/base/log.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "usr/shell/commands.hpp"
#include "usr/shell/line_editor.hpp"
#include "usr/shell/terminal.hpp"

namespace {

using namespace shell;

constexpr std::string_view prompt = "skerry> ";

/// The command that runs; tells the shell when it has ended.
class Running final : public async::Job {
  public:
    explicit Running(async::Event& tell) : tell_{tell} {}

    std::optional<Fault> error;

  private:
    void ended(Result<> result) override {
        if (!result) error = result.error();
        tell_.set();
    }

    async::Event& tell_;
};

class Shell {
  public:
    explicit Shell(os::Domain& self)
        : self_{self}, terminal_{self}, commands_{self, terminal_},
          running_{terminal_.keys().event()} {}

    async::Task<> serve() {
        for (;;) {
            // It ends when the console does; then there will be another.
            const auto ended = co_await async::result_of(session());
            if (!ended && ended.error().top() == Err::no_memory) co_await fail(ended.error());
            running_.cancel();
            if (!ended) co_await self_.loop().sleep_for(seconds(1));
        }
    }

  private:
    async::Task<> session() {
        co_await terminal_.open();
        co_await terminal_.say("This is Skerry. Type help.\n");
        co_await terminal_.say(prompt);
        while (terminal_.is_open()) {
            co_await look();
            co_await terminal_.keys().event().wait();
        }
        co_return {};
    }

    /// After something has happened: a key, or the end of the command.
    async::Task<> look() {
        if (running_.running() && terminal_.keys().take_cancel()) {
            running_.cancel();
            co_await terminal_.say("^C\n");
            co_await prompt_again();
        }
        if (running_.running()) co_return {};
        if (std::exchange(was_running_, false)) {
            if (const auto error = std::exchange(running_.error, std::nullopt))
                co_await terminal_.say(sentence(*error));
            co_await prompt_again();
        }
        while (!running_.running() && !was_running_) {
            const auto key = terminal_.keys().take();
            if (!key) break;
            co_await take_key(*key);
        }
        co_return {};
    }

    async::Task<> prompt_again() {
        was_running_ = false;
        return terminal_.say(prompt);
    }

    async::Task<> take_key(char key) {
        std::array<char, 3 * LineEditor::line_bytes> echo;
        TextWriter writer{echo};
        const auto event = editor_.feed(key, writer);
        co_await terminal_.say(writer.text());
        if (event == LineEditor::Event::cancel) co_await terminal_.say(prompt);
        if (event == LineEditor::Event::line) co_await begin();
        co_return {};
    }

    /// Starts the command in line(), which stays until the next line is complete.
    async::Task<> begin() {
        command_line_ = {};
        const std::string_view line = editor_.line();
        std::ranges::copy(line, command_line_.begin());
        const Command command = parse({command_line_.data(), line.size()}, self_.core_count());
        if (std::holds_alternative<Nothing>(command)) {
            co_await terminal_.say(prompt);
            co_return {};
        }
        was_running_ = true;
        // A command without memory for its task ends at once, with that error.
        if (const auto started = running_.start(commands_.run(command)); !started)
            running_.error = started.error();
        terminal_.keys().event().set();
        co_return {};
    }

    std::string_view sentence(Fault error) {
        if (error.top() == Err::not_found)
            return "the service that does this is not running: type names to see which are\n";
        return format_to(sentence_, "this did not work: {}\n", error);
    }

    os::Domain& self_;
    Terminal terminal_;
    Commands commands_;
    Running running_;
    LineEditor editor_;
    std::array<char, LineEditor::line_bytes> command_line_{};
    std::array<char, 240> sentence_{};
    bool was_running_{};
};

constinit os::Immortal<Shell> the_shell;

} // namespace

int domain_main(os::Domain& self) {
    the_shell.make(self);
    if (const auto started = self.loop().spawn("shell", [&] { return the_shell->serve(); });
        !started) {
        log::error("shell cannot start: {}", started.error());
        return 1;
    }
    return self.serve();
}
