#!/bin/sh
# Installs what a build needs and this machine lacks: a C linker, pkg-config, libhwloc, and a Rust compiler.
# Where everything is there it does nothing and needs no rights.
set -eu
cd "$(dirname "$0")/.."

PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
missing=""
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v pkg-config >/dev/null 2>&1 || missing="$missing pkg-config"
pkg-config --exists hwloc 2>/dev/null || missing="$missing libhwloc-dev"
command -v cargo >/dev/null 2>&1 || command -v curl >/dev/null 2>&1 || missing="$missing curl ca-certificates"

if [ -n "$missing" ]; then
    root=""
    [ "$(id -u)" = 0 ] || root="sudo"
    if ! command -v apt-get >/dev/null 2>&1 || ! command -v ${root:-true} >/dev/null 2>&1; then
        echo "install-deps: please install:$missing (there is no apt-get here, or no sudo)" >&2
        exit 1
    fi
    echo "install-deps: installing$missing" >&2
    $root apt-get update -q >&2
    # shellcheck disable=SC2086 # the list is meant to be split
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >&2
fi

# The oldest compiler that will do stands in Cargo.toml. Rust goes into the home directory, as its own installer does it.
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
have=$(cargo --version 2>/dev/null | cut -d ' ' -f 2 || true)
if [ -z "$have" ] || [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "install-deps: Rust ${have:-(none)} is here, $wanted or newer is needed; asking rustup for it" >&2
    if command -v rustup >/dev/null 2>&1; then
        rustup toolchain install stable --profile minimal --component clippy --component rustfmt >&2
    else
        curl --proto =https -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --component clippy --component rustfmt >&2
    fi
fi
