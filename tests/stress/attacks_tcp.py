"""Attacks with TCP: connections that are never answered, too many, or deliberately hard to serve."""
import collections
import contextlib
import socket
import threading
import time

import api
import frames
from attack import Attack
from lab import BLACKHOLE_IP, HOST_IP, WAN_IP2
from namespaces import Failed, inside_netns, wait_for
from netio import listener
from raw_guest import RawGuest, acknowledge, open_connections, syn, tcp_frame

FORWARDED_PORT = 4242
BACKLOG = 65535
SMALL_BUFFERS, USUAL_BUFFERS = "4096 4096 4096", "4096 131072 4194304"  # tcp_rmem, tcp_wmem
RATE = 20_000  # frames per second, where the rate is not the point


def answering(segment):
    """Opens connections, acknowledges everything."""
    return acknowledge(segment, 65535) if segment.flags & frames.SYN or segment.size else None


def syn_flood(scene):
    rate, seconds = scene.choose((5_000, 2), (50_000, 60))
    sent, reached = scene.flood([syn(1024, BLACKHOLE_IP, 80)], rate * seconds, "vary",
                                f"{frames.SOURCE_PORT}:2:count", f"{frames.IPV4_DESTINATION + 3}:1:random", rate=rate,
                                seconds=seconds)
    # All that are let in are evicted by later ones; in a flood most are not even let in.
    evicted = scene.expect_counted("tcp", "attempts_evicted", 1024)
    dropped = scene.stats()["tcp"]["attempts_dropped"]
    if evicted + dropped < sent // 4:
        raise Failed(f"{evicted} attempts evicted and {dropped} dropped of {sent}: the attack has not got there")
    return f"{sent:,} SYNs, {reached:,.0f}/s"


def serve(scene):
    """A door in wan whose connections the kernel opens, and from which nobody reads."""
    return scene.stack.enter_context(listener(scene.lab.wan, WAN_IP2, backlog=BACKLOG))


def port_of(door):
    return door.getsockname()[1]


# Some SYNs are lost on the way or dropped while there are too many, which a kernel would repeat.
SYN_REPETITIONS = 5


def table_full(scene):
    """More connections than the program has room for: the rest is refused, by a reset."""
    port = port_of(serve(scene))
    count = scene.choose(3_000, 20_000)
    with RawGuest(scene.guest, answering) as raw:
        for _ in range(SYN_REPETITIONS):
            open_connections(scene, count, WAN_IP2, port, rate=scene.choose(3_000, 5_000))
            with contextlib.suppress(Failed):
                raw.wait_settled(count * 9 // 10, seconds=5)
            opened, refused = len(raw.opened), len(raw.reset - raw.opened.keys())
            if refused > 0:
                break
        scene.expect_counted("tcp", "refused_full", max(refused, 1))
        reset_all(scene, raw)
    return f"{count:,} connects: {opened:,} opened, {refused:,} refused"


def reset_all(scene, raw):
    """Ends every connection, exactly at what the program expects next (RFC 5961 3.2)."""
    for _ in range(2):  # a reset that was not exact is told what would be
        scene.rest(0.3)
        ends = [tcp_frame(frames.tcp(port, one.source_port, sequence=one.acknowledgment, flags=frames.RST), WAN_IP2)
                for port, one in raw.latest.items()]
        scene.flood(ends, len(ends), "vary", rate=RATE)


class Pouring:
    """Accepts in wan and sends without end on every connection, or reads nothing at all."""

    def __init__(self, scene, chunk):
        self._door = serve(scene)
        self.port = port_of(self._door)
        self._peers, self._chunk, self._stop = [], chunk, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        scene.stack.callback(self.close)

    def _run(self):
        self._door.setblocking(False)
        while not self._stop.wait(0.01):
            with contextlib.suppress(BlockingIOError):
                while True:
                    peer, _ = self._door.accept()
                    peer.setblocking(False)
                    self._peers.append(peer)
            for peer in self._peers:
                with contextlib.suppress(OSError):
                    peer.send(self._chunk)

    def close(self):
        self._stop.set()
        self._thread.join()
        for peer in self._peers:
            peer.close()


def slow_rule(window):
    """Takes `window` bytes of what comes and announces as much; 0 is a window that stays closed."""
    def rule(segment):
        if segment.flags & frames.SYN:
            return acknowledge(segment, window)
        return acknowledge(segment, window, min(segment.size, window))
    return rule


def silent_rule(segment):
    """Takes what comes and never says so: everything has to be kept for a retransmission."""
    return acknowledge(segment, 65535) if segment.flags & frames.SYN else None


def slow_guest(rule, window=65535, options=b""):
    """A guest that asks for much and takes little of it, or does not tell."""
    def attack(scene):
        port = Pouring(scene, bytes(4096)).port
        count, seconds = scene.choose((100, 1), (1_000, 300))
        with RawGuest(scene.guest, rule) as raw:
            open_connections(scene, count, WAN_IP2, port, rate=1_000, options=options, window=window)
            raw.wait_settled(count)
            scene.rest(seconds)
            opened = len(raw.opened)
            reset_all(scene, raw)
        return f"{opened:,} connections, {seconds} s"
    return attack


def slow_server(scene):
    """Nobody outside reads what the guest sends, byte by byte."""
    set_buffers(scene, SMALL_BUFFERS)  # what waits shall wait in the program
    port = port_of(serve(scene))
    count, each = scene.choose((4, 15_000), (100, 40_000))
    with RawGuest(scene.guest, answering) as raw:
        open_connections(scene, count, WAN_IP2, port, rate=1_000)
        raw.wait_settled(count)
        bytes_in_turn = [data_segment(one, 0, b"x") for one in raw.opened.values()]
        sent, rate = scene.flood(bytes_in_turn, count * each, "vary", f"{frames.TCP_SEQUENCE}:4:count", rate=RATE)
        reset_all(scene, raw)
    set_buffers(scene, USUAL_BUFFERS)
    return f"{count:,} connections, {sent:,} segments of a byte, {rate:,.0f}/s"


def set_buffers(scene, sizes):
    """Of the sockets that the program and the server outside make from now on."""
    scene.lab.host.sysctl("net.ipv4.tcp_wmem", sizes)
    scene.lab.wan.sysctl("net.ipv4.tcp_rmem", sizes)


def data_segment(opened, ahead, payload):
    """The attacker's data on a connection, `ahead` bytes after what was expected."""
    return tcp_frame(frames.tcp(opened.port, opened.source_port, sequence=opened.acknowledgment + ahead,
                                acknowledgment=opened.sequence + 1, flags=frames.ACK | frames.PSH,
                                payload=payload), WAN_IP2)


def holes(scene):
    """Every second byte is missing, so nothing can be delivered; then large pieces behind the same hole."""
    port = port_of(serve(scene))
    count, each = scene.choose((50, 200), (500, 2_000))
    with RawGuest(scene.guest, answering) as raw:
        open_connections(scene, count, WAN_IP2, port, rate=1_000)
        raw.wait_settled(count)
        ones = [data_segment(one, 1, b"x") for one in raw.opened.values()]
        twice = [f"{frames.TCP_SEQUENCE}:4:count"] * 2  # counts in steps of two
        sent, rate = scene.flood(ones, len(ones) * each, "vary", *twice, rate=RATE)
        large = [data_segment(one, 8192, bytes(1024)) for one in raw.opened.values()]
        pieces, _ = scene.flood(large, len(large) * min(each, 200), "vary",
                                *[f"{frames.TCP_SEQUENCE}:3:count"] * 4, rate=RATE)  # in steps of 1,024
        opened = len(raw.opened)
        reset_all(scene, raw)
    return f"{opened:,} connections, {sent:,} holes of one byte, {rate:,.0f}/s; {pieces:,} pieces of 1 KiB"


def forwarded(scene):
    """A forwarded port behind which nobody listens: every client is reset, and nothing stays."""
    api.add_forward(scene.api_path, "tcp", FORWARDED_PORT, FORWARDED_PORT)
    rate, seconds = scene.choose((1_000, 1), (5_000, 30))
    clients, reached = hurried_clients(scene.lab.wan, (HOST_IP, FORWARDED_PORT), rate, seconds)
    wait_for(lambda: all(map(was_reset, clients)), "the last clients are reset")
    for client in clients:
        client.close()
    return f"{int(reached * seconds):,} connects, {reached:,.0f}/s"


def hurried_clients(place, to, rate, seconds):
    """Connects without waiting. Returns the last of the clients, the others are closed, and how many there were in
    a second."""
    clients, done, begin = collections.deque(), 0, time.monotonic()
    with inside_netns(place.net):
        while (passed := time.monotonic() - begin) < seconds:
            if done > passed * rate:
                time.sleep(0.001)
                continue
            client = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            client.connect_ex(to)
            clients.append(client)
            done += 1
            if len(clients) > 500:
                clients.popleft().close()
    return clients, done / passed


def was_reset(client):
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


ATTACKS = (
    Attack("syn", "SYN flood", syn_flood, lingers=True),
    Attack("table", "flow table full", table_full, short_options=("--max-tcp-flows=1000",)),
    Attack("zero_window", "window 0", slow_guest(slow_rule(0), window=1)),
    Attack("window_1", "window 1", slow_guest(slow_rule(1), window=1)),
    Attack("mss_1", "MSS 1", slow_guest(answering, options=frames.mss(1))),
    Attack("silent", "MSS 1, wide window, nothing acknowledged",
           slow_guest(silent_rule, options=frames.mss(1) + frames.window_scale(8))),
    Attack("slow_server", "nobody outside reads, segments of 1 byte", slow_server),
    Attack("holes", "out-of-order holes", holes),
    Attack("forward", "forwarded port without listener", forwarded),
)
