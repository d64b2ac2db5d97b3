#!/usr/bin/env python3
"""What the corpora cover: replays all of them with the runners of the coverage build, and tells for nat/ and
stack/ how many lines and branches were reached.

usage: coverage.py BUILD_DIR [--missing] [--only HARNESS]... [--at-least PERCENT]

--missing   lists the lines that were not reached
--only      replays these harnesses only
--at-least  fails when fewer lines of nat/ or of stack/ were reached

A file that no harness is linked with counts as not reached. Those that do nothing but call the kernel are
told apart, each with its reason: no harness has a kernel to play with. The end-to-end tests and tests/nat run
them, and are not counted here.
"""
import argparse
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("nat", "stack")
# What they read and decide is elsewhere: nat/icmp_error.cpp (entries of error queues), nat/outbound.cpp.
KERNEL_FACING = {
    "nat/host_ping.cpp": "ping and raw ICMP sockets, their options and error queues",
    "nat/host_sockets.cpp": "TCP sockets and those of resolvers: connect, accept, readv, writev, shutdown",
    "nat/kernel_udp.cpp": "UDP sockets: sendmsg and recvmsg with what goes beside the data",
    "nat/socket_io.cpp": "setsockopt, bind, getsockname, recvmsg, and the control messages of these",
}


class Counts:
    """Lines and branches of one file: number -> times reached."""

    def __init__(self):
        self.lines = {}
        self.branches = {}

    def missing(self):
        return sorted(line for line, count in self.lines.items() if count == 0)


def tool(name):
    """llvm-cov and its like, whichever version there is."""
    for candidate in (name, *(f"{name}-{version}" for version in range(30, 13, -1))):
        if shutil.which(candidate):
            return candidate
    sys.exit(f"coverage: {name} is missing (Debian: llvm)")


def replay(program, into):
    """Runs one harness over its corpus and its regressions; the profile goes to `into`. Tells how many inputs
    there are, and how many a second of this build, which counts, takes."""
    inputs = [path for path in (TOP / "fuzz/corpus" / program.name, TOP / "tests/regress" / program.name)
              if path.is_dir()]
    if not inputs:
        sys.exit(f"coverage: {program.name} has no corpus")
    done = subprocess.run([program, *inputs], env={**os.environ, "LLVM_PROFILE_FILE": str(into)},
                          capture_output=True, text=True,
                          errors="replace", check=False)
    if done.returncode != 0:
        sys.exit(f"coverage: {program.name} failed:\n{done.stdout}{done.stderr}")
    files = [file for path in inputs for file in path.rglob("*") if file.is_file()]
    rate = re.search(r"(\d+) executions, (\d+)/s", done.stdout)
    print(f"{program.name:<14} {len(files):>5} inputs {sum(file.stat().st_size for file in files):>8} bytes "
          f"{int(rate[2]):>8}/s")


def lcov(binaries, profile):
    """The coverage of all binaries together, in lcov's format."""
    objects = [word for binary in binaries[1:] for word in ("-object", binary)]
    command = [tool("llvm-cov"), "export", "-format=lcov", f"-instr-profile={profile}", binaries[0], *objects]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def add_unlinked(files, build, profile):
    """The sources that no program holds anything of, as their object files know them: nothing is reached."""
    for source in sorted(path for folder in FOLDERS for path in (TOP / folder).glob("*.cpp")):
        name = str(source.relative_to(TOP))
        objects = list((build / source.parent.name).glob(f"CMakeFiles/*.dir/{source.name}.o"))
        if name in files or not objects:
            continue
        for other, counts in counts_of(lcov(objects[:1], profile)).items():
            files.setdefault(other, counts)


def counts_of(text):
    """File (relative) -> Counts, for the folders that matter."""
    files = collections.defaultdict(Counts)
    current = None
    for line in text.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            # By its end: a compiler cache may know the file by where another copy of the tree is.
            found = re.search(f"(?:^|/)((?:{'|'.join(FOLDERS)})/[^/]*)$", rest)
            current = files[found[1]] if found and (TOP / found[1]).exists() else None
        elif current is not None and kind == "DA":
            number, count = rest.split(",")[:2]
            current.lines[int(number)] = current.lines.get(int(number), 0) + int(count)
        elif current is not None and kind == "BRDA":
            *place, count = rest.split(",")
            current.branches[tuple(place)] = current.branches.get(tuple(place), 0) + (0 if count == "-"
                                                                                      else int(count))
    return files


def share(counts):
    """(reached, all)"""
    return sum(1 for count in counts if count > 0), len(counts)


def percent(reached, total):
    return 100.0 * reached / total if total else 100.0


def row(name, files):
    lines = share([count for file in files for count in file.lines.values()])
    branches = share([count for file in files for count in file.branches.values()])
    return (f"{name:<30} lines {lines[0]:>5}/{lines[1]:<5} {percent(*lines):5.1f} %   "
            f"branches {branches[0]:>5}/{branches[1]:<5} {percent(*branches):5.1f} %")


def ranges(numbers):
    """[1, 2, 3, 7] -> "1-3 7"."""
    groups = []
    for number in numbers:
        if groups and groups[-1][1] == number - 1:
            groups[-1][1] = number
        else:
            groups.append([number, number])
    return " ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in groups)


def report(files, missing):
    """Prints it all; returns the smallest share of lines of what harnesses can reach in a folder."""
    for name in sorted(files):
        print(row(name, [files[name]]))
        if missing and files[name].missing():
            print(f"    {ranges(files[name].missing())}")
    print()
    for name in sorted(set(KERNEL_FACING) & set(files)):
        print(f"apart: {name}: {KERNEL_FACING[name]}")
    print()
    rest = {name: file for name, file in files.items() if name not in KERNEL_FACING}
    reached = []
    for folder in FOLDERS:
        inside = [file for name, file in rest.items() if name.startswith(f"{folder}/")]
        print(row(f"{folder}/ without what is apart", inside))
        reached.append(percent(*share([count for file in inside for count in file.lines.values()])))
    print(row("all of nat/ and stack/", list(files.values())))
    print(row("  what only calls the kernel", [file for name, file in files.items()
                                               if name in KERNEL_FACING]))
    print(row("  what harnesses can reach", list(rest.values())))
    return min(reached)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--only", action="append")
    parser.add_argument("--at-least", type=float, default=0.0)
    options = parser.parse_args()
    programs = [path for path in sorted((options.build / "fuzz").iterdir())
                if path.is_file() and (TOP / "fuzz/harness" / f"{path.name}.cpp").exists()
                and (not options.only or path.name in options.only)]
    if not programs:
        sys.exit(f"coverage: no runners in {options.build / 'fuzz'}")
    with tempfile.TemporaryDirectory() as directory:
        profiles = []
        for program in programs:
            profiles.append(pathlib.Path(directory) / program.name)
            replay(program, profiles[-1])
        merged = pathlib.Path(directory) / "merged"
        subprocess.run([tool("llvm-profdata"), "merge", "-sparse", "-o", merged, *profiles], check=True)
        files = counts_of(lcov(programs, merged))
        add_unlinked(files, options.build, merged)
        print()
        reached = report(files, options.missing)
    if reached < options.at_least:
        sys.exit(f"coverage: {reached:.1f} % of the lines, {options.at_least} % are wanted")


if __name__ == "__main__":
    main()
