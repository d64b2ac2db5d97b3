#!/usr/bin/env python3
"""Checks how the sources hang together.

1. A folder includes only what it may use (see RULES): the floor plan of the program.
2. Every header of ours has `#pragma once` and compiles alone: the build shows it of those that the source file of
   the same name includes before all else, and the others are compiled here.

usage: structure_test.py SOURCE_DIR SCRATCH_DIR COMPILER [FLAG...]
COMPILER may be several words (`ccache g++`); FLAGs are those that find the libraries' headers.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import unittest

# Folder -> folders whose headers it may include. A file belongs to the longest folder that matches.
RULES = {
    "netns/sys": {"netns/sys"},
    "netns": {"netns/sys", "netns"},
    "stack": {"netns/sys", "stack"},
    "nat": {"netns/sys", "stack", "nat"},
    "cli": {"netns/sys", "netns", "stack", "nat", "cli"},
    "fuzz": {"netns/sys", "netns", "stack", "nat", "cli", "fuzz", "tests"},
}
# Folders that may be used as RULES say, while their own files may include what they want.
FREE = {"tests"}
# Headers of libraries -> folders that may include them. Everything else in <> comes with the system.
LIBRARIES = {
    r"lwip/|netif/|arch/|hooks\.h$": {"stack"},
    r"sys/capability\.h": {"netns"},
    r"libmnl/": {"netns"},
    r"nlohmann/": {"cli", "fuzz"},
    r"seccomp\.h": {"netns", "cli"},
    r"fmt/": set(RULES),
}
# lwIP's configuration and its port: C, and included by lwIP under names of lwIP's choice.
LWIP_PORT = "stack/lwip"

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def folder_of(path):
    """The folder of RULES or FREE that `path` (relative, as text) lies in, or None."""
    matches = [folder for folder in {*RULES, *FREE} if path.startswith(folder + "/")]
    return max(matches, key=len) if matches else None


def complaint_about(folder, quote, name):
    """What is wrong with an include of `name` in `folder`, or None."""
    for pattern, users in LIBRARIES.items():
        if re.match(pattern, name):
            return None if folder in users else f"{name} is not for {folder}/"
    if folder_of(name) is None:
        return None if quote == "<" else f"{name}: name headers from the top of the source tree"
    if quote == "<":
        return f'{name} is ours: include it with ""'
    if folder_of(name) not in RULES[folder]:
        return f"{folder}/ may not use {folder_of(name)}/ ({name})"
    return None


def complaints(path, text):
    """All complaints about the includes of one file."""
    folder = folder_of(path)
    found = []
    for quote, name in INCLUDE.findall(text):
        complaint = complaint_about(folder, quote, name)
        if complaint:
            found.append(f"{path}: {complaint}")
    return found


def sources(top, suffixes):
    """Our own files with these suffixes: relative path and text."""
    for folder in sorted({rule.split("/")[0] for rule in RULES}):
        for path in sorted((top / folder).rglob("*")):
            relative = path.relative_to(top).as_posix()
            if path.suffix in suffixes and not relative.startswith(LWIP_PORT + "/"):
                yield relative, path.read_text()


def is_first_of_its_source(top, header):
    """Whether the source file of the same name begins with this header: then it has compiled alone in the build."""
    source = (top / header).with_suffix(".cpp")
    first = INCLUDE.search(source.read_text()) if source.exists() else None
    return first is not None and first.group(2) == header


def compile_alone(options, header):
    """The compiler's complaints about a file that includes nothing but this header, twice."""
    unit = options.scratch / (header.replace("/", "_") + ".cpp")
    unit.write_text(2 * f'#include "{header}"\n')
    # An object, not only a look at the syntax: a compiler cache then knows the outcome the next time.
    command = [*options.compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-I", str(options.source),
               *options.flags, "-c", "-o", str(unit.with_suffix(".o")), str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{header} does not compile alone:\n{done.stderr}" if done.returncode else ""


class Structure(unittest.TestCase):
    options = argparse.Namespace()

    def setUp(self):
        self.top = self.options.source
        self.maxDiff = None

    def test_the_rules_find_what_breaks_them(self):
        rows = [
            ("netns/sys/a.cpp", '#include "netns/sys/fd.hpp"', 0),
            ("netns/sys/a.cpp", "#include <sys/epoll.h>", 0),
            ("netns/sys/a.cpp", '#include "netns/tap.hpp"', 1),
            ("netns/sys/a.cpp", '#include "stack/packet.hpp"', 1),
            ("netns/a.cpp", '#include "netns/sys/fd.hpp"\n#include "netns/tap.hpp"', 0),
            ("netns/a.cpp", '#include "stack/mac_address.hpp"', 1),
            ("netns/a.cpp", "#include <sys/capability.h>", 0),
            ("stack/a.cpp", '#include "lwip/ip.h"\n#include <lwip/ip.h>', 0),
            ("stack/a.cpp", '#include "nat/policy.hpp"', 1),
            ("stack/a.cpp", '#include "netns/tap.hpp"', 1),
            ("nat/a.cpp", '#include "stack/packet.hpp"\n#include "nat/policy.hpp"', 0),
            ("nat/a.cpp", "#include <lwip/ip.h>", 1),
            ("nat/a.cpp", '  #  include "lwip/ip.h"', 1),
            ("nat/a.cpp", '#include "netns/tap.hpp"', 1),
            ("nat/a.cpp", '#include "cli/options.hpp"', 1),
            ("nat/a.cpp", '#include "policy.hpp"', 1),
            ("nat/a.cpp", "#include <nat/policy.hpp>", 1),
            ("nat/a.cpp", "#include <sys/capability.h>", 1),
            ("cli/a.cpp", '#include "netns/tap.hpp"\n#include "nat/policy.hpp"', 0),
            ("cli/a.cpp", '#include "lwip/ip.h"', 1),
            ("cli/a.cpp", '#include "tests/support/packets.hpp"', 1),
            ("nat/a.cpp", '#include "fuzz/engine/input.hpp"', 1),
            ("fuzz/a.cpp", '#include "nat/policy.hpp"\n#include "tests/support/packets.hpp"', 0),
        ]
        for path, text, count in rows:
            with self.subTest(path=path, text=text):
                self.assertEqual(len(complaints(path, text)), count)

    def test_folders_include_only_what_they_may_use(self):
        found = []
        for path, text in sources(self.top, {".cpp", ".hpp", ".c", ".h"}):
            found += complaints(path, text)
        self.assertEqual(found, [])

    def test_headers_are_guarded(self):
        unguarded = [path for path, text in sources(self.top, {".hpp"})
                     if not re.search(r"^#pragma once$", text, re.MULTILINE)]
        self.assertEqual(unguarded, [])

    def test_headers_compile_alone(self):
        headers = [path for path, _ in sources(self.top, {".hpp"}) if not is_first_of_its_source(self.top, path)]
        self.assertGreater(len(headers), 0)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            outcomes = list(pool.map(lambda header: compile_alone(self.options, header), headers))
        self.assertEqual("".join(outcomes), "")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("compiler", type=str.split)
    parser.add_argument("flags", nargs="*")
    Structure.options = parser.parse_args()
    Structure.options.scratch.mkdir(exist_ok=True)
    unittest.main(argv=sys.argv[:1])


if __name__ == "__main__":
    main()
