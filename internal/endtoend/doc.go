// Package endtoend tests the module whole: its client, its command, its adapters
// and the real hcsshim in Windows binaries, on the stand-in vmcompute.dll of
// internal/vmcompute. internal/wine/test.sh runs it; everywhere else only the
// conformance suite of package hcstest can be run, on a Windows host whose own
// HCS LIBCONTAINERD_HCS=1 releases for that.
package endtoend
