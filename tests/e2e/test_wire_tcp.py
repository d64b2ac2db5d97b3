#!/usr/bin/env python3
"""Wire conformance of TCP with the kernel's TAP, sockets and offloads: see test_wire.py. The station's segments are
made by hand, and the server outside is the kernel's."""
import errno
import socket
import struct
import time

import runner
from api import add_forward, api_path
from station import guest_with_station
from namespaces import Failed
from netio import blob, check_equal, check_same, expect_errno, read_to_end
from raw_tcp import MSS, SACK_PERMITTED, TIMESTAMPS, WINDOW_SCALE, Connection, Server, mss, window_scale
from runner import case


def check_alive(connection, peer):
    """Data still passes, both ways, and no byte that should not."""
    connection.write(b"still")
    check_equal(peer.recv(100), b"still", "data at the server")
    peer.sendall(b"here")
    check_equal(connection.read(4), b"here", "data at the station")


def numbers(connection, segment):
    """A segment's flags, with its numbers where they are not the ones that come next."""
    seq, ack = (segment.seq - connection.ack) % 2**32, (segment.ack - connection.seq) % 2**32
    return segment.flags + (f" seq+{seq}" if seq else "") + (f" ack+{ack}" if ack else "")


def segment_rows(outside):
    """On an open connection: what is answered, and that nothing of it has any effect."""
    far = 1 << 26  # beyond every window
    rows = [
        ("RFC 5961 4.2", "a SYN in the window", {"flags": "S", "seq": 10}, ["A"]),
        ("RFC 5961 4.2", "a SYN outside of it", {"flags": "S", "seq": far}, ["A"]),
        ("RFC 9293 3.10.7.4", "a SYN-ACK", {"flags": "SA"}, ["A"]),
        ("RFC 5961 3.2", "a reset of another number in the window", {"flags": "R", "seq": 10}, ["A"]),
        ("RFC 5961 3.2", "a reset before the window", {"flags": "R", "seq": -1}, []),
        ("RFC 5961 3.2", "a reset beyond the window", {"flags": "R", "seq": far}, []),
        ("RFC 9293 3.10.7.4", "data before the window", {"flags": "PA", "seq": -4, "data": b"past"}, ["A"]),
        ("RFC 9293 3.10.7.4", "data beyond the window", {"flags": "PA", "seq": far, "data": b"far"}, ["A"]),
        ("RFC 9293 3.10.7.4", "data without the ACK flag", {"flags": "P", "data": b"bare"}, []),
        ("RFC 9293 3.10.7.4", "an ACK of what was never sent", {"flags": "PA", "ack": 9, "data": b"early"}, ["A"]),
        ("RFC 5961 5.2", "an ACK that is too old", {"flags": "PA", "ack": -far, "data": b"old"}, ["A"]),
        ("RFC 1122 4.2.3.6", "a keep-alive probe", {"flags": "A", "seq": -1}, ["A"]),
        ("RFC 9293 3.10.7.4", "a bare ACK", {"flags": "A"}, []),
    ]
    for document, name, segment, wanted in rows:
        connection, peer = outside.connection()
        connection.send(**segment)
        got = [numbers(connection, answer) for answer in connection.answers(len(wanted))]
        check_equal(got, wanted, f"{document}: {name}")
        check_alive(connection, peer)


def reset_rows(outside):
    """Where there is no connection: what is answered (RFC 9293 3.10.7.1)."""
    rows = [
        ("an ACK", {"flags": "A"}, "R", 5000, 0),
        ("data with an ACK", {"flags": "PA", "data": b"data"}, "R", 5000, 0),
        ("data without", {"flags": "P", "data": b"data"}, "RA", 0, 1004),
        ("a FIN counts", {"flags": "F"}, "RA", 0, 1001),
        ("a reset", {"flags": "R"}, None, 0, 0),
    ]
    for name, segment, flags, seq, ack in rows:
        connection = Connection(outside.station, outside.address, isn=1000)
        connection.ack = 5000
        connection.send(**segment)
        got = [(answer.flags, answer.seq, answer.ack) for answer in connection.answers(1 if flags else 0)]
        check_equal(got, [(flags, seq, ack)] if flags else [], f"answer to {name}")


def exact_reset(outside):
    """It reaches the server as a reset (RFC 5961 3.2)."""
    connection, peer = outside.connection()
    connection.send("R")
    expect_errno(errno.ECONNRESET, lambda: peer.recv(1), "receive at the server")


def refused(outside):
    """What the server's kernel says reaches the station (RFC 9293 3.5.3)."""
    address, _ = outside.address
    answer = Connection(outside.station, (address, 1)).knock()
    check_equal((answer.flags, answer.ack), ("RA", (Connection.ISN + 1) % 2**32), "answer to a SYN")


def options_of_the_syn_ack(outside):
    """Of the SYN-ACK: the MSS of the MTU, window scaling if it was offered, no timestamps, no SACK."""
    every = (mss(1400) + window_scale(7) + bytes([SACK_PERMITTED, 2, TIMESTAMPS, 10]) + bytes(8) +
             bytes([200, 4, 1, 2]))
    for options, shift in ((every, b"\x08"), (mss(1400), None), (b"", None)):
        connection, peer = outside.connection(options=options)
        answer = connection.syn_ack
        check_equal([answer.option(kind) for kind in (MSS, WINDOW_SCALE, SACK_PERMITTED, TIMESTAMPS, 200)],
                    [struct.pack("!H", 1440 if outside.station.is_ipv6 else 1460), shift, None, None, None],
                    "MSS, window scale, SACK permitted, timestamps and an unknown option")
        connection.write(b"x")
        window = connection.receive().window
        check_equal(window << 8 >= 1 << 17 if shift else window <= 0xFFFF, True, f"window {window}")
        check_equal(peer.recv(10), b"x", "data")
    malformed = Connection(outside.station, outside.address, options=bytes([MSS, 0, 0, 0]))
    malformed.send("S")
    check_equal(malformed.answers(), [], "answers to a SYN with an option of length 0")


def segment_size(outside):
    """No segment is larger than what the station said it takes, or than the default (RFC 9293 3.7.1)."""
    data = blob(3, 20000)
    for options, largest in ((mss(1000), 1000), (mss(88), 88), (b"", 1220 if outside.station.is_ipv6 else 536)):
        connection, peer = outside.connection(options=options)
        peer.sendall(data)
        got = b""
        while len(got) < len(data):
            packet = outside.station.receive()
            segment = packet.tcp
            size = packet.segment_size or len(segment.data)
            check_equal(size <= largest, True, f"a segment of {size} bytes, which {largest} allows")
            got += connection.take(segment) if segment.data else b""
        check_same(got, data, "stream")


def initial_sequence_numbers(outside):
    """They tell nothing of each other (RFC 6528)."""
    isns = [outside.connection()[0].syn_ack.seq for _ in range(64)]
    steps = {(b - a) % 2**32 for a, b in zip(isns, isns[1:])}
    check_equal(len(steps), 63, "differences that do not repeat")
    check_equal(len({isn >> 24 for isn in isns}) > 16, True, f"spread over all numbers: {isns}")


def half_close(outside):
    """Each way goes on without the other (RFC 9293 3.6)."""
    connection, peer = outside.connection()
    connection.write(b"question", "PFA")
    check_equal(read_to_end(peer), b"question", "until the station's end")
    peer.sendall(b"answer")
    check_equal(connection.read(6), b"answer", "over the half-closed connection")
    peer.close()
    check_equal(connection.read(), b"", "the server's end")

    connection, peer = outside.connection()
    peer.shutdown(socket.SHUT_WR)
    check_equal(connection.read(), b"", "the server's end")
    connection.write(b"late")
    check_equal(peer.recv(10), b"late", "over the half-closed connection")
    connection.write(b"", "FA")
    check_equal(read_to_end(peer), b"", "the station's end")
    check_equal(numbers(connection, connection.answers(1)[-1]), "A", "the last answer")


def simultaneous_close(outside):
    """Both FINs are on their way at the same time (RFC 9293 figure 13)."""
    connection, peer = outside.connection()
    peer.shutdown(socket.SHUT_WR)
    fin = connection.receive()
    check_equal(fin.flags, "FA", "the program's FIN")
    connection.write(b"", "FA")  # acknowledges nothing
    check_equal(connection.receive().ack, connection.seq % 2**32, "number acknowledged")
    check_equal(read_to_end(peer), b"", "at the server")
    connection.take(fin)
    connection.seq -= 1
    connection.send("FA")
    connection.seq += 1
    check_equal(numbers(connection, connection.receive()), "A", "answer to the FIN again, in TIME-WAIT")


def time_wait_reuse(outside):
    """A new SYN from the same port is a new connection (RFC 9293 3.10.7.4)."""
    connection, peer = outside.connection(isn=1000)
    peer.close()
    check_equal(connection.read(), b"", "the server's end")
    connection.write(b"", "FA")
    connection.receive()
    again, peer = outside.connection(port=connection.port, isn=connection.seq + 100000)
    check_alive(again, peer)


def urgent_data(outside):
    """It stays where it is in the stream (RFC 6093)."""
    connection, peer = outside.connection()
    connection.write(b"before")
    connection.write(b"!urgent", "PUA", urgent=1)
    connection.write(b"after")
    connection.write(b"", "FA")
    check_equal(read_to_end(peer), b"before!urgentafter", "stream at the server")


def holes(outside):
    """What is missing is asked for at once, without SACK blocks even if we have allowed them, and what came behind
    it is not lost (RFC 5681 4.2, RFC 2018)."""
    connection, peer = outside.connection(options=mss(1400) + bytes([SACK_PERMITTED, 2, 1, 1]))
    connection.send("PA", b"world", seq=6)
    answer, = connection.answers(1)
    check_equal((numbers(connection, answer), answer.options), ("A", b""), "answer to what is behind a hole")
    connection.write(b"hello ")
    connection.seq += 5
    check_equal(connection.receive().ack, connection.seq % 2**32, "number acknowledged when it is filled")
    check_equal(peer.recv(100), b"hello world", "data at the server")


SOONEST_TIME_OUT = 0.3  # seconds; no repetition before is due to one


def fast_retransmit(outside):
    """On the third duplicate acknowledgment, long before a time-out (RFC 5681 3.2)."""
    data = blob(1, 20 * 1400)
    for _ in range(20):  # on a busy machine the time-out may come first, which proves nothing
        connection, peer = outside.connection(options=mss(1400))
        before = time.monotonic()
        peer.sendall(data)
        end = 0
        while end < len(data):
            segment = connection.receive()
            end = (segment.seq - connection.ack) % 2**32 + len(segment.data)
        for _ in range(3):
            connection.send("A")
        again = connection.receive()
        check_equal((again.seq, again.data[:1400]), (connection.ack % 2**32, data[:1400]), "what is sent again")
        if time.monotonic() - before < SOONEST_TIME_OUT:
            return
    raise Failed("nothing is sent again before the time-out")


def retransmission_time_out(outside):
    """What is not acknowledged is sent again and again, ever more slowly (RFC 6298 5)."""
    connection, peer = outside.connection()
    peer.sendall(b"data")
    times = []
    while len(times) < 4:
        segment = connection.receive()
        check_equal((segment.seq, segment.data), (connection.ack % 2**32, b"data"), "what is sent again")
        times.append(time.monotonic())
    check_equal(times[3] - times[2] > 1.5 * (times[1] - times[0]), True, f"ever more slowly: {times}")
    connection.take(segment)
    check_alive(connection, peer)


def closed_window(outside):
    """It is not exceeded, it is probed, and it opens again (RFC 9293 3.8.6.1)."""
    data = blob(2, 5000)
    connection, peer = outside.connection(options=mss(1400), window=0)
    peer.sendall(data)
    for _ in range(2):
        probe = connection.receive()
        check_equal(len(probe.data) <= 1, True, f"a probe of {len(probe.data)} bytes")
        connection.send("A")
    connection.window = 0xFFFF
    connection.send("A")
    check_same(connection.read(len(data)), data, "stream")


def scaled_window(outside):
    """The station's window, by its own shift, is not exceeded (RFC 7323 2.3)."""
    window, data = 20 << 7, blob(4, 50000)
    connection, peer = outside.connection(options=mss(1000) + window_scale(7), window=20)
    peer.sendall(data)
    got = b""
    while len(got) < len(data):
        in_flight = [connection.receive()]
        while segment := connection.receive_within(0.05):
            in_flight.append(segment)
        for segment in in_flight:
            end = (segment.seq + len(segment.data) - connection.ack) % 2**32
            check_equal(end <= window, True, f"{end} bytes in flight, which a window of {window} allows")
        for segment in in_flight:
            got += connection.take(segment) if segment.data and segment.seq == connection.ack % 2**32 else b""
    check_same(got, data, "stream")


def offloaded(outside):
    """One frame of many segments with a partial checksum, as a guest's kernel writes it (virtio 5.1.6.2)."""
    data = blob(5, 30000)
    connection, peer = outside.connection()
    connection.write_offloaded(data, 1400)
    connection.write(b"", "FA")
    check_same(read_to_end(peer), data, "stream at the server")


def await_syn(raw, port):
    while packet := raw.receive(20):
        if packet.tcp and packet.tcp.port == port:
            return packet
    raise Failed("no SYN comes")


@case(ipv6=True)
def forwarded(lab):
    """A connection that the program begins: it asks for the station's link-layer address, and its SYN says as much as
    its SYN-ACK does. A reset reaches the client."""
    path = api_path(lab)
    with guest_with_station(lab, "-a", path) as (_, raw):
        add_forward(path, "tcp", 8080, 80, host_addr=lab.net.anywhere, guest_addr=raw.ip)
        with lab.wan.socket() as client, lab.wan.socket() as refused_client:
            client.connect((lab.net.host, 8080))
            packet = await_syn(raw, 80)
            check_equal((packet.source, packet.tcp.source_port), client.getsockname(), "the client as it is seen")
            check_equal([packet.tcp.option(kind) for kind in (MSS, WINDOW_SCALE, SACK_PERMITTED, TIMESTAMPS)],
                        [struct.pack("!H", lab.net.choose(1460, 1440)), b"\x08", None, None], "options of the SYN")
            check_alive(Connection.answer(raw, packet.tcp, packet.source, options=mss(1400)), client)

            refused_client.connect((lab.net.host, 8080))
            packet = await_syn(raw, 80)
            refusing = Connection(raw, (packet.source, packet.tcp.source_port), port=80, isn=0)
            refusing.ack = packet.tcp.seq + 1
            refusing.send("RA")
            expect_errno(errno.ECONNRESET, lambda: refused_client.recv(1), "receive at the client")


# Cases: each check gets the server outside, which the station can connect to.

def tcp_case(name, *checks, **how):
    def body(lab):
        with guest_with_station(lab) as (_, raw), Server(lab.wan, raw) as outside:
            for check in checks:
                check(outside)
    case(body, name=name, **how)


tcp_case("opening", reset_rows, refused, options_of_the_syn_ack, initial_sequence_numbers, ipv6=True)
tcp_case("open", segment_rows, exact_reset, urgent_data, holes, ipv6=True)
tcp_case("closing", half_close, simultaneous_close, time_wait_reuse, ipv6=True)
tcp_case("windows", segment_size, closed_window, scaled_window, offloaded, ipv6=True)
tcp_case("repetition", fast_retransmit, retransmission_time_out)


if __name__ == "__main__":
    runner.main()
