#!/usr/bin/env python3
"""Runs a command for which some system calls fail with EPERM, as the filter of a container makes them.
usage: refusing.py SYSTEM_CALL... -- COMMAND..."""
import ctypes
import errno
import os
import sys

SCMP_ACT_ALLOW, SCMP_ACT_ERRNO = 0x7FFF0000, 0x00050000


def main():
    end = sys.argv.index("--")
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(SCMP_ACT_ALLOW))
    for name in sys.argv[1:end]:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        outcome = seccomp.seccomp_rule_add(context, SCMP_ACT_ERRNO | errno.EPERM, number, 0)
        if outcome != 0:
            sys.exit(f"cannot refuse {name}: {os.strerror(-outcome)}")
    if (outcome := seccomp.seccomp_load(context)) != 0:
        sys.exit(f"cannot load the filter: {os.strerror(-outcome)}")
    os.execvp(sys.argv[end + 1], sys.argv[end + 1:])


if __name__ == "__main__":
    main()
