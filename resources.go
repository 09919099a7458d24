package libcontainerd

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/containerd/errdefs"
)

// This file has everything about a limit: its field, its range, what HCS gets of
// it, and that it cannot be changed while the container runs. A test fails for
// each of them that a new limit lacks.

// Resources limits what the container may use. It is also the argument of
// UpdateResources.
type Resources struct {
	Memory  *Memory  `json:"memory,omitempty"`
	CPU     *CPU     `json:"cpu,omitempty"`
	Storage *Storage `json:"storage,omitempty"`
	Network *Network `json:"network,omitempty"`
}

// Memory limits memory.
type Memory struct {
	Limit       *int64  `json:"limit,omitempty"`       // bytes, from 1 MiB
	Reservation *uint64 `json:"reservation,omitempty"` // bytes; HCS has no such limit
}

// CPU limits processor time. Under process isolation Windows honours one limit
// only: count before shares before percent or maximum.
type CPU struct {
	Count   *uint64 `json:"count,omitempty"`   // processors, capped at the host's number of them
	Shares  *uint64 `json:"shares,omitempty"`  // relative weight, 1…10000
	Percent *int64  `json:"percent,omitempty"` // of all processors, 1…100
	Maximum *uint64 `json:"maximum,omitempty"` // 1/10000 of all processors, 1…10000; excludes Percent
}

// Storage limits the use of the container's system drive.
type Storage struct {
	Iops        *uint64 `json:"iops,omitempty"`         // operations per second
	Bps         *uint64 `json:"bps,omitempty"`          // bytes per second
	SandboxSize *uint64 `json:"sandbox_size,omitempty"` // bytes the drive is expanded to
}

// Network limits network traffic.
type Network struct {
	Bandwidth *uint64 `json:"bandwidth,omitempty"` // bytes per second; HCS has no such limit
}

const (
	mebibyte = 1 << 20
	// maxWeight and maxPart bound CPU.Shares and CPU.Maximum.
	maxWeight = 10_000
	maxPart   = 10_000
)

// check reports limits outside of their ranges.
func (r *Resources) check(p *problems) {
	if r.Memory != nil {
		const field = "windows.resources.memory.limit"
		switch limit := value(r.Memory.Limit); {
		case limit < 0:
			p.add(field, "%d is negative", limit)
		case 0 < limit && limit < mebibyte:
			p.add(field, "%d bytes are less than 1 MiB, the unit of HCS", limit)
		}
	}
	if r.CPU != nil {
		r.CPU.check(p)
	}
}

func (c *CPU) check(p *problems) {
	const field = "windows.resources.cpu"
	if n := value(c.Count); n > math.MaxUint32 {
		p.add(field+".count", "%d is above %d", n, uint32(math.MaxUint32))
	}
	if n := value(c.Shares); n > maxWeight {
		p.add(field+".shares", "%d is above %d", n, maxWeight)
	}
	if n := value(c.Percent); n < 0 || n > 100 {
		p.add(field+".percent", "%d is not within 0…100", n)
	}
	if n := value(c.Maximum); n > maxPart {
		p.add(field+".maximum", "%d is above %d", n, maxPart)
	}
	if value(c.Percent) != 0 && value(c.Maximum) != 0 {
		p.add(field+".maximum", "excludes cpu.percent: both set the same limit")
	}
}

// setResources writes the limits into the document. warnings name those that HCS
// will not honour as they are.
func (doc *containerInit) setResources(r *Resources, host Host, hyperV bool) (warnings []string) {
	if r == nil {
		return nil
	}
	if s := r.Storage; s != nil {
		doc.StorageIOPSMaximum = value(s.Iops)
		doc.StorageBandwidthMaximum = value(s.Bps)
		doc.StorageSandboxSize = value(s.SandboxSize)
	}
	if m := r.Memory; m != nil {
		doc.MemoryMaximumInMB = value(m.Limit) / mebibyte
		if value(m.Reservation) != 0 {
			warnings = append(warnings, "windows.resources.memory.reservation: HCS has no such limit, it is ignored")
		}
	}
	if r.Network != nil && value(r.Network.Bandwidth) != 0 {
		warnings = append(warnings, "windows.resources.network.bandwidth: HCS has no such limit, it is ignored")
	}
	if r.CPU != nil {
		warnings = append(warnings, doc.setProcessor(r.CPU, host, hyperV)...)
	}
	return warnings
}

func (doc *containerInit) setProcessor(cpu *CPU, host Host, hyperV bool) (warnings []string) {
	doc.ProcessorWeight = value(cpu.Shares)
	doc.ProcessorMaximum = value(cpu.Percent) * (maxPart / 100)
	if maximum := value(cpu.Maximum); maximum != 0 {
		doc.ProcessorMaximum = int64(maximum)
	}
	count := value(cpu.Count)
	if processors := uint64(max(host.Processors, 0)); processors != 0 && count > processors {
		warnings = append(warnings, fmt.Sprintf("windows.resources.cpu.count: %d processors are more than the host has, %d are used", count, processors))
		count = processors
	}
	doc.ProcessorCount = uint32(count)
	if !hyperV {
		warnings = append(warnings, doc.unheededLimits()...)
	}
	return warnings
}

// unheededLimits warns of processor limits beside the one that process isolation
// honours.
func (doc *containerInit) unheededLimits() (warnings []string) {
	set := make([]string, 0, 3) // in the order in which Windows prefers them
	if doc.ProcessorCount != 0 {
		set = append(set, "count")
	}
	if doc.ProcessorWeight != 0 {
		set = append(set, "shares")
	}
	if doc.ProcessorMaximum != 0 {
		set = append(set, "percent or maximum")
	}
	if len(set) < 2 {
		return nil
	}
	return []string{fmt.Sprintf("windows.resources.cpu: process isolation honours one limit: %s, not %s", set[0], strings.Join(set[1:], " and "))}
}

// unchangeable returns an error for each limit that is set: HCS can change none
// of them while a container runs.
func (r *Resources) unchangeable() error {
	var problems []error
	refuse := func(field string, set bool) {
		if set {
			problems = append(problems, fmt.Errorf("resources.%s cannot be changed while the container runs: %w", field, errdefs.ErrNotImplemented))
		}
	}
	if m := r.Memory; m != nil {
		refuse("memory.limit", value(m.Limit) != 0)
		refuse("memory.reservation", value(m.Reservation) != 0)
	}
	if c := r.CPU; c != nil {
		refuse("cpu.count", value(c.Count) != 0)
		refuse("cpu.shares", value(c.Shares) != 0)
		refuse("cpu.percent", value(c.Percent) != 0)
		refuse("cpu.maximum", value(c.Maximum) != 0)
	}
	if s := r.Storage; s != nil {
		refuse("storage.iops", value(s.Iops) != 0)
		refuse("storage.bps", value(s.Bps) != 0)
		refuse("storage.sandbox_size", value(s.SandboxSize) != 0)
	}
	if n := r.Network; n != nil {
		refuse("network.bandwidth", value(n.Bandwidth) != 0)
	}
	return errors.Join(problems...)
}
