"""Client, server concept and dispatch of an interface over a channel."""
import zlib


def includes():
    return '#include "lib/rpc/stubs.hpp"\n'


def _arguments_type(m):
    return f"{m.type_name}Arguments" if m.arguments else "rpc::Nothing"


def _result_type(m):
    return f"{m.type_name}Result" if m.results else "void"


def _initialised(m):
    names = ", ".join(a.name for a in m.arguments)
    return f"{_arguments_type(m)}{{{names}}}"


def _doc(m):
    return f"    /// {m.doc}\n" if m.doc else ""


def _has_cap(arguments):
    return any(a.is_cap for a in arguments)


def _caller(m):
    from gen import cpp

    parameters = cpp.parameters(m.arguments)
    if m.kind == "call" and (_has_cap(m.arguments) or _has_cap(m.results)):
        kinds = f"{_arguments_type(m)}, {_result_type(m)}"
        return (
            f"{_doc(m)}    async::Task<{cpp.result_type(m)}> {m.name}({parameters}) {{\n"
            f"        return rpc::call_with_capability<{kinds}>(\n"
            f"            channel_, {m.number}, {_initialised(m)});\n    }}\n"
        )
    if _has_cap(m.arguments):
        return (
            f"{_doc(m)}    async::Task<> {m.name}({parameters}) {{\n"
            f"        return rpc::send_with_capability(\n"
            f"            channel_, {m.number}, {_initialised(m)});\n    }}\n"
        )
    if m.kind == "call":
        kind = f"rpc::CallOf<{_arguments_type(m)}, {_result_type(m)}>"
        return (
            f"{_doc(m)}    {kind} {m.name}({parameters}) {{\n"
            f"        return {{channel_, {m.number}, {_initialised(m)}}};\n    }}\n"
        )
    return (
        f"{_doc(m)}    auto {m.name}({parameters}) {{\n"
        f"        return rpc::one_way(channel_, {m.number}, {_initialised(m)});\n    }}\n"
        f"    /// The same without waiting. Errors: channel_full; what ended the channel.\n"
        f"    Result<> try_{m.name}({parameters}) {{\n"
        f"        return rpc::one_way(channel_, {m.number}, {_initialised(m)}).try_now();\n    }}\n"
    )


def _sender(name, doc, messages):
    methods = "\n".join(_caller(m) for m in messages)
    return f"""/// {doc}
class {name} {{
  public:
    explicit {name}(rpc::Channel& channel) : channel_{{channel}} {{}}

{methods}
  private:
    rpc::Channel& channel_;
}};
"""


def _requirement(who, m):
    argument = f"{m.type_name}Arguments{{}}" if m.arguments else ""
    result = "void"
    if m.kind == "call":
        result = f"async::Task<{m.type_name}Result>" if m.results else "async::Task<>"
    return f"    {{ {who}.{m.name}({argument}) }} -> std::same_as<{result}>;\n"


def _concept(name, doc, messages):
    lines = "".join(_requirement("who", m) for m in messages)
    body = f"requires(T& who) {{\n{lines}}}" if lines else "true"
    return f"/// {doc}\ntemplate <class T>\nconcept {name} = {body};\n"


def _request_case(m):
    parameter = f"const {m.type_name}Arguments& arguments" if m.arguments else "rpc::Nothing"
    argument = "arguments" if m.arguments else ""
    caps = _has_cap(m.arguments) or _has_cap(m.results)
    work = "carry_out_with_capability" if caps else "carry_out"
    return (
        f"        case Number::{m.name}:\n"
        f"            return rpc::{work}<{_arguments_type(m)}, {_result_type(m)}>(\n"
        f"                channel, id, bytes,\n"
        f"                [&who = who_]({parameter}) {{ return who.{m.name}({argument}); }}\n"
        f"            );\n"
    )


def _message_case(m):
    if not m.arguments:
        return f"        case Number::{m.name}: who_.{m.name}(); return {{}};\n"
    cap = next((a.name for a in m.arguments if a.is_cap), None)
    take = f"            TRY_VOID(channel.take_now(arguments->{cap}));\n" if cap else ""
    const = "" if cap else "const "
    return (
        f"        case Number::{m.name}: {{\n"
        f"            {const}auto arguments = {m.type_name}Arguments::decode(bytes);\n"
        f"            if (!arguments) return fail(arguments.error());\n{take}"
        f"            who_.{m.name}(*arguments);\n            return {{}};\n        }}\n"
    )


def _switch(cases):
    if not cases:
        return ""
    return f"        switch (Number(number)) {{\n{cases}        default: break;\n        }}\n"


def _side(name, concept, doc, calls, one_way):
    requests = "".join(_request_case(m) for m in calls)
    messages = "".join(_message_case(m) for m in one_way)
    switch = _switch(requests)
    arguments = "Bytes bytes" if requests else "Bytes"
    number = "uint8_t number" if requests else "uint8_t"
    message_switch = _switch(messages)
    message_bytes = "Bytes bytes" if "(bytes)" in messages else "Bytes"
    message_number = "uint16_t number" if messages else "uint16_t"
    message_channel = "rpc::Channel& channel" if "channel.take" in messages else "rpc::Channel&"
    return f"""/// {doc}
template <{concept} T>
class {name} final : public rpc::Handler {{
  public:
    constexpr explicit {name}(T& who) : who_{{who}} {{}}

    void request(
        rpc::Channel& channel, uint16_t id, {number}, {arguments}
    ) override {{
{switch}        channel.refuse(id, Err::bad_operation);
    }}

    Result<> message({message_channel}, {message_number}, {message_bytes}) override {{
{message_switch}        return fail(Err::bad_operation);
    }}

    void closed(rpc::Channel& channel, Err reason) override {{
        if constexpr (requires {{ who_.closed(channel, reason); }}) who_.closed(channel, reason);
    }}

  private:
    T& who_;
}};
"""


CLIENT = "The asking side: `co_await client.x(...)`, `co_await result_of(client.x(...))`."
SERVER = """\
The answering side. Calls are tasks, several at a time; what only arrives is told at once, in
/// order. `closed(rpc::Channel&, Err)`, if there is one, is told last; it may destroy the
/// channel."""
SERVER_SIDE = "Takes requests off a channel to a server."
EVENTS = "What the server says unasked."
LISTENER = "Who hears the server's events; also `closed`, as in Server."
CLIENT_SIDE = "Takes events off a channel to a listener."


def sides(interface):
    calls, sends, events = (interface.of_kind(k) for k in ("call", "send", "event"))
    from_client = interface.of_kind("call", "send")
    number = zlib.crc32(interface.name.encode())
    parts = [
        f"constexpr rpc::Contract contract{{{number:#x}, version}};\n",
        _sender("Client", CLIENT, from_client),
        _concept("Server", SERVER, from_client),
        _side("ServerSide", "Server", SERVER_SIDE, calls, sends),
    ]
    if events:
        parts.append(_sender("Events", EVENTS, events))
        parts.append(_concept("Listener", LISTENER, events))
        parts.append(_side("ClientSide", "Listener", CLIENT_SIDE, [], events))
    return "\n".join(parts)
