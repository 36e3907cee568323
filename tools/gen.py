#!/usr/bin/python3
"""Makes what follows from interface files: gen.py --out build/gen lib/interfaces/X.if ...

For each X.if: OUT/interfaces/X.hpp, OUT/docs/X.md, and for tools that read messages
OUT/messages/X.json and OUT/wireshark/X.lua. With --index instead: OUT/interfaces/decoders.hpp,
the list of all that is decoded. The language is described in lib/interfaces/README.md; tools/gen/
has the grammar (language.py) and what is printed (local.py for `transport local`, channel.py for
channels, page.py for the documentation, dissector.py for Wireshark).
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from gen import cpp, dissector, index, language, model, page  # noqa: E402


def write_if_changed(path, text):
    """Leaves the time of an unchanged file alone, so that ninja rebuilds nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def read(file):
    try:
        return language.parse(file.read_text(), str(file))
    except language.Error as error:
        sys.exit(f"{file}: {error}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--index", action="store_true")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    out, interfaces = arguments.out, [read(file) for file in arguments.files]
    if arguments.index:
        return write_if_changed(out / "interfaces/decoders.hpp", index.header(interfaces))
    for interface in interfaces:
        name = interface.name
        write_if_changed(out / "interfaces" / f"{name}.hpp", cpp.header(interface))
        write_if_changed(out / "docs" / f"{name}.md", page.document(interface))
        write_if_changed(out / "messages" / f"{name}.json", model.text(interface))
        write_if_changed(out / "wireshark" / f"{name}.lua", dissector.script(interface))


if __name__ == "__main__":
    main()
