package main

import (
	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

func (a *app) statsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stats ID",
		Short: "Print the resource use of a running container",
		Long: `stats prints what a container has used since it started. Compare its memory limit
with committed memory, the first figure of memory.`,
		Args:              wants("ID"),
		ValidArgsFunction: a.completeIDs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			service, err := a.hostOnly()
			if err != nil {
				return err
			}
			defer a.wait("asking HCS for statistics")()
			return withSystem(service, args[0], func(system libcontainerd.ComputeSystem) error {
				stats, err := system.Statistics()
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(stats)
				}
				return a.printStats(stats)
			})
		},
	}
}

func (a *app) printStats(s libcontainerd.Statistics) error {
	t := a.table("uptime", s.Uptime)
	t.row("processor", s.Processor.TotalRuntime, "user", s.Processor.RuntimeUser, "kernel", s.Processor.RuntimeKernel)
	t.row("memory", size(s.Memory.UsageCommitBytes), "peak", size(s.Memory.UsageCommitPeakBytes),
		"private", size(s.Memory.UsagePrivateWorkingSetBytes))
	t.row("storage", size(s.Storage.ReadSizeBytes), "read in", s.Storage.ReadCountNormalized,
		size(s.Storage.WriteSizeBytes), "written in", s.Storage.WriteCountNormalized)
	for _, n := range s.Network {
		t.row("endpoint", n.EndpointId)
		t.row("", size(n.BytesReceived), "received in", n.PacketsReceived, "dropped", n.DroppedPacketsIncoming)
		t.row("", size(n.BytesSent), "sent in", n.PacketsSent, "dropped", n.DroppedPacketsOutgoing)
	}
	return t.Flush()
}
