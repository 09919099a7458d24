package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/seed-609fd248/libcontainerd/layers"
	"github.com/spf13/cobra"
)

func (a *app) imageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Import images from tars, list and remove them",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.importCommand(), a.imageListCommand(), a.imageRemoveCommand())
	return cmd
}

func (a *app) importCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "import TAR",
		Short: "Import an image from a tar of docker save, or an OCI layout",
		Long: `import reads an image into the store, layer by layer. A layer that is there is not
read again. It prints the id of the image.`,
		Args: wants("TAR"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.needsWindows(); err != nil {
				return err
			}
			return a.interruptible(func(ctx context.Context) error {
				defer a.wait("importing %s", args[0])()
				var chosen []layers.ImportOption
				if name != "" {
					chosen = append(chosen, layers.WithImage(name))
				}
				imported, err := a.importImage(ctx, args[0], chosen...)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(imported)
				}
				_, err = fmt.Fprintln(a.stdout, imported.ID)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&name, "image", "", "name of the image, if the tar has several")
	return cmd
}

func (a *app) imageListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the images in the store",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			images, err := layers.Images(a.store)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(images)
			}
			table := a.table("NAME", "ID", "WINDOWS", "LAYERS", "IMPORTED")
			for _, image := range images {
				table.row(strings.Join(image.Names, ", "), image.ID[:min(12, len(image.ID))], image.OSVersion, len(image.Layers), image.Imported.Format(time.RFC3339))
			}
			return table.Flush()
		},
	}
}

func (a *app) imageRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove an image from the store, and the layers that no other image has",
		Args:  wants("NAME"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			images, _ := layers.Images(a.store)
			names := []cobra.Completion{}
			for _, image := range images {
				names = append(names, image.Names...)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.needsWindows(); err != nil {
				return err
			}
			return a.interruptible(func(ctx context.Context) error {
				defer a.wait("removing %s", args[0])()
				if a.driver != nil {
					return layers.Remove(ctx, a.store, args[0], layers.WithDriver(a.driver))
				}
				return layers.Remove(ctx, a.store, args[0])
			})
		},
	}
}
