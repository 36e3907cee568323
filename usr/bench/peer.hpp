// The other domain: the same image in another role, named by its argument. It says hello by a call
// to the endpoint it was given as "bench", and gives a capability to itself with it.
#pragma once

#include "interfaces/launch.hpp"
#include "lib/os/domain.hpp"
#include "lib/os/local.hpp"
#include "lib/os/memory.hpp"

namespace bench {

/// Roles. server: answers calls. sleeper: waits for its doorbell. yielder: always gives way.
/// newborn: says hello and ends. stub: offers service "bench.peer". borrower: the same under a name
/// of its core.
namespace role {
constexpr std::string_view server = "server", sleeper = "sleeper", yielder = "yielder",
                           newborn = "newborn", stub = "stub", borrower = "borrower";
}

constexpr std::string_view peer_service = "bench.peer";
Text<16> borrower_on(CoreId core);
constexpr uint64_t shared_bytes = page_bytes;

/// Starts peers; what they are and die by is the spawner of this core.
class Peers {
  public:
    explicit Peers(os::CapSlot launch) : launch_{launch} {}

    struct Peer {
        uint32_t id{};
        os::OwnedCap to; // what came with its hello
    };

    Result<> begin();

    /// Starts one and waits for its hello. It waits for ours, which is answer().
    Result<Peer> start(std::string_view role, uint32_t priority, uint64_t quota = 1024 * 1024);
    /// The last one that said hello goes on.
    void answer();

    /// Whether everything of it is back.
    bool end(const Peer& peer) {
        const auto killed = launch_->kill(peer.id);
        return killed && killed->done;
    }

    /// Memory that all peers see.
    const os::View& shared() const { return view_; }

  private:
    os::LocalClient<interfaces::launch::Client> launch_;
    os::OwnedCap endpoint_;
    os::Frame frame_;
    os::View view_;
};

/// What the image does when its argument is a role.
int be_peer(os::Domain& self, std::string_view role);

} // namespace bench
