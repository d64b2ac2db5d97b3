#!/usr/bin/env python3
"""The command line: what every wrong option is told, and what callers look for in the texts."""
import os
import re

import runner
from namespaces import Failed
from netio import check_equal, check_in
from runner import case

# Placeholders in the tables: a living guest, so that an option taken by mistake does no harm; a free path.
TARGET, SOCKET = "<target>", "<socket>"

# Options that are known but have no feature behind them yet: refused by name. It shrinks as features arrive.
DISABLED_LOOPBACK_WARNING = ("WARNING: --no-host-loopback is deprecated and will be removed in future "
                             "releases, please use --disable-host-loopback instead.")
BAD_MAC = "macaddress has to be a valid MAC address (hex string, 6 bytes, each byte separated by a ':')."
BAD_MTU = "MTU must be a positive integer (< 65522)"
BAD_FD = "{} must be a non-negative integer"

# What is wrong on the command line: arguments, the text on stderr, and whether the usage follows on stdout
# (None: either will do).
ERRORS = [
    (["-e", "-1", TARGET, "tap0"], BAD_FD.format("exit-fd"), True),
    (["-e", "x", TARGET, "tap0"], BAD_FD.format("exit-fd"), True),
    (["--exit-fd=", TARGET, "tap0"], BAD_FD.format("exit-fd"), True),
    (["-r", "-1", TARGET, "tap0"], BAD_FD.format("ready-fd"), True),
    (["--ready-fd=3x", TARGET, "tap0"], BAD_FD.format("ready-fd"), True),
    (["-m", "0", TARGET, "tap0"], BAD_MTU, True),
    (["-m", "-1500", TARGET, "tap0"], BAD_MTU, True),
    (["-m", "65522", TARGET, "tap0"], BAD_MTU, True),
    (["--mtu=1500x", TARGET, "tap0"], BAD_MTU, True),
    (["--mtu=99999999999999999999", TARGET, "tap0"], BAD_MTU, True),
    (["-a", "/" + "a" * 107, TARGET, "tap0"], "the specified API socket path is too long (>= 108)", False),
    (["--cidr=nonsense", TARGET, "tap0"], "invalid CIDR: nonsense", False),
    (["--cidr=10.0.2.0", TARGET, "tap0"], "invalid CIDR: 10.0.2.0", False),
    (["--cidr=300.0.2.0/24", TARGET, "tap0"], "invalid network address: 300.0.2.0", False),
    (["--cidr=10.0.2.0/0", TARGET, "tap0"], "prefix length needs to be 1-25", False),
    (["--cidr=10.0.2.0/26", TARGET, "tap0"], "prefix length needs to be 1-25", False),
    (["--cidr=10.0.2.100/24", TARGET, "tap0"],
     "CIDR needs to be a network address like 10.0.2.0/24, not like 10.0.2.100/24", False),
    (["-6", "--cidr6=fd00::/63", TARGET, "tap0"], "IPv6 prefix length needs to be 64-120", False),
    (["--userns-path=/nonexistent", TARGET, "tap0"], "userns path doesn't exist: /nonexistent", True),
    (["--outbound-addr=nonsense/", TARGET, "tap0"],
     "outbound-addr has to be valid ipv4 address or interface name.", False),
    (["--outbound-addr6=nonsense/", TARGET, "tap0"],
     "outbound-addr6 has to be valid ipv6 address or interface name.", False),
    (["--macaddress=0e:d4:18:d9:38:fb", TARGET, "tap0"],
     "--macaddr cannot be specified when --configure or -c is not specified", True),
    (["-c", "--macaddress=0e:d4:18:d9:38", TARGET, "tap0"],
     f'"0e:d4:18:d9:38" is an invalid MAC address.\n{BAD_MAC}', False),
    (["-c", "--macaddress=zz:d4:18:d9:38:fb", TARGET, "tap0"],
     f'"zz:d4:18:d9:38:fb" is an invalid MAC address.\n{BAD_MAC}', False),
    (["-c", "--macaddress=0e:d4:18:d9:38:fb:00", TARGET, "tap0"],
     f'"0e:d4:18:d9:38:fb:00" is an invalid MAC address.  Is it too long?\n{BAD_MAC}', False),
    (["--target-type=vhost", TARGET, "tap0"], '--target-type must be either "netns" or "bess"', True),
    (["--target-type=bess", "-c", SOCKET], "--configure conflicts with --target-type=bess", True),
    (["--target-type=bess", "--netns-type=pid", SOCKET],
     "--netns-type conflicts with --target-type=bess", True),
    (["--target-type=bess", "--userns-path=/proc/self/ns/user", SOCKET],
     "--userns-path conflicts with --target-type=bess", True),
    (["--target-type=bess", SOCKET, "extra"], "too many arguments", None),
    (["0", "tap0"], "PID must be a positive integer", True),
    (["-c", "abc", "tap0"], "PID must be a positive integer", True),
    (["--", "-5", "tap0"], "PID must be a positive integer", True),
    (["--netns-type=path", "/nonexistent", "tap0"],
     "existing path expected when --netns-type=path: No such file or directory", True),
    (["--netns-type=tapfd", "x"], "TAPFD must a file descriptor", True),
]

# Errors whose wording is free, as long as the option is named.
OTHER_ERRORS = [
    (["--nonsense", TARGET, "tap0"], "--nonsense"),
    (["--netns-type=nonsense", TARGET, "tap0"], "netns-type"),
    (["-m"], "'m'"),
    (["--mtu"], "--mtu"),
    (["-Z", TARGET, "tap0"], "'Z'"),
    (["-m", "67", TARGET, "tap0"], "MTU"),
]

HELP_WORDS = ("--netns-type --enable-ipv6 --cidr --disable-host-loopback --api-socket --enable-sandbox "
              "--enable-seccomp --outbound-addr --mtu").split()


def usage_line(program):
    return f"Usage: {program} [OPTION]... PID|PATH|FD [TAPNAME]"


def link_as(lab, name):
    """The same program under another name."""
    link = os.path.join(lab.directory, name)
    os.symlink(lab.program, link)
    return link


def run_row(lab, argv, guest):
    known = {TARGET: guest.pid, SOCKET: f"{lab.directory}/socket"}
    return lab.run_program(*(known.get(argument, argument) for argument in argv))


@case
def errors(lab):
    """Every row of the table, all failures told at once."""
    guest = lab.guest()
    wrong = []
    for argv, text, usage in ERRORS:
        done = run_row(lab, argv, guest)
        has_usage = done.stdout.splitlines()[:1] == [usage_line(lab.program)]
        if (done.returncode, done.stderr) != (1, text + "\n") or usage not in (has_usage, None):
            wrong.append(f"{' '.join(argv)}: exit {done.returncode}, stderr {done.stderr!r}, "
                         f"stdout begins {done.stdout[:60]!r}")
    check_equal(guest.interface_exists("tap0"), False, "TAP left behind")
    if wrong:
        raise Failed("\n".join(wrong))


@case
def other_errors(lab):
    guest = lab.guest()
    for argv, word in OTHER_ERRORS:
        done = run_row(lab, argv, guest)
        check_equal(done.returncode, 1, f"exit status of {argv}")
        check_in(word, done.stderr, f"stderr of {argv}")


@case
def missing_arguments(lab):
    """Too little on the command line: the usage, and failure."""
    guest = lab.guest()
    for argv in ([], ["-c"], [TARGET], ["--netns-type=path", "/proc/self/ns/net"], ["--netns-type=tapfd"],
                 ["--target-type=bess"]):
        done = run_row(lab, argv, guest)
        check_equal(done.returncode, 1, f"exit status of {argv}")
        check_equal(done.stdout.splitlines()[:1], [usage_line(lab.program)], f"stdout of {argv}")


@case
def help_text(lab):
    """Other programs look for whole words in it to learn what is possible."""
    for option in ("-h", "--help"):
        done = lab.run_program(option)
        check_equal((done.returncode, done.stderr), (0, ""), "exit status and stderr")
        check_equal(done.stdout.splitlines()[0], usage_line(lab.program), "first line")
        for word in HELP_WORDS:
            if not re.search(rf"(?<![\w-]){word}(?![\w-])", done.stdout):
                raise Failed(f"the help lacks {word}")


VERSION_LINES = [r"commit: \S+", r"lwip: 2\.2\.1", r"SLIRP_CONFIG_VERSION_MAX: 5",
                 r"libseccomp: \d+\.\d+\.\d+"]


def check_version(lab, program, first, other):
    for option in ("-v", "--version"):
        done = lab.run_as(program, option)
        check_equal((done.returncode, done.stderr), (0, ""), "exit status and stderr")
        lines = done.stdout.splitlines()
        if not re.fullmatch(first, lines[0]):
            raise Failed(f"first line {lines[0]!r} is not {first}")
        for wanted in [other, *VERSION_LINES]:
            if not any(re.fullmatch(wanted, line) for line in lines[1:]):
                raise Failed(f"no line {wanted} in:\n{done.stdout}")


@case
def version(lab):
    check_version(lab, lab.program, r"lwip4netns version \d+\.\d+\.\d+\S*", r"slirp4netns: 1\.3\.3")


@case
def version_under_the_old_name(lab):
    """Callers read the version of the program whose name they know."""
    link = link_as(lab, "slirp4netns")
    check_version(lab, link, r"slirp4netns version 1\.3\.3", r"lwip4netns: \d+\.\d+\.\d+\S*")


@case
def usage_under_the_old_name(lab):
    link = link_as(lab, "slirp4netns")
    check_equal(lab.run_as(link, "--help").stdout.splitlines()[0], usage_line(link), "first line")


@case
def options_in_any_form(lab):
    """Permuted, abbreviated and in one word, as getopt_long takes them."""
    guest = lab.guest()
    program = lab.launch(guest.pid, "-cm", "1400", "--disable-host", "tap0", "--cid=10.7.0.0/16").wait_ready()
    addresses = guest.run("ip", "addr", "show", "dev", "tap0").stdout
    check_in("10.7.0.100/16", addresses, "address")
    check_in("mtu 1400", addresses, "MTU")
    if "WARNING" in program.stdout():
        raise Failed("--disable-host-loopback was not understood")


@case
def too_many_arguments(lab):
    """Only a warning, then it goes on."""
    program = lab.launch("-c", lab.guest().pid, "tap0", "extra").wait_ready()
    check_in("WARNING: too many arguments\n", program.stdout(), "stdout")


@case
def deprecated_name(lab):
    program = lab.launch("-c", "--no-host-loopback", lab.guest().pid, "tap0").wait_ready()
    check_in(DISABLED_LOOPBACK_WARNING + "\n", program.stdout(), "stdout")
    if "is accessible as" in program.stdout():
        raise Failed("--no-host-loopback did not disable the host's loopback")


@case
def tap_name_too_long(lab):
    """The kernel's limit is 15; a name cut short would be another interface than the caller asked for."""
    guest = lab.guest()
    done = lab.run_program("-c", guest.pid, "tap4567890123456")
    check_equal(done.returncode, 1, "exit status")
    check_in("tap4567890123456", done.stderr, "stderr")


if __name__ == "__main__":
    runner.main()
