#!/usr/bin/env python3
"""What flows cost that do nothing: memory, processor time, and what they add to the cost of one that is busy.

    scale.py BINARY [OPTION]...

In namespaces made for the purpose (tests/e2e/lab.py). The guest's kernel opens more and more connections and leaves
them alone; one more goes on echoing. Processor time is the program's own (/proc/PID/schedstat), so a noisy machine
matters little. With lwip4netns UDP flows follow, and then connections that are opened and closed at once: after
those nothing may be left.
"""
import argparse
import contextlib
import os
import shutil
import socket
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))

import api  # noqa: E402 (the path above comes first)
import memory  # noqa: E402
import report  # noqa: E402
import runner  # noqa: E402
from lab import Lab  # noqa: E402
from namespaces import Failed, wait_for  # noqa: E402
from netio import connect, listener, udp  # noqa: E402
from stacks import Pasta, SlirpLike, listens  # noqa: E402

STEPS = (1, 100, 1_000, 10_000)
UDP_FLOWS = 4_000
# All run on the same one: to wake another processor costs more than a packet, and would hide its cost.
ONE_PROCESSOR = {0}
SETTLE = 8.0        # until TIME-WAIT is over and freed memory given back
ROUNDS = 20         # in which a measurement of processor time is taken
REST = 1.0          # seconds between an action and what is measured
IDLE_SECONDS = 5.0
TOLERANCE = 1.1     # of the cost of a packet, at any number of idle flows
MOST_PER_FLOW = 4096  # bytes
MOST_IDLE = 0.005   # of a processor
TABLES = 1 << 20    # bytes that they may keep of the room they have had
BACKLOG = 65535
METHOD = """- One guest, the program, and servers outside, as in the benchmarks; MTU 1500. The connections are those of
  the guest's kernel, and nothing is sent on them. The servers' kernel accepts them.
- Memory: the resident pages of all processes of the program, less what they were without a flow, per flow. What the
  host's kernel takes for each socket (about 3 KiB) comes on top, with any program.
- Idle: processor time in {idle:g} s in which nothing happens, all processes.
- Cost: processor time of the program for one round trip of 64 bytes on the connection that is busy, {trips:,} of them.
  Program, guest and servers share one processor: to wake another one costs more than a packet does. In
  parentheses: times the cost in a second process, measured by turns, that has no other connection."""


def processor_seconds(pids):
    """Time on a processor until now; exact, unlike the ticks of /proc/PID/stat."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


class Scale:
    """One program with its flows."""

    def __init__(self, lab, stack, options):
        self.lab, self.options = lab, options
        self.api_path = api.api_path(lab)
        self._stack = contextlib.ExitStack()
        lab.wan.sysctl("net.core.somaxconn", BACKLOG)
        self.guest = lab.guest()
        self.guest.sysctl("net.ipv4.ip_local_port_range", "1024 65000")
        self.program = stack.serve(lab, self.guest, 1500)
        for pid in self.program.processes():
            os.sched_setaffinity(pid, ONE_PROCESSOR)
        self.address = (stack.server, self._serve())
        wait_for(lambda: listens(self.guest, *self.address), "the server as seen from the guest")
        self._busy = self._stack.enter_context(connect(self.guest, stack.server, self._serve_echo()))
        self._busy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.round_trips(1_000)
        time.sleep(REST)
        self._flows = []
        self.empty = self.resident()

    def close(self):
        self._stack.close()
        for flow in self._flows:
            flow.close()

    def _serve(self):
        """A port whose connections the kernel accepts."""
        return self._stack.enter_context(listener(self.lab.wan, backlog=BACKLOG)).getsockname()[1]

    def _serve_echo(self):
        door = self._stack.enter_context(listener(self.lab.wan))

        def echo():
            peer, _ = door.accept()
            with peer, contextlib.suppress(OSError):
                peer.settimeout(None)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while data := peer.recv(4096):
                    peer.sendall(data)
        threading.Thread(target=echo, daemon=True).start()
        return door.getsockname()[1]

    def resident(self):
        return memory.resident(self.program.processes())

    def round_trips(self, count):
        """Seconds of processor time for each."""
        pids = self.program.processes()
        begin = processor_seconds(pids)
        for _ in range(count):
            self._busy.sendall(bytes(64))
            self._busy.recv(64, socket.MSG_WAITALL)
        return (processor_seconds(pids) - begin) / count

    def idle(self):
        """Processor time per second while nothing happens."""
        pids = self.program.processes()
        begin = processor_seconds(pids)
        time.sleep(IDLE_SECONDS)
        return (processor_seconds(pids) - begin) / IDLE_SECONDS

    def open_tcp(self, wanted):
        while len(self._flows) < wanted:
            self._flows.append(connect(self.guest, *self.address))

    def open_udp(self, count):
        """Each of them is asked and does not get an answer."""
        for _ in range(count):
            sock = udp(self.guest)
            sock.sendto(b"x", (self.address[0], 9))
            self._flows.append(sock)

    def measure(self, twin):
        """`twin`: the same program with the one busy connection alone."""
        time.sleep(REST)
        flows = len(self._flows)
        ours, alone = costs([self, twin], self.options.trips)
        return {"flows": flows, "bytes": (self.resident() - self.empty) / flows, "idle": self.idle(),
                "cost": ours, "ratio": ours / alone}

    def churn(self, count):
        """Opens and closes connections one after the other. The server closes first, so that the guest and the host
        have their ports back at once."""
        self.lab.host.sysctl("net.ipv4.ip_local_port_range", "1024 65000")
        with listener(self.lab.wan) as door:
            closer = threading.Thread(target=accept_and_close, args=(door, count), daemon=True)
            closer.start()
            for _ in range(count):
                with connect(self.guest, self.address[0], door.getsockname()[1]) as client:
                    client.recv(1)
            closer.join()


def accept_and_close(door, count):
    for _ in range(count):
        door.accept()[0].close()


def costs(scales, trips):
    """Of a round trip, by turns, so that a noisy moment hits all alike. The best of each: what disturbs only ever
    adds."""
    rounds = [[scale.round_trips(trips // ROUNDS) for scale in scales] for _ in range(ROUNDS)]
    return [min(values) for values in zip(*rounds)]


@contextlib.contextmanager
def scene(path, make, options):
    with Lab(options.binary) as lab:
        scale = Scale(lab, make(path), options)
        try:
            yield scale
        finally:
            scale.close()


def run(path, make, options):
    """A list of measurements; it ends where the program has no room for more flows."""
    rows = []
    try:
        with scene(path, make, options) as twin, scene(path, make, options) as scale:
            for wanted in options.steps:
                scale.open_tcp(wanted)
                rows.append(scale.measure(twin))
            if path == options.binary:
                scale.open_udp(UDP_FLOWS)
                rows.append(scale.measure(twin))
    except (Failed, OSError) as problem:
        print(f"   {os.path.basename(path)}: {problem} after {len(rows)} measurements", file=sys.stderr)
    return rows


def run_churn(options):
    """What is left after many connections: their number, and what was held before and after, with the RSS."""
    def held(scale):
        time.sleep(SETTLE)
        in_use = api.request(scale.api_path, "stats")["return"]["in_use"]
        return {"resident": scale.resident(), **{name: in_use[name] for name in ("tcp_flows", "descriptors")}}

    with scene(options.binary, SlirpLike, options) as scale:
        scale.churn(2_000)  # everything has been used once
        before = held(scale)
        scale.churn(options.churn)
        return options.churn, before, held(scale)


def table(results):
    head = ["", "flows", "bytes per flow", "idle, % of a processor", "cost of a round trip, µs"]
    rows = [head]
    for name, measured in results.items():
        for one in measured:
            rows.append([name, f"{one['flows']:,}", f"{one['bytes']:,.0f}" if one["flows"] >= 100 else "–",
                         f"{100 * one['idle']:.2f}", f"{1e6 * one['cost']:.1f} ({one['ratio']:.2f})"])
    return report.table(rows)


def told(churn):
    count, before, after = churn
    return (f"After {count:,} connections that were opened and closed: {after['resident'] / 1e6:.2f} MB resident, "
            f"{before['resident'] / 1e6:.2f} before;\n{after['descriptors']} descriptors, {before['descriptors']} "
            f"before; {after['tcp_flows']} TCP flows (the busy one, and what asked for the server), "
            f"{before['tcp_flows']} before.")


def missed(measured, churn):
    """The targets that were missed, as text."""
    complaints = []
    for one in measured:
        where = f"with {one['flows']:,} flows"
        if one["ratio"] > TOLERANCE:
            complaints.append(f"{where} a round trip costs {one['ratio']:.2f} times as much")
        if one["flows"] >= 1_000 and one["bytes"] > MOST_PER_FLOW:
            complaints.append(f"{where} each takes {one['bytes']:.0f} bytes")
        if one["idle"] > MOST_IDLE:
            complaints.append(f"{where} the program is never idle: {100 * one['idle']:.1f} %")
    count, before, after = churn
    if (after["resident"] > before["resident"] * 1.05 + TABLES or after["descriptors"] > before["descriptors"] or
            after["tcp_flows"] > before["tcp_flows"]):
        complaints.append(f"{count:,} connections have left something behind")
    return complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=os.path.abspath, help="lwip4netns")
    parser.add_argument("--steps", type=lambda text: [int(n) for n in text.split(",")], default=list(STEPS),
                        help="numbers of connections; default: 1,100,1000,10000")
    parser.add_argument("--trips", type=int, default=20_000, help="round trips of a measurement; default: 20000")
    parser.add_argument("--churn", type=int, default=100_000, help="connections one after the other; default: 100000")
    parser.add_argument("--only-ours", action="store_true", help="leave the peers out")
    parser.add_argument("--markdown", metavar="FILE", help="also write the report to this file")
    parser.add_argument("--check", action="store_true", help="exit with failure when a target is missed")
    options = parser.parse_args()
    runner.prepare()
    os.sched_setaffinity(0, ONE_PROCESSOR)
    results = {report.OURS: run(options.binary, SlirpLike, options)}
    for name, make in (() if options.only_ours else (("slirp4netns", SlirpLike), ("pasta", Pasta))):
        if path := shutil.which(name):
            results[name] = run(path, make, options)
    print(table(results), flush=True)
    churn = run_churn(options)
    text = "\n\n".join([METHOD.format(idle=IDLE_SECONDS, trips=options.trips), table(results), told(churn)]) + "\n"
    print(text)
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(text)
    complaints = missed(results[report.OURS], churn)
    print("\n".join(complaints) or "all targets reached")
    if options.check and complaints:
        sys.exit(1)


if __name__ == "__main__":
    main()
