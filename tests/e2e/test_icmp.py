#!/usr/bin/env python3
"""ping and its relatives: what answers, what the errors say, what the way looks like."""
import re

import runner
from namespaces import Failed
from netio import check_equal, check_in
from runner import case

LOOPED_IPS = "10.96.0.1", "2001:db8:96::1"  # behind wan: a packet that arrives there has one more hop to go


def check_ping(guest, address, *options, count=2):
    done = guest.run("ping", "-n", "-i", "0.2", "-c", str(count), "-W", "5", *options, address, check=False)
    check_in(f"{count} received, 0% packet loss", done.stdout, f"ping {' '.join(options)} {address}")


def check_no_answer(guest, address, text=None):
    done = guest.run("ping", "-n", "-c", "1", "-W", "2", address, check=False)
    if " 0 received" not in done.stdout:
        raise Failed(f"ping {address} is answered:\n{done.stdout}")
    if text is not None:
        check_in(text, done.stdout, f"ping {address}")


@case(nobody=True, ipv6=True)
def outside(lab):
    guest, _ = lab.guest_with_network()
    check_ping(guest, lab.net.wan)
    check_ping(guest, lab.net.host)


@case(nobody=True, ipv6=True)
def every_size(lab):
    """ping verifies every byte of an answer."""
    guest, _ = lab.guest_with_network()
    sizes = lab.net.choose((0, 1, 56, 1472, 1473, 9000, 65507), (0, 1, 56, 1452, 1453, 9000, 65527))
    for address in (lab.net.gateway, lab.net.dns, lab.net.wan):
        for size in sizes:
            check_ping(guest, address, "-s", str(size), count=1)


@case(ipv6=True)
def every_size_at_a_small_mtu(lab):
    guest, _ = lab.guest_with_network("-m", lab.net.choose(576, 1280))
    for address in (lab.net.gateway, lab.net.wan):
        for size in (*lab.net.choose((548, 549), (1232, 1233)), 65507):
            check_ping(guest, address, "-s", str(size), count=1)


@case(ipv6=True)
def gateway_is_answered_without_loopback(lab):
    guest, _ = lab.guest_with_network("--disable-host-loopback")
    check_ping(guest, lab.net.gateway)
    check_ping(guest, lab.net.dns)


@case(ipv6=True)
def without_ping_sockets_as_root(lab):
    """Where the group range is closed, root has a raw socket."""
    lab.host.sysctl("net.ipv4.ping_group_range", "1 0")
    guest, _ = lab.guest_with_network()
    check_ping(guest, lab.net.wan)
    check_ping(guest, lab.net.wan, "-s", "5000")


@case(ipv6=True)
def many_at_once(lab):
    """Several pings side by side keep their answers apart."""
    guest, _ = lab.guest_with_network()
    script = "".join(f"ping -n -c 3 -i 0.2 -s {100 + n} {lab.net.wan} >/dev/null & " for n in range(20))
    guest.sh(script + "wait", timeout=60)
    done = guest.run("ping", "-n", "-f", "-c", "500", lab.net.wan, timeout=60)
    check_in("500 received", done.stdout, "flood ping")


@case(nobody=True, ipv6=True)
def errors(lab):
    guest, _ = lab.guest_with_network()
    for address, ipv4, ipv6 in ((lab.net.no_host, "Destination Host Unreachable", "Address unreachable"),
                                (lab.net.no_net, "Destination Net Unreachable", "No route"),
                                (lab.net.prohibited, "Packet filtered", "Administratively prohibited")):
        check_no_answer(guest, address, lab.net.choose(ipv4, ipv6))
    check_no_answer(guest, lab.net.blackhole)


@case(ipv6=True)
def too_big(lab):
    lab.host.sh("ip link set up0 mtu 1400")
    lab.wan.sh("ip link set down0 mtu 1400")
    guest, _ = lab.guest_with_network()
    done = guest.run("ping", "-n", "-M", "do", "-s", lab.net.choose("1472", "1452"), "-c", "2", "-W", "2",
                     lab.net.wan, check=False)
    check_in("1400", done.stdout + done.stderr, "ping -M do")


def hops(guest, *options):
    """The addresses that traceroute shows, hop by hop."""
    text = guest.run("traceroute", "-n", "-q", "1", "-w", "3", "-m", "4", *options, timeout=60).stdout
    return re.findall(r"^ *\d+ +(\S+)", text, re.MULTILINE)


def the_way(lab, *options):
    looped = lab.net.choose(*LOOPED_IPS)
    lab.wan.run("ip", "route", "add", looped, "via", lab.net.host)
    guest, _ = lab.guest_with_network()
    first_hops = [lab.net.gateway, lab.net.wan]
    check_equal(hops(guest, *options, lab.net.wan), first_hops, "the way to a server")
    check_equal(hops(guest, *options, looped)[:2], first_hops, "the way past a router")


@case(nobody=True, ipv6=True)
def traceroute_udp(lab):
    the_way(lab, "-U")


@case(nobody=True, ipv6=True)
def traceroute_icmp(lab):
    the_way(lab, "-I")


@case(nobody=True, ipv6=True)
def traceroute_tcp(lab):
    lab.wan.start("iperf3", "-s", "-p", "5201")
    the_way(lab, "-T", "-p", "5201")


@case
def mtr(lab):
    guest, _ = lab.guest_with_network()
    text = guest.run("mtr", "--report", "--no-dns", "--report-cycles", "2", lab.net.wan, timeout=60).stdout
    seen = re.findall(r"^ *\d+\.\|-- (\S+)", text, re.MULTILINE)
    check_equal(seen, [lab.net.gateway, lab.net.wan], "mtr's hops")


if __name__ == "__main__":
    runner.main()
