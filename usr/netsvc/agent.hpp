// The socket agent: sockets of this guest, driven by text over UDP from outside, so that scripts
// which make the packets themselves can be played against the stack. A request is `<id> <verb>
// <arguments>`, its answer `<id> <value> <error|OK> [text]`. No request waits.
#pragma once

#include <array>
#include <optional>

#include "lib/os/socket.hpp"
#include "usr/netsvc/agent_words.hpp"

namespace netsvc {

namespace socket_api = interfaces::socket;

class Agent {
  public:
    static constexpr uint16_t port = 9099;
    static constexpr size_t sockets_max = 200;
    static constexpr uint32_t shown_bytes = 512; // of what was received, in hex

    explicit Agent(os::Network& network) : network_{network} {}

    async::Task<> serve();

    /// One request, without its id; the answer without it as well. `data` is for what is moved.
    async::Task<> carry_out(Words& words, const os::Network::Chunk& data, TextWriter& answer);

  private:
    struct Outcome {
        int64_t value{};
        uint32_t received{}; // bytes in the chunk, to be shown
        bool shows{};
        std::optional<os::SocketAddress> address{};
        std::string_view text{};
    };

    async::Task<Outcome> outcome(Words& words, const os::Network::Chunk& data);
    async::Task<Outcome>
    by_socket(std::string_view verb, uint32_t handle, Words& words, const os::Network::Chunk& data);
    async::Task<Outcome> open(std::string_view kind);
    async::Task<Outcome> bind(uint32_t socket, Words& words);
    async::Task<Outcome> accept(uint32_t socket);
    async::Task<Outcome> connect(uint32_t socket, Words& words);
    async::Task<Outcome> send(uint32_t socket, Words& words, const os::Network::Chunk& data);
    async::Task<Outcome> send_to(uint32_t socket, Words& words, const os::Network::Chunk& data);
    async::Task<Outcome> receive(uint32_t socket, Words& words, const os::Network::Chunk& data);
    async::Task<Outcome> poll(uint32_t socket, const os::Network::Chunk& data);
    async::Task<Outcome> shut_down(uint32_t socket, Words& words);
    async::Task<Outcome> set_option(uint32_t handle, uint32_t socket, Words& words);
    async::Task<Outcome> get_option(uint32_t handle, uint32_t socket, Words& words);
    async::Task<Outcome> name(uint32_t socket, bool of_peer);
    async::Task<Outcome> queue(uint32_t socket, bool to_send);
    async::Task<Outcome> close(uint32_t handle, uint32_t socket);
    async::Task<Outcome> reset();

    struct Held {
        uint32_t socket;
        bool is_stream;
    };

    Result<uint32_t> keep(uint32_t socket, bool is_stream);
    Result<uint32_t> find(uint32_t handle) const;

    socket_api::Client& net() { return network_.client(); }

    os::Network& network_;
    std::array<std::optional<Held>, sockets_max> held_{};
    GivenAnswers given_;
};

} // namespace netsvc
