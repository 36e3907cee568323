"""A guest's RAM in a file that QEMU shares, so that a plugin can look into it."""
import contextlib
import os
import tempfile

from guest import BUILD


def _folder(megabytes):
    """In memory if there is room for two, else beside what is built."""
    try:
        space = os.statvfs("/dev/shm")
    except OSError:
        return BUILD
    return "/dev/shm" if space.f_bavail * space.f_frsize > 2 * megabytes << 20 else BUILD


@contextlib.contextmanager
def shared_ram(megabytes):
    """(path of the file, QEMU's words for it); it is gone afterwards."""
    folder = _folder(megabytes)
    with tempfile.TemporaryDirectory(prefix="skerry-ram-", dir=folder) as inside:
        path = os.path.join(inside, "ram")
        with open(path, "wb") as f:
            f.truncate(megabytes << 20)
        backend = f"memory-backend-file,id=ram0,size={megabytes}M,mem-path={path},share=on"
        yield path, f"-object {backend} -machine memory-backend=ram0"
