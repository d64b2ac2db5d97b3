"""Attacks with TCP: connections that are never answered, too many, or deliberately hard to serve."""
import contextlib
import socket
import threading
import time

import frames
from attack import Attack
from lab import BLACKHOLE_IP, HOST_IP, WAN_IP2
from namespaces import Failed, wait_for
from netio import listener
from raw_guest import RawGuest, acknowledge, open_connections, syn, tcp_frame

PORT = 4242
MANY = 65535
RATE = 20_000  # frames per second, where the rate is not the point


def answering(segment):
    """Opens connections, acknowledges everything."""
    return acknowledge(segment, 65535) if segment.flags & frames.SYN or segment.size else None


def syn_flood(scene):
    rate, seconds = scene.choose((5_000, 2), (50_000, 60))
    sent, reached = scene.flood([syn(1024, BLACKHOLE_IP, 80)], rate * seconds, "vary",
                                f"{frames.SOURCE_PORT}:2:count", f"{frames.IPV4_DESTINATION + 3}:1:random", rate=rate,
                                seconds=seconds)
    return f"{sent:,} SYNs, {reached:,.0f}/s"


def serve(scene):
    """Connections that the kernel opens and nobody reads from."""
    scene.lab.wan.sysctl("net.core.somaxconn", MANY)
    return scene.stack.enter_context(listener(scene.lab.wan, WAN_IP2, PORT, backlog=MANY))


def table_full(scene):
    """More connections than the program has room for: the rest is refused, by a reset."""
    serve(scene)
    count = scene.choose(3_000, 20_000)
    with RawGuest(scene.guest, answering) as raw:
        open_connections(scene, count, WAN_IP2, PORT, rate=scene.choose(3_000, 5_000))
        raw.wait_settled(count * 9 // 10)
        opened, refused = len(raw.opened), len(raw.reset - raw.opened.keys())
        if refused == 0:
            raise Failed(f"{opened} connections, and none was refused")
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


def slow_guest(window, options=b""):
    """A guest that asks for much and takes little of it."""
    def attack(scene):
        Pouring(scene, bytes(4096))
        count, seconds = scene.choose((100, 1), (1_000, 300))
        with RawGuest(scene.guest, slow_rule(window)) as raw:
            open_connections(scene, count, WAN_IP2, PORT, rate=1_000, options=options, window=max(window, 1))
            raw.wait_settled(count)
            scene.rest(seconds)
            opened = len(raw.opened)
            reset_all(scene, raw)
        return f"{opened:,} connections, {seconds} s"
    return attack


def slow_server(scene):
    """Nobody outside reads what the guest sends, byte by byte."""
    scene.lab.host.sysctl("net.ipv4.tcp_wmem", "4096 4096 4096")  # what waits shall wait in the program
    scene.lab.wan.sysctl("net.ipv4.tcp_rmem", "4096 4096 4096")
    serve(scene)
    count, each = scene.choose((4, 15_000), (100, 40_000))
    with RawGuest(scene.guest, answering) as raw:
        open_connections(scene, count, WAN_IP2, PORT, rate=1_000)
        raw.wait_settled(count)
        bytes_in_turn = [data_segment(one, 0, b"x") for one in raw.opened.values()]
        sent, rate = scene.flood(bytes_in_turn, count * each, "vary", f"{frames.TCP_SEQUENCE}:4:count", rate=RATE)
        reset_all(scene, raw)
    return f"{count:,} connections, {sent:,} segments of a byte, {rate:,.0f}/s"


def data_segment(opened, ahead, payload):
    """The attacker's data on a connection, `ahead` bytes after what was expected."""
    return tcp_frame(frames.tcp(opened.port, opened.source_port, sequence=opened.acknowledgment + ahead,
                                acknowledgment=opened.sequence + 1, flags=frames.ACK | frames.PSH,
                                payload=payload), WAN_IP2)


def holes(scene):
    """Every second byte is missing, so nothing can be delivered; then large pieces behind the same hole."""
    serve(scene)
    count, each = scene.choose((50, 200), (500, 2_000))
    with RawGuest(scene.guest, answering) as raw:
        open_connections(scene, count, WAN_IP2, PORT, rate=1_000)
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
    import api
    api.add_forward(scene.api_path, "tcp", PORT, PORT)
    rate, seconds = scene.choose((1_000, 1), (5_000, 30))
    begin, done = time.monotonic(), 0
    clients = []
    while done < rate * seconds:
        due = int((time.monotonic() - begin) * rate) + 1
        for _ in range(min(due, rate * seconds) - done):
            client = scene.lab.wan.socket()
            client.setblocking(False)
            client.connect_ex((HOST_IP, PORT))
            clients.append(client)
            done += 1
        while len(clients) > 500:
            clients.pop(0).close()
        time.sleep(0.002)
    reached = done / (time.monotonic() - begin)
    wait_for(lambda: was_reset(clients[-1]), "the last client is reset")
    for client in clients:
        client.close()
    return f"{done:,} connects, {reached:,.0f}/s"


def was_reset(client):
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


ATTACKS = (
    Attack("syn", "SYN flood", syn_flood, lingers=True),
    Attack("table", "flow table full", table_full, before=("prlimit", "--nofile=2000:2000")),
    Attack("zero_window", "window 0", slow_guest(0)),
    Attack("window_1", "window 1", slow_guest(1)),
    Attack("mss_1", "MSS 1", slow_guest(65535, frames.mss(1))),
    Attack("slow_server", "nobody outside reads, segments of 1 byte", slow_server),
    Attack("holes", "out-of-order holes", holes),
    Attack("forward", "forwarded port without listener", forwarded),
)
