"""A program on a terminal: a pty whose keyboard and screen are in the hands of the test."""
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

from namespaces import Failed, kill_pid, wait_for
from program import TAG, new_tag, processes_tagged

INTERRUPT, QUIT, STOP = b"\x03", b"\x1c", b"\x1a"  # ^C, ^\, ^Z


class Terminal:
    """Runs a command as the leader of a new session that has the terminal. Use it as a context manager."""

    def __init__(self, argv, **environment):
        self.tag = new_tag()
        self.screen = ""   # everything so far
        self._seen = 0     # how far expect() has come
        self.status = None
        self.pid, self._keyboard = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, {**os.environ, "TERM": "dumb", **environment, TAG: self.tag})

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for pid in processes_tagged(self.tag):
            kill_pid(pid)
        if self.status is None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
        if self._keyboard >= 0:
            os.close(self._keyboard)

    def type(self, text):
        os.write(self._keyboard, text if isinstance(text, bytes) else text.encode())

    def line(self, text):
        self.type(text + "\n")

    def _read(self, seconds):
        if not select.select([self._keyboard], [], [], seconds)[0]:
            return
        with contextlib.suppress(OSError):  # nobody has the terminal open any more
            self.screen += os.read(self._keyboard, 4096).decode(errors="replace").replace("\r\n", "\n")

    def expect(self, pattern, seconds=20.0):
        """Waits for a regular expression after what earlier calls have found; returns the match."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.compile(pattern, re.MULTILINE).search(self.screen, self._seen)
            if found:
                self._seen = found.end()
                return found
            if time.monotonic() > deadline:
                raise Failed(f"not on the terminal: {pattern!r}\n--- terminal\n{self.screen}\n---")
            self._read(0.1)

    def watch(self, seconds):
        """Collects what appears within a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read(0.05)

    def count(self, pattern):
        return len(re.findall(pattern, self.screen, re.MULTILINE))

    def resize(self, rows, columns):
        fcntl.ioctl(self._keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self):
        os.close(self._keyboard)
        self._keyboard = -1

    def wait_exit(self, seconds=20.0):
        """Waits for the end of the command: its exit status, and nothing left of it."""
        def ended():
            if self._keyboard >= 0:
                self._read(0.0)  # who writes to a terminal that nobody reads may wait for ever
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return pid != 0 and [os.waitstatus_to_exitcode(status)]
        self.status, = wait_for(ended, f"end of the command\n--- terminal\n{self.screen}\n---", seconds)
        wait_for(lambda: not processes_tagged(self.tag), "every process on the terminal is gone")
        if self._keyboard >= 0:
            self.watch(0.1)
        return self.status

    def processes(self):
        return processes_tagged(self.tag)

    def signal(self, number):
        os.kill(self.pid, number)


def state_of(pid):
    """The letter that ps shows; '' when there is no such process."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0]
    return ""


