package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
)

func TestVolumeNamesHostAndContainer(t *testing.T) {
	for bind, want := range map[string][3]string{
		`C:\data:C:\data`:                    {`C:\data`, `C:\data`, ""},
		`C:\data:D:`:                         {`C:\data`, `D:`, ""},
		`c:/data:c:/in:ro`:                   {`c:/data`, `c:/in`, "ro"},
		`C:\data:C:\data:rw`:                 {`C:\data`, `C:\data`, ""},
		`\\.\pipe\docker_engine:\\.\pipe\in`: {`\\.\pipe\docker_engine`, `\\.\pipe\in`, ""},
		`C:\data`:                            {},
		`C:\data:`:                           {},
		`:C:\data`:                           {},
		`name:C:\data`:                       {},
		``:                                   {},
	} {
		m, err := parseBind(bind)
		got := [3]string{m.Source, m.Destination, strings.Join(m.Options, ",")}
		if got != want || (err != nil) != (want == [3]string{}) {
			t.Errorf("%s: %q, error %v", bind, got, err)
		}
	}
}

func FuzzVolume(f *testing.F) {
	f.Add(`C:\data:C:\data:ro`)
	f.Add(`a:`)
	f.Fuzz(func(t *testing.T, bind string) {
		m, err := parseBind(bind)
		if err == nil && (m.Source == "" || m.Destination == "" || !strings.HasPrefix(bind, m.Source+":"+m.Destination)) {
			t.Errorf("%q: %+v", bind, m)
		}
	})
}

func TestTimeHasSecondsAndAFraction(t *testing.T) {
	for text, want := range map[string]time.Time{
		"": {}, "0": {}, "1": time.Unix(1, 0), "1.5": time.Unix(1, 5e8), "2.000000001": time.Unix(2, 1),
	} {
		if got, err := parseTime(text); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, error %v", text, got, err)
		}
	}
	for _, text := range []string{"x", "1.x", "1.-5", "1.0000000001", "1e5"} {
		if got, err := parseTime(text); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v, error %v", text, got, err)
		}
	}
}

func FuzzTime(f *testing.F) {
	f.Add("1764142806.000000001")
	f.Add("0.")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTime(text)
		if err != nil || got.IsZero() {
			return
		}
		whole, _, _ := strings.Cut(text, ".")
		if seconds, err := strconv.ParseInt(whole, 10, 64); err != nil || got.Unix() != seconds {
			t.Errorf("%q: %v", text, got)
		}
	})
}

func TestFiltersHaveTwoForms(t *testing.T) {
	for text, want := range map[string][]string{
		`{"label":{"a":true,"b":false}}`: {"a"}, `{"label":["a"]}`: {"a"}, ``: nil,
	} {
		f, err := parseFilters(httptest.NewRequest(http.MethodGet, "/?filters="+url.QueryEscape(text), nil), "label")
		if err != nil || !slices.Equal(f["label"], want) {
			t.Errorf("%s: %v, error %v", text, f, err)
		}
	}
	for _, text := range []string{`{`, `{"other":["a"]}`, `[]`} {
		if f, err := parseFilters(httptest.NewRequest(http.MethodGet, "/?filters="+url.QueryEscape(text), nil), "label"); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v, error %v", text, f, err)
		}
	}
}

func FuzzFilters(f *testing.F) {
	f.Add(`{"label":{"a":true}}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFilters(httptest.NewRequest(http.MethodGet, "/?filters="+url.QueryEscape(text), nil), "label")
		for name := range got {
			if err == nil && name != "label" {
				t.Errorf("%q: %v", text, got)
			}
		}
	})
}

func TestEnvironmentOfTheContainerCounts(t *testing.T) {
	got := mergeEnv([]string{"Path=image", "A=1", "B=2"}, []string{"PATH=own", "b", "C="})
	if want := []string{"A=1", "PATH=own", "C="}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}

func TestLimitsAreTranslated(t *testing.T) {
	r := resources(&container.HostConfig{
		Resources: container.Resources{Memory: 1 << 30, NanoCPUs: 15e8, IOMaximumIOps: 5, IOMaximumBandwidth: 6},
	})
	if *r.Memory.Limit != 1<<30 || *r.CPU.Count != 2 || *r.Storage.Iops != 5 || *r.Storage.Bps != 6 {
		t.Errorf("%+v", r)
	}
	if r := resources(&container.HostConfig{}); r.Memory != nil || r.CPU != nil || r.Storage != nil {
		t.Errorf("without limits: %+v", r)
	}
}

// What is written as frames is what Docker's own code reads, in pieces of any size.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("one"), []byte("two"))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		var sent, out, errs bytes.Buffer
		stdout, stderr := outputs(&sent, false, true, true)
		for _, w := range []io.Writer{stdout, stderr, stdout} {
			data := one
			if w == stderr {
				data = two
			}
			if n, err := w.Write(data); n != len(data) || err != nil {
				t.Fatal(n, err)
			}
		}
		if _, err := stdcopy.StdCopy(&out, &errs, iotest.OneByteReader(&sent)); err != nil {
			t.Fatal(err)
		}
		if out.String() != string(one)+string(one) || errs.String() != string(two) {
			t.Errorf("%q %q", out.Bytes(), errs.Bytes())
		}
	})
}

func TestOutputGoesToWhoeverIsAttached(t *testing.T) {
	var b broadcast
	var first, second bytes.Buffer
	gone := 0
	one, two := &client{&first, nil}, &client{&second, nil}
	broken := &client{iotest.TruncateWriter(io.Discard, 0), nil}
	failing := &client{failingWriter{}, func() { gone++ }}
	for _, c := range []*client{one, two, broken, failing} {
		b.attach(c)
	}
	for i, text := range []string{"a", "b"} {
		if n, err := b.Write([]byte(text)); n != 1 || err != nil {
			t.Errorf("write: %d %v", n, err)
		}
		if i == 0 {
			b.detach(one)
		}
	}
	if first.String() != "a" || second.String() != "ab" || gone != 1 {
		t.Errorf("%q %q, %d gone", first.String(), second.String(), gone)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestOldEventsAreForgotten(t *testing.T) {
	l := newEventLog()
	for n := range 5 * keptEvents {
		l.add(newMessage("id", "start", nil, time.Unix(int64(n), 0)))
	}
	all, next, _, _ := l.from(0)
	if len(all) < keptEvents || len(all) > 2*keptEvents || all[len(all)-1].Time != 5*keptEvents-1 {
		t.Errorf("%d are kept, the last of %d", len(all), all[len(all)-1].Time)
	}
	if rest, _, _, _ := l.from(next - 1); len(rest) != 1 || next != 5*keptEvents {
		t.Errorf("%d after %d", len(rest), next-1)
	}
}
