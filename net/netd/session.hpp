// One application's sockets: requests of lib/interfaces/socket.if carried out on the stack. A
// request that cannot be answered yet is a task that waits for the socket to change.
#pragma once

#include <array>
#include <cstdint>

#include "interfaces/socket.hpp"
#include "lib/async/loop.hpp"
#include "lib/async/sync.hpp"
#include "lib/base/bytes.hpp"
#include "lib/base/list.hpp"
#include "lib/base/text.hpp"
#include "net/netd/host.hpp"
#include "net/netd/slabs.hpp"
#include "net/stack.hpp"

namespace netd {

namespace api = interfaces::socket;

class Session : public SocketOwner {
  public:
    static constexpr size_t sockets_max = api::SOCKETS;

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
    async::Task<api::SendUrgentResult> send_urgent(api::SendUrgentArguments a);
    async::Task<api::ReceiveResult> receive(api::ReceiveArguments a);
    async::Task<api::ReceiveUrgentResult> receive_urgent(api::ReceiveUrgentArguments a);
    async::Task<api::PeekResult> peek(api::PeekArguments a);
    async::Task<> send_to(api::SendToArguments a);
    async::Task<api::ReceiveFromResult> receive_from(api::ReceiveFromArguments a);
    async::Task<> shutdown(api::ShutdownArguments a);
    async::Task<> close(api::CloseArguments a);
    async::Task<> abort(api::AbortArguments a);
    async::Task<> set_option(api::SetOptionArguments a);
    async::Task<api::OptionResult> option(api::OptionArguments a);
    async::Task<api::NamesResult> names(api::NamesArguments a);
    async::Task<api::QueuesResult> queues(api::QueuesArguments a);
    async::Task<api::PollResult> poll(api::PollArguments a);
    async::Task<api::ChangesResult> changes(api::ChangesArguments a);

    // --- from the stack
    void socket_event(uint16_t index, net::EventSet what) override;
    bool holds(net::Endpoint local, bool reuse_address) const override;

  private:
    /// A handle of the application's: what it will be is decided by the first call that says so.
    struct Socket {
        Socket(uint16_t at, async::Loop& loop, api::Kind as) : index{at}, kind{as}, changed{loop} {}

        uint16_t index;
        api::Kind kind;
        bool live{};       // `id` is a socket of the stack
        bool bound{};      // `local` is where the application wanted it
        bool connecting{}; // and nobody was told yet that it is connected
        bool read_shut{}, write_shut{};
        bool urgent{};      // the stack has told of an urgent byte, which was not passed yet
        bool urgent_read{}; // and the application has it
        // Options that the stack does not know:
        bool non_blocking{}, watched{}, urgent_inline{}, broadcast{}, keep_alive{};
        bool resets_at_close{};
        uint16_t keep_idle_seconds = 7200; // RFC 1122 4.2.3.6
        uint32_t receive_bytes{}, send_bytes{};
        net::StreamOptions stream;
        net::DatagramOptions datagram{.hears_errors = false}; // as elsewhere: only when connected
        net::Endpoint local, remote;
        net::SocketId id;
        async::Signal changed;
        ListHook<Socket> untold_hook; // `watched`, and `changes` has yet to tell of it

        bool is_stream() const { return kind == api::Kind::stream; }

        bool is_listener() const { return live && id.kind() == net::SocketKind::listener; }

        bool is_connection() const { return live && id.kind() == net::SocketKind::stream; }
    };

    Result<Socket*> find(uint32_t handle);
    Result<Socket*> find_live(uint32_t handle);
    Result<MutableBytes> room(uint32_t offset, uint32_t bytes) const;
    Result<Socket*> make(api::Kind kind);
    uint32_t handle_of(const Socket& socket) const;
    uint64_t cookie_of(const Socket& socket) const;
    void drop(Socket& socket);
    Result<> let_go(Socket& socket, bool reset);
    Result<> make_datagram(Socket& socket, net::Endpoint local);
    Result<> connect_datagram(Socket& socket, net::Endpoint to);
    Result<> begin_connection(Socket& socket, net::Endpoint to);
    Result<bool> is_connected(Socket& socket);
    Result<api::AcceptResult> accept_into(Socket& socket, const Socket& listener);
    Result<uint32_t> send_now(Socket& socket, Bytes data, bool urgent);
    Result<> send_datagram(Socket& socket, net::Endpoint to, Bytes data);
    Result<uint32_t> receive_now(Socket& socket, MutableBytes into);
    Result<uint32_t> peek_now(Socket& socket, MutableBytes into);

    // session_urgent.cpp
    Result<size_t> up_to_urgent(const Socket& socket) const;
    Result<> stop_at_urgent(Socket& socket, size_t& most);
    Result<uint8_t> urgent_byte(Socket& socket);
    bool has_urgent(const Socket& socket) const;

    // session_options.cpp
    Result<> apply(Socket& socket);
    Result<> change(Socket& socket, api::Option option, uint32_t value);
    Result<> change_stream(Socket& socket, api::Option option, uint32_t value);
    Result<uint32_t> value_of(Socket& socket, api::Option option);
    Result<uint32_t> stream_value_of(const Socket& socket, api::Option option);

    // session_poll.cpp
    uint32_t readiness(Socket& socket);
    uint32_t look_at(MutableBytes entries);
    void note_change(Socket& socket);
    uint32_t tell_changes(MutableBytes entries);

    Host& host_;
    MutableBytes area_;
    uint8_t number_{};
    bool entered_{};
    async::Signal socket_freed_;
    async::Signal any_changed_; // for those who wait for many
    Slabs<Socket, sockets_max> sockets_;
    List<Socket, &Socket::untold_hook> untold_;
};

} // namespace netd
