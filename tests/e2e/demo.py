#!/usr/bin/env python3
"""The main job, to be seen: `demo.py PROGRAM`.

A guest namespace without any network gets one by `PROGRAM -c`, fetches a page by name from a web
server in another namespace, and measures the throughput. `PROGRAM run` does the same in one command. All of it happens in namespaces made for
the purpose, so neither privileges of the guest nor the internet are needed; the machine's own
network is not touched.
"""
import json
import os
import shlex
import sys

import runner
from lab import DNS, WAN_IP, Lab
from namespaces import NOBODY, Failed, wait_for

NAME = "www.example.test"
PAGE = "<h1>Hello from the outside world</h1>\n"
SECONDS = 3
MTU = 65520


def say(text):
    print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


def show(where, argv, text):
    """Prints a command as one would type it, and what came of it."""
    print(f"{where}$ {shlex.join(argv)}")
    for line in text.splitlines():
        print(f"    {line}")
    sys.stdout.flush()


def run_in_guest(guest, *argv, check=True, **options):
    done = guest.run(*argv, check=False, **options)
    show("guest", argv, done.stdout + done.stderr)
    if check and done.returncode != 0:
        raise Failed(f"{argv[0]} failed with status {done.returncode}")
    return done


def port_is_open(place, port):
    with place.socket() as probe:
        return probe.connect_ex((WAN_IP, port)) == 0


def start_internet(lab):
    """A name server, a web server and a measuring server, as the guest would find them outside."""
    folder = f"{lab.directory}/www"
    os.mkdir(folder)
    with open(f"{folder}/index.html", "w", encoding="ascii") as file:
        file.write(PAGE)
    lab.wan.start("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                  "--user=root", "--pid-file=", "--bind-interfaces", f"--listen-address={WAN_IP}",
                  f"--address=/{NAME}/{WAN_IP}")
    lab.wan.start("python3", "-m", "http.server", "--bind", WAN_IP, "--directory", folder, "80")
    lab.wan.start("iperf3", "--server", "--bind", WAN_IP)
    for port in (53, 80, 5201):
        wait_for(lambda p=port: port_is_open(lab.wan, p), f"server on port {port}")


def throughput(guest, *direction):
    """Gbit/s that arrived, of one TCP connection."""
    done = guest.run("iperf3", "--json", "--time", str(SECONDS), "--client", WAN_IP, *direction, check=False)
    try:
        return json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9
    except (ValueError, KeyError):
        raise Failed(f"iperf3 failed: {done.stdout}{done.stderr}") from None


def demo(lab):
    say(f"A small internet in a namespace of its own: a name server, and a web server {NAME} at {WAN_IP}")
    start_internet(lab)

    say("A guest: new user and network namespaces of an unprivileged user. It has no network")
    guest = lab.guest()
    run_in_guest(guest, "ip", "-brief", "addr", "show")
    run_in_guest(guest, "curl", "-sS", "--max-time", "5", f"http://{NAME}/", check=False)

    say("Outside, the same user gives it one")
    program = lab.launch("-c", f"--mtu={MTU}", guest.pid, "tap0").wait_ready()
    wait_for(lambda: "WARNING" in program.stdout(), "information on stdout")
    name = os.path.basename(lab.program)
    show("host", [name, "-c", f"--mtu={MTU}", str(guest.pid), "tap0"], program.stderr() + program.stdout())

    say("Now it has an address, a route, names and the web")
    run_in_guest(guest, "ip", "-brief", "-4", "addr", "show", "dev", "tap0")
    run_in_guest(guest, "ip", "route")
    run_in_guest(guest, "dig", "+short", f"@{DNS}", NAME)
    page = run_in_guest(guest, "curl", "-sS", "--fail", "--max-time", "20", f"http://{NAME}/")
    if page.stdout != PAGE:
        raise Failed("that is not the page")

    say("In one command, without a second terminal: a command in namespaces of its own, with network")
    command = ["run", "--", "curl", "-sS", "--fail", "--max-time", "20", f"http://{NAME}/"]
    once = lab.run_program(*command, seconds=60)
    show("host", [name, *command], once.stdout + once.stderr)
    if once.returncode != 0 or once.stdout != PAGE:
        raise Failed("that is not the page")

    say(f"Throughput of one TCP connection, {SECONDS} s each way (iperf3)")
    print(f"up {throughput(guest):.1f} Gbit/s, down {throughput(guest, '--reverse'):.1f} Gbit/s", flush=True)


def main():
    if len(sys.argv) != 2 or not os.access(sys.argv[1], os.X_OK):
        sys.exit(f"usage: {sys.argv[0]} PROGRAM")
    runner.prepare()
    lab = Lab(sys.argv[1], NOBODY)
    try:
        with lab:
            demo(lab)
    except Failed as failure:
        print(f"\ndemo failed: {failure}", *(program.log() for program in lab.programs), sep="\n")
        sys.exit(1)
    say("It works.")


if __name__ == "__main__":
    main()
