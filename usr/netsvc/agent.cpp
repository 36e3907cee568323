#include "usr/netsvc/agent.hpp"

#include <algorithm>
#include <bit>

#include "lib/base/crc32.hpp"
#include "lib/base/log.hpp"
#include "lib/base/pattern.hpp"
#include "lib/bsd/errors.hpp"

namespace netsvc {

namespace {

using socket_api::Option;

/// As a process of Linux counts: below are the standard streams.
constexpr uint32_t first_handle = 3;

struct OptionWord {
    std::string_view name;
    Option option;
};

constexpr std::array option_words = {
    OptionWord{"nodelay", Option::no_delay},
    OptionWord{"keepalive", Option::keep_alive},
    OptionWord{"keepidle", Option::keep_idle},
    OptionWord{"keepintvl", Option::keep_interval},
    OptionWord{"keepcnt", Option::keep_count},
    OptionWord{"rcvbuf", Option::receive_buffer},
    OptionWord{"sndbuf", Option::send_buffer},
    OptionWord{"reuseaddr", Option::reuse_address},
    OptionWord{"oobinline", Option::urgent_inline},
    OptionWord{"mss", Option::largest_segment},
    OptionWord{"broadcast", Option::broadcast},
    OptionWord{"error", Option::error},
    OptionWord{"cork", Option::cork},
    OptionWord{"tos", Option::service},
    OptionWord{"ttl", Option::time_to_live},
    OptionWord{"usertimeout", Option::user_timeout},
    OptionWord{"defer", Option::defer_accept},
    OptionWord{"quickack", Option::quick_ack},
};

Result<Option> option_named(std::string_view name) {
    for (const OptionWord& word : option_words)
        if (word.name == name) return word.option;
    return fail(Err::unsupported);
}

/// Poll's letters for each set of what may have happened, so that they outlive their task.
constexpr std::array ready_bits{
    socket_api::READABLE,
    socket_api::WRITABLE,
    socket_api::ERROR,
    socket_api::HANG_UP,
    socket_api::URGENT
};
constexpr std::string_view ready_letters = "ioehp";

using LettersOfAll = std::array<std::array<char, ready_bits.size()>, 1 << ready_bits.size()>;

constexpr LettersOfAll letters_of_all = [] {
    LettersOfAll all{};
    for (size_t set = 0; set < all.size(); ++set) {
        size_t at = 0;
        for (size_t i = 0; i < ready_bits.size(); ++i)
            if ((set >> i & 1) != 0) all[set][at++] = ready_letters[i];
    }
    return all;
}();

std::string_view letters_of(uint32_t happened) {
    size_t set = 0;
    for (size_t i = 0; i < ready_bits.size(); ++i)
        if ((happened & ready_bits[i]) != 0) set |= size_t{1} << i;
    const auto& letters = letters_of_all[set];
    return first_of({letters.data(), letters.size()}, size_t(std::popcount(set)));
}

/// Linux counts its own administration in: it answers twice what was asked for, within limits, and
/// these without being asked (man 7 socket, tcp).
uint32_t buffer_as_linux(Option option, bool is_stream, uint32_t bytes) {
    constexpr uint32_t most_asked = 212992;
    const bool receives = option == Option::receive_buffer;
    if (bytes == 0 && !is_stream) return most_asked;
    if (bytes == 0) return receives ? 131072 : 16384;
    return std::max(2 * std::min(bytes, most_asked), receives ? 2304u : 4608u);
}

Result<os::SocketAddress> address_in(Words& words) {
    const auto ip = parse_ipv4(words.next());
    if (!ip) return fail(Err::bad_argument);
    const auto octet = [&](int shift) { return static_cast<uint8_t>(*ip >> shift); };
    const auto port = static_cast<uint16_t>(TRY(words.number(65535)));
    return os::SocketAddress{{octet(24), octet(16), octet(8), octet(0)}, port};
}

void put_address(TextWriter& out, const os::SocketAddress& address) {
    std::array<char, 24> text;
    const auto& ip = address.ip;
    out.put(format_to(text, " {}.{}.{}.{} {}", ip[0], ip[1], ip[2], ip[3], address.port));
}

void put_received(TextWriter& out, Bytes received) {
    std::array<char, 16> text;
    out.put(format_to(text, " {:08x}", crc32(received)));
    if (!received.empty()) out.put(' ');
    constexpr std::string_view digits = "0123456789abcdef";
    for (const std::byte byte :
         received.first(std::min<size_t>(received.size(), Agent::shown_bytes)))
        for (const int shift : {4, 0})
            out.put(digits[std::to_integer<size_t>(byte) >> shift & 15]);
}

} // namespace

async::Task<> Agent::serve() {
    os::Datagrams socket = co_await os::Datagrams::open(network_, {{}, port});
    const auto letter = co_await network_.chunk();
    const auto data = co_await network_.chunk();
    for (;;) {
        const auto got = co_await async::result_of(socket.receive(letter));
        if (!got && got.error() == Err::peer_gone) co_await fail(got.error());
        if (!got) { // no memory, say: it is there again later
            co_await network_.loop().sleep_for(milliseconds(20));
            continue;
        }
        const GivenAnswers::Asker asker{got->from.ip, got->from.port};
        const std::span<char> text = text_room(letter.bytes());
        Words words{{text.data(), got->bytes}};
        const auto id = Text<GivenAnswers::id_bytes>::from(words.next());
        if (!id || id->empty()) continue; // nothing that an answer could name
        std::string_view answer = given_.find(asker, id->view());
        std::array<char, GivenAnswers::answer_bytes> room;
        TextWriter out{room};
        if (answer.empty()) {
            out.put(id->view());
            const auto done = co_await async::result_of(carry_out(words, data, out));
            if (!done) continue; // no memory to carry it out in: it will be asked again
            answer = out.text();
            given_.keep(asker, id->view(), answer);
        }
        std::ranges::copy(answer, text.begin());
        const auto bytes = static_cast<uint32_t>(answer.size());
        co_await async::result_of(socket.send(letter, bytes, got->from));
    }
}

async::Task<> Agent::carry_out(Words& words, const os::Network::Chunk& data, TextWriter& answer) {
    const auto done = co_await async::result_of(outcome(words, data));
    std::array<char, 32> text;
    if (!done) {
        answer.put(" -1 ");
        answer.put(bsd::word_of(done.error().top()).name);
        co_return {};
    }
    answer.put(format_to(text, " {} OK", done->value));
    if (done->address) put_address(answer, *done->address);
    if (done->shows) put_received(answer, Bytes{data.bytes()}.first(done->received));
    if (done->text.empty()) co_return {};
    answer.put(' ');
    answer.put(done->text);
    co_return {};
}

async::Task<Agent::Outcome> Agent::outcome(Words& words, const os::Network::Chunk& data) {
    const std::string_view verb = words.next();
    if (verb == "hello") co_return Outcome{.value = 1, .text = "netsvc-agent 1"};
    if (verb == "socket") co_return co_await open(words.next());
    if (verb == "reset") co_return co_await reset();
    const auto handle = words.number();
    const uint32_t socket = co_await find(handle ? *handle : 0);
    if (verb == "close") co_return co_await close(*handle, socket);
    if (verb == "setopt") co_return co_await set_option(*handle, socket, words);
    if (verb == "getopt") co_return co_await get_option(*handle, socket, words);
    co_return co_await by_socket(verb, socket, words, data);
}

async::Task<Agent::Outcome> Agent::by_socket(
    std::string_view verb, uint32_t socket, Words& words, const os::Network::Chunk& data
) {
    if (verb == "bind") co_return co_await bind(socket, words);
    if (verb == "accept") co_return co_await accept(socket);
    if (verb == "connect") co_return co_await connect(socket, words);
    if (verb == "send") co_return co_await send(socket, words, data);
    if (verb == "sendto") co_return co_await send_to(socket, words, data);
    if (verb == "recv") co_return co_await receive(socket, words, data);
    if (verb == "poll") co_return co_await poll(socket, data);
    if (verb == "shutdown") co_return co_await shut_down(socket, words);
    if (verb == "name") co_return co_await name(socket, false);
    if (verb == "peer") co_return co_await name(socket, true);
    if (verb == "inq") co_return co_await queue(socket, false);
    if (verb == "outq") co_return co_await queue(socket, true);
    const auto number = words.number();
    if (verb == "listen") {
        co_await net().listen(socket, co_await number);
        co_return Outcome{};
    }
    if (verb != "linger") co_await fail(Err::bad_argument);
    // A negative number is none: it takes the lingering off.
    co_await net().set_option(socket, Option::linger, number ? *number : ~0u);
    co_return Outcome{};
}

// --- Handles

Result<uint32_t> Agent::keep(uint32_t socket, bool is_stream) {
    const auto free = std::ranges::find_if(held_, [](const auto& held) { return !held; });
    if (free == held_.end()) return fail(Err::no_slots);
    *free = Held{socket, is_stream};
    return static_cast<uint32_t>(free - held_.begin()) + first_handle;
}

Result<uint32_t> Agent::find(uint32_t handle) const {
    const uint32_t index = handle - first_handle;
    if (index >= held_.size() || !held_[index]) return fail(Err::not_found);
    return held_[index]->socket;
}

async::Task<Agent::Outcome> Agent::open(std::string_view kind) {
    if (kind == "tcp6" || kind == "udp6") co_await fail(Err::family_unsupported);
    const bool is_stream = kind == "tcp";
    if (!is_stream && kind != "udp") co_await fail(Err::bad_argument);
    const auto opened =
        co_await net().open(is_stream ? socket_api::Kind::stream : socket_api::Kind::datagram);
    const auto handle = keep(opened.socket, is_stream);
    if (!handle) co_await net().close(opened.socket);
    if (handle) co_await net().set_option(opened.socket, Option::non_blocking, 1);
    co_return Outcome{.value = co_await handle};
}

async::Task<Agent::Outcome> Agent::close(uint32_t handle, uint32_t socket) {
    held_[handle - first_handle].reset();
    co_await net().close(socket);
    co_return Outcome{};
}

/// With resets, so that nothing of one script goes on into the next.
async::Task<Agent::Outcome> Agent::reset() {
    for (auto& held : held_) {
        if (!held) continue;
        const uint32_t socket = held->socket;
        held.reset();
        co_await async::result_of(net().abort(socket));
    }
    co_return Outcome{};
}

// --- Connections

async::Task<Agent::Outcome> Agent::bind(uint32_t socket, Words& words) {
    const os::SocketAddress at = co_await address_in(words);
    co_await net().bind(socket, at.ip, at.port);
    co_return Outcome{};
}

async::Task<Agent::Outcome> Agent::accept(uint32_t socket) {
    const auto got = co_await net().accept(socket);
    const auto handle = keep(got.connection, true);
    if (!handle) co_await net().abort(got.connection);
    co_return Outcome{
        .value = co_await handle, .address = os::SocketAddress{got.address, got.port}
    };
}

async::Task<Agent::Outcome> Agent::connect(uint32_t socket, Words& words) {
    const os::SocketAddress to = co_await address_in(words);
    co_await net().connect(socket, to.ip, to.port);
    co_return Outcome{};
}

async::Task<Agent::Outcome> Agent::shut_down(uint32_t socket, Words& words) {
    const std::string_view how = words.next();
    if (how == "rd") {
        co_await net().shutdown(socket, socket_api::How::read);
    } else if (how == "wr") {
        co_await net().shutdown(socket, socket_api::How::write);
    } else if (how == "rw") {
        co_await net().shutdown(socket, socket_api::How::both);
    } else {
        co_await fail(Err::bad_argument);
    }
    co_return Outcome{};
}

async::Task<Agent::Outcome> Agent::name(uint32_t socket, bool of_peer) {
    const auto names = co_await net().names(socket);
    if (!of_peer) co_return Outcome{.address = os::SocketAddress{names.local, names.local_port}};
    if (!names.connected) co_await fail(Err::not_connected);
    co_return Outcome{.address = os::SocketAddress{names.remote, names.remote_port}};
}

// --- Data

async::Task<Agent::Outcome>
Agent::send(uint32_t socket, Words& words, const os::Network::Chunk& data) {
    const uint32_t bytes = co_await words.number();
    const std::string_view third = words.next(), fourth = words.next();
    const bool urgent = third == "oob" || fourth == "oob";
    const auto start = parse_number(third);
    if (!third.empty() && !start && !urgent) co_await fail(Err::bad_argument);
    uint32_t done = 0;
    do {
        const uint32_t part = std::min(bytes - done, data.size());
        fill_pattern(data.bytes().first(part), (start ? *start : 0) + done);
        uint32_t taken = 0;
        if (urgent) {
            const auto sent =
                co_await async::result_of(net().send_urgent(socket, data.offset(), part));
            if (!sent && done == 0) co_await fail(sent.error());
            if (sent) taken = std::min(sent->sent, part);
        } else {
            const auto sent = co_await async::result_of(net().send(socket, data.offset(), part));
            if (!sent && done == 0) co_await fail(sent.error());
            if (sent) taken = std::min(sent->sent, part);
        }
        done += taken;
        if (taken < part) break;
    } while (done < bytes);
    co_return Outcome{.value = done};
}

async::Task<Agent::Outcome>
Agent::send_to(uint32_t socket, Words& words, const os::Network::Chunk& data) {
    const os::SocketAddress to = co_await address_in(words);
    const uint32_t bytes = co_await words.number();
    if (bytes > data.size()) co_await fail(Err::message_too_long);
    fill_pattern(data.bytes().first(bytes), 0);
    co_await net().send_to(socket, data.offset(), bytes, to.ip, to.port);
    co_return Outcome{.value = bytes};
}

async::Task<Agent::Outcome>
Agent::receive(uint32_t socket, Words& words, const os::Network::Chunk& data) {
    const uint32_t bytes = std::min(co_await words.number(), data.size());
    const std::string_view how = words.next();
    uint32_t received = 0;
    if (how == "oob") {
        const auto got = co_await net().receive_urgent(socket);
        data.bytes().front() = std::byte{got.value};
        received = 1;
    } else if (how == "peek") {
        received = (co_await net().peek(socket, data.offset(), bytes)).received;
    } else if (how.empty()) {
        received = (co_await net().receive(socket, data.offset(), bytes)).received;
    } else {
        co_await fail(Err::bad_argument);
    }
    received = std::min(received, data.size());
    co_return Outcome{.value = received, .received = received, .shows = true};
}

async::Task<Agent::Outcome> Agent::poll(uint32_t socket, const os::Network::Chunk& data) {
    using namespace socket_api;
    std::array<uint32_t, 3> entry{socket, READABLE | WRITABLE | URGENT, 0};
    std::ranges::copy(std::as_bytes(std::span{entry}), data.bytes().begin());
    co_await net().poll(data.offset(), 1, 0);
    std::ranges::copy(
        data.bytes().first(sizeof entry), std::as_writable_bytes(std::span{entry}).begin()
    );
    const std::string_view letters = letters_of(entry[2]);
    co_return Outcome{.value = letters.empty() ? 0 : 1, .text = letters};
}

async::Task<Agent::Outcome> Agent::queue(uint32_t socket, bool to_send) {
    const auto queues = co_await net().queues(socket);
    co_return Outcome{.value = to_send ? queues.send : queues.receive};
}

// --- Options

async::Task<Agent::Outcome> Agent::set_option(uint32_t handle, uint32_t socket, Words& words) {
    const Option option = co_await option_named(words.next());
    const auto value = words.number();
    if (!value) co_await fail(Err::bad_argument);
    // Streams alone have the options of TCP.
    const bool of_all = option <= Option::broadcast || option == Option::receive_buffer ||
                        option == Option::send_buffer;
    if (!of_all && !held_[handle - first_handle]->is_stream) co_await fail(Err::unsupported);
    co_await net().set_option(socket, option, *value);
    co_return Outcome{};
}

async::Task<Agent::Outcome> Agent::get_option(uint32_t handle, uint32_t socket, Words& words) {
    const Option option = co_await option_named(words.next());
    uint32_t value = (co_await net().option(socket, option)).value;
    const bool is_stream = held_[handle - first_handle]->is_stream;
    if (option == Option::receive_buffer || option == Option::send_buffer)
        value = buffer_as_linux(option, is_stream, value);
    if (option == Option::error && value != 0) value = bsd::word_of(static_cast<Err>(value)).number;
    co_return Outcome{.value = value};
}

} // namespace netsvc
