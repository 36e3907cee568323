// DNS messages (RFC 1035 4): a question for an address, and what an answer says about it. An answer
// is outside input to the last bit: nothing in it is followed without a bound.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "lib/base/bytes.hpp"
#include "lib/base/result.hpp"
#include "net/address.hpp"

namespace net::dns {

constexpr uint16_t server_port = 53;
constexpr size_t datagram_bytes_max = 512; // RFC 1035 2.3.4: more is asked for over TCP
constexpr size_t addresses_max = 8;

/// A name as it is sent: labels with their lengths, the root's at the end. Letters are compared
/// without case (RFC 1035 2.3.3).
class Name {
  public:
    static constexpr size_t bytes_max = 255, label_max = 63;

    constexpr Name() = default;

    /// From "www.example.org", with or without a dot at the end.
    ///   errors   bad_argument (empty, an empty label, too long)
    static Result<Name> parse(std::string_view text);

    /// From a message at `at`, which is moved behind it; names are cut short by pointers backwards
    /// (RFC 1035 4.1.4).   errors   malformed
    static Result<Name> read(Bytes message, size_t& at);

    Bytes bytes() const { return Bytes{bytes_}.first(size_); }

    /// As text, without the dot at the end; what is not printable is a question mark.
    std::string_view text(std::span<char> room) const;

    friend bool operator==(const Name& a, const Name& b);

  private:
    Result<> append(Bytes label);

    std::array<std::byte, bytes_max> bytes_{};
    size_t size_{};
};

/// Asks for the IPv4 addresses of `name`; returns the message, which lies in `room`.
///   errors   no_space
Result<Bytes> write_question(uint16_t id, const Name& name, MutableBytes room);

struct Answer {
    enum class Kind : uint8_t {
        foreign,   // not the answer to this question: go on waiting
        addresses, // here they are
        alias,     // the name is another's, about whom nothing is said: ask for `name`
        truncated, // ask again over TCP
        no_name,   // there is no such name (NXDOMAIN)
        no_data,   // there is, without an IPv4 address
        failed,    // the server could not or would not
        malformed,
    };

    Kind kind{};
    Name name; // the last one of the chain of aliases
    std::array<Ipv4Address, addresses_max> addresses{};
    size_t count{};
    uint32_t seconds{}; // how long it holds
};

/// What `message` says to the question for `name` that had this `id`.
Answer read_answer(Bytes message, uint16_t id, const Name& name);

} // namespace net::dns
