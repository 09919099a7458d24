#!/bin/sh
# Runs internal/bench as a Windows program, under Wine, on the stand-in
# vmcompute.dll of internal/vmcompute.
#
#   sh internal/wine/bench.sh [flags of internal/bench]
set -eu
root=$(CDPATH="" cd "$(dirname "$0")/../.." && pwd)
. "$root/internal/wine/env.sh"
cd "$root"
sh internal/wine/prepare.sh
trap '"$wineserver" -k || true' EXIT
GOOS=windows GOARCH=amd64 go build -o "$build/bench.exe" ./internal/bench
"$wine" "$build/bench.exe" "$@"
