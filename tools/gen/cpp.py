"""The C++ header of an interface: values and codecs here, the two sides by transport."""
from gen import channel, local


def _struct(name, arguments):
    fields = "".join(
        f"    {a.cpp} {a.name}{'{Err::none}' if a.cpp == 'Fault' else '{}'};\n" for a in arguments
    )
    size = " + ".join(str(a.bytes) for a in arguments if a.on_wire) or "0"
    cap = next((a.name for a in arguments if a.is_cap and a.on_wire), None)
    where = f"    static constexpr auto capability() {{ return &{name}::{cap}; }}\n" if cap else ""
    return (
        f"struct {name} {{\n{fields}\n{where}"
        f"    static constexpr size_t wire_bytes = {size};   // at most\n"
        f"{_encode(arguments)}{_decode(name, arguments)}}};\n"
    )


def _wire(arguments):
    """What travels, in its order: a capability's token is where any reader finds it."""
    return sorted((a for a in arguments if a.on_wire), key=lambda a: not a.is_cap)


def _encode(arguments):
    puts = "".join(f"        out.put({a.name});\n" for a in _wire(arguments))
    parameter = "rpc::Writer& out" if puts else "rpc::Writer&"
    return f"\n    void encode({parameter}) const {{\n{puts}    }}\n"


def _decode(name, arguments):
    gets = "".join(
        f"        in.get(value.{a.name}{f', {a.enum_count}' if a.enum_count else ''});\n"
        for a in _wire(arguments)
    )
    if not gets:
        return f"\n    static Result<{name}> decode(Bytes) {{ return {name}{{}}; }}\n"
    return (
        f"\n    static Result<{name}> decode(Bytes bytes) {{\n"
        f"        rpc::Reader in{{bytes}};\n        {name} value;\n{gets}"
        f"        if (!in.ok()) return fail(Err::malformed);\n        return value;\n    }}\n"
    )


def _enum(name, words, doc):
    comment = f"/// {doc}\n" if doc else ""
    return f"{comment}enum class {name} : uint32_t {{ {', '.join(words)} }};\n"


def structs(interface):
    parts = []
    for m in interface.messages:
        if m.arguments:
            parts.append(_struct(m.type_name + "Arguments", m.arguments))
        if m.results:
            parts.append(_struct(m.type_name + "Result", m.results))
    return "\n".join(parts)


def header(interface):
    """Text of build/gen/interfaces/NAME.hpp."""
    side = local if interface.local else channel
    enums = "".join(_enum(n, w, d) for n, (w, d) in interface.enums.items())
    constants = "".join(f"constexpr uint64_t {n} = {v};\n" for n, v, _ in interface.constants)
    numbers = ", ".join(f"{m.name} = {m.number}" for m in interface.messages)
    names = ", ".join(f'"{m.name}"' for m in interface.messages)
    return f"""// from lib/interfaces/{interface.name}.if by tools/gen.py; do not edit
// {interface.title}
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <string_view>

{side.includes()}#include "lib/rpc/codec.hpp"

namespace interfaces::{interface.name} {{

constexpr uint16_t version = {interface.version};
{constants}{enums}
enum class Number : uint16_t {{ {numbers} }};
constexpr std::array<std::string_view, {len(interface.messages)}> message_names = {{{names}}};

{structs(interface)}
{side.sides(interface)}
}} // namespace interfaces::{interface.name}
"""


def parameters(arguments):
    """As a C++ parameter list: small things by value."""
    return ", ".join(
        f"const {a.cpp}& {a.name}" if a.by_reference else f"{a.cpp} {a.name}" for a in arguments
    )


def result_type(m):
    return f"{m.type_name}Result" if m.results else ""
