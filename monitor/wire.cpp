#include "monitor/wire.hpp"

#include <bit>

#include "interfaces/intermon.hpp"

namespace monitor {

namespace {

namespace wire = interfaces::intermon;
using Number = wire::Number;
static_assert(wire::version == protocol_version);
using Label = Text<abi::name_bytes>;

Label label(const Name& name) {
    return Label::cut(name.view());
}

/// Any bytes become a name here; whether it is a good one is the protocol's question.
Name name_of(const Label& text) {
    Name name;
    std::ranges::copy(text.view(), name.text.begin());
    return name;
}

template <class T>
Encoded pack(Number number, const T& arguments) {
    static_assert(T::wire_bytes <= sizeof(Encoded::storage));
    Encoded out{.number = static_cast<uint16_t>(number)};
    rpc::Writer writer{out.storage};
    arguments.encode(writer);
    out.size = writer.written();
    return out;
}

Encoded pack(const Hello& m) {
    const wire::HelloArguments arguments{m.from, m.bell.apic, m.bell.vector, m.version, m.doorstep};
    return pack(Number::hello, arguments);
}

Encoded pack(const Welcome& m) {
    const wire::WelcomeArguments arguments{m.from, m.bell.apic, m.bell.vector, m.version, m.life};
    return pack(Number::welcome, arguments);
}

Encoded pack(const CoreChange& m) {
    const wire::CoreChangeArguments arguments{
        m.core, m.parent, uint32_t(m.state), m.version, m.apic, m.vector, m.doorstep, m.loud
    };
    return pack(Number::core_change, arguments);
}

Encoded pack(const OwnerChange& m) {
    return pack(
        Number::owner_change, wire::OwnerChangeArguments{m.base, m.bytes, m.owner, m.version}
    );
}

Encoded pack(const Names& m) {
    return pack(Number::names, wire::NamesArguments{m.end});
}

Encoded pack(const Cleared& m) {
    const auto& by = m.by.words();
    return pack(
        Number::cleared, wire::ClearedArguments{m.core, m.version, by[0], by[1], by[2], by[3]}
    );
}

Encoded pack(const LineCosts& m) {
    const auto read = std::bit_cast<std::array<uint64_t, 4>>(m.read);
    const wire::LineCostsArguments arguments{
        m.core, m.version, m.write, read[0], read[1], read[2], read[3]
    };
    return pack(Number::line_costs, arguments);
}

Encoded pack(const Suspect& m) {
    return pack(Number::suspect, wire::SuspectArguments{m.core, m.leaves});
}

Encoded pack(const Ping&) {
    return Encoded{.number = static_cast<uint16_t>(Number::ping)};
}

Encoded pack(const Pong&) {
    return Encoded{.number = static_cast<uint16_t>(Number::pong)};
}

Encoded pack(const NameChange& m) {
    return pack(Number::name_change, wire::NameChangeArguments{label(m.name), m.home, m.present});
}

Encoded pack(const Bind& m) {
    const wire::BindArguments arguments{
        m.binding,
        m.lend,
        label(m.name),
        m.base,
        m.bytes,
        m.rights.raw,
        m.bell.apic,
        m.bell.vector,
    };
    return pack(Number::bind, arguments);
}

Encoded pack(const BindAnswer& m) {
    const wire::BindAnswerArguments arguments{
        m.binding, m.status, m.bell.apic, m.bell.vector, m.refused
    };
    return pack(Number::bind_answer, arguments);
}

Encoded pack(const Unbind& m) {
    return pack(Number::unbind, wire::UnbindArguments{m.binding, m.from_client});
}

Encoded pack(const Hand& m) {
    const wire::HandArguments arguments{
        m.number, uint32_t(m.kind), m.base, m.bytes, m.rights.raw, label(m.label), m.version
    };
    return pack(Number::hand, arguments);
}

Encoded pack(const HandAnswer& m) {
    return pack(Number::hand_answer, wire::HandAnswerArguments{m.number, m.status});
}

Encoded pack(const Lend& m) {
    const wire::LendArguments arguments{
        m.lend,
        m.end.sender,
        m.end.binding,
        m.end.from_client,
        m.token,
        uint8_t(m.kind),
        m.base,
        m.bytes,
        m.rights.raw,
        m.bell.apic,
        m.bell.vector,
        m.status,
    };
    return pack(Number::lend, arguments);
}

Encoded pack(const LendAnswer& m) {
    return pack(Number::lend_answer, wire::LendAnswerArguments{m.lend, m.status});
}

Encoded pack(const Relend& m) {
    const wire::RelendArguments arguments{
        m.number, m.to, m.binding, m.from_client, m.token, m.lend, m.rights.raw
    };
    return pack(Number::relend, arguments);
}

Encoded pack(const RelendAnswer& m) {
    return pack(Number::relend_answer, wire::RelendAnswerArguments{m.number, m.status});
}

Encoded pack(const Return& m) {
    return pack(Number::give_back, wire::GiveBackArguments{m.lend});
}

Encoded pack(const Revoke& m) {
    const auto& beyond = m.beyond.words();
    const wire::RevokeArguments arguments{
        m.operation,
        m.owner,
        m.life,
        m.round,
        m.base,
        m.bytes,
        beyond[0],
        beyond[1],
        beyond[2],
        beyond[3],
    };
    return pack(Number::revoke, arguments);
}

Encoded pack(const Revoked& m) {
    return pack(Number::revoked, wire::RevokedArguments{m.operation, m.owner, m.round, m.complete});
}

Encoded pack(const Silence& m) {
    return pack(Number::silence, wire::SilenceArguments{m.core});
}

Encoded pack(const Silent& m) {
    return pack(Number::silent, wire::SilentArguments{m.core, m.done});
}

Result<abi::Rights> rights(uint32_t raw) {
    if (raw > abi::all_rights.raw) return fail(Err::malformed);
    return abi::Rights{static_cast<uint8_t>(raw)};
}

Result<abi::Kind> kind(uint32_t raw) {
    if (raw >= abi::kind_names.size()) return fail(Err::malformed);
    return abi::Kind(raw);
}

// -- what came, field by field --

Result<Message> unpack(const wire::HelloArguments& m) {
    return Hello{m.from, {m.apic, m.vector}, m.speaks, m.doorstep};
}

Result<Message> unpack(const wire::WelcomeArguments& m) {
    return Welcome{m.from, {m.apic, m.vector}, m.speaks, m.life};
}

Result<Message> unpack(const wire::CoreChangeArguments& m) {
    return CoreChange{
        m.which, m.parent, CoreState(m.state), m.change, m.apic, m.vector, m.doorstep, m.loud
    };
}

Result<Message> unpack(const wire::OwnerChangeArguments& m) {
    return OwnerChange{m.base, m.bytes, m.owner, m.change};
}

Result<Message> unpack(const wire::NamesArguments& m) {
    return Names{m.end};
}

Result<Message> unpack(const wire::NameChangeArguments& m) {
    return NameChange{name_of(m.name), m.home, m.present};
}

Result<Message> unpack(const wire::ClearedArguments& m) {
    return Cleared{m.which, m.change, CoreSet{{m.by0, m.by1, m.by2, m.by3}}};
}

Result<Message> unpack(const wire::LineCostsArguments& m) {
    const std::array read{m.read0, m.read1, m.read2, m.read3};
    return LineCosts{m.which, m.change, m.write, std::bit_cast<LineCosts::Row>(read)};
}

Result<Message> unpack(const wire::SuspectArguments& m) {
    return Suspect{m.which, m.leaves};
}

Result<Message> unpack(const wire::BindArguments& m) {
    return Bind{
        .binding = m.binding,
        .lend = m.lend,
        .name = name_of(m.name),
        .base = m.base,
        .bytes = m.bytes,
        .rights = TRY(rights(m.rights)),
        .bell = {m.apic, m.vector},
    };
}

Result<Message> unpack(const wire::BindAnswerArguments& m) {
    return BindAnswer{m.binding, m.status, {m.apic, m.vector}, m.refused};
}

Result<Message> unpack(const wire::UnbindArguments& m) {
    return Unbind{m.binding, m.from_client};
}

Result<Message> unpack(const wire::HandArguments& m) {
    return Hand{
        m.number,
        TRY(kind(m.kind)),
        m.base,
        m.bytes,
        TRY(rights(m.rights)),
        name_of(m.label),
        m.change,
    };
}

Result<Message> unpack(const wire::HandAnswerArguments& m) {
    return HandAnswer{m.number, m.status};
}

Result<Message> unpack(const wire::LendArguments& m) {
    return Lend{
        .lend = m.lend,
        .end = {m.sender, m.binding, m.from_client},
        .token = m.token,
        .kind = TRY(kind(m.kind)),
        .base = m.base,
        .bytes = m.bytes,
        .rights = TRY(rights(m.rights)),
        .bell = {m.apic, m.vector},
        .status = m.status,
    };
}

Result<Message> unpack(const wire::LendAnswerArguments& m) {
    return LendAnswer{m.lend, m.status};
}

Result<Message> unpack(const wire::RelendArguments& m) {
    return Relend{
        .number = m.number,
        .to = m.to,
        .binding = m.binding,
        .from_client = m.from_client,
        .token = m.token,
        .lend = m.lend,
        .rights = TRY(rights(m.rights)),
    };
}

Result<Message> unpack(const wire::RelendAnswerArguments& m) {
    return RelendAnswer{m.number, m.status};
}

Result<Message> unpack(const wire::GiveBackArguments& m) {
    return Return{m.lend};
}

Result<Message> unpack(const wire::RevokeArguments& m) {
    return Revoke{
        .operation = m.operation,
        .owner = m.owner,
        .life = m.life,
        .round = m.round,
        .base = m.base,
        .bytes = m.bytes,
        .beyond = CoreSet{{m.beyond0, m.beyond1, m.beyond2, m.beyond3}},
    };
}

Result<Message> unpack(const wire::RevokedArguments& m) {
    return Revoked{m.operation, m.owner, m.round, m.complete};
}

Result<Message> unpack(const wire::SilenceArguments& m) {
    return Silence{m.which};
}

Result<Message> unpack(const wire::SilentArguments& m) {
    return Silent{m.which, m.done};
}

template <class Arguments>
Result<Message> unpack(Bytes bytes) {
    return unpack(TRY(Arguments::decode(bytes)));
}

} // namespace

Encoded encode(const Message& message) {
    return std::visit([](const auto& content) { return pack(content); }, message);
}

Result<Message> decode(uint16_t number, Bytes bytes) {
    switch (Number(number)) {
    case Number::hello: return unpack<wire::HelloArguments>(bytes);
    case Number::welcome: return unpack<wire::WelcomeArguments>(bytes);
    case Number::core_change: return unpack<wire::CoreChangeArguments>(bytes);
    case Number::owner_change: return unpack<wire::OwnerChangeArguments>(bytes);
    case Number::names: return unpack<wire::NamesArguments>(bytes);
    case Number::name_change: return unpack<wire::NameChangeArguments>(bytes);
    case Number::cleared: return unpack<wire::ClearedArguments>(bytes);
    case Number::line_costs: return unpack<wire::LineCostsArguments>(bytes);
    case Number::suspect: return unpack<wire::SuspectArguments>(bytes);
    case Number::ping: return Ping{};
    case Number::pong: return Pong{};
    case Number::bind: return unpack<wire::BindArguments>(bytes);
    case Number::bind_answer: return unpack<wire::BindAnswerArguments>(bytes);
    case Number::unbind: return unpack<wire::UnbindArguments>(bytes);
    case Number::hand: return unpack<wire::HandArguments>(bytes);
    case Number::hand_answer: return unpack<wire::HandAnswerArguments>(bytes);
    case Number::lend: return unpack<wire::LendArguments>(bytes);
    case Number::lend_answer: return unpack<wire::LendAnswerArguments>(bytes);
    case Number::relend: return unpack<wire::RelendArguments>(bytes);
    case Number::relend_answer: return unpack<wire::RelendAnswerArguments>(bytes);
    case Number::give_back: return unpack<wire::GiveBackArguments>(bytes);
    case Number::revoke: return unpack<wire::RevokeArguments>(bytes);
    case Number::revoked: return unpack<wire::RevokedArguments>(bytes);
    case Number::silence: return unpack<wire::SilenceArguments>(bytes);
    case Number::silent: return unpack<wire::SilentArguments>(bytes);
    }
    return fail(Err::bad_operation);
}

} // namespace monitor
