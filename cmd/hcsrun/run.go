package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/spf13/cobra"
)

func (a *app) runCommand() *cobra.Command {
	var choice hcsChoice
	var o runOptions
	var img imageOptions
	cmd := &cobra.Command{
		Use:   "run [flags] {FILE | --image IMAGE [--] [COMMAND [ARGUMENT…]]}",
		Short: "Run a container and exit with its exit code",
		Long: `run creates a container, connects it to the streams of hcsrun, and exits with its
exit code. Then nothing is left of the container.

With --image it runs COMMAND, or what the image says, in a container of IMAGE:
the folder of an image in Docker's store (docker image inspect -f
"{{.GraphDriver.Data.dir}}" NAME), a tar of docker save or an OCI layout, or the
name of an image in the store, see hcsrun image. A simulated HCS takes any name.

FILE is an OCI config.json or a 2016 spec ("-" is standard input). If it has no
root.path, its layers are mounted, and a network namespace gives its endpoints.

Ctrl-C stops the container gracefully, a second one terminates it, a third one
leaves it behind. A container with a terminal gets every key, Ctrl-C too. ctrl-p
ctrl-q, as in docker, leaves it running without hcsrun: hcsrun kill then ends it,
and releases its mount and its endpoint.

Outside Windows, exit codes above 255 become 255, and standard error says the
code itself. 125 is a failure of hcsrun, 127 a program that the
container does not have.`,
		Example: `  hcsrun run --image nanoserver cmd /c echo hello
  hcsrun run --image C:\images\servercore.tar -t -m 2g -v C:\data:C:\data:ro powershell
  hcsrun run testdata/specs/oci-nanoserver-process.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := img.check(cmd); err != nil || img.image != "" {
				return err
			}
			if len(args) > 1 && strings.HasPrefix(args[1], "-") {
				return fmt.Errorf("%s: flags go before FILE", args[1])
			}
			return wants("FILE")(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if img.image != "" {
				return a.runImage(o, img, choice, args)
			}
			return a.runFile(o, choice, args[0])
		},
	}
	cmd.Flags().SetInterspersed(false) // later flags belong to the command
	cmd.Flags().StringVar(&o.id, "name", "", "id of the container (default: the name of the file, or a random one)")
	cmd.Flags().StringVar(&o.id, "id", "", "as --name")
	cmd.Flags().StringVar(&o.owner, "owner", owner, "owner that the compute system is marked with")
	cmd.Flags().BoolVar(&o.events, "events", false, "print the container's events on standard error")
	cmd.Flags().BoolVar(&o.debug, "debug", false, "log what the library does on standard error")
	cmd.MarkFlagsMutuallyExclusive("name", "id")
	img.addFlags(cmd)
	choice.addFlags(cmd)
	return cmd
}

// runFile runs the container of a spec.
func (a *app) runFile(o runOptions, choice hcsChoice, file string) error {
	spec, service, err := a.load(file, choice)
	if err != nil {
		return err
	}
	in := a.stdin
	if file == "-" {
		in = nil // the spec was read from it
	}
	o.id = cmp.Or(o.id, defaultID(file))
	return a.runContainer(o, spec, service, a.newTerminal(in, spec.Process.Terminal))
}

// runImage runs a command in a container of an image.
func (a *app) runImage(o runOptions, img imageOptions, choice hcsChoice, command []string) error {
	service, err := a.hcs(choice)
	if err != nil {
		return err
	}
	_, simulated := service.(*hcstest.Service)
	simulated = simulated && a.driver == nil
	// If a flag is wrong, nothing is imported.
	if _, err := img.spec(anyImage, command, service.Host()); err != nil {
		return err
	}
	if img.detach && simulated {
		return errors.New("--detach: a simulated HCS ends with its hcsrun")
	}
	if img.detach && os.Getenv(inBackground) == "" {
		return a.runInBackground()
	}
	var found image
	err = a.interruptible(func(ctx context.Context) error {
		defer a.wait("looking for image %s", img.image)()
		if simulated {
			found = simulatedImage(img.image)
			return nil
		}
		found, err = a.findImage(ctx, img.image, libcontainerd.Isolation(img.isolation))
		return err
	})
	if err != nil {
		return err
	}
	spec, err := img.spec(found, command, service.Host())
	if err != nil {
		return err
	}
	var in io.Reader
	if img.input || img.tty {
		in = a.stdin
	}
	o.id = cmp.Or(o.id, strings.ToLower(rand.Text()[:12]))
	o.network = img.network
	term := a.newTerminal(in, spec.Process.Terminal)
	if img.detach {
		term.stdout, term.stderr = io.Discard, io.Discard
		o.started = func() { a.leaveForeground(o.id) }
	}
	return a.runContainer(o, spec, service, term)
}
