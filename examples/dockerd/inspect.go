package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
	"github.com/seed-609fd248/libcontainerd/engine"
)

// state is how a container is, in Docker's words.
func (c *managed) state() container.State {
	c.mu.Lock()
	failed, live, removing := c.record.Failure, c.live, c.removing
	c.mu.Unlock()
	s := container.State{Status: container.StateCreated, StartedAt: stamp(time.Time{}), FinishedAt: stamp(time.Time{})}
	var started time.Time
	if live != nil {
		status := live.Status()
		started = status.StartedAt
		describe(&s, status)
	}
	if failed != nil && failed.At.After(started) {
		s.ExitCode, s.Error, s.FinishedAt = failed.Code, failed.Message, stamp(failed.At)
	}
	if removing && !s.Running {
		s.Status = container.StateRemoving
	}
	return s
}

// describe fills in what the engine knows.
func describe(s *container.State, status engine.Status) {
	s.StartedAt, s.FinishedAt = stamp(status.StartedAt), stamp(status.ExitedAt)
	s.Pid, s.ExitCode = int(status.Pid), int(status.ExitCode)
	if status.Err != nil {
		s.Error = status.Err.Error()
	}
	switch status.Phase {
	case engine.PhaseRunning, engine.PhaseExiting:
		s.Status, s.Running = container.StateRunning, true
	case engine.PhasePaused:
		s.Status, s.Running, s.Paused = container.StatePaused, true, true
	case engine.PhaseRestarting:
		s.Status, s.Running, s.Restarting = container.StateRestarting, true, true
	case engine.PhaseExited:
		s.Status = container.StateExited
	default: // it is still being created
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (d *daemon) inspectContainer(w http.ResponseWriter, _ *http.Request, c *managed) error {
	r, state := c.snapshot(), c.state()
	c.mu.Lock()
	live := c.live
	c.mu.Unlock()
	words := command(r.Config)
	answer := container.InspectResponse{
		ID: r.ID, Created: stamp(r.Created), Path: words[0], Args: words[1:], State: &state,
		Image: r.ImageID, Name: "/" + r.Name, Driver: "windowsfilter", Platform: "windows",
		LogPath: filepath.Join(d.folder(r.ID), r.ID+"-json.log"), ExecIDs: d.execIDs(c),
		HostConfig: r.HostConfig, Config: r.Config, Mounts: mountPoints(r),
		GraphDriver:     &storage.DriverData{Name: "windowsfilter", Data: map[string]string{"dir": d.scratch(r.ID)}},
		NetworkSettings: &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{}},
	}
	if live != nil {
		answer.RestartCount = live.Status().Restarts
	}
	return reply(w, http.StatusOK, answer)
}

// execIDs are the processes of a container that have not ended.
func (d *daemon) execIDs(c *managed) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []string
	for id, e := range d.execs {
		e.mu.Lock()
		if e.container == c && e.ended.IsZero() {
			ids = append(ids, id)
		}
		e.mu.Unlock()
	}
	slices.Sort(ids)
	return ids
}

func mountPoints(r record) []container.MountPoint {
	points := []container.MountPoint{}
	mounts, err := mountsOf(r.HostConfig)
	if err != nil {
		return points // cannot be: it was checked
	}
	for _, m := range mounts {
		points = append(points, container.MountPoint{
			Type: mount.TypeBind, Source: m.Source, Destination: m.Destination,
			Mode: strings.Join(m.Options, ","), RW: !slices.Contains(m.Options, "ro"),
		})
	}
	return points
}

func (d *daemon) listContainers(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilters(r, "id", "name", "status", "exited", "label", "ancestor", "before", "since", "is-task")
	if err != nil {
		return err
	}
	before, since, err := d.bounds(f)
	if err != nil {
		return err
	}
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	everything := isTrue(r, "all") || limit > 0 || f.has("status") || f.has("exited")
	list := []container.Summary{}
	for _, c := range d.all() {
		state := c.state()
		switch {
		case limit > 0 && len(list) == limit,
			!everything && !state.Running,
			before != nil && !c.created.Before(before.created),
			since != nil && !c.created.After(since.created),
			!d.matches(f, c.snapshot(), state):
			continue
		}
		list = append(list, d.summary(c.snapshot(), state))
	}
	return reply(w, http.StatusOK, list)
}

// bounds returns the containers that the filters before and since name; nil: none.
func (d *daemon) bounds(f filters) (before, since *managed, err error) {
	for name, bound := range map[string]**managed{"before": &before, "since": &since} {
		for _, text := range f[name] {
			if *bound, err = d.find(text); err != nil {
				return nil, nil, err
			}
		}
	}
	return before, since, nil
}

func (d *daemon) matches(f filters, r record, s container.State) bool {
	return f.any("id", func(want string) bool { return strings.HasPrefix(r.ID, want) }) &&
		f.any("name", func(want string) bool { return strings.Contains("/"+r.Name, want) }) &&
		f.equal("status", string(s.Status)) &&
		f.any("exited", func(want string) bool {
			return s.Status == container.StateExited && want == strconv.Itoa(s.ExitCode)
		}) &&
		f.any("ancestor", func(want string) bool {
			i, err := d.images.find(want)
			return err == nil && i.id() == r.ImageID
		}) &&
		f.any("is-task", func(want string) bool { return want == "false" }) &&
		f.labels(r.Config.Labels)
}

func (d *daemon) summary(r record, s container.State) container.Summary {
	summary := container.Summary{
		ID: r.ID, Names: []string{"/" + r.Name}, Image: r.Image, ImageID: r.ImageID,
		Command: strings.Join(command(r.Config), " "), Created: r.Created.Unix(), Ports: []container.PortSummary{},
		Labels: r.Config.Labels, State: s.Status, Status: statusText(s), Mounts: mountPoints(r),
		NetworkSettings: &container.NetworkSettingsSummary{Networks: map[string]*network.EndpointSettings{}},
	}
	if summary.Labels == nil {
		summary.Labels = map[string]string{}
	}
	summary.HostConfig.NetworkMode = string(r.HostConfig.NetworkMode)
	return summary
}

// statusText is the state as docker ps shows it.
func statusText(s container.State) string {
	switch s.Status {
	case container.StateRestarting:
		return fmt.Sprintf("Restarting (%d) %s ago", s.ExitCode, since(s.FinishedAt))
	case container.StatePaused:
		return fmt.Sprintf("Up %s (Paused)", since(s.StartedAt))
	case container.StateRunning:
		return "Up " + since(s.StartedAt)
	case container.StateExited:
		return fmt.Sprintf("Exited (%d) %s ago", s.ExitCode, since(s.FinishedAt))
	case container.StateRemoving:
		return "Removal In Progress"
	default:
		return "Created"
	}
}

func since(stamp string) string {
	t, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return "" // cannot be: stamp has written it
	}
	return units.HumanDuration(time.Since(t))
}
