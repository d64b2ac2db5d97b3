#!/usr/bin/env python3
"""IPv6 in a guest: what is there when the program says that it is ready, and what the guest can ask for."""
import os
import re

import runner
from commands import run_sh
from lab import DNS, DNS6, GATEWAY6, GUEST_IP6, ROUTER6, WAN_IP
from namespaces import Failed, wait_for
from netio import check_equal, check_in
from outside import Resolver, check_answer
from runner import case


def addresses(guest, *what):
    return guest.run("ip", "-6", "-o", "addr", "show", "dev", "tap0", *what).stdout


def check_ping(guest, *words):
    """One packet, and no second chance."""
    guest.run("ping", "-n", "-c", "1", "-W", "5", *words)


def check_pings(guest, *targets):
    for target in targets:
        check_ping(guest, target)


def check_silent(guest, target):
    done = guest.run("ping", "-n", "-c", "1", "-W", "1", target, check=False)
    if done.returncode == 0:
        raise Failed(f"{target} answers")


# With -c

@case(nobody=True)
def works_when_ready(lab):
    guest = lab.guest()
    lab.serve(guest, "-6")
    check_pings(guest, GATEWAY6, DNS6, f"{ROUTER6}%tap0")
    check_in(f"inet6 {GUEST_IP6}/64 scope global", addresses(guest), "addresses")
    check_equal(addresses(guest, "tentative"), "", "addresses that are not usable yet")
    check_in(f"default via {ROUTER6} dev tap0", guest.run("ip", "-6", "route").stdout, "routes")


@case
def the_link_local_address_works_when_ready(lab):
    guest = lab.guest()
    lab.serve(guest, "-6")
    own = re.search(r"inet6 (fe80:\S+)/64", addresses(guest)).group(1)
    check_ping(guest, "-I", f"{own}%tap0", f"{ROUTER6}%tap0")


@case
def advertisements_are_taken_beside_what_is_configured(lab):
    guest = lab.guest()
    lab.serve(guest, "-6")
    wait_for(lambda: "proto ra" in guest.run("ip", "-6", "route", "show", "default").stdout,
             "a default route from an advertisement")
    routes = guest.run("ip", "-6", "route", "show", "default").stdout
    check_in("metric 512", routes, "default routes")
    # An advertisement's address would come with its route, and change the source of what the guest sends.
    check_equal("dynamic" in addresses(guest), False, "an address by SLAAC")
    check_pings(guest, GATEWAY6)


@case(nobody=True)
def namespace_with_ipv6_switched_off(lab):
    guest = lab.guest()
    guest.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
    guest.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    lab.serve(guest, "-6")
    check_pings(guest, GATEWAY6, "::1")


@case
def other_networks(lab):
    for network, gateway, own in (("fd07:8:9:a::/64", "fd07:8:9:a::2", "fd07:8:9:a::100/64"),
                                  ("fd07::/112", "fd07::2", "fd07::100/112"),
                                  ("fd07::100/120", "fd07::102", "fd07::164/120")):
        guest = lab.guest()
        lab.serve(guest, "-6", f"--cidr6={network}")
        check_ping(guest, gateway)
        check_in(f" {own} ", addresses(guest), f"addresses with {network}")


@case
def smallest_and_largest_mtu(lab):
    for mtu in (1280, 65521):
        guest = lab.guest()
        lab.serve(guest, "-6", "-m", mtu)
        check_ping(guest, "-M", "do", "-s", str(mtu - 48), GATEWAY6)


@case
def without_the_option_there_is_none(lab):
    guest = lab.guest()
    lab.serve(guest)
    guest.sh(f"ip -6 addr add {GUEST_IP6}/64 dev tap0 nodad")
    check_silent(guest, GATEWAY6)
    check_equal("proto ra" in guest.run("ip", "-6", "route").stdout, False, "an advertised route")


@case
def startup_text(lab):
    guest = lab.guest()
    program = lab.serve(guest, "-6")
    check_in("* Recommended IP:  10.0.2.100\n* IPv6 Prefix:     fd00::/64\n* IPv6 Gateway:    fd00::2\n"
             "* IPv6 DNS:        fd00::3\n* IPv6 Guest:      fd00::100\nWARNING: 127.0.0.1", program.stdout(), "stdout")
    check_in("\nWARNING: [::1]:* on the host is accessible as fd00::2 ", program.stdout(), "stdout")


# DNS

@case(nobody=True)
def dns(lab):
    Resolver(lab.wan, WAN_IP, "wan")
    guest = lab.guest()
    lab.serve(guest, "-6")
    for flags in ((), ("+tcp",)):
        check_answer(guest, "who.lab.test", "TXT", '"wan"', f"@{DNS6}", *flags)


# Without -c

def unconfigured_guest(lab, *options):
    guest = lab.guest()
    lab.serve(guest, "-6", *options, configure=False)
    guest.sh("ip link set lo up; ip link set tap0 up")
    return guest


@case(nobody=True)
def by_advertisement_alone(lab):
    guest = unconfigured_guest(lab)
    wait_for(lambda: re.search("scope global .*dynamic", addresses(guest, "-tentative")), "an address by SLAAC")
    check_pings(guest, GATEWAY6, DNS6)
    check_in(f"default via {ROUTER6} dev tap0 proto ra", guest.run("ip", "-6", "route").stdout, "routes")


# DHCPv6. dhclient asks once the link-local address is usable.

def dhclient(lab, guest, *options):
    """Runs it to its end; what it told, and the variables that it gave its script."""
    script, leases = f"{lab.directory}/dhcp6-script", f"{lab.directory}/leases6"
    with open(script, "w", encoding="ascii") as file:
        file.write('#!/bin/sh\nenv | grep ^new_ >> "$0.env" || true\n')
    os.chmod(script, 0o755)
    wait_for(lambda: addresses(guest, "scope", "link", "-tentative"), "a link-local address")
    done = guest.run("dhclient", "-6", "-v", "-1", "-lf", leases, "-pf", f"{lab.directory}/pid6", "-sf", script,
                     "-cf", "/dev/null", *options, "tap0", check=False, timeout=60)
    learned = ""
    if os.path.exists(f"{script}.env"):
        with open(f"{script}.env", encoding="ascii") as file:
            learned = file.read()
    return done.stdout + done.stderr, learned


@case
def dhclient_stateless(lab):
    lab.replace_resolv_conf(f"nameserver {WAN_IP}\nsearch lab.test example.test\n")
    guest = unconfigured_guest(lab)
    text, learned = dhclient(lab, guest, "-S")
    check_in("XMT: Info-Request on tap0", text, "dhclient")
    check_in(f"new_dhcp6_name_servers={DNS6}\n", learned, "what dhclient learned")
    check_in("new_dhcp6_domain_search=lab.test. example.test.\n", learned, "what dhclient learned")
    check_equal("new_ip6_address" in learned, False, "an address without a lease")


@case
def dhclient_stateful(lab):
    guest = unconfigured_guest(lab)
    _, learned = dhclient(lab, guest, "-N")
    for part in (f"new_ip6_address={GUEST_IP6}\n", f"new_dhcp6_name_servers={DNS6}\n", "new_max_life=86400\n",
                 "new_preferred_life=86400\n", "new_renew=43200\n", "new_rebind=69120\n"):
        check_in(part, learned, "what dhclient learned")
    text, _ = dhclient(lab, guest, "-N", "-r")
    check_in("XMT: Release on tap0", text, "dhclient -r")


@case
def dhclient_of_another_identity(lab):
    guest = unconfigured_guest(lab)
    dhclient(lab, guest, "-N")
    os.unlink(f"{lab.directory}/leases6")
    guest.sh("ip link set tap0 down; ip link set tap0 address 02:00:00:00:00:77; ip link set tap0 up")
    _, learned = dhclient(lab, guest, "-N", "-D", "LL")
    check_in("new_ip6_address=fd00::101\n", learned, "what the second client learned")


@case
def dhcp_without_dns(lab):
    guest = unconfigured_guest(lab, "--disable-dns")
    _, learned = dhclient(lab, guest, "-N")
    check_in(f"new_ip6_address={GUEST_IP6}\n", learned, "what dhclient learned")
    check_equal("new_dhcp6_name_servers" in learned, False, "a name server")


# run

@case(nobody=True)
def run_has_ipv6(lab):
    Resolver(lab.wan, WAN_IP, "wan")
    done = run_sh(lab, f"grep nameserver /etc/resolv.conf; ping -c 1 -W 5 {GATEWAY6} >/dev/null && echo pong;"
                       f"dig @{DNS6} +short who.lab.test TXT", options=("-6",))
    check_equal(done.stdout, f'nameserver {DNS}\nnameserver {DNS6}\npong\n"wan"\n', "output")


@case
def run_without_dns(lab):
    lab.replace_resolv_conf("nameserver 192.0.2.1\n")
    done = run_sh(lab, "cat /etc/resolv.conf", options=("-6", "--disable-dns"))
    check_equal(done.stdout, "nameserver 192.0.2.1\n", "resolv.conf")


if __name__ == "__main__":
    runner.main()
