package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/layers"
	"github.com/spf13/cobra"
)

func (a *app) layerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "layer",
		Short: "Mount the layers of an image, see what is mounted, and release it",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.layerMountCommand(), a.layerUnmountCommand(), a.layerListCommand(), a.importCommand())
	return cmd
}

func (a *app) layerMountCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "mount IMAGE SCRATCH",
		Short: "Mount an image's layers and a scratch, and print the volume",
		Long: `mount makes a scratch in the folder SCRATCH, unless it is there, mounts it on the
layers of IMAGE, which is named as for run, and prints the volume: the root.path of
a spec. The mount lasts until hcsrun layer unmount. To remove the scratch after
that, delete its folder.`,
		Args: wants("IMAGE SCRATCH"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.needsWindows(); err != nil {
				return err
			}
			return a.interruptible(func(ctx context.Context) error {
				defer a.wait("mounting %s", args[0])()
				found, err := a.findImage(ctx, args[0], libcontainerd.IsolationProcess)
				if err != nil {
					return err
				}
				mounted, err := layers.Mount(ctx, found.layers, args[1], a.mountOptions(layers.WithKeptScratch())...)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(map[string]any{"root": mounted.Root, "scratch": mounted.Scratch, "layers": mounted.Layers})
				}
				_, err = fmt.Fprintln(a.stdout, mounted.Root)
				return err
			})
		},
	}
}

func (a *app) layerUnmountCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "unmount {SCRATCH | CONTAINER}",
		Aliases: []string{"umount"},
		Short:   "Release a mount that is left over",
		Long: `unmount releases a mount of layer mount, or one that an hcsrun or an engine left
when it died. The container must have ended.`,
		Args: wants("SCRATCH"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			mounts, _ := a.mounts()
			scratches := []cobra.Completion{}
			for _, m := range mounts {
				scratches = append(scratches, m.Scratch)
			}
			return scratches, cobra.ShellCompDirectiveDefault
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.needsWindows(); err != nil {
				return err
			}
			scratch, err := a.findScratch(args[0])
			if err != nil {
				return err
			}
			return a.interruptible(func(ctx context.Context) error {
				defer a.wait("unmounting %s", scratch)()
				return layers.Release(ctx, scratch, a.mountOptions()...)
			})
		},
	}
}

func (a *app) layerListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "ls [FOLDER]",
		Aliases: []string{"list"},
		Short:   "List the scratches in a folder that are mounted or left over",
		Long: `ls lists the mounts of the scratches in FOLDER, by default in the store. A mount
that is not in use and whose container is gone is left over: layer unmount
releases it.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			mounts, err := a.mounts()
			if len(args) > 0 {
				mounts, err = layers.List(args[0])
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(mounts)
			}
			table := a.table("SCRATCH", "CONTAINER", "IN USE", "SINCE", "TOP LAYER")
			for _, m := range mounts {
				table.row(m.Scratch, m.Container, m.InUse, m.Since.Format(time.RFC3339), top(m.Layers))
			}
			return table.Flush()
		},
	}
}

func top(stack layers.Layers) string {
	if len(stack) == 0 {
		return ""
	}
	return filepath.Base(stack[0])
}
