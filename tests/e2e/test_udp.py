#!/usr/bin/env python3
"""UDP from a guest through the program: every size, every peer, every error, nothing to the wrong place."""
import contextlib
import errno
import socket
import struct
import threading

import runner
from lab import (BLACKHOLE_IP, DNS, GATEWAY, GUEST_IP, HOST_IP, NO_HOST_IP, NO_NET_IP, PROHIBITED_IP, WAN_IP,
                 WAN_IP2)
from namespaces import Failed, wait_for
from netio import blob, check_equal, check_same, expect_errno, udp
from runner import case

SIZES = (0, 1, 100, 1472, 1473, 1480, 9000, 30001, 65507)
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_RECVERR, IP_RECVTTL, IP_MTU = 10, 2, 11, 12, 14
SOL_UDP, UDP_SEGMENT = 17, 103


def guest_with_network(lab, *options):
    guest = lab.guest()
    return guest, lab.serve(guest, *options)


@contextlib.contextmanager
def echo_server(place, address=WAN_IP, port=0):
    """Sends every datagram back; yields the port."""
    server = udp(place, address, port, timeout=0.1)
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
        guest, _ = guest_with_network(lab, "-m", mtu)
        with echo_server(lab.wan) as port, udp(guest) as client:
            for size in SIZES:
                check_echo(client, (WAN_IP, port), size)
    return body


for _mtu in (576, 1500, 9000, 65520, 65521):
    case(sizes_case(_mtu), name=f"sizes_{_mtu}", nobody=_mtu == 1500)


@case
def gateway_is_the_hosts_loopback(lab):
    guest, _ = guest_with_network(lab)
    with echo_server(lab.host, "127.0.0.1") as port, udp(guest) as client:
        check_echo(client, (GATEWAY, port), 500)


@case
def hosts_own_address(lab):
    guest, _ = guest_with_network(lab)
    with echo_server(lab.host, HOST_IP) as port, udp(guest) as client:
        check_echo(client, (HOST_IP, port), 500)


@case(nobody=True)
def full_cone(lab):
    """One mapping for all peers: whoever knows the host's port reaches the guest (RFC 4787)."""
    guest, _ = guest_with_network(lab)
    with udp(lab.wan, WAN_IP) as first, udp(lab.wan, WAN_IP2) as stranger, udp(guest) as client:
        client.sendto(b"to the first", (WAN_IP, first.getsockname()[1]))
        _, mapped = first.recvfrom(100)
        check_equal(mapped[0], HOST_IP, "the host's address")
        stranger.sendto(b"from a stranger", mapped)
        check_equal(client.recvfrom(100), (b"from a stranger", (WAN_IP2, stranger.getsockname()[1])), "datagram")
        client.sendto(b"to the stranger", (WAN_IP2, stranger.getsockname()[1]))
        check_equal(stranger.recvfrom(100), (b"to the stranger", mapped), "the same mapping")


@case
def unasked_from_loopback_is_the_gateway(lab):
    guest, _ = guest_with_network(lab)
    with udp(lab.wan, WAN_IP) as outside, udp(lab.host, "127.0.0.1") as local, udp(guest) as client:
        client.sendto(b"x", (WAN_IP, outside.getsockname()[1]))
        port = outside.recvfrom(100)[1][1]
        local.sendto(b"hello", ("127.0.0.1", port))
        check_equal(client.recvfrom(100), (b"hello", (GATEWAY, local.getsockname()[1])), "datagram")


@case
def loopback_disabled(lab):
    """Neither to the host's loopback nor from it."""
    guest, _ = guest_with_network(lab, "--disable-host-loopback")
    with (udp(lab.wan, WAN_IP) as outside, udp(lab.host, "127.0.0.1") as local, udp(guest, timeout=1) as client):
        client.sendto(b"x", (WAN_IP, outside.getsockname()[1]))
        port = outside.recvfrom(100)[1][1]
        local.sendto(b"hello", ("127.0.0.1", port))
        with contextlib.suppress(TimeoutError):
            raise Failed(f"received {client.recvfrom(100)}")
        client.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        client.connect((GATEWAY, local.getsockname()[1]))
        client.settimeout(10)
        client.send(b"x")
        expect_errno(errno.ENETUNREACH, lambda: client.recv(100), "x.2")
        local.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            raise Failed(f"the host received {local.recvfrom(100)}")


@case(nobody=True)
def closed_ports(lab):
    guest, _ = guest_with_network(lab)
    for address in (WAN_IP, GATEWAY, HOST_IP):
        with udp(guest) as client:
            client.connect((address, 9))
            client.send(b"anybody?")
            expect_errno(errno.ECONNREFUSED, lambda c=client: c.recv(100), f"closed port of {address}")


@case
def unreachable(lab):
    guest, _ = guest_with_network(lab)
    for address, wanted in ((NO_HOST_IP, errno.EHOSTUNREACH), (NO_NET_IP, errno.ENETUNREACH),
                            (PROHIBITED_IP, errno.EHOSTUNREACH), (DNS, errno.ENETUNREACH),
                            ("10.0.2.77", errno.ENETUNREACH)):
        with udp(guest) as client:
            client.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            client.connect((address, 99))
            if address == "10.0.2.77":
                continue  # nobody answers ARP for it: the guest's kernel says so itself, and late
            client.send(b"anybody?")
            expect_errno(wanted, lambda c=client: c.recv(100), address)


@case
def one_dead_peer_does_not_hurt_another(lab):
    """An ICMP error about one peer must not cost a datagram to another one of the same socket."""
    guest, _ = guest_with_network(lab)
    with udp(lab.wan, WAN_IP) as alive, udp(guest) as client:
        to = (WAN_IP, alive.getsockname()[1])
        for number in range(200):
            client.sendto(b"nobody", (WAN_IP2, 9))
            client.sendto(b"%d" % number, to)
            check_equal(alive.recvfrom(100)[0], b"%d" % number, "datagram")


@case
def bursts_of_equal_datagrams(lab):
    """What the guest's kernel leaves to us to cut, and what the host receives in one piece: all arrive, in order."""
    guest, _ = guest_with_network(lab)
    with udp(lab.wan, WAN_IP) as server, udp(guest) as client:
        port = server.getsockname()[1]
        for size, count, last in ((1000, 40, 1000), (1400, 20, 77), (100, 60, 100)):
            data = blob(size, size * (count - 1) + last)
            expected = [data[i:i + size] for i in range(0, len(data), size)]
            control = [(SOL_UDP, UDP_SEGMENT, struct.pack("H", size))]
            client.sendmsg([data], control, 0, (WAN_IP, port))
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


@case
def path_mtu_discovery(lab):
    """A datagram with DF that does not fit the way comes back as "too big", with the way's MTU."""
    lab.host.sh("ip link set up0 mtu 1400")
    lab.wan.sh("ip link set down0 mtu 1400")
    guest, _ = guest_with_network(lab)
    with udp(lab.wan, WAN_IP) as server, udp(guest) as client:
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        client.connect((WAN_IP, server.getsockname()[1]))
        client.send(bytes(1472))

        def learned():
            return client.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1400
        wait_for(learned, "the guest has learned the path's MTU", 10)
        with contextlib.suppress(OSError):
            client.send(b"")  # takes the pending error
        client.send(bytes(1372))
        check_equal(len(server.recvfrom(2000)[0]), 1372, "a datagram that fits")


@case
def larger_than_any_real_link(lab):
    """With a large MTU the guest sends datagrams with DF that no Ethernet carries: the host may cut them."""
    guest, _ = guest_with_network(lab, "-m", 65520)
    with echo_server(lab.wan) as port, udp(guest) as client:
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        check_echo(client, (WAN_IP, port), 20000)


@case
def ttl_is_passed_on(lab):
    guest, _ = guest_with_network(lab)
    with udp(lab.wan, WAN_IP) as server, udp(guest) as client:
        server.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        for ttl in (64, 40, 200):
            client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            client.sendto(b"x", (WAN_IP, server.getsockname()[1]))
            control = server.recvmsg(100, 64)[1]
            check_equal(struct.unpack("i", control[0][2])[0], ttl - 1, "TTL at the server")


@case
def many_endpoints(lab):
    """Each socket of the guest has an answer of its own."""
    guest, _ = guest_with_network(lab)
    with echo_server(lab.wan) as port, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(udp(guest)) for _ in range(300)]
        # Until the guest's kernel has its ARP answer it keeps only so many datagrams and drops the rest itself.
        check_echo(clients[0], (WAN_IP, port), 1)
        for number, client in enumerate(clients):
            client.sendto(b"%d" % number, (WAN_IP, port))
        for number, client in enumerate(clients):
            check_equal(client.recvfrom(100)[0], b"%d" % number, "answer")


@case
def iperf3_without_loss(lab):
    """A rate that any machine manages arrives whole, both ways."""
    guest, _ = guest_with_network(lab)
    lab.wan.start("iperf3", "-s", "-p", "5201")
    for way in ([], ["-R"]):
        wait_for(lambda: lab.wan.run("ss", "-lnt").stdout.count(":5201"), "iperf3 listens")
        text = guest.run("iperf3", "-u", "-b", "20M", "-l", "1400", "-t", "2", "-c", WAN_IP, *way).stdout
        if "receiver" not in text:
            raise Failed(text)


@case
def never_to_a_denied_place(lab):
    """Multicast, broadcast, loopback and link-local addresses reach no socket of the host."""
    guest, _ = guest_with_network(lab)
    guest.sh("ip route add 224.0.0.0/4 dev tap0; ip route add 169.254.0.0/16 via 10.0.2.2")
    with udp(lab.host, "0.0.0.0", 4444, timeout=1.0) as host, udp(guest, GUEST_IP) as client:
        host.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for address in ("10.0.2.255", "255.255.255.255", "224.0.0.1", "169.254.169.254", BLACKHOLE_IP):
            client.sendto(b"x", (address, 4444))
        with contextlib.suppress(TimeoutError):
            raise Failed(f"the host received {host.recvfrom(100)}")


if __name__ == "__main__":
    runner.main()
