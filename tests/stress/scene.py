"""One attack's scene: a laboratory, the program with a guest, the probe, and what the program costs meanwhile."""
import contextlib
import dataclasses
import json
import re
import struct
import subprocess
import time

import api
import probe
from lab import Lab
from namespaces import Failed

MIB = 1 << 20
# What an attack may fill, and has to leave as it was. Not of these: fragments, which IPv6 keeps for a minute (RFC
# 8200 4.5), and tables that are small and never emptied.
HELD = ("tcp_flows", "tcp_attempts", "udp_flows", "ping_flows", "dns_questions", "frame_buffers")


@dataclasses.dataclass(frozen=True)
class Tools:
    program: str
    flood: str


@dataclasses.dataclass
class Vitals:
    """Of the process that handles packets. `held`: what it says it holds."""
    descriptors: int
    rss: int
    rss_peak: int
    cpu: float     # seconds on a processor since its start
    waited: float  # seconds in which it could have used one that others had
    held: dict

    @classmethod
    def of(cls, program, stats):
        with open(f"/proc/{program.pid}/status", encoding="ascii", errors="replace") as file:
            status = file.read()
        with open(f"/proc/{program.pid}/schedstat", encoding="ascii") as file:
            cpu, waited = (int(text) / 1e9 for text in file.read().split()[:2])
        rss, peak = (int(re.search(rf"^{key}:\s+(\d+)", status, re.MULTILINE)[1]) * 1024 for key in ("VmRSS", "VmHWM"))
        return cls(program.descriptors(), rss, peak, cpu, waited,
                   {name: stats["in_use"][name] for name in HELD})


@contextlib.contextmanager
def site(tools):
    """Where all scenes are: a laboratory, with the servers of the probes."""
    with Lab(tools.program) as lab, contextlib.ExitStack() as stack:
        lab.wan.sysctl("net.core.somaxconn", 65535)
        lab.probe_echo = probe.serve_echo(lab.wan, stack)
        probe.serve_names(lab.wan, stack)
        yield lab


class Scene:
    """A guest and the program, of which others may exist in the same laboratory. Use it as a context manager."""

    def __init__(self, lab, tools, full, *options, before=()):
        self.lab, self.full = lab, full
        self._flood = tools.flood
        self._options, self._before = options, before
        self._stack = contextlib.ExitStack()
        self.program = None

    def __enter__(self):
        with contextlib.ExitStack() as stack, self.lab.owned_by(stack):
            self.guest = self.lab.guest()
            self.guest.sysctl("net.ipv4.ping_group_range", "0 2147483647")
            self.api_path = f"{api.api_path(self.lab)}-{self.guest.pid}"
            self.program = self.lab.serve(self.guest, "-a", self.api_path, *self._options,
                                          before=self._before)
            self.probe = probe.Probe(self.guest, self.lab.probe_echo).start()
            stack.callback(self.probe.stop)
            self.rest(0.6)  # everything has been used once
            self.before = self.vitals()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        return self._stack.__exit__(*exception)

    @property
    def stack(self):
        """For what shall end with the scene."""
        return self._stack

    def choose(self, short, full):
        return full if self.full else short

    def rest(self, seconds):
        time.sleep(seconds)

    def vitals(self):
        return Vitals.of(self.program, self.stats())

    def flood(self, frames, count, *how, rate=0, seconds=0):
        """Sends frames from the guest (see flood.cpp); returns how many, and how many per second."""
        words = [self._flood, "tap0", rate, count, seconds, *how]
        data = b"".join(struct.pack("!H", len(frame)) + frame for frame in frames)
        process = self.guest.start(*map(str, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        output, errors = process.communicate(data)
        if process.returncode != 0:
            raise Failed(f"the flood failed: {errors.decode()}")
        done = json.loads(output)
        return done["sent"], done["sent"] / max(done["seconds"], 0.001)

    def stats(self):
        return api.request(self.api_path, "stats")["return"]

    def expect_counted(self, part, counter, least=1):
        """The attack has reached what it was aimed at: a counter of the program tells so. Returns its value."""
        value = self.stats()[part][counter]
        if value < least:
            raise Failed(f"{part}.{counter} is {value}: the attack has not got there")
        return value

    def expect_dropped(self, reason):
        if self.stats()["frames"]["dropped"][reason] == 0:
            raise Failed(f"no frame was dropped as {reason}: the attack has not got there")

    def expect_within_limits(self):
        """Whatever has a limit keeps to it."""
        stats = self.stats()
        for name, limit in stats["limits"].items():
            if stats["in_use"].get(name, 0) > limit:
                raise Failed(f"{stats['in_use'][name]} {name}, and {limit} is the limit")
