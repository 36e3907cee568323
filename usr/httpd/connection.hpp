// One HTTP connection after the other requests it carries: parse, answer, keep alive.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/os/socket.hpp"
#include "lib/os/watched.hpp"
#include "usr/httpd/http.hpp"
#include "usr/httpd/places.hpp"

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

enum class Left : uint8_t {
    ended, // the connection
    idle,  // somebody else needs the place, and there is nothing to answer
};

/// Serves the connection, which has a place, until one side ends it or the place is wanted.
async::Task<Left> serve_requests(os::Stream& stream, Content& content, Places& places);

/// The same as one of many, from the first byte to the end: between two requests it needs no place.
/// Who says nothing for 75 s then is cut off.
async::Task<>
serve_connection(os::Stream stream, Content& content, Places& places, os::Watchers& watchers);

/// For ever: calls of those who have to leave their place do not wait any more.
async::Task<> keep_places_free(Places& places, os::Network& network);

} // namespace http
