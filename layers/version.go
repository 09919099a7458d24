package layers

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
)

// version is a version of Windows: major, minor, build, revision.
type version [4]int

func parseVersion(text string) (version, error) {
	parts := strings.Split(text, ".")
	var v version
	if len(parts) < 3 || len(parts) > len(v) {
		return v, invalid("Windows version %q: want three or four numbers with points between, as in 10.0.20348.2340", text)
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return v, invalid("Windows version %q: %q is not a number", text, part)
		}
		v[i] = int(n)
	}
	return v, nil
}

func (v version) build() int { return v[2] }

func (v version) compare(w version) int { return slices.Compare(v[:], w[:]) }

// releases are the builds of Windows Server whose images have a tag for their
// whole lifetime.
var releases = []struct {
	build int
	tag   string
}{
	{14393, "ltsc2016"},
	{17763, "ltsc2019"},
	{firstStable, "ltsc2022"},
	{26100, "ltsc2025"},
}

// firstStable is the build from which on a host runs images of earlier builds
// with process isolation: from the build of the release before the host, but at
// least this build.
const firstStable = 20348

// oldest returns the earliest build that a host runs with process isolation.
func oldest(host int) int {
	if host <= firstStable {
		return host
	}
	low := firstStable
	for _, r := range releases {
		if r.build < host {
			low = max(low, r.build)
		}
	}
	return low
}

// checkVersion returns an error unless a host runs images of a version.
func checkVersion(host, image version, isolation libcontainerd.Isolation) error {
	low := oldest(host.build())
	same := slices.Equal(host[:2], image[:2])
	early := image.build() < low
	if same && image.build() <= host.build() && (!early || isolation == libcontainerd.IsolationHyperV) {
		return nil
	}
	text := fmt.Sprintf("it is made for Windows %s, and this host is Windows %s, which runs images of %s with process isolation, and earlier ones with Hyper-V isolation",
		image, host, builds(low, host.build()))
	if same && early {
		text += ", which would run this one"
	}
	return fmt.Errorf("%s: %w", text, errdefs.ErrFailedPrecondition)
}

func (v version) String() string {
	text := fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
	if v[3] != 0 {
		text += fmt.Sprintf(".%d", v[3])
	}
	return text
}

// builds names a range of builds, and the tags of the images in it.
func builds(low, high int) string {
	var tags []string
	for _, r := range releases {
		if low <= r.build && r.build <= high {
			tags = append(tags, r.tag)
		}
	}
	text := fmt.Sprintf("build %d", high)
	if low < high {
		text = fmt.Sprintf("builds %d to %d", low, high)
	}
	if len(tags) > 0 {
		text += " (" + strings.Join(tags, ", ") + ")"
	}
	return text
}

// newest orders versions, the newest first.
func newest(a, b *candidate) int {
	return cmp.Or(b.version.compare(a.version), cmp.Compare(a.id, b.id))
}
