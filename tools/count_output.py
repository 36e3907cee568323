"""Reads what tools/count/insncount.c writes; the format is in tools/count/README.md."""
from dataclasses import astuple, dataclass, field


@dataclass
class Counts:
    instructions: int
    repeats: int
    polling: int
    fences: int = 0  # and atomic read-modify-writes
    ipis: int = 0  # sent to other cores
    wakes: int = 0  # of places that the plugin was told of
    lines: int = 0  # put into channels

    def __sub__(self, other):
        return Counts(*(a - b for a, b in zip(self.fields(), other.fields())))

    def fields(self):
        return astuple(self)


@dataclass
class Event:
    marker: int
    vcpu: int
    own: Counts
    all: Counts


@dataclass
class Output:
    window: Counts = None
    vcpus: dict = field(default_factory=dict)
    profile: list = field(default_factory=list)  # (instructions, name), most first
    specials: dict = field(default_factory=dict)
    events: list = field(default_factory=list)

    def between(self, begin, end):
        """Counts on all vCPUs from each event `begin` to the next `end`, in order."""
        found, start = [], None
        for event in self.events:
            if event.marker == begin:
                start = event.all
            elif event.marker == end and start is not None:
                found.append(event.all - start)
                start = None
        return found

    def each(self, marker):
        """Counts on all vCPUs from each event `marker` to the next."""
        times = [event.all for event in self.events if event.marker == marker]
        return [later - earlier for earlier, later in zip(times, times[1:])]


def parse(lines):
    output = Output()
    for line in lines:
        kind, *words = line.split()
        if kind == "W":
            output.window = Counts(*map(int, words))
        elif kind == "V":
            output.vcpus[int(words[0])] = Counts(*map(int, words[1:]))
        elif kind == "F":
            output.profile.append((int(words[0]), words[1]))
        elif kind == "S":
            output.specials[words[1]] = int(words[0])
        elif kind == "E":
            marker, vcpu, *counts = map(int, words)
            half = len(counts) // 2
            own, together = Counts(*counts[:half]), Counts(*counts[half:])
            output.events.append(Event(marker, vcpu, own, together))
        else:
            raise ValueError(f"insncount: unknown line {line!r}")
    return output


def read(path):
    with open(path) as f:
        return parse(f)
