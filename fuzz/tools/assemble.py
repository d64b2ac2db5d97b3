#!/usr/bin/env python3
"""Session programs from their text, as `session --print` shows them, to the bytes that the harness runs.

usage: assemble.py FILE > PROGRAM

    world mtu 1500 vnet ipv6        # no-loopback no-dns link-local cuts-udp roomy
    ends patiently                  # or: at once
    syn 0 options=0 to=0
    data 0 length=100 offset=-3 flags=2 &

Fields that are left out are 0. The operations' names are read from where they are defined,
fuzz/world/operations.cpp, and so are the MTUs that there are.
"""
import functools
import pathlib
import re
import struct
import sys

WORLD = pathlib.Path(__file__).resolve().parents[1] / "world"
AT_ONCE = 0x80


@functools.cache
def operations():
    """Name -> (number, names of its fields)."""
    source = (WORLD / "operations.cpp").read_text()
    table = source[source.index("kNames{{"):source.index("}};")]
    rows = re.findall(r'\{"([^"]*)", "-?([^"]*)", "-?([^"]*)", "-?([^"]*)"\}', table)
    return {name: (number, fields) for number, (name, *fields) in enumerate(rows)}


@functools.cache
def mtus():
    found = re.search(r"kMtus\{([^}]*)\}", (WORLD / "world.cpp").read_text())
    return [int(word) for word in found[1].split(",")]


def world(words):
    """The two bytes of options."""
    mtu = int(words[words.index("mtu") + 1])
    link = (0 if "vnet" in words else 1) | ("cuts-udp" in words) << 1 | mtus().index(mtu) << 2
    switches = ("no-loopback", "no-dns", "link-local", "roomy")
    policy = sum((word in words) << bit for bit, word in enumerate(switches))
    return bytes([link, policy])


def operation(line):
    words = line.split()
    at_once = words[-1] == "&"
    named = 2 if words[0] == "host" else 1
    name, who, fields = " ".join(words[:named]), int(words[named]), words[named + 1:len(words) - at_once]
    number, names = operations()[name]
    values = dict(field.split("=") for field in fields)
    unknown = set(values) - set(names)
    if unknown:
        raise KeyError(f"{name} has no {unknown}")
    numbers = [int(values.get(field, 0)) & 0xFFFF for field in names]
    return struct.pack("!BBHHH", number | (AT_ONCE if at_once else 0), who, *numbers)


def assemble(text):
    head, ending, failing, body = bytes([0, 0]), 0, 0, b""
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        if line.startswith("world "):
            head = world(line.split())
        elif line.startswith("ends "):
            ending = line == "ends patiently"
        elif line.startswith("allocations fail by pattern "):
            failing = int(line.split()[-1], 16)
        else:
            body += operation(line)
    return head + bytes([ending, failing]) + body


def main():
    sys.stdout.buffer.write(assemble(pathlib.Path(sys.argv[1]).read_text()))


if __name__ == "__main__":
    main()
