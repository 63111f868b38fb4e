package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

// scripted is an edge that records requests and gives its answers in order.
type scripted struct {
	t       *testing.T
	answers []string
	asked   []string // method and path with the query
	bodies  []string
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Authorization") != "Bearer operator" {
		s.t.Errorf("request without a body or without the operator's token: %v", err)
	}
	s.asked, s.bodies = append(s.asked, r.Method+" "+r.URL.RequestURI()), append(s.bodies, string(body))
	if len(s.asked) > len(s.answers) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"error":"Stripe does not answer.","code":"SERVICE_UNAVAILABLE"}`)
		return
	}
	_, _ = io.WriteString(w, s.answers[len(s.asked)-1])
}

// trivet runs a command against the edge, with a text on standard input.
func (s *scripted) trivet(stdin string, args ...string) (stdout string, err error) {
	s.t.Helper()
	var out bytes.Buffer
	err = s.run(stdin, &out, args)
	return out.String(), err
}

// trivetTo is trivet with an output of the test's own.
func (s *scripted) trivetTo(stdout io.Writer, args ...string) error {
	s.t.Helper()
	return s.run("", stdout, args)
}

func (s *scripted) run(stdin string, stdout io.Writer, args []string) error {
	server := httptest.NewServer(s)
	defer server.Close()
	getenv := func(name string) string {
		return map[string]string{"TRIVET_URL": server.URL, "TRIVET_TOKEN": "operator"}[name]
	}
	return run(s.t.Context(), args, program{env: settings.Env{Get: getenv}, stdin: strings.NewReader(stdin), stdout: stdout, stderr: io.Discard})
}

// requireBodies compares the bodies of all requests, as JSON.
func (s *scripted) requireBodies(want ...string) {
	s.t.Helper()
	require.Len(s.t, s.bodies, len(want))
	for i := range want {
		require.JSONEq(s.t, want[i], s.bodies[i])
	}
}
