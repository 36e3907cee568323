// Local calls both ways: as a client of an endpoint, and as the server that every domain may be.
#pragma once

#include "lib/os/space.hpp"
#include "lib/rpc/local.hpp"

namespace os {

/// An endpoint as the generated clients of lib/interfaces want it. A capability that comes with an
/// answer is moved to a slot of its own at once.
class LocalPort final : public rpc::LocalEndpoint {
  public:
    explicit LocalPort(CapSlot endpoint) : endpoint_{{endpoint}} {}

    Result<rpc::LocalMessage> call(const rpc::LocalMessage& message) override;

  private:
    Endpoint endpoint_;
};

/// A client together with its endpoint: `LocalClient<interfaces::memory::Client> memory{slot};`
template <class Client>
class LocalClient {
  public:
    explicit LocalClient(CapSlot endpoint) : port_{endpoint}, client_{port_} {}

    LocalClient(const LocalClient&) = delete;

    Client* operator->() { return &client_; }

  private:
    LocalPort port_;
    Client client_;
};

/// Answers local calls, each at once (docs/system.md, Local calls).
class LocalServer {
  public:
    /// A capability that came with the message is the server's; one in the answer is given away.
    virtual rpc::LocalMessage serve(uint64_t badge, const rpc::LocalMessage& message) = 0;

  protected:
    ~LocalServer() = default;
};

} // namespace os
