package libcontainerd

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/containerd/errdefs"
)

// problems collects what is wrong with a spec, so that all of it is reported at
// once. Each field is named by its path in the JSON form of the spec.
type problems struct {
	errs []error
	// rename returns the name that a field has in the document from which the spec
	// was made; nil: it has the same name there.
	rename func(field string) string
}

// add reports bad input.
func (p *problems) add(field, format string, args ...any) {
	p.errs = append(p.errs, invalid(p.name(field), format, args...))
}

// refuse reports input that is valid, and that this HCS cannot serve.
func (p *problems) refuse(field, format string, args ...any) {
	p.errs = append(p.errs, unsupported(p.name(field), format, args...))
}

func (p *problems) name(field string) string {
	if p.rename == nil {
		return field
	}
	return p.rename(field)
}

func (p *problems) join() error { return errors.Join(p.errs...) }

// invalid returns an error of kind errdefs.ErrInvalidArgument that names field.
func invalid(field, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", field, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
}

// unsupported returns an error that names field and is of the kinds
// errdefs.ErrInvalidArgument and errdefs.ErrNotImplemented: the input may be right
// for another host or another runtime.
func unsupported(field, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w (%w)", field, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument, errdefs.ErrNotImplemented)
}

// text reports a string that Windows cannot be given. The string is the field name
// of parent.
func (p *problems) text(parent, name, s string) {
	if fault := textFault(s); fault != "" {
		p.add(member(parent, name), "%s", fault)
	}
}

// texts does what text does for every element of a list.
func (p *problems) texts(parent, name string, list []string) {
	for i, s := range list {
		if fault := textFault(s); fault != "" {
			p.add(element(member(parent, name), i), "%s", fault)
		}
	}
}

// textAt does what text does for the field name of the i-th element of a list.
func (p *problems) textAt(list string, i int, name, s string) {
	if fault := textFault(s); fault != "" {
		p.add(member(element(list, i), name), "%s", fault)
	}
}

// textFault returns why Windows cannot be given s, "" if it can.
func textFault(s string) string {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		return "holds a NUL character"
	case !utf8.ValidString(s):
		return "is not UTF-8"
	}
	return ""
}

// idFault returns what keeps id from being the id of a container, "" if nothing
// does.
func idFault(id string) string {
	if id == "" {
		return "is empty"
	}
	return textFault(id)
}

// member and element return the name of a field. They are called only for a field
// with a problem: naming all fields would cost more than checking them.
func member(parent, name string) string {
	if parent == "" {
		return name
	}
	return parent + "." + name
}

func element(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// validate reports everything that keeps a spec from running on host.
func (s *Spec) validate(host Host) error {
	var p problems
	s.checkDocument(&p)
	s.checkHost(&p, host)
	s.checkLayers(&p)
	s.checkReadonly(&p)
	s.checkVolume(&p)
	s.Process.check(&p)
	return p.join()
}

// checkDocument reports what the HCS document cannot express. It accepts what is
// merely absent, as the 2016 client did.
func (s *Spec) checkDocument(p *problems) {
	p.text("", "hostname", s.Hostname)
	p.text("root", "path", s.Root.Path)
	for i := range s.Mounts {
		p.textAt("mounts", i, "source", s.Mounts[i].Source)
		p.textAt("mounts", i, "destination", s.Mounts[i].Destination)
	}
	s.Windows.check(p)
}

// The first builds of Windows that know a field of the document.
const (
	buildPipes   = 16299 // MappedPipes: version 1709
	buildDevices = 17763 // AssignedDevices: Server 2019
)

// checkHost reports what host cannot do, and what it cannot be told. A host of
// unknown build, 0, is taken to be new enough.
func (s *Spec) checkHost(p *problems, host Host) {
	if n := s.Windows.Networking; n != nil && n.NetworkNamespace != "" {
		p.refuse("windows.networking.network_namespace", "schema 1 of HCS knows endpoints, not namespaces: put the endpoints of the namespace into windows.networking.endpoints")
	}
	if len(s.Windows.Pipes) > 0 {
		checkBuild(p, "windows.pipes", host, buildPipes)
	}
	if len(s.Windows.Devices) > 0 {
		checkBuild(p, "windows.devices", host, buildDevices)
	}
	natAdapters(p, s.Windows.Networking, host)
}

func checkBuild(p *problems, field string, host Host, needed uint16) {
	if host.Build != 0 && host.Build < needed {
		p.refuse(field, "needs Windows build %d, this host has %d", needed, host.Build)
	}
}

// checkLayers reports missing layers, without which HCS has nothing to run.
func (s *Spec) checkLayers(p *problems) {
	if len(s.Windows.LayerPaths) == 0 {
		p.add("windows.layer_paths", "is empty: a container needs at least one layer")
	}
	if s.Windows.LayerFolder == "" {
		p.add("windows.layer_folder", "is empty: a container needs a scratch layer")
	}
}

func (s *Spec) checkReadonly(p *problems) {
	if s.Root.Readonly {
		p.refuse("root.readonly", "schema 1 of HCS has no read-only root")
	}
}

// checkVolume reports a process-isolated container without a volume.
func (s *Spec) checkVolume(p *problems) {
	if s.Windows.HvRuntime == nil && !isVolumePath(volumePath(s.Root.Path)) {
		p.add("root.path", `%q is not a volume as \\?\Volume{GUID}, which process isolation needs`, s.Root.Path)
	}
}

// check reports bad values of the part of a Spec that only Windows has.
func (w *Windows) check(p *problems) {
	hyperV := w.HvRuntime != nil
	p.text("windows", "layer_folder", w.LayerFolder)
	p.texts("windows", "layer_paths", w.LayerPaths)
	for i, path := range w.LayerPaths {
		if layerName(path) == "" {
			p.add(element("windows.layer_paths", i), "%q has no last element, by which HCS knows a layer", path)
		}
	}
	if hyperV {
		p.text("windows.hv_runtime", "image_path", w.HvRuntime.ImagePath)
	}
	if w.Resources != nil {
		w.Resources.check(p)
	}
	if w.Networking != nil {
		w.Networking.check(p, hyperV)
	}
	checkPipes(p, w.Pipes)
	checkDevices(p, w.Devices, hyperV)
	if w.CredentialSpec != "" && !isJSONObject(w.CredentialSpec) {
		// What it is instead may be secret.
		p.add("windows.credential_spec", "is not a JSON object (an engine reads it from a file or the registry)")
	}
}

func isJSONObject(s string) bool {
	return strings.HasPrefix(strings.TrimLeft(s, " \t\r\n"), "{") && json.Valid([]byte(s))
}

// check reports bad network settings, except for port bindings: checkHost looks at
// those, for Technical Preview 4 only.
func (n *Networking) check(p *problems, hyperV bool) {
	p.text("windows.networking", "mac", n.MacAddress)
	p.text("windows.networking", "bridge", n.Bridge)
	p.texts("windows.networking", "endpoints", n.EndpointList)
	p.text("windows.networking", "network_namespace", n.NetworkNamespace)
	p.texts("windows.networking", "dns_search_list", n.DNSSearchList)
	p.text("windows.networking", "network_shared_container_name", n.NetworkSharedContainerName)
	if hyperV && n.NetworkSharedContainerName != "" {
		p.refuse("windows.networking.network_shared_container_name", "a Hyper-V container cannot share the network of another")
	}
}

func checkPipes(p *problems, pipes []Pipe) {
	const list = "windows.pipes"
	for i, pipe := range pipes {
		p.textAt(list, i, "source", pipe.Source)
		p.textAt(list, i, "name", pipe.Name)
		if _, ok := pipeName(pipe.Source); !ok {
			p.add(element(list, i)+".source", `%q is not a pipe as \\.\pipe\NAME`, pipe.Source)
		}
		if pipe.Name == "" {
			p.add(element(list, i)+".name", "is empty")
		}
	}
}

func checkDevices(p *problems, devices []Device, hyperV bool) {
	const list = "windows.devices"
	if hyperV && len(devices) > 0 {
		p.refuse(list, "devices cannot be assigned to a Hyper-V container")
	}
	for i, device := range devices {
		if device.IDType != "class" && device.IDType != "vpci-class-guid" {
			p.refuse(element(list, i)+".id_type", `%q is neither "class" nor "vpci-class-guid"`, device.IDType)
		}
		if !isInterfaceClass(device.ID) {
			p.add(element(list, i)+".id", "%q is not the GUID of an interface class", device.ID)
		}
	}
}

// isInterfaceClass reports whether id is a GUID, in braces or without.
func isInterfaceClass(id string) bool {
	if len(id) == len("{}")+guidLen && id[0] == '{' && id[len(id)-1] == '}' {
		id = id[1 : len(id)-1]
	}
	return isGUID(id)
}

// validate reports everything that keeps a process from being started.
func (pr *Process) validate() error {
	var p problems
	pr.check(&p)
	return p.join()
}

func (pr *Process) check(p *problems) {
	if !slices.ContainsFunc(pr.Args, func(arg string) bool { return strings.Trim(arg, blanks) != "" }) {
		p.add("process.args", "make an empty command line")
	}
	p.texts("process", "args", pr.Args)
	p.texts("process", "env", pr.Env)
	p.text("process", "cwd", pr.Cwd)
	p.text("process.user", "user", pr.User.User)
	for i, what := range [...]string{"height", "width"} {
		if size := pr.InitialConsoleSize[i]; size < 0 || size > math.MaxUint16 {
			p.add(element("process.initial_console_size", i), "the %s %d is not within 0…%d", what, size, math.MaxUint16)
		}
	}
}
