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
	// rename gives a field the name it has in the document that the spec was
	// made from; nil: it has that name already.
	rename func(field string) string
}

// add reports bad input.
func (p *problems) add(field, format string, args ...any) {
	p.errs = append(p.errs, invalid(p.name(field), format, args...))
}

// refuse reports input that has a meaning, but none that this HCS can serve.
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

// unsupported returns what invalid does, of kind errdefs.ErrNotImplemented
// besides: the input may be right for another host or another runtime.
func unsupported(field, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w (%w)", field, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument, errdefs.ErrNotImplemented)
}

// text reports a string that Windows cannot be given as it is: the field name
// of parent.
func (p *problems) text(parent, name, s string) {
	if fault := textFault(s); fault != "" {
		p.add(member(parent, name), "%s", fault)
	}
}

// texts is text for every element of a list.
func (p *problems) texts(parent, name string, list []string) {
	for i, s := range list {
		if fault := textFault(s); fault != "" {
			p.add(element(member(parent, name), i), "%s", fault)
		}
	}
}

func textFault(s string) string {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		return "holds a NUL character"
	case !utf8.ValidString(s):
		return "is not UTF-8"
	}
	return ""
}

// idFault says why id is none that a container can have.
func idFault(id string) string {
	if id == "" {
		return "is empty"
	}
	return textFault(id)
}

// member and element name a field. They are called only for one that has a
// problem: to name all of them would cost more than to check them.
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
	s.checkRoot(&p)
	s.Process.check(&p)
	return p.join()
}

// checkDocument reports what the HCS document cannot express. What is merely
// absent it lets pass, as the 2016 client did.
func (s *Spec) checkDocument(p *problems) {
	p.text("", "hostname", s.Hostname)
	p.text("root", "path", s.Root.Path)
	for i := range s.Mounts {
		if m := &s.Mounts[i]; textFault(m.Source) != "" || textFault(m.Destination) != "" {
			p.text(element("mounts", i), "source", m.Source)
			p.text(element("mounts", i), "destination", m.Destination)
		}
	}
	s.Windows.check(p)
}

// The first builds of Windows that know a field of the document.
const (
	buildPipes   = 16299 // MappedPipes: version 1709
	buildDevices = 17763 // AssignedDevices: Server 2019
)

// checkHost reports what host cannot do, or could not be told. A host of unknown
// build, 0, is taken to be new enough.
func (s *Spec) checkHost(p *problems, host Host) {
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

// checkRoot reports a root file system that HCS cannot give a container.
func (s *Spec) checkRoot(p *problems) {
	if s.Root.Readonly {
		p.refuse("root.readonly", "schema 1 of HCS has no read-only root")
	}
	if s.Windows.HvRuntime == nil && !isVolumePath(volumePath(s.Root.Path)) {
		p.add("root.path", `%q is not a volume as \\?\Volume{GUID}, which process isolation needs`, s.Root.Path)
	}
}

// isVolumePath reports whether path is \\?\Volume{…}; what the braces hold is for
// Windows to judge.
func isVolumePath(path string) bool {
	return len(path) > len(volumePrefix) && strings.EqualFold(path[:len(volumePrefix)], volumePrefix) && strings.HasSuffix(path, "}")
}

const volumePrefix = `\\?\Volume{`

// guidLen is the length of a GUID as text, without braces.
const guidLen = len("00000000-0000-0000-0000-000000000000")

func isGUID(s string) bool {
	if len(s) != guidLen {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)):
			return false
		}
	}
	return true
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
		p.add("windows.credential_spec", "is not a JSON object (reading it from a file or the registry is the engine's part)")
	}
}

func isJSONObject(s string) bool {
	return strings.HasPrefix(strings.TrimLeft(s, " \t\r\n"), "{") && json.Valid([]byte(s))
}

// check reports bad network settings. The port bindings are left out: only the
// document for Technical Preview 4 has them.
func (n *Networking) check(p *problems, hyperV bool) {
	p.text("windows.networking", "mac", n.MacAddress)
	p.text("windows.networking", "bridge", n.Bridge)
	p.texts("windows.networking", "endpoints", n.EndpointList)
	p.texts("windows.networking", "dns_search_list", n.DNSSearchList)
	p.text("windows.networking", "network_shared_container_name", n.NetworkSharedContainerName)
	if hyperV && n.NetworkSharedContainerName != "" {
		p.refuse("windows.networking.network_shared_container_name", "a Hyper-V container cannot share the network of another")
	}
}

func checkPipes(p *problems, pipes []Pipe) {
	for i, pipe := range pipes {
		field := element("windows.pipes", i)
		p.text(field, "source", pipe.Source)
		p.text(field, "name", pipe.Name)
		if _, ok := pipeName(pipe.Source); !ok {
			p.add(field+".source", `%q is not a pipe as \\.\pipe\NAME`, pipe.Source)
		}
		if pipe.Name == "" {
			p.add(field+".name", "is empty")
		}
	}
}

const pipePrefix = `\\.\pipe\`

// pipeName returns NAME of a path \\.\pipe\NAME.
func pipeName(path string) (name string, ok bool) {
	if len(path) <= len(pipePrefix) || !strings.EqualFold(fromSlash(path[:len(pipePrefix)]), pipePrefix) {
		return "", false
	}
	return path[len(pipePrefix):], true
}

func checkDevices(p *problems, devices []Device, hyperV bool) {
	if hyperV && len(devices) > 0 {
		p.refuse("windows.devices", "devices cannot be assigned to a Hyper-V container")
	}
	for i, device := range devices {
		field := element("windows.devices", i)
		if device.IDType != "class" && device.IDType != "vpci-class-guid" {
			p.refuse(field+".id_type", `%q is neither "class" nor "vpci-class-guid"`, device.IDType)
		}
		if !isGUID(strings.TrimSuffix(strings.TrimPrefix(device.ID, "{"), "}")) {
			p.add(field+".id", "%q is not the GUID of an interface class", device.ID)
		}
	}
}

const (
	mebibyte = 1 << 20
	// maxWeight and maxPart bound CPU.Shares and CPU.Maximum.
	maxWeight = 10_000
	maxPart   = 10_000
)

// check reports limits outside of their ranges.
func (r *Resources) check(p *problems) {
	const memory, cpu = "windows.resources.memory", "windows.resources.cpu"
	if r.Memory != nil {
		switch limit := value(r.Memory.Limit); {
		case limit < 0:
			p.add(memory+".limit", "%d is negative", limit)
		case 0 < limit && limit < mebibyte:
			p.add(memory+".limit", "%d bytes are less than 1 MiB, the unit of HCS", limit)
		}
	}
	if r.CPU == nil {
		return
	}
	if n := value(r.CPU.Count); n > math.MaxUint32 {
		p.add(cpu+".count", "%d is above %d", n, uint32(math.MaxUint32))
	}
	if n := value(r.CPU.Shares); n > maxWeight {
		p.add(cpu+".shares", "%d is above %d", n, maxWeight)
	}
	if n := value(r.CPU.Percent); n < 0 || n > 100 {
		p.add(cpu+".percent", "%d is not within 0…100", n)
	}
	if n := value(r.CPU.Maximum); n > maxPart {
		p.add(cpu+".maximum", "%d is above %d", n, maxPart)
	}
	if value(r.CPU.Percent) != 0 && value(r.CPU.Maximum) != 0 {
		p.add(cpu+".maximum", "excludes cpu.percent: both set the same limit")
	}
}

// value returns what v points to, the zero value if it is nil: in a Spec both
// mean the same.
func value[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
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
	if pr.Terminal {
		checkConsole(p, "process.consoleSize.height", pr.InitialConsoleSize[0])
		checkConsole(p, "process.consoleSize.width", pr.InitialConsoleSize[1])
	}
}

func checkConsole(p *problems, field string, size int) {
	if size < 0 || size > math.MaxUint16 {
		p.add(field, "%d is not within 0…%d", size, math.MaxUint16)
	}
}
