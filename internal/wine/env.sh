# Sourced by the scripts beside it: where things are, and how Wine is run.
# $root must be the project's folder.
# shellcheck shell=sh disable=SC2034,SC2154 # the scripts set $root and use the others

build=$root/build/wine
wine=/usr/lib/wine/wine64
wineserver=/usr/lib/wine/wineserver

export WINEPREFIX="$build/prefix" WINEARCH=win64 WINEDEBUG=-all
# Wine would ask to install .NET and a browser, and would make menus.
export WINEDLLOVERRIDES="mscoree=;mshtml=;winemenubuilder.exe=d"
unset DISPLAY WAYLAND_DISPLAY
