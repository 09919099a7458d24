package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/system"
)

func (d *daemon) ping(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-cache, no-store, must-revalidate")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, "OK")
	}
	return nil
}

func (d *daemon) version(w http.ResponseWriter, r *http.Request) error {
	kernel := d.kernel(r)
	details := map[string]string{
		"ApiVersion": maxAPIVersion, "MinAPIVersion": minAPIVersion, "Os": "windows", "Arch": runtime.GOARCH,
		"GoVersion": runtime.Version(), "KernelVersion": kernel, "Experimental": "false", "GitCommit": "", "BuildTime": "",
	}
	return reply(w, http.StatusOK, system.VersionResponse{
		Platform: system.PlatformInfo{Name: d.platform()}, Version: serverVersion,
		APIVersion: maxAPIVersion, MinAPIVersion: minAPIVersion,
		Os: "windows", Arch: runtime.GOARCH, GoVersion: runtime.Version(), KernelVersion: kernel,
		Components: []system.ComponentVersion{{Name: "Engine", Version: serverVersion, Details: details}},
	})
}

// platform is what the daemon runs containers on.
func (d *daemon) platform() string {
	if d.images.simulated != "" {
		return "libcontainerd on a simulated HCS"
	}
	return "libcontainerd"
}

// kernel is the version of Windows, "" if HCS does not say it.
func (d *daemon) kernel(r *http.Request) string {
	info, err := d.engine.Info(r.Context())
	if err != nil {
		return ""
	}
	return fmt.Sprintf("10.0.%d", info.Build)
}

func (d *daemon) info(w http.ResponseWriter, r *http.Request) error {
	host, err := d.engine.Info(r.Context())
	if err != nil {
		return err
	}
	name, _ := os.Hostname()
	info := system.Info{
		ID: d.dir, Name: name, Images: len(d.knownImages()), Driver: "windowsfilter", DriverStatus: [][2]string{},
		LoggingDriver: "json-file", ServerVersion: serverVersion, DockerRootDir: d.dir,
		OperatingSystem: d.platform(), OSType: "windows", OSVersion: fmt.Sprintf("10.0.%d", host.Build),
		KernelVersion: host.Release(), Architecture: runtime.GOARCH, NCPU: host.Processors,
		Plugins: system.PluginsInfo{Log: []string{"json-file", "none"}}, Isolation: container.IsolationProcess,
		Runtimes: map[string]system.RuntimeWithStatus{}, SystemTime: time.Now().Format(time.RFC3339Nano),
		LiveRestoreEnabled: d.images.simulated == "", NGoroutines: runtime.NumGoroutine(), Labels: []string{}, Warnings: []string{},
	}
	for _, c := range d.all() {
		info.Containers++
		switch state := c.state(); {
		case state.Paused:
			info.ContainersPaused++
		case state.Running:
			info.ContainersRunning++
		default:
			info.ContainersStopped++
		}
	}
	return reply(w, http.StatusOK, info)
}
