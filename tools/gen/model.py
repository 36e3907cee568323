"""An interface as data, for tools that read messages: build/gen/messages/NAME.json."""
import json
import zlib


def on_wire(interface, arguments):
    """What travels in the bytes of a message, in its order.

    Over a channel a capability's token goes first, where any reader finds it; in a local call a
    capability is beside the bytes.
    """
    travelling = [a for a in arguments if not (interface.local and a.is_cap)]
    return sorted(travelling, key=lambda a: not a.is_cap)


def contract(interface):
    """The number that a channel's greeting says (rpc::Contract)."""
    return zlib.crc32(interface.name.encode())


def fields_of(interface, arguments):
    fields = []
    for a in on_wire(interface, arguments):
        field = {"name": a.name, "type": a.type}
        if a.enum_count:
            field = {"name": a.name, "type": "enum", "words": interface.enums[a.type][0]}
        fields.append(field)
    return fields


def text(interface):
    messages = [
        {
            "number": m.number,
            "kind": m.kind,
            "name": m.name,
            "takes": fields_of(interface, m.arguments),
            "gives": fields_of(interface, m.results),
        }
        for m in interface.messages
    ]
    whole = {
        "name": interface.name,
        "contract": contract(interface),
        "version": interface.version,
        "transport": "local" if interface.local else "channel",
        "messages": messages,
    }
    return json.dumps(whole, indent=1) + "\n"
