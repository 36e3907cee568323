// One HTTP connection after the other requests it carries: parse, answer, keep alive.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/os/socket.hpp"
#include "usr/httpd/http.hpp"

namespace http {

/// What the connection asks of the rest of httpd.
class Content {
  public:
    /// The overview page, made now, in `out`.
    virtual async::Task<std::string_view> overview(std::span<char> out) = 0;
    /// A file of the bundle below `www`; not_found.
    virtual Result<Bytes> file(std::string_view path) const = 0;
    /// A request was answered.
    virtual void served() = 0;

  protected:
    ~Content() = default;
};

/// Serves the connection until one side ends it.
async::Task<> serve_connection(os::Stream stream, Content& content);

} // namespace http
