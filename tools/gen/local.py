"""Client, server concept and dispatch of an interface with `transport local`."""


def includes():
    return '#include "lib/rpc/local.hpp"\n'


def _cap(arguments):
    return next((a.name for a in arguments if a.is_cap), None)


def _client_call(m):
    from gen import cpp

    text = f"    /// {m.doc}\n" if m.doc else ""
    text += f"    Result<{cpp.result_type(m)}> {m.name}({cpp.parameters(m.arguments)}) {{\n"
    text += f"        rpc::LocalMessage message;\n        message.words[0] = {m.number};\n"
    if m.arguments:
        names = ", ".join(a.name for a in m.arguments)
        text += f"        const {m.type_name}Arguments arguments{{{names}}};\n"
        text += "        rpc::Writer out{message.arguments()};\n        arguments.encode(out);\n"
        if _cap(m.arguments):
            text += f"        message.cap = arguments.{_cap(m.arguments)};\n"
    text += "        const rpc::LocalMessage reply = TRY(endpoint_.call(message));\n"
    text += "        if (reply.words[0] != 0) return fail(Fault::from_raw(reply.words[0]));\n"
    if not m.results:
        return text + "        return {};\n    }\n"
    text += f"        auto result = TRY({cpp.result_type(m)}::decode(reply.arguments()));\n"
    if _cap(m.results):
        text += f"        result.{_cap(m.results)} = reply.cap;\n"
    return text + "        return result;\n    }\n"


def _requirement(m):
    from gen import cpp

    argument = f", {m.type_name}Arguments{{}}" if m.arguments else ""
    return f"    {{ s.{m.name}(badge{argument}) }} -> std::same_as<Result<{cpp.result_type(m)}>>;\n"


def _serve(m):
    argument, cap = "", _cap(m.arguments)
    text = f"    case Number::{m.name}: {{\n"
    if not cap:
        text += "        if (in.cap != abi::null_slot) server.discard(in.cap);\n"
    if m.arguments:
        text += f"        auto arguments = {m.type_name}Arguments::decode(in.arguments());\n"
        text += "        if (!arguments) {\n"
        if cap:
            text += "            if (in.cap != abi::null_slot) server.discard(in.cap);\n"
        text += "            return rpc::refusal(arguments.error());\n        }\n"
        argument = ", *arguments"
    if cap:
        text += "        if (in.cap == abi::null_slot) return rpc::refusal(Err::cap_empty);\n"
        text += f"        arguments->{cap} = in.cap;\n"
    text += f"        const auto result = server.{m.name}(badge{argument});\n"
    text += "        if (!result) return rpc::refusal(result.error());\n"
    text += "        rpc::LocalMessage reply;\n"
    if m.results:
        text += "        rpc::Writer out{reply.arguments()};\n        result->encode(out);\n"
    if _cap(m.results):
        text += f"        reply.cap = result->{_cap(m.results)};\n        reply.give = true;\n"
    return text + "        return reply;\n    }\n"


def sides(interface):
    calls = "\n".join(_client_call(m) for m in interface.messages)
    requirements = "".join(_requirement(m) for m in interface.messages)
    cases = "".join(_serve(m) for m in interface.messages)
    return f"""\
/// The asking side. Capabilities in arguments are copied; what comes back is the caller's.
class Client {{
  public:
    explicit Client(rpc::LocalEndpoint& endpoint) : endpoint_{{endpoint}} {{}}

{calls}
  private:
    rpc::LocalEndpoint& endpoint_;
}};

/// The answering side. A capability in the arguments is the server's to keep or delete, also when
/// it answers with an error; one in a result is given away. `discard` deletes what nobody asked
/// for.
template <class S>
concept Server = requires(S& s, uint64_t badge, abi::CapSlot slot) {{
{requirements}    s.discard(slot);
}};

/// Reads one request, has it carried out, and makes the reply.
template <Server S>
rpc::LocalMessage serve(S& server, uint64_t badge, const rpc::LocalMessage& in) {{
    switch (Number(in.words[0])) {{
{cases}    }}
    if (in.cap != abi::null_slot) server.discard(in.cap);
    return rpc::refusal(Err::bad_operation);
}}
"""
