#!/bin/sh
# All checks and tests, in the order in which they fail fastest: format, lints, examples in the documentation, tests.
# `.ci/run` is this script and nothing else.
set -eu
cd "$(dirname "$0")/.."
scripts/install-deps.sh
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

step() {
    echo "== $*" >&2
    "$@"
}

export CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-0}"
step cargo fmt --all --check
step cargo clippy --workspace --all-targets --quiet -- -D warnings
step cargo test --workspace --doc --quiet
if cargo nextest --version >/dev/null 2>&1; then
    step cargo nextest run --workspace
else
    step cargo test --workspace --lib --bins --tests --quiet
fi
