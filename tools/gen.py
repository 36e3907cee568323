#!/usr/bin/python3
"""Makes C++ and documentation from interface files: gen.py --out build/gen lib/interfaces/X.if ...

For each X.if: OUT/interfaces/X.hpp and OUT/docs/X.md. The language is described in
lib/interfaces/README.md; tools/gen/ has the grammar (language.py) and what is printed (local.py for
`transport local`, channel.py for channels, page.py for the documentation).
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from gen import cpp, language, page  # noqa: E402


def write_if_changed(path, text):
    """Leaves the time of an unchanged file alone, so that ninja rebuilds nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    for file in arguments.files:
        try:
            interface = language.parse(file.read_text(), str(file))
        except language.Error as error:
            sys.exit(f"{file}: {error}")
        out, name = arguments.out, interface.name
        write_if_changed(out / "interfaces" / f"{name}.hpp", cpp.header(interface))
        write_if_changed(out / "docs" / f"{name}.md", page.document(interface))


if __name__ == "__main__":
    main()
