"""Frames as a hostile guest makes them: plain bytes, checksums left to whoever sends them."""
import socket
import struct

import station

GATEWAY_MAC = bytes.fromhex("52550a000202")
BROADCAST_MAC = b"\xff" * 6
# The guest's kernel knows neither, so it answers nothing that comes for them.
ATTACKER_MAC = bytes.fromhex("020000005050")
ATTACKER_IP = "10.0.2.50"
ATTACKER_IP6 = "fd00::50"

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

# Where fields lie in a frame, for those who vary them.
MAC_SOURCE = 6
ARP_SENDER_MAC, ARP_SENDER = 22, 28
IPV4_ID, IPV4_SOURCE, IPV4_DESTINATION = 18, 26, 30
IPV4_PAYLOAD = 34
DHCP_CHADDR = IPV4_PAYLOAD + 8 + 28
SOURCE_PORT = IPV4_PAYLOAD
IPV6_SOURCE = 22
TCP_SEQUENCE = ECHO_IDENTIFIER = IPV4_PAYLOAD + 4


def ethernet(ether_type, payload, *, source=ATTACKER_MAC, destination=GATEWAY_MAC):
    return station.ethernet(destination, source, ether_type, payload)


def arp(operation, sender_mac, sender, target):
    return ethernet(ARP, station.arp(operation, sender_mac, sender, target), destination=BROADCAST_MAC)


def ipv4(protocol, payload, to, *, sender=ATTACKER_IP, fragment=0, identification=1, **link):
    """`fragment`: flags and offset as on the wire."""
    packet = station.ipv4(sender, to, protocol, payload, ident=identification, fragment=fragment)
    return ethernet(IPV4, packet, **link)


def ipv6(next_header, payload, to, *, sender=ATTACKER_IP6, hop_limit=64, **link):
    return ethernet(IPV6, station.ipv6(sender, to, next_header, payload, hops=hop_limit), **link)


def tcp(source_port, destination_port, *, sequence=0, acknowledgment=0, flags=SYN, window=65535, options=b"",
        payload=b""):
    header = struct.pack("!HHIIBBHHH", source_port, destination_port, sequence & 0xFFFFFFFF,
                         acknowledgment & 0xFFFFFFFF, (5 + len(options) // 4) << 4, flags, window, 0, 0)
    return header + options + payload


def udp(source_port, destination_port, payload=b""):
    return struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def mss(value):
    return struct.pack("!BBH", 2, 4, value)


def window_scale(shift):
    return struct.pack("!BBBB", 1, 3, 3, shift)


def echo_request(kind, payload=b"stress"):
    return struct.pack("!BBHHH", kind, 0, 0, 1, 1) + payload


def question(name, identifier=1):
    """A DNS question for the IPv4 address of a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", identifier, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def neighbour_solicitation(target, source_mac):
    return struct.pack("!BBHI", 135, 0, 0, 0) + socket.inet_pton(socket.AF_INET6, target) + b"\x01\x01" + source_mac


def dhcp_discover(mac):
    """A client that has no address yet; its hardware address is at MAC_SOURCE and at DHCP_CHADDR."""
    message = struct.pack("!BBBBIHH16s", 1, 1, 6, 0, 1, 0, 0, bytes(16)) + mac + bytes(10 + 64 + 128)
    message += bytes.fromhex("63825363") + b"\x35\x01\x01\xff"
    return ipv4(UDP, udp(68, 67, message), "255.255.255.255", sender="0.0.0.0", source=mac, destination=BROADCAST_MAC)
