#include "net/dhcp.hpp"

#include <algorithm>

namespace net {
namespace {

using wire::DhcpMessage;
using wire::DhcpOption;

uint32_t read_u32(Bytes value) {
    return uint32_t(*peel<Be<uint32_t>>(value));
}

/// Appends options to a message being written.
class OptionWriter {
  public:
    explicit OptionWriter(MutableBytes room) : room_{room} {}

    void add(DhcpOption kind, Bytes value) {
        put(uint8_t(kind));
        put(uint8_t(value.size()));
        for (const std::byte byte : value)
            put(std::to_integer<uint8_t>(byte));
    }

    void add(DhcpOption kind, Ipv4Address address) {
        const Be<uint32_t> value{address.bits()};
        add(kind, std::as_bytes(std::span<const Be<uint32_t>, 1>{&value, 1}));
    }

    void put(uint8_t octet) { room_[used_++] = std::byte{octet}; }

  private:
    MutableBytes room_;
    size_t used_{};
};

} // namespace

void Dhcp::start(Instant now) {
    if (state_ == State::off) enter(State::selecting, now);
}

void Dhcp::enter(State state, Instant now) {
    // A transaction id covers discover and the request that follows it (RFC 2131 4.4.1).
    if (state != State::requesting) {
        transaction_ = uint32_t(random_.next());
        started_ = now;
    }
    state_ = state;
    tries_ = 0;
    due_ = state != State::bound;
    retry_at_ = now;
}

/// RFC 2131 4.1: doubling to 64 s, a second more or less. The first waits are shorter than its
/// 4 s, since a machine that boots is waited for.
Duration Dhcp::retry_delay() {
    const Duration base = seconds(int64_t{1} << std::min<unsigned>(tries_, 6));
    const auto spread = milliseconds(int64_t(random_.next() % 1000) - 500);
    return base + (tries_ < 2 ? spread / 2 : spread * 2);
}

/// RFC 2131 4.4.5: half of what remains, but not below a minute.
Duration Dhcp::until_renewal(Instant now, Instant limit) const {
    return std::max((limit - now) / 2, seconds(60));
}

std::optional<Instant> Dhcp::next_deadline() const {
    switch (state_) {
    case State::off: return std::nullopt;
    case State::bound: return leased_at_ + lease_.renew_after;
    case State::renewing: return std::min(retry_at_, leased_at_ + lease_.rebind_after);
    case State::rebinding: return std::min(retry_at_, leased_at_ + lease_.duration);
    default: return retry_at_;
    }
}

Dhcp::Change Dhcp::advance(Instant now) {
    const bool has_lease = lease().has_value();
    if (has_lease && now >= leased_at_ + lease_.duration) {
        enter(State::selecting, now);
        return Change::lost;
    }
    if (state_ == State::bound && now >= leased_at_ + lease_.renew_after) {
        enter(State::renewing, now);
    } else if (state_ == State::renewing && now >= leased_at_ + lease_.rebind_after) {
        enter(State::rebinding, now);
    } else if (state_ == State::requesting && tries_ >= 4 && now >= retry_at_) {
        enter(State::selecting, now); // that server has gone: ask all again
    } else if (state_ != State::off && state_ != State::bound && now >= retry_at_) {
        due_ = true;
    }
    return Change::none;
}

std::optional<Dhcp::Message> Dhcp::poll(Instant now) {
    if (state_ == State::off || !due_) return std::nullopt;
    due_ = false;
    if (state_ == State::renewing) {
        retry_at_ = now + until_renewal(now, leased_at_ + lease_.rebind_after);
    } else if (state_ == State::rebinding) {
        retry_at_ = now + until_renewal(now, leased_at_ + lease_.duration);
    } else {
        retry_at_ = now + retry_delay();
    }
    ++tries_;
    const bool discovers = state_ == State::selecting;
    Message message{ipv4_any, ipv4_broadcast, {}};
    if (lease()) message.source = lease_.address.address;
    if (state_ == State::renewing) message.destination = lease_.server;
    message.bytes = write(discovers ? DhcpMessage::discover : DhcpMessage::request);
    return message;
}

Bytes Dhcp::write(DhcpMessage type) {
    const bool has_lease = lease().has_value();
    wire::Dhcp header{};
    header.operation = wire::Dhcp::request;
    header.hardware_type = 1;
    header.hardware_length = 6;
    header.transaction = transaction_;
    // Without an address we could not receive a unicast answer (RFC 2131 4.1).
    header.flags = has_lease ? uint16_t{0} : wire::Dhcp::broadcast_flag;
    header.client = has_lease ? lease_.address.address.bits() : 0;
    header.hardware_address = mac_;
    header.cookie = wire::Dhcp::magic;
    buffer_.fill(std::byte{0});
    std::ranges::copy(std::as_bytes(std::span<const wire::Dhcp, 1>{&header, 1}), buffer_.begin());
    OptionWriter options{MutableBytes{buffer_}.subspan(sizeof header)};
    options.add(DhcpOption::message_type, std::array{std::byte(type)});
    if (state_ == State::requesting) {
        options.add(DhcpOption::requested_address, lease_.address.address);
        options.add(DhcpOption::server_identifier, lease_.server);
    }
    options.add(
        DhcpOption::parameter_list,
        std::array{
            std::byte(DhcpOption::subnet_mask),
            std::byte(DhcpOption::router),
            std::byte(DhcpOption::dns),
            std::byte(DhcpOption::lease_time),
            std::byte(DhcpOption::renewal_time),
            std::byte(DhcpOption::rebinding_time)
        }
    );
    options.put(uint8_t(DhcpOption::end));
    return buffer_;
}

void Dhcp::read_option(Answer& answer, DhcpOption kind, Bytes value) {
    Lease& lease = answer.lease;
    if (kind == DhcpOption::message_type) {
        if (value.size() == 1) answer.type = DhcpMessage(std::to_integer<uint8_t>(value[0]));
        return;
    }
    if (value.size() < 4) return;
    const uint32_t word = read_u32(value);
    switch (kind) {
    case DhcpOption::subnet_mask: lease.address.length = uint8_t(std::countl_one(word)); break;
    case DhcpOption::router: lease.router = Ipv4Address{word}; break;
    case DhcpOption::dns: lease.dns = Ipv4Address{word}; break;
    case DhcpOption::server_identifier: lease.server = Ipv4Address{word}; break;
    case DhcpOption::lease_time: lease.duration = seconds(word); break;
    case DhcpOption::renewal_time: lease.renew_after = seconds(word); break;
    case DhcpOption::rebinding_time: lease.rebind_after = seconds(word); break;
    default: break;
    }
}

std::optional<Dhcp::Answer> Dhcp::parse(Bytes message) {
    const auto refuse = [&](Drop reason) {
        drops_.count(reason);
        return std::nullopt;
    };
    const auto header = peel<wire::Dhcp>(message);
    if (!header || header->operation != wire::Dhcp::reply || header->cookie != wire::Dhcp::magic) {
        return refuse(Drop::dhcp_malformed);
    }
    if (header->transaction != transaction_ || !(header->hardware_address == mac_)) {
        return refuse(Drop::dhcp_not_ours);
    }
    Answer answer{};
    answer.lease.address = {Ipv4Address{header->yours}, 24};
    while (!message.empty() && message[0] != std::byte(DhcpOption::end)) {
        if (message[0] == std::byte(DhcpOption::pad)) {
            message = message.subspan(1);
            continue;
        }
        const size_t length = message.size() < 2 ? 0xffff : std::to_integer<size_t>(message[1]);
        if (length + 2 > message.size()) return refuse(Drop::dhcp_malformed);
        read_option(answer, DhcpOption(message[0]), message.subspan(2, length));
        message = message.subspan(2 + length);
    }
    return answer;
}

Dhcp::Change Dhcp::input(Bytes message, Instant now) {
    if (state_ == State::off || state_ == State::bound) {
        drops_.count(Drop::dhcp_not_ours);
        return Change::none;
    }
    const auto answer = parse(message);
    if (!answer) return Change::none;
    const bool usable = answer->lease.address.address.is_plain_unicast() &&
                        answer->lease.address.length <= 32 && !answer->lease.server.is_any();
    if (state_ == State::selecting) {
        if (answer->type != DhcpMessage::offer || !usable) {
            drops_.count(Drop::dhcp_malformed);
            return Change::none;
        }
        lease_ = answer->lease;
        enter(State::requesting, now);
        return Change::none;
    }
    if (answer->type == DhcpMessage::nak) {
        const bool had_lease = lease().has_value();
        enter(State::selecting, now);
        return had_lease ? Change::lost : Change::none;
    }
    if (answer->type != DhcpMessage::ack || !usable || answer->lease.duration <= Duration{}) {
        drops_.count(Drop::dhcp_malformed);
        return Change::none;
    }
    return take(answer->lease, now);
}

Dhcp::Change Dhcp::take(const Lease& lease, Instant now) {
    lease_ = lease;
    // RFC 2131 4.4.5: T1 and T2 default to 1/2 and 7/8; nonsense is treated as absent.
    if (lease_.rebind_after <= Duration{} || lease_.rebind_after >= lease_.duration) {
        lease_.rebind_after = lease_.duration * 7 / 8;
    }
    if (lease_.renew_after <= Duration{} || lease_.renew_after >= lease_.rebind_after) {
        lease_.renew_after = std::min(lease_.duration / 2, lease_.rebind_after);
    }
    leased_at_ = started_; // counts from when we asked: never too long
    enter(State::bound, now);
    return Change::bound;
}

std::optional<Lease> Dhcp::lease() const {
    if (state_ != State::bound && state_ != State::renewing && state_ != State::rebinding) {
        return std::nullopt;
    }
    return lease_;
}

} // namespace net
