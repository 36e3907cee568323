// The memory server of a core. It only ever answers; nothing it does waits.
#include "lib/os/domain.hpp"
#include "usr/memory/server.hpp"

namespace {
constinit memory::Server server;
}

int domain_main(os::Domain& self) {
    self.answer_calls(server);
    return self.serve();
}
