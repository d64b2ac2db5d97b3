#!/usr/bin/env python3
"""Starts that must fail: one clear line with the step and the reason, exit 1, and nothing left behind."""
import os
import re

import runner
from namespaces import NOBODY, Failed, Holder, as_user
from netio import check_equal, check_in, check_network_works
from runner import case
from tuntap import open_tun


def check_start_fails(lab, *argv, step, reason, before=()):
    """One clear line with the step and the reason, then the child's failure; exit 1 and nothing left."""
    done = lab.run_program(*argv, before=before)
    check_equal(done.returncode, 1, "exit status")
    lines = done.stderr.splitlines()
    if not any(re.search(step, line) and line.endswith(reason) for line in lines):
        raise Failed(f"no line with {step!r} and {reason!r}:\n{done.stderr}")
    check_equal(lines[-1:], ["child failed(1)"], "last line on stderr")
    check_equal(len(lines), 2, "number of lines on stderr: " + done.stderr)


def dead_pid():
    """A process number that is free now and stays so for a while."""
    process = Holder([])
    process.close()
    return process.pid


@case(nobody=True)
def dead_target(lab):
    pid = dead_pid()
    check_start_fails(lab, "-c", pid, "tap0", step=f"/proc/{pid}/ns/net", reason="No such file or directory")


@case
def missing_path(lab):
    done = lab.run_program("-c", "--netns-type=path", "/nonexistent/netns", "tap0")
    check_equal(done.returncode, 1, "exit status")
    line = "existing path expected when --netns-type=path: No such file or directory\n"
    check_equal(done.stderr, line, "stderr")


@case
def path_is_no_namespace(lab):
    check_start_fails(lab, "-c", "--netns-type=path", "/etc/hostname", "tap0", step=r"setns\(CLONE_NEWNET\)",
                      reason="Invalid argument")


@case(nobody=True)
def no_permission(lab):
    """An unprivileged user and the namespace of a process of root."""
    guest = lab.guest(user=None)
    become = as_user(NOBODY) if lab.user is None else []
    check_start_fails(lab, "-c", guest.pid, "tap0", step=f"/proc/{guest.pid}/ns/net",
                      reason="Permission denied", before=become)
    check_equal(guest.interface_exists("tap0"), False, "TAP left behind")


@case
def no_permission_by_path(lab):
    """The path can be opened, but not entered."""
    lab.host.sh("umount /run/netns; mount -t tmpfs -o mode=755 e2e /run/netns")
    with lab.named_netns("e2e") as (_, path):
        check_start_fails(lab, "-c", "--netns-type=path", path, "tap0", step=r"setns\(CLONE_NEWNET\)",
                          reason="Operation not permitted",
                          before=as_user(NOBODY))


@case(nobody=True)
def no_tun_device(lab):
    lab.host.run("rm", "/dev/net/tun")
    guest = lab.guest()
    check_start_fails(lab, "-c", guest.pid, "tap0", step="/dev/net/tun", reason="No such file or directory")
    check_equal(guest.interface_exists("tap0"), False, "TAP left behind")


@case
def no_access_to_tun_device(lab):
    lab.host.run("chmod", "600", "/dev/net/tun")
    guest = lab.guest(user=NOBODY)
    check_start_fails(lab, "-c", guest.pid, "tap0", step="/dev/net/tun", reason="Permission denied",
                      before=as_user(NOBODY))


@case(nobody=True)
def tap_name_taken(lab):
    """By an interface of another kind."""
    guest = lab.guest()
    guest.run("ip", "link", "add", "tap0", "type", "veth", "peer", "name", "other0")
    check_start_fails(lab, "-c", guest.pid, "tap0", step="TUNSETIFF|attach", reason="Invalid argument")
    check_equal(guest.interface_exists("tap0"), True, "the interface of that name")


@case
def tap_busy(lab):
    """By another process that has it open."""
    guest = lab.guest()
    guest.sh("ip tuntap add tap0 mode tap")
    holder = open_tun(guest, "tap0")
    try:
        check_start_fails(lab, "-c", guest.pid, "tap0", step="TUNSETIFF|attach",
                          reason="Device or resource busy")
    finally:
        os.close(holder)


@case
def two_runs_on_one_guest(lab):
    """The second finds the TAP busy and leaves the first alone."""
    guest = lab.guest()
    lab.serve(guest)
    check_start_fails(lab, "-c", guest.pid, "tap0", step="TUNSETIFF|attach", reason="Device or resource busy")
    check_network_works(guest, lab.wan)


@case
def failed_start_closes_ready_fd(lab):
    """A caller that waits for the ready byte sees the end of the pipe instead."""
    program = lab.launch("-c", dead_pid(), "tap0")
    try:
        program.wait_ready()
    except Failed as failure:
        check_in("gave b''", str(failure), "ready descriptor")
    else:
        raise Failed("ready byte although the target is dead")
    program.wait_exit(expected=1)


if __name__ == "__main__":
    runner.main()
