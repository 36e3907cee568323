#!/usr/bin/python3
"""Makes of a linked program what the image has of it: no debug information, and of its symbols the
functions alone, by the names that a backtrace shows.

    tools/strip.py IN OUT

Of functions with the same code, which the linker keeps once, one name is left. It is that of the
source without parameters and template arguments: `os::Loop::run`. As the linker has them they are
twice as long, and were a tenth of the image.
"""
import re
import subprocess
import sys
import tempfile

NM, FILTER, OBJCOPY = "llvm-nm-19", "llvm-cxxfilt-19", "llvm-objcopy-19"
# Brackets that belong to a name, not around arguments.
KEPT = re.compile(r"\(anonymous\)|operator(\(\)|<=>|<<|<=|<|>>|>=|->\*|->|>)")


def shown(name):
    """`int a::B<c>::(anonymous namespace)::d<e>(f)::g` is `a::B::(anonymous)::d::g`."""
    name = name.replace("(anonymous namespace)", "(anonymous)")
    kept, depth, at = "", 0, 0
    while at < len(name):
        match = KEPT.match(name, at)
        text = match[0] if match else name[at]
        at += len(text)
        depth += text in ("<", "(")
        if depth == 0:
            kept += text
        depth -= text in (">", ")")
    before, word, after = kept.partition("operator ")
    return before.split(" ")[-1] + (word + after).replace(" ", "_")


def output_of(*command, text=None):
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def symbols(path):
    """(functions, others), as the linker calls them."""
    lines = [line.split() for line in output_of(NM, "--format=posix", path).splitlines()]
    code = {}  # of functions that the linker has folded, one
    for name, kind, address, *_ in lines:
        if kind in "tTwW":
            code.setdefault(address, name)
    known = set(code.values())
    functions = [name for name, kind, *_ in lines if kind in "tTwW" and name in known]
    return functions, [name for name, *_ in lines if name not in known]


def main(program, out):
    functions, others = symbols(program)
    names = output_of(FILTER, "-p", text="\n".join(functions)).splitlines()
    renamed = [f"{old} {shown(new)}" for old, new in zip(functions, names, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        lists = {f"{folder}/renamed": renamed, f"{folder}/others": others}
        for path, lines in lists.items():
            with open(path, "w") as f:
                f.write("".join(f"{line}\n" for line in lines))
        command = [OBJCOPY, "--strip-debug", "--discard-locals"]
        command += [f"--redefine-syms={folder}/renamed", f"--strip-symbols={folder}/others"]
        subprocess.run([*command, program, out], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
