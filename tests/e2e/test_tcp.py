#!/usr/bin/env python3
"""TCP from a guest through the program: every byte, every kind of end, every kind of refusal."""
import asyncio
import errno
import socket
import time

import runner
from namespaces import Failed, wait_for
from netio import (MIB, blob, check_both_ways, check_same, check_stream, connect, connected, expect_errno,
                   linger_zero, listener, read_to_end)
from runner import case

BULK = 64 * MIB
BULK_CASES = {  # by MTU
    576: {}, 1280: {"ipv4": False, "ipv6": True}, 1500: {"nobody": True, "ipv6": True}, 4000: {}, 16384: {},
    65520: {"nobody": True, "ipv6": True}}
PARALLEL = 500
SEQUENTIAL = 2000


def bulk_case(mtu):
    def body(lab):
        guest, _ = lab.guest_with_network("-m", mtu)
        check_both_ways(guest, lab.wan, BULK)
    return body


for _mtu, _how in BULK_CASES.items():
    case(bulk_case(_mtu), name=f"bulk_{_mtu}", **_how)


@case(ipv6=True)
def both_directions_at_once(lab):
    """Data and acknowledgements share the segments when both sides send."""
    guest, _ = lab.guest_with_network()
    up, down = blob(1, 16 * MIB), blob(2, 16 * MIB)

    async def one_side(sock, data):
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(data)
        writer.write_eof()
        # Not closed here: asyncio would forget the end of file that still waits behind the data.
        return await reader.read(), writer

    async def both(client, peer):
        sides = await asyncio.wait_for(asyncio.gather(one_side(client, up), one_side(peer, down)), 40)
        for _, writer in sides:
            writer.close()
        return [got for got, _ in sides]

    with connected(guest, lab.wan) as (client, peer):
        at_client, at_peer = asyncio.run(both(client.dup(), peer.dup()))
    check_same(at_peer, up, "guest to server")
    check_same(at_client, down, "server to guest")


@case(nobody=True, ipv6=True)
def parallel_connections(lab):
    """All at once, each with data of its own, so that a mixed-up flow cannot pass."""
    guest, _ = lab.guest_with_network()

    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def one(number, port):
        client = guest.socket()
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, (lab.net.wan, port))
        reader, writer = await asyncio.open_connection(sock=client)
        data = blob(number, 20000 + number)
        writer.write(data)
        writer.write_eof()
        got = await reader.read()
        writer.close()
        check_same(got, data, f"connection {number}")

    async def everything():
        server = await asyncio.start_server(echo, sock=door, backlog=1024)
        clients = (one(number, door.getsockname()[1]) for number in range(PARALLEL))
        await asyncio.wait_for(asyncio.gather(*clients), 50)
        server.close()

    door = listener(lab.wan)
    asyncio.run(everything())


@case(nobody=True, ipv6=True)
def half_close_by_client(lab):
    """The guest says it is done; the server's answer still arrives in full."""
    guest, _ = lab.guest_with_network()
    with connected(guest, lab.wan) as (client, peer):
        check_stream(client, peer, MIB, "request")
        time.sleep(0.3)  # the half-closed state must last, not just be passed through
        check_stream(peer, client, 4 * MIB, "answer after the client's end of stream")


@case(ipv6=True)
def half_close_by_server(lab):
    """The server says it is done; what the guest still sends arrives in full."""
    guest, _ = lab.guest_with_network()
    with connected(guest, lab.wan) as (client, peer):
        check_stream(peer, client, MIB, "greeting")
        time.sleep(0.3)
        check_stream(client, peer, 4 * MIB, "upload after the server's end of stream")


@case(nobody=True, ipv6=True)
def refused(lab):
    guest, _ = lab.guest_with_network()
    with lab.wan.socket() as bound:  # bound but not listening: the port stays closed
        bound.bind((lab.net.wan, 0))
        expect_errno(errno.ECONNREFUSED, lambda: connect(guest, *bound.getsockname()), "closed port")


@case(ipv6=True)
def unreachable(lab):
    """What the net outside says by ICMP reaches the guest's connect as the same errno."""
    guest, _ = lab.guest_with_network()
    prohibited = lab.net.choose(errno.EHOSTUNREACH, errno.EACCES)
    for address, number in ((lab.net.no_host, errno.EHOSTUNREACH), (lab.net.prohibited, prohibited),
                            (lab.net.no_net, errno.ENETUNREACH)):
        expect_errno(number, lambda a=address: connect(lab.host, a, 80), f"{address} from the host itself")
        expect_errno(number, lambda a=address: connect(guest, a, 80), address)


@case(ipv6=True)
def host_without_route(lab):
    """The host's own kernel refuses at once: no packet ever leaves, the guest still hears why."""
    lab.host.run("ip", lab.net.choose("-4", "-6"), "route", "del", "default")
    guest, _ = lab.guest_with_network()
    expect_errno(errno.ENETUNREACH, lambda: connect(guest, lab.net.prohibited, 80), "no route on the host")


@case(ipv6=True)
def reset_by_server(lab):
    guest, _ = lab.guest_with_network()
    with connected(guest, lab.wan) as (client, peer):
        client.sendall(b"hello")
        read_to_end(peer, 5)
        linger_zero(peer)
        peer.close()
        expect_errno(errno.ECONNRESET, lambda: client.recv(1), "read in the guest")


@case
def reset_by_server_with_unread_data(lab):
    """A server that closes without having read what came sends a reset by itself."""
    guest, _ = lab.guest_with_network()
    with connected(guest, lab.wan) as (client, peer):
        client.sendall(b"never read")
        wait_for(lambda: peer.recv(1, socket.MSG_PEEK), "data at the server")
        peer.close()
        expect_errno(errno.ECONNRESET, lambda: client.recv(1), "read in the guest")


@case(ipv6=True)
def reset_by_client(lab):
    guest, _ = lab.guest_with_network()
    with connected(guest, lab.wan) as (client, peer):
        client.sendall(b"hello")
        read_to_end(peer, 5)
        linger_zero(client)
        client.close()
        expect_errno(errno.ECONNRESET, lambda: peer.recv(1), "read at the server")


@case(nobody=True, ipv6=True)
def host_loopback(lab):
    """x.2 is the host's 127.0.0.1."""
    guest, _ = lab.guest_with_network()
    check_both_ways(guest, lab.host, MIB, bind=lab.net.loopback, to=lab.net.gateway)


@case(ipv6=True)
def host_loopback_refused(lab):
    guest, _ = lab.guest_with_network()
    expect_errno(errno.ECONNREFUSED, lambda: connect(guest, lab.net.gateway, 9), "closed port of the host")


@case(nobody=True, ipv6=True)
def host_loopback_disabled(lab):
    """The guest is told at once, and the server on the host's loopback never sees a connection."""
    guest, _ = lab.guest_with_network("--disable-host-loopback")
    with listener(lab.host, lab.net.loopback) as door:
        expect_errno(errno.ENETUNREACH, lambda: connect(guest, lab.net.gateway, door.getsockname()[1]), "x.2")
        door.settimeout(0.5)
        try:
            door.accept()
        except TimeoutError:
            return
        raise Failed("a connection reached the host's loopback")


@case(ipv6=True)
def dns_address_other_port(lab):
    """x.3 serves DNS and nothing else."""
    guest, _ = lab.guest_with_network()
    expect_errno(errno.ENETUNREACH, lambda: connect(guest, lab.net.dns, 80), "x.3 port 80")


@case(ipv6=True)
def host_own_address(lab):
    """The host's other addresses are ordinary destinations, with and without --disable-host-loopback."""
    for options in ((), ("--disable-host-loopback",)):
        guest, _ = lab.guest_with_network(*options)
        check_both_ways(guest, lab.host, MIB, bind=lab.net.host)


def slow_reader(sink):
    """Lets everything fill up first, reads a little at a time for a while, then takes the rest."""
    time.sleep(1.0)
    head = bytearray()
    for _ in range(100):
        part = sink.recv(3000)
        head += part
        time.sleep(0.002)
    time.sleep(0.5)
    return bytes(head) + read_to_end(sink)


@case
def slow_reader_outside(lab):
    guest, _ = lab.guest_with_network()
    with connected(guest, lab.wan) as (client, peer):
        check_stream(client, peer, 48 * MIB, "guest to slow server", reader=slow_reader)


@case
def slow_reader_in_guest(lab):
    guest, _ = lab.guest_with_network()
    with connected(guest, lab.wan) as (client, peer):
        check_stream(peer, client, 48 * MIB, "server to slow guest", reader=slow_reader)


@case(ipv6=True)
def tiny_guest_window(lab):
    """A guest with a receive buffer of a few segments: the window closes again and again."""
    guest, _ = lab.guest_with_network()
    def prepare(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    with connected(guest, lab.wan, prepare=prepare) as (client, peer):
        check_stream(peer, client, 2 * MIB, "server to guest with a small window")


@case
def no_window_scaling(lab):
    guest, _ = lab.guest_with_network()
    guest.sysctl("net.ipv4.tcp_window_scaling", 0)
    check_both_ways(guest, lab.wan, 8 * MIB)


@case(ipv6=True)
def no_window_scaling_large_mtu(lab):
    """At this MTU one segment fills the whole unscaled window."""
    guest, _ = lab.guest_with_network("-m", 65520)
    guest.sysctl("net.ipv4.tcp_window_scaling", 0)
    check_both_ways(guest, lab.wan, 8 * MIB)


@case(ipv6=True)
def guest_without_offloads(lab):
    """The guest computes its checksums and cuts its segments itself."""
    guest, _ = lab.guest_with_network()
    guest.run("ethtool", "-K", "tap0", "tx", "off", "tso", "off", "gso", "off", "gro", "off")
    check_both_ways(guest, lab.wan, 16 * MIB)


@case(ipv6=True)
def urgent_byte_inline(lab):
    """The urgent byte keeps its place in the stream, both ways."""
    guest, _ = lab.guest_with_network()
    with connected(guest, lab.wan) as (client, peer):
        for source, sink, what in ((client, peer, "guest to server"), (peer, client, "server to guest")):
            sink.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
            source.sendall(b"before")
            source.send(b"U", socket.MSG_OOB)
            source.sendall(b"after")
            check_same(read_to_end(sink, 12), b"beforeUafter", what)


@case
def descriptors_return(lab):
    """Many short connections, one after the other, leave nothing behind."""
    guest, program = lab.guest_with_network()
    with listener(lab.wan) as door:
        port = door.getsockname()[1]

        def one(number):
            with connect(guest, lab.net.wan, port) as client:
                peer, _ = door.accept()
                with peer:
                    word = b"%d" % number
                    client.sendall(word)
                    check_same(read_to_end(peer, len(word)), word, f"connection {number}")
                    if number % 2:  # half of them are closed by the server first
                        peer.close()
                        read_to_end(client)

        one(0)
        before = program.descriptors()
        for number in range(SEQUENTIAL):
            one(number)
    wait_for(lambda: program.descriptors() <= before, f"descriptors back at {before}", 30)


if __name__ == "__main__":
    runner.main()
