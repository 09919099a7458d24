package main

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	"github.com/spf13/cobra"
)

func (a *app) killCommand() *cobra.Command {
	var pid uint32
	var shutdown bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "kill ID",
		Short: "End a container, or one of its processes",
		Long: `kill terminates a compute system and returns when it has stopped. With --shutdown
it asks for a graceful stop instead, with --pid it ends one process only. It also
releases what an earlier hcsrun has mounted and connected for the container.`,
		Args:              wants("ID"),
		ValidArgsFunction: a.completeIDs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := positive("timeout", timeout); err != nil {
				return err
			}
			service, err := a.hostOnly()
			if err != nil {
				return err
			}
			defer a.wait("waiting for the end of %s", args[0])()
			err = within(timeout, "end", args[0], func() error {
				return withSystem(service, args[0], func(system libcontainerd.ComputeSystem) error {
					switch {
					case pid != 0:
						return killProcess(system, pid)
					case shutdown:
						return endSystem(system, system.Shutdown)
					}
					return endSystem(system, system.Terminate)
				})
			})
			if pid != 0 || err != nil && !errdefs.IsNotFound(err) {
				return err
			}
			// A container that ended by itself may have left something, too.
			released, failed := a.newGround(args[0], service).release(cmd.Context())
			if released || failed != nil {
				return failed
			}
			return err
		},
	}
	cmd.Flags().Uint32Var(&pid, "pid", 0, "end this process only")
	cmd.Flags().BoolVar(&shutdown, "shutdown", false, "stop the container gracefully")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait for the end")
	cmd.MarkFlagsMutuallyExclusive("pid", "shutdown")
	return cmd
}

func killProcess(system libcontainerd.ComputeSystem, pid uint32) error {
	process, err := system.OpenProcess(pid)
	if err != nil {
		return err
	}
	defer process.Close()
	if err := process.Kill(); err != nil {
		return err
	}
	_, err = process.Wait()
	return err
}

// endSystem asks for a stop and waits for it. It ignores how the system ended.
func endSystem(system libcontainerd.ComputeSystem, ask func() error) error {
	if err := ask(); err != nil {
		return err
	}
	_ = system.Wait()
	return nil
}

// within calls f, and returns after a time although HCS may never answer. The
// call then goes on until hcsrun ends.
func within(limit time.Duration, op, id string, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return &libcontainerd.Error{
			Op: op, ContainerID: id,
			Err: fmt.Errorf("no end within %v: %w", limit, context.DeadlineExceeded),
		}
	}
}
