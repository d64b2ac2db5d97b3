"""Namespaces that belong to processes of ours, and what can be done in them: commands, sockets, settings."""
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time

NOBODY = 65534
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


class Failed(AssertionError):
    """An expectation that did not hold; the message is all the user needs."""


def wait_for(condition, what, seconds=20.0):
    """Polls `condition` until it is true; returns its value. The limit is a safety net, not a measurement."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


@contextlib.contextmanager
def inside_netns(path):
    """Moves this thread (only) into a network namespace; a socket made there stays there for its lifetime."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(path)
        try:
            yield
        finally:
            _setns(f"/proc/self/fd/{home}")
    finally:
        os.close(home)


def _setns(path):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), path)
    finally:
        os.close(fd)


class Holder:
    """A process that does nothing but keep the namespaces it was started with."""

    def __init__(self, enter):
        self.process = subprocess.Popen([*enter, "sh", "-c", "echo up; exec cat >/dev/null"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        if self.process.stdout.readline() != b"up\n":
            self.close()
            raise Failed(f"cannot make namespaces: {' '.join(enter)}")

    @property
    def pid(self):
        return self.process.pid

    def ns(self, kind):
        return f"/proc/{self.pid}/ns/{kind}"

    def close(self):
        """Ends the process; the namespaces live on only as long as others use them."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def pair(name):
    """A socket's name as address and port. In IPv6 there is more, which matters with a scope only."""
    return name[:2] if len(name) == 4 and name[3] == 0 else name


class Socket(socket.socket):
    """Tells names the same way in both families."""

    def getsockname(self):
        return pair(super().getsockname())

    def getpeername(self):
        return pair(super().getpeername())

    def recvfrom(self, *arguments):
        data, name = super().recvfrom(*arguments)
        return data, pair(name)

    def accept(self):
        peer, name = super().accept()
        return peer, pair(name)


class Place:
    """Somewhere commands run and sockets are made: a network namespace, a mount namespace, or both. Its
    servers listen on `address` and its sockets are of that family, unless they are told otherwise."""

    def __init__(self, stack, net, address, mount=None):
        self.net, self.address, self.mount, self._stack = net, address, mount, stack

    def command(self, argv):
        enter = ["nsenter", f"--net={self.net}"]
        if self.mount:
            enter.append(f"--mount={self.mount}")
        return [*enter, "--", *argv]

    def run(self, *argv, check=True, timeout=30, **options):
        """Runs a command to its end and returns the CompletedProcess, output as text."""
        options = {"stdin": subprocess.DEVNULL, "text": True, **options}
        if "input" in options:
            del options["stdin"]
        done = subprocess.run(self.command(argv), capture_output=True, timeout=timeout, **options)
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def sh(self, script, **options):
        return self.run("sh", "-ec", script, **options)

    def start(self, *argv, **options):
        """Starts a background process that ends with the lab. Call it from the main thread only:
        the parent-death signal is tied to the thread that forked."""
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        process = subprocess.Popen(self.command(["setpriv", "--pdeathsig", "TERM", "--", *argv]),
                                   start_new_session=True, **{**quiet, **options})
        self._stack.callback(stop, process)
        return process

    def socket(self, kind=socket.SOCK_STREAM, family=None, timeout=20.0):
        """A socket of this network namespace, usable from the test itself. All of them time out."""
        with inside_netns(self.net):
            made = Socket(family or family_of(self.address), kind | socket.SOCK_CLOEXEC)
        made.settimeout(timeout)
        return made

    def sysctl(self, name, value):
        path = "/proc/sys/" + name.replace(".", "/")
        with inside_netns(self.net), open(path, "w", encoding="ascii") as file:
            file.write(str(value))

    def interface_exists(self, name):
        with inside_netns(self.net):
            return name in (entry for _, entry in socket.if_nameindex())


def stop(process, seconds=5.0):
    """Ends a process that we started: politely, then surely."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def kill_pid(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Guest(Place):
    """A network namespace that is to get its network from PROGRAM, with a process that lives in it."""

    def __init__(self, stack, view, user, address):
        make = ["unshare", "-n"] if user is None else [*as_user(user), "unshare", "-Urn"]
        self.holder = Holder(make)
        stack.callback(self.holder.close)
        super().__init__(stack, self.holder.ns("net"), address, view.ns("mnt"))

    @property
    def pid(self):
        return self.holder.pid

    def die(self):
        """The target process dies, as a container does."""
        self.holder.process.kill()
        self.holder.process.wait()


def as_user(user):
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
