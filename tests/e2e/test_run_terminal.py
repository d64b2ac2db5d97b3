#!/usr/bin/env python3
"""Signals and job control in `lwip4netns run`: for its user and the user's shell it is the command."""
import os
import shlex
import signal
import sys
import time

import runner
from namespaces import NOBODY, as_user, wait_for
from netio import check_equal
from commands import check_run, command_name, sleeper_of, start, wait_output
from runner import case
from terminal import INTERRUPT, QUIT, STOP, Terminal, state_of

SIGNALS = {"HUP": signal.SIGHUP, "INT": signal.SIGINT, "QUIT": signal.SIGQUIT, "TERM": signal.SIGTERM,
           "USR1": signal.SIGUSR1, "USR2": signal.SIGUSR2, "WINCH": signal.SIGWINCH, "ALRM": signal.SIGALRM,
           "CONT": signal.SIGCONT, "RTMIN+3": signal.SIGRTMIN + 3}


# Signals

def trap(*names):
    """A script that says which signals it gets, each as often as it gets it."""
    traps = "".join(f"trap 'echo got {name}' {name};" for name in names)
    return f"{traps} echo ready; while :; do sleep 0.02; done"


@case(nobody=True)
def signals_are_forwarded(lab):
    program = start(lab, trap(*SIGNALS))
    wait_output(program, "ready")
    for name, number in SIGNALS.items():
        program.signal(number)
        wait_output(program, f"got {name}\n")
    check_equal(program.process.poll(), None, "exit status while signals were handled")
    time.sleep(0.3)
    check_equal(len(program.stdout().splitlines()), 1 + len(SIGNALS), "lines")
    end_all(program)


def end_all(program):
    """SIGKILL cannot be forwarded, but takes everything along."""
    program.kill()
    program.wait_gone()


@case(nobody=True)
def signals_end_the_command(lab):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        program = start(lab, "echo ready; exec sleep 1000")
        wait_output(program, "ready")
        program.signal(number)
        program.wait_exit(128 + number)


@case
def signals_reach_a_command_of_another_user(lab):
    """The worker has given up its rights over others; the signal arrives all the same."""
    program = start(lab, f"echo ready; exec {shlex.join(as_user(NOBODY))} sleep 1000")
    wait_output(program, "ready")
    check_equal(os.stat(f"/proc/{sleeper_of(program)}").st_uid, NOBODY, "the command's user")
    program.signal(signal.SIGTERM)
    program.wait_exit(143)


@case(nobody=True)
def stopped_and_continued_without_terminal(lab):
    """No job control: only the command stops, nobody waits for it in vain."""
    program = start(lab, "echo ready; exec sleep 1000")
    wait_output(program, "ready")
    sleeper = sleeper_of(program)
    os.kill(sleeper, signal.SIGSTOP)
    wait_for(lambda: state_of(sleeper) == "T", "the command is stopped")
    check_equal(state_of(program.pid), "S", "state of the worker")
    program.signal(signal.SIGCONT)
    wait_for(lambda: state_of(sleeper) == "S", "the command goes on")
    program.signal(signal.SIGTERM)
    program.wait_exit(143)


PENDING = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getpid(), signal.SIGTERM)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@case(nobody=True)
def signal_during_the_start(lab):
    """There is no command to pass it to: there will be none."""
    check_run(lab, "echo", "started", status=143, before=[sys.executable, "-c", PENDING])


# On a terminal

def on_terminal(lab, *command, options=()):
    """Directly on a terminal, as from `xterm -e` or `ssh -t`: there is no shell to do job control."""
    return Terminal(lab.program_command(["run", *options, "--", *command], [], lab.program))


def in_shell(lab):
    """An interactive shell of the lab's user on the host; `$run` starts a command."""
    user = as_user(lab.user) if lab.user is not None else []
    terminal = Terminal(lab.host.command([*user, "bash", "--norc", "--noprofile", "-i"]), PS1="@ ",
                        run=f"{lab.program} run --")
    terminal.expect("@ ")
    return terminal


@case(nobody=True)
def interrupt_key(lab):
    """Reaches the command once, and ends nobody else."""
    for form in ("$run bash -c {}", "$run bash -c {} | (trap '' INT QUIT; cat)", "true | $run bash -c {}"):
        with in_shell(lab) as terminal:
            terminal.line(form.format(shlex.quote(trap("INT", "QUIT"))))
            terminal.expect("^ready$")
            for key, name in ((INTERRUPT, "INT"), (QUIT, "QUIT")):
                terminal.type(key)
                terminal.expect(f"got {name}$")
                terminal.watch(0.5)
                check_equal(terminal.count(f"got {name}$"), 1, f"{name} in {form}\n{terminal.screen}")


@case(nobody=True)
def interrupt_key_ends_the_command(lab):
    with in_shell(lab) as terminal:
        for script in ("$run sleep 1000", "$run sleep 1000 | cat", "true | $run sleep 1000"):
            terminal.line(f"{script}; echo status ${{PIPESTATUS[*]}}")
            sleeper_of(terminal)
            terminal.type(INTERRUPT)
            terminal.expect("@ ")
            wait_for(lambda: "sleep" not in map(command_name, terminal.processes()), "end of the command")
        terminal.line("exit 5")
        check_equal(terminal.wait_exit(), 5, "exit status of the shell")


@case(nobody=True)
def interrupt_key_ends_a_script_too(lab):
    """As it does when the command is a child of the script."""
    script = f"{lab.program} run -- sleep 1000; echo not reached"
    with Terminal(lab.program_command(["-c", script], [], "sh")) as terminal:
        sleeper_of(terminal)
        terminal.type(INTERRUPT)
        check_equal(terminal.wait_exit(), -signal.SIGINT, "exit status of the script")
        check_equal(terminal.count("not reached"), 0, "the script went on")


@case(nobody=True)
def window_size(lab):
    """The signal comes once, whether or not the command has a process group of its own."""
    for form in ("$run bash -c {}", "cat /dev/null | $run bash -c {}"):
        with in_shell(lab) as terminal:
            terminal.line(form.format(shlex.quote(trap("WINCH"))))
            terminal.expect("^ready$")
            terminal.resize(50, 132)
            terminal.expect("^got WINCH$")
            terminal.watch(0.5)
            check_equal(terminal.count("^got WINCH$"), 1, f"signals in {form}")


@case(nobody=True)
def stop_key(lab):
    """The shell gets its terminal back; fg and bg go on; the network does too."""
    for form in ("$run cat", "$run cat | cat"):
        with in_shell(lab) as terminal:
            terminal.line(form)
            wait_for(lambda: "cat" in map(command_name, terminal.processes()), "the command")
            terminal.line("one")
            terminal.expect("^one$\n^one$")
            terminal.type(STOP)
            terminal.expect(r"Stopped.*\n@ ")
            terminal.line("jobs; echo shell $((1 + 1))")
            terminal.expect(r"Stopped[^@]*shell 2\n@ ")
            terminal.line("fg")
            terminal.expect(r"^\$run cat")
            terminal.line("two")
            terminal.expect("^two$\n^two$")
            terminal.type(INTERRUPT)
            terminal.expect("@ ")
            terminal.line("echo status $?; exit 3")
            terminal.expect("status 130$")
            check_equal(terminal.wait_exit(), 3, "exit status of the shell")


@case(nobody=True)
def stop_key_twice_then_background(lab):
    with in_shell(lab) as terminal:
        terminal.line("$run bash -c 'trap \"echo going on\" CONT; echo ready; while :; do sleep 0.02; done'")
        terminal.expect("^ready$")
        for turn in range(1, 3):
            terminal.type(STOP)
            terminal.expect(r"Stopped.*\n@ ")
            terminal.line("fg")
            terminal.expect("^going on$")
            terminal.watch(0.3)
            check_equal(terminal.count("^going on$"), turn, "continuations")
        terminal.type(STOP)
        terminal.expect(r"Stopped.*\n@ ")
        terminal.line("bg")
        terminal.expect("going on$")
        terminal.line("kill %1; wait %1; echo status $?")
        terminal.expect("status 143$")


@case(nobody=True)
def background_job(lab):
    """It may not read from the terminal before it is brought to the foreground."""
    with in_shell(lab) as terminal:
        terminal.line("$run cat &")
        terminal.expect("@ ")
        wait_for(lambda: "cat" in map(command_name, terminal.processes()), "the command")
        worker = worker_of(terminal)
        wait_for(lambda pid=worker: state_of(pid) == "T", "the job is stopped")
        terminal.line("")
        terminal.expect(r"Stopped")
        terminal.line("fg")
        terminal.expect(r"^\$run cat")
        terminal.line("text")
        terminal.expect("^text$\n^text$")
        terminal.type(b"\x04")
        terminal.expect("@ ")
        terminal.line("exit 0")
        check_equal(terminal.wait_exit(), 0, "exit status of the shell")


@case(nobody=True)
def stop_signal_from_elsewhere(lab):
    """`kill -TSTP` and `kill -CONT` to the process that was started mean the command."""
    with in_shell(lab) as terminal:
        terminal.line("$run bash -c 'echo ready; exec sleep 1000'")
        terminal.expect("^ready$")
        worker = worker_of(terminal)
        os.kill(worker, signal.SIGTSTP)
        terminal.expect(r"Stopped.*\n@ ")
        os.kill(worker, signal.SIGCONT)
        wait_for(lambda: all(state_of(p) in "SR" for p in terminal.processes()), "everybody goes on")
        terminal.line("kill %1; wait %1; echo status $?")
        terminal.expect("status 143$")


def worker_of(terminal):
    """The process that the shell started."""
    def children():
        return [pid for pid in terminal.processes() if parent_of(pid) == terminal.pid]
    return wait_for(children, "the worker")[0]


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@case(nobody=True)
def interactive_shell(lab):
    """With job control of its own; the terminal goes back to the outer shell in the end."""
    for shell in ("bash --norc --noprofile", "sh"):
        with in_shell(lab) as terminal:
            terminal.line(f"PS1='% ' $run {shell}")
            terminal.expect("% ")
            terminal.line("sleep 1000")
            sleeper_of(terminal)
            terminal.type(STOP)
            terminal.expect(r"Stopped.*\n% ")
            terminal.line("fg")
            wait_for(lambda: state_of(sleeper_of(terminal)) == "S", "the inner job goes on")
            terminal.type(INTERRUPT)
            terminal.expect("% ")
            terminal.line("exit 6")
            terminal.expect("@ ")
            terminal.line("echo status $?; cat")
            terminal.expect("status 6$")
            terminal.line("echo")  # the outer shell's jobs can read
            terminal.expect("^echo$\n^echo$")
            complaints = terminal.count("(?i)cannot|no job control|inappropriate")
            check_equal(complaints, 0, f"complaints\n{terminal.screen}")


@case(nobody=True)
def suspended_inner_shell(lab):
    with in_shell(lab) as terminal:
        terminal.line("PS1='% ' $run bash --norc --noprofile")
        terminal.expect("% ")
        terminal.line("suspend")
        terminal.expect(r"Stopped.*\n@ ")
        terminal.line("fg")
        terminal.expect(r"\$run bash.*\n")
        terminal.line("echo inner $((2 + 3)); exit 7")
        terminal.expect("inner 5$")
        terminal.expect("@ ")
        terminal.line("echo status $?")
        terminal.expect("status 7$")


@case(nobody=True)
def terminal_for_others_in_the_pipeline(lab):
    """A pager reads from the terminal while the command writes into its pipe."""
    with in_shell(lab) as terminal:
        pager = "sh -c 'read a; read b </dev/tty; echo $a and $b'"
        terminal.line(f"$run bash -c 'sleep 0.5; echo text' | {pager}")
        time.sleep(0.2)
        terminal.line("key")
        terminal.expect("^text and key$")
        terminal.expect("@ ")
        terminal.line("exit 0")
        check_equal(terminal.wait_exit(), 0, "exit status of the shell")


@case(nobody=True)
def killed_shell_leaves_the_terminal_usable(lab):
    """In a script nobody but us would take the terminal back from a command that cannot do so any more."""
    killed = f"{lab.program} run -- bash --norc -c 'set -m; sleep 0.1; kill -KILL $$'"
    script = f"{killed}; read line; echo got $line"
    with Terminal(lab.program_command(["-c", script], [], "sh")) as terminal:
        time.sleep(0.5)
        terminal.line("word")
        terminal.expect("^got word$")
        check_equal(terminal.wait_exit(), 0, "exit status")


@case(nobody=True)
def stop_key_without_shell(lab):
    """There is nobody who could continue it, so the key means nothing, as for any command."""
    with on_terminal(lab, "cat") as terminal:
        wait_for(lambda: "cat" in map(command_name, terminal.processes()), "the command")
        terminal.type(STOP)
        time.sleep(0.3)
        terminal.line("text")
        terminal.expect("text$\n^text$")
        terminal.type(b"\x04")
        check_equal(terminal.wait_exit(), 0, "exit status")


@case(nobody=True)
def hang_up(lab):
    """The window is closed."""
    for settings in ({}, {"stdin": "</dev/null"}):
        command = ["bash", "-c", f"exec sleep 1000 {settings.get('stdin', '')}"]
        with on_terminal(lab, *command) as terminal:
            sleeper_of(terminal)
            terminal.hang_up()
            check_equal(terminal.wait_exit(), 128 + signal.SIGHUP, "exit status")


if __name__ == "__main__":
    runner.main()
