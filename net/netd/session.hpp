// One application's sockets: requests of lib/interfaces/socket.if carried out on the stack. A
// request that cannot be answered yet is a task that waits for the socket to change.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "interfaces/socket.hpp"
#include "lib/async/loop.hpp"
#include "lib/async/sync.hpp"
#include "lib/base/bytes.hpp"
#include "lib/base/text.hpp"
#include "net/netd/host.hpp"
#include "net/stack.hpp"

namespace netd {

namespace api = interfaces::socket;

class Session : public SocketOwner {
  public:
    static constexpr size_t sockets_max = 256;

    /// `area` is the bulk part of the channel: the application writes it at any time, so it is
    /// only ever source or destination of a copy.
    Session(Host& host, MutableBytes area);
    Session(const Session&) = delete;
    /// Before the first request. Errors: no_slots.
    Result<> enter();
    /// The application is gone: what it had open is reset.
    ~Session();

    // --- the Server of socket.if
    async::Task<api::OpenResult> open(api::OpenArguments a);
    async::Task<api::BindResult> bind(api::BindArguments a);
    async::Task<> listen(api::ListenArguments a);
    async::Task<api::AcceptResult> accept(api::AcceptArguments a);
    async::Task<> connect(api::ConnectArguments a);
    async::Task<api::SendResult> send(api::SendArguments a);
    async::Task<api::ReceiveResult> receive(api::ReceiveArguments a);
    async::Task<> send_to(api::SendToArguments a);
    async::Task<api::ReceiveFromResult> receive_from(api::ReceiveFromArguments a);
    async::Task<> shutdown(api::ShutdownArguments a);
    async::Task<> close(api::CloseArguments a);
    async::Task<> abort(api::AbortArguments a);
    async::Task<> set_option(api::SetOptionArguments a);
    async::Task<api::NamesResult> names(api::NamesArguments a);

    // --- from the stack
    void socket_event(uint16_t index, net::EventSet what) override;

  private:
    /// A handle of the application's: what it will be is decided by the first call that says so.
    struct Socket {
        Socket(async::Loop& loop, uint16_t at, api::Kind as) : index{at}, kind{as}, changed{loop} {}

        uint16_t index;
        api::Kind kind;
        bool live{}; // `id` is a socket of the stack
        // Wanted, until there is a stack socket:
        bool no_delay{};
        uint32_t keep_alive_seconds{}, user_timeout_seconds{};
        net::Endpoint local;
        net::SocketId id;
        async::Signal changed;
    };

    Result<Socket*> find(uint32_t handle);
    Result<Socket*> find_live(uint32_t handle);
    Result<MutableBytes> room(uint32_t offset, uint32_t bytes) const;
    Result<Socket*> make(api::Kind kind);
    uint32_t handle_of(const Socket& socket) const;
    uint64_t cookie_of(const Socket& socket) const;
    Result<> apply_options(const Socket& socket);
    void drop(Socket& socket);
    Result<> let_go(Socket& socket, bool reset);
    Result<> make_datagram(Socket& socket);
    Result<api::AcceptResult> accept_into(Socket& socket, net::SocketId listener);

    Host& host_;
    MutableBytes area_;
    uint8_t number_{};
    bool entered_{};
    async::Signal socket_freed_;
    std::array<std::optional<Socket>, sockets_max> sockets_;
    std::array<uint16_t, sockets_max> generations_{}; // so that a stale handle is told apart
};

} // namespace netd
