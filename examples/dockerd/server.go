package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/containerd/errdefs/pkg/errhttp"
	"github.com/moby/moby/api/types/common"
)

// The versions of the Engine API that are served. A client takes the highest one
// that both sides know.
const (
	minAPIVersion = "1.24"
	maxAPIVersion = "1.56"
)

// serverVersion is what clients show of the daemon; some of them compare it.
const serverVersion = "0.0.0-libcontainerd"

// handler answers a request. An error is answered with its status.
type handler func(http.ResponseWriter, *http.Request) error

// handler returns everything that the daemon serves.
func (d *daemon) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"/_ping":       d.ping, // GET and HEAD
		"GET /version": d.version,
		"GET /info":    d.info,
		"GET /events":  d.streamEvents,

		"POST /images/create":     d.pullImage,
		"GET /images/json":        d.listImages,
		"GET /images/{path...}":   d.inspectImage,
		"POST /containers/create": d.createContainer,
		"GET /containers/json":    d.listContainers,
		"POST /containers/prune":  d.pruneContainers,

		"GET /containers/{id}/json":     d.container(d.inspectContainer),
		"POST /containers/{id}/start":   d.container(d.startContainer),
		"POST /containers/{id}/stop":    d.container(d.stopContainer),
		"POST /containers/{id}/restart": d.container(d.restartContainer),
		"POST /containers/{id}/kill":    d.container(d.killContainer),
		"POST /containers/{id}/pause":   d.container(d.pauseContainer),
		"POST /containers/{id}/unpause": d.container(d.unpauseContainer),
		"POST /containers/{id}/wait":    d.container(d.waitContainer),
		"POST /containers/{id}/rename":  d.container(d.renameContainer),
		"POST /containers/{id}/resize":  d.container(d.resizeContainer),
		"POST /containers/{id}/attach":  d.container(d.attachContainer),
		"GET /containers/{id}/logs":     d.container(d.containerLogs),
		"GET /containers/{id}/top":      d.container(d.top),
		"GET /containers/{id}/stats":    d.container(d.stats),
		"DELETE /containers/{id}":       d.container(d.removeContainer),

		"POST /containers/{id}/exec": d.container(d.createExec),
		"POST /exec/{id}/start":      d.startExec,
		"GET /exec/{id}/json":        d.inspectExec,
		"POST /exec/{id}/resize":     d.resizeExec,

		"/": func(_ http.ResponseWriter, r *http.Request) error { return notServed(r) },
	} {
		mux.Handle(pattern, answer(h))
	}
	return guard(negotiate(mux))
}

// container has a handler called with the container that the request names.
func (d *daemon) container(h func(http.ResponseWriter, *http.Request, *managed) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := d.find(r.PathValue("id"))
		if err != nil {
			return err
		}
		return h(w, r, c)
	}
}

func notServed(r *http.Request) error {
	return unsupported("%s %s is not served: this daemon serves what the life of a container needs", r.Method, r.URL.Path)
}

// answer calls a handler, and answers its error.
func answer(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		switch {
		case err == nil, errors.Is(err, errGone):
		case errors.Is(err, errNotModified):
			w.WriteHeader(http.StatusNotModified)
		case errors.Is(err, errBadCommand):
			fail(w, http.StatusBadRequest, err)
		default:
			fail(w, errhttp.ToHTTP(err), err)
		}
	})
}

func fail(w http.ResponseWriter, status int, err error) {
	_ = reply(w, status, common.ErrorResponse{Message: err.Error()}) // the client may have gone
}

// reply answers with a status and a value as JSON.
func reply(w http.ResponseWriter, status int, value any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return encode(w, value)
}

// encode writes a value as JSON. It is not an error that the client has gone.
func encode(w io.Writer, value any) error {
	_ = json.NewEncoder(w).Encode(value)
	return nil
}

// decode reads the JSON of a request. Without a body the value stays as it is.
func decode(r *http.Request, value any) error {
	err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 4<<20)).Decode(value)
	if err != nil && err != io.EOF {
		return invalid("body of the request: %v", err)
	}
	return nil
}

// isTrue reports whether a parameter of the request is set, as Docker reads it.
func isTrue(r *http.Request, name string) bool {
	switch strings.ToLower(strings.TrimSpace(r.FormValue(name))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// versioned is a path that begins with a version.
var versioned = regexp.MustCompile(`^/v(\d+)\.(\d+)(/.*)$`)

// negotiate says in each answer which version is served, and takes the version off
// the path of the request.
func negotiate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", maxAPIVersion)
		w.Header().Set("Ostype", "windows")
		w.Header().Set("Server", "Docker/"+serverVersion+" (windows)") // old clients read the system from it
		if parts := versioned.FindStringSubmatch(r.URL.Path); parts != nil {
			if err := checkVersion(parts[1], parts[2]); err != nil {
				fail(w, http.StatusBadRequest, err)
				return
			}
			r = r.Clone(r.Context())
			r.URL.Path, r.URL.RawPath = parts[3], ""
		}
		next.ServeHTTP(w, r)
	})
}

func checkVersion(major, minor string) error {
	n, err := strconv.Atoi(minor)
	switch version := major + "." + minor; {
	case major != "1" || err != nil || n > minorOf(maxAPIVersion):
		return fmt.Errorf("client version %s is too new. Maximum supported API version is %s", version, maxAPIVersion)
	case n < minorOf(minAPIVersion):
		return fmt.Errorf("client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", version, minAPIVersion)
	}
	return nil
}

func minorOf(version string) int {
	_, minor, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(minor)
	return n
}

// guard refuses what a web page makes a browser send: no client of Docker has an
// Origin, and over TCP without TLS none reaches this computer under another name.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, isTCP := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		if r.Header.Get("Origin") != "" || isTCP && r.TLS == nil && !isLoopback(r.Host) {
			fail(w, http.StatusForbidden, errors.New("requests of web pages are refused"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
