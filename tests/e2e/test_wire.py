#!/usr/bin/env python3
"""Wire conformance with the kernel's TAP, sockets and offloads: the rows of docs/conformance.md where they matter.

A station at an address that no kernel has sends frames made by hand, so that nothing but the test answers for it.
TCP is in test_wire_tcp.py.
"""
import struct

import runner
from station import (ARP_REPLY, ARP_REQUEST, BROADCAST, DESTINATION_OPTIONS, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, FRAGMENT,
                    HOP_BY_HOP, ICMP, ICMPV6, MORE_FRAGMENTS, ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION, STATION,
                    STATION6, UDP, Station, arp, ethernet, guest_with_station, icmpv6, ipv4, ipv6, link_address_option,
                    options6, packed, udp)
from lab import DNS, DNS6, GATEWAY, GATEWAY6, ROUTER6, WAN_IP, WAN_IP6
from namespaces import Failed
from netio import blob, check_equal, check_same, udp as udp_socket
from runner import case

OTHER_CONFIGURATION = 0x40  # flag of an advertisement: DHCPv6 has more (RFC 4861 4.2)


def check_rows(station, rows):
    """Rows of document, name, packets, and what is answered; all rows that fail are told."""
    wrong = []
    for document, name, packets, wanted in rows:
        got = [str(packet) for packet in station.ask(*packets, wanted=len(wanted))]
        if got != wanted:
            wrong.append(f"{document}: {name}: {got} instead of {wanted}")
    if wrong:
        raise Failed("\n".join(wrong))


# ARP

def arp_rows(raw):
    def request(target, sender=STATION, **changed):
        return ethernet(BROADCAST, Station.MAC, ETH_P_ARP, arp(ARP_REQUEST, Station.MAC, sender, target, **changed))

    rows = [
        ("RFC 826", "the gateway", request(GATEWAY), [f"ARP 2 {GATEWAY}"]),
        ("RFC 826", "the DNS server", request(DNS), [f"ARP 2 {DNS}"]),
        ("RFC 826", "an address that nobody has", request("10.0.2.77"), []),
        ("RFC 5227 2.1.1", "a probe for the station's own address", request(STATION, "0.0.0.0"), []),
        ("RFC 5227 2.1.1", "a probe for the gateway's", request(GATEWAY, "0.0.0.0"), [f"ARP 2 {GATEWAY}"]),
        ("RFC 5227 2.3", "an announcement", request(STATION), []),
        ("RFC 826", "another hardware", request(GATEWAY, hardware=6), []),
        ("RFC 826", "another protocol", request(GATEWAY, protocol=ETH_P_IPV6), []),
        ("RFC 826", "a wrong length of addresses", request(GATEWAY, sizes=(8, 4)), []),
        ("RFC 826", "a reply", ethernet(BROADCAST, Station.MAC, ETH_P_ARP,
                                        arp(ARP_REPLY, Station.MAC, STATION, GATEWAY)), []),
    ]
    for document, name, frame, wanted in rows:
        raw.send_frame(frame)
        got = [str(packet) for packet in raw.answers(len(wanted))]
        check_equal(got, wanted, f"{document}: answers to {name}")


# IP and ICMP

def pieces(raw, to, protocol, message, cuts, ident):
    """Fragments of a message, cut at these places; the last one ends where the message does."""
    made = []
    for at, end in zip((0, *cuts), (*cuts, len(message))):
        more = end < len(message)
        if raw.is_ipv6:
            header = struct.pack("!BxHI", protocol, at | more, ident)
            made.append(ipv6(raw.ip, to, FRAGMENT, header + message[at:end]))
        else:
            made.append(ipv4(raw.ip, to, protocol, message[at:end], ident=ident,
                             fragment=at // 8 | (MORE_FRAGMENTS if more else 0)))
    return made


def ping_message(raw, size):
    """A ping of the gateway without its IP header."""
    return raw.echo_message(raw.router, 0x8000, blob(size, size))


def overlapping(raw, message, ident):
    """The same message in three pieces, the second of which reaches into the third."""
    first, second, third = pieces(raw, raw.router, ICMPV6 if raw.is_ipv6 else ICMP, message, (16, 32), ident)
    longer = pieces(raw, raw.router, ICMPV6 if raw.is_ipv6 else ICMP, message, (16, 40), ident)[1]
    check_equal(len(longer) > len(second), True, "longer")
    return first, longer, third


def ipv4_rows(raw):
    reply = [f"ICMP 0/0 from {GATEWAY}"]
    too_far = [f"ICMP 11/0 from {GATEWAY}"]
    message = ping_message(raw, 56)

    def ping(to=GATEWAY, **header):
        return [raw.echo(to, 0x8000, b"data", **header)]

    def cut(ident, *order):
        made = pieces(raw, GATEWAY, ICMP, message, (16, 32), ident)
        return [made[index] for index in order]

    check_rows(raw, [
        ("RFC 791 3.1", "no operation options", ping(options=b"\1" * 40), reply),
        ("RFC 791 3.1", "an unknown option", ping(options=b"\x5e\4ab"), reply),
        ("RFC 791 3.1", "a record route option", ping(options=b"\x07\x07\4\0\0\0\0\0"), reply),
        ("RFC 1122 3.2.1.1", "another version", [ipv4(STATION, GATEWAY, ICMP, message, version=5)], []),
        ("RFC 1122 3.2.1.2", "a wrong header checksum", ping(error=1), []),
        ("RFC 791 3.1", "a total length beyond the frame", [ping()[0][:-1]], []),
        ("RFC 1122 3.2.1.7", "TTL 1 to the gateway", ping(ttl=1), reply),
        ("RFC 1812 5.3.1", "TTL 1 elsewhere", ping(WAN_IP, ttl=1), too_far),
        ("RFC 1812 5.3.1", "TTL 0 elsewhere", ping(WAN_IP, ttl=0), too_far),
        ("RFC 791 3.2", "fragments in order", cut(10, 0, 1, 2), reply),
        ("RFC 791 3.2", "fragments in reverse", cut(11, 2, 1, 0), reply),
        ("RFC 791 3.2", "a fragment twice", cut(12, 0, 1, 1, 2), reply),
        ("RFC 791 3.2", "a fragment is missing", cut(13, 0, 2), []),
        ("RFC 5722 4", "fragments that overlap", overlapping(raw, message, 14), []),
        ("RFC 792", "an echo reply", [ipv4(STATION, GATEWAY, ICMP, b"\0\0\xff\xff" + bytes(4))], []),
        ("RFC 1122 3.2.2.6", "a ping of the broadcast address", ping("10.0.2.255"), []),
    ])


def echo_sizes(raw):
    """At the gateway, in fragments where the MTU wants them."""
    for size in (0, 1, 1472, 1473, 3000, 65527 if raw.is_ipv6 else 65507):
        message = ping_message(raw, size)
        protocol, room = (ICMPV6, 1448) if raw.is_ipv6 else (ICMP, 1480)
        cuts = range(room, len(message), room) if len(message) > room else ()
        answer, = raw.ask(*pieces(raw, raw.router, protocol, message, cuts, 100 + size // 2), wanted=1)
        check_same(answer.message[8:], message[8:], f"the answer to a ping of {size} bytes")


# UDP

def datagram_rows(raw, to, port):
    """Name, packet, and whether it arrives."""
    def send(data, **changed):
        return raw.packet(to, UDP, udp(raw.ip, to, (5000, port), data, **changed))

    return [
        ("RFC 768", "a datagram", send(b"data"), b"data"),
        ("RFC 768", "an empty one", send(b""), b""),
        ("RFC 768", "no checksum", send(b"no sum", zero_checksum=True), None if raw.is_ipv6 else b"no sum"),
        ("RFC 768", "a wrong checksum", send(b"wrong")[:-1] + b"?", None),
        ("RFC 768", "a length of 7", send(b"short", length=7), None),
        ("RFC 768", "a length of 0", send(b"none", length=0), None),
        ("RFC 768", "a length beyond the packet", send(b"long", length=13), None),
    ]


def udp_rows(raw, server):
    """What comes out of the host's socket, to a server outside and back."""
    to, port = server.getsockname()
    for document, name, packet, arrives in datagram_rows(raw, to, port):
        last = raw.packet(to, UDP, udp(raw.ip, to, (5000, port), b"last"))
        raw.send(packet, last)
        got = []
        while b"last" not in got:
            data, peer = server.recvfrom(100)
            got.append(data)
        wanted = [arrives] if arrives is not None else []
        check_equal(got, [*wanted, b"last"], f"{document}: {name}")
    server.sendto(b"answer", peer)
    answer, = raw.answers(1)
    check_equal((answer.message[:4], answer.message[8:]), (struct.pack("!HH", port, 5000), b"answer"), "answer")


def offloaded_datagrams(raw, server):
    """Three of equal size and a shorter one in one frame, as a guest's kernel writes them (virtio 5.1.6.2)."""
    to, port = server.getsockname()
    data = blob(6, 3 * 1000 + 10)
    message = udp(raw.ip, to, (5000, port), data)
    raw.send_offloaded(to, UDP, message, 6, 1000)
    got = [server.recv(2000) for _ in range(4)]
    check_equal([len(part) for part in got], [1000, 1000, 1000, 10], "sizes of datagrams")
    check_same(b"".join(got), data, "datagrams")


# IPv6

def ipv6_rows(raw):
    reply = [f"ICMP 129/0 from {GATEWAY6}"]
    problem = [f"ICMP 4/2 from {GATEWAY6}"]
    message = ping_message(raw, 56)

    def ping(*headers, to=GATEWAY6, **how):
        """With extension headers before the message, each its kind and its options."""
        payload, kind = raw.echo_message(to, 0x8000, b"data"), ICMPV6
        for header, *options in reversed(headers):
            payload, kind = options6(kind, *options) + payload, header
        return [ipv6(STATION6, to, kind, payload, **how)]

    def cut(ident, *order):
        made = pieces(raw, GATEWAY6, ICMPV6, message, (16, 32), ident)
        return [made[index] for index in order]

    check_rows(raw, [
        ("RFC 8200 4.3", "hop-by-hop options", ping((HOP_BY_HOP,)), reply),
        ("RFC 8200 4.6", "destination options behind them", ping((HOP_BY_HOP,), (DESTINATION_OPTIONS,)), reply),
        ("RFC 8200 4.2", "an unknown option 00", ping((DESTINATION_OPTIONS, (0x3e, b"ab"))), reply),
        ("RFC 8200 4.2", "an unknown option 01", ping((DESTINATION_OPTIONS, (0x7e, b"ab"))), []),
        ("RFC 8200 4.2", "an unknown option 10", ping((DESTINATION_OPTIONS, (0xbe, b"ab"))), problem),
        ("RFC 8200 4.2", "an unknown option 11", ping((DESTINATION_OPTIONS, (0xfe, b"ab"))), problem),
        ("RFC 8200 4.1", "hop-by-hop options at another place", ping((DESTINATION_OPTIONS,), (HOP_BY_HOP,)),
         [f"ICMP 4/1 from {GATEWAY6}"]),
        ("RFC 8200 3", "hop limit 1 to the gateway", ping(hops=1), reply),
        ("RFC 4443 3.3", "hop limit 1 elsewhere", ping(to=WAN_IP6, hops=1), [f"ICMP 3/0 from {GATEWAY6}"]),
        ("RFC 8200 4.5", "fragments in order", cut(10, 0, 1, 2), reply),
        ("RFC 8200 4.5", "fragments in reverse", cut(11, 2, 1, 0), reply),
        ("RFC 8200 4.5", "a fragment is missing", cut(13, 0, 2), []),
        ("RFC 5722 4", "fragments that overlap", overlapping(raw, message, 14), []),
    ])


def neighbour_rows(raw):
    def ask(target, **changed):
        return [raw.solicitation(target, **changed)]

    check_rows(raw, [
        ("RFC 4861 7.2.4", "the gateway", ask(GATEWAY6), [f"ICMP 136/0 from {GATEWAY6}"]),
        ("RFC 4861 7.2.4", "the DNS server", ask(DNS6), [f"ICMP 136/0 from {DNS6}"]),
        ("RFC 4861 7.2.4", "the router", ask(ROUTER6), [f"ICMP 136/0 from {ROUTER6}"]),
        ("RFC 4861 7.2.3", "an address that nobody has", ask("fd00::77"), []),
        ("RFC 4861 7.2.3", "the station's own address", ask(STATION6), []),
        ("RFC 4861 7.1.1", "forwarded by a router", ask(GATEWAY6, hops=254), []),
        ("RFC 4861 7.1.1", "an option of length 0", ask(GATEWAY6, options=b"\1\0" + bytes(6)), []),
        ("RFC 4861 7.1.1", "an option beyond the end", ask(GATEWAY6, options=b"\1\2" + bytes(6)), []),
        ("RFC 4861 4.3", "without an option", ask(GATEWAY6, options=b""), [f"ICMP 136/0 from {GATEWAY6}"]),
    ])


def read_advertisement(message):
    """The fixed part, and the options by kind."""
    options, rest = {}, message[16:]
    while rest:
        options[rest[0]], rest = rest[2:8 * rest[1]], rest[8 * rest[1]:]
    hop_limit, flags, lifetime = struct.unpack("!BBH", message[4:8])
    return (hop_limit, flags, lifetime), options


def router_advertisement(raw):
    """Its content, field by field (RFC 4861 4.2, RFC 8106 5.1)."""
    link_local = "fe80::a050"
    body = bytes(4) + link_address_option(1, Station.MAC)
    solicitation = icmpv6(link_local, "ff02::2", ROUTER_SOLICITATION, 0, body)
    for hops, answered in ((254, False), (255, True)):
        packets = raw.ask(ipv6(link_local, "ff02::2", ICMPV6, solicitation, hops=hops), wanted=answered)
        found = [packet for packet in packets if packet.message[0] == ROUTER_ADVERTISEMENT]
        check_equal(bool(found), answered, f"an answer to a solicitation of hop limit {hops}")
    check_equal((found[0].source, found[0].hops), (ROUTER6, 255), "source and hop limit")
    fixed, options = read_advertisement(found[0].message)
    check_equal(fixed, (64, OTHER_CONFIGURATION, 1800), "hop limit, flags and lifetime")
    check_equal(sorted(options), [1, 3, 5, 25], "kinds of options")
    prefix = struct.pack("!BBII4x", 64, 0xC0, 86400, 14400) + packed("fd00::")
    check_equal(options[3], prefix, "prefix: 64 bits, L and A, 86400 and 14400 s")
    check_equal(options[5], struct.pack("!2xI", 1500), "MTU")
    check_equal(options[25][6:], packed(DNS6), "recursive DNS server")
    check_equal(len(options[1]), 6, "length of the router's link-layer address")


# DHCP

def dhcp(kind, *options, cookie=b"\x63\x82\x53\x63"):
    """A message of the station, which has no address yet (RFC 2131 2)."""
    fixed = struct.pack("!BBBBIHH16x16s192x", 1, 1, 6, 0, 0xA050, 0, 0x8000, Station.MAC)
    message = fixed + cookie + b"".join([bytes([53, 1, kind]), *options, b"\xff"])
    packet = ipv4("0.0.0.0", "255.255.255.255", UDP, udp("0.0.0.0", "255.255.255.255", (68, 67), message))
    return ethernet(BROADCAST, Station.MAC, ETH_P_IP, packet)


def dhcp_rows(raw):
    discover, offer, request, acknowledge, refuse = 1, 2, 3, 5, 6

    def wish(address):
        return bytes([50, 4]) + packed(address)

    rows = [
        ("RFC 2131 3.1", "DISCOVER", dhcp(discover), [offer]),
        ("RFC 2131 4.3.2", "REQUEST of an address of the pool", dhcp(request, wish("10.0.2.15")), [acknowledge]),
        ("RFC 2131 4.3.2", "REQUEST of another address", dhcp(request, wish("10.0.2.77")), [refuse]),
        ("RFC 2131 4.3.2", "REQUEST of another network's", dhcp(request, wish("192.168.1.5")), [refuse]),
        ("RFC 2131 3", "a wrong magic cookie", dhcp(discover, cookie=b"\x63\x82\x53\x64"), []),
        ("RFC 2131 4.3", "OFFER, which is a server's word", dhcp(offer), []),
    ]
    for document, name, frame, wanted in rows:
        raw.send_frame(frame)
        got = [packet.message[8 + 240 + 2] for packet in raw.answers(len(wanted))]
        check_equal(got, wanted, f"{document}: {name}: types of what is answered")


# Cases

@case
def ipv4_link(lab):
    with guest_with_station(lab) as (_, raw):
        arp_rows(raw)
        ipv4_rows(raw)
        dhcp_rows(raw)


@case(ipv4=False, ipv6=True)
def ipv6_link(lab):
    with guest_with_station(lab) as (_, raw):
        neighbour_rows(raw)
        router_advertisement(raw)
        ipv6_rows(raw)


@case(ipv6=True)
def datagrams(lab):
    with guest_with_station(lab) as (_, raw), udp_socket(lab.wan, lab.net.wan) as server:
        echo_sizes(raw)
        udp_rows(raw, server)
        offloaded_datagrams(raw, server)


if __name__ == "__main__":
    runner.main()
