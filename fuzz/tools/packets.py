"""Packets from the guest, with lengths and checksums that fit."""
import ipaddress
import struct

GUEST, GATEWAY = bytes.fromhex("025e00000064"), bytes.fromhex("52550a000202")
BROADCAST = b"\xff" * 6
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def address(text):
    return ipaddress.ip_address(text).packed


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def pseudo(source, destination, protocol, payload):
    return source + destination + struct.pack("!IxxxB", len(payload), protocol)


def with_checksum(source, destination, protocol, payload, at):
    """`payload` with the checksum over it and the pseudo-header at `at`."""
    value = checksum(pseudo(address(source), address(destination), protocol, payload) + payload)
    return payload[:at] + struct.pack("!H", value or 0xFFFF) + payload[at + 2:]


def ethernet(kind, payload, destination=GATEWAY):
    return destination + GUEST + struct.pack("!H", kind) + payload


def ipv4(source, destination, protocol, payload, ttl=64, fragment=0, options=b"", identifier=7):
    def header(value):
        return struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload),
                           identifier,
                           fragment, ttl, protocol, value) + address(source) + address(destination) + options
    return header(checksum(header(0))) + payload


def ipv6(source, destination, protocol, payload, ttl=64):
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol,
                       ttl) + address(source) + address(destination) + payload


def ip(source, destination, protocol, payload, **fields):
    """A frame with an IP packet of the addresses' family."""
    if ":" in source:
        return ethernet(0x86DD, ipv6(source, destination, protocol, payload, **fields))
    return ethernet(0x0800, ipv4(source, destination, protocol, payload, **fields))


def udp(source, destination, ports, payload, **fields):
    head = struct.pack("!HHHH", *ports, 8 + len(payload), 0)
    return ip(source, destination, 17, with_checksum(source, destination, 17, head + payload, 6), **fields)


def tcp(source, destination, ports, seq, ack, flags, payload=b"", options=b"", window=0xFFFF,
        **fields):
    head = struct.pack("!HHIIBBHHH", *ports, seq, ack, (20 + len(options)) // 4 << 4, flags, window, 0, 0)
    segment = with_checksum(source, destination, 6, head + options + payload, 16)
    return ip(source, destination, 6, segment, **fields)


def icmp(source, destination, kind, code, rest, **fields):
    message = bytes([kind, code, 0, 0]) + rest
    if ":" in source:
        return ip(source, destination, 58, with_checksum(source, destination, 58, message, 2), **fields)
    value = struct.pack("!H", checksum(message))
    return ip(source, destination, 1, message[:2] + value + message[4:], **fields)
