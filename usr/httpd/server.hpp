// The web server on whatever network it is given: port 80, a task a connection.
#pragma once

#include <optional>

#include "lib/os/socket.hpp"
#include "usr/httpd/places.hpp"
#include "usr/httpd/site.hpp"

namespace http {

class Server {
  public:
    static constexpr uint32_t chunk_bytes = 16384; // the overview page fits
    static constexpr size_t chunks = 112;

    explicit Server(os::Domain& self)
        : loop_{self.loop()}, site_{self}, places_{loop_, places_max} {}

    Server(const Server&) = delete;

    /// Serves from now on, once. `network` has chunks as above.   errors   no_memory
    Result<> start(os::Network& network);

  private:
    static constexpr size_t places_max = 96; // each has a chunk, and the overview another

    async::Task<> accept_all();
    async::Task<> serve(os::Stream stream);

    async::Loop& loop_;
    Site site_;
    os::Network* network_{};
    std::optional<os::Watchers> watchers_;
    Places places_;
};

} // namespace http
