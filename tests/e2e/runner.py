"""Runs the cases of one end-to-end test script: `test_x.py PROGRAM [CASE...]`, one line per case.

Every case gets a fresh laboratory. A case may be run a second time with everything owned by an
unprivileged user; its name then ends in `@nobody`. And once more about IPv6: `@ipv6`.

A script is the first process of a PID namespace: what its cases start ends with it, at the latest, however it
ends itself. What daemons a case has left behind (dhclient makes itself one) ends with the case.
"""
import contextlib
import os
import resource
import signal
import sys
import time
import traceback

from lab import IPV4, IPV6, Lab
from namespaces import NOBODY, Failed, kill_pid

CASE_SECONDS = 100  # a safety net far above what any case takes
OUTER = "E2E_OUTER_PID_NAMESPACE"  # environment variable: where the first process came from

_cases = {}


def case(function=None, *, nobody=False, ipv4=True, ipv6=False, name=None):
    """Registers a test case; with nobody=True it also runs as an unprivileged user, with ipv6=True in a
    laboratory that is about IPv6: as that user, if it can."""
    def register(body):
        key = name or body.__name__
        if ipv4:
            _cases[key] = (body, None, IPV4)
        if ipv4 and nobody:
            _cases[key + "@nobody"] = (body, NOBODY, IPV4)
        if ipv6:
            _cases[key + "@ipv6"] = (body, NOBODY if nobody else None, IPV6)
        return body
    return register(function) if function else register


def _on_alarm(_signal, _frame):
    raise Failed(f"case still runs after {CASE_SECONDS} s")


def _on_term(_signal, _frame):
    sys.exit(143)


def _run_case(program, name):
    """Runs one case; returns None, or the text that explains its failure. The end of the laboratory is part
    of the case, and what fails there is told after what failed before."""
    body, user, net = _cases[name]
    problems = []
    signal.alarm(CASE_SECONDS)
    lab = Lab(program, user, net)
    try:
        with lab:
            try:
                body(lab)
            except Exception as failure:
                problems.append(_describe(failure))
    except Exception as failure:
        problems.append(_describe(failure))
    finally:
        signal.alarm(0)
        _end_what_is_left()
    return "\n".join([*problems, *(run.log() for run in lab.programs)]) if problems else None


def _describe(failure):
    """A failed expectation in one line, anything else with its traceback."""
    if isinstance(failure, Failed):
        return _where(failure)
    return "".join(traceback.format_exception(failure)).rstrip()


def _where(failure):
    """The message, and the line of the test that was running."""
    frames = traceback.extract_tb(failure.__traceback__)
    lines = [frame.lineno for frame in frames if os.path.basename(frame.filename).startswith("test_")]
    return f"{failure} (line {lines[-1]})" if lines else str(failure)


def _select(names):
    unknown = [name for name in names if name not in _cases]
    if unknown:
        sys.exit(f"unknown case {', '.join(unknown)}; there are: {', '.join(_cases)}")
    return names or list(_cases)


def _become_first_process():
    """Starts the script once more, as the first process of a PID namespace."""
    here = os.readlink("/proc/self/ns/pid")
    if os.environ.pop(OUTER, here) != here:
        return
    os.environ[OUTER] = here
    os.execvp("unshare", ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--", *sys.orig_argv])


def _end_what_is_left():
    """Whoever has lost his parent has become a child of the first process, dead ones included."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in _children():
                kill_pid(pid)
            os.waitpid(-1, 0)


def _children():
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def prepare():
    """What a script needs before it makes laboratories: root, processes of its own, many descriptors, a clean
    way to be ended."""
    if os.geteuid() != 0:
        sys.exit("needs root: network and mount namespaces are made here")
    _become_first_process()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.signal(signal.SIGTERM, _on_term)


def main():
    """Entry point of every test script."""
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} PROGRAM [CASE...]\ncases: {', '.join(_cases)}")
    prepare()
    if not os.access(sys.argv[1], os.X_OK):
        sys.exit(f"no such program: {sys.argv[1]}")
    names = _select(sys.argv[2:])
    failed = 0
    for name in names:
        begin = time.monotonic()
        problem = _run_case(sys.argv[1], name)
        failed += problem is not None
        print(f"{'FAIL' if problem else 'ok  '} {name} ({time.monotonic() - begin:.1f} s)", flush=True)
        if problem:
            print("     " + problem.replace("\n", "\n     "), flush=True)
    print(f"{len(names) - failed} of {len(names)} cases passed")
    sys.exit(1 if failed else 0)
