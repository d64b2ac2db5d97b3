"""How much memory a program of several processes takes."""
import array
import contextlib
import os
import re

PAGE = os.sysconf("SC_PAGE_SIZE")
PRESENT = 1 << 63        # /proc/PID/pagemap: the page is in memory,
FRAME = (1 << 55) - 1    # and this is its frame (seen by root only)


def resident(pids):
    """Bytes in memory, pages that the processes share counted once: a sum of their RSS would count the same
    libraries again for each process."""
    frames = set()
    for pid in pids:
        frames.update(_frames(pid))
    return len(frames) * PAGE


def _frames(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps, \
            open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for line in maps:
            begin, end = (int(part, 16) for part in line.split(maxsplit=1)[0].split("-"))
            entries = array.array("Q")
            with contextlib.suppress(OSError, OverflowError):  # [vsyscall] is no memory of the process
                pagemap.seek(begin // PAGE * 8)
                entries.frombytes(pagemap.read((end - begin) // PAGE * 8))
            for entry in entries:
                if entry & PRESENT:
                    yield entry & FRAME


def peak(pids):
    """Sum of the high-water marks; shared pages count for each process, for nobody keeps a mark of the union."""
    kilobytes = 0
    for pid in pids:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            kilobytes += int(re.search(r"^VmHWM:\s+(\d+)", file.read(), re.MULTILINE)[1])
    return kilobytes * 1024
