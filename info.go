package libcontainerd

import "slices"

// Isolation is a way to keep a container apart from its host.
type Isolation string

// The isolations of Windows.
const (
	IsolationProcess Isolation = "process" // the container shares the host's kernel
	IsolationHyperV  Isolation = "hyperv"  // the container runs in its own utility VM
)

// IsolationReporter is an optional part of a ComputeService that knows which
// isolations its host offers.
type IsolationReporter interface {
	// Isolations lists them. It does not call HCS.
	Isolations() []Isolation
}

// Info describes the host of a Client.
type Info struct {
	Host
	Isolations []Isolation // nil if the ComputeService does not tell
	Systems    int         // compute systems of all owners
}

// Release is the release of Windows Server that has this build, "Windows Server
// 2022", or "" if none has.
func (h Host) Release() string { return releases[h.Build] }

// releases are those that run containers; the numbers are those of package
// osversion of hcsshim.
var releases = map[uint16]string{
	10586: "Windows Server 2016 Technical Preview 4",
	14393: "Windows Server 2016",
	17763: "Windows Server 2019",
	20348: "Windows Server 2022",
	26100: "Windows Server 2025",
}

// Info is described at Client.
func (c *client) Info() (*Info, error) {
	if err := c.enter(OpInfo, ""); err != nil {
		return nil, err
	}
	defer c.tasks.add(-1)
	info, err := c.info.ask(c, nil, Operation{Op: OpInfo}, c.callTimeout, func(noHandle) (Info, error) {
		info := Info{Host: c.service.Host()}
		if r, ok := c.service.(IsolationReporter); ok {
			info.Isolations = r.Isolations()
		}
		systems, err := c.service.ComputeSystems("")
		info.Systems = len(systems)
		return info, err
	})
	if err != nil {
		return nil, err
	}
	info.Isolations = slices.Clone(info.Isolations) // others may have the same answer
	return &info, nil
}
