#!/usr/bin/env python3
"""Real programs under load: an nginx outside and wrk in the guest, netcat both ways."""
import os
import re
import subprocess

import runner
from namespaces import Failed, wait_for
from netio import check_equal
from runner import case

PORT = 8080
BODY = 20_000  # bytes of a page
NGINX = """user root; pid {folder}/pid; worker_processes 1; error_log stderr; daemon off;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000;
  server {{ listen {address}:{port} backlog=4096; root {folder}/www; }} }}
"""


def in_url(address):
    return f"[{address}]" if ":" in address else address


def start_nginx(lab):
    folder = lab.directory
    os.mkdir(f"{folder}/www")
    with open(f"{folder}/www/page", "wb") as file:
        file.write(bytes(range(250)) * (BODY // 250))
    with open(f"{folder}/nginx.conf", "w", encoding="ascii") as file:
        file.write(NGINX.format(folder=folder, address=in_url(lab.net.wan), port=PORT))
    lab.wan.start("nginx", "-c", f"{folder}/nginx.conf")

    def listens():
        with lab.wan.socket() as probe:
            return probe.connect_ex((lab.net.wan, PORT)) == 0
    wait_for(listens, "nginx listens")


def load(lab, guest, *options):
    """wrk with 100 connections; every request must be answered whole, and with 200."""
    output = guest.run("wrk", "-t1", "-c100", "-d2s", "--timeout", "20s", *options,
                       f"http://{in_url(lab.net.wan)}:{PORT}/page", timeout=60).stdout
    if "Socket errors" in output or "Non-2xx" in output:
        raise Failed(output)
    requests, size = re.search(r"(\d+) requests in \S+, ([\d.]+[KMG]?)B read", output).groups()
    if int(requests) < 100:
        raise Failed(f"hardly anything was answered: {output}")
    factor = {"K": 1e3, "M": 1e6, "G": 1e9}
    read = float(size[:-1]) * factor[size[-1]] if size[-1] in factor else float(size)
    if read < int(requests) * BODY * 0.9:  # wrk rounds, and counts in units of 1024
        raise Failed(f"pages came short: {output}")


@case(nobody=True)
def nginx_keep_alive(lab):
    start_nginx(lab)
    guest, _ = lab.guest_with_network()
    load(lab, guest)


@case(ipv6=True)
def nginx_a_connection_each(lab):
    start_nginx(lab)
    guest, program = lab.guest_with_network()
    load(lab, guest, "-H", "Connection: close")
    before = program.descriptors()
    load(lab, guest, "-H", "Connection: close")
    wait_for(lambda: program.descriptors() <= before, "the connections' descriptors are given back")


@case(nobody=True)
def netcat_tcp(lab):
    """A text each way, and each side sees the other's end."""
    server = lab.wan.start("nc", "-l", "-N", lab.net.wan, "7000", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           text=True)
    guest, _ = lab.guest_with_network()
    wait_for(lambda: "7000" in lab.wan.run("ss", "-Hltn").stdout, "netcat listens")
    server.stdin.write("from outside\n")
    server.stdin.close()
    client = guest.run("sh", "-c", f"echo from the guest | nc -N {lab.net.wan} 7000", timeout=20)
    check_equal(client.stdout, "from outside\n", "what the guest got")
    check_equal(server.stdout.read(), "from the guest\n", "what the server got")


if __name__ == "__main__":
    runner.main()
