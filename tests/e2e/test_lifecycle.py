#!/usr/bin/env python3
"""From start to end: what callers read, what the guest gets, what ends a run, and what is left: nothing."""
import ipaddress
import json
import os
import re
import signal
import time

import runner
from lab import DNS, GATEWAY, GUEST_IP, WAN_IP
from namespaces import NOBODY, Failed, kill_pid, wait_for
from netio import MIB, check_both_ways, check_equal, check_in, check_network_works, connect
from runner import case

ENDS = 10.0  # a run must end within 5 s of its target; the test grants twice that

INFORMATION = [  # what stdout says with the default options, labels padded to column 20
    ("MTU", "1500"), ("Network", "10.0.2.0"), ("Netmask", "255.255.255.0"), ("Gateway", GATEWAY),
    ("DNS", DNS), ("DHCP begin", "10.0.2.15"), ("DHCP end", "10.0.2.30"), ("Recommended IP", GUEST_IP)]
LOOPBACK_WARNING = ("WARNING: 127.0.0.1:* on the host is accessible as 10.0.2.2 "
                    "(set --disable-host-loopback to prohibit connecting to 127.0.0.1:*)")


def interface(guest, name="tap0"):
    """What the kernel knows of an interface of the guest, as a dictionary."""
    return json.loads(guest.run("ip", "-j", "addr", "show", "dev", name).stdout)[0]


def ipv4_addresses(info):
    return [(a["local"], a["prefixlen"]) for a in info["addr_info"] if a["family"] == "inet"]


def default_gateways(guest):
    routes = json.loads(guest.run("ip", "-j", "route", "show", "default").stdout)
    return [(route["gateway"], route["dev"]) for route in routes]


def expected_information(changed=None):
    changed = changed or {}
    values = [f"* {label + ':':<17}{changed.get(label, value)}" for label, value in INFORMATION]
    return ["Starting slirp", *values]


# What callers read

@case(nobody=True)
def information_on_stdout(lab):
    """Line by line, at once, although stdout is a file."""
    program = lab.serve(lab.guest())
    wait_for(lambda: LOOPBACK_WARNING in program.stdout(), "the warning, the last line on stdout")
    lines = program.stdout().splitlines()
    check_equal(lines[:9], expected_information(), "first lines on stdout")
    check_equal(lines[-1], LOOPBACK_WARNING, "last line")


@case
def information_follows_options(lab):
    program = lab.serve(lab.guest(), "--cidr=10.5.0.0/16", "-m", 4000, "--disable-host-loopback")
    wait_for(lambda: "Recommended IP" in program.stdout(), "information on stdout")
    changed = {"MTU": "4000", "Network": "10.5.0.0", "Netmask": "255.255.0.0", "Gateway": "10.5.0.2",
               "DNS": "10.5.0.3", "DHCP begin": "10.5.0.15", "DHCP end": "10.5.0.30",
               "Recommended IP": "10.5.0.100"}
    check_equal(program.stdout().splitlines()[:9], expected_information(changed), "first lines on stdout")
    if "WARNING" in program.stdout():
        raise Failed("warning about host loopback although it is disabled")


@case(nobody=True)
def tap_lines_on_stderr(lab):
    program = lab.serve(lab.guest())
    for line in (r"^sent tapfd=\d+ for tap0$", r"^received tapfd=\d+$"):
        if not re.search(line, program.stderr(), re.MULTILINE):
            raise Failed(f"no line {line} on stderr")


# What the guest gets

@case(nobody=True)
def configure(lab):
    guest = lab.guest()
    lab.serve(guest)
    tap = interface(guest)
    check_equal(ipv4_addresses(tap), [(GUEST_IP, 24)], "address")
    check_equal(tap["mtu"], 1500, "MTU")
    if "UP" not in tap["flags"] or "UP" not in interface(guest, "lo")["flags"]:
        raise Failed("an interface is not up")
    if tap["address"] == "00:00:00:00:00:00":
        raise Failed("the TAP has no MAC address")
    check_equal(default_gateways(guest), [(GATEWAY, "tap0")], "default route")


@case
def configure_other_network(lab):
    guest = lab.guest()
    lab.serve(guest, "--cidr=192.168.77.128/25", "-m", 65520)
    tap = interface(guest)
    check_equal(ipv4_addresses(tap), [("192.168.77.228", 25)], "address")
    check_equal(tap["mtu"], 65520, "MTU")
    check_equal(default_gateways(guest), [("192.168.77.130", "tap0")], "default route")
    check_network_works(guest, lab.wan)
    check_both_ways(guest, lab.host, MIB, bind="127.0.0.1", to="192.168.77.130")
    guest.run("ping", "-c", "1", "-W", "5", "192.168.77.131")


@case
def every_prefix_length(lab):
    """Each with its own x.2, x.3 and x.100."""
    lab.wan.start("python3", "-m", "http.server", "--bind", WAN_IP, "9000")
    wait_for(lambda: ":9000" in lab.wan.run("ss", "-Hltn").stdout, "a server")
    base = int(ipaddress.IPv4Address("200.200.200.128"))
    for prefix in range(1, 26):
        network = ipaddress.IPv4Network((base >> (32 - prefix) << (32 - prefix), prefix))
        guest = lab.guest()
        program = lab.serve(guest, f"--cidr={network}")
        check_equal(ipv4_addresses(interface(guest)), [(str(network[100]), prefix)], "address")
        check_equal(default_gateways(guest), [(str(network[2]), "tap0")], "default route")
        guest.run("ping", "-c", "1", "-W", "5", str(network[2]))
        guest.run("ping", "-c", "1", "-W", "5", str(network[3]))
        connect(guest, WAN_IP, 9000).close()
        program.process.terminate()
        program.wait_exit()


@case
def configure_mac_address(lab):
    guest = lab.guest()
    lab.serve(guest, "--macaddress=0e:d4:18:d9:38:fb")
    check_equal(interface(guest)["address"], "0e:d4:18:d9:38:fb", "MAC address")
    check_network_works(guest, lab.wan)


@case
def other_tap_name(lab):
    guest = lab.guest()
    lab.launch("-c", guest.pid, "eth0").wait_ready()
    check_equal(ipv4_addresses(interface(guest, "eth0")), [(GUEST_IP, 24)], "address")
    check_network_works(guest, lab.wan)


@case(nobody=True)
def ping_gateway_and_dns(lab):
    """Answered by the program itself, with or without a way to the host's loopback."""
    for options in ((), ("--disable-host-loopback",)):
        guest = lab.guest()
        lab.serve(guest, *options)
        for address in (GATEWAY, DNS):
            guest.run("ping", "-c", "2", "-i", "0.2", "-W", "5", address)


@case
def ping_sizes(lab):
    """Up to what fits the MTU, odd sizes too."""
    guest = lab.guest()
    lab.serve(guest, "-m", 65520)
    for size in (0, 1, 56, 1472, 8001, 65492):
        guest.run("ping", "-c", "1", "-W", "5", "-s", str(size), GATEWAY)


PERSISTENT_SETUP = """ip tuntap add tap0 mode tap {queue}
ip link set tap0 address 02:00:00:00:00:07 mtu 1400
ip addr add 10.0.2.77/24 dev tap0
ip link set tap0 up
ip route add default via 10.0.2.2"""


def tap_state(guest):
    """What the program has to leave alone on a TAP that it did not configure."""
    tap = interface(guest)
    return (tap["mtu"], tap["address"], "UP" in tap["flags"], ipv4_addresses(tap), default_gateways(guest))


def persistent_tap_case(queue):
    def body(lab):
        guest = lab.guest()
        guest.sh(PERSISTENT_SETUP.format(queue=queue))
        before = tap_state(guest)
        program = lab.serve(guest, "-m", 1400, configure=False)
        check_equal(tap_state(guest), before, "TAP while the program runs")
        check_network_works(guest, lab.wan)
        program.signal(signal.SIGTERM)
        program.wait_exit()
        check_equal(tap_state(guest), before, "TAP afterwards")
    return body


case(name="persistent_tap", nobody=True)(persistent_tap_case(""))
case(name="persistent_tap_multi_queue")(persistent_tap_case("multi_queue"))


@case
def persistent_tap_left_down(lab):
    """Without -c nothing is brought up: that is the caller's business."""
    guest = lab.guest()
    guest.sh("ip tuntap add tap0 mode tap")
    before = tap_state(guest)
    lab.serve(guest, configure=False)
    check_equal(tap_state(guest), before, "TAP")
    check_equal("UP" in interface(guest, "lo")["flags"], False, "lo up")


@case
def new_tap_without_configure(lab):
    """A TAP that the program makes without -c can be configured by the guest later."""
    guest = lab.guest()
    lab.serve(guest, configure=False)
    check_equal(ipv4_addresses(interface(guest)), [], "addresses")
    guest.sh("ip addr add 10.0.2.100/24 dev tap0; ip link set tap0 up; ip route add default via 10.0.2.2")
    check_network_works(guest, lab.wan)


# What ends a run

@case(nobody=True)
def exit_fd(lab):
    """Data on the descriptor means nothing, its hang-up is the end."""
    guest = lab.guest()
    program = lab.serve(guest, exit_fd=True)
    os.write(program.exit_pipe, b"not the end")
    time.sleep(1.0)
    check_network_works(guest, lab.wan)
    check_equal(program.process.poll(), None, "exit status after data on the exit descriptor")
    program.hang_up()
    program.wait_exit()
    check_in("exitfd event", program.stderr(), "stderr")
    check_equal(guest.interface_exists("tap0"), False, "TAP still there")


@case
def exit_fd_hung_up_before_start(lab):
    program = lab.launch("-c", lab.guest().pid, "tap0", exit_fd=True)
    program.hang_up()
    program.wait_exit()
    check_in("exitfd event", program.stderr(), "stderr")


def signal_case(number):
    def body(lab):
        guest = lab.guest()
        program = lab.serve(guest)
        check_network_works(guest, lab.wan)
        program.signal(number)
        program.wait_exit()
        wait_for(lambda: not guest.interface_exists("tap0"), "TAP gone")
    return body


case(name="sigterm", nobody=True)(signal_case(signal.SIGTERM))
case(name="sigint", nobody=True)(signal_case(signal.SIGINT))


@case
def signal_with_open_connections(lab):
    guest = lab.guest()
    program = lab.serve(guest)
    with lab.wan.socket() as door:
        door.bind((WAN_IP, 0))
        door.listen(64)
        clients = [connect(guest, *door.getsockname()) for _ in range(50)]
        for client in clients:
            client.setblocking(False)
            client.send(b"x" * 1000)
        program.signal(signal.SIGTERM)
        program.wait_exit()
        for client in clients:
            client.close()


@case(nobody=True)
def ends_with_target(lab):
    guest = lab.guest()
    program = lab.serve(guest)
    guest.die()
    program.wait_exit(seconds=ENDS)


@case
def ends_with_target_that_was_unshared_by_path(lab):
    """A path below /proc names a process too."""
    guest = lab.guest()
    program = lab.launch("-c", "--netns-type=path", f"/proc/{guest.pid}/ns/net", "tap0").wait_ready()
    check_network_works(guest, lab.wan)
    guest.die()
    program.wait_exit(seconds=ENDS)


@case(nobody=True)
def stays_for_neighbour_of_target(lab):
    """The target dies, another process goes on using the namespace: it keeps its network, to its end."""
    guest = lab.guest()
    neighbour, place = lab.neighbour(guest)
    program = lab.serve(guest)
    guest.die()
    time.sleep(6.0)  # longer than it would take to end
    check_equal(program.process.poll(), None, "exit status while a process still lives in the namespace")
    check_network_works(place, lab.wan)
    neighbour.close()
    program.wait_exit(seconds=ENDS)


@case
def ends_with_named_namespace(lab):
    with lab.named_netns("e2e") as (guest, path):
        program = lab.launch("-c", "--netns-type=path", path, "tap0").wait_ready()
        check_network_works(guest, lab.wan)
        lab.host.run("ip", "netns", "del", "e2e")
        program.wait_exit(seconds=ENDS)


@case(nobody=True)
def userns_path(lab):
    """As RootlessKit calls it: both namespaces by path."""
    guest = lab.guest(user=NOBODY)
    userns = guest.holder.ns("user")
    lab.launch("-c", f"--userns-path={userns}", "--netns-type=path", guest.net, "tap0").wait_ready()
    check_network_works(guest, lab.wan)


@case
def killed_worker_takes_monitor_along(lab):
    """SIGKILL cannot be handled, so the other process of the run has to notice."""
    guest = lab.guest()
    program = lab.serve(guest)
    program.kill()
    program.wait_gone()
    wait_for(lambda: not guest.interface_exists("tap0"), "TAP gone")


@case
def killed_monitor_takes_worker_along(lab):
    program = lab.serve(lab.guest())
    others = [pid for pid in program.processes() if pid != program.pid]
    if not others:
        raise Failed("the run has one process only")
    for pid in others:
        kill_pid(pid)
    program.wait_exit(expected=None)


@case
def second_run_on_the_same_guest(lab):
    """A guest can be served again after a clean end."""
    guest = lab.guest()
    first = lab.serve(guest)
    first.signal(signal.SIGTERM)
    first.wait_exit()
    lab.serve(guest)
    check_network_works(guest, lab.wan)


@case
def deleted_tap(lab):
    """Nothing is left to serve: a clean end, no spinning on a dead descriptor."""
    guest = lab.guest()
    program = lab.serve(guest)
    guest.run("ip", "link", "del", "tap0")
    program.wait_exit()


if __name__ == "__main__":
    runner.main()
