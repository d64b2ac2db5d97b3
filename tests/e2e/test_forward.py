#!/usr/bin/env python3
"""Port forwards: clients outside reach servers in the guest, and both see whom they talk to."""
import asyncio
import contextlib
import errno
import socket

import runner
from api import add_forward, request, serve
from lab import GATEWAY, GATEWAY6
from namespaces import Failed, family_of, inside_netns, wait_for
from netio import (MIB, blob, check_equal, check_same, check_stream, connect, expect_errno, linger_zero,
                   listener, read_to_end, udp)
from runner import case

BULK = 16 * MIB
HOST_PORT, GUEST_PORT = 8080, 80
BURST = 1000
REFUSED_CLIENTS = 2000
REFUSED_AT_ONCE = 100
NOT_ADDED = {"error": {"desc": "bad request: add_hostfwd: slirp_add_hostfwd failed"}}


def guest_with_forward(lab, proto, *options, host_port=HOST_PORT, guest_port=GUEST_PORT, **addresses):
    """A guest, the program behind it, the path of the API socket, and the id of the forward."""
    addresses = {"host_addr": lab.net.anywhere, **addresses}
    guest, program, path = serve(lab, *options)
    return guest, program, path, add_forward(path, proto, host_port, guest_port, **addresses)["id"]


def guest_server(guest, port=GUEST_PORT):
    return listener(guest, port=port)


def bound_client(place, address):
    """A TCP client whose own address and port are known before it connects."""
    client = place.socket(family=family_of(address))
    client.bind((address, 0))
    return client


@contextlib.contextmanager
def forwarded(lab, door, *, place=None, to=None, port=HOST_PORT, client_address=None):
    """A connection through a forward: yields the client's end, the server's end, and whom the server sees."""
    to = to or lab.net.host
    with (place or lab.wan).socket(family=family_of(to)) as client:
        if client_address:
            client.bind((client_address, 0))
        client.connect((to, port))
        peer, seen = door.accept()
        with peer:
            peer.settimeout(20.0)
            yield client, peer, seen


def check_forwarded(lab, door, text, seen=None, **where):
    """A few bytes there and back; the server sees the client, or whom it is to see."""
    with forwarded(lab, door, **where) as (client, peer, name):
        if seen:
            check_equal(name, (seen, client.getsockname()[1]), "the client that the guest sees")
        client.sendall(text)
        check_equal(read_to_end(peer, len(text)), text, "what the server gets")
        peer.sendall(text[::-1])
        check_equal(read_to_end(client, len(text)), text[::-1], "what the client gets")


def check_refused(place, address, port):
    expect_errno(errno.ECONNREFUSED, lambda: connect(place, address, port), f"{address} port {port}")


def list_forwards(path):
    return request(path, "list_hostfwd")["entries"]


def check_not_added(path, proto, host_port, **addresses):
    """The one reply that callers know for whatever the system refuses; and nothing is left of it."""
    before = list_forwards(path)
    reply = request(path, "add_hostfwd", proto=proto, host_port=host_port, guest_port=GUEST_PORT, **addresses)
    check_equal(reply, NOT_ADDED, f"reply about {proto} port {host_port}")
    check_equal(list_forwards(path), before, "forwards after one that failed")


def add_second_address(lab):
    lab.host.sh(f"ip addr add {lab.net.host2}/{lab.net.prefix} dev up0 {lab.net.choose('', 'nodad')}")


# TCP: data and ends

@case(nobody=True, ipv6=True)
def tcp_both_ways(lab):
    """Half-close by the client: the answer comes over the half-closed connection."""
    guest, *_ = guest_with_forward(lab, "tcp")
    with guest_server(guest) as door, forwarded(lab, door) as (client, peer, _):
        check_stream(client, peer, BULK, "client to guest", seed=1)
        check_stream(peer, client, BULK, "guest to client", seed=2)


@case(ipv6=True)
def half_close_by_guest(lab):
    """The server in the guest says that it is done; what the client still sends arrives in full."""
    guest, *_ = guest_with_forward(lab, "tcp")
    with guest_server(guest) as door, forwarded(lab, door) as (client, peer, _):
        check_stream(peer, client, MIB, "greeting", seed=3)
        check_stream(client, peer, 4 * MIB, "upload after the guest's end of stream", seed=4)


@case(ipv6=True)
def reset_on_either_side(lab):
    guest, *_ = guest_with_forward(lab, "tcp")
    with guest_server(guest) as door:
        for resetting, what in ((0, "reset by the client"), (1, "reset by the guest")):
            with forwarded(lab, door) as (*ends, _):
                ends[0].sendall(b"hello")
                read_to_end(ends[1], 5)
                linger_zero(ends[resetting])
                ends[resetting].close()
                expect_errno(errno.ECONNRESET, lambda: ends[1 - resetting].recv(1), what)


@case(nobody=True, ipv6=True)
def refused_by_the_guest(lab):
    """The client hears of it as of any refusal, not by a connection that ends as if all were well."""
    guest_with_forward(lab, "tcp")
    with lab.wan.socket() as client:
        try:
            client.connect((lab.net.host, HOST_PORT))
            data = client.recv(1)
        except (ConnectionRefusedError, ConnectionResetError):
            return
        raise Failed(f"the client got {data!r} instead of a refusal")


# TCP: who talks to whom

@case(nobody=True, ipv6=True)
def guest_sees_the_tcp_client(lab):
    guest, *_ = guest_with_forward(lab, "tcp")
    with guest_server(guest) as door:
        for address in (lab.net.wan, lab.net.wan2):
            with forwarded(lab, door, client_address=address) as (client, _, seen):
                check_equal(client.getsockname()[0], address, "the client's address")
                check_equal(seen, client.getsockname(), "the client that the guest sees")


def loopback_cases(body):
    """A client on the host's loopback is x.2 to the guest, because its address means something else there.
    It has its answers with --disable-host-loopback too, which is about what the guest begins."""
    case(body, nobody=True, ipv6=True)
    case(lambda lab: body(lab, "--disable-host-loopback"), ipv6=True, name=f"{body.__name__}_disabled")
    return body


@loopback_cases
def tcp_client_on_loopback(lab, *options):
    guest, *_ = guest_with_forward(lab, "tcp", *options)
    with (guest_server(guest) as door,
          forwarded(lab, door, place=lab.host, to=lab.net.loopback) as (client, peer, seen)):
        check_equal(seen, (lab.net.gateway, client.getsockname()[1]), "the client that the guest sees")
        check_stream(peer, client, MIB, "guest to client")


@case
def two_clients_with_one_port_on_loopback(lab):
    """127.0.0.1 and 127.0.0.2 both are x.2 to the guest: one of them has to get another port there."""
    guest, *_ = guest_with_forward(lab, "tcp")
    with (guest_server(guest) as door, bound_client(lab.host, "127.0.0.1") as first,
          lab.host.socket() as second):
        second.bind(("127.0.0.2", first.getsockname()[1]))
        peers = []
        for client in (first, second):
            client.connect(("127.0.0.1", HOST_PORT))
            peers.append(door.accept())
        with peers[0][0], peers[1][0]:
            check_equal([seen[0] for _, seen in peers], [GATEWAY, GATEWAY], "addresses that the guest sees")
            for client, text in ((first, b"from the first"), (second, b"from the second")):
                client.sendall(text)
            for (peer, _), text in zip(peers, (b"from the first", b"from the second")):
                check_equal(peer.recv(100), text, "what the server gets")


# UDP

def check_udp_client(client, server, to, text, seen=None):
    """There and back: the server sees the client, or whom it is to see, and the client the address that
    it has asked."""
    client.sendto(text, to)
    data, name = server.recvfrom(1 << 17)
    check_same(data, text, "datagram to the guest")
    own = client.getsockname()
    check_equal(name, (seen, own[1]) if seen else own, "the client that the guest sees")
    server.sendto(text[::-1], name)
    data, source = client.recvfrom(1 << 17)
    check_same(data, text[::-1], "datagram to the client")
    check_equal(source, to, "the answer's source")


@case(nobody=True, ipv6=True)
def udp_two_clients(lab):
    guest, *_ = guest_with_forward(lab, "udp")
    with (udp(guest, port=GUEST_PORT) as server, udp(lab.wan, lab.net.wan) as first,
          udp(lab.wan, lab.net.wan2) as second):
        first.sendto(b"first", (lab.net.host, HOST_PORT))
        second.sendto(b"second", (lab.net.host, HOST_PORT))
        asked = dict(server.recvfrom(100)[::-1] for _ in range(2))
        check_equal(asked, {first.getsockname(): b"first", second.getsockname(): b"second"}, "clients")
        for client in (second, first):  # the other way round: an answer goes to whom it is sent
            text = b"for port %d" % client.getsockname()[1]
            server.sendto(text, client.getsockname())
            check_equal(client.recvfrom(100), (text, (lab.net.host, HOST_PORT)), "answer")


@case(nobody=True, ipv6=True)
def udp_answers_from_the_address_that_was_asked(lab):
    """The route back would choose the host's first address (a client that has connected drops that)."""
    add_second_address(lab)
    guest, *_ = guest_with_forward(lab, "udp")
    with udp(guest, port=GUEST_PORT) as server, udp(lab.wan, lab.net.wan) as client:
        for address in (lab.net.host2, lab.net.host, lab.net.host2):
            check_udp_client(client, server, (address, HOST_PORT), b"hello " + address.encode())


@case(ipv6=True)
def udp_sizes(lab):
    guest, *_ = guest_with_forward(lab, "udp")
    with udp(guest, port=GUEST_PORT) as server, udp(lab.wan, lab.net.wan) as client:
        for size in (0, 1, *lab.net.choose((1472, 1473), (1452, 1453)), 9000, lab.net.choose(65507, 65527)):
            check_udp_client(client, server, (lab.net.host, HOST_PORT), blob(size, size))


@loopback_cases
def udp_client_on_loopback(lab, *options):
    guest, *_ = guest_with_forward(lab, "udp", *options)
    with udp(guest, port=GUEST_PORT) as server, udp(lab.host, lab.net.loopback) as client:
        client.sendto(b"question", (lab.net.loopback, HOST_PORT))
        data, seen = server.recvfrom(100)
        as_gateway = (lab.net.gateway, client.getsockname()[1])
        check_equal((data, seen), (b"question", as_gateway), "what the guest gets")
        server.sendto(b"answer", seen)
        check_equal(client.recvfrom(100), (b"answer", (lab.net.loopback, HOST_PORT)), "answer")


# Where it listens

@case(nobody=True, ipv6=True)
def on_loopback_only(lab):
    guest, _, path, _ = guest_with_forward(lab, "tcp", host_addr=lab.net.loopback)
    add_forward(path, "udp", HOST_PORT, GUEST_PORT, host_addr=lab.net.loopback)
    with guest_server(guest) as door:
        check_forwarded(lab, door, b"inside", place=lab.host, to=lab.net.loopback)
        check_refused(lab.wan, lab.net.host, HOST_PORT)
    with udp(lab.wan) as client:
        client.connect((lab.net.host, HOST_PORT))
        client.send(b"x")
        expect_errno(errno.ECONNREFUSED, lambda: client.recv(1), "UDP from outside")


@case(ipv6=True)
def on_one_address(lab):
    add_second_address(lab)
    guest, _, path, _ = guest_with_forward(lab, "tcp", host_addr=lab.net.host2)
    add_forward(path, "udp", HOST_PORT, GUEST_PORT, host_addr=lab.net.host2)
    with guest_server(guest) as door:
        check_forwarded(lab, door, b"there", to=lab.net.host2)
        check_refused(lab.wan, lab.net.host, HOST_PORT)
    with udp(guest, port=GUEST_PORT) as server, udp(lab.wan, lab.net.wan) as client:
        check_udp_client(client, server, (lab.net.host2, HOST_PORT), b"there")


@case(nobody=True)
def a_range_of_ports(lab):
    """Each leads to its own, and none beside them."""
    guest, _, path, _ = guest_with_forward(lab, "tcp", host_port="8000-8003", guest_port="9000-9003")
    check_equal([(entry["host_port"], entry["guest_port"]) for entry in list_forwards(path)],
                [("8000-8003", "9000-9003")], "ports that are listed")
    for n in range(4):
        with guest_server(guest, 9000 + n) as door:
            check_forwarded(lab, door, b"number %d" % n, port=8000 + n)
    for port in (7999, 8004):
        check_refused(lab.wan, lab.net.host, port)


@case(nobody=True)
def any_free_port(lab):
    """The reply and the list say which."""
    guest, _, path = serve(lab)
    chosen = {proto: add_forward(path, proto, 0, GUEST_PORT) for proto in ("tcp", "udp")}
    listed = {entry["proto"]: entry["host_port"] for entry in list_forwards(path)}
    check_equal(listed, {proto: reply["host_port"] for proto, reply in chosen.items()}, "ports listed")
    with guest_server(guest) as door:
        check_forwarded(lab, door, b"tcp", port=listed["tcp"])
    with udp(guest, port=GUEST_PORT) as server, udp(lab.wan, lab.net.wan) as client:
        check_udp_client(client, server, (lab.net.host, listed["udp"]), b"udp")


@case(nobody=True)
def privileged_port(lab):
    """As the user who has started the program may listen there, so may the program."""
    guest, _, path = serve(lab)
    for proto in ("tcp", "udp"):
        if lab.user is not None:
            check_not_added(path, proto, 80)
        else:
            add_forward(path, proto, 80, GUEST_PORT)
    if lab.user is None:
        with guest_server(guest) as door:
            check_forwarded(lab, door, b"tcp", port=80)


@case(nobody=True)
def port_is_taken(lab):
    """By others, by ourselves, and in the middle of a range, of which then nothing is left."""
    guest, program, path = serve(lab)
    with listener(lab.host, lab.net.anywhere, HOST_PORT), udp(lab.host, lab.net.anywhere, HOST_PORT):
        for proto in ("tcp", "udp"):
            check_not_added(path, proto, HOST_PORT)
        before = program.descriptors()
        check_equal(request(path, "add_hostfwd", proto="tcp", host_port=f"{HOST_PORT - 2}-{HOST_PORT + 2}",
                            guest_port=GUEST_PORT), NOT_ADDED, "reply about the range")
        wait_for(lambda: program.descriptors() <= before, "the range's descriptors are closed again")
        check_refused(lab.wan, lab.net.host, HOST_PORT - 2)
    add_forward(path, "tcp", HOST_PORT, GUEST_PORT)
    check_not_added(path, "tcp", HOST_PORT)
    with guest_server(guest) as door:
        check_forwarded(lab, door, b"the first one stays")


# Link-local clients; those of the other family: test_forward_ipv6.py

@case(ipv4=False, ipv6=True, nobody=True)
def client_with_a_link_local_address(lab):
    """To the guest it is the gateway, since the guest's link is another one."""
    lab.host.sh("ip addr add fe80::a/64 dev up0 nodad")
    lab.wan.sh("ip addr add fe80::b/64 dev down0 nodad")
    with inside_netns(lab.wan.net):
        scope = socket.if_nametoindex("down0")
    guest, _, path, _ = guest_with_forward(lab, "tcp")
    add_forward(path, "udp", HOST_PORT, GUEST_PORT, host_addr="::")
    with guest_server(guest) as door, lab.wan.socket() as client:
        client.bind(("fe80::b", 0, 0, scope))
        client.connect(("fe80::a", HOST_PORT, 0, scope))
        peer, seen = door.accept()
        with peer:
            check_equal(seen, (GATEWAY6, client.getsockname()[1]), "the client that the guest sees")
            check_stream(peer, client, MIB, "guest to client")
    with udp(guest, port=GUEST_PORT) as server, udp(lab.wan) as client:
        client.bind(("fe80::b", 0, 0, scope))
        check_udp_client(client, server, ("fe80::a", HOST_PORT, 0, scope), b"on the link", GATEWAY6)


# Removal

@case(nobody=True)
def removal_keeps_connections(lab):
    guest, _, path, number = guest_with_forward(lab, "tcp")
    with guest_server(guest) as door, forwarded(lab, door) as (client, peer, _):
        check_equal(request(path, "remove_hostfwd", id=number), {"return": {}}, "reply")
        check_refused(lab.wan, lab.net.host, HOST_PORT)
        check_stream(client, peer, MIB, "client to guest", seed=5)
        check_stream(peer, client, MIB, "guest to client", seed=6)
        check_equal(list_forwards(path), [], "forwards")
        again = add_forward(path, "tcp", HOST_PORT, GUEST_PORT)["id"]
        check_equal(again > number, True, f"a new id after {number}: {again}")
        check_forwarded(lab, door, b"once more")


@case
def removal_of_udp(lab):
    guest, _, path, number = guest_with_forward(lab, "udp")
    with udp(guest, port=GUEST_PORT) as server, udp(lab.wan, lab.net.wan) as client:
        check_udp_client(client, server, (lab.net.host, HOST_PORT), b"before")
        request(path, "remove_hostfwd", id=number)
        client.connect((lab.net.host, HOST_PORT))
        client.send(b"after")
        expect_errno(errno.ECONNREFUSED, lambda: client.recv(1), "UDP after the removal")


# Many

async def echo(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


async def open_from(place, address, port):
    client = place.socket()
    client.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(client, (address, port))
    except OSError:
        client.close()
        raise
    return await asyncio.open_connection(sock=client)


@case(nobody=True, ipv6=True)
def burst_of_clients(lab):
    """All at once, faster than they are served: nobody is turned away or gets another one's data."""
    guest, program, *_ = guest_with_forward(lab, "tcp")
    before = program.descriptors()
    arrived = 0

    async def serve_one(reader, writer):
        nonlocal arrived
        arrived += 1
        await echo(reader, writer)

    async def one(number):
        reader, writer = await open_from(lab.wan, lab.net.host, HOST_PORT)
        data = blob(number, 2000 + number)
        writer.write(data)
        writer.write_eof()
        got = await reader.read()
        writer.close()
        check_same(got, data, f"connection {number}")

    async def everything():
        async with await asyncio.start_server(serve_one, sock=door, backlog=BURST):
            await asyncio.wait_for(asyncio.gather(*map(one, range(BURST))), 60)

    with guest_server(guest) as door:
        asyncio.run(everything())
    check_equal(arrived, BURST, "connections at the server")
    wait_for(lambda: program.descriptors() <= before, f"descriptors back at {before}")


@case
def nobody_listens_in_the_guest(lab):
    """Thousands of clients are refused, and nothing of them stays."""
    guest, program, *_ = guest_with_forward(lab, "tcp")
    before = program.descriptors()
    refused = 0

    async def one():
        nonlocal refused
        try:
            reader, writer = await open_from(lab.wan, lab.net.host, HOST_PORT)
            try:
                await reader.read()
            finally:
                writer.close()
        except (ConnectionRefusedError, ConnectionResetError):
            refused += 1

    async def everything():
        for _ in range(REFUSED_CLIENTS // REFUSED_AT_ONCE):
            await asyncio.wait_for(asyncio.gather(*(one() for _ in range(REFUSED_AT_ONCE))), 30)

    asyncio.run(everything())
    check_equal(refused, REFUSED_CLIENTS, "clients that were refused")
    wait_for(lambda: program.descriptors() <= before, f"descriptors back at {before}")
    with guest_server(guest) as door:
        check_forwarded(lab, door, b"and now somebody does")


if __name__ == "__main__":
    runner.main()
