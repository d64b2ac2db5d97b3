#!/usr/bin/env python3
"""UDP from a guest through the program: every size, every peer, every error, nothing to the wrong place."""
import contextlib
import errno
import socket
import struct
import sys
import threading

import runner
from lab import BLACKHOLE_IP, GUEST_IP, HOST_IP, ROUTER6
from namespaces import Failed, wait_for
from netio import blob, check_equal, check_same, expect_errno, udp
from runner import case
from station import UDP, guest_with_station, udp as udp_message

SIZES = (0, 1, 100, 1472, 1473, 1480, 9000, 30001, 65507)
SIZES_IPV6 = (0, 1, 100, 1232, 1233, 1452, 1453, 9000, 65507, 65527)
PMTUDISC_DO = 2
SOL_UDP, UDP_SEGMENT = 17, 103
IP_OPTIONS = {  # numbers of <linux/in.h> and <linux/in6.h>
    "ttl": (socket.IP_TTL, socket.IPV6_UNICAST_HOPS), "mtu_discover": (10, 23), "mtu": (14, 24),
    "receive_errors": (11, 25), "receive_ttl": (12, socket.IPV6_RECVHOPLIMIT),
    "tos": (socket.IP_TOS, socket.IPV6_TCLASS), "receive_tos": (socket.IP_RECVTOS, socket.IPV6_RECVTCLASS)}


def ip_option(sock, name):
    """Level and number of an option in the socket's family."""
    v6 = sock.family == socket.AF_INET6
    return socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP, IP_OPTIONS[name][v6]


@contextlib.contextmanager
def echo_server(place, address=None):
    """Sends every datagram back; yields the port."""
    server = udp(place, address or place.address, timeout=0.1)
    stopped = threading.Event()

    def serve():
        while not stopped.is_set():
            with contextlib.suppress(TimeoutError):
                data, peer = server.recvfrom(1 << 16)
                server.sendto(data, peer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        stopped.set()
        thread.join()
        server.close()


def check_echo(client, to, size):
    data = blob(size + 7, size)
    client.sendto(data, to)
    got, peer = client.recvfrom(1 << 17)
    check_same(got, data, f"datagram of {size} bytes")
    check_equal(peer, to, "the answer's source")


def sizes_case(mtu):
    def body(lab):
        guest, _ = lab.guest_with_network("-m", mtu)
        with echo_server(lab.wan) as port, udp(guest) as client:
            for size in lab.net.choose(SIZES, SIZES_IPV6):
                check_echo(client, (lab.net.wan, port), size)
    return body


for _mtu in (576, 1280, 1500, 9000, 65520, 65521):
    case(sizes_case(_mtu), name=f"sizes_{_mtu}", nobody=_mtu == 1500, ipv4=_mtu != 1280,
         ipv6=_mtu in (1280, 1500, 65521))


@case(ipv6=True)
def gateway_is_the_hosts_loopback(lab):
    guest, _ = lab.guest_with_network()
    with echo_server(lab.host, lab.net.loopback) as port, udp(guest) as client:
        check_echo(client, (lab.net.gateway, port), 500)


@case(ipv6=True)
def hosts_own_address(lab):
    guest, _ = lab.guest_with_network()
    with echo_server(lab.host, lab.net.host) as port, udp(guest) as client:
        check_echo(client, (lab.net.host, port), 500)


@case(nobody=True, ipv6=True)
def full_cone(lab):
    """One mapping for all peers: whoever knows the host's port reaches the guest (RFC 4787)."""
    guest, _ = lab.guest_with_network()
    with (udp(lab.wan, lab.net.wan) as first, udp(lab.wan, lab.net.wan2) as stranger,
          udp(guest, lab.net.guest) as client):  # bound: an address that is advertised may come meanwhile
        client.sendto(b"to the first", (lab.net.wan, first.getsockname()[1]))
        _, mapped = first.recvfrom(100)
        check_equal(mapped[0], lab.net.host, "the host's address")
        stranger.sendto(b"from a stranger", mapped)
        check_equal(client.recvfrom(100), (b"from a stranger", stranger.getsockname()), "datagram")
        client.sendto(b"to the stranger", stranger.getsockname())
        check_equal(stranger.recvfrom(100), (b"to the stranger", mapped), "the same mapping")


@case(ipv6=True)
def unasked_from_loopback_is_the_gateway(lab):
    guest, _ = lab.guest_with_network()
    with udp(lab.wan, lab.net.wan) as outside, udp(lab.host, lab.net.loopback) as local, udp(guest) as client:
        client.sendto(b"x", (lab.net.wan, outside.getsockname()[1]))
        port = outside.recvfrom(100)[1][1]
        local.sendto(b"hello", (lab.net.loopback, port))
        check_equal(client.recvfrom(100), (b"hello", (lab.net.gateway, local.getsockname()[1])), "datagram")


@case(ipv6=True)
def loopback_disabled(lab):
    """Neither to the host's loopback nor from it."""
    guest, _ = lab.guest_with_network("--disable-host-loopback")
    with (udp(lab.wan, lab.net.wan) as outside, udp(lab.host, lab.net.loopback) as local,
          udp(guest, timeout=1) as client):
        client.sendto(b"x", (lab.net.wan, outside.getsockname()[1]))
        port = outside.recvfrom(100)[1][1]
        local.sendto(b"hello", (lab.net.loopback, port))
        with contextlib.suppress(TimeoutError):
            raise Failed(f"received {client.recvfrom(100)}")
        client.setsockopt(*ip_option(client, "receive_errors"), 1)
        client.connect((lab.net.gateway, local.getsockname()[1]))
        client.settimeout(10)
        client.send(b"x")
        expect_errno(errno.ENETUNREACH, lambda: client.recv(100), "x.2")
        local.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            raise Failed(f"the host received {local.recvfrom(100)}")


@case(nobody=True, ipv6=True)
def closed_ports(lab):
    guest, _ = lab.guest_with_network()
    for address in (lab.net.wan, lab.net.gateway, lab.net.host):
        with udp(guest) as client:
            client.connect((address, 9))
            client.send(b"anybody?")
            expect_errno(errno.ECONNREFUSED, lambda c=client: c.recv(100), f"closed port of {address}")


@case(ipv6=True)
def unreachable(lab):
    guest, _ = lab.guest_with_network()
    # By way of the gateway, since nobody answers for it on the link.
    router = lab.net.choose(lab.net.gateway, ROUTER6)
    guest.run("ip", "route", "add", lab.net.unused, "via", router, "dev", "tap0")
    prohibited = lab.net.choose(errno.EHOSTUNREACH, errno.EACCES)
    for address, wanted in ((lab.net.no_host, errno.EHOSTUNREACH), (lab.net.no_net, errno.ENETUNREACH),
                            (lab.net.prohibited, prohibited), (lab.net.dns, errno.ENETUNREACH),
                            (lab.net.unused, errno.ENETUNREACH)):
        with udp(guest) as client:
            client.setsockopt(*ip_option(client, "receive_errors"), 1)
            client.connect((address, 99))
            client.send(b"anybody?")
            expect_errno(wanted, lambda c=client: c.recv(100), address)


@case(ipv6=True)
def one_dead_peer_does_not_hurt_another(lab):
    """An ICMP error about one peer must not cost a datagram to another one of the same socket."""
    guest, _ = lab.guest_with_network()
    with udp(lab.wan, lab.net.wan) as alive, udp(guest) as client:
        to = (lab.net.wan, alive.getsockname()[1])
        for number in range(200):
            client.sendto(b"nobody", (lab.net.wan2, 9))
            client.sendto(b"%d" % number, to)
            check_equal(alive.recvfrom(100)[0], b"%d" % number, "datagram")


@case(ipv6=True)
def bursts_of_equal_datagrams(lab):
    """What the guest's kernel leaves to us to cut, and what the host receives in one piece: all arrive, in order."""
    guest, _ = lab.guest_with_network()
    with udp(lab.wan, lab.net.wan) as server, udp(guest) as client:
        port = server.getsockname()[1]
        for size, count, last in ((1000, 40, 1000), (1400, 20, 77), (100, 60, 100)):
            data = blob(size, size * (count - 1) + last)
            expected = [data[i:i + size] for i in range(0, len(data), size)]
            control = [(SOL_UDP, UDP_SEGMENT, struct.pack("H", size))]
            client.sendmsg([data], control, 0, (lab.net.wan, port))
            got, peer = [], None
            for _ in expected:
                part, peer = server.recvfrom(1 << 16)
                got.append(part)
            check_equal([len(p) for p in got], [len(p) for p in expected], "sizes to the server")
            check_same(b"".join(got), data, "burst to the server")
            server.sendmsg([data], control, 0, peer)
            back = [client.recvfrom(1 << 16)[0] for _ in expected]
            check_equal([len(p) for p in back], [len(p) for p in expected], "sizes to the guest")
            check_same(b"".join(back), data, "burst to the guest")


def send_too_much(client, to, size):
    client.setsockopt(*ip_option(client, "mtu_discover"), PMTUDISC_DO)
    client.connect(to)
    client.send(bytes(size))


def path_mtu(client):
    return client.getsockopt(*ip_option(client, "mtu"))


@case(ipv6=True)
def path_mtu_discovery(lab):
    """A datagram with DF that does not fit the way comes back as "too big", with the way's MTU."""
    lab.host.sh("ip link set up0 mtu 1400")
    lab.wan.sh("ip link set down0 mtu 1400")
    guest, _ = lab.guest_with_network()
    headers = lab.net.choose(28, 48)
    with udp(lab.wan, lab.net.wan) as server, udp(guest) as client:
        send_too_much(client, (lab.net.wan, server.getsockname()[1]), 1500 - headers)
        wait_for(lambda: path_mtu(client) == 1400, "the guest has learned the path's MTU", 10)
        with contextlib.suppress(OSError):
            client.send(b"")  # takes the pending error
        client.send(bytes(1400 - headers))
        check_equal(len(server.recvfrom(2000)[0]), 1400 - headers, "a datagram that fits")


@case(ipv4=False, ipv6=True)
def packet_too_big(lab):
    """What a router on the way says."""
    lab.wan.run("ip", "link", "set", "dead0", "mtu", "1300")
    guest, _ = lab.guest_with_network()
    with udp(guest) as client:
        send_too_much(client, (lab.net.no_host, 9), 1452)
        wait_for(lambda: path_mtu(client) == 1300, "the guest has learned the path's MTU", 10)


@case(ipv6=True)
def larger_than_any_real_link(lab):
    """With a large MTU the guest sends datagrams with DF that no Ethernet carries: the host may cut them."""
    guest, _ = lab.guest_with_network("-m", 65520)
    with echo_server(lab.wan) as port, udp(guest) as client:
        client.setsockopt(*ip_option(client, "mtu_discover"), PMTUDISC_DO)
        check_echo(client, (lab.net.wan, port), 20000)


def passed_on_case(option, values, arrives):
    """A field of the IP header that the guest chooses, as the server sees it."""
    def body(lab):
        guest, _ = lab.guest_with_network()
        with udp(lab.wan, lab.net.wan) as server, udp(guest) as client:
            server.setsockopt(*ip_option(server, f"receive_{option}"), 1)
            for value in values:
                client.setsockopt(*ip_option(client, option), value)
                client.sendto(b"x", (lab.net.wan, server.getsockname()[1]))
                seen = server.recvmsg(100, 64)[1][0][2]  # a byte in IPv4's TOS, else an int
                check_equal(int.from_bytes(seen, sys.byteorder), arrives(value), f"{option} at the server")
    return body


case(passed_on_case("ttl", (64, 40, 200), lambda ttl: ttl - 1), name="ttl_is_passed_on", ipv6=True)
case(passed_on_case("tos", (0, 0x28, 0xB8), lambda tos: tos), name="tos_is_passed_on", ipv6=True)


@case
def many_endpoints(lab):
    """Each socket of the guest has an answer of its own."""
    guest, _ = lab.guest_with_network()
    with echo_server(lab.wan) as port, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(udp(guest)) for _ in range(300)]
        # Until the guest's kernel has its ARP answer it keeps only so many datagrams and drops the rest itself.
        check_echo(clients[0], (lab.net.wan, port), 1)
        for number, client in enumerate(clients):
            client.sendto(b"%d" % number, (lab.net.wan, port))
        for number, client in enumerate(clients):
            check_equal(client.recvfrom(100)[0], b"%d" % number, "answer")


@case
def iperf3_without_loss(lab):
    """A rate that any machine manages arrives whole, both ways."""
    guest, _ = lab.guest_with_network()
    lab.wan.start("iperf3", "-s", "-p", "5201")
    for way in ([], ["-R"]):
        wait_for(lambda: lab.wan.run("ss", "-lnt").stdout.count(":5201"), "iperf3 listens")
        text = guest.run("iperf3", "-u", "-b", "20M", "-l", "1400", "-t", "2", "-c", lab.net.wan, *way).stdout
        if "receiver" not in text:
            raise Failed(text)


@case
def never_to_a_denied_place(lab):
    """Multicast, broadcast, loopback and link-local addresses reach no socket of the host."""
    guest, _ = lab.guest_with_network()
    guest.sh("ip route add 224.0.0.0/4 dev tap0; ip route add 169.254.0.0/16 via 10.0.2.2")
    with udp(lab.host, "0.0.0.0", 4444, timeout=1.0) as host, udp(guest, GUEST_IP) as client:
        host.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for address in ("10.0.2.255", "255.255.255.255", "224.0.0.1", "169.254.169.254", BLACKHOLE_IP):
            client.sendto(b"x", (address, 4444))
        with contextlib.suppress(TimeoutError):
            raise Failed(f"the host received {host.recvfrom(100)}")


@case(ipv4=False, ipv6=True)
def never_to_a_denied_ipv6_place(lab):
    """Nor to an IPv4 address in disguise, which a socket of the host's would take for one."""
    lab.host.sh(f"ip addr add fe80::1/64 dev up0 nodad; ip addr add {lab.net.unused}/128 dev lo")
    with guest_with_station(lab) as (_, station), udp(lab.host, "::", 4444) as host:
        for address in ("::1", "::", "::ffff:127.0.0.1", "::127.0.0.1", f"::ffff:{HOST_IP}", f"::{HOST_IP}",
                        "fe80::1", lab.net.unused, "ff02::1", "ff05::1", lab.net.host):
            station.send(station.packet(address, UDP, udp_message(station.ip, address, (4444, 4444), address.encode())))
        # The last one is allowed, and shows that the others would have come.
        check_equal(host.recvfrom(100)[0].decode(), lab.net.host, "what reaches the host")


if __name__ == "__main__":
    runner.main()
