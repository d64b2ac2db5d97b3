#!/usr/bin/env python3
"""Real callers: as an unprivileged user RootlessKit, podman with runc, and a script around bubblewrap; and
User Mode Linux, which boots a kernel.

The former look for a program named slirp4netns, so they get ours under that name. Each runs in a PID
namespace of its own, in which everything ends that it leaves behind, and where somebody reaps it (podman
waits for that).
"""
import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading

import runner
from lab import GATEWAY, GATEWAY6, HOST_IP, WAN_IP, WAN_IP2, WAN_IP6
from namespaces import NOBODY, Failed, as_user, family_of, wait_for
from netio import check_equal, check_in
from runner import case

PAGE = "hello from outside\n"
CONTAINERS_CONF = """[engine]
helper_binaries_dir = ["{home}/bin", "/usr/libexec/podman", "/usr/lib/podman"]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
STORAGE_CONF = """[storage]
driver = "vfs"
runroot = "{home}/run"
graphroot = "{home}/graph"
"""


class User:
    """An unprivileged user with a home, subordinate IDs, and our program as slirp4netns."""

    def __init__(self, lab):
        self.lab = lab
        self.home = tempfile.mkdtemp(prefix="e2e-home-")
        self._write(".config/containers/containers.conf", CONTAINERS_CONF)
        self._write(".config/containers/storage.conf", STORAGE_CONF)
        self.program = f"{self.home}/bin/slirp4netns"
        os.mkdir(f"{self.home}/bin")
        os.symlink(lab.program, self.program)
        os.chmod(self.home, 0o755)
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", self.home], check=True)
        for name in ("subuid", "subgid"):  # replaced, since the file may be a link to that of other labs
            path = f"{lab.directory}/etc/{name}"
            with open(f"{path}.new", "w", encoding="ascii") as file:
                file.write("nobody:100000:65536\n")
            os.rename(f"{path}.new", path)

    def _write(self, name, text):
        path = f"{self.home}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text.format(home=self.home))

    def close(self):
        shutil.rmtree(self.home, ignore_errors=True)

    def popen(self, *argv):
        script = shlex.join([*as_user(NOBODY), *map(str, argv)]) + "; exit $?"  # bash stays, and reaps
        command = self.lab.host.command(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
                                         "bash", "-c", script])
        environment = {"PATH": f"{self.home}/bin:{os.environ['PATH']}", "HOME": self.home, "USER": "nobody",
                       "XDG_RUNTIME_DIR": self.home}
        return subprocess.Popen(command, env=environment, cwd="/", text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

    def run(self, *argv):
        """Output of a command that must succeed."""
        process = self.popen(*argv)
        try:
            output, errors = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"still runs: {process.communicate()}") from None
        if process.returncode != 0:
            raise Failed(f"{shlex.join(map(str, argv))}: exit {process.returncode}\n{output}{errors}")
        return output

    @contextlib.contextmanager
    def running(self, *argv):
        process = self.popen(*argv)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def rootlesskit(self, *options):
        return ["rootlesskit", f"--state-dir={self.home}/rootlesskit", "--net=slirp4netns",
                f"--slirp4netns-binary={self.program}", "--copy-up=/etc", *options, "--"]

    def podman(self, network, *options):
        """Runs in a root file system of one busybox."""
        root = f"{self.home}/rootfs"
        if not os.path.exists(root):
            busybox_root(root, ("bin", "dev", "proc", "sys", "tmp", "etc", "run"), ("sh", "cat", "ip", "nc"))
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", root], check=True)
        return ["podman", "run", "--rm", ":".join(["--network=slirp4netns", *filter(None, [",".join(network)])]),
                *options, "--rootfs", root]


@contextlib.contextmanager
def user_of(lab):
    user = User(lab)
    try:
        yield user
    finally:
        user.close()


def busybox_root(root, folders, applets):
    """A root file system of one busybox."""
    for folder in folders:
        os.makedirs(f"{root}/{folder}")
    shutil.copy(shutil.which("busybox"), f"{root}/bin/busybox")
    for applet in applets:
        os.symlink("busybox", f"{root}/bin/{applet}")


def start_web(place, address, folder):
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/page", "w", encoding="ascii") as file:
        file.write(PAGE)
    place.start("python3", "-m", "http.server", "--bind", address, "--directory", folder, "80")
    wait_for(lambda: answers(place, address, 80), "the web server")


def answers(place, address, port):
    with place.socket(family=family_of(address)) as probe:
        return probe.connect_ex((address, port)) == 0


def fetch(address=WAN_IP):
    host = f"[{address}]" if ":" in address else address
    return ["curl", "-sS", "--fail", "--max-time", "10", f"http://{host}/page"]


def fetch_by_netcat(address=WAN_IP):
    """For a container with nothing but busybox, whose wget does not stand being linked statically."""
    return f"printf 'GET /page HTTP/1.0\\r\\n\\r\\n' | nc {address} 80"


def greeting(place, address, port):
    """What a server says, or nothing while it is not there."""
    with place.socket() as sock:
        try:
            sock.connect((address, port))
            return sock.recv(100)
        except (ConnectionError, socket.timeout):
            return b""


def check_forward(user, argv, port):
    """A server that a client in the host namespace reaches through the port."""
    with user.running(*argv):
        wait_for(lambda: greeting(user.lab.host, "127.0.0.1", port) == b"hi\n", f"an answer on port {port}")
        wait_for(lambda: greeting(user.lab.wan, HOST_IP, port) == b"hi\n", "an answer to a client from outside")


# RootlessKit

@case
def rootlesskit_defaults(lab):
    start_web(lab.wan, WAN_IP, f"{lab.directory}/www")
    with user_of(lab) as user:
        check_equal(user.run(*user.rootlesskit(), *fetch()), PAGE, "the page")


@case
def rootlesskit_large_mtu_sandbox_seccomp(lab):
    start_web(lab.wan, WAN_IP, f"{lab.directory}/www")
    start_web(lab.host, "127.0.0.1", f"{lab.directory}/local")
    with user_of(lab) as user:
        command = user.rootlesskit("--mtu=65520", "--cidr=10.5.0.0/24", "--disable-host-loopback",
                                   "--slirp4netns-sandbox=true", "--slirp4netns-seccomp=true")
        script = (f"{shlex.join(fetch())}; ip -o addr show tap0; cat /sys/class/net/tap0/mtu;"
                  f"{shlex.join(fetch('10.5.0.2'))} 2>&1 || echo refused")
        output = user.run(*command, "sh", "-c", script)
        for expected in (PAGE, "10.5.0.100/24", "\n65520\n", "refused\n"):
            check_in(expected, output, "output")
        check_equal(output.count(PAGE), 1, "pages: the host's loopback must be out of reach")


@case
def rootlesskit_host_loopback(lab):
    start_web(lab.host, "127.0.0.1", f"{lab.directory}/local")
    with user_of(lab) as user:
        check_equal(user.run(*user.rootlesskit(), *fetch(GATEWAY)), PAGE, "the page")


@case
def rootlesskit_ipv6(lab):
    """Its interface gets an address by router advertisement."""
    start_web(lab.wan, WAN_IP6, f"{lab.directory}/www")
    with user_of(lab) as user:
        script = ("until ip -6 -o addr show dev tap0 scope global -tentative | grep .; do sleep 0.1; done;"
                  + shlex.join(fetch(WAN_IP6)))
        output = user.run(*user.rootlesskit("--ipv6"), "sh", "-c", script)
        for expected in ("inet6 fd00:", PAGE):
            check_in(expected, output, "output")


def port_driver(driver):
    def body(lab):
        with user_of(lab) as user:
            command = user.rootlesskit("--disable-host-loopback", f"--port-driver={driver}",
                                       "-p", "0.0.0.0:8080:80/tcp")
            check_forward(user, [*command, "sh", "-c", "while echo hi | nc -N -l 80; do :; done"], 8080)
    return body


for _driver in ("slirp4netns", "builtin"):
    case(port_driver(_driver), name=f"rootlesskit_port_driver_{_driver}")


# podman

@case
def podman_defaults(lab):
    start_web(lab.wan, WAN_IP, f"{lab.directory}/www")
    with user_of(lab) as user:
        output = user.run(*user.podman([]), "sh", "-c",
                          f"{fetch_by_netcat()}; cat /sys/class/net/tap0/mtu /etc/resolv.conf")
        for expected in (PAGE, "65520\n", "nameserver 10.0.2.3"):
            check_in(expected, output, "output")


@case
def podman_options(lab):
    """mtu, cidr, allow_host_loopback, outbound_addr"""
    start_web(lab.host, "127.0.0.1", f"{lab.directory}/local")
    lab.host.run("ip", "addr", "add", "10.99.0.77/24", "dev", "up0")
    server = lab.wan.socket()
    server.bind((WAN_IP2, 7000))
    server.listen()
    seen = []

    def accept():
        client, address = server.accept()
        client.close()
        seen.append(address[0])

    thread = threading.Thread(target=accept)
    thread.start()
    with user_of(lab) as user, server:
        network = ["mtu=1400", "cidr=10.6.0.0/24", "allow_host_loopback=true", "outbound_addr=10.99.0.77"]
        output = user.run(*user.podman(network), "sh", "-c",
                          f"cat /sys/class/net/tap0/mtu; ip addr show tap0; {fetch_by_netcat('10.6.0.2')};"
                          f"echo x | nc {WAN_IP2} 7000")
        for expected in ("1400\n", "10.6.0.100/24", PAGE):
            check_in(expected, output, "output")
        thread.join(timeout=20)
        check_equal(seen, ["10.99.0.77"], "the source that the server sees")


@case
def podman_ipv6(lab):
    """podman asks for it by default, and expects that all works at once."""
    start_web(lab.host, "::1", f"{lab.directory}/local")
    start_web(lab.wan, WAN_IP6, f"{lab.directory}/www")
    with user_of(lab) as user:
        output = user.run(*user.podman(["enable_ipv6=true", "allow_host_loopback=true"]), "sh", "-c",
                          f"{fetch_by_netcat(GATEWAY6)}; {fetch_by_netcat(WAN_IP6)}; ip addr show tap0")
        check_equal(output.count(PAGE), 2, "pages, from the host's loopback and from outside")
        check_in("fd00::100/64", output, "output")


@case
def podman_without_ipv6(lab):
    with user_of(lab) as user:
        output = user.run(*user.podman(["enable_ipv6=false"]), "sh", "-c", "ip addr show tap0")
        check_in("10.0.2.100/24", output, "output")
        check_equal("fd00:" in output, False, "an IPv6 address")


def port_handler(handler):
    def body(lab):
        with user_of(lab) as user:
            command = user.podman([f"port_handler={handler}"], "-p", "8080:80")
            check_forward(user, [*command, "sh", "-c", "while echo hi | nc -l -p 80; do :; done"], 8080)
    return body


for _handler in ("slirp4netns", "rootlesskit"):
    case(port_handler(_handler), name=f"podman_port_handler_{_handler}")


# bubblewrap

@case
def bubblewrap_script(lab):
    """The way of scripts: make the namespace, attach it by PID, wait for the ready byte, let the command go."""
    start_web(lab.wan, WAN_IP, f"{lab.directory}/www")
    script = f"""
        set -e
        mkfifo go info ready
        exec 5<>ready  # a byte that is in the pipe would be lost while nobody has it open
        bwrap --unshare-user --unshare-net --dev-bind / / --info-fd 3 --block-fd 4 \\
            {shlex.join(fetch())} 3>info 4<>go &
        pid=$(sed -n 's/.*"child-pid": \\([0-9]*\\).*/\\1/p' info)
        slirp4netns -c --mtu=65520 --disable-host-loopback --ready-fd=3 "$pid" tap0 3>ready >log 2>&1 &
        head -c 1 <&5 >/dev/null
        echo go >go
        wait %1
        wait %2  # it ends with the namespace
    """
    with user_of(lab) as user:
        check_equal(user.run("sh", "-c", f"cd {user.home}; {script}"), PAGE, "the page")


# User Mode Linux

UML_INIT = """#!/bin/sh
ip link set vec0 up
ip addr add 10.0.2.100/24 dev vec0
ip route add default via 10.0.2.2
{fetch}
poweroff -f
"""


@case
def user_mode_linux(lab):
    """A kernel of its own, whose frames come over a socket; its root is a folder with one busybox."""
    start_web(lab.wan, WAN_IP, f"{lab.directory}/www")
    root, door = f"{lab.directory}/root", f"{lab.directory}/bess"
    busybox_root(root, ("bin", "dev"), ("sh", "ip", "nc", "poweroff"))
    with open(f"{root}/init", "w", encoding="ascii") as file:
        file.write(UML_INIT.format(fetch=fetch_by_netcat()))
    os.chmod(f"{root}/init", 0o755)
    program = lab.launch("--target-type=bess", door, ready=False)
    wait_for(lambda: f"Waiting for connection to {door}\n" in program.stderr(), "the waiting line")
    kernel = ["linux.uml", "mem=128M", f"vec0:transport=bess,dst={door},depth=128,gro=1", "root=/dev/root",
              "rootfstype=hostfs", f"rootflags={root}", "rw", "init=/init", "con=null", "con0=null,fd:1", "quiet",
              f"uml_dir={lab.directory}"]
    check_in(PAGE.strip(), lab.host.run(*kernel, check=False, timeout=60).stdout, "console")
    program.wait_exit()
    if os.path.exists(door):
        raise Failed("the socket is left behind")


if __name__ == "__main__":
    runner.main()
