"""Attacks on what surrounds the packets: descriptors, the API socket, the processes."""
import contextlib
import json
import os
import signal
import threading
import time

import api
import frames
from attack import Attack
from attacks_tcp import RATE, answering, port_of, reset_all, serve
from lab import BLACKHOLE_IP, WAN_IP2
from namespaces import Failed, wait_for
from netio import check_equal
from raw_guest import RawGuest, open_connections

HERE = os.path.dirname(os.path.abspath(__file__))
FEW_DESCRIPTORS = ("prlimit", "--nofile=256:256")


def descriptors(scene):
    """Connections and datagram sockets, each more than the program may have descriptors."""
    port = port_of(serve(scene))
    count = 1_000
    with RawGuest(scene.guest, answering) as raw:
        open_connections(scene, count, WAN_IP2, port, rate=2_000)
        raw.wait_settled(count * 9 // 10)
        opened, refused = len(raw.opened), len(raw.reset - raw.opened.keys())
        scene.flood([frames.ipv4(frames.UDP, frames.udp(1024, 9, b"x"), BLACKHOLE_IP)], count, "vary",
                    f"{frames.SOURCE_PORT}:2:count", rate=2_000)
        scene.rest(scene.choose(1, 30))
        reset_all(scene, raw)
    if refused == 0:
        raise Failed(f"{opened} connections with 256 descriptors, and none was refused")
    return f"{count:,} connects ({opened:,} opened, {refused:,} refused), {count:,} UDP ports"


# API abuse

LIST = json.dumps({"execute": "list_hostfwd"}).encode()


def add_forward_to(port):
    return (f'{{"execute":"add_hostfwd","arguments":{{"proto":"tcp","host_port":{port},"guest_port":1}}}}').encode()


MALFORMED = {
    "nothing": b"",
    "10 MiB": b"[" * (10 << 20),
    "depth 1000": b'{"execute":' + b"[" * 1000 + b"]" * 1000 + b"}",
    "invalid UTF-8": b'{"execute":"list_hostfwd\xff\xfe\xc0\x80"}',
    "a number": b"1e300",
    **{f"port {port}": add_forward_to(port) for port in ("-1", "0.5", "65536", "1e300", "-1e300", '"x"', "null")},
}


def check_refused(path, name, request):
    """Told why, or cut off in the middle of what is too long: never served, and never left waiting."""
    try:
        reply = api.ask(path, request)
    except (BrokenPipeError, ConnectionResetError):
        return
    if "error" not in json.loads(reply):
        raise Failed(f"the request with {name} got {reply!r}")


def trickle(clients, stop):
    """A byte a second from each; one that is cut off stays silent."""
    while not stop.wait(1.0):
        for client in clients:
            with contextlib.suppress(OSError):
                client.sendall(b"[")


def api_abuse(scene):
    path, seconds = scene.api_path, scene.choose(2, 60)
    idle, slow, deaf = 200, 20, 100
    rounds, end = 0, time.monotonic() + seconds
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        for _ in range(idle):
            stack.enter_context(api.api_client(path))
        slow_clients = [stack.enter_context(api.api_client(path)) for _ in range(slow)]
        for _ in range(deaf):
            client = stack.enter_context(api.api_client(path))
            with contextlib.suppress(OSError):  # it had to make room for another one
                client.sendall(LIST)
        trickling = threading.Thread(target=trickle, args=(slow_clients, stop))
        trickling.start()
        try:
            while rounds == 0 or time.monotonic() < end:
                for name, request in MALFORMED.items():
                    check_refused(path, name, request)
                check_equal(api.request(path, "list_hostfwd")["entries"], [], "forwards after all that")
                rounds += 1
        finally:
            stop.set()
            trickling.join()
    return f"{idle} idle clients, {slow} slow ones, {deaf} that do not read, {rounds * len(MALFORMED):,} bad requests"


# Process races

def races(scene):
    return "; ".join(part(scene) for part in (namespace_deleted, pid_reused, sigterm))


def sigterm(scene):
    """With thousands of connections the end takes no longer."""
    port = port_of(serve(scene))
    count = scene.choose(1_000, 4_000)
    with RawGuest(scene.guest, answering) as raw:
        open_connections(scene, count, WAN_IP2, port, rate=RATE // 4)
        raw.wait_settled(count)
        begin = time.monotonic()
        scene.program.signal(signal.SIGTERM)
        scene.program.wait_exit(seconds=scene.choose(20.0, 1.0))
        took = time.monotonic() - begin
        wait_for(lambda: len(raw.reset) >= count, f"{count} connections are reset")
    return f"{1000 * took:.0f} ms after SIGTERM with {count:,} connections, all of them reset"


def namespace_deleted(scene):
    with scene.lab.named_netns("stress") as (_, path):
        program = scene.lab.launch("-c", "--netns-type=path", path, "tap0").wait_ready()
    begin = time.monotonic()
    program.wait_exit(seconds=20.0)
    return f"ends {time.monotonic() - begin:.1f} s after its namespace's last name"


def pid_reused(scene):
    """Another process gets the target's number at once."""
    done = scene.lab.host.run("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "python3", "-B",
                              f"{HERE}/pid_reuse.py", scene.lab.program, timeout=60)
    return f"{done.stdout.strip()} s after a target whose process number was taken at once"


ATTACKS = (
    Attack("descriptors", "descriptors run out", descriptors, before=FEW_DESCRIPTORS, lingers=True),
    Attack("api", "API abuse", api_abuse),
    Attack("races", "process races", races, ends=True),
)
