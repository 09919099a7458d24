// Package endtoend tests the whole module: its client, its command, its adapters
// and the real hcsshim in Windows binaries.
//
//   - LIBCONTAINERD_STANDIN=1 runs all tests on the stand-in vmcompute.dll of
//     internal/vmcompute, as internal/wine/test.sh does.
//   - LIBCONTAINERD_HCS=1 runs the conformance suite, the client's tests and the
//     cycles on the HCS of a Windows host. LIBCONTAINERD_HCS_LAYERS names the folder
//     of the image that the containers get: see make test-hcs.
//   - LIBCONTAINERD_PROBES=FOLDER, with one of these, makes the probes write their
//     findings into files there.
//
// Without any of them every test is skipped.
package endtoend
