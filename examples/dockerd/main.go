// Command dockerd runs Windows containers for Docker's own clients: it serves the
// part of Docker's Engine API that the life of a container needs, on package engine.
//
//	dockerd --simulate &
//	docker -H tcp://127.0.0.1:2375 run nanoserver cmd /c echo hello
//
// README.md says what is served and what is not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed-609fd248/libcontainerd"
	"github.com/seed-609fd248/libcontainerd/hcstest"
	"github.com/seed-609fd248/libcontainerd/layers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Args[1:], os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "dockerd:", err)
		os.Exit(1)
	}
}

// serve serves until ctx ends.
func serve(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("dockerd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	host := flags.String("host", "tcp://127.0.0.1:2375", "`address` to listen on: tcp://HOST:PORT, unix://PATH or npipe:////./pipe/NAME")
	dir := flags.String("state", "dockerd-state", "`folder` of the state")
	images := flags.String("images", "", "`file` that maps names to images")
	simulate := flags.Bool("simulate", false, "run the containers on a simulated HCS, where they end with the daemon")
	var files tlsFiles
	flags.StringVar(&files.cert, "tlscert", "", "`file` with the certificate of the daemon, for tcp")
	flags.StringVar(&files.key, "tlskey", "", "`file` with the key of the certificate")
	flags.StringVar(&files.ca, "tlscacert", "", "`file` with the authority whose certificates clients must have")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	s, err := hostSettings(*dir, *images, *simulate)
	if err != nil {
		return err
	}
	s.logger = logger
	listener, err := listen(*host, files)
	if err != nil {
		return err
	}
	d, err := newDaemon(s)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if strings.HasPrefix(*host, "tcp:") && files.ca == "" {
		logger.Warn("every user and program of this computer can use the daemon, which is the same as being an administrator: use npipe or unix, or certificates of the clients")
	}
	server := &http.Server{
		Handler: d.handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	context.AfterFunc(ctx, func() { server.Close() })
	logger.Info("listening", "address", *host, "actual", listener.Addr().String())
	if err = server.Serve(listener); errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, d.close(context.Background()))
}

// hostSettings says where containers run: on the HCS of the host or on a simulated one.
func hostSettings(dir, images string, simulate bool) (s settings, err error) {
	if s.dir, err = filepath.Abs(dir); err != nil {
		return s, err
	}
	if s.images, err = readCatalog(images); err != nil {
		return s, err
	}
	if simulate {
		s.service = hcstest.NewService(hcstest.WithCallLimit(0))
		s.layers = []layers.MountOption{layers.WithDriver(hcstest.NewLayerStore())}
		s.images.simulated = filepath.Join(s.dir, "simulated")
		return s, nil
	}
	if s.service, err = libcontainerd.HostService(); err != nil {
		return s, fmt.Errorf("%w: hint: --simulate needs no HCS", err)
	}
	return s, nil
}
