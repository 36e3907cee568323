// Fixed tables of sockets, found by handle, and the queue of those with news for their owner.
#pragma once

#include <span>

#include "net/arena.hpp"
#include "net/socket.hpp"

namespace net {

/// What every socket has.
struct SocketBase {
    SocketId id; // kind none: no owner holds a handle
    uint64_t cookie{};
    EventSet news;
    bool queued{};
    Err error{Err::none}; // waits for take_error() or the next call
    SocketBase* next_news{};

    Err take_error() { return std::exchange(error, Err::none); }
};

/// Sockets with news, in the order in which the news came.
class NewsQueue {
  public:
    void raise(SocketBase& socket, EventSet what) {
        socket.news.add(what);
        if (socket.queued) return;
        socket.queued = true;
        socket.next_news = nullptr;
        *(last_ == nullptr ? &first_ : &last_->next_news) = &socket;
        last_ = &socket;
    }

    /// News of a socket without a handle interest nobody.
    static void forget(SocketBase& socket) { socket.news = {}; }

    void deliver(Events& events) {
        while (SocketBase* socket = first_) {
            first_ = socket->next_news;
            if (first_ == nullptr) last_ = nullptr;
            socket->queued = false;
            const EventSet news = std::exchange(socket->news, {});
            if (news.empty() || socket->id.kind() == SocketKind::none) continue;
            events.socket_event(socket->id, socket->cookie, news);
        }
    }

  private:
    SocketBase *first_{}, *last_{};
};

/// T derives from SocketBase and has `T* next_free` and `uint16_t generation`.
template <class T, SocketKind kind>
class SocketTable {
  public:
    SocketTable(Arena& arena, size_t count) : entries_{arena.make<T>(count)} {
        // The lowest index is taken first.
        for (size_t i = entries_.size(); i-- > 0;)
            free_.put(entries_[i]);
    }

    /// A free entry, without a handle yet; nullptr: none left.
    T* take() { return free_.take(); }

    /// The owner's handle to `entry`.
    SocketId hand_out(T& entry, uint64_t cookie) {
        entry.cookie = cookie;
        entry.id = SocketId{kind, entry.generation, uint16_t(&entry - entries_.data())};
        return entry.id;
    }

    /// The handle ends; the entry may live on.
    void take_back(T& entry) {
        entry.id = {};
        entry.generation = uint16_t((entry.generation + 1) & 0xfff);
        NewsQueue::forget(entry);
    }

    void put(T& entry) {
        if (entry.id.kind() != SocketKind::none) take_back(entry);
        free_.put(entry);
    }

    Result<T*> find(SocketId id) const {
        if (id.kind() != kind || id.index() >= entries_.size()) return fail(Err::not_found);
        T& entry = entries_[id.index()];
        if (!(entry.id == id)) return fail(Err::not_found);
        return &entry;
    }

    std::span<T> entries() const { return entries_; }

  private:
    std::span<T> entries_;
    FreeList<T> free_;
};

/// Sockets by local port. T has `Endpoint local` and `T* next_in_port`.
template <class T>
class PortMap {
  public:
    PortMap(Arena& arena, size_t sockets) : buckets_{arena.make<T*>(std::bit_ceil(sockets))} {}

    void add(T& socket) {
        T*& bucket = bucket_of(socket.local.port);
        socket.next_in_port = bucket;
        bucket = &socket;
    }

    void remove(T& socket) {
        T** at = &bucket_of(socket.local.port);
        while (*at != nullptr && *at != &socket)
            at = &(*at)->next_in_port;
        if (*at != nullptr) *at = socket.next_in_port;
    }

    /// Bound to exactly this address, or else to any.
    T* find(Endpoint local) const {
        T* general = nullptr;
        for (T* socket = bucket_of(local.port); socket != nullptr; socket = socket->next_in_port) {
            if (!(socket->local.port == local.port)) continue;
            if (socket->local.address == local.address) return socket;
            if (socket->local.address.is_any()) general = socket;
        }
        return general;
    }

    /// Would a new socket bound to `local` shadow or double one that is there?
    bool taken(Endpoint local) const {
        for (T* socket = bucket_of(local.port); socket != nullptr; socket = socket->next_in_port) {
            if (!(socket->local.port == local.port)) continue;
            if (socket->local.address == local.address || socket->local.address.is_any() ||
                local.address.is_any()) {
                return true;
            }
        }
        return false;
    }

  private:
    T*& bucket_of(Port port) const { return buckets_[port.number() & (buckets_.size() - 1)]; }

    std::span<T*> buckets_;
};

/// RFC 6335 6: the range for ports that nobody asked for by number.
constexpr uint16_t first_dynamic_port = 49152;
constexpr uint16_t dynamic_ports = 16384;

} // namespace net
