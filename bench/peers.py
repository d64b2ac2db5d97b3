#!/usr/bin/env python3
"""Compares lwip4netns with its peers, with the kernel alone and with a plain TCP relay, the practical limit.

    peers.py BINARY [OPTION]... [TEST]...      tests: bulk noscale http crr forward rtt udp udprtt dns

Everything happens in namespaces made for the purpose (tests/e2e/lab.py), on one machine: guest, stack and
servers share its processors. An implementation gets a fresh laboratory each time, and within each repetition
the implementations take turns, so that a noisy moment hits all alike. Idle memory is measured in any case.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))

import memory  # noqa: E402 (the path above comes first)
import report  # noqa: E402
import runner  # noqa: E402
from lab import WAN_IP, WAN_IP6, Lab  # noqa: E402
from namespaces import Failed, wait_for  # noqa: E402
from stacks import FORWARDED_PORT, Pasta, Relay, SlirpLike, SlirpLike6, Veth, listens  # noqa: E402

IPERF_PORT, SOCKPERF_PORT, HTTP_PORT = 5201, 11111, 8080
PORTS = (IPERF_PORT, SOCKPERF_PORT, HTTP_PORT)
CONGESTION_CONTROL = "cubic"  # what most kernels default to
CONNECTIONS = 32
DATAGRAM = 1400  # bytes of UDP payload
DNS_NAME = "bench.test"
MB = 1e6

NGINX = """pid {folder}/pid; worker_processes 1; error_log /dev/null; daemon off;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000; server {{
listen {port} backlog=8192; listen [::]:{port} backlog=8192;
location / {{ default_type text/plain; return 200 'ok'; }} }} }}
"""

METHOD = """- Three network namespaces on one machine: guest, host with the program under test, and one with
  the servers, the last two joined by a veth of MTU 1500. The MTU in the tables is that of the guest's
  interface. Guest, program and servers share the processors. {congestion} congestion control everywhere.
- `{ours6}` is lwip4netns again, with the guest, the servers and all questions on IPv6. (sockperf knows no
  IPv6, hence no round trips there.)
- `veth` is the kernel alone (routing); `relay` a process between two veths that accepts, connects, and
  copies with recv and send (256 KiB buffers).
- Bulk: iperf3, one flow, {secs} s after 1 s of warm-up.
- HTTP: wrk, one thread, {connections} connections, nginx answering two bytes; `Connection: close` for new
  connections. Round trip: sockperf ping-pong over TCP and over UDP.
- UDP: iperf3 sends {datagram} bytes a datagram as fast as it can; what arrived is counted.
- DNS: dnsperf asks for one name over UDP, at most 100 questions at a time; a server that
  does nothing else answers.
- Memory: when idle the resident pages of all processes of the program, those that they share counted once;
  the peak is the sum of the processes' high-water marks after both bulk runs.
- Repetitions: {reps}, the implementations taking turns within each."""


class Bench:
    """One laboratory with its servers and one stack that serves a guest."""

    def __init__(self, lab, stack, mtu, options):
        self.lab, self.stack, self.secs, self.tools = lab, stack, options.secs, options.tools
        self._start_servers()
        self.guest = lab.guest()
        for place in (lab.host, lab.wan, self.guest):
            place.sysctl("net.ipv4.tcp_congestion_control", CONGESTION_CONTROL)
            place.sysctl("net.ipv4.ip_local_port_range", "1024 65000")
        self.program = stack.serve(lab, self.guest, mtu)
        wait_for(lambda: listens(self.guest, stack.server, HTTP_PORT), "the servers as seen from the guest")

    def start_nginx(self, place, port):
        folder = f"{self.lab.directory}/nginx-{port}"
        os.mkdir(folder)
        with open(f"{folder}/conf", "w", encoding="ascii") as file:
            file.write(NGINX.format(folder=folder, port=port))
        place.start("nginx", "-c", f"{folder}/conf")

    def _start_servers(self):
        wan = self.lab.wan
        wan.start("iperf3", "--server", "--port", str(IPERF_PORT))
        wan.start("sockperf", "server", "--tcp", "-i", "0.0.0.0", "-p", str(SOCKPERF_PORT))
        wan.start("sockperf", "server", "-i", "0.0.0.0", "-p", str(SOCKPERF_PORT))
        wan.start(self.tools["bench_dns_answerer"], WAN_IP, "53")
        self.start_nginx(wan, HTTP_PORT)
        for port in PORTS:
            wait_for(lambda p=port: listens(wan, "127.0.0.1", p), f"server on port {port}")

    def run(self, *argv):
        return self.guest.run(*map(str, argv), timeout=self.secs + 60).stdout

    def iperf(self, *direction):
        """Gbit/s that arrived."""
        output = self.run("iperf3", "--json", "--omit", 1, "--time", self.secs,
                          "--client", self.stack.server, *direction)
        gbps = json.loads(output)["end"]["sum_received"]["bits_per_second"] / 1e9
        if gbps == 0:
            raise Failed("iperf3: nothing arrived")
        return gbps

    def wrk(self, *options):
        return self.wrk_from(self.guest, self.stack.server, HTTP_PORT, *options)

    def wrk_from(self, place, server, port, *options):
        """Answers per second; failures of single connections would make the number worthless."""
        output = place.run("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{self.secs}s", *options,
                           f"http://{in_url(server)}:{port}/", timeout=self.secs + 60).stdout
        if "Socket errors" in output:
            warn("wrk: " + re.search(r"Socket errors: .*", output)[0])
        return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def in_url(address):
    return f"[{address}]" if ":" in address else address


# The tests: each returns metrics of report.METRICS.

def test_idle(bench):
    return {"idle": memory.resident(bench.program.processes()) / MB} if bench.program else {}


def test_bulk(bench):
    metrics = {"up": bench.iperf(), "down": bench.iperf("--reverse")}
    if bench.program:
        metrics["peak"] = memory.peak(bench.program.processes()) / MB
    return metrics


def test_noscale(bench):
    """Only among programs with the same command line: this is about their windows toward the guest."""
    if not isinstance(bench.stack, SlirpLike):
        return {}
    bench.guest.sysctl("net.ipv4.tcp_window_scaling", 0)
    try:
        return {"noscale_up": bench.iperf(), "noscale_down": bench.iperf("--reverse")}
    finally:
        bench.guest.sysctl("net.ipv4.tcp_window_scaling", 1)


def test_http(bench):
    return {"http": bench.wrk()}


def test_crr(bench):
    return {"crr": bench.wrk("-H", "Connection: close")}


def test_forward(bench):
    if bench.stack.entrance is None:
        return {}
    bench.guest.run("ip", "link", "set", "lo", "up")  # not every stack does
    bench.start_nginx(bench.guest, FORWARDED_PORT)
    wait_for(lambda: listens(bench.guest, "127.0.0.1", FORWARDED_PORT), "the server in the guest")
    return {"forward": bench.wrk_from(bench.lab.wan, bench.stack.entrance, FORWARDED_PORT,
                                      "-H", "Connection: close")}


def round_trip(bench, *options):
    """µs; sockperf reports half a round trip."""
    output = bench.run("sockperf", "ping-pong", *options, "-i", bench.stack.server, "-p", SOCKPERF_PORT,
                       "-t", bench.secs, "-m", 64)
    return 2 * float(re.search(r"Summary: Latency is ([\d.]+)", output)[1])


def test_rtt(bench):
    if bench.stack.server == WAN_IP6:
        return {}  # sockperf knows no IPv6
    return {"rtt": round_trip(bench, "--tcp")}


def udp_rate(bench, *direction):
    """Datagrams per second that arrived."""
    output = bench.run("iperf3", "--json", "--udp", "--bandwidth", 0, "--length", DATAGRAM, "--time", bench.secs,
                       "--client", bench.stack.server, *direction)
    total = json.loads(output)["end"]["sum"]
    return (total["packets"] - total["lost_packets"]) / total["seconds"]


def test_udp(bench):
    if bench.stack.resolver is None:
        return {}
    return {"udp_up": udp_rate(bench), "udp_down": udp_rate(bench, "--reverse")}


def test_udprtt(bench):
    if bench.stack.resolver is None or bench.stack.server == WAN_IP6:
        return {}
    return {"udp_rtt": round_trip(bench)}


def test_dns(bench):
    if bench.stack.resolver is None:
        return {}
    questions = f"{bench.lab.directory}/questions"
    with open(questions, "w", encoding="ascii") as file:
        file.write(f"{DNS_NAME} A\n")
    output = bench.run("dnsperf", "-s", bench.stack.resolver, "-d", questions, "-l", bench.secs, "-q", 100)
    return {"dns": float(re.search(r"Queries per second:\s+([\d.]+)", output)[1])}


TESTS = {"idle": test_idle, "bulk": test_bulk, "noscale": test_noscale, "http": test_http, "crr": test_crr,
         "forward": test_forward, "rtt": test_rtt, "udp": test_udp,
         "udprtt": test_udprtt, "dns": test_dns}


def measure(stack, mtu, options):
    """All tests of one implementation in a laboratory of its own."""
    metrics = {}
    lab = Lab(options.binary)
    try:
        with lab:
            bench = Bench(lab, stack, mtu, options)
            for name in ["idle", *options.tests]:
                metrics.update(run_test(name, bench))
    except Failed as problem:
        warn("\n".join([str(problem), *(program.log() for program in lab.programs)]))
    return metrics


def run_test(name, bench):
    """The metrics of one test; a test that fails has none, and the others go on."""
    try:
        return TESTS[name](bench)
    except (Failed, ValueError, TypeError, KeyError, subprocess.TimeoutExpired) as problem:
        warn(f"{name} failed: {problem}")
        return {}


def warn(text):
    print("   " + text.replace("\n", "\n   "), file=sys.stderr, flush=True)


def run_all(stacks, options):
    """Every MTU, repetition and implementation, in this order of nesting."""
    results = {}
    for mtu in options.mtus:
        for repetition in range(options.reps):
            for name, stack in stacks.items():
                metrics = measure(stack, mtu, options)
                for metric, value in metrics.items():
                    results.setdefault((mtu, name, metric), []).append(value)
                shown = ", ".join(f"{metric} {report.number(value)}" for metric, value in metrics.items())
                print(f"MTU {mtu}, {repetition + 1} of {options.reps}, {name}: {shown}", flush=True)
    return results


def find_stacks(options):
    """The implementations that are asked for and there, in the order of the tables; and their versions."""
    known = {report.OURS: (options.binary, SlirpLike),
             report.OURS6: (options.binary, SlirpLike6),
             "slirp4netns": (shutil.which("slirp4netns"), SlirpLike),
             "pasta": (shutil.which("pasta"), Pasta),
             "relay": (options.tools["bench_relay"], lambda path: Relay(path, PORTS))}
    stacks, versions = {}, []
    for name in options.impl:
        if name == "veth":
            stacks[name] = Veth()
            continue
        path, make = known[name]
        if not path or not os.access(path, os.X_OK):
            warn(f"{name}: not found, left out")
            continue
        stacks[name] = make(path)
        if name == report.OURS:
            versions.append((name, report.first_line(path, "--version").split()[-1]))
        elif name not in ("relay", report.OURS6):
            versions.append((name, report.package_version({"pasta": "passt"}.get(name, name))))
    return stacks, versions


def comma_separated(kind=str):
    return lambda text: [kind(part) for part in text.split(",")]


TOOLS = ("bench_relay", "bench_dns_answerer")
IMPLEMENTATIONS = (report.OURS, report.OURS6, "slirp4netns", "pasta", "veth", "relay")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=os.path.abspath, help="lwip4netns")
    parser.add_argument("tests", nargs="*", metavar="TEST", help="default: all")
    parser.add_argument("--impl", type=comma_separated(), default=list(IMPLEMENTATIONS),
                        help=f"implementations, comma-separated; default: {','.join(IMPLEMENTATIONS)}")
    parser.add_argument("--mtu", dest="mtus", type=comma_separated(int), default=[1500, 65520],
                        help="comma-separated; default: 1500,65520")
    parser.add_argument("--secs", type=int, default=2, help="length of each measurement; default: 2")
    parser.add_argument("--reps", type=int, default=3, help="repetitions; default: 3")
    parser.add_argument("--tools", metavar="FOLDER",
                        help="of bench_relay and so on; default: beside the binary's folder in the build tree")
    parser.add_argument("--markdown", metavar="FILE", help="also write the report to this file")
    parser.add_argument("--json", metavar="FILE", help="also write all values to this file")
    parser.add_argument("--check", action="store_true", help="exit with failure when a target is missed")
    options = parser.parse_intermixed_args()
    for name in options.tests:
        if name not in TESTS:
            parser.error(f"unknown test {name}; there are {', '.join(TESTS)}")
    for name in options.impl:
        if name not in IMPLEMENTATIONS:
            parser.error(f"unknown implementation {name}; there are {', '.join(IMPLEMENTATIONS)}")
    folder = options.tools or os.path.join(os.path.dirname(options.binary), "..", "bench")
    options.tools = {name: os.path.abspath(os.path.join(folder, name)) for name in TOOLS}
    options.tests = [name for name in options.tests or TESTS if name != "idle"]
    return options


def require_congestion_control():
    """Namespaces may only take what the machine allows all of them."""
    with open("/proc/sys/net/ipv4/tcp_allowed_congestion_control", encoding="ascii") as file:
        allowed = file.read().split()
    if CONGESTION_CONTROL not in allowed:
        words = " ".join([*allowed, CONGESTION_CONTROL])
        sys.exit(f"this machine does not allow {CONGESTION_CONTROL} congestion control to all; "
                 f"sysctl -w net.ipv4.tcp_allowed_congestion_control='{words}' changes that")


def main():
    options = parse_arguments()
    require_congestion_control()
    runner.prepare()
    stacks, versions = find_stacks(options)
    results = run_all(stacks, options)
    method = METHOD.format(secs=options.secs, reps=options.reps, connections=CONNECTIONS, datagram=DATAGRAM,
                           ours6=report.OURS6, congestion=CONGESTION_CONTROL.capitalize())
    text = report.document(results, options.mtus, list(stacks), versions, method)
    print("\n" + text)
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(text)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            values = {f"{name}@{mtu} {metric}": v for (mtu, name, metric), v in results.items()}
            json.dump(values, file, indent=1)
    if options.check and not all(row[-1] for row in report.target_rows(results, options.mtus)):
        sys.exit("a target was missed")


if __name__ == "__main__":
    main()
