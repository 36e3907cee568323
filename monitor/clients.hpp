// The domains of this core, by the badge of their endpoints. Badges cannot be forged: they are
// given by init and by the spawner's calls, so a badge is who somebody is.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "monitor/bindings.hpp"
#include "monitor/core_set.hpp"
#include "monitor/revocations.hpp"

namespace monitor {

/// Badges that init gives itself, before there is a spawner: known without `new_client`.
constexpr uint32_t badge_init = 0, badge_spawn = 1, badges_of_init = 8;

struct Client {
    bool used{};
    bool trusted{}; // with the names that give control
    uint32_t badge{};
    Name name;
    CapSlot bell{};             // says: call next()
    CapSlot channels{};         // rung by peers of its channels
    std::optional<Bell> vector; // the same from other cores, once it was needed
    std::optional<CoreId> lost; // a name of it went to this core
    bool watches_cores{};
    CoreSet changed;  // cores whose state it has yet to hear
    CoreSet silences; // whose drivers' devices it has yet to silence
    uint32_t client_ends{}, server_ends{};
    bool awaits_handed{};   // a fetch found nothing
    bool handed{};          // and since then something came
    uint32_t revocations{}; // asked for, and not yet heard of
    uint32_t parcels{};     // that wait for it
    NewsList news;
    DoneList done;

    uint32_t ends() const { return client_ends + server_ends; }

    /// Monitor::next has something to tell it.
    bool has_news() const {
        return !news.empty() || !done.empty() || !changed.empty() || !silences.empty() ||
               lost.has_value() || handed;
    }
};

/// Who offers it can silence devices.
constexpr Name keeper_name = *Name::from("pci");

/// Who may bind or offer these may end others, or reach their devices.
constexpr bool gives_control(const Name& name) {
    const std::string_view text = name.view();
    return text.starts_with("spawn.") || text.starts_with("nic.") ||
           text.starts_with("coreboot.") || name == keeper_name || text == "routes" ||
           text == "raw";
}

/// Labels under which RAM is handed, and no device.
constexpr bool is_of_ram(const Name& label) {
    return label.view().starts_with("ram.") || label.view().starts_with("core.");
}

/// Init and the spawner are by being what they are.
constexpr bool is_trusted(const Client& client) {
    return client.trusted || client.badge < badges_of_init;
}

constexpr bool may_use(const Client& client, const Name& name) {
    return is_trusted(client) || !gives_control(name);
}

class ClientTable {
  public:
    static constexpr size_t capacity = 128;

    /// Errors: exists, no_space.
    Result<Client*> add(uint32_t badge, const Name& name) {
        if (find(badge) != nullptr) return fail(Err::exists);
        for (Client& client : clients_) {
            if (client.used) continue;
            high_ = std::max(high_, static_cast<size_t>(&client - clients_.data()) + 1);
            client.used = true;
            client.badge = badge;
            client.name = name;
            return &client;
        }
        return fail(Err::no_space);
    }

    Client* find(uint32_t badge) {
        for (Client& client : all())
            if (client.used && client.badge == badge) return &client;
        return nullptr;
    }

    /// Its lists are empty and it holds no capability any more.
    void remove(Client& client) {
        std::destroy_at(&client);
        std::construct_at(&client);
    }

    /// As far as there ever was one.
    std::span<Client> all() { return std::span{clients_}.first(high_); }

  private:
    std::array<Client, capacity> clients_{};
    size_t high_{};
};

} // namespace monitor
