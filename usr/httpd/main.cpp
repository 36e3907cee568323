// usr/httpd/main.cpp — the web server as a domain.
#include <algorithm>
#include <array>
#include <optional>

#include "interfaces/socket.hpp"
#include "interfaces/spawn.hpp"
#include "lib/base/bundle.hpp"
#include "lib/base/log.hpp"
#include "lib/os/channel.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/lasting.hpp"
#include "lib/os/memory.hpp"
#include "lib/os/operation_marks.hpp"
#include "lib/os/socket.hpp"
#include "usr/httpd/connection.hpp"
#include "usr/httpd/pages.hpp"

namespace http {
namespace {

namespace spawn = interfaces::spawn;

constexpr uint32_t chunk_bytes = 16384; // the overview page fits
constexpr size_t chunks = 112;
constexpr size_t places_max = 96; // each has a chunk, and the overview another
constexpr size_t cores_shown = 16;
constexpr size_t rows_max = 128;

constexpr std::array<std::string_view, 5> state_names{
    "prepared", "running", "exited", "faulted", "killed"
};

/// What this server shows: the bundle's files, and what the spawners say.
class Site final : public Content {
  public:
    explicit Site(os::Domain& self) : self_{self}, one_page_{self.loop(), 1} {
        const auto marks = os::OperationMarks::parse(self.settings().count);
        if (marks && marks->concerns("http")) marks_ = *marks;
    }

    /// The bundle is there only if it was given. Errors: those of mapping and parsing it.
    Result<> open_bundle() {
        const auto slot = self_.find_given("bundle");
        if (!slot) return {};
        const os::Description what = TRY(os::describe(*slot));
        files_.emplace(TRY(os::View::make(*slot, 0, what.bytes, abi::read)));
        bundle_.emplace(TRY(bundle::Bundle::parse(files_->span())));
        return {};
    }

    async::Task<std::string_view> overview(std::span<char> out) override {
        // The rows are shared by all connections: one page is made at a time.
        const auto alone = co_await one_page_.acquire();
        count_ = 0;
        const size_t cores = std::min<size_t>(self_.core_count(), cores_shown);
        for (size_t core = 0; core < cores; ++core)
            co_await async::result_of(ask(core));
        const auto uptime = static_cast<uint64_t>((os::now() - Instant{}).ms());
        co_return write_overview(
            {static_cast<uint32_t>(cores), uptime, served_, std::span{rows_}.first(count_)}, out
        );
    }

    Result<Bytes> file(std::string_view path) const override {
        if (!bundle_) return fail(Err::not_found);
        std::array<char, 64> name;
        TextWriter writer{name};
        format(writer, "www{}", path);
        if (writer.truncated()) return fail(Err::not_found);
        return TRY(bundle_->find(writer.text())).data;
    }

    void served() override {
        ++served_;
        marks_.after_send();
    }

  private:
    /// The domains of one core, from its spawner; a core without one has no rows.
    async::Task<> ask(size_t core) {
        auto& binding = spawners_[core];
        if (!binding.made()) binding.make(self_);
        if (!binding->is_open()) {
            std::array<char, 16> name;
            co_await binding->open(
                {.name = format_to(name, "spawn.{}", core),
                 .contract = spawn::contract,
                 .wait = false}
            );
        }
        spawn::Client client{binding->channel()};
        for (uint32_t i = 0; count_ < rows_.size(); ++i) {
            const auto got = co_await async::result_of(client.describe(i));
            if (!got) break;
            names_[count_] = got->name;
            rows_[count_] = DomainRow{
                static_cast<uint8_t>(core),
                names_[count_].view(),
                got->state < state_names.size() ? state_names[got->state] : "?",
                got->busy_ns / 1000,
                got->dispatches
            };
            ++count_;
        }
        co_return {};
    }

    os::Domain& self_;
    async::Semaphore one_page_;
    std::optional<os::View> files_;
    std::optional<bundle::Bundle> bundle_;
    std::array<os::Immortal<os::Binding>, cores_shown> spawners_;
    std::array<Text<16>, rows_max> names_;
    std::array<DomainRow, rows_max> rows_;
    size_t count_{};
    os::OperationMarks marks_;
    uint64_t served_{};
};

struct Httpd {
    explicit Httpd(os::Domain& in)
        : self{in}, binding{in}, site{in}, places{in.loop(), places_max} {}

    os::Domain& self;
    os::Binding binding;
    Site site;
    std::optional<interfaces::socket::Client> client;
    std::optional<os::Network> network;
    std::optional<os::Watchers> watchers;
    Places places;
};

os::Immortal<Httpd> httpd;

async::Task<> serve(os::Stream stream) {
    Httpd& all = *httpd;
    // The peer may go at any moment: that is the end of a connection, not an error of ours.
    co_await async::result_of(stream.set_no_delay(true));
    co_await async::result_of(
        serve_connection(std::move(stream), all.site, all.places, *all.watchers)
    );
    co_return {};
}

async::Task<> accept_all() {
    Httpd& all = *httpd;
    os::Listener listener = co_await os::Listener::open(*all.network, {{}, 80}, 256);
    log::info("port 80 open");
    for (;;) {
        auto stream = co_await async::result_of(listener.accept());
        if (!stream && !all.binding.is_open()) co_await fail(stream.error());
        if (!stream) { // no memory, say: it comes back when connections end
            co_await all.self.loop().sleep_for(milliseconds(20));
            continue;
        }
        const auto started =
            all.self.loop().spawn("connection", [&] { return serve(std::move(*stream)); });
        if (!started) log::warn("connection closed: {}", started.error());
    }
}

async::Task<> run() {
    Httpd& all = *httpd;
    if (const auto opened = all.site.open_bundle(); !opened)
        log::warn("files of the bundle cannot be served: {}", opened.error());
    co_await all.binding.open(
        {.name = "net", .contract = interfaces::socket::contract, .bulk_bytes = chunks * chunk_bytes
        }
    );
    all.client.emplace(all.binding.channel());
    all.network.emplace(all.self.loop(), *all.client, all.binding.bulk(), chunk_bytes);
    all.watchers.emplace(*all.network);
    co_await all.self.loop().spawn("changes of sockets", [&] { return all.watchers->follow(); });
    co_await all.self.loop().spawn("places", [&] {
        return keep_places_free(all.places, *all.network);
    });
    co_await all.self.loop().spawn("accept", [&] { return accept_all(); });
    co_await os::until_gone(all.binding);
    log::error("the network stack has gone");
    co_return {};
}

} // namespace
} // namespace http

int domain_main(os::Domain& self) {
    self.set_task_bytes(os::quota().bytes() / 4); // about a KiB a connection, 4 for a request
    http::httpd.make(self);
    if (const auto started =
            self.loop().spawn("httpd", [&] { return os::lasting(self, http::run()); });
        !started) {
        log::error("httpd cannot start: {}", started.error());
        return 1;
    }
    return self.serve();
}
