"""Rules of `make check` on what was built: instructions, wait loops, globals, segments, sizes."""
import functools
import os
import re
import subprocess
from glob import glob

from elftools.elf.elffile import ELFFile

WRITE, EXECUTE = 1, 4  # SHF_WRITE, SHF_EXECINSTR
PF_X, PF_W = 1, 2
IMAGE_LIMIT = 4 << 20
# Saving and restoring a domain's registers is the CPU driver's work; computing with them is not.
STATE = re.compile(r"f?n?(x?save|xrstor|rstor|init)\w*$")
VECTOR = re.compile(r"%(xmm|ymm|zmm|mm|st)\b|%(xmm|ymm|zmm|mm)\d")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$")
LOGGER = "_ZN3log"  # the seam of lib/base/log.hpp: set once, in every program
# All that a CPU driver knows hangs off its kernel::Core; the others are what this CPU and its
# devices are set to, and what is loaded in it.
CPU_DRIVER_GLOBALS = {
    "driver.cpp": {
        "core", "machine", "alarm", "extended", "has_fsgsbase", "quick_exchange", "bases_live",
        "loaded_root", "cpu_current_registers", "cpu_sender_registers",
    },
    "descriptors.cpp": {"task_state", "segments", "gates"},
    "panic.cpp": {"names"},
}  # fmt: skip


def disassemble(path, *sections):
    words = ["llvm-objdump-19", "-d", "--no-show-raw-insn", "--no-leading-headers"]
    words += [f"--section={s}" for s in sections]
    return subprocess.run([*words, path], capture_output=True, text=True, check=True).stdout


def vector_instructions(text):
    """Lines of a disassembly that use SSE, AVX, MMX or x87 for more than saving state."""
    for line in text.splitlines():
        match = INSTRUCTION.match(line)
        if not match:
            continue
        name, operands = match[2], match[3].split("#")[0]
        x87 = name.startswith("f") and name not in ("fs",)
        if (x87 or VECTOR.search(operands)) and not STATE.fullmatch(name):
            yield line.strip()


def functions(text):
    """The functions of a disassembly, each a list of (address, mnemonic, jump target, line)."""
    found = []
    for line in text.splitlines():
        if re.match(r"^[0-9a-f]+ <.*>:$", line):
            found.append([])
        elif match := INSTRUCTION.match(line):
            name = match[2]
            jump = re.match(r"0x([0-9a-f]+)", match[3]) if name.startswith("j") else None
            target = int(jump[1], 16) if jump else None
            found[-1].append((int(match[1], 16), name, target, line.strip()))
    return [body for body in found if body]


def successors(body):
    """By place in the function: where execution may go on."""
    place = {address: i for i, (address, *_) in enumerate(body)}
    for i, (_, name, target, _) in enumerate(body):
        ends = name.startswith(("jmp", "ret", "ud2", "hlt", "iret"))
        following = [] if ends or i + 1 == len(body) else [i + 1]
        yield following + ([place[target]] if target in place else [])


def reachable(edges, start):
    seen, todo = set(), list(edges[start])
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += edges[node]
    return seen


def loops_without_pause(text):
    """First lines of the outermost loops in a disassembly that have no PAUSE.

    A loop is a set of instructions that can all reach each other; one inside another (over the
    channels of one turn) needs no PAUSE of its own.
    """
    for body in functions(text):
        edges = list(successors(body))
        reach = [reachable(edges, i) for i in range(len(body))]
        told = set()
        for i in range(len(body)):
            loop = frozenset(j for j in reach[i] if i in reach[j])
            if loop and loop not in told and not any(body[j][1] == "pause" for j in loop):
                told.add(loop)
                yield body[min(loop)][3]


def writable_objects(path):
    """Names of variables in an object file that live in writable memory, in order of address."""
    with open(path, "rb") as f:
        elf = ELFFile(f)
        table = elf.get_section_by_name(".symtab")
        for symbol in table.iter_symbols() if table else ():
            index = symbol["st_shndx"]
            if symbol["st_info"]["type"] != "STT_OBJECT" or not isinstance(index, int):
                continue
            section = elf.get_section(index)
            if section["sh_flags"] & WRITE and not section.name.startswith(".data.rel.ro"):
                yield symbol.name


def plain_name(symbol):
    """`core` for `_ZN3cpu12_GLOBAL__N_14coreE.0`: a variable without its namespaces."""
    if not symbol.startswith("_ZN"):
        return symbol
    rest, name = symbol[3:], symbol
    while length := re.match(r"\d+", rest):
        end = length.end() + int(length[0])
        name, rest = rest[length.end() : end], rest[end:]
    return name


def has_initializers(path):
    with open(path, "rb") as f:
        return any(s.name.startswith((".init_array", ".ctors")) for s in ELFFile(f).iter_sections())


@functools.cache
def defined_objects(build):
    """Object files of this build file; older ones of removed sources may lie about."""
    with open(f"{build}/build.ninja") as f:
        known = re.findall(r"^build (\S+\.o): cxx", f.read(), re.M)
    return [path for path in known if os.path.exists(path)]


def rules(build):
    programs = sorted(glob(f"{build}/image/*.elf"))

    def full(name):
        return [p for p in [f"{build}/bin/{name}.elf"] if os.path.exists(p)]

    def cpu_driver_uses_no_vector_registers():
        for path in full("cpudriver") + full("boot"):
            for line in vector_instructions(disassemble(path)):
                yield f"{path}: {line}"

    def polling_loops_pause():
        for path in programs:
            binary = path.replace("/image/", "/bin/")
            for line in loops_without_pause(disassemble(binary, ".text.poll")):
                yield f"{binary}: {line}"

    def kernel_and_net_have_no_globals():
        rooms = (f"{build}/obj/kernel/kernel/", f"{build}/obj/domain/net/")
        domains = tuple(f"{build}/obj/domain/net/{name}/" for name in ("netd", "netcard", "routed"))
        for path in defined_objects(build):
            if not path.startswith(rooms) or path.startswith(domains):
                continue
            for name in writable_objects(path):
                if not name.startswith(LOGGER):
                    yield f"{path}: {name}"

    def cpu_driver_has_one_kernel_state():
        room = f"{build}/obj/kernel/cpudriver/"
        for path in defined_objects(build):
            if path.startswith(room):
                known = CPU_DRIVER_GLOBALS.get(os.path.basename(path)[: -len(".o")], set())
                for name in {plain_name(n) for n in writable_objects(path)} - known:
                    yield f"{path}: {name}"

    def nothing_runs_before_start():
        machine = tuple(f"{build}/obj/{flavour}/" for flavour in ("domain", "kernel", "boot"))
        for path in defined_objects(build):
            if path.startswith(machine) and has_initializers(path):
                yield f"{path}: has a static constructor"

    def no_segment_is_writable_and_executable():
        for path in programs:
            with open(path, "rb") as f:
                for segment in ELFFile(f).iter_segments("PT_LOAD"):
                    if segment["p_flags"] & PF_X and segment["p_flags"] & PF_W:
                        yield f"{path}: segment at {segment['p_vaddr']:#x}"

    def image_is_small():
        total = image_bytes(build)
        if total > IMAGE_LIMIT:
            yield f"{total} bytes, {IMAGE_LIMIT} are allowed"

    return [
        cpu_driver_uses_no_vector_registers,
        polling_loops_pause,
        kernel_and_net_have_no_globals,
        cpu_driver_has_one_kernel_state,
        nothing_runs_before_start,
        no_segment_is_writable_and_executable,
        image_is_small,
    ]


def image_bytes(build):
    parts = [f"{build}/image/boot.elf", f"{build}/image/cpudriver.elf", f"{build}/bundle"]
    return sum(os.path.getsize(p) for p in parts if os.path.exists(p))


def report_sizes(build):
    print(f"  image: {image_bytes(build) / 1024:.0f} KiB of {IMAGE_LIMIT // 1024}")
    for path in sorted(glob(f"{build}/image/*.elf")):
        print(f"    {os.path.basename(path)[:-4]:12} {os.path.getsize(path) / 1024:7.0f} KiB")
