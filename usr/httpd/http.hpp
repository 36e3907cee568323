// HTTP/1.1 as a server of files needs it (RFC 9112): requests parsed from bytes as they arrive,
// and the heads of answers. No input, output or memory of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "lib/base/bytes.hpp"

namespace http {

enum class Method : uint8_t { get, head, other };

struct Request {
    Method method{};
    std::string_view path; // of the target, without query; points into the parser's buffer
    bool keep_alive{};     // RFC 9112 9.3: the default of 1.1, "Connection: close" ends it
};

/// What the answer to a malformed or too large head must be; the connection closes after it.
enum class Refusal : uint16_t {
    bad_request = 400,
    length_required = 411,
    head_too_large = 431,
    not_implemented = 501,
    version = 505,
};

/// Collects one request head at a time, pipelined ones included.
class Parser {
  public:
    /// Where the next bytes from the connection go; empty when a head does not fit.
    std::span<std::byte> room();

    void received(size_t bytes) { filled_ += bytes; }

    struct Outcome {
        std::optional<Request> request; // valid until done()
        std::optional<Refusal> refusal; // neither: more bytes are needed
    };

    Outcome next();
    /// The request that next() gave has been answered: its bytes are dropped.
    void done();

    /// No byte of an unfinished request is held: the connection may be closed without loss.
    bool idle() const { return filled_ == 0; }

    static constexpr size_t head_limit = 2048;

  private:
    std::array<char, head_limit> buffer_;
    size_t filled_{};
    size_t head_{}; // bytes of the head that next() returned
};

/// The head of an answer, `Content-Length` included, in `out`; empty if it does not fit.
struct Head {
    uint16_t status;
    std::string_view content_type;
    uint64_t content_bytes;
    bool keep_alive;
};

std::string_view write_head(const Head& head, std::span<char> out);

std::string_view reason(uint16_t status);
std::string_view content_type_of(std::string_view path);

/// N of a path "/bytes/N"; none if it is not such a path or N is no number below 2^40.
std::optional<uint64_t> bytes_wanted(std::string_view path);

} // namespace http
