#!/usr/bin/env python3
"""ping and its relatives: what answers, what the errors say, what the way looks like."""
import re

import runner
from lab import BLACKHOLE_IP, DNS, GATEWAY, HOST_IP, NO_HOST_IP, NO_NET_IP, PROHIBITED_IP, WAN_IP
from namespaces import Failed
from netio import check_equal, check_in
from runner import case

LOOPED_IP = "10.96.0.1"  # behind wan: a packet that arrives there has one more hop to go


def guest_with_network(lab, *options):
    guest = lab.guest()
    return guest, lab.serve(guest, *options)


def check_ping(guest, address, *options, count=2):
    done = guest.run("ping", "-n", "-i", "0.2", "-c", str(count), "-W", "5", *options, address, check=False)
    check_in(f"{count} received, 0% packet loss", done.stdout, f"ping {' '.join(options)} {address}")


def check_no_answer(guest, address, text=None):
    done = guest.run("ping", "-n", "-c", "1", "-W", "2", address, check=False)
    if " 0 received" not in done.stdout:
        raise Failed(f"ping {address} is answered:\n{done.stdout}")
    if text is not None:
        check_in(text, done.stdout, f"ping {address}")


@case(nobody=True)
def outside(lab):
    guest, _ = guest_with_network(lab)
    check_ping(guest, WAN_IP)
    check_ping(guest, HOST_IP)


@case(nobody=True)
def every_size(lab):
    """ping verifies every byte of an answer."""
    guest, _ = guest_with_network(lab)
    for address in (GATEWAY, DNS, WAN_IP):
        for size in (0, 1, 56, 1472, 1473, 9000, 65507):
            check_ping(guest, address, "-s", str(size), count=1)


@case
def every_size_at_a_small_mtu(lab):
    guest, _ = guest_with_network(lab, "-m", "576")
    for address in (GATEWAY, WAN_IP):
        for size in (548, 549, 65507):
            check_ping(guest, address, "-s", str(size), count=1)


@case
def gateway_is_answered_without_loopback(lab):
    guest, _ = guest_with_network(lab, "--disable-host-loopback")
    check_ping(guest, GATEWAY)
    check_ping(guest, DNS)


@case
def without_ping_sockets_as_root(lab):
    """Where the group range is closed, root has a raw socket."""
    lab.host.sysctl("net.ipv4.ping_group_range", "1 0")
    guest, _ = guest_with_network(lab)
    check_ping(guest, WAN_IP)
    check_ping(guest, WAN_IP, "-s", "5000")


@case
def many_at_once(lab):
    """Several pings side by side keep their answers apart."""
    guest, _ = guest_with_network(lab)
    script = "".join(f"ping -n -c 3 -i 0.2 -s {100 + n} {WAN_IP} >/dev/null & " for n in range(20))
    guest.sh(script + "wait", timeout=60)
    done = guest.run("ping", "-n", "-f", "-c", "500", WAN_IP, timeout=60)
    check_in("500 received", done.stdout, "flood ping")


@case(nobody=True)
def errors(lab):
    guest, _ = guest_with_network(lab)
    check_no_answer(guest, NO_HOST_IP, "Destination Host Unreachable")
    check_no_answer(guest, NO_NET_IP, "Destination Net Unreachable")
    check_no_answer(guest, PROHIBITED_IP, "Packet filtered")
    check_no_answer(guest, BLACKHOLE_IP)


@case
def too_big(lab):
    lab.host.sh("ip link set up0 mtu 1400")
    lab.wan.sh("ip link set down0 mtu 1400")
    guest, _ = guest_with_network(lab)
    done = guest.run("ping", "-n", "-M", "do", "-s", "1472", "-c", "2", "-W", "2", WAN_IP, check=False)
    check_in("1400", done.stdout + done.stderr, "ping -M do")


def hops(guest, *options):
    """The addresses that traceroute shows, hop by hop."""
    text = guest.run("traceroute", "-n", "-q", "1", "-w", "3", "-m", "4", *options, timeout=60).stdout
    return re.findall(r"^ *\d+ +(\S+)", text, re.MULTILINE)


def the_way(lab, *options):
    lab.wan.sh(f"ip route add 10.96.0.0/24 via {HOST_IP}")
    guest, _ = guest_with_network(lab)
    check_equal(hops(guest, *options, WAN_IP), [GATEWAY, WAN_IP], "the way to a server")
    check_equal(hops(guest, *options, LOOPED_IP)[:2], [GATEWAY, WAN_IP], "the way past a router")


@case(nobody=True)
def traceroute_udp(lab):
    the_way(lab, "-U")


@case(nobody=True)
def traceroute_icmp(lab):
    the_way(lab, "-I")


@case(nobody=True)
def traceroute_tcp(lab):
    lab.wan.start("iperf3", "-s", "-p", "5201")
    the_way(lab, "-T", "-p", "5201")


@case
def mtr(lab):
    guest, _ = guest_with_network(lab)
    text = guest.run("mtr", "--report", "--no-dns", "--report-cycles", "2", WAN_IP, timeout=60).stdout
    check_equal(re.findall(r"^ *\d+\.\|-- (\S+)", text, re.MULTILINE), [GATEWAY, WAN_IP], "mtr's hops")


if __name__ == "__main__":
    runner.main()
