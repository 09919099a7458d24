package libcontainerd_test

import (
	"testing"
	"testing/synctest"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
)

// document returns the document that a Create of s sends.
func document(t *testing.T, hcs libcontainerd.ComputeService, id string, s libcontainerd.Spec) string {
	t.Helper()
	d, err := libcontainerd.Configuration(id, s, hcs)
	must(t, err)
	return d
}

// orphan leaves a running container of an engine that died, and returns the pid
// of its init process.
func orphan(t *testing.T, hcs *hcstest.Service, id string, s libcontainerd.Spec) uint32 {
	t.Helper()
	dead := newEngine(t, hcs)
	must(t, dead.Create(id, s))
	synctest.Wait()
	must(t, dead.Close())
	dead.wantEvents(t, "start-container "+id)
	return dead.last(id).Pid
}

// list returns the compute systems that HCS has.
func list(t *testing.T, hcs libcontainerd.ComputeService) []libcontainerd.ComputeSystemInfo {
	t.Helper()
	systems, err := hcs.ComputeSystems("")
	must(t, err)
	return systems
}

// terminate ends a system that a closed client has left.
func terminate(t *testing.T, hcs libcontainerd.ComputeService, id string) {
	t.Helper()
	s, err := hcs.OpenComputeSystem(id)
	must(t, err)
	must(t, s.Terminate())
	s.Wait()
	must(t, s.Close())
}

// endAll ends every compute system.
func endAll(t *testing.T, hcs *hcstest.Service) {
	t.Helper()
	for _, s := range list(t, hcs) {
		system, err := hcs.OpenComputeSystem(s.ID)
		if err != nil {
			continue // it has ended
		}
		system.Terminate()
		system.Wait()
		must(t, system.Close())
	}
}
