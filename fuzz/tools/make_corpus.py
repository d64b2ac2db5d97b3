#!/usr/bin/env python3
"""Makes the seeds of the parsers' corpora: well-formed messages, and the edges that the standards speak of.

usage: make_corpus.py DIRECTORY [HARNESS...]

Writes DIRECTORY/HARNESS/*, each file named by its content. `./dev fuzz-minimise` throws away what covers
nothing of its own, seeds included.
"""
import hashlib
import itertools
import pathlib
import struct
import sys

import assemble
import packets
from packets import address

PROGRAMS = pathlib.Path(__file__).resolve().parents[1] / "programs"


def records(*parts):
    """Things one after the other, each behind its length: fuzz/structure/records.hpp."""
    return b"".join(struct.pack("!H", len(part)) + part for part in parts)


def name(text):
    """A domain name as labels."""
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


# --- DHCP ---

MAC = packets.GUEST
CONFIGURATION = bytes([1]) + struct.pack("!H",
                                         1500 - 68) + b"example.org\nlan.\nbad name\n" + b"a" * 63 + b".net"


def dhcp(message_type, *options, ciaddr="0.0.0.0", giaddr="0.0.0.0", flags=0, mac=MAC, sname=b"", file=b"",
         end=True):
    head = struct.pack("!4BIHH4s8x4s", 1, 1, 6, 0, 0x12345678, 0, flags, address(ciaddr), address(giaddr))
    head += mac.ljust(16, b"\0") + sname.ljust(64, b"\0") + file.ljust(128, b"\0") + bytes.fromhex("63825363")
    body = b"".join(bytes([code, len(value)]) + value for code,
                    value in ((53, bytes([message_type])), *options))
    return head + body + (b"\xff" if end else b"")


def dhcp_seeds():
    wanted = (50, address("10.0.2.20"))
    ours = (54, address("10.0.2.2"))
    other = (54, address("10.0.2.9"))
    lifes = [
        [dhcp(1), dhcp(3, ours, (50, address("10.0.2.15"))), dhcp(3, ciaddr="10.0.2.15"),
         dhcp(7, ours, ciaddr="10.0.2.15")],
        [dhcp(1, wanted, flags=0x8000), dhcp(3, ours, wanted), dhcp(4, ours, wanted), dhcp(1)],
        [dhcp(1), dhcp(3, other, wanted), dhcp(8, ciaddr="10.0.2.50"), dhcp(8), dhcp(8, ciaddr="192.0.2.1")],
        [dhcp(1, (61, b"\1" + MAC), (57, struct.pack("!H", 1400))), dhcp(3, wanted, (61, b"\1" + MAC))],
        [dhcp(3, (50, address("10.0.2.99"))), dhcp(3, (50, address("192.0.2.1")))],
        [dhcp(1, giaddr="10.9.9.9"), dhcp(2), dhcp(5), dhcp(6), dhcp(9), dhcp(0)],
        [dhcp(1, (61, b"a" * 200), (61, b"b" * 55)), dhcp(1, (61, b"a" * 200), (61, b"b" * 56)),
         dhcp(1, (61, b"x"))],
        [dhcp(1, (52, b"\1"), file=b"\x32\x04\x0a\0\2\x14\xff"),
         dhcp(1, (52, b"\2"), sname=b"\x0c\3abc\xff")],
        [dhcp(1, (52, b"\3"), file=b"\x32\x02\x0a\0", sname=b"\x32\2\2\x14"), dhcp(1, (52, b"\4")),
         dhcp(1, (52, b""))],
        [dhcp(1, end=False), dhcp(1, end=False) + b"\x32", dhcp(1, end=False) + b"\x32\4\1",
         dhcp(1) + b"rest"],
        [dhcp(1, (0x0C, b"guest"), (55, bytes(range(1, 60)))), dhcp(1, mac=b"\0" * 6),
         dhcp(1, mac=b"\xff" * 6)],
        [dhcp(1)[:239], dhcp(1)[:240], b"", b"\1"],
        # More clients than there are addresses, which leave one after the other.
        [m for i in range(18) for m in (dhcp(1, mac=b"\2\0\0\0\0" + bytes([i])),
                                        dhcp(3, (50, address(f"10.0.2.{15 + i}")),
                                             mac=b"\2\0\0\0\0" + bytes([i])))],
        # One who asks for what another has, for another address than its own, and one too many.
        [m for i in range(17) for m in (dhcp(1, mac=b"\2\0\0\0\0" + bytes([i])),
                                        dhcp(3, ours, (50, address(f"10.0.2.{15 + i}")),
                                             mac=b"\2\0\0\0\0" + bytes([i])))] +
        [dhcp(3, (50, address("10.0.2.16")), mac=b"\2\0\0\0\0\0"),
         dhcp(3, (50, address("10.0.2.15")), mac=b"\2\0\0\0\0\x77")],
        [dhcp(1), dhcp(3, ours, (50, address("10.0.2.15"))), dhcp(3, (50, address("10.0.2.20"))),
         dhcp(3, ciaddr="10.0.2.20")],
    ]
    for life, pause in itertools.product(lifes, (0, 200)):
        yield records(CONFIGURATION, *(bytes([pause]) + message for message in life))
    for mtu in (68, 576, 65521):
        yield records(bytes([0]) + struct.pack("!H", mtu - 68) + b"x.example", b"\0" + dhcp(1))


# --- DHCPv6 ---

CLIENT6 = bytes.fromhex("00030001025e00000064")
SERVER6 = bytes.fromhex("0003000152550a000202")


def option6(code, value=b""):
    return struct.pack("!HH", code, len(value)) + value


def ia_na(iaid, *addresses, more=b""):
    inner = b"".join(option6(5, address(a) + bytes(8) + more) for a in addresses)
    return option6(3, struct.pack("!III", iaid, 0, 0) + inner)


def dhcp6(message_type, *options):
    return bytes([message_type, 0xAB, 0xCD, 0xEF]) + b"".join(options)


def dhcp6_seeds():
    client, server = option6(1, CLIENT6), option6(2, SERVER6)
    wanted = option6(6, struct.pack("!HH", 23, 24))
    lifes = [
        [dhcp6(1, client, ia_na(1)), dhcp6(3, client, server, ia_na(1, "fd00::100")),
         dhcp6(5, client, server, ia_na(1, "fd00::100")),
         dhcp6(6, client, ia_na(1, "fd00::100")), dhcp6(8, client, server, ia_na(1, "fd00::100"))],
        [dhcp6(1, client, option6(14), ia_na(1), ia_na(2), wanted),
         dhcp6(9, client, server, ia_na(1, "fd00::100")), dhcp6(1, client, ia_na(1))],
        [dhcp6(11), dhcp6(11, client, wanted), dhcp6(11, server), dhcp6(11, option6(2, SERVER6[::-1])),
         dhcp6(11, ia_na(1))],
        [dhcp6(4, client, ia_na(1, "fd00::100")), dhcp6(4, client, ia_na(1, "2001:db8::1")),
         dhcp6(4, client, ia_na(1))],
        [dhcp6(1, client, option6(4, bytes(4)), option6(25, bytes(12))),
         dhcp6(3, client, server, option6(25, bytes(12)))],
        [dhcp6(5, client, server, ia_na(1)), dhcp6(5, client, server, ia_na(1, "2001:db8::1")),
         dhcp6(6, client, ia_na(7, "fd00::105"))],
        [dhcp6(3, client, server, ia_na(1, "2001:db8::1")), dhcp6(8, client, server, ia_na(9, "fd00::101"))],
        [dhcp6(2), dhcp6(7), dhcp6(10), dhcp6(12), dhcp6(0), b"", b"\1\2\3"],
        [dhcp6(1, client, client), dhcp6(1, option6(1, b"ab")), dhcp6(1, option6(1, b"a" * 131)),
         dhcp6(1, client, option6(6, b"a"))],
        [dhcp6(1, client, option6(14, b"a")), dhcp6(1, client, option6(14), option6(14)),
         dhcp6(1, client, wanted, wanted)],
        [dhcp6(1, client, *(ia_na(i) for i in range(9))),
         dhcp6(1, client, ia_na(1, *(f"fd00::10{i}" for i in range(9))))],
        [dhcp6(1, client, *(ia_na(i) for i in range(8)))] * 3,
        [dhcp6(3, option6(1, CLIENT6 + bytes([who])), server, *(ia_na(i) for i in range(8)))
         for who in range(3)],
        [dhcp6(1, client, option6(3, bytes(11))),
         dhcp6(1, client, option6(3, bytes(12) + option6(5, bytes(23)))),
         dhcp6(1, client)[:-1]],
        [dhcp6(1, client, ia_na(1, "fd00::100", more=option6(13, b"\0\0"))),
         dhcp6(1, client, ia_na(1, "fd00::100", more=b"\0"))],
    ]
    for life, where, flags in itertools.product(lifes, (0, 2, 3), (1, 2)):
        if where == 0 or flags == 1:
            yield records(bytes([flags]) + b"example.org\nlan",
                          *(bytes([1, where]) + message for message in life))
    yield records(b"\1" + b"\n".join(b"%d.example.org" % i for i in range(90)), b"\0\0" + dhcp6(11))


# --- ARP and neighbour discovery ---

def arp(operation, sender, target):
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4,
                       operation) + MAC + address(sender) + bytes(6) + address(target)


# Choices of fuzz/support/address.cpp.
GUEST6, GATEWAY6, ROUTER6, NODE_GROUP6, UNSPECIFIED6 = 0, 1, 4, 6, 8


def arp_ndp_seeds():
    for operation, sender in itertools.product((1, 2, 3), ("10.0.2.100", "0.0.0.0")):
        yield b"\0" + arp(operation, sender, "10.0.2.2")
    yield b"\0" + arp(1, "10.0.2.100", "10.0.2.3") + bytes(18)
    yield b"\0" + arp(1, "10.0.2.100", "10.0.2.3")[:27]
    source, target = b"\1\1" + MAC, b"\2\1" + MAC
    fixed = {133: bytes([133, 0, 0, 0]) + bytes(4)}
    for kind in (135, 136):
        fixed[kind] = bytes([kind, 0, 0, 0, 0x60, 0, 0, 0]) + address("fd00::2")
    options = (b"", source, target, source + source, b"\1\0" + bytes(6), b"\1\2" + MAC + bytes(8), b"\1",
               b"\x0e\1" + bytes(6) + source,
               b"\1\1" + b"\xff" * 6)
    for kind, option in itertools.product(fixed, options):
        for envelope in ((GUEST6, GATEWAY6, 0), (UNSPECIFIED6, NODE_GROUP6, 0), (GUEST6, ROUTER6, 1)):
            yield b"\1" + bytes(envelope) + (b"\x40" if envelope[2] else b"") + fixed[kind] + option
    yield b"\1" + bytes((GUEST6, GATEWAY6, 0)) + fixed[135][:8] + address("ff02::1")
    for servers, domains in itertools.product((0, 1, 3, 5),
                                              (b"", b"example.org\nlan.", b"bad..name\n" + b"x" * 64,
                                               b"\n".join([b"a" * 60] * 40))):
        head = bytes([64, 1, 1, 1, 1]) + struct.pack("!HI", 1800, 1500)
        yield b"\2" + head + bytes([GUEST6, 64, servers]) + bytes(servers) + domains


# --- DNS ---

def dns(flags, *questions, counts=None, identifier=0x1234, rest=b""):
    body = b"".join(name(text) + struct.pack("!HH", 1, 1) for text in questions)
    return struct.pack("!HH4H", identifier, flags, *(counts or (len(questions), 0, 0, 0))) + body + rest


def dns_seeds():
    edns = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
    queries = [dns(0x0100, "example.org"), dns(0x0000, "a.b.c.d.example"),
               dns(0x0100, "example.org", counts=(1, 0, 0, 1), rest=edns),
               dns(0x0100), dns(0x0100, "a.example", "b.example"), dns(0x7900, "example.org"),
               dns(0x0100, "x" * 63 + ".org"),
               dns(0x0100, counts=(1, 0, 0, 0)), dns(0x0100, counts=(1, 0, 0, 0), rest=b"\xc0\x0c\0\1\0\1"),
               dns(0x0100, counts=(1, 0, 0, 0), rest=b"\x05exam"),
               dns(0x0100, counts=(1, 0, 0, 0), rest=b"\0\0\1\0\1"),
               dns(0x0100, "example.org")[:-1], dns(0x0100, "example.org")[:11], dns(0x8180, "example.org"),
               b""]
    responses = [dns(0x8180, "example.org"), dns(0x8182, "example.org", identifier=0x1235), dns(0x8380),
                 dns(0x0100, "example.org"), b"\x12\x34\x81"]
    for query in queries:
        yield records(query, responses[0])
    for response in responses:
        yield records(queries[0], response)


# --- text ---

def domain_name_seeds():
    lists = (b"example.org\nlan.", b"", b".\n..\na..b", b"x" * 63 + b".a\n" + b"x" * 64 + b".a",
             b".".join([b"a" * 61] * 4) + b".a",
             b".".join([b"a" * 62] * 4) + b".a", b"under_score\nno space\nB\xc3\xbccher\n-a-",
             b"\n".join(b"%d.example" % i for i in range(30)))
    for names, limit in itertools.product(lists, (0, 12, 255, 1000)):
        yield struct.pack("!H", limit) + names


def resolv_conf_seeds():
    yield b""
    yield b"nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch example.org lan\noptions ndots:1\n"
    yield b"nameserver 127.0.0.53\r\ndomain example.org other\r\n"
    yield b"# comment\n; another\n nameserver\t192.0.2.1 trailing\nnameserver 192.0.2.1"
    yield b"nameserver fe80::1%eth0\nnameserver fe80::1%\nnameserver fe80::1%a/b\n" \
          b"nameserver 10.0.0.1%eth0\nnameserver fe80::1%a%b\n"
    yield b"".join(b"nameserver 192.0.2.%d\nnameserver 2001:db8::%d\n" % (i, i) for i in range(6))
    yield b"search a b # c d\nsearch\ndomain .\nsearch . a. " + b"x" * 254 + b" " + b"y" * 253 + b"\n"
    yield b"nameserver\nnameserver \nNAMESERVER 192.0.2.1\nnameserver 192.0.2.1#53\n" \
          b"nameserver 300.1.1.1\nnameserver ::ffff:192.0.2.1\n"
    yield b"search \x00a b\xff c\x7f d\ndomain a\x01\n\v\f search x\n"
    yield b"nameserver fe80::1%1234567890123456\nnameserver fe80::1%123456789012345\n"


def options_seeds():
    target = ("lwip4netns", "123", "tap0")
    lines = [
        target, ("lwip4netns",), ("lwip4netns", "--help"), ("slirp4netns", "-v"),
        ("lwip4netns", "-c", "-r", "3", "-e4", "-m", "65520", "1", "tap0"),
        ("lwip4netns", "--disable-host-loopback", "--mtu=65520", "--enable-sandbox", "--enable-seccomp",
         "--enable-ipv6", "-c", "--netns-type=path", "/", "tap0"),
        ("lwip4netns", "--netns-type=tapfd", "5"), ("lwip4netns", "--netns-type=tapfd", "-1"),
        ("lwip4netns", "--netns-type=x", "5"),
        ("lwip4netns", "--target-type=bess", "/tmp/s"), ("lwip4netns", "--target-type=bess", "-c", "/tmp/s"),
        ("lwip4netns", "--target-type=bess", "a", "b"),
        ("lwip4netns", "--target-type=bess", "s" * 108), ("lwip4netns", "--target-type=x", "a"),
        ("lwip4netns", "--macaddress=02:00:00:00:00:01", *target[1:]),
        ("lwip4netns", "-c", "--macaddress=02:00:00:00:00:01", *target[1:]),
        ("lwip4netns", "--outbound-addr=192.0.2.1", "--outbound-addr6=2001:db8::1", *target[1:]),
        ("lwip4netns", "--outbound-addr=lo", *target[1:]),
        ("lwip4netns", "--outbound-addr=none0", *target[1:]),
        ("lwip4netns", "--outbound-addr6=none0", *target[1:]),
        ("lwip4netns", "--userns-path=/", "--api-socket=/tmp/a", *target[1:]),
        ("lwip4netns", "--userns-path=/nowhere", *target[1:]),
        ("lwip4netns", "--api-socket=", *target[1:]), ("lwip4netns", "-a", "a" * 108, *target[1:]),
        ("lwip4netns", "--no-host-loopback", "--create-sandbox", "--disable-dns", *target[1:]),
        ("lwip4netns", *target[1:], "more"),
        ("lwip4netns", "--dis", *target[1:]), ("lwip4netns", "--nothing"), ("lwip4netns", "-x"),
        ("lwip4netns", "--mtu"), ("lwip4netns", "-m"),
        ("lwip4netns", "--help=yes"), ("lwip4netns", "--", "1", "tap0"), ("lwip4netns", "0", "tap0"),
        ("lwip4netns", "1", ""), ("lwip4netns", "1", "t" * 16),
        ("lwip4netns", "-r", "-1", *target[1:]), ("lwip4netns", "-e", "x", *target[1:]),
        ("lwip4netns", "-m", "67", *target[1:]), ("lwip4netns", "-6", "-m", "1279", *target[1:]),
        ("lwip4netns", "--netns-type=path", "/nowhere", "tap0"), ("lwip4netns", "-m", "65522", *target[1:]),
        ("lwip4netns", "run", "--", "true"), ("lwip4netns", "run", "-6", "--cidr=10.1.0.0/24", "sh", "-c",
                                              "true"), ("lwip4netns", "run"), ("lwip4netns", "run", "--help"),
        ("lwip4netns", "run", "--cidr=x", "true"), ("lwip4netns", "run", "--ready-fd=3", "true"), ("",),
    ]
    for cidr in ("10.0.2.0/24", "10.0.2.100/24", "10.0.2.0/26", "10.0.2.0/0", "10.0.2.0", "10.0.2.0/",
                 "300.0.2.0/24", "010.0.2.0/24", "10.0.2/24", "10.0.2.0/24/1",
                 "128.0.0.0/1", "x", "10.0.2.0/099", "0.0.0.0/25"):
        lines.append(("lwip4netns", "--cidr=" + cidr, *target[1:]))
    for cidr in ("fd00::/64", "fd00::100/64", "fd00::/63", "fd00::/120", "fd00::/121", "::/64", "fe80::/64",
                 "ff02::/64", "fd00::", "2001:db8::/0064", "1::2::3/64"):
        lines.append(("lwip4netns", "-6", "--cidr6=" + cidr, *target[1:]))
    for mac in ("1:2:3:4:5:6", "02:00:00:00:00", "02:00:00:00:00:01:", "02:00:00:00:00:01:02",
                "0x:00:00:00:00:01", "002:00:00:00:00:01", ":::::", "AA:bb:CC:dd:EE:ff"):
        lines.append(("lwip4netns", "-c", "--macaddress=" + mac, *target[1:]))
    for words in lines:
        yield "\0".join(words).encode()
    yield "\0".join(("+1", " 1", "1 ", "-0", "2147483647", "2147483648", "99999999999999999999", "0x1", "1e3",
                     "", "-", "+")).encode()


def api_seeds():
    add = b'{"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"0.0.0.0","host_port":8080,' \
          b'"guest_addr":"10.0.2.100","guest_port":80}}'
    listing, remove = b'{"execute":"list_hostfwd"}', b'{"execute":"remove_hostfwd","arguments":{"id":1}}'

    def variant(**arguments):
        text = ",".join(f'"{key}":{value}' for key, value in arguments.items())
        return b'{"execute":"add_hostfwd","arguments":{' + text.encode() + b"}}"

    tcp = {"proto": '"tcp"', "host_port": "1", "guest_port": "1"}
    requests = [
        [add, add, listing, remove, remove, add, listing],
        [variant(**tcp), variant(**{**tcp, "proto": '"udp6"'}), variant(**{**tcp, "host_addr": '"::"'}),
         listing],
        [variant(**{**tcp, "host_port": '"8000-8010"', "guest_port": "80"}),
         variant(**{**tcp, "host_port": '"8000-8010"', "guest_port": '"80-90"'}), listing],
        [variant(**{**tcp, "host_port": "0"}), variant(**{**tcp, "host_port": '"10-1"'}),
         variant(**{**tcp, "host_port": '"0-5"'}), listing],
        [variant(**{**tcp, key: value}) for key, value in (("host_port", "65536"), ("host_port", "-1"),
                                                           ("host_port", "1e300"), ("guest_port", "0"),
                                                           ("host_port", '"x"'))],
        [variant(**{**tcp, key: value}) for key, value in (("proto", '"sctp"'), ("proto", "1"), ("host_addr",
                                                                                                 '"x"'),
                                                           ("guest_addr", '"::ffff:1.2.3.4"'),
                                                           ("host_addr", '""'))],
        [variant(**{**tcp, "proto": '"tcp4"', "host_addr": '"::1"'}),
         variant(**{**tcp, "guest_addr": "null"}), variant(**{**tcp, "host_port": '"65535-65536"'})],
        [b"", b" ", b"{", b"}", b"[]", b"null", b'"text"', b"{}"],
        [b'{"execute":1}', b'{"execute":"x"}', b'{"execute":null}', b'{"execute":"list_hostfwd"}trailing'],
        [b"[" * 1000, b'{"a":' * 500, b"{" + b'"a":{}}' * 3],
        [b'{"execute":"list_hostfwd","execute":"x"}', b'{"a":"\\"}{","execute":"list_hostfwd"}'],
        [b'{"execute":"\\u0000\\ud800"}', b'{"execute":"\xff\xfe"}', b"\xef\xbb\xbf" + listing],
        [b'{"execute":"remove_hostfwd","arguments":{"id":1.0}}', b'{"execute":"remove_hostfwd"}'],
        [b" " * 4096, b"x" * 4095, listing + b" " * 4070],
        [b'{"execute":"stats"}', add, b'{"execute":"stats","arguments":{"x":[1,2,{}]}}'],
    ]
    for life, flags in itertools.product(requests, (0, 3, 8, 15)):
        yield records(*(bytes([flags]) + request for request in life))


# --- the rest: choices of the harness, a few of each ---

def policy_seeds():
    for flags in range(32):
        config = bytes([flags])
        config += bytes(15) + b"\1" + b"\x38" if flags & 8 else b""
        config += address("172.16.0.0") + bytes([11]) if flags & 16 else b""
        yield config + policy_targets()
    for flags, four, six in itertools.product((0x20, 0x60, 0xE0, 0xC8), ("192.0.2.9", "0.0.0.0"),
                                              ("2001:db8::9", "::")):
        config = bytes([flags]) + (bytes(15) + b"\1" + b"\x38" if flags & 8 else b"")
        config += (address(four) if flags & 0x20 else b"") + address(six)
        yield config + policy_targets() + b"\5" + address(six) + b"\0" + b"\6" + address(four) + b"\0"


def policy_targets():
    """Addresses of every kind: fuzz/harness/policy.cpp."""
    targets = b""
    for edge, step in itertools.product(range(16), range(3)):
        targets += bytes([0, edge, step, 0])
    for host in (0, 1, 2, 3, 100, 255):
        targets += bytes([1, host, 0]) + bytes([3, host, 1, 0, 80])
    targets += bytes([2, 0, 0, 0, 2, 1, 0, 0, 2, 0, 1, 0])
    targets += bytes([4, 1, 10, 0, 2, 2, 0, 4, 0, 127, 0, 0, 1, 0])
    return targets + b"\5" + address("2001:db8::1") + b"\0" + b"\6" + address("192.0.2.1") + bytes([1, 0, 0])


def icmp_error_seeds():
    payload = bytes.fromhex("1388003500200000") + bytes(24)
    for origin, error, (kind, code), is_v4 in itertools.product(range(5), range(4),
                                                                ((3, 3), (3, 4), (11, 0), (12, 0), (2, 0),
                                                                 (4, 1), (1, 4)), (0, 1)):
        entry = bytes([is_v4 | 0xE0, origin, error, kind, code]) + struct.pack("!I", 1400) + bytes([3, 0])
        if (origin + error + kind + code) % 3 == 0:
            yield entry + bytes([is_v4, 0, 2]) + struct.pack("!H", 2000) + payload
    for flags, source, destination, size in itertools.product(range(0, 32, 3), (0, 4, 8), (2, 5),
                                                              (0, 600, 1400)):
        entry = bytes([flags & 1, 0, 0, 3, 3]) + bytes(4)
        packet = bytes([flags, source, destination]) + struct.pack("!H", size) + b"\x08" + bytes(size)
        yield entry + packet


def frame_port_seeds():
    def guest_sends(size):
        return b"\0" + struct.pack("!H", size)

    def gateway_sends(size):
        return b"\2" + struct.pack("!H", size)

    for kind in range(3):
        yield bytes([kind])
        yield bytes([kind]) + guest_sends(60) + guest_sends(1514) + b"\4\1\1\1"
        yield bytes([kind]) + gateway_sends(60) + b"\3\3" + gateway_sends(0) + gateway_sends(9000) + b"\3\4\3"
        yield bytes([kind]) + guest_sends(0) + guest_sends(1) + b"\1\1"
        yield bytes([kind]) + gateway_sends(4000) * 12 + b"\4\3\3\4\3\4" + gateway_sends(100) + b"\4" * 3


def reassembly_seeds():
    """fuzz/harness/reassembly.cpp: a fragment of a family and an id, or seconds that pass."""

    def fragment(offset, units, flags, which=1):
        return bytes((1, which, offset, units, flags))

    more, odd, other_bytes = 1, 2, 4
    first, middle, last = fragment(0, 2, more), fragment(2, 3, more), fragment(5, 1, odd)
    for which in (0, 1):
        pieces = [part[:1] + bytes((which,)) + part[2:] for part in (first, middle, last)]
        yield b"".join(pieces)
        yield b"".join(reversed(pieces))
        yield b"".join(pieces[:2] * 2 + pieces[2:])
        yield pieces[0] + fragment(1, 2, more, which) + b"".join(pieces[1:])
        yield pieces[0] + fragment(0, 2, more | other_bytes, which) + pieces[2]
        yield pieces[0] + bytes((0, 29)) + pieces[1] + bytes((0, 2)) + b"".join(pieces)
        yield pieces[2] + fragment(8, 1, more, which) + pieces[2] + fragment(9, 1, 0, which)
        yield pieces[0] + fragment(3, 0, more, which) + fragment(3, 1, more | odd, which) + pieces[2]
    yield fragment(0, 0, odd) + b"".join(fragment(0, 1, more, 2 * number) for number in range(8))


def vnet_gso_seeds():
    for flags, (mtu, low) in itertools.product(range(8), ((0, 0), (1432, 220), (65521, 0))):
        for size, segment, parts in ((0, 1, b"\0"), (1200, 1200, b"\0"), (1800, 600, b"\2\0\0"),
                                     (1900, 600, b"\1\1"), (2000, 90, b"\7" + bytes(7)), (2000, 2000, b"\0")):
            span = mtu if flags & 1 or not mtu else max(mtu, 1280)
            link = bytes([flags]) + struct.pack("!H", max(span - (68 if flags & 1 else 1280), 0))
            yield link + b"\x20" + struct.pack("!HH", size, segment) + parts + b"\1"
    for size, segment in ((65507, 65507), (65508, 65508), (65527, 65527), (65000, 1400), (65527, 700)):
        for flags in (1, 6, 7):
            yield bytes([flags]) + struct.pack("!H", 1400) + b"\0" + struct.pack("!HH", size,
                                                                                 segment) + b"\0\1"


# --- the world ---

def programs():
    """The sessions that are written by hand, as text."""
    for path in sorted(PROGRAMS.glob("*.txt")):
        for part in path.read_text().split("== ")[1:]:
            yield part.partition("\n")[2]


def session_seeds():
    for text in programs():
        yield assemble.assemble(text)


def alloc_seeds():
    for text, pattern in itertools.product(programs(), (0x01, 0x42, 0xFF)):
        yield assemble.assemble(text + f"allocations fail by pattern {pattern:02x}\n")


def frame_input(frames, link=0, policy=0, delay=0):
    """fuzz/harness/frame.cpp; `link` 0: with virtio headers, MTU 1500, IPv6."""
    body = b""
    for frame in frames:
        data = frame if link & 1 else bytes(10) + frame
        body += struct.pack("!BH", delay, len(data)) + data
    return bytes([link, policy]) + body


def tcp_frames(guest, outside):
    """A connection that is opened, used and closed by somebody who sees no answers."""
    ports = (40000, 80)
    options = b"\2\4\5\xb4\1\3\3\7"
    yield packets.tcp(guest, outside, ports, 1000, 0, packets.SYN, options=options)
    yield packets.tcp(guest, outside, ports, 1001, 1, packets.ACK, b"data")
    yield packets.tcp(guest, outside, ports, 1005, 1, packets.FIN | packets.ACK)
    yield packets.tcp(guest, outside, ports, 1000, 0, packets.RST)
    yield packets.tcp(guest, outside, (40001, 80), 1, 0, packets.SYN, options=b"\1\1\1\2")
    yield packets.tcp(guest, outside, (40002, 80), 1, 0, packets.SYN,
                      options=b"\x08\x0a" + bytes(8) + b"\4\2")
    for ttl in (1, 5):
        yield packets.tcp(guest, outside, (40003, 80), 1, 0, packets.SYN, ttl=ttl)
    opening = packets.tcp(guest, outside, (40004, 80), 1, 0, packets.SYN)
    yield opening[:-1]
    yield opening[:-4] + b"\x99\x99" + opening[-2:]
    yield opening[:-8] + b"\x40" + opening[-7:]


def extension_frames():
    """IPv6 with headers in between: RFC 8200 4."""
    guest, outside = "fd00::100", "2001:db8::1"
    udp = packets.with_checksum(guest, outside, 17, struct.pack("!HHHH", 5000, 7, 12, 0) + b"data", 6)
    chains = {
        0: b"\x11\0\1\4\0\0\0\0", 60: b"\x11\0\x1e\2\0\0\1\0", 43: b"\x11\0\0\0\0\0\0\0",
        44: b"\x11\0\0\0\0\0\0\1",
    }
    for kind, header in chains.items():
        yield packets.ip(guest, outside, kind, header + udp)
    for option in (0x1E, 0x5E, 0x9E, 0xDE):
        yield packets.ip(guest, outside, 60, bytes([0x11, 0, option, 4, 0, 0, 0, 0]) + udp)
    yield packets.ip(guest, "ff02::5", 60, bytes([0x11, 0, 0x9E, 4, 0, 0, 0, 0]) + udp)
    yield packets.ip(guest, outside, 43, b"\x11\0\0\1\0\0\0\0" + udp)
    yield packets.ip(guest, outside, 60, b"\0\0\1\4\0\0\0\0" + udp)
    yield packets.ip(guest, outside, 99, udp)
    yield packets.ip(guest, outside, 59, b"")
    yield packets.ip(guest, outside, 44, b"\x11\0\0\1\0\0\0\2" + udp[:8])
    yield packets.ip(guest, outside, 44, b"\x11\0\0\x08\0\0\0\2" + udp[8:])
    yield packets.ip(guest, outside, 44, b"\x3c\0\0\1\0\0\0\3" + b"\x11\0")
    yield packets.ip(guest, outside, 44, b"\x11\0\0\1\0\0\0\4" + udp[:9])
    yield packets.ip(guest, outside, 44, b"\x11\0\xff\xf9\0\0\0\5" + bytes(1400))
    yield packets.ip(guest, outside, 60, b"\x3c\0\1\4\0\0\0\0" * 9 + udp)


def ndp_frames():
    node, mac = "fe80::5054:ff:fe12:3456", packets.GUEST
    source = b"\1\1" + mac
    yield packets.icmp(node, "ff02::2", 133, 0, bytes(4) + source, ttl=255)
    yield packets.icmp("::", "ff02::2", 133, 0, bytes(4), ttl=255)
    for target in ("fd00::2", "fd00::3", "fe80::2", "fd00::100"):
        yield packets.icmp(node, "ff02::1:ff00:2", 135, 0, bytes(4) + address(target) + source, ttl=255)
    yield packets.icmp("::", "ff02::1:ff00:2", 135, 0, bytes(4) + address("fd00::2"), ttl=255)
    yield packets.icmp(node, "fe80::2", 136, 0, b"\x60\0\0\0" + address("fd00::100") + b"\2\1" + mac, ttl=255)
    yield packets.icmp(node, "fe80::2", 135, 0, bytes(4) + address("fd00::2") + b"\1\0", ttl=255)
    yield packets.icmp(node, "fe80::2", 135, 0, bytes(4) + address("fd00::2"), ttl=64)
    yield packets.icmp(node, "fe80::2", 136, 0, b"\x60\0\0\0" + address("ff02::1"), ttl=255)
    yield packets.icmp(node, "ff02::2", 133, 0, bytes(4) + b"\1\0", ttl=255)
    yield packets.icmp(node, "ff02::1", 134, 0, bytes(12), ttl=255)
    yield packets.icmp(node, "fe80::2", 137, 0, bytes(36), ttl=255)
    # Pieces are no discovery (RFC 6980).
    asked = packets.icmp(node, "fe80::2", 135, 0, bytes(4) + address("fd00::2"), ttl=255)[54:]
    yield packets.ip(node, "fe80::2", 44, b"\x3a\0\0\1\0\0\0\7" + asked[:16], ttl=255)
    yield packets.ip(node, "fe80::2", 44, b"\x3a\0\0\x10\0\0\0\7" + asked[16:], ttl=255)


def broken_frames():
    """What the front end turns away."""
    good = packets.udp("10.0.2.100", "192.0.2.1", (5000, 7), b"data")
    yield good[:13]
    yield good[:33]
    yield good[:-1]
    yield good[:12] + b"\x88\xb5" + good[14:]
    yield b"\2\0\0\0\0\x09" + good[6:]
    yield good[:6] + b"\xff" * 6 + good[12:]
    yield packets.BROADCAST + good[6:]
    yield good[:-1] + b"x"
    yield good[:24] + b"\0\0" + good[26:]
    yield good[:38] + b"\0\7" + good[40:]
    yield packets.ip("10.0.2.100", "192.0.2.1", 17, good[34:40] + b"\0\0" + good[42:])
    yield packets.ip("10.0.2.100", "192.0.2.1", 47, b"data")
    yield packets.ip("10.0.2.100", "192.0.2.1", 17, good[34:], options=b"\7\4\4\0")
    yield packets.ip("fd00::100", "2001:db8::1", 17, good[34:40] + b"\0\0" + good[42:])
    for source in ("10.0.2.2", "10.0.2.3", "127.0.0.1", "0.0.0.1", "224.0.0.1", "10.0.2.255", "172.17.0.2"):
        yield packets.udp(source, "192.0.2.1", (5000, 7), b"data")
    yield packets.ethernet(0x0806, arp(1, "10.0.2.100", "10.0.2.2")[:20])


def denied_frames():
    """From addresses that no guest has."""
    for source, place in (("10.0.2.2", "192.0.2.1"), ("127.0.0.1", "10.0.2.2"), ("fd00::2", "2001:db8::1"),
                          ("ff02::1", "fd00::2")):
        kind = 128 if ":" in source else 8
        yield packets.icmp(source, place, kind, 0, b"\0\1\0\1data")
        yield packets.tcp(source, place, (40000, 80), 1, 0, packets.SYN)
    whole = packets.udp("10.0.2.2", "192.0.2.1", (5000, 7), bytes(16))[34:]
    yield packets.ip("10.0.2.2", "192.0.2.1", 17, whole[:8], fragment=0x2000)
    yield packets.udp("224.0.0.1", "255.255.255.255", (68, 67), dhcp(1))
    yield packets.ip("fd00::2", "2001:db8::1", 60, b"\x11\0\x9e\4\0\0\0\0" + bytes(12))
    yield packets.ip("fd00::2", "2001:db8::1", 99, bytes(12))
    node = "fe80::5054:ff:fe12:3456"
    yield packets.udp(node, "fd00::3", (5000, 53), dns(0x0100, "example.org"))
    yield packets.icmp(node, "2001:db8::1", 128, 0, b"\0\1\0\1data")
    yield packets.tcp("10.0.2.100", "224.0.0.1", (40000, 80), 1, 0, packets.SYN)


def cut_frames():
    """What lies in the first piece of a packet, and what does not (RFC 8200 4.5, RFC 7112)."""
    guest, outside = "fd00::100", "2001:db8::1"
    for kind, least in ((6, 20), (17, 8), (58, 8), (99, 1), (60, 8)):
        for size in (0, 8, 16, 24):
            head = bytes([kind, 0, 0, 1]) + struct.pack("!I", 100 + 4 * kind + size // 8)
            yield packets.ip(guest, outside, 44, head + bytes(size))
        yield packets.ip(guest, outside, 44, bytes([kind, 0, 0, 0, 0, 0, 0, 9]) + bytes(least - 1))
    option = b"\x3c\0\1\4\0\0\0\0"
    yield packets.ip(guest, outside, 44, b"\x3c\0\0\1\0\0\0\x10" + option * 9 + bytes(8))
    yield packets.ip(guest, outside, 44, b"\x3c\0\0\1\0\0\0\x11" + option + b"\x2c\0\1\4\0\0\0\0" + bytes(8))
    yield packets.ip(guest, outside, 44, b"\x3c\0\0\1\0\0\0\x12" + option + b"\x06\0\1\4\0\0\0\0" + bytes(8))
    yield packets.ip(guest, outside, 44, b"\x2b\0\0\1\0\0\0\x13" + b"\x11\0\0\1\0\0\0\0" + bytes(8))
    yield packets.ip(guest, outside, 44, b"\x11\0")
    yield packets.ip(guest, outside, 60, b"\x2c\5\1\4")
    yield packets.ip(guest, outside, 0, b"\x11\0\xc2\4\0\0\xff\xff" + bytes(8))
    yield packets.ip(guest, outside, 60, b"\0\0\1\4\0\0\0\0" + bytes(8))
    for kind in (6, 17, 1, 47):
        for size in (8, 16, 24):
            yield packets.ip("10.0.2.100", "192.0.2.1", kind, bytes(size), fragment=0x2000,
                             identifier=60 + kind)
    tcp = packets.tcp("10.0.2.100", "192.0.2.1", (40005, 80), 1, 0, packets.SYN)[34:]
    yield packets.ip("10.0.2.100", "192.0.2.1", 6, tcp[:16], fragment=0x2000, identifier=200)
    yield packets.ip("10.0.2.100", "192.0.2.1", 6, tcp[16:], fragment=2, identifier=200)
    yield packets.ip("10.0.2.100", "192.0.2.1", 6, tcp[:8], fragment=0x2000, identifier=201)
    yield packets.ip("10.0.2.100", "192.0.2.1", 6, tcp[8:], fragment=1, identifier=201)
    for number in range(70):
        yield packets.ip("10.0.2.100", "192.0.2.1", 17, bytes(8), fragment=0x2000, identifier=300 + number)


def datagram_frames():
    for guest, places in (("10.0.2.100", ("192.0.2.1", "10.0.2.2", "10.0.2.3", "10.0.2.9", "224.0.0.1",
                                          "255.255.255.255", "169.254.1.1")),
                          ("fd00::100", ("2001:db8::1", "fd00::2", "fd00::3", "fd00::9", "ff02::1", "fe80::2",
                                         "fe80::9"))):
        for place in places:
            yield packets.udp(guest, place, (5000, 7), b"data")
            yield packets.udp(guest, place, (5000, 53), dns(0x0100, "example.org"))
            yield packets.icmp(guest, place, 128 if ":" in guest else 8, 0, b"\0\1\0\1data")
            yield packets.udp(guest, place, (5000, 7), b"data", ttl=1)
    yield packets.udp("10.0.2.100", "192.0.2.1", (80, 30000), b"answer of a forward")
    yield packets.icmp("10.0.2.100", "10.0.2.2", 3, 3, bytes(4) + bytes(28))
    yield packets.icmp("10.0.2.100", "10.0.2.2", 13, 0, bytes(16))
    yield packets.udp("fe80::5054:ff:fe12:3456", "2001:db8::1", (5000, 7), b"data")


def in_inputs(frames):
    """Parts of what one input may hold: engine/replay_main.cpp mutates no more than 4,096 bytes."""
    part, size = [], 0
    for frame in frames:
        if size + len(frame) + 13 > 4000:
            yield part
            part, size = [], 0
        part.append(frame)
        size += len(frame) + 13
    yield part


def frame_seeds():
    questions = ((1, "10.0.2.100", "10.0.2.2"), (1, "0.0.0.0", "10.0.2.3"), (1, "10.0.2.100", "10.0.2.100"),
                 (2, "10.0.2.100", "10.0.2.2"), (1, "10.0.2.100", "10.0.2.9"))
    arps = [packets.ethernet(0x0806, arp(*question), packets.BROADCAST) for question in questions]
    leases = [packets.udp("0.0.0.0", "255.255.255.255", (68, 67), message) for message in
              (dhcp(1), dhcp(3, (54, address("10.0.2.2")), (50, address("10.0.2.15"))),
               dhcp(3, (50, address("10.0.2.99"))), dhcp(9))]
    node = "fe80::5054:ff:fe12:3456"
    leases6 = [packets.udp(node, place, (546, 547), message) for place, message in
               (("ff02::1:2", dhcp6(11)), ("ff02::1:2", dhcp6(1, option6(1, CLIENT6), ia_na(1))),
                ("fd00::2", dhcp6(3)), ("ff02::1:2", b"\0"))]
    whole = packets.udp("10.0.2.100", "192.0.2.1", (5000, 7), bytes(1000))[34:]
    fragments = [packets.ip("10.0.2.100", "192.0.2.1", 17, part, fragment=field, identifier=number)
                 for number, part, field in
                 ((1, whole[:504], 0x2000), (1, whole[504:], 63), (2, whole[:500], 0x2000),
                  (3, whole[504:], 63), (3, whole[:504], 0x2000),
                  (4, whole[:504], 0x2000), (4, whole[400:904], 0x2032), (5, whole[:4], 0x2000),
                  (6, whole[:8], 0x1FFF))]
    tcp4, tcp6 = list(tcp_frames("10.0.2.100", "192.0.2.1")), list(tcp_frames("fd00::100", "2001:db8::1"))
    groups = [arps, leases, leases6, fragments, tcp4, tcp6, list(extension_frames()), list(ndp_frames()),
              list(broken_frames()), list(datagram_frames()), list(denied_frames()), list(cut_frames())]
    for group, (link, policy) in itertools.product(groups, ((0, 0), (1, 3), (0x0C, 4))):
        for part in in_inputs(group):
            yield frame_input(part, link, policy)
    yield frame_input(arps + tcp4 + fragments, delay=50)
    yield frame_input([b"\0" * 9, b""], link=1) + struct.pack("!BH", 0, 5) + bytes(5)
    yield bytes(2) + struct.pack("!BH", 0, 5) + bytes(5)


SEEDS = {
    "alloc": alloc_seeds,
    "api": api_seeds,
    "arp_ndp": arp_ndp_seeds,
    "dhcp": dhcp_seeds,
    "dhcp6": dhcp6_seeds,
    "dns": dns_seeds,
    "domain_name": domain_name_seeds,
    "frame": frame_seeds,
    "frame_port": frame_port_seeds,
    "icmp_error": icmp_error_seeds,
    "options": options_seeds,
    "policy": policy_seeds,
    "reassembly": reassembly_seeds,
    "resolv_conf": resolv_conf_seeds,
    "session": session_seeds,
    "vnet_gso": vnet_gso_seeds,
}


def main():
    directory = pathlib.Path(sys.argv[1])
    for harness in sys.argv[2:] or SEEDS:
        into = directory / harness
        into.mkdir(parents=True, exist_ok=True)
        for seed in SEEDS[harness]():
            (into / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


if __name__ == "__main__":
    main()
