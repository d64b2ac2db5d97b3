#!/usr/bin/env python3
"""What may carry the guest's frames instead of a TAP in a namespace: an open TAP, or a socket with a peer."""
import contextlib
import os
import socket
import stat
import subprocess

import runner
from lab import GATEWAY, GUEST_IP, HOST_IP, WAN_IP
from namespaces import Failed, wait_for
from netio import (MIB, blob, check_both_ways, check_equal, check_in, check_network_works, check_same,
                   connected)
from runner import case
from station import ARP_REQUEST, BROADCAST, ETH_P_ARP, arp, ethernet
from tuntap import IFF_NO_PI, IFF_TAP, IFF_TUN, IFF_VNET_HDR, open_tun

HERE = os.path.dirname(os.path.abspath(__file__))
MAC = bytes.fromhex("0ed41800000a")


def configure(guest, mtu=1500):
    """What the owner of a virtual machine does in it."""
    guest.sh(f"ip link set lo up; ip addr add {GUEST_IP}/24 dev tap0; ip link set tap0 up mtu {mtu};"
             f"ip route add default via {GATEWAY}")


# A TAP that was handed over

@contextlib.contextmanager
def tap_of(guest, flags=IFF_TAP | IFF_NO_PI):
    fd = open_tun(guest, "tap0", flags)
    try:
        yield fd
    finally:
        os.close(fd)


def serve_tap(lab, fd, *options):
    return lab.launch("--netns-type=tapfd", *options, fd, pass_fds=[fd]).wait_ready()


def check_served(lab, guest):
    check_both_ways(guest, lab.wan, 4 * MIB)
    guest.run("ping", "-c", "1", "-W", "5", "-s", "3000", WAN_IP)


def tapfd_case(flags, mtu):
    def body(lab):
        guest = lab.guest()
        with tap_of(guest, flags) as fd:
            program = serve_tap(lab, fd, "-m", mtu)
            configure(guest, mtu)
            check_served(lab, guest)
        check_in("* Gateway:         10.0.2.2\n", program.stdout(), "stdout")
        guest.run("ip", "link", "del", "tap0")
        program.wait_exit()
    return body


for _name, _flags in (("plain", IFF_TAP | IFF_NO_PI), ("with_header", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)):
    for _mtu in (1500, 65520):
        case(tapfd_case(_flags, _mtu), name=f"tapfd_{_name}_{_mtu}", nobody=_mtu == 1500)


@case
def tapfd_interface_is_left_alone(lab):
    guest = lab.guest()
    with tap_of(guest) as fd:
        before = guest.run("ip", "addr", "show", "dev", "tap0").stdout
        serve_tap(lab, fd, "-c", "-m", "4000")
        check_equal(guest.run("ip", "addr", "show", "dev", "tap0").stdout, before, "the interface")


@case
def tapfd_goes_on_without_us(lab):
    """Its owner can give it to the next one, who takes no offloads."""
    guest = lab.guest()
    with tap_of(guest, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) as fd:
        program = serve_tap(lab, fd)
        configure(guest)
        features = "ethtool -k tap0 | grep -E '^tcp-segmentation-offload: on'"
        guest.sh(features)
        program.process.terminate()
        program.wait_exit()
        if guest.sh(features, check=False).returncode == 0:
            raise Failed("the TAP's offloads are still on")
        serve_tap(lab, fd)
        check_served(lab, guest)


@case
def tapfd_that_is_none(lab):
    guest = lab.guest()
    open_ones = {
        "is not an attached TAP: Inappropriate ioctl for device": lambda: os.open("/dev/null", os.O_RDWR),
        "bad state": lambda: os.open("/dev/net/tun", os.O_RDWR),
        "is not a TAP": lambda: open_tun(guest, "tun0", IFF_TUN | IFF_NO_PI),
    }
    for text, make in open_ones.items():
        fd = make()
        done = lab.run_program("--netns-type=tapfd", fd, pass_fds=[fd])
        os.close(fd)
        check_refused(done, text)
    check_refused(lab.run_program("--netns-type=tapfd", 77), "descriptor 77 is not an attached TAP: Bad file descriptor")


def check_refused(done, text):
    check_equal(done.returncode, 1, "exit status")
    check_in(text, done.stderr, "stderr")
    check_equal(len(done.stderr.splitlines()), 1, f"lines on stderr: {done.stderr!r}")


# A socket with a peer

def wait_on_socket(lab, *options, **settings):
    """Starts the program, which waits for its peer."""
    path = f"{lab.directory}/frames"
    if lab.user is not None:
        os.chown(lab.directory, lab.user, -1)
    program = lab.launch("--target-type=bess", *options, path, **settings)
    wait_for(lambda: f"Waiting for connection to {path}\n" in program.stderr(), "the waiting line")
    return program, path


def plug_in(lab, guest, path):
    """A virtual machine's network card: a TAP of the guest at the end of the socket."""
    bridge = guest.start("python3", "-B", f"{HERE}/frame_bridge.py", path, "tap0", stdout=subprocess.PIPE)
    check_equal(bridge.stdout.readline(), b"up\n", "the bridge's word")
    bridge.stdout.close()
    return bridge


@contextlib.contextmanager
def machine(lab, *options):
    """A guest behind a socket, and the program; both end with the machine."""
    program, path = wait_on_socket(lab, *options)
    guest = lab.guest()
    bridge = plug_in(lab, guest, path)
    program.wait_ready()
    try:
        yield guest
    finally:
        bridge.kill()
    program.wait_exit()


@case
def bess(lab):
    lab.host.run("rm", "-f", "/dev/net/tun")  # nothing of that kind is needed
    program, path = wait_on_socket(lab, "-a", f"{lab.directory}/api")
    check_equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode of the socket")
    check_equal(program.stdout(), "", "stdout before there is a peer")
    guest = lab.guest()
    bridge = plug_in(lab, guest, path)
    program.wait_ready()
    check_in("* Recommended IP:  10.0.2.100\n", program.stdout(), "stdout")
    configure(guest)
    check_served(lab, guest)
    check_both_ways(guest, lab.host, MIB, bind="127.0.0.1", to=GATEWAY)
    bridge.kill()
    program.wait_exit()
    check_equal((os.path.exists(path), os.path.exists(f"{lab.directory}/api")), (False, False), "sockets left")
    check_equal(program.stderr(), f"Waiting for connection to {path}\n", "stderr")


def check_datagrams(guest, server):
    with guest.socket(socket.SOCK_DGRAM) as client, server.socket(socket.SOCK_DGRAM) as door:
        door.bind((WAN_IP, 0))
        for size in (0, 1472, 1473, 65507):
            data = blob(size, size)
            client.sendto(data, door.getsockname())
            got, peer = door.recvfrom(1 << 16)
            check_same(got, data, "to the server")
            door.sendto(data, peer)
            check_same(client.recv(1 << 16), data, "to the guest")


def bess_mtu_case(mtu):
    def body(lab):
        with machine(lab, "-m", mtu) as guest:
            configure(guest, mtu)
            check_both_ways(guest, lab.wan, 16 * MIB)
            guest.run("ping", "-c", "1", "-W", "5", "-s", "20000", WAN_IP)
            check_datagrams(guest, lab.wan)
    return body


for _mtu in (1500, 65521):
    case(bess_mtu_case(_mtu), name=f"bess_{_mtu}", nobody=_mtu == 1500)


@case
def bess_many_connections_at_once(lab):
    """More data on the way than any socket's buffer holds."""
    lab.wan.start("iperf3", "-s", "-B", WAN_IP, "-1")
    wait_for(lambda: "5201" in lab.wan.run("ss", "-Hltn").stdout, "iperf3")
    with machine(lab) as guest:
        configure(guest)
        done = guest.run("iperf3", "-c", WAN_IP, "-P", "8", "-n", "64M", "-R", check=False, timeout=60)
        check_equal(done.returncode, 0, f"iperf3: {done.stdout[-300:]}{done.stderr}")


def check_arp_answer(peer):
    peer.send(ethernet(BROADCAST, MAC, ETH_P_ARP, arp(ARP_REQUEST, MAC, GUEST_IP, GATEWAY)))
    answer = peer.recv(2000)
    check_equal((answer[:6], answer[12:14], answer[20:22]), (MAC, b"\x08\x06", b"\x00\x02"), "ARP answer")


@case
def bess_messages_that_are_no_frames(lab):
    """Empty ones, tiny ones and those larger than any frame are passed over; the end is still noticed."""
    program, path = wait_on_socket(lab)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(20.0)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        peer.connect(path)
        program.wait_ready()
        check_arp_answer(peer)
        for message in (b"", b"x", b"", bytes(13), bytes(100000)):
            peer.send(message)
        for _ in range(100):
            peer.send(b"")
        check_arp_answer(peer)
    program.wait_exit()
    check_equal(os.path.exists(path), False, "socket left")


@case
def bess_one_peer_only(lab):
    program, path = wait_on_socket(lab)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer, \
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as second:
        peer.settimeout(20.0)
        peer.connect(path)
        program.wait_ready()
        with contextlib.suppress(ConnectionRefusedError):
            second.connect(path)
            raise Failed("a second peer was accepted")
        check_arp_answer(peer)
    program.wait_exit()


@case
def bess_stale_socket_is_replaced(lab):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as earlier:
        earlier.bind(f"{lab.directory}/frames")
    program, path = wait_on_socket(lab)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(20.0)
        peer.connect(path)
        program.wait_ready()
        check_arp_answer(peer)
    program.wait_exit()


@case
def bess_path_in_use(lab):
    """A listener, or a file that is no socket, is left alone."""
    path = f"{lab.directory}/frames"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as earlier:
        earlier.bind(path)
        earlier.listen()
        check_refused(lab.run_program("--target-type=bess", path), "another process listens")
    os.unlink(path)
    with open(path, "w", encoding="ascii") as file:
        file.write("precious")
    check_refused(lab.run_program("--target-type=bess", path), "is not a socket")
    with open(path, encoding="ascii") as file:
        check_equal(file.read(), "precious", "the file")


@case
def bess_ends_while_it_waits(lab):
    program, path = wait_on_socket(lab)
    program.process.terminate()
    program.wait_exit()
    check_equal(os.path.exists(path), False, "socket left")
    program, path = wait_on_socket(lab, exit_fd=True)
    program.hang_up()
    program.wait_exit()
    check_in("exitfd event\n", program.stderr(), "stderr")
    check_equal(os.path.exists(path), False, "socket left")


@case
def bess_killed(lab):
    """Somebody else removes the socket then."""
    program, path = wait_on_socket(lab)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.connect(path)
        program.wait_ready()
        program.kill()
        wait_for(lambda: not os.path.exists(path), "the socket is removed")
        program.wait_gone()


@case
def bess_dhcp_and_a_page(lab):
    """The whole way of a virtual machine's boot."""
    script = f"{lab.directory}/dhcp-script"
    with open(script, "w", encoding="ascii") as file:
        file.write('#!/bin/sh\n[ "$1" = bound ] || exit 0\nip addr add $ip/$mask dev $interface\n'
                   'ip route add default via $router\n')
    os.chmod(script, 0o755)
    with machine(lab) as guest:
        guest.sh("ip link set lo up; ip link set tap0 up")
        guest.run("udhcpc", "-i", "tap0", "-n", "-q", "-f", "-t", "5", "-T", "1", "-s", script)
        check_network_works(guest, lab.wan)
        with connected(guest, lab.wan) as (_, peer):
            check_equal(peer.getpeername()[0], HOST_IP, "source of the connection")


if __name__ == "__main__":
    runner.main()
