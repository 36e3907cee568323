#include "net/dns/message.hpp"

#include <algorithm>

namespace net::dns {
namespace {

constexpr uint16_t type_a = 1, type_cname = 5, class_internet = 1;
constexpr unsigned aliases_max = 8, records_max = 64;

/// RFC 1035 4.1.1.
struct Header {
    static constexpr uint16_t is_answer = 0x8000, operation = 0x7800, truncated = 0x0200,
                              recurse = 0x0100, outcome = 0x000f;
    static constexpr uint16_t name_error = 3;

    Be<uint16_t> id, flags, questions, answers, authorities, others;
};

static_assert(sizeof(Header) == 12);

struct Question {
    Be<uint16_t> type, net_class;
};

struct Record {
    Be<uint16_t> type, net_class;
    Be<uint32_t> seconds;
    Be<uint16_t> bytes;
};

static_assert(sizeof(Record) == 10);

template <class T>
Result<T> take(Bytes message, size_t& at) {
    if (at > message.size() || message.size() - at < sizeof(T)) return fail(Err::malformed);
    T value;
    __builtin_memcpy(&value, message.data() + at, sizeof value);
    at += sizeof value;
    return value;
}

constexpr uint8_t lower(std::byte b) {
    const auto c = std::to_integer<uint8_t>(b);
    return c >= 'A' && c <= 'Z' ? uint8_t(c + 32) : c;
}

/// One resource record; its data begin at `data`.
struct Found {
    Name owner;
    Record record;
    size_t data{};
};

Result<Found> take_record(Bytes message, size_t& at) {
    Found found;
    found.owner = TRY(Name::read(message, at));
    found.record = TRY(take<Record>(message, at));
    found.data = at;
    if (message.size() - at < found.record.bytes) return fail(Err::malformed);
    at += found.record.bytes;
    return found;
}

/// Whether the answer repeats our question, and only it.
Result<bool> repeats(Bytes message, size_t& at, const Header& header, const Name& name) {
    if (header.questions != 1) return false;
    const Name asked = TRY(Name::read(message, at));
    const auto question = TRY(take<Question>(message, at));
    return asked == name && question.type == type_a && question.net_class == class_internet;
}

/// One walk through the records: takes addresses of answer.name, or follows one alias of it.
Result<bool> follow(Bytes message, size_t at, unsigned records, Answer& answer) {
    for (unsigned i = 0; i < std::min(records, records_max); ++i) {
        const Found found = TRY(take_record(message, at));
        const Record& record = found.record;
        if (record.net_class != class_internet || !(found.owner == answer.name)) continue;
        if (record.type == type_a) {
            if (record.bytes != 4) return fail(Err::malformed);
            size_t data = found.data;
            const Ipv4Address address{uint32_t(TRY(take<Be<uint32_t>>(message, data)))};
            answer.seconds = std::min(answer.seconds, uint32_t(record.seconds));
            if (answer.count < addresses_max) answer.addresses[answer.count++] = address;
        } else if (record.type == type_cname && answer.count == 0) {
            size_t data = found.data;
            answer.name = TRY(Name::read(message, data));
            answer.seconds = std::min(answer.seconds, uint32_t(record.seconds));
            return true;
        }
    }
    return false;
}

Result<Answer::Kind> judge(Bytes message, uint16_t id, Answer& answer) {
    size_t at = 0;
    const auto header = TRY(take<Header>(message, at));
    const uint16_t flags = header.flags;
    if (header.id != id || (flags & Header::is_answer) == 0 || (flags & Header::operation) != 0)
        return Answer::Kind::foreign;
    if (!TRY(repeats(message, at, header, answer.name))) return Answer::Kind::foreign;
    if ((flags & Header::truncated) != 0) return Answer::Kind::truncated;
    const uint16_t outcome = flags & Header::outcome;
    if (outcome == Header::name_error) return Answer::Kind::no_name;
    if (outcome != 0) return Answer::Kind::failed;
    unsigned aliases = 0;
    while (TRY(follow(message, at, header.answers, answer)))
        if (++aliases == aliases_max) return Answer::Kind::failed; // a circle, or a joke
    if (answer.count != 0) return Answer::Kind::addresses;
    return aliases != 0 ? Answer::Kind::alias : Answer::Kind::no_data;
}

} // namespace

Result<> Name::append(Bytes label) {
    if (label.size() > label_max || size_ + 1 + label.size() > bytes_max)
        return fail(Err::bad_argument);
    bytes_[size_++] = std::byte(label.size());
    std::ranges::copy(label, bytes_.begin() + std::ptrdiff_t(size_));
    size_ += label.size();
    return {};
}

Result<Name> Name::parse(std::string_view text) {
    if (text.ends_with('.')) text.remove_suffix(1);
    Name name;
    for (bool more = true; more;) {
        const size_t end = std::min(text.find('.'), text.size());
        if (end == 0) return fail(Err::bad_argument);
        TRY_VOID(name.append(std::as_bytes(std::span{text.data(), end})));
        more = end < text.size();
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    TRY_VOID(name.append({})); // the root
    return name;
}

Result<Name> Name::read(Bytes message, size_t& at) {
    Name name;
    size_t from = at;
    bool jumped = false;
    for (size_t lowest = at;;) { // each pointer leads further back, so there is an end
        const auto length = std::to_integer<uint8_t>(TRY(take<std::byte>(message, from)));
        if (length >= 0xc0) {
            const auto low = std::to_integer<uint8_t>(TRY(take<std::byte>(message, from)));
            if (!jumped) at = from;
            jumped = true;
            const size_t to = size_t(length & 0x3f) << 8 | low;
            if (to >= lowest) return fail(Err::malformed);
            from = lowest = to;
            continue;
        }
        if (length > label_max || message.size() - from < length) return fail(Err::malformed);
        if (!name.append(message.subspan(from, length))) return fail(Err::malformed);
        from += length;
        if (length == 0) break;
    }
    if (!jumped) at = from;
    return name;
}

std::string_view Name::text(std::span<char> room) const {
    size_t used = 0;
    const auto put = [&](char c) {
        if (used < room.size()) room[used++] = c;
    };
    for (size_t at = 0; at < size_ && bytes_[at] != std::byte{0};) {
        if (at != 0) put('.');
        const size_t end = at + 1 + std::to_integer<size_t>(bytes_[at]);
        for (++at; at < end; ++at) {
            const auto c = std::to_integer<uint8_t>(bytes_[at]);
            put(c > ' ' && c < 0x7f ? char(c) : '?');
        }
    }
    return {room.data(), used};
}

bool operator==(const Name& a, const Name& b) {
    return std::ranges::equal(a.bytes(), b.bytes(), {}, lower, lower);
}

Result<Bytes> write_question(uint16_t id, const Name& name, MutableBytes room) {
    const Header header{
        .id = id,
        .flags = Header::recurse,
        .questions = uint16_t{1},
        .answers = {},
        .authorities = {},
        .others = {},
    };
    const Question question{.type = type_a, .net_class = class_internet};
    const size_t size = sizeof header + name.bytes().size() + sizeof question;
    if (size > room.size()) return fail(Err::no_space);
    const auto header_bytes = std::as_bytes(std::span<const Header, 1>{&header, 1});
    const auto question_bytes = std::as_bytes(std::span<const Question, 1>{&question, 1});
    auto out = std::ranges::copy(header_bytes, room.begin()).out;
    out = std::ranges::copy(name.bytes(), out).out;
    std::ranges::copy(question_bytes, out);
    return Bytes{room.first(size)};
}

Answer read_answer(Bytes message, uint16_t id, const Name& name) {
    Answer answer;
    answer.name = name;
    answer.seconds = ~uint32_t{0};
    answer.kind = judge(message, id, answer).value_or(Answer::Kind::malformed);
    if (answer.kind != Answer::Kind::addresses) answer.count = 0;
    return answer;
}

} // namespace net::dns
