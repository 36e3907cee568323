// Plays scripts in packetdrill's language (Cardwell and others, USENIX ATC 2013) against the
// library on virtual time: what the peer sends (<), what we must send (>) and when, and the calls
// of an application. Numbers are relative to each side's first, as there.
#pragma once

#include <map>

#include "tests/net/support.hpp"

namespace bench {

/// One line's packet, or a live segment, in the script's numbers.
struct DrillPacket {
    std::string flags; // letters of FSRP.U in the order of their bits
    uint32_t begin{}, end{};
    std::optional<uint32_t> ack, window, urgent, mss, scale, stamp, echo;
    bool blocks_permitted{}, any_options{}; // "<...>"
    std::vector<std::pair<uint32_t, uint32_t>> blocks;
};

class Drill {
  public:
    /// Failures are reported with `name` and the line.
    void play(const std::string& name, const std::string& script);

  private:
    struct When {
        Instant from, until; // the same unless a range was given
        bool any{};          // "*"
        bool blocks{};       // "from...until": a call that waits
    };

    struct Descriptor {
        net::SocketId id;
        uint32_t written{}, was_read{};
    };

    struct Sent {
        Instant at;
        Octets segment;
    };

    struct Call {
        std::string name;
        std::vector<std::string> arguments;
        long result{};
        std::string error;
    };

    struct Waiting {
        Instant until;
        Call call;
        int line;
    };

    void line(const std::string& text);
    When time(std::string& text);
    void until(Instant end);
    void step(Instant to);
    void collect();
    void failed(const std::string& why);

    DrillPacket packet(const std::string& text);
    void options(DrillPacket& packet, const std::string& text);
    void peer_sends(const DrillPacket& packet);
    void we_send(const DrillPacket& expected, const When& when);
    DrillPacket read(const Octets& segment);
    void read_options(DrillPacket& packet, const Octets& options);
    std::string difference(const DrillPacket& expected, const DrillPacket& got) const;

    std::optional<Call> parse_call(const std::string& text);
    void call(const Call& call);
    void check_opened(const Call& call, const Result<net::SocketId>& made);
    void check(const Call& call, const Result<size_t>& got);
    void open(const Call& call);
    Result<size_t> write(Descriptor& at, size_t bytes);
    Result<size_t> take(Descriptor& at, size_t bytes);
    Descriptor& descriptor(const Call& call);

    std::optional<Host> host_;
    Instant start_, last_;
    std::string name_;
    int line_{};
    bool in_code_{}, in_comment_{}, met_peer_{};
    std::deque<Sent> sent_;
    std::vector<Waiting> waiting_;
    std::map<long, Descriptor> sockets_;
    uint32_t peer_first_{}, our_first_{}, our_port_ = 8080, peer_port_ = 4000;
    std::optional<uint32_t> clock_offset_; // live timestamp less the script's
};

} // namespace bench
