#!/bin/bash
# In the program's place: starts it with strace at it. The process stays the one that the caller has started, and
# strace has nothing of it: no descriptor whose end somebody waits for, no terminal, not its environment.
#   E2E_TRACED         the program
#   E2E_TRACE_FOLDER   gets a file for each process that was started so
set -eu
pid=$$ kind=worker
if [[ ${1-} == run ]]; then
    kind=supervisor
fi
(
    for fd in /proc/self/fd/*; do
        eval "exec ${fd##*/}>&-"
    done
    exec </dev/null >/dev/null 2>&1
    setsid env -i "PATH=$PATH" strace -q -e raw=all -e signal=none -o "$E2E_TRACE_FOLDER/$kind-$pid" -p "$pid" &
)
# No `sleep` in between: a test may be waiting for one that it has started itself.
until grep -q '^TracerPid:\s[1-9]' "/proc/$pid/status"; do :; done
exec "$E2E_TRACED" "$@"
