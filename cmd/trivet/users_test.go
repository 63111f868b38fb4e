package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

// directory is an edge with one user.
type directory struct {
	t      *testing.T
	asked  []string
	erased bool
}

const document = `{"userId":"user_alice","auth":{"user":{"id":"user_alice","primaryEmail":"alice@example.com","firstName":"Alice"},"memberships":[{}],"apiKeys":[]},"billing":{"usageRecords":[{},{}]}}`

func (d *directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.asked = append(d.asked, r.Method+" "+r.URL.RequestURI())
	switch r.URL.Path {
	case "/api/v1/users/user_alice:export":
		_ = json.NewEncoder(w).Encode(map[string]string{"json": document})
	case "/api/v1/users/user_alice:erase":
		d.erased = true
		_, _ = w.Write([]byte(`{"erasure":{"userId":"user_alice"}}`))
	case "/api/v1/users":
		if r.URL.Query().Get("pageToken") == "" {
			_, _ = w.Write([]byte(`{"users":[{"id":"user_alice","primaryEmail":"alice@example.com","firstName":"Al\tice"}],"nextPageToken":"next"}`))
			return
		}
		_, _ = w.Write([]byte(`{"users":[{"id":"user_bob"}]}`))
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":"Not found.","code":"NOT_FOUND"}`))
	}
}

func (d *directory) trivet(typed string, args ...string) (stdout, stderr string, err error) {
	d.t.Helper()
	server := httptest.NewServer(d)
	defer server.Close()
	var out, errs bytes.Buffer
	get := func(name string) string {
		// The address is the server's own setting: what the operator's commands need no second time.
		return map[string]string{"TRIVET_HTTP_ADDR": strings.TrimPrefix(server.URL, "http://"), "TRIVET_TOKEN": "operator"}[name]
	}
	err = run(d.t.Context(), args, program{env: settings.Env{Get: get}, stdin: strings.NewReader(typed), stdout: &out, stderr: &errs})
	return out.String(), errs.String(), err
}

func TestErasingAsksFirst(t *testing.T) {
	for name, tc := range map[string]struct {
		typed  string
		args   []string
		erases bool
		says   string
	}{
		"confirmed":              {typed: "user_alice\n", args: []string{"user_alice"}, erases: true},
		"confirmed without line": {typed: "user_alice", args: []string{"user_alice"}, erases: true},
		"on Windows":             {typed: "user_alice\r\n", args: []string{"user_alice"}, erases: true},
		"by a script":            {args: []string{"user_alice", "--yes"}, erases: true},
		"an empty line":          {typed: "\n", args: []string{"user_alice"}, says: "not confirmed"},
		"nobody there":           {args: []string{"user_alice"}, says: "not confirmed"},
		"just yes":               {typed: "yes\n", args: []string{"user_alice"}, says: "not confirmed"},
		"another id":             {typed: "user_alicf\n", args: []string{"user_alice"}, says: "not confirmed"},
		"more than the id":       {typed: "user_alice2\n", args: []string{"user_alice"}, says: "not confirmed"},
		"unknown":                {typed: "user_alcie\n", args: []string{"user_alcie"}, says: `there is no user "user_alcie"; nothing was erased`},
		"unknown, by a script":   {args: []string{"user_alcie", "--yes"}, says: `there is no user "user_alcie"`},
	} {
		t.Run(name, func(t *testing.T) {
			d := &directory{t: t}
			out, stderr, err := d.trivet(tc.typed, append([]string{"users", "erase"}, tc.args...)...)
			require.Equal(t, tc.erases, d.erased)
			if tc.says != "" {
				require.ErrorContains(t, err, tc.says)
				return
			}
			require.NoError(t, err)
			require.Contains(t, out, `"erasure"`)
			require.Contains(t, stderr, "alice@example.com", "the preview says who it is")
			require.Regexp(t, `billing +usageRecords +2`, stderr)
		})
	}
}

func TestExportIsOneDocument(t *testing.T) {
	out, _, err := (&directory{t: t}).trivet("", "users", "export", "user_alice")
	require.NoError(t, err)
	require.JSONEq(t, document, out)
}

func TestListUsers(t *testing.T) {
	d := &directory{t: t}
	out, stderr, err := d.trivet("", "users", "list", "--email", "alice@example.com")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 3)
	require.Regexp(t, `^ID +EMAIL +FIRST NAME +LAST NAME +CREATED$`, lines[0])
	require.Regexp(t, `^user_alice +alice@example.com +Al ice +- +-$`, strings.TrimSpace(lines[1]))
	require.Empty(t, stderr)
	require.Equal(t, "GET /api/v1/users?email=alice%40example.com&pageSize=50", d.asked[0])
	require.Equal(t, "GET /api/v1/users?email=alice%40example.com&pageSize=49&pageToken=next", d.asked[1])

	_, stderr, err = d.trivet("", "users", "list", "--limit", "1")
	require.NoError(t, err)
	require.Contains(t, stderr, "These are the first 1; --limit shows more.")
	out, _, err = d.trivet("", "users", "list", "--json")
	require.NoError(t, err)
	require.Contains(t, out, `"users": [`)
	_, _, err = d.trivet("", "users", "list", "--limit", "0")
	require.ErrorContains(t, err, "--limit must be 1 to")
}
