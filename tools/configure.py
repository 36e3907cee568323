#!/usr/bin/python3
"""Writes BUILD/build.ninja from tools/programs.toml and the sources that exist now.

    tools/configure.py [KEY=value]...

    BUILD=build     where everything goes
    PROGRAMS=       only these programs (names, spaces between); all when empty
    DEFINES=        preprocessor names for every OS source, e.g. PLANTED_SHARED_COUNTER=1
    MORE=           a folder with further domains, lib/interfaces/*.if and usr/NAME/*: they make an
                    image of their own, BUILD/skerry-more.iso, by BUILD/build-more.ninja
    CMDLINE=        settings that GRUB hands over when QEMU hands over none

It runs before each build (some 100 ms), so new files are found without further ado; the file is
written only when its text changes. Ninja runs in the root of the repository.
"""
import os
import sys
import tomllib
from fnmatch import fnmatch
from glob import glob

CXX, LD, AR = "clang++-19", "ld.lld-19", "llvm-ar-19"
# A designated initializer that names what differs from the default is the style here, so clang's
# warning about the fields it leaves out is off.
WARNINGS = "-Wall -Wextra -Wconversion -Wshadow -Wold-style-cast -Werror "
WARNINGS += "-Wno-missing-designated-field-initializers"
COMMON = (
    "-std=c++23 -g -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS -ffile-compilation-dir=. "
    f"{WARNINGS}"
)
FREESTANDING = (
    f"{COMMON} -O2 -ffreestanding -fno-exceptions -fno-rtti -fno-pic -fno-stack-protector "
    "-mno-red-zone -fno-threadsafe-statics -fno-asynchronous-unwind-tables "
    "-ffunction-sections -fdata-sections"
)
# Functions of the CPU driver may be drawn into each other across files; as its objects hold machine
# code as well, the rules on them can be checked.
LTO = "-flto -ffat-lto-objects -fwhole-program-vtables -fvisibility=hidden"
NO_VECTORS = "-mno-mmx -mno-sse -mno-sse2"
SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=all"
# How one source becomes an object, by who it is for.
FLAVOURS = {
    "domain": FREESTANDING,
    "kernel": f"{FREESTANDING} {NO_VECTORS} -mcmodel=kernel {LTO}",
    "boot": f"{FREESTANDING} {NO_VECTORS}",
    "host": f"{COMMON} -DGTEST_HAS_CXXABI_H_=0 -O1 {SANITIZE}",
    "tsan": f"{COMMON} -DGTEST_HAS_CXXABI_H_=0 -O1 -fsanitize=thread",
    "fuzz": f"{COMMON} -O1 {SANITIZE} -fsanitize=fuzzer-no-link",
    # Its inputs are choices, not data: to trace comparisons tells nothing and takes longest.
    "fuzz_kernel": f"{COMMON} -O1 {SANITIZE} -fsanitize=fuzzer-no-link "
    "-fno-sanitize-coverage=trace-cmp",
    "cover": f"{COMMON} -DGTEST_HAS_CXXABI_H_=0 -O1 -fprofile-instr-generate -fcoverage-mapping",
    # The simulator plants bugs in what it tests, so it has objects of its own (docs/simulator.md).
    "sim": f"{COMMON} -O2 -DSKERRY_MUTANTS",
    "cost": f"{COMMON} -O2 -fno-pie",
    "sim_san": f"{COMMON} -O1 -DSKERRY_MUTANTS {SANITIZE}",
}
# Tests are built far more often than they run: without optimisation, but for those that run long.
LONG_UNITS = ("tests/monitor/",)
LINK = (
    "-static -nostdlib --fat-lto-objects --gc-sections --build-id=none -z noexecstack "
    "-z max-page-size=4096"
)
GTEST = "/usr/include/gtest/gtest.h"
DOMAIN_SCRIPT = "lib/os/domain.ld"
# Pure functions of musl's libm, and nothing else of that archive (docs/dependencies.md).
MUSL = "/usr/lib/x86_64-linux-musl/libc.a"
MATH = "sin cos exp log sqrt __sin __cos __rem_pio2 __rem_pio2_large exp_data log_data floor " \
    "scalbn __math_divzero __math_invalid __math_oflow __math_uflow __math_xflow"
DOMAIN_STEP = 0x1000000
PLUGINS = ("count", "isolation", "longest", "sim", "messages")
NOT_UNITS = ("system", "tools", "fuzz", "support", "sim", "cost")

RULES = """\
rule cxx
  command = {cxx} $flags -I. -I{build}/gen -MD -MF $out.d -c $in -o $out
  depfile = $out.d
  deps = gcc
  description = compile $out
rule ar
  command = rm -f $out && {ar} rcsT $out $in
  description = archive $out
rule link
  command = {ld} $flags -o $out $in
  description = link $out
rule members
  command = rm -f $out && mkdir -p $out.parts && for m in $members; do $
    {ar} p $in $$m.lo > $out.parts/$$m.o || exit 1; done && {ar} rcs $out $out.parts/*.o
  description = members of $in
rule strip
  command = /usr/bin/python3 tools/strip.py $in $out
  description = strip $out
rule host_link
  command = {cxx} $flags $in -o $out $libs
  description = link $out
rule gen
  command = /usr/bin/python3 tools/gen.py $index --out {build}/gen $in
  restat = 1
  description = generate $out
rule bundle
  command = /usr/bin/python3 tools/bundle.py $out $items
  description = bundle $out
rule iso
  command = env $limit /usr/bin/python3 tools/mkiso.py $out {build}/iso $in $cmdline
  description = iso $out
rule cc
  command = gcc -O2 -g -Wall -Wextra -Werror -std=gnu11 $flags $in -o $out
  description = compile $out
"""


def expand(patterns, suffixes=None):
    """Sorted files matching the patterns; `!pattern` removes again."""
    found = set()
    for pattern in patterns:
        if pattern.startswith("!"):
            found = {f for f in found if not fnmatch(f, pattern[1:])}
        else:
            deep = pattern + "/*" if pattern.endswith("**") else pattern
            found |= {f for f in glob(deep, recursive=True) if os.path.isfile(f)}
    return sorted(f for f in found if suffixes is None or f.endswith(suffixes))


def sources(patterns):
    return expand(patterns, (".cpp", ".S"))


class Plan:
    """The text of build.ninja, edge by edge."""

    def __init__(self, build, table, only, defines, cmdline, more=""):
        self.build, self.table, self.only, self.cmdline = build, table, only, cmdline
        self.more, self.suffix = more, "-more" if more else ""
        for folder in sorted(glob(f"{more}/usr/*")) if more else []:
            program = {"name": os.path.basename(folder), "sources": [f"{folder}/*"],
                       "uses": ["net"]}  # fmt: skip
            table["program"].append(program)
        self.defines = "".join(f" -D{d}" for d in defines)
        self.lines = [RULES.format(build=build, cxx=CXX, ld=LD, ar=AR)]
        self.objects, self.archives, self.notes, self.smaller = {}, {}, [], set()
        self.generated = self.interfaces()

    def edge(self, rule, outs, ins, implicit=(), order=(), **variables):
        text = f"build {' '.join(outs)}: {rule} {' '.join(ins)}"
        text += f" | {' '.join(implicit)}" if implicit else ""
        text += f" || {' '.join(order)}" if order else ""
        self.lines.append(text)
        self.lines += [f"  {key} = {value}" for key, value in variables.items()]
        return outs[0]

    def phony(self, name, ins):
        self.edge("phony", [name], ins)

    def interfaces(self):
        if not os.path.exists("tools/gen.py"):
            return []
        tool = expand(["tools/gen.py", "tools/gen/**"])
        own = expand(["lib/interfaces/*.if", "tests/gen/*.if"])
        found = own + expand([f"{self.more}/lib/interfaces/*.if"] if self.more else [])
        names = [os.path.basename(source)[:-3] for source in found]
        for name, source in zip(names, found):
            kinds = ("interfaces .hpp", "docs .md", "messages .json", "wireshark .lua")
            outs = [f"{self.build}/gen/{kind.replace(' ', '/' + name)}" for kind in kinds]
            self.edge("gen", outs, [source], implicit=tool)
        decoders = f"{self.build}/gen/interfaces/decoders.hpp"
        self.edge("gen", [decoders], own, implicit=tool, index="--index")
        headers = [f"{self.build}/gen/interfaces/{n}.hpp" for n in names]
        self.phony("generated", [*headers, decoders])
        return ["generated"]

    def compile(self, flavour, source):
        key = (flavour, source)
        if key not in self.objects:
            out = f"{self.build}/obj/{flavour}/{source}.o"
            defines = self.defines if flavour in ("domain", "kernel", "boot") else ""
            flags, implicit = FLAVOURS[flavour] + defines, []
            if flavour == "domain" and source in self.smaller:
                flags += " -Os"
            if source.endswith(".S"):
                flags = f"-x assembler-with-cpp -g{defines}"
            elif source.startswith("tests/") and flavour in ("host", "tsan"):
                level = "-O1" if source.startswith(LONG_UNITS) else "-O0"
                implicit = [self.gtest_header(flavour, level)]
                flags += f" {level}"
                flags += f" -include-pch {implicit[0]}"
            self.objects[key] = self.edge(
                "cxx", [out], [source], implicit=implicit, order=self.generated, flags=flags
            )
        return self.objects[key]

    def gtest_header(self, flavour, level):
        """GoogleTest compiled once ahead; it is over a third of every unit test's build time."""
        key = (flavour, level, GTEST)
        if key not in self.objects:
            out = f"{self.build}/obj/{flavour}/gtest{level}.pch"
            flags = f"-x c++-header {FLAVOURS[flavour]} {level}"
            self.objects[key] = self.edge("cxx", [out], [GTEST], flags=flags)
        return self.objects[key]

    def archive(self, flavour, name, files):
        """The library of these files, or nothing when there are none."""
        key = (flavour, name)
        if key not in self.archives:
            objects = [self.compile(flavour, f) for f in files]
            out = f"{self.build}/lib/{flavour}/lib{name}.a"
            self.archives[key] = [self.edge("ar", [out], objects)] if objects else []
        return self.archives[key]

    def libraries(self, flavour, uses=()):
        found = []
        for name, library in self.table["libraries"].items():
            if flavour in library["rooms"] or name in uses:
                found += self.archive(flavour, name, sources(library["sources"]))
        return found

    def math(self):
        """The archive of kept mathematical functions; who calls none of them links none."""
        key = ("domain", "math")
        if key not in self.archives:
            out = f"{self.build}/lib/domain/libmath.a"
            self.archives[key] = [self.edge("members", [out], [MUSL], members=MATH)]
        return self.archives[key]

    def program(self, place, program):
        """Edges for one program; its stripped image, or None when it cannot be built yet."""
        name, kind = program["name"], program.get("kind", "domain")
        script = program.get("script", DOMAIN_SCRIPT)
        files = sources(program["sources"])
        lacks = "sources" if not files else script if not os.path.exists(script) else None
        if kind == "domain" and not lacks and not any(f.endswith("main.cpp") for f in files):
            lacks = "main.cpp"
        if lacks:
            self.notes.append(f"{name} (no {lacks})")
            return None
        flags = f"{LINK} -T {script}"
        if kind == "domain":
            # Functions of the same instructions are one: nobody compares their addresses.
            flags += f" --icf=all --defsym=domain_base={DOMAIN_STEP * (place + 1):#x}"
        if program.get("small"):  # in seldom work, room in the image counts for more
            self.smaller.update(files)
        objects = [self.compile(kind, f) for f in files]
        libraries = self.libraries(kind, program.get("uses", ()))
        libraries += self.math() if kind == "domain" else []
        full = f"{self.build}/bin/{name}.elf"
        self.edge("link", [full], objects + libraries, implicit=[script], flags=flags)
        image = f"{self.build}/image/{name}.elf"
        return self.edge("strip", [image], [full], implicit=["tools/strip.py"])

    def image(self):
        chosen, domains, images = self.only, [], {}
        for place, program in enumerate(self.table["program"]):
            if chosen and program["name"] not in chosen:
                continue
            image = self.program(place, program)
            if image and program.get("kind", "domain") == "domain":
                names = [program["name"], *program.get("also", ())]
                domains += [(name, image) for name in names]
            elif image:
                images[program["name"]] = image
        items = [f"domain:{name}={path}" for name, path in domains]
        files = []
        for entry in self.table.get("file", []):
            for path in expand([entry["from"]]):
                prefix = entry["name"]
                name = prefix + os.path.basename(path) if prefix.endswith("/") else prefix
                items.append(f"file:{name}={path}")
                files.append(path)
        ins = list(dict.fromkeys(path for _, path in domains)) + files
        tool = ["tools/bundle.py"]
        bundle = f"{self.build}/bundle{self.suffix}"
        self.edge("bundle", [bundle], ins, implicit=tool, items=" ".join(items))
        self.phony("programs", [bundle, *images.values()])
        self.edge("cc", [f"{self.build}/tsc_khz"], ["tools/tsc_khz.c"])
        final = ["programs"]
        if "boot" in images and "cpudriver" in images:
            parts = [images["boot"], images["cpudriver"], bundle]
            self.edge(
                "iso", [f"{self.build}/skerry{self.suffix}.iso"], parts,
                implicit=["tools/mkiso.py"], cmdline=shell_word(self.cmdline),
                limit="LIMIT=0" if self.more else "",
            )  # fmt: skip
            final = [f"{self.build}/skerry{self.suffix}.iso", f"{self.build}/tsc_khz"]
        self.phony("image", final)
        self.lines.append("default image")

    def host_archives(self, flavour, room):
        """What tests of that room link: the libraries, and the pure sources of its programs.

        A room that is no program's (a simulator of many) links everything.
        """
        found, names = [], set(self.table["libraries"])
        for name, library in self.table["libraries"].items():
            if "host" in library["rooms"]:
                found += self.archive(flavour, name, expand(library["sources"], (".cpp",)))
        programs = [p for p in self.table["program"] if "host" in p]
        near = [
            p for p in programs
            if room == p["name"] or room in p.get("tests", [])
            or p["sources"][0].startswith(f"{room}/")
        ]  # fmt: skip
        for program in near if near or room in names else programs:
            files = expand(program["host"], (".cpp",))
            found += self.archive(flavour, program["name"], files)
        return found + self.archive(flavour, "support", expand(["tests/support/*.cpp"]))

    def units(self):
        binaries = []
        folders = sorted(d for d in glob("tests/*") if os.path.basename(d) not in NOT_UNITS)
        for folder in folders:
            room = os.path.basename(folder)
            files = expand([f"{folder}/**", "!tests/*/guest/*"], (".cpp",))  # guests are not units
            threaded = [f for f in files if f.endswith("_tsan_test.cpp")]
            plain = [f for f in files if f not in threaded]
            binaries += self.unit_binary("host", room, plain, SANITIZE)
            binaries += self.unit_binary("tsan", room, threaded, "-fsanitize=thread")
        self.phony("tests", binaries)

    def unit_binary(self, flavour, room, files, link):
        if not any(f.endswith("_test.cpp") for f in files):
            return []
        ins = [self.compile(flavour, f) for f in files] + self.host_archives(flavour, room)
        out = f"{self.build}/tests/{room}{'_tsan' if flavour == 'tsan' else ''}_tests"
        libs = "-fuse-ld=lld-19 -lgtest -lgtest_main -lpthread"
        return [self.edge("host_link", [out], ins, flags=link, libs=libs)]

    def fuzzers(self):
        outs = []
        for source in expand(["tests/fuzz/*_fuzz.cpp"]):
            how, room = ("fuzz_kernel", "kernel") if "/kernel_" in source else ("fuzz", "fuzz")
            ins = [self.compile(how, source)] + self.host_archives(how, room)
            out = f"{self.build}/fuzz/{os.path.basename(source)[:-4]}"
            flags = f"{SANITIZE} -fsanitize=fuzzer"
            outs.append(self.edge("host_link", [out], ins, flags=flags, libs="-fuse-ld=lld-19"))
        self.phony("fuzz", outs)
        self.phony("fuzz-kernel", [o for o in outs if "/kernel_" in o] + [self.kernel_cover()])

    def kernel_cover(self):
        """Runs the inputs of the kernel's fuzzers and counts the lines that they reach."""
        files = expand(["kernel/*.cpp", "tests/kernel/corpus_test.cpp", "tests/support/*.cpp"])
        ins = [self.compile("cover", f) for f in files]
        out, flags = f"{self.build}/fuzz/kernel_cover", "-fprofile-instr-generate"
        libs = "-fuse-ld=lld-19 -lgtest -lgtest_main -lpthread"
        return self.edge("host_link", [out], ins, flags=flags, libs=libs)

    def net_cover(self):
        """The network stack's unit tests, counting the lines that they reach."""
        places = ("net", "net/tcp", "tests/net", "tests/support")
        ins = [self.compile("cover", f) for p in places for f in expand([f"{p}/*.cpp"])]
        out, flags = f"{self.build}/fuzz/net_cover", "-fprofile-instr-generate"
        libs = "-fuse-ld=lld-19 -lgtest -lgtest_main -lpthread"
        self.phony("net-cover", [self.edge("host_link", [out], ins, flags=flags, libs=libs)])

    def simulator(self):
        outs = []
        for flavour, link in (("sim", ""), ("sim_san", SANITIZE)):
            rooms = ("tests/sim", "kernel", "monitor", "lib/span", "lib/group")
            files = expand([f"{room}/*.cpp" for room in rooms])
            files = [f for f in files if f != "monitor/main.cpp"]
            ins = [self.compile(flavour, f) for f in files]
            ins += self.archive(flavour, "support", expand(["tests/support/*.cpp"]))
            out = f"{self.build}/sim/{flavour}"
            libs = "-fuse-ld=lld-19"
            outs.append(self.edge("host_link", [out], ins, flags=link, libs=libs))
        self.phony("sim", outs)

    def costs(self):
        """The network stack's own objects under a program of the host (tools/net_costs.py)."""
        ins = [self.compile("cost", "tests/cost/net_cost.cpp")]
        for name in ("net", "base"):
            files = sources(self.table["libraries"].get(name, {"sources": []})["sources"])
            ins += self.archive("domain", name, files)
        out = f"{self.build}/cost/net_cost"
        libs = "-fuse-ld=lld-19 -no-pie"
        self.edge("host_link", [out], ins, flags="", libs=libs)
        self.phony("net-costs", [out])

    def tapstack(self):
        """The network stack and its services as a process of the host, sanitized."""
        ins = [self.compile("host", f) for f in expand(["tools/tapstack/*.cpp"])]
        ins += self.host_archives("host", "tapstack")
        out = f"{self.build}/tapstack/tapstack"
        self.edge("host_link", [out], ins, flags=SANITIZE, libs="-fuse-ld=lld-19")
        self.phony("tapstack", [out])

    def plugins(self):
        outs = []
        for source in expand([f"tools/{t}/*.c" for t in PLUGINS]):
            out = f"{self.build}/plugin/{os.path.basename(source)[:-2]}.so"
            headers = expand(["tools/count/*.h", "tools/isolation/*.h", "tools/sim/*.h"])
            outs.append(self.edge("cc", [out], [source], headers, flags="-shared -fPIC"))
        self.phony("plugins", outs)


def shell_word(text):
    quoted = "'" + text.replace("'", "'\\''") + "'" if text else ""
    return quoted.replace("$", "$$")


def main(arguments):
    values = {"BUILD": "build", "PROGRAMS": "", "DEFINES": "", "CMDLINE": "", "MORE": ""}
    for key in values:
        values[key] = os.environ.get(key, values[key])
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or key not in values:
            sys.exit(f"configure: unknown setting {argument!r}; known are {', '.join(values)}")
        values[key] = value
    with open("tools/programs.toml", "rb") as f:
        table = tomllib.load(f)
    only = values["PROGRAMS"].split()
    unknown = set(only) - {p["name"] for p in table["program"]}
    if unknown:
        sys.exit(f"configure: no such program: {', '.join(sorted(unknown))}")
    build = values["BUILD"]
    plan = Plan(build, table, only, values["DEFINES"].split(), values["CMDLINE"], values["MORE"])
    plan.image()
    plan.units()
    plan.fuzzers()
    plan.net_cover()
    plan.simulator()
    plan.costs()
    plan.tapstack()
    plan.plugins()
    text = "\n".join([f"builddir = {build}", *plan.lines]) + "\n"
    path = os.path.join(build, f"build{plan.suffix}.ninja")
    old = open(path).read() if os.path.exists(path) else None
    if text != old:
        os.makedirs(build, exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
    if plan.notes:
        print("configure: left out", ", ".join(plan.notes), file=sys.stderr)


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    main(sys.argv[1:])
