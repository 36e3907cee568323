"""Where figures come from. What is the same in each run of one state of the tree is apart from what
never is (date, load): results repeat, and that stands in a file of its own."""
import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import time
from glob import glob

TOOLS = ("count_output", "counts", "guest", "qemu", "run", "settings")  # that take part
RUNDIR = "RUNDIR"  # stands in arguments for the folder of sockets


def said(*words, cwd=None):
    ran = subprocess.run(words, capture_output=True, text=True, cwd=cwd)
    return ran.stdout if ran.returncode == 0 else ""


def first_line(text):
    return text.splitlines()[0] if text else "unknown"


def hash_of(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()


def file_hash(path):
    with open(path, "rb") as f:
        return hash_of(f.read())


def dirty_hash(root):
    """Of everything that differs from the revision; empty when nothing does."""
    changes = said("git", "diff", "HEAD", "--binary", cwd=root)
    more = said("git", "ls-files", "-z", "--others", "--exclude-standard", cwd=root).split("\0")
    found = [changes] if changes else []
    for path in filter(None, more):
        with open(os.path.join(root, path), "rb") as f:
            found += [path, f.read()]
    return hash_of(*found)[:16] if found else ""


def processor():
    with open("/proc/cpuinfo") as f:
        found = re.search(r"model name\s*:\s*(.*)", f.read())
    return found[1] if found else "unknown"


def harness_hash():
    """Of what measures and reads, which is this tree's whichever revision is measured."""
    here = os.path.dirname(os.path.abspath(__file__))
    paths = sorted(glob(f"{here}/*.py")) + [f"{here}/../{name}.py" for name in TOOLS]
    return hash_of(*(file_hash(path) for path in paths))[:16]


def of_tree(root):
    """Of the sources and tools of this run, whatever is booted."""
    return {
        "revision": said("git", "rev-parse", "HEAD", cwd=root).strip() or "unknown",
        "dirty": dirty_hash(root),
        "harness": harness_hash(),
        "compiler": first_line(said("clang++-19", "--version")),
        "qemu": first_line(said("qemu-system-x86_64", "--version")),
        "host": f"{platform.machine()}, {processor()}, {os.cpu_count()} CPUs",
    }


def of_boot(tree, root, image, settings, mode, seed):
    """Of one guest: `settings` are those of tools/run.py. A captured machine is what it said."""
    if capture := os.environ.get("CONSOLE"):
        return tree | {"qemu": "none", "capture": file_hash(capture), "mode": mode, "seed": seed}
    words = [f"{k}={v}" for k, v in settings.items()] + ["DRY=1", f"RUNDIR={RUNDIR}", "HEADLESS=1"]
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    dry = subprocess.run([os.path.join(root, "tools/run.py"), *words], cwd=root, text=True,
                         capture_output=True, env=clean)  # fmt: skip
    if dry.returncode:
        raise OSError(f"tools/run.py refuses the settings: {dry.stderr.strip()}")
    arguments = [w.replace(root + "/", "") for w in shlex.split(dry.stdout)]
    # Where the plugin writes is not part of what it does.
    arguments = [re.sub(r"\bout=[^,]*,?", "", w) for w in arguments]
    return tree | {"image": file_hash(image), "arguments": arguments, "mode": mode, "seed": seed}


def of_linux(tree, files, settings, mode, seed):
    """Of a Linux guest: its kernel, its programs, and what they are asked."""
    words = [f"{k}={v}" for k, v in settings.items() if k in ("CORES", "MEM", "ORDER")]
    words.append(re.sub(r"\bout=[^,]*,?", "", settings["QEMU_ARGS"]))
    image = hash_of(*(file_hash(path) for path in files))
    return tree | {"image": image, "arguments": words, "mode": mode, "seed": seed}


def name_of(provenance):
    """Short, equal for equal ones."""
    return hash_of(json.dumps(provenance, sort_keys=True))[:16]


def volatile():
    """What differs between runs of the same thing."""
    return {"date": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "load": os.getloadavg()[0],
            "host_name": platform.node()}  # fmt: skip
