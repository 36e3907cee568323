#include "tests/net/packetdrill.hpp"

#include <cmath>
#include <sstream>
#include <utility>

namespace bench {
namespace {

constexpr const char* letters = "FSRP.U";
constexpr Duration tolerance = milliseconds(5); // our timers' ticks, and packetdrill's own slack

std::string trimmed(const std::string& text) {
    const auto from = text.find_first_not_of(" \t\r");
    if (from == text.npos) return {};
    return text.substr(from, text.find_last_not_of(" \t\r") - from + 1);
}

Instant after(Instant from, double seconds_) {
    return from + Duration{std::llround(seconds_ * 1e9)};
}

std::string error_name(Err error) {
    switch (error) {
    case Err::would_block: return "EAGAIN";
    case Err::connection_refused: return "ECONNREFUSED";
    case Err::connection_reset: return "ECONNRESET";
    case Err::timed_out: return "ETIMEDOUT";
    case Err::not_connected:
    case Err::bad_state: return "EPIPE";
    default: return std::string{text_of(error)};
    }
}

/// At commas that are not inside brackets.
std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    std::string part;
    int depth = 0;
    for (const char c : text) {
        depth += c == '(' || c == '[' || c == '{' ? 1 : c == ')' || c == ']' || c == '}' ? -1 : 0;
        if (c == ',' && depth == 0) {
            parts.push_back(trimmed(part));
            part.clear();
        } else {
            part += c;
        }
    }
    if (!trimmed(part).empty()) parts.push_back(trimmed(part));
    return parts;
}

std::string ordered(const std::string& flags) {
    std::string result;
    for (const char* c = letters; *c != 0; ++c) {
        if (flags.find(*c) != flags.npos) result += *c;
    }
    return result;
}

std::optional<uint32_t> number_after(const std::string& text, const std::string& word) {
    const auto at = text.find(word + " ");
    if (at == text.npos) return std::nullopt;
    return uint32_t(std::stoul(text.substr(at + word.size() + 1)));
}

} // namespace

void Drill::failed(const std::string& why) {
    ADD_FAILURE() << name_ << ":" << line_ << ": " << why;
}

// --- Lines and time

void Drill::play(const std::string& name, const std::string& script) {
    name_ = name;
    host_.emplace();
    host_->meet_peer();
    start_ = last_ = host_->now;
    std::istringstream lines{script};
    std::string text;
    for (line_ = 1; std::getline(lines, text) && !testing::Test::HasFailure(); ++line_)
        line(text);
    if (!waiting_.empty()) until(waiting_.back().until);
    if (!sent_.empty() && !testing::Test::HasFailure()) failed("more was sent than it expects");
}

void Drill::line(const std::string& whole) {
    std::string text = trimmed(whole.substr(0, whole.find("//")));
    if (in_code_ || text.starts_with("%{")) { // Python about tcp_info: not ours
        in_code_ = text.find("}%") == text.npos;
        return;
    }
    if (in_comment_ || text.starts_with("/*")) {
        in_comment_ = text.find("*/") == text.npos;
        return;
    }
    if (text.empty() || text.starts_with("--") || text.starts_with("`") || text[0] == '#') return;
    const When when = time(text);
    last_ = when.from;
    if (text.empty() || text[0] == '`' || text.starts_with("%{")) return until(when.from);
    if (text[0] == '<') {
        until(when.from);
        return peer_sends(packet(text.substr(1)));
    }
    if (text[0] == '>') return we_send(packet(text.substr(1)), when);
    const auto parsed = parse_call(text);
    if (!parsed) return failed("not understood: " + text);
    until(when.from);
    if (when.blocks && parsed->name != "connect") {
        waiting_.push_back({when.until, *parsed, line_});
        return;
    }
    call(*parsed);
}

/// "+0.1", "0.1", "*", "+0~+0.2", "0.1...0.2"; takes it off the front.
Drill::When Drill::time(std::string& text) {
    const auto space = text.find_first_of(" \t");
    std::string front = text.substr(0, space);
    if (front.find_first_not_of("+*.~0123456789") != front.npos) return {last_, last_};
    text = space == text.npos ? "" : trimmed(text.substr(space));
    if (front == "*") return {last_, last_ + seconds(60), true};
    const auto instant = [&](const std::string& one) {
        const bool relative = one[0] == '+';
        return after(relative ? last_ : start_, std::stod(relative ? one.substr(1) : one));
    };
    for (const char* mark : {"...", "~"}) {
        const auto at = front.find(mark);
        if (at == front.npos) continue;
        const bool blocks = *mark == '.';
        const std::string second = front.substr(at + std::string{mark}.size());
        return {instant(front.substr(0, at)), instant(second), false, blocks};
    }
    const Instant at = instant(front);
    return {at, at};
}

void Drill::until(Instant end) {
    while (!waiting_.empty() && waiting_.front().until <= end) {
        const Waiting due = waiting_.front();
        waiting_.erase(waiting_.begin());
        step(due.until);
        call(due.call);
    }
    step(end);
}

/// Stops at each deadline, so that what is sent has its time; the neighbour stays known.
void Drill::step(Instant end) {
    while (host_->now < end) {
        const Instant soon = std::min(end, host_->now + seconds(20));
        const auto due = host_->stack->next_deadline();
        host_->now = due && *due < soon ? std::max(*due, host_->now) : soon;
        host_->stack->advance(host_->now);
        collect();
        host_->receive(arp({.operation = 2}, our_mac));
    }
    collect();
}

void Drill::collect() {
    while (!host_->wire.sent.empty()) {
        const Octets frame = host_->next_frame();
        if (get16(frame, 12) != 0x0800 || frame.at(23) != 6) continue;
        const Ip header{.source = our_ip, .destination = get32(frame, 30), .protocol = 6};
        const Octets segment = part(frame, 34, 14 + get16(frame, 16));
        if (transport_checksum(header, segment) != 0) failed("we sent a wrong checksum");
        sent_.push_back({host_->now, segment});
    }
}

// --- Packets

DrillPacket Drill::packet(const std::string& text) {
    DrillPacket result;
    std::istringstream words{text};
    std::string range;
    words >> result.flags >> range;
    result.flags = ordered(result.flags);
    unsigned begin = 0, end = 0, length = 0;
    if (std::sscanf(range.c_str(), "%u:%u(%u)", &begin, &end, &length) != 3) {
        failed("not a segment: " + text);
    }
    result.begin = begin;
    result.end = begin + length;
    const auto open = text.find('<');
    const std::string fields = text.substr(0, open);
    result.ack = number_after(fields, "ack");
    result.window = number_after(fields, "win");
    result.urgent = number_after(fields, "urg");
    if (open != text.npos) {
        options(result, text.substr(open + 1, text.find('>', open) - open - 1));
    }
    return result;
}

void Drill::options(DrillPacket& packet, const std::string& text) {
    packet.any_options = text == "...";
    if (packet.any_options) return;
    for (const std::string& option : split(text)) {
        if (option == "sackOK") packet.blocks_permitted = true;
        if (const auto mss = number_after(option, "mss")) packet.mss = mss;
        if (const auto scale = number_after(option, "wscale")) packet.scale = scale;
        if (const auto stamp = number_after(option, "val")) packet.stamp = stamp;
        if (const auto echo = number_after(option, "ecr")) packet.echo = echo;
        if (!option.starts_with("sack ")) continue;
        std::istringstream blocks{option.substr(5)};
        unsigned begin = 0, end = 0;
        for (std::string block;
             blocks >> block && std::sscanf(block.c_str(), "%u:%u", &begin, &end) == 2;) {
            packet.blocks.emplace_back(begin, end);
        }
    }
}

void Drill::peer_sends(const DrillPacket& p) {
    const bool begins = p.flags.find('S') != p.flags.npos && !std::exchange(met_peer_, true);
    if (begins) peer_first_ = p.begin; // later ones are relative to it like everything else
    const uint32_t base = begins ? 0 : peer_first_;
    Octets o;
    if (p.mss) o = o + Octets{2, 4} + be16(*p.mss);
    if (p.blocks_permitted) o = o + Octets{4, 2};
    if (p.stamp) {
        o = o + Octets{8, 10} + be32(*p.stamp) +
            be32(p.echo.value_or(0) + clock_offset_.value_or(0));
    }
    if (p.scale) o = o + Octets{3, 3, uint8_t(*p.scale)};
    if (!p.blocks.empty()) o = o + Octets{5, uint8_t(2 + 8 * p.blocks.size())};
    for (const auto& [begin, end] : p.blocks)
        o = o + be32(our_first_ + begin) + be32(our_first_ + end);
    while (o.size() % 4 != 0)
        o.insert(o.begin(), 1);
    uint8_t bits = 0;
    for (int i = 0; letters[i] != 0; ++i)
        bits |= uint8_t((p.flags.find(letters[i]) != p.flags.npos ? 1 : 0) << i);
    const Ip header{.protocol = 6};
    const uint32_t ack = p.ack ? our_first_ + *p.ack : 0;
    Octets s = be16(peer_port_) + be16(our_port_) + be32(base + p.begin) + be32(ack) +
               Octets{uint8_t((20 + o.size()) / 4 << 4), bits} + be16(p.window.value_or(0)) +
               be16(0) + be16(p.urgent.value_or(0)) + o + pattern_octets(p.begin, p.end - p.begin);
    const uint16_t sum = transport_checksum(header, s);
    s[16] = uint8_t(sum >> 8);
    s[17] = uint8_t(sum);
    host_->receive(ip(header, s));
    collect();
}

void Drill::we_send(const DrillPacket& expected, const When& when) {
    const Instant latest = when.until + tolerance;
    while (sent_.empty() && host_->now < latest) {
        const auto due = host_->stack->next_deadline();
        until(due ? std::clamp(*due, host_->now + Duration{1}, latest) : latest);
    }
    if (sent_.empty()) return failed("nothing was sent");
    const Sent sent = sent_.front();
    sent_.pop_front();
    last_ = when.any ? sent.at : when.from;
    if (sent.at + tolerance < when.from || sent.at > latest) {
        failed("sent at " + std::to_string(double((sent.at - start_).ns) / 1e9) + " s");
    }
    const DrillPacket got = read(sent.segment);
    if (expected.stamp && got.stamp && !clock_offset_) clock_offset_ = *got.stamp - *expected.stamp;
    const std::string why = difference(expected, got);
    if (!why.empty()) failed(why);
    until(std::max(host_->now, when.from));
}

DrillPacket Drill::read(const Octets& s) {
    DrillPacket got;
    for (int i = 0; letters[i] != 0; ++i) {
        if ((s.at(13) >> i & 1) != 0) got.flags += letters[i];
    }
    if ((s[13] & 2) != 0) {
        our_first_ = get32(s, 4);
        our_port_ = get16(s, 0);
        peer_port_ = get16(s, 2);
    }
    const size_t offset = size_t(s.at(12)) / 16 * 4;
    got.begin = get32(s, 4) - our_first_;
    got.end = got.begin + uint32_t(s.size() - offset);
    if ((s[13] & 16) != 0) got.ack = get32(s, 8) - peer_first_;
    got.window = get16(s, 14);
    if ((s[13] & 32) != 0) got.urgent = get16(s, 18);
    if (part(s, offset, s.size()) != pattern_octets(got.begin, s.size() - offset)) {
        failed("we sent wrong data");
    }
    read_options(got, part(s, 20, offset));
    return got;
}

void Drill::read_options(DrillPacket& got, const Octets& o) {
    for (size_t at = 0; at < o.size() && o[at] != 0;) {
        if (o[at] == 1) {
            ++at;
            continue;
        }
        const size_t length = o.at(at + 1);
        if (o[at] == 2) got.mss = get16(o, at + 2);
        if (o[at] == 3) got.scale = o.at(at + 2);
        if (o[at] == 4) got.blocks_permitted = true;
        if (o[at] == 8) {
            got.stamp = get32(o, at + 2);
            got.echo = get32(o, at + 6);
        }
        for (size_t block = at + 2; o[at] == 5 && block < at + length; block += 8) {
            got.blocks.emplace_back(
                get32(o, block) - peer_first_, get32(o, block + 4) - peer_first_
            );
        }
        at += length;
    }
}

/// Of timestamps only the echo is compared: how fast a clock ticks is each stack's own affair.
std::string Drill::difference(const DrillPacket& e, const DrillPacket& got) const {
    std::ostringstream text;
    if (e.flags != got.flags) text << "flags " << got.flags << " ";
    if (e.begin != got.begin || e.end != got.end) text << got.begin << ":" << got.end << " ";
    if (e.ack && e.ack != got.ack) text << "ack " << got.ack.value_or(0) << " ";
    if (e.window && e.window != got.window) text << "win " << *got.window << " ";
    if (e.urgent && e.urgent != got.urgent) text << "urg " << got.urgent.value_or(0) << " ";
    if (e.any_options) return text.str();
    if (e.mss != got.mss) text << "mss " << got.mss.value_or(0) << " ";
    if (e.scale != got.scale) text << "wscale " << got.scale.value_or(0) << " ";
    if (e.blocks_permitted != got.blocks_permitted) text << "sackOK ";
    if (e.stamp.has_value() != got.stamp.has_value()) text << "timestamps ";
    if (e.echo && got.echo && *e.echo != *got.echo) text << "ecr " << *got.echo << " ";
    if (e.blocks != got.blocks) {
        text << "sack";
        for (const auto& [begin, end] : got.blocks)
            text << " " << begin << ":" << end;
    }
    return text.str();
}

// --- Calls

std::optional<Drill::Call> Drill::parse_call(const std::string& text) {
    const auto open = text.find('('), equals = text.rfind(") =");
    if (open == text.npos || equals == text.npos || equals < open) return std::nullopt;
    Call result{.name = text.substr(0, open), .arguments = {}, .error = {}};
    result.arguments = split(text.substr(open + 1, equals - open - 1));
    std::istringstream rest{text.substr(equals + 3)};
    rest >> result.result >> result.error;
    if (result.error.starts_with("(")) result.error.clear();
    return result;
}

Drill::Descriptor& Drill::descriptor(const Call& call) {
    const long number = call.arguments.empty() ? -1 : std::atol(call.arguments[0].c_str());
    if (!sockets_.contains(number)) failed("no such descriptor");
    return sockets_[number];
}

void Drill::check(const Call& call, const Result<size_t>& got) {
    if (got ? call.result == long(*got)
            : call.result == -1 &&
                  (call.error.empty() || call.error == error_name(got.error().top()))) {
        return;
    }
    failed(call.name + " gave " + (got ? std::to_string(*got) : error_name(got.error().top())));
}

/// Calls that give a descriptor, or end well later: whatever number the script has for it.
void Drill::check_opened(const Call& call, const Result<net::SocketId>& made) {
    if (!made) return check(call, fail(made.error().top()));
    if (call.result < 0 && call.error != "EINPROGRESS") failed(call.name + " did not fail");
}

Result<size_t> Drill::write(Descriptor& at, size_t bytes) {
    const Octets data = pattern_octets(1 + at.written, bytes);
    const size_t taken = TRY(host_->stack->tcp_send(at.id, view(data), host_->now));
    at.written += uint32_t(taken);
    return taken;
}

Result<size_t> Drill::take(Descriptor& at, size_t bytes) {
    std::vector<std::byte> room(bytes);
    const auto got = host_->stack->tcp_receive(at.id, room, host_->now);
    if (!got && got.error() == Err::end_of_file) return size_t{0};
    if (!got) return got;
    if (octets_of(Bytes{room}.first(*got)) != pattern_octets(1 + at.was_read, *got)) {
        failed("read wrong data");
    }
    at.was_read += uint32_t(*got);
    return *got;
}

/// socket, bind, listen, accept and connect.
void Drill::open(const Call& call) {
    net::Stack& stack = *host_->stack;
    if (call.name == "socket") {
        sockets_[call.result] = {};
    } else if (call.name == "listen") {
        const uint16_t backlog = uint16_t(std::max(1, std::atoi(call.arguments.at(1).c_str())));
        const net::Endpoint here{net::ipv4_any, net::Port{uint16_t(our_port_)}};
        const auto made = stack.tcp_listen(here, backlog, 1);
        if (made) descriptor(call).id = *made;
        check(call, made ? Result<size_t>{size_t{0}} : Result<size_t>{fail(made.error().top())});
    } else if (call.name == "accept") {
        const auto made = stack.tcp_accept(descriptor(call).id, 2);
        if (made) sockets_[call.result] = {.id = *made};
        check_opened(call, made);
    } else {
        const net::Endpoint there{address(peer_ip), net::Port{8080}};
        const auto made = stack.tcp_connect(there, {}, 2, host_->now);
        if (made) descriptor(call).id = *made;
        check_opened(call, made);
    }
}

void Drill::call(const Call& call) {
    net::Stack& stack = *host_->stack;
    const std::string& name = call.name;
    const auto size = [&](size_t i) { return size_t(std::atol(call.arguments.at(i).c_str())); };
    const auto nothing = [](const Result<>& got) {
        return got ? Result<size_t>{size_t{0}} : Result<size_t>{fail(got.error().top())};
    };
    if (name == "socket" || name == "listen" || name == "accept" || name == "connect") {
        open(call);
    } else if (name == "write" || name == "send" || name == "sendto") {
        check(call, write(descriptor(call), size(2)));
    } else if (name == "read" || name == "recv" || name == "recvfrom") {
        check(call, take(descriptor(call), size(2)));
    } else if (name == "close") {
        if (descriptor(call).id != net::SocketId{}) {
            check(call, nothing(stack.tcp_close(descriptor(call).id, host_->now)));
        }
    } else if (name == "shutdown") {
        check(call, nothing(stack.tcp_shutdown(descriptor(call).id, host_->now)));
    } else if (name == "setsockopt") {
        if (call.arguments.at(2) == "TCP_NODELAY" && descriptor(call).id != net::SocketId{}) {
            const bool on = call.arguments.at(3) != "[0]";
            check(
                call,
                nothing(stack.tcp_configure(descriptor(call).id, {.no_delay = on}, host_->now))
            );
        }
    } else if (name != "bind" && name != "fcntl" && name != "getsockopt" && name != "ioctl") {
        failed("no such call: " + name);
    }
    collect();
}

} // namespace bench
