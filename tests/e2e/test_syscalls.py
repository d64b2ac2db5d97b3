#!/usr/bin/env python3
"""The system calls that the sealed program makes, compared with the table of those that it may make.

usage: test_syscalls.py PROGRAM SECCOMP_TABLE

Cases of the other scripts, which together use every feature, run with strace at the program. None of its calls may
be outside the table (tests/netns/seccomp_table.cpp prints it), and no rule of the table that is needed everywhere
may be without a call: what nobody needs is no business of a process that may have been taken over.
"""
import collections
import dataclasses
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
WORKER, SUPERVISOR = KINDS = ("worker", "supervisor")  # of a command of `run`

CASES = {
    "api": ["statistics"],
    "forward": ["udp_answers_from_the_address_that_was_asked@ipv6", "refused_by_the_guest"],
    "icmp": ["outside", "outside@ipv6", "without_ping_sockets_as_root", "traceroute_tcp@ipv6"],
    "outbound": ["by_address", "each_family_by_its_own_interface"],
    "run_terminal": ["stop_key", "hang_up", "killed_shell_leaves_the_terminal_usable", "signal_during_the_start"],
    "sandbox": ["everything_works", "run_works", "run_forwards_signals_and_ends_what_is_left"],
    "targets": ["bess", "tapfd_goes_on_without_us"],
    "udp": ["bursts_of_equal_datagrams", "path_mtu_discovery", "tos_is_passed_on",
            "tos_is_passed_on@ipv6", "closed_ports@ipv6"],
}


@dataclasses.dataclass(frozen=True)
class Rule:
    call: str
    error: int   # with which the call fails, or 0
    need: str
    tests: str   # "index:mask:value ..."
    why: str

    def fits(self, call):
        return self.call == call.name and all(call.passes(*test.split(":")) for test in self.tests.split())

    def __str__(self):
        return f"{self.call}({self.tests}): {self.why}"


@dataclasses.dataclass(frozen=True)
class Call:
    name: str
    arguments: tuple
    process: "Process"

    def passes(self, index, mask, value):
        argument = self.arguments[int(index)]
        if value == "self":
            return argument == self.process.pid
        if value == "child":
            return argument in self.process.children
        return argument & int(mask, 0) == int(value, 0)

    def __str__(self):
        return f"{self.name}({', '.join(map(hex, self.arguments))})"


class Process:
    """One run of the program, from strace's file."""

    LINE = re.compile(r"(?P<name>\w+)\((?P<arguments>[^)]*)\) += (?P<result>\S+)")
    FORKS = ("clone", "clone3", "fork", "vfork")

    def __init__(self, path):
        self.kind, pid = os.path.basename(path).split("-")
        self.pid, self.children, self.sealed = int(pid), set(), []
        is_sealed = False
        with open(path, encoding="ascii") as file:
            for found in filter(None, map(self.LINE.match, file)):
                arguments = tuple(int(word, 0) for word in found["arguments"].split(", ") if word)
                if is_sealed:
                    self.sealed.append(Call(found["name"], arguments, self))
                elif found["name"] in self.FORKS and found["result"] not in ("-1", "?"):
                    self.children.add(int(found["result"], 0))
                is_sealed = is_sealed or self._loads_filter(found["name"], arguments, found["result"])

    @staticmethod
    def _loads_filter(name, arguments, result):
        set_mode_filter = {"seccomp": (1,), "prctl": (22, 2)}.get(name)
        return set_mode_filter is not None and arguments[:len(set_mode_filter)] == set_mode_filter and result == "0"


def read_table(tool, kind):
    text = subprocess.run([tool, kind], check=True, capture_output=True, text=True).stdout
    rows = [line.split("\t") for line in text.splitlines()]
    return [Rule(call, int(error), need, tests, why) for call, error, need, tests, why in rows]


def run_script(name, cases, program, folder):
    """Runs cases of one script; returns the processes that the program was."""
    traces = f"{folder}/{name}"
    os.mkdir(traces)
    os.chmod(traces, 0o777)
    environment = {**os.environ, "E2E_TRACED": program, "E2E_TRACE_FOLDER": traces}
    script = [sys.executable, "-B", f"{HERE}/test_{name}.py", f"{HERE}/traced.sh", *cases]
    subprocess.run(script, check=True, env=environment, stdin=subprocess.DEVNULL)
    return [Process(f"{traces}/{entry}") for entry in sorted(os.listdir(traces))]


def watch(program):
    """All processes of all cases."""
    with tempfile.TemporaryDirectory(prefix="e2e-syscalls-") as folder:
        os.chmod(folder, 0o755)
        copy = shutil.copy(program, f"{folder}/lwip4netns")
        os.chmod(copy, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        return [process for name, cases in CASES.items() for process in run_script(name, cases, copy, folder)]


def compare(processes, tables):
    """Calls outside the table of their process, and rules by how often they were used."""
    outside, uses = set(), collections.Counter()
    for process in processes:
        for call in process.sealed:
            fitting = [rule for rule in tables[process.kind] if rule.fits(call)]
            uses.update(fitting)
            if not fitting:
                outside.add(f"{process.kind}: {call}")
    return outside, uses


def main():
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} PROGRAM SECCOMP_TABLE")
    tables = {kind: read_table(sys.argv[2], kind) for kind in KINDS}
    processes = watch(sys.argv[1])
    sealed = collections.Counter(process.kind for process in processes if process.sealed)
    outside, uses = compare(processes, tables)
    every_rule = dict.fromkeys(rule for table in tables.values() for rule in table)
    useless = [rule for rule in every_rule if rule.need == "everywhere" and not uses[rule]]

    print(f"{sum(uses.values())} calls of {dict(sealed)}")
    for rule in every_rule:
        print(f"{uses[rule]:8} {rule.need:10}  {'refused ' if rule.error else ''}{rule}")
    problems = [f"outside the table: {call}" for call in sorted(outside)]
    problems += [f"nobody needs {rule}" for rule in useless]
    problems += [f"no {kind} was seen" for kind in KINDS if not sealed[kind]]
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
