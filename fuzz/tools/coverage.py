#!/usr/bin/env python3
"""What the corpora cover: replays all of them with the runners of the coverage build, and tells for nat/ and
stack/ how many lines and branches were reached.

usage: coverage.py BUILD_DIR [--missing] [--only HARNESS]... [--at-least PERCENT]

--missing   lists the lines that were not reached
--only      replays these harnesses only
--at-least  fails when fewer lines were reached

Files that do nothing but call the kernel are told apart: no harness has a kernel to play with. The end-to-end
tests and tests/nat run them, and are not counted here.
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
KERNEL_FACING = {
    "nat/host_ping.cpp",
    "nat/host_sockets.cpp",
    "nat/kernel_udp.cpp",
    "nat/socket_io.cpp",
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
    """Runs one harness over its corpus and its regressions; the profile goes to `into`."""
    inputs = [path for path in (TOP / "fuzz/corpus" / program.name, TOP / "tests/regress" / program.name)
              if path.is_dir()]
    if not inputs:
        sys.exit(f"coverage: {program.name} has no corpus")
    done = subprocess.run([program, *inputs], env={**os.environ, "LLVM_PROFILE_FILE": str(into)},
                          capture_output=True, text=True,
                          errors="replace", check=False)
    if done.returncode != 0:
        sys.exit(f"coverage: {program.name} failed:\n{done.stdout}{done.stderr}")


def lcov(programs, profile):
    """The coverage of all programs together, in lcov's format."""
    objects = [word for program in programs[1:] for word in ("-object", program)]
    command = [tool("llvm-cov"), "export", "-format=lcov", f"-instr-profile={profile}", programs[0], *objects]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


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
    """Prints it all; returns the share of lines of what harnesses can reach."""
    for name in sorted(files):
        print(row(name, [files[name]]))
        if missing and files[name].missing():
            print(f"    {ranges(files[name].missing())}")
    print()
    rest = {name: file for name, file in files.items() if name not in KERNEL_FACING}
    for folder in FOLDERS:
        print(row(f"{folder}/ without these", [file for name, file in rest.items()
                                               if name.startswith(f"{folder}/")]))
    print(row("all of nat/ and stack/", list(files.values())))
    print(row("  what only calls the kernel", [file for name, file in files.items()
                                               if name in KERNEL_FACING]))
    print(row("  what harnesses can reach", list(rest.values())))
    return percent(*share([count for file in rest.values() for count in file.lines.values()]))


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
        reached = report(counts_of(lcov(programs, merged)), options.missing)
    if reached < options.at_least:
        sys.exit(f"coverage: {reached:.1f} % of the lines, {options.at_least} % are wanted")


if __name__ == "__main__":
    main()
