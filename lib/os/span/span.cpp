#include "lib/os/span/span.hpp"

#include <algorithm>
#include <bit>

#include "lib/os/fault.hpp"
#include "lib/os/immortal.hpp"
#include "lib/os/span/home.hpp"
#include "lib/os/span/worker.hpp"
#include "lib/os/threads/program.hpp"

namespace os {
namespace {

constinit Immortal<SpanHome> the_home;
constinit int (*the_program)() = nullptr;

async::Task<> live_at_home(Domain& self) {
    const auto started = co_await async::result_of(the_home->run(the_program));
    if (started) co_return {};
    log::error("cannot span cores: {}", started.error());
    self.stop(-1);
    co_return {};
}

span::Range range_of(MutableBytes pages) {
    const VirtAddr begin = virt(std::bit_cast<uint64_t>(pages.data()));
    return {begin, begin + pages.size()};
}

} // namespace

int run_spanning(Domain& self, const Spread& how, int (*program)()) {
    the_program = program;
    the_home.make(self, how);
    if (!self.loop().spawn("home", [&] { return live_at_home(self); })) return -1;
    return self.serve();
}

uint32_t worker_count() {
    return control().workers;
}

uint32_t this_worker() {
    return scheduler().worker();
}

CoreId core_of_worker(uint32_t worker) {
    return CoreId{{static_cast<uint8_t>(control().desks[worker].core)}};
}

std::string_view program_arguments() {
    const auto& text = control().arguments;
    return {text.data(), static_cast<size_t>(std::ranges::find(text, '\0') - text.begin())};
}

Result<MutableBytes> map_shared(uint64_t bytes) {
    const VirtAddr at = TRY(await(worker().map(bytes)));
    return MutableBytes{std::bit_cast<std::byte*>(at.raw), round_up(bytes, page_bytes)};
}

Result<bool> unmap_shared(MutableBytes pages) {
    return await(worker().unmap(range_of(pages)));
}

Result<bool> protect_shared(MutableBytes pages, Rights rights) {
    return await(worker().protect(range_of(pages), rights));
}

Result<uint32_t> messages_of_last_cut() {
    return await(worker().last_cut());
}

} // namespace os
