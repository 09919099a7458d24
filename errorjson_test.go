package libcontainerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestErrorsAsJSON(t *testing.T) {
	const document = `{"Name":"web1","Environment":{"PASSWORD":"hush"}}`
	refused := newError(OpCreate, "web1", "", &Error{Code: CodeSharingViolation, HostBuild: 20348, Document: document, Events: []string{"line one\nquotes " + document}})
	const refusedJSON = `{
		"message": "create container \"web1\": Win32 0x20 ERROR_SHARING_VIOLATION: file or network port is in use: hint: another container or program holds the layer or the host port: hcsrun ps lists the containers",
		"op": "create", "container": "web1", "code": 32, "name": "ERROR_SHARING_VIOLATION",
		"kinds": ["conflict", "already exists"], "retry": "do not retry",
		"hint": "another container or program holds the layer or the host port: hcsrun ps lists the containers",
		"host_build": 20348,
		"events": ["line one; quotes {\"Name\":\"web1\",\"Environment\":\"(removed)\"}"]
	}`
	const plainJSON = `{
		"message": "exec process \"p\" in container \"web1\": friendly name is empty: invalid argument",
		"op": "exec", "container": "web1", "process": "p", "kinds": ["invalid argument"]
	}`
	plain := newError(OpExec, "web1", "p", fmt.Errorf("friendly name is empty: %w", errdefs.ErrInvalidArgument))

	for name, test := range map[string]struct {
		value any
		want  string
	}{
		"code, events, document": {refused, refusedJSON},
		"copy":                   {*refused.(*Error), refusedJSON}, //nolint:errorlint // a copy of the error itself
		"no code":                {plain, plainJSON},
		"no error":               {(*Error)(nil), `null`},
		"wraps another": {
			newError(OpRestart, "web1", "", fmt.Errorf("attempt 2: %w", &Error{Op: OpStart, ContainerID: "web1", Code: CodeProcessStopped, HostBuild: 1, Events: []string{"event"}})),
			`{"message": "restart container \"web1\": attempt 2: start container \"web1\": HCS 0x8037011F PROCESS_ALREADY_STOPPED: process has ended already: hint: wait for its exit event",
			  "op": "restart", "container": "web1", "code": 2151088415, "name": "PROCESS_ALREADY_STOPPED", "kinds": ["not found"], "retry": "do not retry",
			  "hint": "wait for its exit event", "host_build": 1, "events": ["event"]}`,
		},
		"no answer": {
			newError(OpExec, "web1", "", context.DeadlineExceeded),
			`{"message": "exec container \"web1\": context deadline exceeded: hint: the host may be overloaded: start fewer containers at a time, or allow more time",
			  "op": "exec", "container": "web1", "kinds": ["context deadline exceeded"], "retry": "caller decides",
			  "hint": "the host may be overloaded: start fewer containers at a time, or allow more time"}`,
		},
		"several": {
			join(refused, plain, ErrMayStillRun, errors.New("two\nlines")),
			`{"message": ` + quote(join(refused, plain, ErrMayStillRun, errors.New("two\nlines")).Error()) + `,
			  "kinds": ["conflict", "already exists", "invalid argument"], "may_still_run": true,
			  "errors": [` + refusedJSON + `,` + plainJSON + `,
			    {"message": ` + quote(ErrMayStillRun.Error()) + `, "may_still_run": true}, {"message": "two; lines"}]}`,
		},
		"exit that holds one": {
			StateInfo{State: StateExit, Err: plain},
			`{"State": "exit", "Pid": 0, "ExitCode": 0, "ProcessID": "", "OOMKilled": false, "ExitedAt": "0001-01-01T00:00:00Z", "Err": ` + plainJSON + `}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(test.value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decoded(t, test.want), decoded(t, string(text))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Contains(string(text), "hush") {
				t.Errorf("a secret is written: %s", text)
			}
		})
	}
}

func quote(text string) string {
	quoted, _ := json.Marshal(text) // a string can always be written
	return string(quoted)
}

func decoded(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}
