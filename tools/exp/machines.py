"""Machines that the coherence model stands for, by name or as SOCKETSxCORES[-TOPOLOGY]."""
import re

TOPOLOGIES = {"full": 0, "ring": 1, "mesh": 2, "hypercube": 3}
MOST_SOCKETS, MOST_CORES = 16, 64
# The first two are shaped like machines of Baumann et al. (SOSP 2009), table 1 and section 5; the
# latencies are the model's own (docs/model.md).
NAMED = {
    "8x4-amd": "8x4-mesh",
    "4x4-amd": "4x4-ring",
    "2x32": "2x32-full",
    "16x4-mesh": "16x4-mesh",
}


class Machine:
    """`sockets` of `cores` each; raises ValueError with a sentence for what cannot be."""

    def __init__(self, name):
        found = re.fullmatch(r"(\d+)x(\d+)(?:-(\w+))?", NAMED.get(name, name))
        topology = (found[3] or "mesh") if found else None
        if topology not in TOPOLOGIES:
            raise ValueError(f"{name!r} is none of {', '.join(NAMED)}, nor SOCKETSxCORES with one "
                             f"of {', '.join(TOPOLOGIES)}")  # fmt: skip
        self.name, self.topology = name, topology
        self.sockets, self.cores = int(found[1]), int(found[2])
        if not 1 <= self.sockets <= MOST_SOCKETS or not 2 <= self.all_cores <= MOST_CORES:
            raise ValueError(f"{name!r} has {self.sockets} sockets and {self.all_cores} cores: "
                             f"at most {MOST_SOCKETS}, and 2 to {MOST_CORES}")  # fmt: skip

    @property
    def all_cores(self):
        return self.sockets * self.cores

    def options(self):
        """For the plugin."""
        number = TOPOLOGIES[self.topology]
        return f"sockets={self.sockets},cores={self.cores},topo={number},tsc=2,mhz=2000"
