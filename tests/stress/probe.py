"""The standard probe: what an honest program in the guest notices while another one attacks.

A TCP connection opened before goes on echoing, names are looked up, the internet is pinged; each in a thread of
its own, from the guest's kernel, for as long as the probe lives.
"""
import contextlib
import itertools
import socket
import struct
import threading
import time

import frames
from lab import DNS, WAN_IP
from namespaces import inside_netns
from netio import connect, listener, udp

ECHO_EVERY, ASK_EVERY = 0.05, 0.25  # seconds
SILENCE = "silence"  # a name for which nobody answers
REPEAT = 0.2     # a question or a ping that was lost is sent again, as every resolver does
GIVE_UP = 30.0   # seconds: counts as that long


class Probe:
    """Measures from start() to stop(). Its servers are the caller's: see serve_echo() and serve_names()."""

    def __init__(self, guest, echo_address):
        self.problems = []
        self._stop = threading.Event()
        self._connection = connect(guest, *echo_address, timeout=GIVE_UP)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._dns = udp(guest, timeout=REPEAT)
        self._dns.connect((DNS, 53))
        with inside_netns(guest.net):
            self._ping = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
        self._ping.settimeout(REPEAT)
        self._ping.connect((WAN_IP, 0))
        self._numbers = itertools.count(1)
        self.delays = {"echo": [], "dns": [], "ping": []}
        self._threads = [threading.Thread(target=self._run, args=arguments, daemon=True) for arguments in (
            ("echo", self._echo, ECHO_EVERY), ("dns", self._ask, ASK_EVERY), ("ping", self._echo_request, ASK_EVERY))]

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for sock in (self._connection, self._dns, self._ping):
            sock.close()

    def _run(self, name, once, every):
        while not self._stop.wait(every):
            begin = time.monotonic()
            try:
                once(next(self._numbers))
            except OSError as error:
                self.problems.append(f"{name}: {error}")
                self.delays[name].append(GIVE_UP)
                return
            self.delays[name].append(time.monotonic() - begin)

    def _echo(self, number):
        sent = struct.pack("!Q", number) * 8
        self._connection.sendall(sent)
        got = b""
        while len(got) < len(sent):
            part = self._connection.recv(len(sent) - len(got))
            if not part:
                raise OSError("the connection has ended")
            got += part
        if got != sent:
            raise OSError("other bytes came back")

    def _ask(self, number):
        question = frames.question("probe.test", number & 0xFFFF)
        repeated(self._dns, question, lambda answer: answer[:2] == question[:2])

    def _echo_request(self, number):
        request = struct.pack("!BBHHHQ", 8, 0, 0, 0, number & 0xFFFF, number)
        repeated(self._ping, request, lambda reply: reply[8:16] == request[8:16])


def repeated(sock, message, fits):
    """Sends until something fitting comes back."""
    deadline = time.monotonic() + GIVE_UP
    while time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            sock.send(message)
            while not fits(sock.recv(2048)):
                pass
            return
    raise TimeoutError(f"no answer within {GIVE_UP:g} s")


def percentile(delays, share):
    """In seconds."""
    return sorted(delays)[min(len(delays) - 1, int(len(delays) * share))]


def serve_echo(place, stack):
    """Echoes on every connection, until the stack ends; returns the address."""
    door = stack.enter_context(listener(place))
    door.settimeout(None)

    def echo(peer):
        with peer, contextlib.suppress(OSError):
            while data := peer.recv(1 << 16):
                peer.sendall(data)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                peer, _ = door.accept()
                peer.settimeout(None)
                threading.Thread(target=echo, args=(peer,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    stack.callback(door.shutdown, socket.SHUT_RDWR)
    return door.getsockname()


def serve_names(place, stack):
    """A resolver for which every name exists, without an address, but one of which it says nothing."""
    server = stack.enter_context(udp(place, place.address, 53, timeout=0.2))
    stop = threading.Event()

    def answer():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                question, asker = server.recvfrom(2048)
                if SILENCE.encode() not in question:
                    server.sendto(question[:2] + b"\x81\x80" + question[4:], asker)
    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(stop.set)
