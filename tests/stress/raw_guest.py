"""A guest whose TCP is not a kernel's: it answers by a rule and keeps next to no state, so thousands of hostile
connections cost it little."""
import contextlib
import dataclasses
import socket
import struct
import threading

import frames
import station
from namespaces import inside_netns, wait_for

SO_RCVBUFFORCE = 33
LARGEST = 1 << 17


@dataclasses.dataclass
class Segment:
    """What came from the program: its fields, as far as somebody here asks for them."""
    source: bytes  # the peer's address and port
    source_port: int
    port: int      # ours
    sequence: int
    acknowledgment: int
    flags: int
    size: int      # of the payload

    @classmethod
    def of(cls, frame):
        """None for what is no TCP segment to the attacker."""
        if len(frame) < 54 or frame[:6] != frames.ATTACKER_MAC or frame[23] != frames.TCP:
            return None
        total, = struct.unpack_from("!H", frame, 16)
        ports_and_numbers = struct.unpack_from("!HHII", frame, frames.IPV4_PAYLOAD)
        header = (frame[46] >> 4) * 4
        return cls(frame[26:30], *ports_and_numbers, frame[47], total - 20 - header)


def acknowledge(segment, window, taken=None):
    """An ACK of everything that came, or of `taken` bytes of it."""
    taken = segment.size + bool(segment.flags & (frames.SYN | frames.FIN)) if taken is None else taken
    body = frames.tcp(segment.port, segment.source_port, sequence=segment.acknowledgment,
                      acknowledgment=segment.sequence + taken, flags=frames.ACK, window=window)
    return tcp_frame(body, socket.inet_ntoa(segment.source))


def tcp_frame(segment, to):
    return frames.ipv4(frames.TCP, station.with_checksum(frames.ATTACKER_IP, to, frames.TCP, segment, 16), to)


class RawGuest:
    """Answers every segment that comes for the attacker with what `rule(segment)` returns: a frame, or None.
    `opened` holds, by port, the SYN-ACK of each connection, `latest` what came last, `reset` the ports that were
    refused or reset."""

    def __init__(self, guest, rule):
        self.opened, self.latest, self.reset = {}, {}, set()
        self._rule = rule
        with inside_netns(guest.net):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(frames.IPV4))
            self._socket.bind(("tap0", frames.IPV4))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        self._socket.settimeout(0.2)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _run(self):
        while not self._stop.is_set():
            try:
                segment = Segment.of(self._socket.recv(LARGEST))
            except OSError:
                continue  # a time-out; or the interface is gone, which is told once, before what came until then
            if segment:
                self._answer(segment)

    def _answer(self, segment):
        if segment.flags & frames.RST:
            self.reset.add(segment.port)
            return
        if segment.flags & frames.SYN:
            self.opened[segment.port] = segment
        self.latest[segment.port] = segment
        answer = self._rule(segment)
        if answer:
            with contextlib.suppress(OSError):  # the TAP is full: the program will repeat what it sent
                self._socket.send(answer)

    def wait_settled(self, count, seconds=30.0):
        """Each of `count` connections has been opened or refused."""
        wait_for(lambda: len(self.opened.keys() | self.reset) >= count, f"{count} connections are opened or refused",
                 seconds)


def syn(port, to, to_port, *, window=65535, options=b""):
    return frames.ipv4(frames.TCP, frames.tcp(port, to_port, window=window, options=options), to)


def open_connections(scene, count, to, to_port, *, first_port=10_000, rate=5000, **options):
    """`count` SYNs from as many ports; lost ones are repeated. Returns how many were sent."""
    return scene.flood([syn(first_port, to, to_port, **options)], count, "vary", f"{frames.SOURCE_PORT}:2:count",
                       rate=rate)
