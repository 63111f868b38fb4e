// Package authtest has what tests of auth share: a Clerk instance (Clerk), and the signing keys of one (Keys).
package authtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/clerk"
	"github.com/trivet-dev/trivet/sandbox/webhook"
	backend "github.com/trivet-dev/trivet/services/auth/internal/clerk"
)

// TB is the part of testing.TB that tests of rapid have, too.
type TB interface {
	require.TestingT
	Helper()
	Cleanup(fn func())
}

// Clerk is a Clerk instance that tests change and read, with a clock that they set: the sandbox behind an HTTP server.
type Clerk struct {
	Fake *clerk.Fake
	// Source reads it as auth does.
	Source *backend.Client
	// URL is the server's, without /v1.
	URL string
	// Calls counts the requests to the server.
	Calls atomic.Int64
	// Fail, when set, may return a status that is answered instead of calling the instance.
	Fail atomic.Pointer[func(*http.Request) int]

	t      TB
	mu     sync.Mutex
	now    time.Time
	events []webhook.Event
}

// RetryAfter is what failing answers ask for, in seconds.
const RetryAfter = 7

// NewClerk starts an instance whose clock stands at noon; it ends with the test.
func NewClerk(t TB) *Clerk {
	t.Helper()
	c := &Clerk{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	var err error
	c.Fake, err = clerk.New(clerk.Config{Now: c.Now, Emit: c.emit})
	require.NoError(t, err)
	server := httptest.NewServer(c)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		require.NoError(t, c.Fake.Close())
	})
	c.URL = server.URL
	c.Source = backend.New(server.URL+"/v1", []string{c.Fake.SecretKey()}, &http.Client{Transport: transport}, c.Now)
	return c
}

// ServeHTTP answers as Clerk, or fails.
func (c *Clerk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.Calls.Add(1)
	if fail := c.Fail.Load(); fail != nil {
		if status := (*fail)(r); status != 0 {
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"errors":[{"code":"too_many_requests","message":"slow down"}]}`))
			return
		}
	}
	c.Fake.ServeHTTP(w, r)
}

func (c *Clerk) emit(e webhook.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
}

// Events returns the webhooks since the last call.
func (c *Clerk) Events() []webhook.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	events := c.events
	c.events = nil
	return events
}

// Now is the instance's clock.
func (c *Clerk) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Pass moves the clock forward.
func (c *Clerk) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Call calls the Backend API as Clerk's dashboard would; the answer must be good.
func (c *Clerk) Call(method, path string, body any) map[string]any {
	c.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(c.t, err)
	request := httptest.NewRequest(method, "/v1"+path, strings.NewReader(string(raw)))
	request.Header.Set("Authorization", "Bearer "+c.Fake.SecretKey())
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	c.Fake.ServeHTTP(answer, request)
	require.Equal(c.t, http.StatusOK, answer.Code, "%s %s: %s", method, path, answer.Body)
	var object map[string]any
	require.NoError(c.t, json.Unmarshal(answer.Body.Bytes(), &object))
	return object
}

// User creates a user with two addresses and returns the id.
func (c *Clerk) User(name string) string {
	c.t.Helper()
	id, _ := c.Call(http.MethodPost, "/users", map[string]any{
		"email_address": []string{name + "@example.test", "second-" + name + "@example.test"}, "first_name": name,
		"public_metadata": map[string]any{"n": 1}, "skip_password_requirement": true,
	})["id"].(string)
	return id
}

// Organization creates an organization and returns the id; its owner is its admin.
func (c *Clerk) Organization(name, owner string) string {
	c.t.Helper()
	id, _ := c.Call(http.MethodPost, "/organizations", map[string]any{"name": name, "created_by": owner})["id"].(string)
	return id
}

// Join makes a user a member.
func (c *Clerk) Join(org, user, role string) {
	c.t.Helper()
	c.Call(http.MethodPost, "/organizations/"+org+"/memberships", map[string]any{"user_id": user, "role": role})
}
