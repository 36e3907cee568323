// The shell's line to the console: what it shows, and keys as they come.
#pragma once

#include "interfaces/console.hpp"
#include "lib/async/loop.hpp"
#include "lib/base/format.hpp"
#include "lib/os/channel.hpp"

namespace shell {

/// Keys that nobody has read yet.
class Keys {
  public:
    explicit Keys(async::Loop& loop) : event_{loop} {}

    /// Set when keys have come or the console has gone.
    async::Event& event() { return event_; }

    std::optional<char> take() {
        if (first_ == last_) return std::nullopt;
        return typed_[first_++ % typed_.size()];
    }

    /// Takes the next Ctrl-C and all that was typed before it.
    bool take_cancel() {
        for (size_t i = first_; i != last_; ++i) {
            if (typed_[i % typed_.size()] != 0x03) continue;
            first_ = i + 1;
            return true;
        }
        return false;
    }

    // interfaces::console::Listener
    void typed(const interfaces::console::TypedArguments& a) {
        for (std::byte byte : a.text.span()) {
            const auto key = static_cast<char>(byte);
            if (key == 0x03 && last_ - first_ == typed_.size()) first_ = last_; // it is heard
            if (last_ - first_ < typed_.size()) typed_[last_++ % typed_.size()] = key;
        }
        event_.set();
    }

    void closed(rpc::Channel&, Err) { event_.set(); }

  private:
    async::Event event_;
    std::array<char, 256> typed_{};
    size_t first_{}, last_{};
};

class Terminal {
  public:
    explicit Terminal(os::Domain& self) : keys_{self.loop()}, side_{keys_}, link_{self} {}

    /// Binds to the console, whenever there is one, and asks for the keyboard.
    async::Task<> open() {
        namespace api = interfaces::console;
        co_await link_.open({.name = "console", .contract = api::contract, .events = &side_});
        co_await client().grab();
        co_return {};
    }

    bool is_open() const { return link_.is_open(); }

    /// `text` lives as long as the caller waits.
    async::Task<> say(std::string_view text) {
        using Part = decltype(interfaces::console::WriteArguments::text);
        while (!text.empty()) {
            const std::string_view part = first_of(text, Part::capacity);
            const auto bytes = std::as_bytes(std::span{part.data(), part.size()});
            co_await client().write(co_await Part::from(bytes));
            text.remove_prefix(part.size());
        }
        co_return {};
    }

    interfaces::console::Client client() { return interfaces::console::Client{link_.channel()}; }

    Keys& keys() { return keys_; }

  private:
    Keys keys_;
    interfaces::console::ClientSide<Keys> side_;
    os::Binding link_; // last: its end is told to the two above
};

} // namespace shell
