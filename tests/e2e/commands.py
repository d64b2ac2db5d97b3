"""Commands started by `lwip4netns run`, for the test scripts that are about it."""
from namespaces import wait_for
from netio import check_equal

FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127


def run(lab, *command, options=(), **settings):
    """Runs a command to its end by `run`; also checks that no process of it is left."""
    return lab.run_program("run", *options, "--", *command, **settings)


def run_sh(lab, script, **settings):
    return run(lab, "bash", "-c", script, **settings)


def check_run(lab, *command, status=0, out="", err="", **settings):
    """Exactly this status and this output: none of it is ours."""
    done = run(lab, *command, **settings)
    check_equal((done.returncode, done.stdout, done.stderr), (status, out, err),
                f"outcome of {' '.join(command)}")


def start(lab, script, *options, **settings):
    """Starts a shell script by `run` in the background."""
    return lab.launch("run", *options, "--", "bash", "-c", script, ready=False, **settings)


def wait_output(program, text):
    wait_for(lambda: text in program.stdout(), f"{text!r} on stdout")


def command_name(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def sleeper_of(run_or_terminal):
    """The `sleep` that was started last in it."""
    return wait_for(lambda: [pid for pid in run_or_terminal.processes() if command_name(pid) == "sleep"],
                    "a sleeping command")[-1]
