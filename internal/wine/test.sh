#!/bin/sh
# Runs the module's tests as Windows binaries, under Wine, on the stand-in
# vmcompute.dll of internal/vmcompute. On Windows itself "go test ./..." does.
#
#   sh internal/wine/test.sh [go test flags]    for instance -run Name -v
set -eu
root=$(CDPATH="" cd "$(dirname "$0")/../.." && pwd)
. "$root/internal/wine/env.sh"
cd "$root"
sh internal/wine/prepare.sh

system32=$WINEPREFIX/drive_c/windows/system32
stop() { # one that an interrupted run has left, or ours
	"$wineserver" -k || true
	"$wineserver" -w
}
trap 'stop; cp "$build/vmcompute.dll" "$system32/"' EXIT
trap 'exit 1' INT TERM HUP
stop

# Wine's services inherit stderr from the first program, and keep it open as long as
# they live. go test would wait for them.
"$wineserver" -p </dev/null >/dev/null 2>&1
"$wine" cmd /c exit </dev/null >/dev/null 2>&1

go_test() {
	GOOS=windows GOARCH=amd64 go test -exec "'$root/internal/wine/exec.sh'" -timeout 10m "$@"
}

# The race detector needs cgo, and so the compiler that prepare.sh has installed.
echo "all tests, with the race detector"
export CC=x86_64-w64-mingw32-gcc
CGO_ENABLED=1 GOOS=windows GOARCH=amd64 go build -race -o "$build/hcsrun.exe" ./cmd/hcsrun
LIBCONTAINERD_STANDIN=1 LIBCONTAINERD_HCSRUN=$build/hcsrun.exe CGO_ENABLED=1 go_test -race "$@" ./...

echo "a host of Technical Preview 4"
cp "$build/tp4/vmcompute.dll" "$system32/"
LIBCONTAINERD_HOST=tp4 go_test -count=1 -run '^TestHostWithoutUsableHCS$' .

echo "a host without the Containers feature"
rm "$system32/vmcompute.dll"
LIBCONTAINERD_HOST=none go_test -count=1 -run '^TestHostWithoutUsableHCS$' .
