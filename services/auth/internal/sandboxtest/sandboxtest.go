// Package sandboxtest is a Clerk instance that tests change and read, with a clock that they turn: the sandbox's stand-in
// behind a real HTTP server.
package sandboxtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/clerk"   //nolint:depguard // a package for tests only
	"github.com/trivet-dev/trivet/sandbox/webhook" //nolint:depguard // a package for tests only
	backend "github.com/trivet-dev/trivet/services/auth/internal/clerk"
)

// TB is what is needed of a test; rapid's have it too.
type TB interface {
	require.TestingT
	Helper()
	Cleanup(fn func())
}

// Instance is a Clerk instance.
type Instance struct {
	Fake *clerk.Fake
	// Source reads it as auth does.
	Source *backend.Client
	// URL is the server's, without /v1.
	URL string
	// Calls counts the requests to the server.
	Calls atomic.Int64
	// Fail, when set, may give a status to be answered in the place of the instance.
	Fail atomic.Pointer[func(*http.Request) int]

	t      TB
	mu     sync.Mutex
	now    time.Time
	events []webhook.Event
}

// RetryAfter is what failing answers ask for, in seconds.
const RetryAfter = 7

// New starts an instance whose clock stands at noon; it ends with the test.
func New(t TB) *Instance {
	t.Helper()
	i := &Instance{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	var err error
	i.Fake, err = clerk.New(clerk.Config{Now: i.Now, Emit: i.emit})
	require.NoError(t, err)
	server := httptest.NewServer(i)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		require.NoError(t, i.Fake.Close())
	})
	i.URL = server.URL
	i.Source = backend.New(server.URL+"/v1", []string{i.Fake.SecretKey()}, &http.Client{Transport: transport}, i.Now)
	return i
}

// ServeHTTP answers as Clerk, or fails.
func (i *Instance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.Calls.Add(1)
	if fail := i.Fail.Load(); fail != nil {
		if status := (*fail)(r); status != 0 {
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"errors":[{"code":"too_many_requests","message":"slow down"}]}`))
			return
		}
	}
	i.Fake.ServeHTTP(w, r)
}

func (i *Instance) emit(e webhook.Event) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.events = append(i.events, e)
}

// Events returns what happened since it was last asked.
func (i *Instance) Events() []webhook.Event {
	i.mu.Lock()
	defer i.mu.Unlock()
	events := i.events
	i.events = nil
	return events
}

// Now is the instance's clock.
func (i *Instance) Now() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now
}

// Pass turns the clock.
func (i *Instance) Pass(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now = i.now.Add(d)
}

// Call calls the Backend API as Clerk's dashboard would; the answer must be good.
func (i *Instance) Call(method, path string, body any) map[string]any {
	i.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(i.t, err)
	request := httptest.NewRequest(method, "/v1"+path, strings.NewReader(string(raw)))
	request.Header.Set("Authorization", "Bearer "+i.Fake.SecretKey())
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	i.Fake.ServeHTTP(answer, request)
	require.Equal(i.t, http.StatusOK, answer.Code, "%s %s: %s", method, path, answer.Body)
	var object map[string]any
	require.NoError(i.t, json.Unmarshal(answer.Body.Bytes(), &object))
	return object
}

// User creates a user with two addresses and returns the id.
func (i *Instance) User(name string) string {
	i.t.Helper()
	id, _ := i.Call(http.MethodPost, "/users", map[string]any{
		"email_address": []string{name + "@example.test", "second-" + name + "@example.test"}, "first_name": name,
		"public_metadata": map[string]any{"n": 1}, "skip_password_requirement": true,
	})["id"].(string)
	return id
}

// Organization creates an organization and returns the id; its owner is its admin.
func (i *Instance) Organization(name, owner string) string {
	i.t.Helper()
	id, _ := i.Call(http.MethodPost, "/organizations", map[string]any{"name": name, "created_by": owner})["id"].(string)
	return id
}

// Join makes a user a member.
func (i *Instance) Join(org, user, role string) {
	i.t.Helper()
	i.Call(http.MethodPost, "/organizations/"+org+"/memberships", map[string]any{"user_id": user, "role": role})
}
