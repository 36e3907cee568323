// What paths take, as ICMP has told (RFC 1191): a small cache by destination. Who asks to note
// something has checked that the message is about a packet of ours in flight (RFC 5927 7).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "lib/base/time.hpp"
#include "net/address.hpp"

namespace net {

struct PathLimit {
    uint16_t mtu_bytes{};
    bool may_fragment{}; // the path takes less than what we are ready to be talked down to
};

class PathMtu {
  public:
    explicit PathMtu(uint16_t link_mtu_bytes) : link_mtu_bytes_{link_mtu_bytes} {}

    PathLimit find(Ipv4Address destination, Instant now) const {
        for (const Entry& entry : entries_) {
            if (entry.destination == destination && now < entry.until) return entry.limit;
        }
        return {link_mtu_bytes_, false};
    }

    /// A router's next link takes `told_bytes`; 0: it is too old to say (RFC 1191 5). Only ever
    /// lowers what is known, and never below `least`: a forged message costs little.
    PathLimit note(Ipv4Address destination, uint16_t told_bytes, Instant now) {
        const PathLimit known = find(destination, now);
        const uint16_t told = told_bytes == 0 ? next_plateau(known.mtu_bytes) : told_bytes;
        if (told >= known.mtu_bytes) return known;
        Entry& entry = place_for(destination, now);
        entry = {
            destination,
            {std::max(told, std::min(least, link_mtu_bytes_)), told < least},
            now + life
        };
        return entry.limit;
    }

  private:
    struct Entry {
        Ipv4Address destination;
        PathLimit limit;
        Instant until;
    };

    static constexpr uint16_t least = 552;
    static constexpr Duration life = seconds(600); // RFC 1191 6.3: then the path may be wider

    /// RFC 1191 7.1.
    static uint16_t next_plateau(uint16_t above) {
        constexpr uint16_t plateaus[] = {8166, 4352, 2002, 1492, 1006, least};
        for (const uint16_t plateau : plateaus) {
            if (plateau < above) return plateau;
        }
        return least;
    }

    /// Its own entry, else the one that ends first.
    Entry& place_for(Ipv4Address destination, Instant now) {
        Entry* place = &entries_[0];
        for (Entry& entry : entries_) {
            if (entry.destination == destination && now < entry.until) return entry;
            if (entry.until < place->until) place = &entry;
        }
        return *place;
    }

    uint16_t link_mtu_bytes_;
    std::array<Entry, 16> entries_{};
};

} // namespace net
