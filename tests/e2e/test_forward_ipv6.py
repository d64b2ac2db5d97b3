#!/usr/bin/env python3
"""Port forwards of IPv6, and between the families: who reaches whom, and whom the guest sees."""
import runner
from api import add_forward, request, serve
from lab import GATEWAY, GATEWAY6, GUEST_IP, GUEST_IP6, HOST_IP, HOST_IP6, WAN_IP, WAN_IP6
from netio import MIB, check_equal, check_stream, connect, listener, udp
from runner import case

FIRST_PORT, GUEST_PORT = 8080, 80

# How a forward is asked for; the client: where it is and its address; the address that it asks; the guest's
# address that this leads to, and whom the guest sees.
WAYS = [
    ({"family": "6"}, "wan", WAN_IP6, HOST_IP6, GUEST_IP6, WAN_IP6),
    ({"family": "6"}, "host", "::1", "::1", GUEST_IP6, GATEWAY6),
    ({"family": "", "host_addr": "::1"}, "host", "::1", "::1", GUEST_IP6, GATEWAY6),
    ({"family": "6", "guest_addr": GUEST_IP}, "wan", WAN_IP6, HOST_IP6, GUEST_IP, GATEWAY),
    ({"family": "6", "guest_addr": GUEST_IP}, "host", "::1", "::1", GUEST_IP, GATEWAY),
    ({"family": "4", "guest_addr": GUEST_IP6}, "wan", WAN_IP, HOST_IP, GUEST_IP6, GATEWAY6),
    ({"family": "", "guest_addr": GUEST_IP6}, "host", "127.0.0.1", "127.0.0.1", GUEST_IP6, GATEWAY6),
    ({"family": ""}, "wan", WAN_IP, HOST_IP, GUEST_IP, WAN_IP),
]


def check_tcp(guest, client_place, source, asked, port, target, seen):
    with listener(guest, target, GUEST_PORT) as door:
        with connect(client_place, asked, port, prepare=lambda client: client.bind((source, 0))) as client:
            peer, whom = door.accept()
            with peer:
                peer.settimeout(20.0)
                check_equal(whom[:2], (seen, client.getsockname()[1]), f"the client of port {port} that the guest sees")
                check_stream(client, peer, MIB, "client to guest", seed=port)
                check_stream(peer, client, MIB, "guest to client", seed=port + 1)


def check_udp(guest, client_place, source, asked, port, target, seen):
    with udp(guest, target, GUEST_PORT) as server, udp(client_place, source) as client:
        client.sendto(b"question", (asked, port))
        data, whom = server.recvfrom(100)
        check_equal((data, whom[:2]), (b"question", (seen, client.getsockname()[1])),
                    f"what the guest gets by port {port}")
        server.sendto(b"answer", whom)
        data, answerer = client.recvfrom(100)
        check_equal((data, answerer[:2]), (b"answer", (asked, port)), f"the answer from port {port}")


def all_ways(lab, proto, check, *options):
    guest, _, path = serve(lab, "-6", *options)
    for port, (arguments, where, source, asked, target, seen) in enumerate(WAYS, FIRST_PORT):
        addresses = {key: value for key, value in arguments.items() if key != "family"}
        add_forward(path, proto + arguments["family"], port, GUEST_PORT, **addresses)
        check(guest, getattr(lab, where), source, asked, port, target, seen)


@case(nobody=True)
def tcp_between_the_families(lab):
    all_ways(lab, "tcp", check_tcp)


@case(nobody=True)
def udp_between_the_families(lab):
    all_ways(lab, "udp", check_udp)


@case
def answers_with_the_hosts_loopback_disabled(lab):
    all_ways(lab, "tcp", check_tcp, "--disable-host-loopback")


@case(nobody=True)
def both_families_on_one_port(lab):
    """Any address of the one and any of the other are two, with a guest each."""
    guest, _, path = serve(lab, "-6")
    for proto, check in (("tcp", check_tcp), ("udp", check_udp)):
        add_forward(path, f"{proto}4", FIRST_PORT, GUEST_PORT)
        add_forward(path, f"{proto}6", FIRST_PORT, GUEST_PORT)
        check(guest, lab.wan, WAN_IP, HOST_IP, FIRST_PORT, GUEST_IP, WAN_IP)
        check(guest, lab.wan, WAN_IP6, HOST_IP6, FIRST_PORT, GUEST_IP6, WAN_IP6)
    listed = [(entry["proto"], entry["host_addr"], entry["guest_addr"])
              for entry in request(path, "list_hostfwd")["entries"]]
    check_equal(listed, [("tcp4", "0.0.0.0", GUEST_IP), ("tcp6", "::", GUEST_IP6), ("udp4", "0.0.0.0", GUEST_IP),
                         ("udp6", "::", GUEST_IP6)], "forwards that are listed")


@case
def guest_without_ipv6(lab):
    """Clients of IPv6 still reach it; an address of IPv6 it has none."""
    guest, _, path = serve(lab)
    add_forward(path, "tcp6", FIRST_PORT, GUEST_PORT)
    check_tcp(guest, lab.wan, WAN_IP6, HOST_IP6, FIRST_PORT, GUEST_IP, GATEWAY)
    reply = request(path, "add_hostfwd", proto="tcp", host_port=9000, guest_addr=GUEST_IP6, guest_port=GUEST_PORT)
    check_equal(reply, {"error": {"desc": "bad request: add_hostfwd: bad arguments.guest_addr"}}, "reply")


if __name__ == "__main__":
    runner.main()
