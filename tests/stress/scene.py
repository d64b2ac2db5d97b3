"""One attack's scene: a laboratory, the program with a guest, the probe, and what the program costs meanwhile."""
import contextlib
import dataclasses
import json
import os
import re
import struct
import subprocess
import time

import api
import probe
from lab import Lab
from namespaces import Failed

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Tools:
    program: str
    flood: str


@dataclasses.dataclass
class Vitals:
    """Of the process that handles packets."""
    descriptors: int
    rss: int
    rss_peak: int
    cpu: float  # seconds since its start

    @classmethod
    def of(cls, program):
        with open(f"/proc/{program.pid}/status", encoding="ascii", errors="replace") as file:
            status = file.read()
        with open(f"/proc/{program.pid}/stat", encoding="ascii", errors="replace") as file:
            ticks = file.read().rsplit(")", 1)[1].split()[11:13]
        rss, peak = (int(re.search(rf"^{key}:\s+(\d+)", status, re.MULTILINE)[1]) * 1024 for key in ("VmRSS", "VmHWM"))
        return cls(program.descriptors(), rss, peak, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"))


class Scene:
    """Use it as a context manager."""

    def __init__(self, tools, full, *options, before=()):
        self.full = full
        self.lab = Lab(tools.program)
        self._flood = tools.flood
        self._options, self._before = options, before
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.lab)
            self.echo_address = probe.serve_echo(self.lab.wan, stack)
            probe.serve_names(self.lab.wan, stack)
            self.guest = self.lab.guest()
            self.guest.sysctl("net.ipv4.ping_group_range", "0 2147483647")
            self.api_path = api.api_path(self.lab)
            self.program = self.lab.serve(self.guest, "-a", self.api_path, *self._options,
                                          before=self._before)
            self.probe = probe.Probe(self.guest, self.echo_address).start()
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
        return Vitals.of(self.program)

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
