#!/bin/sh
# Prepares what the Windows binaries run on: Wine and a compiler from Debian's
# packages, the stand-in DLLs, and a separate Wine prefix that has them. The DLLs and
# the prefix go to build/wine. What exists already is used.
# shellcheck disable=SC2086 # $packages and $flags are lists
set -eu
root=$(CDPATH="" cd "$(dirname "$0")/../.." && pwd)
. "$root/internal/wine/env.sh"

packages="wine64 gcc-mingw-w64-x86-64"
cc=x86_64-w64-mingw32-gcc

if ! [ -x "$wine" ] || ! command -v $cc >/dev/null; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "Windows tests need Wine and mingw. Install them: sudo apt-get install -y $packages" >&2
		exit 1
	fi
	echo "installing $packages"
	apt-get update -qq || true
	if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null; then
		echo "Windows tests need Wine and mingw, which could not be installed. Try: apt-get install -y $packages" >&2
		exit 1
	fi
fi

# Builds vmcompute.dll, once more without HNSCall, as in Technical Preview 4, and
# bcryptprimitives.dll, which Go needs and Wine does not have.
source=$root/internal/vmcompute
flags="-std=gnu11 -O2 -Wall -Wextra -Werror -shared -s"
mkdir -p "$build/tp4"
sed /HNSCall/d "$source/vmcompute.def" >"$build/tp4/vmcompute.def"
for def in "$source/vmcompute.def" "$build/tp4/vmcompute.def"; do
	dll=$build/vmcompute.dll
	[ "$def" = "$build/tp4/vmcompute.def" ] && dll=$build/tp4/vmcompute.dll
	$cc $flags -o "$dll" "$source/calls.c" "$source/layers.c" "$source/system.c" "$source/process.c" "$source/notify.c" \
		"$source/faults.c" "$source/json.c" "$def" -lole32 -lpsapi
done
$cc $flags -o "$build/bcryptprimitives.dll" "$source/bcryptprimitives.c" "$source/bcryptprimitives.def" -ladvapi32

if ! [ -e "$WINEPREFIX/ready" ]; then
	echo "making a Wine prefix"
	rm -rf "$WINEPREFIX"
	"$wine" wineboot -i >/dev/null 2>&1
	# Debian's Wine poses as Windows 7 by default.
	"$wine" reg add 'HKCU\Software\Wine' /v Version /d win10 /f >/dev/null 2>&1
	"$wineserver" -w
	touch "$WINEPREFIX/ready"
fi
cp "$build/vmcompute.dll" "$build/bcryptprimitives.dll" "$WINEPREFIX/drive_c/windows/system32/"
