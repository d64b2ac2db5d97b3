#!/usr/bin/env python3
"""`lwip4netns run`: one command in namespaces of its own, with network, and nothing left of it afterwards."""
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

import runner
from commands import (FAILED, NOT_EXECUTABLE, NOT_FOUND, check_run, command_name, run, run_sh, sleeper_of,
                      start, wait_output)
from lab import DNS, GATEWAY, WAN_IP
from namespaces import NOBODY, Failed, as_user, wait_for
from netio import check_both_ways, check_equal, check_in, listener
from runner import case


# The exit status

@case(nobody=True)
def exit_status(lab):
    for status in (0, 1, 7, 125, 255):
        check_run(lab, "sh", "-c", f"exit {status}", status=status)


@case(nobody=True)
def exit_status_after_signal(lab):
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1, signal.SIGSEGV, signal.SIGPIPE):
        check_run(lab, "bash", "-c", f"ulimit -c 0; kill -{int(number)} $$", status=128 + number)


@case(nobody=True)
def command_not_found(lab):
    check_run(lab, "no-such-command", status=NOT_FOUND,
              err="lwip4netns: cannot run no-such-command: command not found\n")
    check_run(lab, "/no/such/command", status=NOT_FOUND,
              err="lwip4netns: cannot run /no/such/command: No such file or directory\n")
    check_run(lab, "", status=NOT_FOUND, err="lwip4netns: cannot run : command not found\n")


@case(nobody=True)
def command_not_executable(lab):
    for file in ("/etc/passwd", "/etc"):
        check_run(lab, file, status=NOT_EXECUTABLE, err=f"lwip4netns: cannot run {file}: Permission denied\n")
    with tempfile.TemporaryDirectory() as folder:
        script = f"{folder}/script"
        os.chmod(folder, 0o755)
        with open(script, "w", encoding="ascii") as file:
            file.write("#!/no/such/interpreter\n")
        os.chmod(script, 0o755)
        check_run(lab, script, status=NOT_EXECUTABLE,
                  err=f"lwip4netns: cannot run {script}: its interpreter does not exist\n")


@case(nobody=True)
def output_is_the_commands(lab):
    """Nothing of ours among it, in either stream."""
    check_run(lab, "sh", "-c", "echo out; echo err >&2", out="out\n", err="err\n")


# The namespaces

def namespaces(text):
    return dict(re.findall(r"(\w+):\[(\d+)\]", text))


@case(nobody=True)
def ids(lab):
    """Root inside, the caller outside; real root stays what it is."""
    made = f"{lab.directory}/made"
    os.mkdir(made)
    os.chown(made, lab.user or 0, lab.user or 0)
    os.chmod(lab.directory, 0o755)
    done = run_sh(lab, f"id -u; id -g; touch {made}/file;"
                       "cat /proc/self/uid_map; grep CapEff /proc/self/status")
    uid, gid, uid_map, capabilities = done.stdout.splitlines()
    check_equal((uid, gid), ("0", "0"), "ids inside")
    check_equal(os.stat(f"{made}/file").st_uid, lab.user or 0, "owner of a new file")
    outside = "0 65534 1" if lab.user else "0 0 4294967295"
    check_equal(" ".join(uid_map.split()), outside, "map of the user ids")
    mine = lab.host.run("grep", "CapEff", "/proc/self/status").stdout.strip()
    if not lab.user:
        check_equal(capabilities, mine, "capabilities of root")
    elif int(capabilities.split()[1], 16) & 1 << 21 == 0:
        raise Failed(f"no CAP_SYS_ADMIN inside: {capabilities}")


@case(nobody=True)
def namespaces_of_its_own(lab):
    look = ["ls", "-l", "/proc/self/ns"]
    inside, outside = namespaces(run(lab, *look).stdout), namespaces(lab.host.run(*look).stdout)
    for kind in ("net", "mnt", "pid"):
        if inside[kind] == outside[kind]:
            raise Failed(f"the command shares the {kind} namespace")
    check_equal(inside["user"] == outside["user"], lab.user is None, "same user namespace")


@case(nobody=True)
def processes_inside(lab):
    """/proc shows the command's own world."""
    done = run_sh(lab, "echo $$ $PPID; cat /proc/1/comm /proc/$$/comm; ls -d /proc/[0-9]* | wc -l")
    check_equal(done.stdout.split()[:4], ["2", "1", "lwip4netns-init", "bash"], "processes")


@case(nobody=True)
def hidden_proc(lab):
    """In a container /proc cannot be mounted again: the command does without."""
    before = ["unshare", "-m", "sh", "-ec", 'mount --bind /dev/null /proc/version; exec "$@"', "sh"]
    done = run_sh(lab, "wc -c </proc/version; grep nameserver /etc/resolv.conf;"
                       f"ping -c 1 -W 5 {GATEWAY} >/dev/null && echo fine", before=before)
    hidden = "0" if lab.user else str(len(lab.host.run("cat", "/proc/version").stdout))  # root may uncover it
    check_equal(done.stdout.splitlines(), [hidden, f"nameserver {DNS}", "fine"], f"stdout; {done.stderr}")


@case(nobody=True)
def run_in_run(lab):
    """What it makes is good enough for itself."""
    done = run(lab, lab.program, "run", "--cidr=10.7.0.0/24", "--", "bash", "-c",
               "id -u; ip -br -4 addr show tap0; ping -c 1 -W 5 10.7.0.2 >/dev/null && echo fine; exit 9")
    check_equal(done.returncode, 9, f"exit status; {done.stderr}")
    check_in("10.7.0.100/24", done.stdout, "stdout")
    check_equal(done.stdout.splitlines()[-1], "fine", "ping")


@case(nobody=True)
def command_is_untraceable_for_init(lab):
    """The command has every right in its namespaces, but none over the process that looks after it."""
    done = run_sh(lab, "cat /proc/1/environ >/dev/null && echo read; kill -KILL 1; kill -TERM 1; echo alive")
    check_equal(done.stdout.splitlines(), ["alive"] if lab.user else ["read", "alive"], "stdout")


# The network

@case(nobody=True)
def network_from_the_first_moment(lab):
    with listener(lab.wan) as door:
        script = f"exec 3<>/dev/tcp/{WAN_IP}/{door.getsockname()[1]} && cat <&3"
        for _ in range(3):
            program = start(lab, script)
            peer, _ = door.accept()
            with peer:
                peer.sendall(b"hello\n")
            program.wait_exit(0)
            check_equal((program.stdout(), program.stderr()), ("hello\n", ""), "output")


@case(nobody=True)
def network_while_it_runs(lab):
    program = start(lab, "echo pid $$; exec sleep 1000")
    wait_output(program, "pid")
    check_both_ways(inside(lab, program), lab.wan, 1 << 22)
    program.signal(signal.SIGTERM)
    program.wait_exit(143)


def inside(lab, program):
    """A Place in the network namespace of a running command."""
    sleeper = sleeper_of(program)
    place = lab.guest()
    place.net, place.mount = f"/proc/{sleeper}/ns/net", None
    return place


@case(nobody=True)
def network_options(lab):
    """Each has its effect."""
    options = ["--cidr=10.5.0.0/16", "-m", "4000", "--macaddress=0e:d4:18:d9:38:fb"]
    done = run_sh(lab, "cat /etc/resolv.conf; ip addr show tap0; ip route; ping -c 1 -W 5 10.5.0.2",
                  options=options)
    for text in ("nameserver 10.5.0.3\n", "10.5.0.100/16", "mtu 4000", "0e:d4:18:d9:38:fb",
                 "default via 10.5.0.2", "1 received"):
        check_in(text, done.stdout, "stdout")


@case(nobody=True)
def host_loopback(lab):
    with listener(lab.host, "127.0.0.1") as door:
        script = f"exec 3<>/dev/tcp/{GATEWAY}/{door.getsockname()[1]} && echo connected"
        check_equal(run_sh(lab, script).stdout, "connected\n", "stdout")
        done = run_sh(lab, script, options=["--disable-host-loopback"])
        check_equal(done.stdout, "", "stdout with --disable-host-loopback")
        check_in("Network is unreachable", done.stderr, "stderr with --disable-host-loopback")


@case(nobody=True)
def tap_deleted_by_the_command(lab):
    """It has no network any more, but goes on, and nothing spins for it."""
    program = start(lab, "ip link del tap0; echo deleted; sleep 2; exit 5")
    wait_output(program, "deleted")
    before = processor_time(program.pid)
    time.sleep(1)
    if processor_time(program.pid) - before > 0.3:
        raise Failed("the worker spins")
    program.wait_exit(5)


def processor_time(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# What the command inherits

@case(nobody=True)
def inherited(lab):
    """Directory, environment, umask, limits, signals: as if started directly."""
    script = ("pwd; umask; ulimit -n; echo $E2E_VARIABLE; readlink /proc/self/fd/0;"
              "grep -E 'Sig(Blk|Ign)|NoNewPrivs' /proc/self/status")
    before = ["env", "E2E_VARIABLE=value",
              "bash", "-c", 'trap "" HUP USR1; cd /usr; umask 027; exec "$@"', "bash"]
    command = lab.program_command(["run", "--", "bash", "-c", script], before, lab.program)
    directly = lab.program_command(["-c", script], before, "bash")
    settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, "timeout": 20}
    ours, wanted = (subprocess.run(argv, **settings).stdout for argv in (command, directly))
    check_equal(ours, wanted, "what the command inherits")
    check_in("value", ours, "environment")


@case(nobody=True)
def inherited_ignored_sigchld(lab):
    """Some callers ignore it, and children of theirs cannot be waited for."""
    before = ["env", "--ignore-signal=CHLD"]
    check_run(lab, "grep", "SigIgn", "/proc/self/status", before=before, out="SigIgn:\t0000000000010000\n")
    check_run(lab, "sh", "-c", "exit 7", status=7, before=before)


@case(nobody=True)
def inherited_descriptors(lab):
    """Those of the caller reach the command, ours do not, and we keep none of them."""
    reader, writer = os.pipe()
    script = f"ls /proc/$$/fd; echo text >&{writer}; exec {writer}>&-; sleep 1000"
    command = lab.program_command(["run", "--", "bash", "-c", script], [], lab.program)
    with subprocess.Popen(command, pass_fds=[writer], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          text=True, start_new_session=True) as process:
        os.close(writer)
        try:
            signal.alarm(20)
            with os.fdopen(reader) as text:
                check_equal(text.read(), "text\n", "what came before the command closed the descriptor")
            inherited_ones = {process.stdout.readline().strip() for _ in range(4)}
            check_equal(inherited_ones, {"0", "1", "2", str(writer)}, "descriptors")
        finally:
            process.terminate()
            check_equal(process.wait(20), 143, "exit status")


@case(nobody=True)
def closed_standard_streams(lab):
    """Even a caller without any must not find our sockets in their place."""
    before = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    script = "for fd in 0 1 2; do [ $(readlink /proc/$$/fd/$fd) = /dev/null ] || exit 3; done; exit 4"
    done = run_sh(lab, script, before=before)
    check_equal(done.returncode, 4, "exit status")


# The end

DAEMON = "setsid sh -c '(trap \"\" HUP INT TERM; exec sleep 1000) >/dev/null 2>&1 </dev/null &'"


@case(nobody=True)
def nothing_is_left_behind(lab):
    """Neither jobs nor daemons that have cut all ties; run_program() looks for them."""
    done = run_sh(lab, f"{DAEMON}; sleep 1000 & nohup sleep 1000 >/dev/null 2>&1 &"
                       "sleep 0.3; pgrep -c sleep; exit 3")
    check_equal((done.returncode, done.stdout), (3, "3\n"), "outcome")


@case
def daemon_of_another_user_is_ended(lab):
    done = run_sh(lab, f"{shlex.join(as_user(NOBODY))} {DAEMON}; sleep 0.3; pgrep -c sleep")
    check_equal((done.returncode, done.stdout), (0, "1\n"), "outcome")


@case(nobody=True)
def many_are_ended(lab):
    check_run(lab, "bash", "-c", "for i in {1..200}; do sleep 1000 & done; exit 2", status=2)


@case(nobody=True)
def killed_worker_takes_all_along(lab):
    program = start(lab, f"{DAEMON}; echo ready; trap '' TERM HUP; while :; do sleep 1000; done")
    wait_output(program, "ready")
    program.kill()
    program.wait_gone()


@case(nobody=True)
def killed_monitor_ends_the_run(lab):
    program = start(lab, "echo ready; exec sleep 1000")
    wait_output(program, "ready")
    for pid in program.processes():
        if command_name(pid) == "lwip4netns-mon":
            os.kill(pid, signal.SIGKILL)
    program.wait_exit(FAILED)


@case(nobody=True)
def killed_init_ends_the_run(lab):
    program = start(lab, "echo ready; exec sleep 1000")
    wait_output(program, "ready")
    for pid in program.processes():
        if command_name(pid) == "lwip4netns-init":
            os.kill(pid, signal.SIGKILL)
    program.wait_exit(128 + signal.SIGKILL)


# What goes wrong

@case(nobody=True)
def no_tap_device(lab):
    """One line says why, and nothing is left."""
    mounts = lab.host.run("cat", "/proc/self/mountinfo").stdout
    before = ["unshare", "-m", "sh", "-ec", 'mount -t tmpfs e2e /dev/net; exec "$@"', "sh"]
    check_run(lab, "echo", "started", status=FAILED, before=before,
              err="cannot open /dev/net/tun: No such file or directory\n")
    check_equal(lab.host.run("cat", "/proc/self/mountinfo").stdout, mounts, "the host's mounts")


@case
def no_right_to_the_tap_device(lab):
    before = ["unshare", "-m", "sh", "-ec", "mount -t tmpfs -o mode=755 e2e /dev/net;"
              f'mknod -m 600 /dev/net/tun c 10 200; exec {shlex.join(as_user(NOBODY))} "$@"', "sh"]
    os.chmod(lab.directory, 0o755)
    copy = f"{lab.directory}/program"
    subprocess.run(["install", "-m", "755", lab.program, copy], check=True)
    done = lab.run_as(copy, "run", "--", "echo", "started", before=before)
    check_equal((done.returncode, done.stdout), (FAILED, ""), "outcome")
    check_in("cannot open /dev/net/tun: Permission denied\n", done.stderr, "stderr")


# A user namespace with all users and one limit at 0. The limits of a namespace are its root's to set.
WITHOUT = """
import ctypes, os, sys
inside, mapped, pid = os.pipe(), os.pipe(), os.getpid()
writer = os.fork()
if writer == 0:
    os.read(inside[0], 1)
    for kind in ("uid_map", "gid_map"):
        with open(f"/proc/{pid}/{kind}", "w") as file:
            file.write("0 0 65536")
    os.write(mapped[1], b"1")
    os._exit(0)
assert ctypes.CDLL(None).unshare(0x10000000) == 0
os.write(inside[1], b"1")
os.read(mapped[0], 1)
os.waitpid(writer, 0)
with open("/proc/sys/user/" + sys.argv[1], "w") as file:
    file.write("0")
os.execvp(sys.argv[2], sys.argv[2:])
"""


def check_forbidden(lab, what, setting, before):
    done = run(lab, "echo", "started", before=before)
    check_equal((done.returncode, done.stdout), (FAILED, ""), "outcome")
    lines = done.stderr.splitlines()
    check_in(f"lwip4netns: cannot make {what}", lines[0], "first line of stderr")
    check_equal(len(lines), 2, f"lines on stderr: {done.stderr}")
    check_in(setting, lines[1], "second line of stderr")


def limit_case(limit):
    def body(lab):
        made = "a user namespace" if lab.user else "namespaces"
        check_forbidden(lab, made, f"the setting user.{limit} = 0", [sys.executable, "-c", WITHOUT, limit])
    return body


case(name="limit_of_net_namespaces", nobody=True)(limit_case("max_net_namespaces"))
case(name="limit_of_pid_namespaces", nobody=True)(limit_case("max_pid_namespaces"))


@case
def limit_of_user_namespaces(lab):
    """Matters to those who need one. Root does not."""
    limit = [sys.executable, "-c", WITHOUT, "max_user_namespaces"]
    check_run(lab, "id", "-u", out="0\n", before=limit)
    lab.user = NOBODY
    lab.program = lab._readable_copy(lab.program)
    check_forbidden(lab, "a user namespace", "the setting user.max_user_namespaces = 0", limit)


def setting_case(setting, value):
    """The kernel refuses (here because of a chroot), and the setting, which it may not know, is there."""
    name = setting.removeprefix("kernel.")

    def body(lab):
        root = f"{lab.directory}/root"
        os.mkdir(root)
        before = ["unshare", "-m", "sh", "-ec",
                  f'mount --rbind / {root}; mount -t tmpfs -o mode=755 e2e {root}/proc/sys/kernel;'
                  f'echo {value} > {root}/proc/sys/kernel/{name}; exec chroot {root} "$@"', "sh"]
        lab.user = NOBODY
        lab.program = lab._readable_copy(lab.program)
        check_forbidden(lab, "a user namespace", f"the setting {setting} = {value}", before)
    return body


case(name="apparmor_restriction")(setting_case("kernel.apparmor_restrict_unprivileged_userns", 1))
case(name="userns_clone_switched_off")(setting_case("kernel.unprivileged_userns_clone", 0))


@case
def refused_for_another_reason(lab):
    root = f"{lab.directory}/root"
    os.mkdir(root)
    before = ["unshare", "-m", "sh", "-ec", f'mount --rbind / {root}; exec chroot {root} "$@"', "sh"]
    lab.user = NOBODY
    lab.program = lab._readable_copy(lab.program)
    check_forbidden(lab, "a user namespace", "no setting known to us forbids it: a chroot", before)


# The command line

@case
def command_line(lab):
    done = lab.run_program("run")
    check_equal((done.returncode, done.stderr), (FAILED, f"{lab.program} run: no command given\n"),
                "outcome without a command")
    check_in(f"Usage: {lab.program} run [OPTION]... [--] COMMAND [ARGUMENT]...\n", done.stdout, "usage")
    done = lab.run_program("run", "--help")
    check_equal((done.returncode, done.stderr), (0, ""), "outcome of --help")
    check_in(f"Usage: {lab.program} run [OPTION]... [--] COMMAND [ARGUMENT]...\n", done.stdout, "help")
    done = lab.run_program("run", "--configure", "ls")
    check_equal(done.returncode, FAILED, "exit status of an option that run does not have")
    check_equal(lab.run_program("run", "echo", "--help", "-c").stdout, "--help -c\n", "command without --")


if __name__ == "__main__":
    runner.main()
