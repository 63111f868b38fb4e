package clerk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	sandbox "github.com/trivet-dev/trivet/sandbox/clerk"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

func now() time.Time { return time.Unix(1_800_000_000, 0) }

// serve serves one answer to every request.
func serve(t *testing.T, status int, body string, header http.Header) *clerk.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return clerk.New(server.URL+"/v1", []string{"sk_test_hunter2"}, server.Client(), now)
}

func TestUser(t *testing.T) {
	c := serve(t, http.StatusOK, `{
		"object": "user", "id": "user_1", "first_name": "Ada", "last_name": null, "image_url": "https://img.test/a",
		"external_id": "app-7", "banned": true, "deprovisioned": true, "locked": false, "public_metadata": {"plan": "pro"},
		"primary_email_address_id": "idn_2",
		"email_addresses": [
			{"id": "idn_1", "email_address": "old@example.test"}, null, {"id": "idn_3", "email_address": ""},
			{"id": "idn_2", "email_address": "ada@example.test"}
		],
		"created_at": 1700000000123, "updated_at": 1700000001456
	}`, nil)
	got, err := c.User(t.Context(), "user_1")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(directory.User{
		ID: "user_1", Synced: true, PrimaryEmail: "ada@example.test", Emails: []string{"ada@example.test", "old@example.test"},
		FirstName: "Ada", ImageURL: "https://img.test/a", ExternalID: "app-7", PublicMetadata: []byte(`{"plan":"pro"}`),
		Banned: true, Deprovisioned: true, EventTime: now(), CreateTime: time.UnixMilli(1700000000123).UTC(), UpdateTime: time.UnixMilli(1700000001456).UTC(),
	}, got))
}

func TestUserWithoutPrimaryAddress(t *testing.T) {
	c := serve(t, http.StatusOK, `{"id": "user_1", "primary_email_address_id": null, "email_addresses": [{"id": "idn_1", "email_address": "a@b.test"}]}`, nil)
	got, err := c.User(t.Context(), "user_1")
	require.NoError(t, err)
	require.Empty(t, got.PrimaryEmail, "the first address is not the primary one")
	c = serve(t, http.StatusOK, `{"id": "user_1", "primary_email_address_id": null, "email_addresses": [{"email_address": "a@b.test"}]}`, nil)
	got, err = c.User(t.Context(), "user_1")
	require.NoError(t, err)
	require.Empty(t, got.PrimaryEmail, "nor is one without an id, where none is primary")
	require.Equal(t, []string{"a@b.test"}, got.Emails)
}

func TestLocksEnd(t *testing.T) {
	for left, want := range map[string]time.Time{
		"90": now().Add(90 * time.Second).UTC(), "null": {}, "0": {}, "-5": {}, "9223372036854775807": {},
	} {
		c := serve(t, http.StatusOK, `{"id": "user_1", "locked": true, "lockout_expires_in_seconds": `+left+`}`, nil)
		got, err := c.User(t.Context(), "user_1")
		require.NoError(t, err)
		require.True(t, got.Locked)
		require.Equal(t, want, got.LockExpireTime, left)
	}
}

func TestTheAnswerMustBeAboutTheQuestion(t *testing.T) {
	c := serve(t, http.StatusOK, `{"id": "user_2"}`, nil)
	_, err := c.User(t.Context(), "user_1")
	require.ErrorContains(t, err, "another object")
	_, err = c.Organization(t.Context(), "../users/user_2/x")
	require.ErrorContains(t, err, "another object")
}

func TestErrors(t *testing.T) {
	apiError := `{"errors": [{"code": "some_code", "message": "secret detail ada@example.test"}]}`
	for name, tc := range map[string]struct {
		status int
		body   string
		header http.Header
		retry  bool
		after  time.Duration
		says   string
	}{
		"rate limit":          {429, apiError, http.Header{"Retry-After": {"7"}}, true, 7 * time.Second, "429"},
		"rate limit, no word": {429, apiError, nil, true, 0, "429"},
		"server error":        {503, apiError, nil, true, 0, "503"},
		"the first server's":  {500, apiError, nil, true, 0, "500"},
		"the last client's":   {499, apiError, nil, false, 0, "499"},
		"page of HTML":        {502, "<html>" + strings.Repeat("x", 10000), nil, true, 0, "<html>"},
		"bad key":             {401, apiError, nil, false, 0, "rejects CLERK_SECRET_KEY"},
		"a key without right": {403, apiError, nil, false, 0, "rejects CLERK_SECRET_KEY"},
		"other":               {422, apiError, nil, false, 0, "some_code"},
		"garbage":             {200, "not JSON", nil, true, 0, "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, tc.status, tc.body, tc.header).User(t.Context(), "user_1")
			require.ErrorContains(t, err, tc.says)
			require.Less(t, len(err.Error()), 400)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), "ada@example.test")
			var again *directory.RetryError
			if tc.retry {
				require.ErrorAs(t, err, &again)
				require.Equal(t, tc.after, again.After)
			} else {
				require.NotErrorAs(t, err, &again)
			}
		})
	}
	const disabled = `{"errors": [{"code": "organization_not_enabled_in_instance"}]}`
	for status, want := range map[int]bool{403: true, 401: false, 422: false, 500: false} {
		_, err := serve(t, status, disabled, nil).Organizations(t.Context(), 0, 1)
		require.Equal(t, want, errors.Is(err, directory.ErrNoOrganizations), "%d: %v", status, err)
	}
	_, err := serve(t, 404, apiError, nil).Organization(t.Context(), "org_1")
	require.ErrorIs(t, err, directory.ErrNotFound)
	_, err = clerk.New("http://127.0.0.1:1/v1", []string{"x"}, http.DefaultClient, now).User(t.Context(), "user_1")
	require.ErrorAs(t, err, new(*directory.RetryError))
	_, err = clerk.New("http://127.0.0.1:1/v1", nil, http.DefaultClient, now).User(t.Context(), "user_1")
	require.ErrorContains(t, err, "CLERK_SECRET_KEY is not set")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = serve(t, 200, "{}", nil).User(ctx, "user_1")
	require.ErrorIs(t, err, context.Canceled)
}

// TestARejectedKeyIsFollowedByTheNext, whether Clerk does not know it or it may not ask; no other failure is.
func TestARejectedKeyIsFollowedByTheNext(t *testing.T) {
	for status, want := range map[int]int{401: 2, 403: 2, 404: 1, 429: 1, 500: 1, 200: 1} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked++; r.Header.Get("Authorization") == "Bearer sk_test_new" {
				w.WriteHeader(status)
			}
			_, _ = w.Write([]byte(`{"id": "user_1", "errors": [{"code": "some_code"}]}`))
		}))
		got, err := clerk.New(server.URL+"/v1", []string{"sk_test_new", "sk_test_old"}, server.Client(), now).User(t.Context(), "user_1")
		server.Close()
		require.Equal(t, want, asked, status)
		if want == 2 || status == 200 {
			require.NoError(t, err, status)
			require.Equal(t, "user_1", got.ID)
		} else {
			require.Error(t, err, status)
		}
	}
}

// TestListsKeepToClerksBounds: at most 500 objects of a page, and 100 ids of a question.
func TestListsKeepToClerksBounds(t *testing.T) {
	var asked url.Values
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query()
		_, _ = w.Write([]byte("[]"))
	}))
	defer server.Close()
	c := clerk.New(server.URL+"/v1", []string{"sk_test_x"}, server.Client(), now)
	for limit, want := range map[int]string{1: "1", 500: "500", 501: "500"} {
		_, err := c.Users(t.Context(), 7, limit)
		require.NoError(t, err)
		require.Equal(t, want, asked.Get("limit"))
		require.Equal(t, "7", asked.Get("offset"))
		require.Equal(t, "+created_at", asked.Get("order_by"))
	}
	var ids []string
	for n := range 120 {
		ids = append(ids, fmt.Sprint("user_", n))
	}
	for _, some := range [][]string{ids[:1], ids[:100], ids} {
		_, err := c.UsersByID(t.Context(), some)
		require.NoError(t, err)
		require.Equal(t, some[:min(len(some), 100)], asked["user_id"])
		require.Equal(t, "100", asked.Get("limit"), "all that are asked for fit on the page")
	}
}

// TestAgainstTheSandbox: the real SDK against the stand-in, with a secret key that is being rotated.
func TestAgainstTheSandbox(t *testing.T) {
	fake, err := sandbox.New(sandbox.Config{})
	require.NoError(t, err)
	server := httptest.NewServer(fake)
	defer server.Close()
	_, err = fake.MintToken(t.Context(), sandbox.TokenSpec{User: "user_ada", Org: "org_acme"})
	require.NoError(t, err)
	c := clerk.New(server.URL+"/v1", []string{"sk_test_new", fake.SecretKey()}, server.Client(), now)
	u, err := c.User(t.Context(), "user_ada")
	require.NoError(t, err)
	require.Equal(t, "user_ada@example.test", u.PrimaryEmail)
	o, err := c.Organization(t.Context(), "org_acme")
	require.NoError(t, err)
	require.True(t, o.Synced)
	require.NotEmpty(t, o.Slug)
	_, err = c.User(t.Context(), "user_nobody")
	require.ErrorIs(t, err, directory.ErrNotFound)
	_, err = fake.Faults().Add(fault.Fault{Kind: fault.RateLimit, RetryAfter: 3 * time.Second})
	require.NoError(t, err)
	_, err = c.User(t.Context(), "user_ada")
	var again *directory.RetryError
	require.ErrorAs(t, err, &again)
	require.Equal(t, 3*time.Second, again.After)
}

func TestMethodNamesHaveNoIDs(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/users/user_1": "users.get", "/clerk/v1/jwks": "jwks.get", "/v1/organizations/org_1": "organizations.get",
		"/v1/user_1": "other", "/": "other",
	} {
		require.Equal(t, want, clerk.Method(httptest.NewRequest(http.MethodGet, path, http.NoBody)), path)
	}
}
