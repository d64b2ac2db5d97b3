"""One end of a TCP connection made by hand: each segment is the test's own."""
import itertools
import struct

from station import TCP, Segment
from namespaces import Failed
from netio import check_equal, listener

NO_OPERATION, MSS, WINDOW_SCALE, SACK_PERMITTED, TIMESTAMPS = 1, 2, 3, 4, 8

_ports = itertools.count(20000)


def mss(size):
    return struct.pack("!BBH", MSS, 4, size)


def window_scale(shift):
    return struct.pack("!BBBB", NO_OPERATION, WINDOW_SCALE, 3, shift)


class Connection:
    """From a station to a server. Sequence numbers that are asked for count from what comes next."""

    ISN = 0xFFFFFF00  # wraps early

    def __init__(self, station, server, *, port=None, isn=ISN, options=b"", window=0xFFFF):
        self.station, (self.to, self.server_port) = station, server
        self.port = next(_ports) if port is None else port
        self.seq, self.ack, self.window = isn, 0, window
        self.syn_ack = None
        self._syn_options = options

    def send(self, flags, data=b"", **settings):
        """A segment that is not counted: the next one begins at the same place."""
        self.station.send(self.station.packet(self.to, TCP, self._message(flags, data, **settings)))

    def _message(self, flags, data=b"", *, seq=0, ack=0, urgent=0):
        segment = Segment(self.port, self.server_port, self.seq + seq, self.ack + ack if "A" in flags else 0, flags,
                          self.window, urgent, self._syn_options if "S" in flags else b"", data)
        return segment.message(self.station.ip, self.to)

    def write_offloaded(self, data, size):
        """Segments of `size` bytes in one frame."""
        self.station.send_offloaded(self.to, TCP, self._message("PA", data), 16, size)
        self.seq += len(data)

    def write(self, data, flags="PA", **settings):
        """A segment that is."""
        self.send(flags, data, **settings)
        self.seq += len(data) + ("F" in flags)

    def receive_within(self, seconds):
        """The next segment, or None when the time is over."""
        while packet := self.station.receive(seconds):
            if self._is_ours(packet):
                return packet.tcp
        return None

    def receive(self):
        """The next segment, which must come."""
        segment = self.receive_within(20.0)
        if segment is None:
            raise Failed("no segment comes")
        return segment

    def answers(self, wanted=0):
        """The segments that have been sent to us, at least so many."""
        return [packet.tcp for packet in self.station.answers(wanted) if self._is_ours(packet)]

    def _is_ours(self, packet):
        return packet.protocol == TCP and (packet.tcp.source_port, packet.tcp.port) == (self.server_port, self.port)

    def knock(self):
        """Sends the SYN and returns what comes back."""
        self.send("S")
        return self.receive()

    def open(self):
        """The handshake."""
        self.syn_ack = self.knock()
        check_equal(self.syn_ack.flags, "SA", "answer to a SYN")
        self.seq += 1
        check_equal(self.syn_ack.ack, self.seq % 2**32, "number that the SYN-ACK acknowledges")
        self.ack = self.syn_ack.seq + 1
        self.send("A")
        return self

    @classmethod
    def answer(cls, station, syn, client, **settings):
        """The station's end of a connection that `client` has begun with this SYN, opened."""
        made = cls(station, (client, syn.source_port), port=syn.port, **settings)
        made.ack = syn.seq + 1
        made.send("SA")
        made.seq += 1
        answer = made.receive()
        check_equal((answer.flags, answer.seq, answer.ack), ("A", made.ack % 2**32, made.seq % 2**32),
                    "answer to the SYN-ACK")
        return made

    def take(self, segment):
        """Acknowledges a segment, which has to be the next one."""
        check_equal(segment.seq, self.ack % 2**32, "sequence number")
        self.ack += len(segment.data) + ("F" in segment.flags)
        self.send("A")
        return segment.data

    def read(self, size=None):
        """So much data, or all until the FIN, acknowledging it as it comes."""
        data = b""
        while size is None or len(data) < size:
            segment = self.receive()
            if "R" in segment.flags:
                raise Failed(f"a reset after {len(data)} bytes")
            if segment.data or "F" in segment.flags:
                data += self.take(segment)
            if size is None and "F" in segment.flags:
                break
        return data


class Server:
    """A listener outside, and connections from a station to it."""

    def __init__(self, place, station):
        self.station = station
        self.door = listener(place)
        self.address = self.door.getsockname()
        self._peers = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for made in (self.door, *self._peers):
            made.close()

    def accept(self):
        peer, _ = self.door.accept()
        peer.settimeout(10.0)
        self._peers.append(peer)
        return peer

    def connection(self, **settings):
        """The station's end and the server's."""
        made = Connection(self.station, self.address, **settings).open()
        return made, self.accept()
