#include "usr/httpd/site.hpp"

#include <algorithm>

#include "interfaces/spawn.hpp"

namespace http {
namespace {

namespace spawn = interfaces::spawn;

constexpr std::array<std::string_view, 5> state_names{
    "prepared", "running", "exited", "faulted", "killed"
};

} // namespace

Site::Site(os::Domain& self) : self_{self}, one_page_{self.loop(), 1} {
    const auto marks = os::OperationMarks::parse(self.settings().count);
    if (marks && marks->concerns("http")) marks_ = *marks;
}

Result<> Site::open_bundle() {
    const auto slot = self_.find_given("bundle");
    if (!slot) return {};
    const os::Description what = TRY(os::describe(*slot));
    files_.emplace(TRY(os::View::make(*slot, 0, what.bytes, abi::read)));
    bundle_.emplace(TRY(bundle::Bundle::parse(files_->span())));
    return {};
}

async::Task<std::string_view> Site::overview(std::span<char> out) {
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

Result<Bytes> Site::file(std::string_view path) const {
    if (!bundle_) return fail(Err::not_found);
    std::array<char, 64> name;
    TextWriter writer{name};
    format(writer, "www{}", path);
    if (writer.truncated()) return fail(Err::not_found);
    return TRY(bundle_->find(writer.text())).data;
}

void Site::served() {
    ++served_;
    marks_.after_send();
}

/// The domains of one core, from its spawner; a core without one has no rows.
async::Task<> Site::ask(size_t core) {
    auto& binding = spawners_[core];
    if (!binding.made()) binding.make(self_);
    if (!binding->is_open()) {
        std::array<char, 16> name;
        co_await binding->open(
            {.name = format_to(name, "spawn.{}", core), .contract = spawn::contract, .wait = false}
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

} // namespace http
