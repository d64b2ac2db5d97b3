"""Frames made and read by hand, and a station of the guest's network that no kernel stands behind."""
import contextlib
import dataclasses
import socket
import struct
import time

from namespaces import Failed, family_of

ETH_P_ALL, ETH_P_IP, ETH_P_ARP, ETH_P_IPV6 = 0x0003, 0x0800, 0x0806, 0x86DD
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
ICMP, TCP, UDP, ICMPV6 = socket.IPPROTO_ICMP, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMPV6
HOP_BY_HOP, FRAGMENT, DESTINATION_OPTIONS = 0, 44, 60
ECHO_REPLY, ECHO = 0, 8          # ICMP
ECHO6, ECHO_REPLY6 = 128, 129    # ICMPv6
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 133, 134, 135, 136
MORE_FRAGMENTS = 0x2000
ARP_REQUEST, ARP_REPLY = 1, 2
BROADCAST = b"\xff" * 6
VNET_HEADER = struct.Struct("=BBHHHH")  # flags, kind of GSO, header length, segment size, checksum's start and place
VNET_NEEDS_CHECKSUM = 1
GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 = 1, 4, 5
TCP_FLAGS = "FSRPAU"
LARGEST = 1 << 17
STATION, STATION6 = "10.0.2.50", "fd00::50"  # in the guest's network, and no kernel's


# Making

def packed(address):
    return socket.inet_pton(family_of(address), address)


def folded_sum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    return total % 0xFFFF or (0xFFFF if total else 0)


def checksum(data):
    """RFC 1071."""
    return 0xFFFF - folded_sum(data)


def pseudo_header(source, to, protocol, length):
    if family_of(to) == socket.AF_INET:
        return packed(source) + packed(to) + struct.pack("!BBH", 0, protocol, length)
    return packed(source) + packed(to) + struct.pack("!II", length, protocol)


def ethernet(to, source, kind, payload):
    return to + source + struct.pack("!H", kind) + payload


def arp(operation, sender_mac, sender, target, *, hardware=1, protocol=ETH_P_IP, sizes=(6, 4)):
    return (struct.pack("!HHBBH", hardware, protocol, *sizes, operation) + sender_mac + packed(sender) +
            bytes(6) + packed(target))


def ipv4(source, to, protocol, payload, *, ttl=64, options=b"", ident=1, fragment=0, version=4, error=0):
    """`fragment` is the flags and the offset as they stand in the header, `error` what the checksum is off by."""
    words = 5 + len(options) // 4
    header = struct.pack("!BBHHHBBH", version << 4 | words, 0, 4 * words + len(payload), ident, fragment, ttl,
                         protocol, 0) + packed(source) + packed(to) + options
    right = checksum(header)
    return header[:10] + struct.pack("!H", (right + error) & 0xFFFF) + header[12:] + payload


def ipv6(source, to, next_header, payload, *, hops=64):
    return (struct.pack("!IHBB", 6 << 28, len(payload), next_header, hops) + packed(source) + packed(to) +
            payload)


def options6(next_header, *options):
    """An extension header with options, each its type and its data, padded to a multiple of 8 (RFC 8200 4.2)."""
    body = b"".join(bytes([kind, len(data)]) + data for kind, data in options)
    missing = -(2 + len(body)) % 8
    body += b"\0" if missing == 1 else bytes([1, missing - 2]) + bytes(missing - 2) if missing else b""
    return bytes([next_header, (2 + len(body)) // 8 - 1]) + body


def with_checksum(source, to, protocol, message, at):
    """A transport header and what follows it, with the checksum put in at its place."""
    right = checksum(pseudo_header(source, to, protocol, len(message)) + message)
    return message[:at] + struct.pack("!H", right) + message[at + 2:]


def udp(source, to, ports, data, *, length=None, zero_checksum=False):
    header = struct.pack("!HHHH", *ports, 8 + len(data) if length is None else length, 0)
    return header + data if zero_checksum else with_checksum(source, to, UDP, header + data, 6)


@dataclasses.dataclass
class Segment:
    """Of TCP. `flags` are letters of TCP_FLAGS."""
    source_port: int
    port: int
    seq: int
    ack: int = 0
    flags: str = "A"
    window: int = 0xFFFF
    urgent: int = 0
    options: bytes = b""
    data: bytes = b""

    def message(self, source, to):
        bits = sum(1 << TCP_FLAGS.index(flag) for flag in self.flags)
        words = 5 + len(self.options) // 4
        header = struct.pack("!HHIIBBHHH", self.source_port, self.port, self.seq % 2**32, self.ack % 2**32,
                             words << 4, bits, self.window, 0, self.urgent)
        return with_checksum(source, to, TCP, header + self.options + self.data, 16)

    @classmethod
    def parse(cls, message):
        source_port, port, seq, ack, words, bits, window, _, urgent = struct.unpack("!HHIIBBHHH", message[:20])
        start = 4 * (words >> 4)
        flags = "".join(flag for at, flag in enumerate(TCP_FLAGS) if bits & 1 << at)
        return cls(source_port, port, seq, ack, flags, window, urgent, message[20:start], message[start:])

    def option(self, kind):
        """The data of an option, or None."""
        rest = self.options
        while rest and rest[0] != 0:
            length = 1 if rest[0] == 1 else rest[1]
            if rest[0] == kind:
                return rest[2:length]
            rest = rest[length:]
        return None


def icmp(kind, code, body):
    """Of IPv4."""
    message = struct.pack("!BBH", kind, code, 0) + body
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def icmpv6(source, to, kind, code, body):
    return with_checksum(source, to, ICMPV6, struct.pack("!BBH", kind, code, 0) + body, 2)


def link_address_option(kind, mac):
    return struct.pack("!BB", kind, 1) + mac


# Reading

@dataclasses.dataclass
class Packet:
    """What a station has received: of ARP, or IP with its fragments put together."""
    kind: int
    source: str
    to: str
    protocol: int = 0
    hops: int = 0
    message: bytes = b""
    segment_size: int = 0  # of a frame that the receiver's kernel would cut

    @property
    def tcp(self):
        return Segment.parse(self.message) if self.protocol == TCP else None

    def __str__(self):
        """"ICMP 0/0 from 10.0.2.2": with all that tells a right answer from a wrong one."""
        if self.kind == ETH_P_ARP:
            return f"ARP {self.message[7]} {self.source}"
        if self.protocol in (ICMP, ICMPV6):
            return f"ICMP {self.message[0]}/{self.message[1]} from {self.source}"
        if self.protocol == UDP:
            return f"UDP {self.source}:{struct.unpack('!H', self.message[:2])[0]}"
        return f"TCP {self.tcp.flags}" if self.tcp else f"protocol {self.protocol}"


class Reader:
    """Frames to packets. Complains about what a receiver would drop."""

    def __init__(self):
        self._pieces = {}

    def read(self, frame):
        """The packet, or None: what is no business of ours, and fragments while others are missing."""
        flags, _, _, segment_size, start, _ = VNET_HEADER.unpack_from(frame)
        partial = flags & VNET_NEEDS_CHECKSUM
        kind, = struct.unpack_from("!H", frame, VNET_HEADER.size + 12)
        payload = frame[VNET_HEADER.size + 14:]
        if kind == ETH_P_ARP:
            return Packet(kind, socket.inet_ntop(socket.AF_INET, payload[14:18]),
                          socket.inet_ntop(socket.AF_INET, payload[24:28]), message=payload)
        if kind not in (ETH_P_IP, ETH_P_IPV6):
            return None
        packet = self._ipv4(payload) if kind == ETH_P_IP else self._ipv6(payload)
        if packet is not None:
            packet.segment_size = segment_size
            self._check(packet, partial)
        return packet

    def _ipv4(self, packet):
        length, ident, fragment, hops, protocol = struct.unpack("!2xHHHBB", packet[:10])
        start = 4 * (packet[0] & 15)
        if checksum(packet[:start]) != 0:
            raise Failed("a wrong checksum in an IPv4 header")
        source, to = (socket.inet_ntop(socket.AF_INET, packet[at:at + 4]) for at in (12, 16))
        whole = self._join((source, ident), 8 * (fragment & 0x1FFF), fragment & MORE_FRAGMENTS,
                           packet[start:length])
        return whole and Packet(ETH_P_IP, source, to, protocol, hops, whole[0])

    def _ipv6(self, packet):
        length, protocol, hops = struct.unpack("!4xHBB", packet[:8])
        source, to = (socket.inet_ntop(socket.AF_INET6, packet[at:at + 16]) for at in (8, 24))
        payload = packet[40:40 + length]
        if protocol == FRAGMENT:
            protocol, where, ident = struct.unpack("!BxHI", payload[:8])
            whole = self._join((source, ident), where & ~7, where & 1, payload[8:])
        else:
            whole = (payload,)
        return whole and Packet(ETH_P_IPV6, source, to, protocol, hops, whole[0])

    def _join(self, key, at, more, data):
        """The whole in a tuple of one, or None."""
        if at == 0 and not more:
            return (data,)
        pieces = self._pieces.setdefault(key, {})
        pieces[at] = (data, more)
        whole, more = b"", True
        while more:
            if len(whole) not in pieces:
                return None
            data, more = pieces[len(whole)]
            whole += data
        del self._pieces[key]
        return (whole,)

    @staticmethod
    def _check(packet, partial):
        """Full checksums have to be right, and partial ones to be what the kernel builds on."""
        at = {TCP: 16, UDP: 6, ICMPV6: 2, ICMP: 2}.get(packet.protocol)
        if at is None:
            return
        start = b"" if packet.protocol == ICMP else pseudo_header(packet.source, packet.to, packet.protocol,
                                                                  len(packet.message))
        if partial:
            right = struct.unpack_from("!H", packet.message, at)[0] == folded_sum(start)
        else:
            right = checksum(start + packet.message) == 0
        if not right:
            raise Failed(f"a wrong checksum: {packet}")


class Station:
    """A machine of the guest's network at an address that no kernel has: it sends what it is told to, and
    answers who asks for its address. Use it as a context manager."""

    MAC = bytes.fromhex("02000000a050")

    def __init__(self, place, ip, router, interface="tap0"):
        self.ip, self.router = ip, router
        self.is_ipv6 = family_of(ip) == socket.AF_INET6
        self._socket = place.socket(socket.SOCK_RAW, socket.AF_PACKET)
        self._socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind((interface, ETH_P_ALL))
        self._reader = Reader()
        self._markers = 0
        self._router_mac = None
        self._find_router()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._socket.close()

    def _find_router(self):
        if self.is_ipv6:
            self.send_frame(ethernet(self.group_mac(self.router), self.MAC, ETH_P_IPV6,
                                     self.solicitation(self.router)))
        else:
            self.send_frame(ethernet(BROADCAST, self.MAC, ETH_P_ARP,
                                     arp(ARP_REQUEST, self.MAC, self.ip, self.router)))
        found = self.receive(20)
        if found is None:
            raise Failed(f"nobody says that he is {self.router}")
        self._router_mac = found.message[8:14] if found.kind == ETH_P_ARP else found.message[-6:]

    # What it sends

    @staticmethod
    def group(address):
        """The solicited-node group of an address (RFC 4291 2.7.1)."""
        return socket.inet_ntop(socket.AF_INET6, packed("ff02::1:ff00:0")[:13] + packed(address)[13:])

    @classmethod
    def group_mac(cls, address):
        return b"\x33\x33" + packed(cls.group(address))[12:]

    def solicitation(self, target, *, source=None, hops=255, options=None):
        """Asks who is at an address (RFC 4861 4.3)."""
        source, to = source or self.ip, self.group(target)
        options = link_address_option(1, self.MAC) if options is None else options
        return ipv6(source, to, ICMPV6,
                    icmpv6(source, to, NEIGHBOUR_SOLICITATION, 0, bytes(4) + packed(target) + options), hops=hops)

    def packet(self, to, protocol, message, **header):
        return (ipv6 if self.is_ipv6 else ipv4)(self.ip, to, protocol, message, **header)

    def echo_message(self, to, number, data=b""):
        """A ping without its IP header, by the number of its sequence."""
        body = struct.pack("!HH", 0xA050, number) + data
        return icmpv6(self.ip, to, ECHO6, 0, body) if self.is_ipv6 else icmp(ECHO, 0, body)

    def echo(self, to, number, data=b"", **header):
        return self.packet(to, ICMPV6 if self.is_ipv6 else ICMP, self.echo_message(to, number, data), **header)

    def send_frame(self, frame, vnet_header=bytes(VNET_HEADER.size)):
        self._socket.send(vnet_header + frame)

    def send_offloaded(self, to, protocol, message, checksum_at, size):
        """One frame for many segments of `size` bytes, whose checksums are left to the receiver: as the guest's
        kernel gives it to the TAP."""
        start, header = 14 + (40 if self.is_ipv6 else 20), {TCP: 20, UDP: 8}[protocol]
        kind = GSO_UDP_L4 if protocol == UDP else GSO_TCPV6 if self.is_ipv6 else GSO_TCPV4
        partial = struct.pack("!H", folded_sum(pseudo_header(self.ip, to, protocol, len(message))))
        packet = self.packet(to, protocol, message[:checksum_at] + partial + message[checksum_at + 2:])
        self.send_frame(ethernet(self._router_mac, self.MAC, ETH_P_IPV6 if self.is_ipv6 else ETH_P_IP, packet),
                        VNET_HEADER.pack(VNET_NEEDS_CHECKSUM, kind, start + header, size, start, checksum_at))

    def send(self, *packets):
        """IP packets, through the router."""
        for packet in packets:
            kind = ETH_P_IPV6 if packet[0] >> 4 == 6 else ETH_P_IP
            self.send_frame(ethernet(self._router_mac, self.MAC, kind, packet))

    # What it receives

    def receive(self, seconds=10.0):
        """The next packet for this station, or None when the time is over."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                frame = self._socket.recv(LARGEST)
            except TimeoutError:
                return None
            packet = self._reader.read(frame) if self._is_for_us(frame) else None
            if packet is not None and not self._is_question(packet):
                return packet
        return None

    def _is_for_us(self, frame):
        to = frame[VNET_HEADER.size:VNET_HEADER.size + 6]
        return to == self.MAC or to[0] & 1

    def _is_question(self, packet):
        """Answers who asks for us; who asks for others is none of our business either."""
        if packet.kind == ETH_P_ARP and packet.message[7] == ARP_REQUEST:
            if packet.to == self.ip:
                self.send_frame(ethernet(self._router_mac, self.MAC, ETH_P_ARP,
                                         arp(ARP_REPLY, self.MAC, self.ip, packet.source)))
            return True
        if packet.protocol != ICMPV6 or packet.message[0] != NEIGHBOUR_SOLICITATION:
            return False
        if packet.message[8:24] == packed(self.ip):
            solicited_override = struct.pack("!I", 0x60000000)
            body = solicited_override + packed(self.ip) + link_address_option(2, self.MAC)
            self.send(ipv6(self.ip, packet.source, ICMPV6,
                           icmpv6(self.ip, packet.source, NEIGHBOUR_ADVERTISEMENT, 0, body), hops=255))
        return True

    def answers(self, wanted=0):
        """What has been sent to us: all that comes until at least `wanted` packets are here and nothing more can
        come, for the answer to a ping that we send then is here as well."""
        got = []
        while len(got) < wanted and (packet := self.receive()):
            got.append(packet)
        self._markers += 1
        self.send(self.echo(self.router, self._markers))
        while packet := self.receive():
            if self._is_marker(packet):
                return got
            got.append(packet)
        raise Failed(f"the ping behind it is not answered; before it came {[*map(str, got)]}")

    def _is_marker(self, packet):
        return (packet.protocol in (ICMP, ICMPV6) and packet.message[0] in (ECHO_REPLY, ECHO_REPLY6) and
                packet.message[4:] == struct.pack("!HH", 0xA050, self._markers))

    def ask(self, *packets, wanted=0):
        self.send(*packets)
        return self.answers(wanted)


@contextlib.contextmanager
def guest_with_station(lab, *options):
    """A guest with its network, and a station beside its kernel."""
    guest, _ = lab.guest_with_network(*options)
    with Station(guest, lab.net.choose(STATION, STATION6), lab.net.gateway) as station:
        yield guest, station
