#!/usr/bin/env python3
"""DHCP with the clients that people have: an address, a route, a resolver, and a page by name at the end."""
import os
import re

import runner
from lab import DNS, GATEWAY, WAN_IP
from netio import check_equal, check_in, check_network_works
from runner import case


def unconfigured_guest(lab, *options):
    guest = lab.guest()
    lab.serve(guest, *options, configure=False)
    guest.sh("ip link set lo up; ip link set tap0 up")
    return guest


def script(lab, body):
    """A file that a client runs with what it has learned in its environment."""
    path = f"{lab.directory}/dhcp-script"
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\n" + body)
    os.chmod(path, 0o755)
    return path


UDHCPC = """
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev $interface
ip link set $interface mtu $mtu
ip route add default via $router
echo "bound ip=$ip mask=$mask router=$router dns=$dns lease=$lease mtu=$mtu serverid=$serverid search=$search"
"""


def udhcpc(lab, guest, *options):
    return guest.run("udhcpc", "-i", "tap0", "-n", "-q", "-f", "-t", "5", "-T", "1", "-O", "mtu",
                     "-O", "search", "-s", script(lab, UDHCPC), *options).stdout


@case(nobody=True)
def busybox_udhcpc(lab):
    guest = unconfigured_guest(lab, "-m", "1400")
    text = udhcpc(lab, guest)
    for part in ("ip=10.0.2.15 ", "mask=24 ", f"router={GATEWAY} ", f"dns={DNS} ", "lease=86400 ", "mtu=1400 ",
                 f"serverid={GATEWAY} "):
        check_in(part, text, "what udhcpc learned")
    check_network_works(guest, lab.wan)


@case
def search_list_of_the_host(lab):
    lab.replace_resolv_conf(f"nameserver {WAN_IP}\nsearch example.org lab.example.org\n")
    guest = unconfigured_guest(lab)
    check_in("search=example.org lab.example.org", udhcpc(lab, guest), "what udhcpc learned")


@case
def without_dns(lab):
    guest = unconfigured_guest(lab, "--disable-dns")
    check_in("dns= ", udhcpc(lab, guest), "what udhcpc learned")


@case
def another_network(lab):
    guest = unconfigured_guest(lab, "--cidr=192.168.77.0/25")
    text = udhcpc(lab, guest)
    check_in("ip=192.168.77.15 mask=25 router=192.168.77.2 dns=192.168.77.3", text, "what udhcpc learned")


@case
def the_same_address_again(lab):
    guest = unconfigured_guest(lab)
    first = re.search(r"ip=(\S+)", udhcpc(lab, guest)).group(1)
    guest.sh("ip addr flush dev tap0; ip route flush dev tap0")
    check_equal(re.search(r"ip=(\S+)", udhcpc(lab, guest)).group(1), first, "the address after a restart")


@case
def another_client_gets_another_address(lab):
    guest = unconfigured_guest(lab)
    udhcpc(lab, guest)
    guest.sh("ip addr flush dev tap0; ip route flush dev tap0; ip link set tap0 down;"
             "ip link set tap0 address 02:00:00:00:00:77; ip link set tap0 up")
    check_in("ip=10.0.2.16 ", udhcpc(lab, guest), "what the second client learned")


@case
def dhclient(lab):
    guest = unconfigured_guest(lab)
    environment = script(lab, 'env | grep ^new_ >> "$0.env" || true\n')
    leases = f"{lab.directory}/leases"
    base = ["dhclient", "-v", "-1", "-lf", leases, "-pf", f"{lab.directory}/pid", "-sf", environment, "-cf",
            "/dev/null"]
    done = guest.run(*base, "tap0", check=False, timeout=60)
    check_in("bound to 10.0.2.15", done.stdout + done.stderr, "dhclient")
    with open(environment + ".env", encoding="ascii") as file:
        learned = file.read()
    for part in (f"new_routers={GATEWAY}", f"new_domain_name_servers={DNS}", "new_subnet_mask=255.255.255.0",
                 "new_dhcp_lease_time=86400"):
        check_in(part, learned, "what dhclient learned")
    released = guest.run(*base, "-r", "tap0", check=False, timeout=60)
    check_in("DHCPRELEASE", released.stdout + released.stderr, "dhclient -r")


if __name__ == "__main__":
    runner.main()
