"""One run of the program under test: its start, its log, its end, and that nothing of it is left."""
import contextlib
import itertools
import os
import select
import signal
import subprocess

from namespaces import Failed, kill_pid, wait_for

TAG = "E2E_LAB_RUN"  # environment variable by which all processes of one run are found

_serial = itertools.count()


def new_tag():
    return f"{os.getpid()}-{next(_serial)}"


class Program:
    """One run of the program under test, with its log, ready pipe and exit pipe."""

    def __init__(self, lab, argv, *, ready=True, exit_fd=False, before=(), program=None,
                 pass_fds=()):
        self.lab = lab
        self.argv = argv
        self.file = program or lab.program
        self.tag = new_tag()
        self.out_path = f"{lab.directory}/out-{self.tag}"
        self.err_path = f"{lab.directory}/err-{self.tag}"
        self.exit_pipe = None
        self._ready_pipe = None
        self._end_is_expected = False
        self._final_log = None
        self._start(ready, exit_fd, before, pass_fds)

    def _start(self, ready, exit_fd, before, pass_fds):
        options, passed = [], []
        if ready:
            self._ready_pipe, theirs = os.pipe()
            options += ["-r", str(theirs)]
            passed.append(theirs)
        if exit_fd:
            theirs, self.exit_pipe = os.pipe()
            options += ["-e", str(theirs)]
            passed.append(theirs)
        try:
            command = self.lab.program_command([*options, *self.argv], before, self.file)
            with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
                self.process = subprocess.Popen(command, pass_fds=[*passed, *pass_fds], env={**os.environ, TAG: self.tag},
                                                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                                start_new_session=True)
        finally:
            for fd in passed:
                os.close(fd)

    @property
    def pid(self):
        return self.process.pid

    def stdout(self):
        return _read(self.out_path)

    def stderr(self):
        return _read(self.err_path)

    def log(self):
        """What to show when a case fails."""
        if self._final_log:
            return self._final_log
        state = self.process.poll()
        state = "running" if state is None else f"exit {state}"
        return (f"--- {os.path.basename(self.file)} {' '.join(self.argv)} ({state})\n"
                f"--- stdout\n{shortened(self.stdout())}\n--- stderr\n{shortened(self.stderr())}\n---")

    def wait_ready(self, seconds=20.0):
        """Waits for the ready byte, and for the end of the pipe: no process of the run may keep it open."""
        for expected in (b"1", b""):
            if not select.select([self._ready_pipe], [], [], seconds)[0]:
                raise Failed("no ready byte" if expected else "ready descriptor stays open after the byte")
            got = os.read(self._ready_pipe, 16)
            if got != expected:
                raise Failed(f"ready descriptor gave {got!r} instead of {expected!r}")
        return self

    def wait_exit(self, expected=0, seconds=20.0):
        """Waits for the end of the run: its exit status, and no process of it left."""
        self._end_is_expected = True
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"program still runs after {seconds:g} s") from None
        if expected is not None and status != expected:
            raise Failed(f"exit status {status} instead of {expected}")
        self.wait_gone()
        return status

    def kill(self):
        """SIGKILL to the process that the caller started; others of the run have to notice by themselves."""
        self._end_is_expected = True
        self.process.kill()
        self.process.wait()

    def wait_gone(self, seconds=10.0):
        wait_for(lambda: not self.processes(), "every process of the run is gone", seconds)

    def processes(self):
        """Pids of all living processes of this run, children that changed their parent included."""
        return processes_tagged(self.tag)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def signal(self, number):
        self.process.send_signal(number)

    def hang_up(self):
        os.close(self.exit_pipe)
        self.exit_pipe = None

    def close(self):
        """Ends the run at the end of its lab, and complains when that does not work as it must: a sanitizer's
        report, for one, shows as an exit status."""
        try:
            if self.process.poll() is None:
                self.process.terminate()
                status = self.wait_exit(expected=None)
                if status not in (0, -signal.SIGTERM):
                    raise Failed(f"exit status {status} after SIGTERM")
            elif not self._end_is_expected:
                raise Failed(f"program ended by itself, exit status {self.process.returncode}")
            self.wait_gone()
        finally:
            self._final_log = self.log()
            for pid in self.processes():
                kill_pid(pid)
            self.process.wait()
            for fd in (self._ready_pipe, self.exit_pipe):
                if fd is not None:
                    os.close(fd)


def shortened(text, lines=20):
    """The beginning and the end of a long log."""
    every = text.splitlines()
    if len(every) > 2 * lines:
        every[lines:-lines] = [f"[{len(every) - 2 * lines} lines left out]"]
    return "\n".join(every)


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(1 << 20)  # a run gone wild may have written gigabytes


def processes_tagged(tag):
    """Looks the tag up in every process's environment; a zombie has none, so it does not count as alive."""
    wanted, found = f"{TAG}={tag}".encode(), []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    found.append(int(entry))
    return found
