#!/bin/sh
# Keeps of a harness' corpus, and of further directories with inputs, what covers something of its own, the
# smallest first (libFuzzer's -merge=1), named by content.
#
# usage: minimise.sh BUILD_DIR HARNESS [DIRECTORY]...
set -eu

[ $# -ge 2 ] || {
    sed -n 's/^# usage: /usage: /p' "$0" >&2
    exit 2
}
top=$(cd "$(dirname "$0")/../.." && pwd)
program=$1/fuzz/$2
corpus=$top/fuzz/corpus/$2
shift 2

kept=$(mktemp -d "$corpus.XXXXXX")
trap 'rm -rf "$kept"' EXIT
"$program" -merge=1 -max_len=4096 "$kept" "$corpus" "$@" >"$kept.log" 2>&1 || {
    cat "$kept.log" >&2
    rm -f "$kept.log"
    exit 1
}
rm -f "$kept.log"
before=$(find "$corpus" -type f | wc -l)
rm -rf "$corpus"
chmod 755 "$kept"
mv "$kept" "$corpus"
echo "$(basename "$corpus"): $(find "$corpus" -type f | wc -l) inputs of $before and what was added"
