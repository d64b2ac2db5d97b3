#!/usr/bin/env python3
"""Sandbox and system call filter: everything works behind them, and nothing is left to see. They are there
without options; --enable-sandbox and --enable-seccomp make them a condition."""
import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys

import runner
from api import api_client, api_path, ask
from commands import run, start, wait_output
from lab import DNS, GUEST_IP, WAN_IP, WAN_IP2
from namespaces import NOBODY, as_user, wait_for
from netio import check_equal, check_in, check_network_works, listener, read_to_end
from outside import Resolver, check_answered_by, dig, serve_page
from runner import case

FLAGS = ("--enable-sandbox", "--enable-seccomp")
SECCOMP_FILTER = "2"  # /proc/PID/status
NET_BIND_SERVICE = 1 << 10
MOST_DESCRIPTORS = 32768
MESSAGE = b"through the forward"
HERE = os.path.dirname(os.path.abspath(__file__))


def open_files(pid):
    """What the descriptors of a process name. Their numbers tell nothing: a closed one is given out again."""
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return names


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


def namespace_of(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def check_sealed(program, capabilities, new_user_namespace):
    """From outside, as RootlessKit's test does: the root, the rights, the namespaces, the descriptors."""
    root = f"/proc/{program.pid}/root"
    check_equal(sorted(os.listdir(f"{root}/")), ["etc", "run"], "root directory")
    check_equal(os.listdir(f"{root}/etc") + os.listdir(f"{root}/run"), [], "content of etc and run")
    check_equal(bool(os.statvfs(f"{root}/").f_flag & os.ST_RDONLY), True, "read-only")
    status = status_of(program.pid)
    check_equal((status["Seccomp"], status["NoNewPrivs"]), (SECCOMP_FILTER, "1"), "seccomp, no_new_privs")
    for held in ("CapPrm", "CapEff"):
        check_equal(int(status[held], 16), capabilities, held)
    check_equal(int(status["CapInh"], 16) | int(status["CapAmb"], 16), 0, "inherited capabilities")
    monitor = next(pid for pid in program.processes() if pid != program.pid)
    for kind in ("mnt", "ipc", "uts"):
        check_equal(namespace_of(program.pid, kind) == namespace_of(monitor, kind), False, f"the same {kind}")
    check_equal(namespace_of(program.pid, "user") != namespace_of(monitor, "user"), new_user_namespace,
                "a new user namespace")
    for entry in os.listdir(f"/proc/{program.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            check_descriptor(program.pid, int(entry))
    check_limits(program.pid)


def check_descriptor(pid, number):
    mode = os.stat(f"/proc/{pid}/fd/{number}").st_mode
    check_equal(stat.S_ISDIR(mode), False, f"descriptor {number} is a directory")
    with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as file:
        flags = int(re.search(r"^flags:\s+(\d+)$", file.read(), re.MULTILINE).group(1), 8)
    check_equal(bool(flags & os.O_CLOEXEC), number > 2, f"descriptor {number} is closed by exec")


def check_limits(pid):
    """Soft and hard."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        limits = {line[:26].rstrip(): tuple(line[26:].split()[:2]) for line in file}
    for what in ("Max core file size", "Max processes", "Max locked memory"):
        check_equal(limits[what], ("0", "0"), what)
    soft, hard = limits["Max open files"]
    check_equal((soft == hard, int(soft) <= MOST_DESCRIPTORS), (True, True), f"limit of descriptors {soft}, {hard}")
    check_equal(limits["Max file size"], ("unlimited", "unlimited"), "file size")


def check_forwards(lab, guest, path):
    """TCP and UDP: added, used, removed."""
    for number, proto in enumerate(("tcp", "udp"), 1):
        request = {"execute": "add_hostfwd",
                   "arguments": {"proto": proto, "host_port": 8080, "guest_port": 8081}}
        check_equal(ask(path, request), b'{"return":{"id":%d}}' % number, f"reply to add {proto}")
    with listener(guest, GUEST_IP, 8081) as door, lab.host.socket() as client:
        client.connect(("127.0.0.1", 8080))
        peer, _ = door.accept()
        with peer:
            client.sendall(MESSAGE)
            client.shutdown(socket.SHUT_WR)
            check_equal(read_to_end(peer), MESSAGE, "TCP forward")
    with guest.socket(socket.SOCK_DGRAM) as server, lab.host.socket(socket.SOCK_DGRAM) as client:
        server.bind((GUEST_IP, 8081))
        client.sendto(MESSAGE, ("127.0.0.1", 8080))
        data, peer = server.recvfrom(1000)
        server.sendto(data[::-1], peer)
        check_equal(client.recvfrom(1000)[0], MESSAGE[::-1], "UDP forward")
    for number in (1, 2):
        reply = ask(path, {"execute": "remove_hostfwd", "arguments": {"id": number}})
        check_equal(reply, b'{"return":{}}', "reply to remove")
    with lab.host.socket() as client:
        check_equal(client.connect_ex(("127.0.0.1", 8080)) != 0, True, "removed forward refuses")
    check_in(b"bad request", ask(path, b"{"), "a malformed request, which the parser throws about")


def check_programs(lab, guest):
    serve_page(lab)
    check_in("the page", guest.run("curl", "-sS", f"http://{WAN_IP}:8080/").stdout, "page")
    guest.run("ping", "-c", "2", "-i", "0.2", "-W", "5", WAN_IP)
    lab.wan.start("iperf3", "--server", "--bind", WAN_IP)
    wait_for(lambda: port_is_open(lab.wan, 5201), "iperf3's server")
    guest.run("iperf3", "-u", "-b", "20M", "-t", "1", "-c", WAN_IP)
    check_network_works(guest, lab.wan)


def port_is_open(place, port):
    with place.socket() as probe:
        return probe.connect_ex((WAN_IP, port)) == 0


def check_resolv_conf_is_followed(lab, guest):
    Resolver(lab.wan, WAN_IP, "first")
    Resolver(lab.wan, WAN_IP2, "second")
    check_answered_by(guest, "first")
    lab.replace_resolv_conf(f"nameserver {WAN_IP2}\n")
    wait_for(lambda: "second" in dig(guest, "who.lab.test", "TXT", server=DNS).stdout, "the second's answer")
    check_answered_by(guest, "second")


def check_everything(lab, guest, path, program, *sealed):
    check_sealed(program, *sealed)
    check_programs(lab, guest)
    check_forwards(lab, guest, path)
    check_resolv_conf_is_followed(lab, guest)
    with api_client(path):  # somebody is connected at the end
        program.signal(signal.SIGTERM)
        program.wait_exit()
    check_equal(os.path.lexists(path), False, "API socket still there")


def own_rights(lab):
    """The capabilities that are left, and whether there is a new user namespace."""
    return (NET_BIND_SERVICE, False) if lab.user is None else (0, True)


def check_no_warning(program):
    lines = program.stderr().splitlines()
    check_equal([line for line in lines if not line.startswith(("sent tapfd=", "received tapfd="))], [],
                "lines on stderr")


@case(nobody=True)
def everything_works(lab):
    guest, path = lab.guest(), api_path(lab)
    program = lab.serve(guest, "-a", path)
    check_everything(lab, guest, path, program, *own_rights(lab))
    check_no_warning(program)


def copy_for_all(lab):
    """The program where an unprivileged user finds it."""
    os.chmod(lab.directory, 0o755)
    copy = f"{lab.directory}/lwip4netns"
    shutil.copy(lab.program, copy)
    os.chmod(copy, 0o755)
    return copy


def root_in(guest):
    """What to put before a command to be root of the guest's user namespace."""
    namespace = guest.holder.ns("user")
    return [*as_user(NOBODY), "nsenter", f"--user={namespace}", "--preserve-credentials", "--"]


@case
def everything_works_in_a_user_namespace(lab):
    """As podman and RootlessKit start it: root of a user namespace, to which the guest belongs as well."""
    guest, path = lab.guest(user=NOBODY), api_path(lab)
    os.chown(os.path.dirname(path), NOBODY, NOBODY)
    program = lab.serve(guest, *FLAGS, "-a", path, before=root_in(guest), program=copy_for_all(lab))
    check_everything(lab, guest, path, program, NET_BIND_SERVICE, False)


@case
def root_keeps_its_privileged_ports(lab):
    guest, path = lab.guest(), api_path(lab)
    lab.serve(guest, "-a", path)
    reply = ask(path, {"execute": "add_hostfwd",
                       "arguments": {"proto": "tcp", "host_port": 80, "guest_port": 80}})
    check_equal(reply, b'{"return":{"id":1}}', "reply to a forward of port 80")


@case(nobody=True)
def each_flag_alone(lab):
    for flag in (*FLAGS, "--create-sandbox"):
        guest = lab.guest()
        program = lab.serve(guest, flag)
        check_sealed(program, *own_rights(lab))
        check_network_works(guest, lab.wan)
        program.signal(signal.SIGTERM)
        program.wait_exit()


@case(nobody=True)
def inherited_directory_is_no_way_out(lab):
    program = lab.serve(lab.guest(), before=["sh", "-c", 'exec 9</; exec "$@"', "sh"])
    check_equal("/" in open_files(program.pid), False, "the directory is still open")


def forbid_namespaces(target):
    """What to put before a command for which there can be no sandbox."""
    return [*root_in(target), "sh", "-c", 'echo 0 >/proc/sys/user/max_mnt_namespaces; exec "$@"', "sh"]


NO_SANDBOX = "sandbox: cannot make new mount, IPC and UTS namespaces: No space left on device"


@case
def goes_on_without_sandbox_and_says_so(lab):
    """In a container, say. Everything works, the file of the API socket is removed, and the filter is there."""
    guest, path = lab.guest(user=NOBODY), api_path(lab)
    os.chown(os.path.dirname(path), NOBODY, NOBODY)
    program = lab.serve(guest, "-a", path, before=forbid_namespaces(guest), program=copy_for_all(lab))
    check_equal(program.stderr().splitlines()[2:], [f"warning: {NO_SANDBOX}; going on without"],
                "lines on stderr after those about the TAP device")
    check_equal(status_of(program.pid)["Seccomp"], SECCOMP_FILTER, "seccomp")
    check_forwards(lab, guest, path)
    check_resolv_conf_is_followed(lab, guest)
    program.signal(signal.SIGTERM)
    program.wait_exit()
    check_equal(os.path.lexists(path), False, "API socket still there")


@case
def namespaces_forbidden(lab):
    """The flag is no wish: without a sandbox no network, and nothing is left behind."""
    path = api_path(lab)
    os.chown(os.path.dirname(path), NOBODY, NOBODY)
    target = lab.guest(user=NOBODY)
    inside = forbid_namespaces(target)
    done = lab.run_as(copy_for_all(lab), "-c", "-a", path, *FLAGS, target.pid, "tap0", before=inside)
    check_equal(done.returncode, 1, "exit status")
    check_equal(done.stderr.splitlines()[-1], NO_SANDBOX, "last line on stderr")
    check_equal(os.path.lexists(path), False, "API socket left behind")


def refusing(*calls):
    """What to put before a command for which these system calls fail, as a container's filter makes them."""
    return [sys.executable, f"{HERE}/refusing.py", *calls, "--"]


@case
def in_a_container_without_namespaces_and_filters(lab):
    """A line of warning for each layer that is missing, the rights go, and no file can be opened all the same."""
    guest = lab.guest()
    program = lab.serve(guest, before=refusing("unshare", "seccomp"))
    check_equal(program.stderr().splitlines()[2:],
                ["warning: sandbox: cannot make new mount, IPC and UTS namespaces: Operation not permitted; going "
                 "on without",
                 "warning: seccomp: cannot make a filter; going on without"],
                "lines on stderr after those about the TAP device")
    check_equal(int(status_of(program.pid)["CapEff"], 16), NET_BIND_SERVICE, "capabilities")
    check_equal(status_of(program.pid)["NoNewPrivs"], "1", "no_new_privs")
    check_limits(program.pid)
    check_network_works(guest, lab.wan)


@case
def in_a_container_the_flags_are_no_wishes(lab):
    no_namespaces = "sandbox: cannot make new mount, IPC and UTS namespaces: Operation not permitted"
    for flag, call, text in (("--enable-sandbox", "unshare", no_namespaces),
                             ("--enable-seccomp", "seccomp", "seccomp: cannot make a filter")):
        done = lab.run_program("-c", flag, lab.guest().pid, "tap0", before=refusing(call))
        check_equal((done.returncode, done.stderr.splitlines()[2:]), (1, [text]),
                    f"exit status and end of stderr with {flag}")


@case(nobody=True)
def callers_see_what_is_left(lab):
    """A process of the same user reads the root and the rights, as RootlessKit's test does."""
    program = lab.serve(lab.guest())
    user = as_user(lab.user) if lab.user is not None else []
    listed = subprocess.run([*user, "ls", f"/proc/{program.pid}/root/"], capture_output=True, text=True, check=True)
    check_equal(listed.stdout.split(), ["etc", "run"], "root directory")
    subprocess.run([*user, "readlink", f"/proc/{program.pid}/ns/mnt"], capture_output=True, check=True)


def check_named_by_descriptor(program, directory):
    """The API socket works, was made in the directory, and is removed from there."""
    path = f"{directory}/api.sock"
    check_equal(ask(path, b'{"execute":"list_hostfwd"}')[:9], b'{"return"', "reply")
    check_equal(directory in open_files(program.pid), False, "the directory is still open")
    program.signal(signal.SIGTERM)
    program.wait_exit(expected=None)
    check_equal(os.path.lexists(path), False, "API socket still there")


@case(nobody=True)
def arguments_name_inherited_descriptors(lab):
    """What they mean is open before the descriptors are closed."""
    directory = os.path.dirname(api_path(lab))
    before = ["sh", "-c", f'exec 9<{directory}; exec "$@"', "sh"]
    check_named_by_descriptor(lab.serve(lab.guest(), "-a", "/proc/self/fd/9/api.sock", before=before), directory)
    program = start(lab, "echo up; exec sleep 1000", "-a", "/proc/self/fd/9/api.sock", before=before)
    wait_output(program, "up\n")
    check_named_by_descriptor(program, directory)


@case(nobody=True)
def namespaces_named_by_inherited_descriptors(lab):
    """Their end is noticed all the same, though no path of theirs means anything to the monitor."""
    guest = lab.guest()
    before = ["sh", "-c", f'exec 8<{guest.holder.ns("user")} 9<{guest.net}; exec "$@"', "sh"]
    program = lab.launch("-c", "--netns-type=path", "--userns-path=/proc/self/fd/8", "/proc/self/fd/9", "tap0",
                         before=before).wait_ready()
    check_network_works(guest, lab.wan)
    namespaces = [name for name in open_files(program.pid) if name.startswith(("net:", "user:"))]
    check_equal(namespaces, [], "namespaces that are still open")
    guest.die()
    program.wait_exit()


@case(nobody=True)
def killed_worker_leaves_nothing(lab):
    guest, path = lab.guest(), api_path(lab)
    program = lab.serve(guest, "-a", path)
    program.kill()
    program.wait_gone()
    check_equal(os.path.lexists(path), False, "API socket left behind")


@case(nobody=True)
def run_works(lab):
    Resolver(lab.wan, WAN_IP, "first")
    serve_page(lab)
    script = "curl -sS --max-time 20 http://www.lab.test:8080/; kill -TERM $$"
    done = run(lab, "bash", "-c", script)
    check_equal((done.returncode, done.stderr), (128 + signal.SIGTERM, ""), "exit status, stderr")
    check_in("the page", done.stdout, "page")


@case(nobody=True)
def run_forwards_signals_and_ends_what_is_left(lab):
    script = "trap 'echo got it; exit 7' USR1; sleep 1000 & setsid sleep 1000 & echo up; wait"
    program = start(lab, script)
    wait_output(program, "up\n")
    check_equal(sorted(os.listdir(f"/proc/{program.pid}/root/")), ["etc", "run"], "root directory")
    program.signal(signal.SIGUSR1)
    program.wait_exit(7)
    check_in("got it", program.stdout(), "output of the command")


if __name__ == "__main__":
    runner.main()
