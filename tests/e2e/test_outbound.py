#!/usr/bin/env python3
"""--outbound-addr and --outbound-addr6: what the world sees as the source of all that the guest starts."""
import contextlib
import errno
import socket

import runner
from lab import DNS, GATEWAY, GATEWAY6, HOST_IP, HOST_IP6, WAN_IP, WAN_IP6
from namespaces import family_of, inside_netns, wait_for
from netio import check_equal, check_in, connect, connected, expect_errno, listener
from runner import case

SECOND_IP = "10.99.0.9"   # another address of the host on the interface toward wan
THIRD_IP = "10.99.0.10"
OTHER_IP = "10.95.0.1"    # the host's address on an interface that leads nowhere
SIDE_IP = "10.94.0.1"     # the host's address on a second way to wan, which no route prefers
BEHIND_IP = "10.93.0.1"   # an address of wan that both ways lead to
IP_RECVERR = 11
IPV6_RECVERR = 25

# The same in IPv6.
SECOND_IP6 = "2001:db8:99::9"
THIRD_IP6 = "2001:db8:99::10"
OTHER_IP6 = "2001:db8:95::1"
SIDE_IP6 = "2001:db8:94::1"
BEHIND_IP6 = "2001:db8:93::1"

QUERY = bytes.fromhex("123401000001000000000000016100") + bytes.fromhex("00010001")


def guest_with_network(lab, outbound, *options):
    guest = lab.guest()
    return guest, lab.serve(guest, f"--outbound-addr={outbound}", *options)


def guest_with_ipv6(lab, outbound, *options):
    guest = lab.guest()
    return guest, lab.serve(guest, "-6", f"--outbound-addr6={outbound}", *options)


def add_second_address(lab):
    lab.host.run("ip", "addr", "add", f"{SECOND_IP}/24", "dev", "up0")


def add_other_interface(lab):
    lab.host.sh(f"ip link add other0 type veth peer name other1; ip addr add {OTHER_IP}/24 dev other0;"
                "ip link set other1 up; ip link set other0 up")


def bound(place, kind, address, port=0, device=None, protocol=0):
    with inside_netns(place.net):
        made = socket.socket(family_of(address), kind | socket.SOCK_CLOEXEC, protocol)
    made.settimeout(20.0)
    if device is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    made.bind((address, port))
    return made


def tcp_source(guest, server, address=WAN_IP, to=None, device=None):
    """Whom a server sees when the guest connects."""
    with bound(server, socket.SOCK_STREAM, address, device=device) as door:
        door.listen()
        with guest.socket(family=family_of(address)) as client:
            client.connect((to or address, door.getsockname()[1]))
            peer, (seen, *_) = door.accept()
            with peer:
                client.sendall(b"ping")
                check_equal(peer.recv(100), b"ping", "what arrived")
            return seen


def udp_source(guest, server, address=WAN_IP, to=None, device=None, client=None):
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(bound(server, socket.SOCK_DGRAM, address, device=device))
        client = client or stack.enter_context(guest.socket(socket.SOCK_DGRAM, family_of(address)))
        client.sendto(b"question", (to or address, door.getsockname()[1]))
        data, peer = door.recvfrom(100)
        check_equal(data, b"question", "what arrived")
        door.sendto(b"answer", peer)
        check_equal(client.recv(100), b"answer", "what came back")
        return peer[0]


def ping_source(guest, server, address=WAN_IP, device=None):
    v6 = family_of(address) == socket.AF_INET6
    protocol, request, at = (socket.IPPROTO_ICMPV6, 128, 0) if v6 else (socket.IPPROTO_ICMP, 8, 20)
    with bound(server, socket.SOCK_RAW, address, device=device, protocol=protocol) as raw:
        done = guest.run("ping", "-n", "-c", "1", "-W", "5", address, check=False)
        check_in("1 received", done.stdout, f"ping {address}")
        while True:
            packet, (seen, *_) = raw.recvfrom(2000)
            if packet[at] == request:  # the answers of wan's own kernel and more may be heard too
                return seen


def check_sources(guest, server, wanted, **options):
    for name, source in (("TCP", tcp_source), ("UDP", udp_source), ("ping", ping_source)):
        check_equal(source(guest, server, **options), wanted, f"source of {name}")


def check_nothing_leaves(guest, address=WAN_IP, ping_says="Destination Net Unreachable"):
    # Else UDP hears of closed ports only.
    errors = (socket.IPPROTO_IPV6, IPV6_RECVERR) if ":" in address else (socket.IPPROTO_IP, IP_RECVERR)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with guest.socket(kind, family_of(address)) as client:
            client.setsockopt(*errors, 1)
            def reach(client=client):
                client.connect((address, 9))
                client.send(b"x")
                client.recv(1)
            expect_errno(errno.ENETUNREACH, reach, f"reaching wan by {kind.name}")
    done = guest.run("ping", "-n", "-c", "1", "-W", "5", address, check=False)
    check_in(ping_says, done.stdout, "ping")


def check_no_ipv6_leaves(guest):
    check_nothing_leaves(guest, WAN_IP6, "Destination unreachable: No route")


@case(nobody=True)
def by_address(lab):
    add_second_address(lab)
    guest, program = guest_with_network(lab, SECOND_IP)
    check_sources(guest, lab.wan, SECOND_IP)
    check_in(f"* Outbound IPv4:   {SECOND_IP}\n", program.stdout(), "stdout")


@case(nobody=True)
def by_interface(lab):
    add_second_address(lab)  # the interface's first address counts
    guest, program = guest_with_network(lab, "up0")
    check_sources(guest, lab.wan, HOST_IP)
    check_in("* Outbound IPv4:   up0\n", program.stdout(), "stdout")


@case(nobody=True)
def the_interface_is_the_way(lab):
    """Although the routes prefer another one."""
    with_side_way(lab)
    guest, _ = guest_with_network(lab, "side0")
    check_sources(guest, lab.wan, SIDE_IP, address=BEHIND_IP, device="side1")


def with_side_way(lab):
    lab.host.sh(f"ip link add side0 type veth peer name side1; ip link set side1 netns {lab.wan_pid};"
                f"ip addr add {SIDE_IP}/24 dev side0; ip link set side0 up;")
    lab.wan.sh(f"ip addr add 10.94.0.2/24 dev side1; ip link set side1 up; ip addr add {BEHIND_IP}/32 dev lo")
    lab.host.run("ip", "route", "add", "default", "via", "10.94.0.2", "dev", "side0", "metric", "500")


@case
def by_address_with_a_raw_socket(lab):
    """Where ping sockets are closed, root's pings keep the source too."""
    add_second_address(lab)
    lab.host.sysctl("net.ipv4.ping_group_range", "1 0")
    guest, _ = guest_with_network(lab, SECOND_IP)
    check_equal(ping_source(guest, lab.wan), SECOND_IP, "source of ping")


@case
def other_guests_of_the_host_unchanged(lab):
    """Without the option the routes choose."""
    add_second_address(lab)
    guest = lab.guest()
    lab.serve(guest)
    check_sources(guest, lab.wan, HOST_IP)


@case
def one_source_for_many_peers(lab):
    """The option must not use up the ports of its address, nor keep two connections from one port."""
    add_second_address(lab)
    lab.host.sysctl("net.ipv4.ip_local_port_range", "40000 40015")
    guest, _ = guest_with_network(lab, SECOND_IP)
    with contextlib.ExitStack() as stack:
        for port in range(5001, 5004):  # three servers, each as many connections as there are ports
            door = stack.enter_context(listener(lab.wan, WAN_IP, port))
            for _ in range(12):
                stack.enter_context(connect(guest, WAN_IP, port))
                peer, (seen, _) = door.accept()
                stack.enter_context(peer)
                check_equal(seen, SECOND_IP, "source of TCP")


def check_loopback_is_as_ever(lab, guest, loopback="127.0.0.1", gateway=GATEWAY):
    for source in (tcp_source, udp_source):
        seen = source(guest, lab.host, address=loopback, to=gateway)
        check_equal(seen, loopback, "source at the host's loopback")


@case(nobody=True)
def host_loopback(lab):
    guest, _ = guest_with_network(lab, "up0")
    check_loopback_is_as_ever(lab, guest)


@case
def host_loopback_by_address(lab):
    add_second_address(lab)
    guest, _ = guest_with_network(lab, SECOND_IP)
    check_loopback_is_as_ever(lab, guest)


@case
def other_addresses_of_the_host(lab):
    """They are reached inside the host, which no interface leads to."""
    add_other_interface(lab)
    guest, _ = guest_with_network(lab, "up0")
    for address in (OTHER_IP, HOST_IP):
        check_equal(tcp_source(guest, lab.host, address=address), HOST_IP, f"source at {address}")
        check_equal(udp_source(guest, lab.host, address=address), HOST_IP, f"source at {address}")


@case
def resolvers_are_asked_as_ever(lab):
    """Questions to x.3 are the host's own; those to another server are the guest's."""
    add_second_address(lab)
    guest, _ = guest_with_network(lab, SECOND_IP)
    with bound(lab.wan, socket.SOCK_DGRAM, WAN_IP, 53) as door, guest.socket(socket.SOCK_DGRAM) as client:
        for server, wanted in ((DNS, HOST_IP), (WAN_IP, SECOND_IP)):
            client.sendto(QUERY, (server, 53))
            _, (seen, _) = door.recvfrom(1000)
            check_equal(seen, wanted, f"source of a question to {server}")
    with listener(lab.wan, WAN_IP, 53) as door:
        for server, wanted in ((DNS, HOST_IP), (WAN_IP, SECOND_IP)):
            with connect(guest, server, 53):
                peer, (seen, _) = door.accept()
                peer.close()
                check_equal(seen, wanted, f"source of a connection to {server}:53")


@case(nobody=True)
def interface_gets_another_address(lab):
    guest, _ = guest_with_network(lab, "up0")
    with guest.socket(socket.SOCK_DGRAM) as client, connected(guest, lab.wan):
        check_equal(udp_source(guest, lab.wan, client=client), HOST_IP, "source of UDP")
        lab.host.sh(f"ip addr add {THIRD_IP}/24 dev up0; ip addr del {HOST_IP}/24 dev up0;"
                    f"ip addr replace {THIRD_IP}/24 dev up0")
        wait_for(lambda: tcp_source_or_none(guest, lab.wan) == THIRD_IP, "the new address as source")
        check_sources(guest, lab.wan, THIRD_IP)
        check_equal(udp_source(guest, lab.wan, client=client), THIRD_IP, "source of a socket that is open")


def tcp_source_or_none(guest, server, **options):
    try:
        return tcp_source(guest, server, **options)
    except OSError:
        return None


@case
def interface_loses_its_address(lab):
    """Then nothing leaves by another way. And it comes back."""
    add_other_interface(lab)
    guest, program = guest_with_network(lab, "other0")
    lab.host.run("ip", "addr", "del", f"{OTHER_IP}/24", "dev", "other0")
    wait_for(lambda: "the outbound interface has no IPv4 address" in program.stderr(), "a warning")
    check_nothing_leaves(guest)
    check_loopback_is_as_ever(lab, guest)
    lab.host.sh("ip link del other0; ip link set up0 down; ip link set up0 name other0; ip link set other0 up")
    wait_for(lambda: tcp_source_or_none(guest, lab.wan) == HOST_IP, "the interface is back")
    check_sources(guest, lab.wan, HOST_IP)


@case
def an_address_that_is_not_here(lab):
    """It may come later: told, and nothing leaves until it does."""
    guest, program = guest_with_network(lab, SECOND_IP)
    check_in(f"{SECOND_IP} is no address of this host", program.stderr(), "stderr")
    check_nothing_leaves(guest)
    add_second_address(lab)
    check_sources(guest, lab.wan, SECOND_IP)


@case
def in_a_run(lab):
    add_second_address(lab)
    script = f"exec 3<>/dev/tcp/{WAN_IP}/7000; read -r seen <&3; echo $seen"
    with listener(lab.wan, WAN_IP, 7000) as door:
        program = lab.launch("run", f"--outbound-addr={SECOND_IP}", "--", "bash", "-c", script, ready=False)
        peer, (seen, _) = door.accept()
        with peer:
            peer.sendall(b"hello\n")
        check_equal(seen, SECOND_IP, "source of TCP")
        program.wait_exit()


# --- IPv6 ---

def add_second_address6(lab, address=SECOND_IP6):
    """An older one: of two that are equally good the kernel takes the newer one."""
    lab.host.sh(f"ip -6 addr del {HOST_IP6}/64 dev up0; ip -6 addr add {address}/64 dev up0 nodad;"
                f"ip -6 addr add {HOST_IP6}/64 dev up0 nodad; ip -6 route replace default via 2001:db8:99::fe")


@case(nobody=True)
def by_address6(lab):
    add_second_address6(lab)
    guest, program = guest_with_ipv6(lab, SECOND_IP6)
    check_sources(guest, lab.wan, SECOND_IP6, address=WAN_IP6)
    check_sources(guest, lab.wan, HOST_IP)  # the option is not for IPv4
    check_in(f"* Outbound IPv6:   {SECOND_IP6}\n", program.stdout(), "stdout")


@case
def by_address6_with_a_raw_socket(lab):
    add_second_address6(lab)
    lab.host.sysctl("net.ipv4.ping_group_range", "1 0")
    guest, _ = guest_with_ipv6(lab, SECOND_IP6)
    check_equal(ping_source(guest, lab.wan, WAN_IP6), SECOND_IP6, "source of ping")


@case
def ipv6_without_the_option(lab):
    add_second_address6(lab)
    guest = lab.guest()
    lab.serve(guest, "-6")
    check_sources(guest, lab.wan, HOST_IP6, address=WAN_IP6)


@case(nobody=True)
def each_family_by_its_own_interface(lab):
    """The way that no route prefers for IPv6, and the ordinary one for IPv4."""
    with_side_way(lab)
    lab.host.sh(f"ip -6 addr add {SIDE_IP6}/64 dev side0 nodad;"
                "ip -6 route add default via 2001:db8:94::2 dev side0 metric 5000")
    lab.wan.sh(f"ip -6 addr add 2001:db8:94::2/64 dev side1 nodad; ip -6 addr add {BEHIND_IP6}/128 dev lo")
    guest, program = guest_with_ipv6(lab, "side0", "--outbound-addr=up0")
    check_sources(guest, lab.wan, SIDE_IP6, address=BEHIND_IP6, device="side1")
    check_sources(guest, lab.wan, HOST_IP)
    check_in("* Outbound IPv4:   up0\n* Outbound IPv6:   side0\n", program.stdout(), "stdout")


@case
def host_loopback6(lab):
    guest, _ = guest_with_ipv6(lab, "up0")
    check_loopback_is_as_ever(lab, guest, "::1", GATEWAY6)


@case
def other_ipv6_addresses_of_the_host(lab):
    add_other_interface(lab)
    lab.host.run("ip", "-6", "addr", "add", f"{OTHER_IP6}/64", "dev", "other0", "nodad")
    guest, _ = guest_with_ipv6(lab, "up0")
    for address in (OTHER_IP6, HOST_IP6):
        check_equal(tcp_source(guest, lab.host, address=address), HOST_IP6, f"source at {address}")
        check_equal(udp_source(guest, lab.host, address=address), HOST_IP6, f"source at {address}")


@case(nobody=True)
def interface_gets_another_ipv6_address(lab):
    guest, _ = guest_with_ipv6(lab, "up0")
    with guest.socket(socket.SOCK_DGRAM, socket.AF_INET6) as client:
        seen = udp_source(guest, lab.wan, address=WAN_IP6, client=client)
        check_equal(seen, HOST_IP6, "source of UDP")
        lab.host.sh(f"ip -6 addr add {THIRD_IP6}/64 dev up0 nodad; ip -6 addr del {HOST_IP6}/64 dev up0")
        wait_for(lambda: tcp_source_or_none(guest, lab.wan, address=WAN_IP6) == THIRD_IP6,
                 "the new address as source")
        check_sources(guest, lab.wan, THIRD_IP6, address=WAN_IP6)
        seen = udp_source(guest, lab.wan, address=WAN_IP6, client=client)
        check_equal(seen, THIRD_IP6, "source of a socket that is open")


@case
def a_deprecated_ipv6_address_makes_way(lab):
    """As a provider's prefix does that is renumbered."""
    add_second_address6(lab)
    guest, _ = guest_with_ipv6(lab, "up0")
    lab.host.run("ip", "-6", "addr", "change", f"{HOST_IP6}/64", "dev", "up0", "preferred_lft", "0")
    wait_for(lambda: tcp_source_or_none(guest, lab.wan, address=WAN_IP6) == SECOND_IP6, "the other address")


@case
def interface_loses_its_ipv6_address(lab):
    """It still has a link-local one, which reaches nobody. IPv4 goes on."""
    guest, program = guest_with_ipv6(lab, "up0")
    lab.host.run("ip", "-6", "addr", "del", f"{HOST_IP6}/64", "dev", "up0")
    wait_for(lambda: "the outbound interface has no IPv6 address" in program.stderr(), "a warning")
    check_no_ipv6_leaves(guest)
    check_loopback_is_as_ever(lab, guest, "::1", GATEWAY6)
    check_sources(guest, lab.wan, HOST_IP)
    lab.host.sh(f"ip -6 addr add {HOST_IP6}/64 dev up0 nodad; ip -6 route replace default via 2001:db8:99::fe")
    wait_for(lambda: tcp_source_or_none(guest, lab.wan, address=WAN_IP6) == HOST_IP6, "the address is back")
    check_sources(guest, lab.wan, HOST_IP6, address=WAN_IP6)


@case
def an_ipv6_address_that_is_not_here(lab):
    guest, program = guest_with_ipv6(lab, SECOND_IP6)
    check_in(f"{SECOND_IP6} is no address of this host", program.stderr(), "stderr")
    check_no_ipv6_leaves(guest)
    add_second_address6(lab)
    check_sources(guest, lab.wan, SECOND_IP6, address=WAN_IP6)


if __name__ == "__main__":
    runner.main()
