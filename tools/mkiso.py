#!/usr/bin/python3
"""Writes the bootable ISO (BIOS; El Torito): GRUB, the boot program, the CPU driver, the bundle.

    tools/mkiso.py OUT WORKDIR BOOT CPUDRIVER BUNDLE [CMDLINE]

The system itself has a limit of size; an image with domains from elsewhere (LIMIT=0) has none.

`grub-mkrescue` would add fonts, themes and other platforms (20 MB, 2 s); this is GRUB's core image
with the modules that the menu needs, and one xorriso call.
"""
import os
import shutil
import subprocess
import sys

LIMIT = int(os.environ.get("LIMIT", 4 << 20))
GRUB = "/usr/lib/grub/i386-pc"
MODULES = ["biosdisk", "iso9660", "multiboot2", "normal", "echo"]
MENU = """\
set timeout=0
set default=0
menuentry "Skerry" {{
    multiboot2 /boot/skerry-boot.elf {cmdline}
    module2 /boot/cpudriver.elf cpudriver
    module2 /boot/bundle bundle
}}
"""


def check_size(paths, limit):
    sizes = {p: os.path.getsize(p) for p in paths}
    if 0 < limit < sum(sizes.values()):
        listed = ", ".join(f"{os.path.basename(p)} {n}" for p, n in sizes.items())
        sys.exit(
            f"image: boot program, CPU driver and bundle have {sum(sizes.values())} bytes "
            f"together, over the limit of {limit} ({listed})"
        )


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{command[0]}: exit {done.returncode}\n{done.stdout}")


def grub_image(path, work):
    core = os.path.join(work, "core.img")
    run("grub-mkimage", "-O", "i386-pc", "-d", GRUB, "-p", "(cd)/boot/grub", "-o", core, *MODULES)
    with open(path, "wb") as out:
        for part in (os.path.join(GRUB, "cdboot.img"), core):
            with open(part, "rb") as f:
                out.write(f.read())


def main(out, work, boot, cpudriver, bundle, cmdline="", limit=LIMIT):
    check_size([boot, cpudriver, bundle], limit)
    tree = os.path.join(work, "iso")
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(os.path.join(tree, "boot/grub"))
    parts = {"skerry-boot.elf": boot, "cpudriver.elf": cpudriver, "bundle": bundle}
    for name, source in parts.items():
        shutil.copyfile(source, os.path.join(tree, "boot", name))
    grub_image(os.path.join(tree, "boot/grub/eltorito.img"), work)
    with open(os.path.join(tree, "boot/grub/grub.cfg"), "w") as f:
        f.write(MENU.format(cmdline=cmdline))
    partial = out + ".partial"
    run(
        "xorriso", "-as", "mkisofs", "-quiet", "-V", "SKERRY", "-R",
        "-b", "boot/grub/eltorito.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
        "-o", partial, tree,
    )  # fmt: skip
    os.replace(partial, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
