// Command swarmnode is a node of a swarm that runs Windows containers, and what one
// needs by hand to use the swarm. The HCS is that of Windows, and a simulated one
// elsewhere.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/moby/swarmkit/v2/api"
	"github.com/seed-609fd248/libcontainerd/examples/swarm"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func main() {
	logrus.SetOutput(os.Stderr)
	if err := newRoot(os.Stdout, os.Stderr, logrus.SetLevel).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "swarmnode:", err)
		os.Exit(1)
	}
}

// app is what all commands share.
type app struct {
	socket         string
	stdout, stderr io.Writer
}

// newRoot makes the command. SetLevel sets the log level, which the process has only
// one of.
func newRoot(stdout, stderr io.Writer, setLevel func(logrus.Level)) *cobra.Command {
	a := &app{stdout: stdout, stderr: stderr}
	var level string
	root := &cobra.Command{
		Use:           "swarmnode",
		Short:         "a node of a swarm that runs Windows containers",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			l, err := logrus.ParseLevel(level)
			if err == nil {
				setLevel(l)
			}
			return err
		},
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.PersistentFlags().StringVar(&a.socket, "control", defaultSocket(), "control socket of a manager")
	root.PersistentFlags().StringVar(&level, "log-level", "error", "debug, info, warning or error")
	root.AddCommand(a.runCommand(), a.tokenCommand(), a.serviceCommand(), a.taskCommand(), a.nodeCommand())
	return root
}

func defaultSocket() string {
	if runtime.GOOS == "windows" {
		return `\\.\pipe\swarmnode`
	}
	return filepath.Join(cmp.Or(os.Getenv("XDG_RUNTIME_DIR"), os.TempDir()), "swarmnode.sock")
}

// group makes a command that only has others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short}
	g.AddCommand(commands...)
	return g
}

// conversation is what a command does with a manager.
type conversation func(ctx context.Context, control api.ControlClient, conn *grpc.ClientConn) error

// talk carries out a conversation with the manager at the control socket.
func (a *app) talk(cmd *cobra.Command, converse conversation) error {
	conn, err := swarm.DialControl(a.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = converse(cmd.Context(), api.NewControlClient(conn), conn)
	switch answer := status.Convert(err); answer.Code() {
	case codes.OK, codes.Unknown: // no answer of a manager
		return err
	case codes.Unavailable:
		return fmt.Errorf("no manager answers at %s: %s", a.socket, answer.Message())
	default:
		return errors.New(answer.Message())
	}
}
