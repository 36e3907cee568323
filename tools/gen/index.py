"""All decoders in one list, for the tests that try each: build/gen/interfaces/decoders.hpp."""


def header(interfaces):
    """Text: DECODERS(X) makes X(interface, Type) of each generated type that is read."""
    lines = ["// by tools/gen.py; do not edit", "#pragma once", ""]
    lines += [f'#include "interfaces/{i.name}.hpp"' for i in interfaces]
    types = [
        f"X({i.name}, {m.type_name}{what})"
        for i in interfaces
        for m in i.messages
        for what, fields in (("Arguments", m.arguments), ("Result", m.results))
        if fields
    ]
    lines += ["", "#define DECODERS(X) \\"]
    return "\n".join(lines) + "\n" + " \\\n".join(f"    {t}" for t in types) + "\n"
