#!/usr/bin/env python3
"""The API socket: its place in the file system, what it answers, and that no client of it disturbs the guest."""
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import stat
import threading

import runner
from api import add_forward, api_client, api_path, ask, is_served, request, serve
from lab import GATEWAY
from namespaces import Failed, wait_for
from netio import MIB, check_equal, check_in, check_network_works, check_stream, connected, read_to_end
from runner import case

LIST = {"execute": "list_hostfwd"}
NO_FORWARDS = b'{"return":{"entries":[]},"entries":[]}'
PORTS = {"host_port": 8080, "guest_port": 80}
CLIENTS = 200

# Requests as bytes or as what JSON makes of them, and the text after "bad request: ".
MALFORMED = [
    (b"", "cannot parse JSON"),
    (b"{", "cannot parse JSON"),
    (b"\xff\xfe", "cannot parse JSON"),
    (b'{"execute":"list_hostfwd","x":"\xff"}', "cannot parse JSON"),
    (b'{"execute":"x","execute":"list_hostfwd"}', "cannot parse JSON"),
    (b"[" * 1000, "cannot parse JSON"),
    (b"[" * 1000 + b"]" * 1000, "json_object() failed"),
    ([], "json_object() failed"),
    ({}, "no execute found"),
    ({"execute": 1}, "no execute found"),
    ({"execute": "reboot"}, "unknown execute"),
    (b" " * 4096, "too large message"),
    (b"x" * (10 * MIB), "too large message"),
    ({"execute": "add_hostfwd"}, "add_hostfwd: bad arguments.proto"),
    ({"execute": "add_hostfwd", "arguments": None}, "add_hostfwd: bad arguments.proto"),
    ({"execute": "add_hostfwd", "arguments": {"proto": "icmp", **PORTS}}, "add_hostfwd: bad arguments.proto"),
    ({"execute": "add_hostfwd", "arguments": {"proto": "tcp", "host_addr": "x", **PORTS}},
     "add_hostfwd: bad arguments.host_addr"),
    ({"execute": "add_hostfwd", "arguments": {"proto": "tcp", "host_port": 65536}},
     "add_hostfwd: bad arguments.host_port"),
    ({"execute": "add_hostfwd", "arguments": {"proto": "tcp", "guest_addr": "x", **PORTS}},
     "add_hostfwd: bad arguments.guest_addr"),
    ({"execute": "add_hostfwd", "arguments": {"proto": "tcp", "host_port": 8080, "guest_port": 1e300}},
     "add_hostfwd: bad arguments.guest_port"),
    ({"execute": "remove_hostfwd"}, "remove_hostfwd: bad arguments.id"),
    ({"execute": "remove_hostfwd", "arguments": {"id": 1}}, "remove_hostfwd: bad arguments.id"),
]


def check_answers(path):
    check_equal(ask(path, LIST), NO_FORWARDS, "list of forwards")


def check_removed(path):
    check_equal(os.path.lexists(path), False, "API socket still there")


def leave_stale_socket(lab, path):
    """As a run that was killed together with its monitor."""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    if lab.user is not None:
        os.chown(path, lab.user, lab.user)


# Requests

@case(nobody=True)
def list_on_a_fresh_program(lab):
    _, _, path = serve(lab)
    check_answers(path)
    check_equal(ask(path, LIST, half_close=False), NO_FORWARDS, "list without half-close")


@case
def malformed_requests(lab):
    guest, program, path = serve(lab)
    for malformed, text in MALFORMED:
        reply = json.dumps({"error": {"desc": f"bad request: {text}"}}, separators=(",", ":")).encode()
        check_equal(ask(path, malformed), reply, f"reply to {str(malformed)[:100]}")
    check_answers(path)
    check_equal(program.process.poll(), None, "exit status")
    check_network_works(guest, lab.wan)


@case
def split_request(lab):
    _, _, path = serve(lab)
    with api_client(path) as client:
        for byte in json.dumps(LIST).encode():
            client.sendall(bytes([byte]))
        check_equal(read_to_end(client), NO_FORWARDS, "list asked for in single bytes")


@case
def silent_client_gets_an_error(lab):
    _, _, path = serve(lab)
    with api_client(path) as silent, api_client(path) as halting:
        halting.sendall(b'{"execute":')
        for client in (silent, halting):
            check_in(b"bad request: cannot parse JSON", read_to_end(client), "reply to half a request")


@case
def examples_of_the_manual(lab):
    """What the manual page shows is what happens."""
    manual = os.path.join(os.path.dirname(__file__), "../../docs/lwip4netns.1.md")
    with open(manual, encoding="utf-8") as file:
        examples = re.findall(r"^--> (.*)\n<-- (.*)$", file.read(), re.MULTILINE)
    check_equal(len(examples) >= 5, True, "enough examples")
    _, _, path = serve(lab, "-6")
    for asked, reply in examples:
        check_equal(ask(path, asked.encode()).decode(), reply, f"reply to {asked}")


def names_in(numbers):
    """All member names of an object of objects of numbers."""
    for name, value in numbers.items():
        yield name
        if isinstance(value, dict):
            yield from names_in(value)


@case(nobody=True)
def statistics(lab):
    """The numbers move, and each has its place in the manual page."""
    guest, _, path = serve(lab, "-6", "--max-tcp-flows=300", "--max-tcp-attempts=20")
    check_network_works(guest, lab.wan)
    stats = request(path, "stats")["return"]
    check_equal([stats["limits"][name] for name in ("tcp_flows", "tcp_attempts")], [300, 20], "limits")
    for section, name in (("frames", "received"), ("frames", "sent"), ("tcp", "opened"), ("tcp", "segments"),
                          ("limits", "descriptors"), ("in_use", "descriptors")):
        check_equal(stats[section][name] > 0, True, f"{section}.{name} is {stats[section][name]}, more than 0")
    add_forward(path, "tcp", 8080, 80)
    now = request(path, "stats")["return"]
    check_equal(now["in_use"]["forward_ports"], 1, "ports that are forwarded")
    check_equal(now["in_use"]["descriptors"] - stats["in_use"]["descriptors"], 1, "descriptors that it takes")
    with open(os.path.join(os.path.dirname(__file__), "../../docs/lwip4netns.1.md"), encoding="utf-8") as file:
        manual = file.read()
    for name in names_in(stats):
        check_in(f"`{name}`", manual, "the manual page")


# The socket's place

@case(nobody=True)
def socket_is_for_its_owner_only(lab):
    _, program, path = serve(lab)
    mode = os.lstat(path).st_mode
    check_equal((stat.S_ISSOCK(mode), stat.S_IMODE(mode)), (True, 0o600), "a socket, and its mode")
    wait_for(lambda: f"* API Socket:      {path}\n" in program.stdout(), "the path on stdout")


@case
def listens_before_it_is_announced(lab):
    """A caller that reads stdout may connect at once."""
    path = api_path(lab)
    for _ in range(5):
        guest = lab.guest()
        program = lab.launch("-c", "-a", path, guest.pid, "tap0")
        wait_for(lambda run=program: "* API Socket:" in run.stdout(), "the path on stdout")
        check_answers(path)
        program.signal(signal.SIGTERM)
        program.wait_exit()


@case(nobody=True)
def stale_socket_is_replaced(lab):
    path = api_path(lab)
    leave_stale_socket(lab, path)
    serve(lab)
    check_answers(path)


def refused_case(obstacle, reason):
    def body(lab):
        guest, path = lab.guest(), api_path(lab)
        with contextlib.ExitStack() as stack:
            obstacle(path, stack)
            before = os.lstat(path)
            done = lab.run_program("-c", "-a", path, guest.pid, "tap0")
            check_equal(done.returncode, 1, "exit status")
            check_equal(done.stderr.splitlines()[-1], f"API socket: {reason.format(path)}", "last line on stderr")
            if "* API Socket:" in done.stdout:
                raise Failed("a socket that there is not was announced")
            check_equal(os.lstat(path).st_ino, before.st_ino, "file that was there before")
    return body


def write_precious_file(path, _stack):
    with open(path, "w", encoding="ascii") as file:
        file.write("precious")


def make_dangling_link(path, _stack):
    os.symlink(path + ".target", path)


def listen_there(path, stack):
    other = stack.enter_context(socket.socket(socket.AF_UNIX))
    other.bind(path)
    other.listen()


case(name="file_is_refused")(refused_case(write_precious_file, "{} exists and is not a socket"))
case(name="link_is_refused")(refused_case(make_dangling_link, "{} exists and is not a socket"))
case(name="listener_is_refused")(refused_case(listen_there, "another process listens on {}"))


@case
def missing_directory(lab):
    done = lab.run_program("-c", "-a", "/nonexistent/socket", lab.guest().pid, "tap0")
    check_equal(done.returncode, 1, "exit status")
    check_equal(done.stderr.splitlines()[-1],
                "API socket: cannot listen on /nonexistent/socket: No such file or directory", "last line")


@case
def two_runs_with_one_socket(lab):
    """The second one fails, and leaves the first one's socket alone."""
    _, _, path = serve(lab)
    done = lab.run_program("-c", "-a", path, lab.guest().pid, "tap0")
    check_equal(done.returncode, 1, "exit status of the second")
    check_answers(path)


# Its end

def signal_case(number):
    def body(lab):
        _, program, path = serve(lab)
        with api_client(path):  # an open connection does not matter
            program.signal(number)
            program.wait_exit()
        check_removed(path)
    return body


case(name="removed_after_sigterm", nobody=True)(signal_case(signal.SIGTERM))
case(name="removed_after_sigint")(signal_case(signal.SIGINT))


@case(nobody=True)
def removed_after_exit_fd(lab):
    _, program, path = serve(lab, exit_fd=True)
    program.hang_up()
    program.wait_exit()
    check_removed(path)


@case
def removed_with_target(lab):
    guest, program, path = serve(lab)
    guest.die()
    program.wait_exit()
    check_removed(path)


@case(nobody=True)
def removed_after_sigkill(lab):
    """By the monitor, the process that is left."""
    _, program, path = serve(lab)
    program.kill()
    program.wait_gone()
    check_removed(path)


@case
def replaced_after_the_monitor_was_killed(lab):
    """Nobody is left who may remove the socket: the worker has no file system. The next start does it."""
    _, program, path = serve(lab)
    for pid in program.processes():
        if pid != program.pid:
            os.kill(pid, signal.SIGKILL)
    program.wait_exit(expected=None)
    serve(lab)
    check_answers(path)


@case
def file_in_its_place_stays(lab):
    _, program, path = serve(lab)
    os.unlink(path)
    write_precious_file(path, None)
    program.signal(signal.SIGTERM)
    program.wait_exit()
    check_equal(os.path.getsize(path), 8, "size of the file that took the socket's place")


@case
def relative_path(lab):
    guest, path = lab.guest(), api_path(lab)
    program = lab.serve(guest, "-a", os.path.basename(path), before=["env", "-C", os.path.dirname(path)])
    check_answers(path)
    program.kill()
    program.wait_gone()
    check_removed(path)


@case
def run_has_it_too(lab):
    path = api_path(lab)
    program = lab.launch("run", "-a", path, "--", "sleep", "60", ready=False)
    wait_for(lambda: is_served(path), "an answer to a client")
    check_answers(path)
    program.signal(signal.SIGTERM)
    program.wait_exit(expected=128 + signal.SIGTERM)
    check_removed(path)


# Abuse

def idle(path, stack, _stop):
    for _ in range(CLIENTS):
        client = stack.enter_context(api_client(path))
        with contextlib.suppress(BrokenPipeError):  # it had to make room for another one
            client.sendall(b"{")


def trickle(path, stack, stop):
    clients = [stack.enter_context(api_client(path)) for _ in range(20)]
    while not stop.wait(0.05):
        for client in clients:
            with contextlib.suppress(OSError):
                client.sendall(b"[")


def flood(path, stack, stop):
    """Megabytes without end, from several; a reply is never read."""
    clients = [stack.enter_context(api_client(path)) for _ in range(8)]
    for client in clients:
        client.setblocking(False)
    while not stop.wait(0.001):
        for i, client in enumerate(clients):
            try:
                client.send(b"{" * MIB)
            except BlockingIOError:
                pass
            except OSError:
                client.close()
                clients[i] = stack.enter_context(api_client(path))
                clients[i].setblocking(False)


def hammer(path, _stack, stop):
    while not stop.is_set():
        ask(path, LIST)


def check_echo(client, peer, text):
    """There and back, as a program types and reads."""
    client.sendall(text)
    check_equal(peer.recv(len(text)), text, "what the server gets meanwhile")
    peer.sendall(text)
    check_equal(client.recv(len(text)), text, "what the guest gets meanwhile")


def abuse_case(attack):
    def body(lab):
        guest, program, path = serve(lab)
        before = program.descriptors()
        with (connected(guest, lab.wan) as (client, peer), contextlib.ExitStack() as stack,
              concurrent.futures.ThreadPoolExecutor(1) as pool):
            stop = threading.Event()
            attacker = pool.submit(attack, path, stack, stop)
            try:
                guest.run("ping", "-c", "10", "-i", "0.2", "-W", "5", GATEWAY)
                for n in range(200):
                    check_echo(client, peer, n.to_bytes(4, "big"))
                check_answers(path)
            finally:
                stop.set()
            attacker.result()
            check_stream(client, peer, MIB, "guest to server")
        wait_for(lambda: program.descriptors() <= before, "descriptors of the clients are closed again")
        check_answers(path)
    return body


for _attack in (idle, trickle, flood, hammer):
    case(name=f"abuse_{_attack.__name__}")(abuse_case(_attack))


@case
def many_at_once(lab):
    """All of them are answered, although they are more than there are places."""
    _, _, path = serve(lab)
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(CLIENTS // 2):
            client = stack.enter_context(api_client(path))
            client.sendall(json.dumps(LIST).encode())
            clients.append(client)
        for client in clients:
            client.shutdown(socket.SHUT_WR)
            check_equal(read_to_end(client), NO_FORWARDS, "list of forwards")


if __name__ == "__main__":
    runner.main()
