// The memory server of a core. It only ever answers; nothing it does waits.
#include "lib/os/domain.hpp"
#include "lib/os/immortal.hpp"
#include "usr/memory/server.hpp"

namespace {
constinit os::Immortal<memory::Server> server;
}

int domain_main(os::Domain& self) {
    server.make();
    if (self.settings().memory_checked) server->check_free_memory();
    self.answer_calls(*server);
    return self.serve();
}
