#!/usr/bin/env python3
"""The target dies and another process gets its number at once: the program has to end all the same.

usage: pid_reuse.py PROGRAM, as the first process of a PID namespace with its own /proc. Prints how many seconds it
took."""
import os
import subprocess
import sys
import time

SECONDS = 20.0


def namespace_of(pid):
    return os.readlink(f"/proc/{pid}/ns/net")


def start_target():
    """A process in a network namespace of its own."""
    target = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
    while namespace_of(target.pid) == namespace_of("self"):
        time.sleep(0.01)
    return target


def start_with_number(number):
    with open("/proc/sys/kernel/ns_last_pid", "w", encoding="ascii") as file:
        file.write(str(number - 1))
    other = start_target()
    if other.pid != number:
        sys.exit(f"the other process got number {other.pid} instead of {number}")


def main():
    target = start_target()
    ready, theirs = os.pipe()
    program = subprocess.Popen([sys.argv[1], "-c", "-r", str(theirs), str(target.pid), "tap0"], pass_fds=[theirs],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(theirs)
    if os.read(ready, 1) != b"1":
        sys.exit("no ready byte")
    begin = time.monotonic()
    target.kill()
    target.wait()
    start_with_number(target.pid)
    try:
        status = program.wait(SECONDS)
    except subprocess.TimeoutExpired:
        sys.exit(f"the program still runs after {SECONDS:g} s")
    if status != 0:
        sys.exit(f"the program ended with status {status}")
    print(f"{time.monotonic() - begin:.1f}")


if __name__ == "__main__":
    main()
