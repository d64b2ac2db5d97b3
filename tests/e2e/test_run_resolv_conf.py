#!/usr/bin/env python3
"""resolv.conf in `lwip4netns run`: ours inside, whatever the host has, and the host's is never changed."""
import os
import signal
import stat
import time

import runner
from lab import DNS, WAN_IP
from namespaces import wait_for
from netio import check_equal
from commands import run, run_sh, start, wait_output
from runner import case

NAME = "www.lab.test"


def shown(file):
    """What a path inside leads to, from the view of the host: `mode size mtime inode content`."""
    info = os.lstat(file)
    content = os.readlink(file) if stat.S_ISLNK(info.st_mode) else ""
    if stat.S_ISREG(info.st_mode):
        with open(file, "rb") as opened:
            content = opened.read()
    return info.st_mode, info.st_size, info.st_mtime_ns, info.st_ino, content


def tree(folder):
    """Every file below a folder, for comparison."""
    return {path: shown(path) for top, folders, files in os.walk(folder)
            for path in [os.path.join(top, name) for name in [*folders, *files]]}


def serve_name(lab):
    lab.wan.start("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                  "--user=root", "--pid-file=", "--bind-interfaces", f"--listen-address={WAN_IP}",
                  f"--address=/{NAME}/{WAN_IP}")
    wait_for(lambda: lab.wan.run("dig", f"@{WAN_IP}", "+short", NAME, check=False).stdout.strip() == WAN_IP,
             "the name server")


def replace_by_link(lab, target):
    os.unlink(lab.resolv_conf)
    os.symlink(target, lab.resolv_conf)


def link_to_file(lab):
    """Over two links, as systemd-resolved and resolvconf have it."""
    os.mkdir(f"{lab.directory}/etc/e2e", 0o755)
    os.rename(lab.resolv_conf, f"{lab.directory}/etc/e2e/real.conf")
    os.symlink("/etc/e2e/real.conf", f"{lab.directory}/etc/e2e/hop")
    os.symlink("e2e/hop", lab.resolv_conf)


def link_out_of_etc(lab):
    os.chmod(lab.directory, 0o755)
    with open(f"{lab.directory}/stub.conf", "w", encoding="ascii") as file:
        file.write(f"nameserver {WAN_IP}\n")
    replace_by_link(lab, f"{lab.directory}/stub.conf")


def remove_file(lab):
    os.unlink(lab.resolv_conf)


def make_folder(lab):
    os.unlink(lab.resolv_conf)
    os.mkdir(lab.resolv_conf)


RESOLV_CONFS = {
    "file": lambda lab: None,
    "empty_file": lambda lab: open(lab.resolv_conf, "w", encoding="ascii").close(),
    "link": link_to_file,
    "link_out_of_etc": link_out_of_etc,
    "missing": remove_file,
    "link_to_missing_file": lambda lab: replace_by_link(lab, "/etc/no-such-file"),
    "link_to_missing_folder": lambda lab: replace_by_link(lab, "../no/such/folder/stub-resolv.conf"),
    "link_to_itself": lambda lab: replace_by_link(lab, "resolv.conf"),
    "folder": make_folder,
}


def resolv_conf_case(prepare):
    def body(lab):
        prepare(lab)
        before, mounts = tree(f"{lab.directory}/etc"), lab.host.run("cat", "/proc/self/mountinfo").stdout
        program = start(lab, f"umask; cat /etc/resolv.conf; {LOOK}; echo done; read", before=WITH_UMASK)
        wait_output(program, "done")
        mask, resolver, *there = program.stdout().splitlines()[:-1]
        check_equal((mask, resolver), ("0077", f"nameserver {DNS}"), "umask and resolv.conf")
        check_equal(there, lab.host.sh(LOOK).stdout.splitlines(), "the other files of /etc")
        check_equal(tree(f"{lab.directory}/etc"), before, "the host's /etc while it runs")
        check_equal(lab.host.run("cat", "/proc/self/mountinfo").stdout, mounts, "the host's mounts")
        program.wait_exit(1)
        check_equal(tree(f"{lab.directory}/etc"), before, "the host's /etc afterwards")
    return body


# Who we are, by a file of /etc; whether others may read /etc; what else is there, and of what kind.
LOOK = ("id -un; stat -c %a /etc;"
        "find /etc -mindepth 1 -maxdepth 1 -not -name resolv.conf -printf '%f %y %l\\n' | sort")

# A caller with an unusual umask, and a standard input that stays open for a while.
WITH_UMASK = ["bash", "-c", 'umask 077; exec "$@" < <(sleep 1)', "bash"]

for _kind, _prepare in RESOLV_CONFS.items():
    case(name=f"resolv_conf_{_kind}", nobody=True)(resolv_conf_case(_prepare))


@case(nobody=True)
def names_are_resolved(lab):
    serve_name(lab)
    check_equal(run(lab, "getent", "hosts", NAME).stdout.split(), [WAN_IP, NAME], "answer")


@case(nobody=True)
def other_lines_of_resolv_conf(lab):
    serve_name(lab)
    with open(lab.resolv_conf, "a", encoding="ascii") as file:
        file.write("search lab.test\noptions timeout:9\n")
    check_equal(run(lab, "cat", "/etc/resolv.conf").stdout,
                f"nameserver {DNS}\nsearch lab.test\noptions timeout:9\n", "resolv.conf")
    check_equal(run(lab, "getent", "hosts", "www").stdout.split(), [WAN_IP, NAME], "answer")


@case(nobody=True)
def resolv_conf_left_alone_without_dns(lab):
    script = "cat /etc/resolv.conf; grep -c ' lwip4netns ' /proc/self/mountinfo"
    done = run_sh(lab, script, options=["--disable-dns"])
    check_equal(done.stdout, f"nameserver {WAN_IP}\n0\n", "stdout")


@case(nobody=True)
def resolv_conf_stays_ours(lab):
    """The host's file is renamed away, retargeted and removed while the command runs."""
    program = start(lab, "while :; do echo $(grep nameserver /etc/resolv.conf); sleep 0.05; done")
    ours = f"nameserver {DNS}\n"
    wait_output(program, ours)
    changes = (lambda: lab.replace_resolv_conf("nameserver 10.1.1.1\n"),
               lambda: lab.replace_resolv_conf("nameserver 10.1.1.2\n"),
               lambda: link_to_file(lab),
               lambda: replace_by_link(lab, "/etc/no-such-file"),
               lambda: lab.replace_resolv_conf("nameserver 10.1.1.3\n"))
    for change in changes:
        change()
        time.sleep(0.3)
        wait_for(lambda: program.stdout().endswith(4 * ours), "our resolv.conf after a change on the host")
    program.signal(signal.SIGTERM)
    program.wait_exit(143)


@case(nobody=True)
def resolv_conf_of_the_commands_own_making(lab):
    """What the command writes into it stays."""
    done = run_sh(lab, "echo nameserver 9.9.9.9 >/etc/resolv.conf && sleep 1 && cat /etc/resolv.conf")
    check_equal(done.stdout, "nameserver 9.9.9.9\n", "resolv.conf")
    with open(lab.resolv_conf, encoding="ascii") as file:
        check_equal(file.read(), f"nameserver {WAN_IP}\n", "the host's resolv.conf")


if __name__ == "__main__":
    runner.main()
