#!/bin/sh
# Runs one Windows program: go test -exec internal/wine/exec.sh. Needs prepare.sh.
root=$(CDPATH="" cd "$(dirname "$0")/../.." && pwd)
. "$root/internal/wine/env.sh"
exec "$wine" "$@"
