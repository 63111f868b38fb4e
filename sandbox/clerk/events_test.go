package clerk_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/organization"
	"github.com/clerk/clerk-sdk-go/v2/organizationmembership"
	"github.com/clerk/clerk-sdk-go/v2/session"
	"github.com/clerk/clerk-sdk-go/v2/user"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/clerk"
	"github.com/trivet-dev/trivet/sandbox/internal/quiet"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// recorder collects the events of an instance.
type recorder struct {
	mu     sync.Mutex
	events []webhook.Event
}

func (h *recorder) emit(e webhook.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// types returns the types since the last call.
func (h *recorder) types() string {
	var out []string
	for _, e := range h.take() {
		out = append(out, e.Type)
	}
	return strings.Join(out, " ")
}

func (h *recorder) take() []webhook.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.events
	h.events = nil
	return out
}

// event is the envelope as a consumer reads it.
type event struct {
	Data       map[string]any `json:"data"`
	InstanceID string         `json:"instance_id"`
	Object     string         `json:"object"`
	Timestamp  int64          `json:"timestamp"`
	Type       string         `json:"type"`
	Attributes struct {
		HTTPRequest struct {
			ClientIP  string `json:"client_ip"`
			UserAgent string `json:"user_agent"`
		} `json:"http_request"`
	} `json:"event_attributes"`
}

func parse(t *testing.T, e webhook.Event) event {
	t.Helper()
	require.Regexp(t, `^msg_[0-9A-Za-z]{27}$`, e.ID)
	var out event
	require.NoError(t, json.Unmarshal(e.Body, &out))
	require.Equal(t, "event", out.Object)
	require.Equal(t, e.Type, out.Type)
	return out
}

// TestEveryChangeEmitsAnEvent changes each object by the true SDK and sees the events.
func TestEveryChangeEmitsAnEvent(t *testing.T) {
	h := &recorder{}
	s := serve(t, clerk.Config{Now: newClock().Now, Emit: h.emit})
	users, orgs, members := user.NewClient(s.config), organization.NewClient(s.config), organizationmembership.NewClient(s.config)
	metadata := json.RawMessage(`{"a":1}`)
	ada, err := users.Create(t.Context(), &user.CreateParams{EmailAddresses: &[]string{"ada@example.test"}, ExternalID: clerksdk.String("ext-1")})
	require.NoError(t, err)
	acme, err := orgs.Create(t.Context(), &organization.CreateParams{Name: clerksdk.String("Acme"), CreatedBy: &ada.ID})
	require.NoError(t, err)
	require.Equal(t, "user.created organization.created organizationMembership.created", h.types())
	bob, err := users.Create(t.Context(), &user.CreateParams{EmailAddresses: &[]string{"bob@example.test"}})
	require.NoError(t, err)
	h.take()

	for want, change := range map[string]func() error{
		"user.updated": func() error {
			_, err := users.Update(t.Context(), ada.ID, &user.UpdateParams{FirstName: clerksdk.String("Ada")})
			return err
		},
		"user.updated ": func() error {
			_, err := users.UpdateMetadata(t.Context(), ada.ID, &user.UpdateMetadataParams{PublicMetadata: &metadata})
			return err
		},
		"organization.updated": func() error {
			_, err := orgs.Update(t.Context(), acme.ID, &organization.UpdateParams{Name: clerksdk.String("Acme Ltd")})
			return err
		},
		"": func() error { // nothing changes when a request is refused
			_, err := users.Update(t.Context(), ada.ID, &user.UpdateParams{ExternalID: bob.ExternalID, PrimaryEmailAddressID: clerksdk.String("idn_x")})
			require.Error(t, err)
			return nil
		},
	} {
		require.NoError(t, change())
		require.Equal(t, strings.TrimSpace(want), h.types())
	}

	_, err = members.Create(t.Context(), &organizationmembership.CreateParams{OrganizationID: acme.ID, UserID: &bob.ID, Role: clerksdk.String("org:member")})
	require.NoError(t, err)
	_, err = members.Update(t.Context(), &organizationmembership.UpdateParams{OrganizationID: acme.ID, UserID: bob.ID, Role: clerksdk.String("org:admin")})
	require.NoError(t, err)
	_, err = members.Update(t.Context(), &organizationmembership.UpdateParams{OrganizationID: acme.ID, UserID: bob.ID, Role: clerksdk.String("org:admin")})
	require.NoError(t, err)
	_, err = members.Delete(t.Context(), &organizationmembership.DeleteParams{OrganizationID: acme.ID, UserID: bob.ID})
	require.NoError(t, err)
	events := h.take()
	require.Len(t, events, 3, "setting the same role emits nothing")
	for i, kind := range []string{"created", "updated", "deleted"} {
		e := parse(t, events[i])
		require.Equal(t, "organizationMembership."+kind, e.Type)
		require.Equal(t, acme.ID, e.Data["organization"].(map[string]any)["id"])
		require.Equal(t, bob.ID, e.Data["public_user_data"].(map[string]any)["user_id"])
		require.Equal(t, []string{"org:member", "org:admin", "org:admin"}[i], e.Data["role"])
		require.NotEmpty(t, e.Data["permissions"])
		require.Equal(t, e.Data["id"], events[i].Subject)
	}

	_, err = session.NewClient(s.config).Create(t.Context(), &session.CreateParams{UserID: ada.ID})
	require.NoError(t, err)
	require.Equal(t, "email.created session.created user.updated", h.types())
	_, err = users.Ban(t.Context(), ada.ID)
	require.NoError(t, err)
	require.Equal(t, "session.revoked user.updated", h.types())
	_, err = users.Unban(t.Context(), ada.ID)
	require.NoError(t, err)
	s.mint(t, clerk.TokenSpec{User: ada.ID, Org: acme.ID})
	s.mint(t, clerk.TokenSpec{User: ada.ID, Org: acme.ID})
	require.Equal(t, "user.updated email.created session.created user.updated", h.types(), "a second token begins no second session")

	_, err = users.Delete(t.Context(), ada.ID)
	require.NoError(t, err)
	events = h.take()
	require.Len(t, events, 3)
	require.Equal(t, "removed", parse(t, events[0]).Data["status"])
	require.Equal(t, ada.ID, parse(t, events[1]).Data["public_user_data"].(map[string]any)["user_id"])
	gone := parse(t, events[2])
	require.Equal(t, "user.deleted", gone.Type)
	require.Equal(t, map[string]any{"id": ada.ID, "object": "user", "deleted": true, "external_id": "ext-1"}, gone.Data)
	_, err = orgs.Delete(t.Context(), acme.ID)
	require.NoError(t, err)
	events = h.take()
	require.Len(t, events, 1)
	require.Equal(t, map[string]any{"id": acme.ID, "object": "organization", "slug": "acme", "deleted": true}, parse(t, events[0]).Data)
}

func TestEventShape(t *testing.T) {
	h := &recorder{}
	s := serve(t, clerk.Config{Now: newClock().Now, Emit: h.emit, InstanceID: "ins_mine"})
	status, _ := s.call(t, "POST", "/v1/users", "Bearer "+s.SecretKey(), `{"email_address":["a@example.test"],"private_metadata":{"x":1}}`)
	require.Equal(t, 200, status)
	created := parse(t, h.take()[0])
	require.Equal(t, "ins_mine", created.InstanceID)
	require.EqualValues(t, 1_700_000_000_000, created.Timestamp)
	require.Equal(t, "127.0.0.1", created.Attributes.HTTPRequest.ClientIP)
	require.Contains(t, created.Attributes.HTTPRequest.UserAgent, "Go-http-client")
	require.Equal(t, map[string]any{"x": 1.0}, created.Data["private_metadata"])
	require.Equal(t, "verified", created.Data["email_addresses"].([]any)[0].(map[string]any)["verification"].(map[string]any)["status"])

	s.mint(t, clerk.TokenSpec{User: "alice"})
	events := h.take()
	mail := parse(t, events[1])
	require.Equal(t, "email.created", mail.Type)
	code := mail.Data["data"].(map[string]any)["otp_code"].(string)
	require.Regexp(t, `^\d{6}$`, code)
	require.Contains(t, mail.Data["body"], code)
	require.Equal(t, "alice@example.test", mail.Data["to_email_address"])
	begun := parse(t, events[2])
	require.Equal(t, "session.created", begun.Type)
	require.Equal(t, "alice", begun.Data["user"].(map[string]any)["id"])
	require.Equal(t, "active", begun.Data["status"])
	require.Contains(t, begun.Data, "actor")

	kid, err := s.KeyID(t.Context())
	require.NoError(t, err)
	require.Equal(t, "ins_mine", kid, "the first key has the id of the instance")
	made := parse(t, s.MakeEvent("role.created", "role_1", json.RawMessage(`{"id":"role_1"}`), "ins_other"))
	require.Equal(t, "ins_other", made.InstanceID)
	require.Equal(t, map[string]any{"id": "role_1"}, made.Data)
}

func TestQuietChangeEmitsNoEvent(t *testing.T) {
	h := &recorder{}
	s := serve(t, clerk.Config{Emit: h.emit})
	s.mint(t, clerk.TokenSpec{User: "alice"})
	h.take()
	r := httptest.NewRequestWithContext(quiet.With(t.Context()), "PATCH", "/v1/users/alice", strings.NewReader(`{"first_name":"Quiet"}`))
	r.Header.Set("Authorization", "Bearer "+s.SecretKey())
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	require.Equal(t, 200, w.Code)
	u, _ := s.User("alice")
	require.Equal(t, "Quiet", *u.FirstName)
	require.Empty(t, h.take())
	status, _ := s.call(t, "DELETE", "/v1/users/alice", "Bearer "+s.SecretKey(), "")
	require.Equal(t, 200, status)
	require.Equal(t, "session.removed user.deleted", h.types(), "the next request emits events again")
}
