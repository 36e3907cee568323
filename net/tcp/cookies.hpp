// SYN cookies (RFC 4987 3.6): a handshake that cannot be remembered is put into the number and the
// timestamp that the peer has to send back. Layout of the number: 5 bits of time, 3 of MSS, 24 of
// keyed hash; of the timestamp's low 6 bits: window scale (15: none) and whether blocks are wanted.
#pragma once

#include <optional>

#include "net/siphash.hpp"
#include "net/tcp/segment.hpp"

namespace net::tcp {

class SynCookies {
  public:
    explicit SynCookies(const SecretKey& key) : key_{key} {}

    /// The number to answer `syn` with.
    SeqNumber make(const Segment& syn, Instant now);

    /// What the SYN must have said, of which `segment` acknowledges our answer; none: it does not,
    /// or that was too long ago.
    std::optional<Options> check(const Segment& segment, Instant now) const;

    /// Our timestamp for an answer with a cookie: at or a little before `clock`.
    static uint32_t stamp(uint32_t clock, const Options& options);

  private:
    uint32_t hash(const Segment& segment, SeqNumber first, uint32_t head) const;

    SecretKey key_;
    std::optional<Instant> last_made_; // without any out there, no number is believed
};

} // namespace net::tcp
