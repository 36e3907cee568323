#include "monitor/wire.hpp"

#include "interfaces/intermon.hpp"

namespace monitor {

namespace {

namespace wire = interfaces::intermon;
using Number = wire::Number;
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
    return pack(Number::hello, wire::HelloArguments{m.from, m.bell.apic, m.bell.vector});
}

Encoded pack(const Welcome& m) {
    return pack(Number::welcome, wire::WelcomeArguments{m.from, m.bell.apic, m.bell.vector});
}

Encoded pack(const CoreChange& m) {
    return pack(Number::core_change, wire::CoreChangeArguments{m.core, m.apic, uint32_t(m.state)});
}

Encoded pack(const NameChange& m) {
    return pack(Number::name_change, wire::NameChangeArguments{label(m.name), m.home, m.present});
}

Encoded pack(const Bind& m) {
    const wire::BindArguments arguments{
        m.binding, label(m.name), m.base, m.bytes, m.rights.raw, m.bell.apic, m.bell.vector
    };
    return pack(Number::bind, arguments);
}

Encoded pack(const BindAnswer& m) {
    const wire::BindAnswerArguments arguments{m.binding, m.status, m.bell.apic, m.bell.vector};
    return pack(Number::bind_answer, arguments);
}

Encoded pack(const Unbind& m) {
    return pack(Number::unbind, wire::UnbindArguments{m.binding, m.from_client});
}

Encoded pack(const Hand& m) {
    const wire::HandArguments arguments{
        uint32_t(m.kind), m.base, m.bytes, m.rights.raw, label(m.label)
    };
    return pack(Number::hand, arguments);
}

Encoded pack(const Connect& m) {
    const wire::ConnectArguments arguments{
        m.from, m.to, m.base, m.bytes, m.bell.apic, m.bell.vector
    };
    return pack(Number::connect, arguments);
}

Encoded pack(const Refused& m) {
    return pack(Number::refused, wire::RefusedArguments{m.to});
}

Result<abi::Rights> rights(uint32_t raw) {
    if (raw > abi::all_rights.raw) return fail(Err::malformed);
    return abi::Rights{static_cast<uint8_t>(raw)};
}

Result<Message> unpack_bind(Bytes bytes) {
    const auto m = TRY(wire::BindArguments::decode(bytes));
    return Bind{
        .binding = m.binding,
        .name = name_of(m.name),
        .base = m.base,
        .bytes = m.bytes,
        .rights = TRY(rights(m.rights)),
        .bell = {m.apic, m.vector},
    };
}

Result<Message> unpack_hand(Bytes bytes) {
    const auto m = TRY(wire::HandArguments::decode(bytes));
    if (m.kind >= abi::kind_names.size()) return fail(Err::malformed);
    return Hand{abi::Kind(m.kind), m.base, m.bytes, TRY(rights(m.rights)), name_of(m.label)};
}

} // namespace

Encoded encode(const Message& message) {
    return std::visit([](const auto& content) { return pack(content); }, message);
}

Result<Message> decode(uint16_t number, Bytes bytes) {
    switch (Number(number)) {
    case Number::hello: {
        const auto m = TRY(wire::HelloArguments::decode(bytes));
        return Hello{m.from, {m.apic, m.vector}};
    }
    case Number::welcome: {
        const auto m = TRY(wire::WelcomeArguments::decode(bytes));
        return Welcome{m.from, {m.apic, m.vector}};
    }
    case Number::core_change: {
        const auto m = TRY(wire::CoreChangeArguments::decode(bytes));
        return CoreChange{m.which, m.apic, CoreState(m.state)};
    }
    case Number::name_change: {
        const auto m = TRY(wire::NameChangeArguments::decode(bytes));
        return NameChange{name_of(m.name), m.home, m.present};
    }
    case Number::bind: return unpack_bind(bytes);
    case Number::bind_answer: {
        const auto m = TRY(wire::BindAnswerArguments::decode(bytes));
        return BindAnswer{m.binding, m.status, {m.apic, m.vector}};
    }
    case Number::unbind: {
        const auto m = TRY(wire::UnbindArguments::decode(bytes));
        return Unbind{m.binding, m.from_client};
    }
    case Number::hand: return unpack_hand(bytes);
    case Number::connect: {
        const auto m = TRY(wire::ConnectArguments::decode(bytes));
        return Connect{m.from, m.to, m.base, m.bytes, {m.apic, m.vector}};
    }
    case Number::refused: return Refused{TRY(wire::RefusedArguments::decode(bytes)).to};
    }
    return fail(Err::bad_operation);
}

} // namespace monitor
