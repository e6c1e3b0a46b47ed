#!/bin/sh
# The factors of 2^n-1 and 2^n+1, one task a number: a server, a worker with the CPUs of this machine, an array job over
# the lines of cunningham.txt, its output in one stream, and everything stopped and removed again at the end.
set -eu
cd "$(dirname "$0")/.."
scripts/install-deps.sh
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
cargo build --release --locked --quiet --bin hq
hq="${CARGO_TARGET_DIR:-target}/release/hq"
input=examples/cunningham.txt

dir=$(mktemp -d)
export HQ_SERVER_DIR="$dir/server"
started=""
stop() {
    status=$?
    trap - EXIT HUP INT TERM
    "$hq" server stop >"$dir/stop.log" 2>&1 || kill $started 2>/dev/null || true
    for pid in $started; do
        wait "$pid" || { echo "process $pid ended with status $?" >&2; status=1; }
    done
    [ "$status" = 0 ] || tail -n 20 "$dir"/*.log >&2 || true
    rm -rf "$dir"
    exit "$status"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

"$hq" server start >"$dir/server.log" 2>&1 &
started="$!"
tries=0
until "$hq" server info >"$dir/info.log" 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] && kill -0 "$started" || { echo "the server did not start" >&2; exit 1; }
    sleep 0.1
done
"$hq" worker start >"$dir/worker.log" 2>&1 &
started="$! $started"
"$hq" submit --name factors --each-line "$input" --stream "$dir/output" --progress -- \
    sh -c 'echo "${HQ_ENTRY%% *} = $(factor "${HQ_ENTRY#* }" | cut -d : -f 2)"'
"$hq" job info last
"$hq" worker list
"$hq" output-log "$dir/output" cat 1 stdout >"$dir/results.txt"

awk 'NF == 3 { print $1, "is prime" }' "$dir/results.txt"
sort -g -k 3 "$dir/results.txt" | awk 'NF > 3 { print $0, "(one of the hardest)" }' | tail -n 3
echo "$(wc -l <"$dir/results.txt") of $(wc -l <"$input") numbers factored"
[ "$(wc -l <"$dir/results.txt")" = "$(wc -l <"$input")" ] # the exit code of it all
