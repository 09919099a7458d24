package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	eventsapi "github.com/moby/moby/api/types/events"
)

// newID returns the id of a container or of an exec.
func newID() string {
	var id [32]byte
	_, _ = rand.Read(id[:]) // it does not fail
	return hex.EncodeToString(id[:])
}

// validName is what Docker takes for the name of a container.
var validName = regexp.MustCompile(`^/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// checkName returns a name without its slash.
func checkName(name string) (string, error) {
	if !validName.MatchString(name) {
		return "", invalid("Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	}
	return strings.TrimPrefix(name, "/"), nil
}

// createContainer keeps what a container is to be. It runs when it is started.
func (d *daemon) createContainer(w http.ResponseWriter, r *http.Request) error {
	rec, err := d.newRecord(r)
	if err != nil {
		return err
	}
	if _, err := d.spec(rec); err != nil {
		return err
	}
	if _, err := d.logOption(rec); err != nil {
		return err
	}
	c := newManaged(rec)
	if err := d.enter(c); err != nil {
		return err
	}
	if err := c.save(d.store); err != nil {
		d.leave(c)
		return err
	}
	d.tell(c, eventsapi.ActionCreate, nil)
	return reply(w, http.StatusCreated, container.CreateResponse{ID: c.id, Warnings: []string{}})
}

// newRecord reads and checks the request for a container.
func (d *daemon) newRecord(r *http.Request) (record, error) {
	request := container.CreateRequest{}
	if err := decode(r, &request); err != nil {
		return record{}, err
	}
	if request.Config == nil {
		return record{}, invalid("config cannot be empty in order to create a container")
	}
	rec := record{ID: newID(), Created: time.Now(), Config: request.Config, HostConfig: request.HostConfig, Image: request.Image}
	if rec.HostConfig == nil {
		rec.HostConfig = &container.HostConfig{}
	}
	rec.Name = rec.ID[:12]
	if name := r.FormValue("name"); name != "" {
		var err error
		if rec.Name, err = checkName(name); err != nil {
			return record{}, err
		}
	}
	if request.NetworkingConfig != nil {
		for network := range request.NetworkingConfig.EndpointsConfig {
			if network != "default" && network != "none" {
				return record{}, unsupported("networks are not served")
			}
		}
	}
	i, err := d.images.find(request.Image)
	if err != nil {
		return record{}, err
	}
	rec.ImageID = i.id()
	if err := complete(rec.Config, i); err != nil {
		return record{}, err
	}
	return rec, check(rec.Config, rec.HostConfig)
}

func (d *daemon) renameContainer(w http.ResponseWriter, r *http.Request, c *managed) error {
	name, err := checkName(r.FormValue("name"))
	if err != nil {
		return err
	}
	former, err := d.rename(c, name)
	if err != nil {
		return err
	}
	d.tell(c, eventsapi.ActionRename, map[string]string{"oldName": "/" + former})
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// pruneContainers removes the containers that do not run.
func (d *daemon) pruneContainers(w http.ResponseWriter, r *http.Request) error {
	f, err := parseFilters(r, "label")
	if err != nil {
		return err
	}
	report := container.PruneReport{ContainersDeleted: []string{}}
	for _, c := range d.all() {
		if !f.labels(c.snapshot().Config.Labels) || c.state().Running {
			continue
		}
		switch err := d.remove(c, false); {
		case err == nil:
			report.ContainersDeleted = append(report.ContainersDeleted, c.id)
		case !errdefs.IsConflict(err):
			return fmt.Errorf("prune of container %s: %w", c.id, err)
		}
	}
	return reply(w, http.StatusOK, report)
}
