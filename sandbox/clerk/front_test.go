package clerk_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/clerk"
	"github.com/trivet-dev/trivet/sandbox/fault"
)

// script speaks the Frontend API as Clerk's script does: with the development browser's token in the query, forms, and
// other methods than POST as _method.
type script struct {
	*browser
	token string
}

// answered is an answer of the Frontend API.
type answered struct {
	seen
	Response json.RawMessage
	Client   *struct {
		ID                  string
		LastActiveSessionID *string `json:"last_active_session_id"`
		Sessions            []struct {
			ID              string
			LastActiveToken struct{ JWT string } `json:"last_active_token"`
			User            struct {
				ID          string
				Memberships []struct{ Role string } `json:"organization_memberships"`
			}
		}
	}
	Errors []struct {
		Code string
		Meta struct {
			Param string `json:"param_name"`
		}
	}
}

func (s *server) script(t *testing.T) *script {
	t.Helper()
	b := s.browser(t)
	r := b.do(t, "POST", "/v1/dev_browser", nil, "Origin", app)
	require.Equal(t, http.StatusOK, r.status, r.body)
	var dev struct{ ID, Token string }
	require.NoError(t, json.Unmarshal([]byte(r.body), &dev))
	require.Equal(t, dev.ID, dev.Token)
	return &script{b, dev.ID}
}

func (s *script) call(t *testing.T, method, path string, form url.Values, headers ...string) answered {
	t.Helper()
	path, query, _ := strings.Cut(path, "?")
	q := url.Values{"__clerk_db_jwt": {s.token}, "__clerk_api_version": {"2026-08-20"}}
	if method != "GET" && method != "POST" {
		q.Set("_method", method)
		method = "POST"
	}
	out := answered{seen: s.do(t, method, path+"?"+q.Encode()+"&"+query, form, append([]string{"Origin", app}, headers...)...)}
	require.NoError(t, json.Unmarshal([]byte(out.body), &out), out.body)
	require.Equal(t, app, out.header.Get("Access-Control-Allow-Origin"), "also on errors")
	return out
}

// field reads a field of the response.
func (a answered) field(t *testing.T, name string) any {
	t.Helper()
	var fields map[string]any
	require.NoError(t, json.Unmarshal(a.Response, &fields), a.body)
	return fields[name]
}

// signUp takes a new user through the steps of <SignUp/>.
func (s *script) signUp(t *testing.T, address string) answered {
	t.Helper()
	made := s.call(t, "POST", "/v1/client/sign_ups", url.Values{"email_address": {address}, "first_name": {"Ada"}})
	require.Equal(t, "missing_requirements", made.field(t, "status"))
	require.Equal(t, []any{"email_address"}, made.field(t, "unverified_fields"))
	path := "/v1/client/sign_ups/" + made.field(t, "id").(string)
	require.Equal(t, http.StatusOK, s.call(t, "POST", path+"/prepare_verification", url.Values{"strategy": {"email_code"}}).status)
	done := s.call(t, "POST", path+"/attempt_verification", url.Values{"strategy": {"email_code"}, "code": {"424242"}})
	require.Equal(t, http.StatusOK, done.status, done.body)
	require.Equal(t, "complete", done.field(t, "status"))
	return done
}

func TestFrontendSignUp(t *testing.T) {
	h := &recorder{}
	s := serve(t, clerk.Config{Emit: h.emit})
	b := s.script(t)
	require.JSONEq(t, `{"response":null,"client":null}`, b.call(t, "GET", "/v1/client", nil).body)
	done := b.signUp(t, "ada@example.test")
	require.Equal(t, "email.created user.created session.created user.updated", h.types())
	require.Len(t, done.Client.Sessions, 1)
	require.Equal(t, done.field(t, "created_session_id"), *done.Client.LastActiveSessionID)
	u, ok := s.User(done.field(t, "created_user_id").(string))
	require.True(t, ok)
	require.Equal(t, "Ada", *u.FirstName)
	claims := payload(t, done.Client.Sessions[0].LastActiveToken.JWT)
	require.Equal(t, u.ID, claims["sub"])
	require.Equal(t, app, claims["azp"])
	require.NotContains(t, done.body, "private_metadata\":{\"")
	require.NotContains(t, done.body, "https://img.clerk.com", "no avatar from another host")

	taken := s.script(t).call(t, "POST", "/v1/client/sign_ups", url.Values{"email_address": {"ADA@example.test"}})
	require.Equal(t, http.StatusUnprocessableEntity, taken.status)
	require.Equal(t, "form_identifier_exists", taken.Errors[0].Code)
	other := s.script(t)
	empty := other.call(t, "POST", "/v1/client/sign_ups", nil)
	require.Equal(t, []any{"email_address"}, empty.field(t, "missing_fields"))
	path := "/v1/client/sign_ups/" + empty.field(t, "id").(string)
	require.Equal(t, http.StatusUnprocessableEntity, other.call(t, "POST", path+"/prepare_verification", url.Values{"strategy": {"email_code"}}).status)
	require.Equal(t, http.StatusOK, other.call(t, "PATCH", path, url.Values{"email_address": {"bob@example.test"}}).status)
	require.Equal(t, "verification_missing", other.call(t, "POST", path+"/attempt_verification", url.Values{"strategy": {"email_code"}, "code": {"424242"}}).Errors[0].Code)
	require.Equal(t, http.StatusNotFound, b.call(t, "GET", path, nil).status, "another browser's")
	require.Equal(t, "missing_requirements", other.call(t, "GET", path, nil).field(t, "status"))
}

func TestFrontendSignIn(t *testing.T) {
	now, h := newClock(), &recorder{}
	s := serve(t, clerk.Config{Now: now.Now, Emit: h.emit})
	_, err := s.CreateUsers(clerk.Bulk{Count: 1, Prefix: "alice_"})
	require.NoError(t, err)
	const id = "alice_000001"
	u, _ := s.User(id)
	b := s.script(t)
	h.take()
	unknown := b.call(t, "POST", "/v1/client/sign_ins", url.Values{"identifier": {"nobody@example.test"}})
	require.Equal(t, http.StatusUnprocessableEntity, unknown.status)
	require.Equal(t, "form_identifier_not_found", unknown.Errors[0].Code)
	require.Equal(t, "identifier", unknown.Errors[0].Meta.Param)

	begin := func() string {
		begun := b.call(t, "POST", "/v1/client/sign_ins", url.Values{"identifier": {u.PrimaryEmail()}})
		require.Equal(t, "needs_first_factor", begun.field(t, "status"))
		path := "/v1/client/sign_ins/" + begun.field(t, "id").(string)
		prepared := b.call(t, "POST", path+"/prepare_first_factor", url.Values{"strategy": {"email_code"}, "email_address_id": {u.EmailAddresses[0].ID}})
		require.Equal(t, http.StatusOK, prepared.status, prepared.body)
		return path
	}
	attempt := func(path, code string) answered {
		return b.call(t, "POST", path+"/attempt_first_factor", url.Values{"strategy": {"email_code"}, "code": {code}})
	}
	path := begin()
	require.Contains(t, b.call(t, "GET", "/v1/client", nil).body, `"sign_in":{`, "a reload finds it")
	wrong := attempt(path, "000000")
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	require.Equal(t, "form_code_incorrect", wrong.Errors[0].Code)
	require.Equal(t, "code", wrong.Errors[0].Meta.Param)
	now.at = now.at.Add(10 * time.Minute)
	require.Equal(t, "verification_expired", attempt(path, "424242").Errors[0].Code)
	h.take()
	path = begin()
	var sentCode struct {
		Data struct {
			Data struct {
				Code string `json:"otp_code"`
			}
		}
	}
	events := h.take()
	require.Len(t, events, 1)
	require.NoError(t, json.Unmarshal(events[0].Body, &sentCode))
	done := attempt(path, sentCode.Data.Data.Code)
	require.Equal(t, http.StatusOK, done.status, done.body)
	require.Equal(t, "complete", done.field(t, "status"))
	require.Equal(t, "session.created user.updated", h.types(), "the code came before")
	require.Equal(t, http.StatusNotFound, attempt(path, "424242").status, "once")
	require.Equal(t, "strategy_for_user_invalid", b.call(t, "POST", "/v1/client/sign_ins", url.Values{"strategy": {"password"}}).Errors[0].Code)

	require.Equal(t, id, b.call(t, "GET", "/v1/me", nil).field(t, "id"))
	require.Equal(t, "Al", b.call(t, "PATCH", "/v1/me", url.Values{"first_name": {"Al"}}).field(t, "first_name"))
	out := b.call(t, "DELETE", "/v1/client/sessions", nil)
	require.Equal(t, http.StatusOK, out.status)
	require.Empty(t, out.Client.Sessions)
	require.Equal(t, "authentication_invalid", b.call(t, "GET", "/v1/me", nil).Errors[0].Code)

	for state, change := range map[string]clerk.UserState{
		"user_banned": {Banned: new(true)}, "user_locked": {Banned: new(false), Locked: new(true)}, "user_deprovisioned": {Locked: new(false), Deprovisioned: new(true)},
	} {
		if _, err := s.SetUserState(id, clerk.UserState{Banned: new(false), Locked: new(false), Deprovisioned: new(false)}); err != nil {
			t.Fatal(err)
		}
		_, err := s.SetUserState(id, change)
		require.NoError(t, err)
		shut := b.call(t, "POST", "/v1/client/sign_ins", url.Values{"identifier": {u.PrimaryEmail()}})
		require.Equal(t, http.StatusForbidden, shut.status)
		require.Equal(t, state, shut.Errors[0].Code)
	}
}

func TestFrontendOrganizations(t *testing.T) {
	s := serve(t, clerk.Config{})
	b, other := s.script(t), s.script(t)
	session := b.signUp(t, "ada@example.test").field(t, "created_session_id").(string)
	other.signUp(t, "bob@example.test")
	made := b.call(t, "POST", "/v1/organizations?_clerk_session_id="+session, url.Values{"name": {"Analytical Engines"}})
	require.Equal(t, http.StatusOK, made.status, made.body)
	require.Equal(t, "analytical-engines", made.field(t, "slug"))
	require.InDelta(t, 1, made.field(t, "members_count"), 0)
	org := made.field(t, "id").(string)
	require.Equal(t, "org:admin", made.Client.Sessions[0].User.Memberships[0].Role)

	tokens := "/v1/client/sessions/" + session + "/tokens"
	claimsOf := func(r seen) map[string]any {
		var token struct{ JWT string }
		require.NoError(t, json.Unmarshal([]byte(r.body), &token), r.body)
		return payload(t, token.JWT)
	}
	require.NotContains(t, claimsOf(b.call(t, "POST", tokens, nil).seen), "o", "the personal account is active")
	require.Contains(t, claimsOf(b.call(t, "POST", tokens, url.Values{"organization_id": {org}}).seen), "o", "the one that is named")
	touched := b.call(t, "POST", "/v1/client/sessions/"+session+"/touch", url.Values{"active_organization_id": {org}, "intent": {"select_org"}})
	require.Equal(t, org, touched.field(t, "last_active_organization_id"))
	require.Contains(t, payload(t, touched.Client.Sessions[0].LastActiveToken.JWT), "o")
	require.Contains(t, claimsOf(b.call(t, "POST", tokens, nil).seen), "o")
	require.NotContains(t, claimsOf(b.call(t, "POST", tokens, url.Values{"organization_id": {""}}).seen), "o", "empty is the personal account")
	require.Equal(t, http.StatusNotFound, b.call(t, "POST", tokens, url.Values{"organization_id": {"org_other"}}).status)

	for path, total := range map[string]float64{
		"/v1/me/organization_memberships?paginated=true&limit=5": 1, "/v1/organizations/" + org + "/memberships": 1, "/v1/organizations/" + org + "/roles": 2,
		"/v1/organizations/" + org + "/invitations?status=pending": 0, "/v1/organizations/" + org + "/domains": 0, "/v1/me/organization_invitations": 0,
		"/v1/me/organization_suggestions?status=pending&status=accepted": 0,
	} {
		r := b.call(t, "GET", path, nil)
		require.Equal(t, http.StatusOK, r.status, path)
		require.InDelta(t, total, r.field(t, "total_count"), 0, path)
	}
	for _, path := range []string{"", "/memberships", "/roles", "/invitations"} {
		require.Equal(t, http.StatusNotFound, other.call(t, "GET", "/v1/organizations/"+org+path, nil).status, "not a member: %s", path)
	}
	require.Equal(t, "[]", strings.TrimSpace(b.do(t, "GET", "/v1/me/sessions/active?__clerk_db_jwt="+b.token, nil).body))
	require.Equal(t, http.StatusNotFound, other.call(t, "POST", tokens, nil).status, "another browser's session")
}

// TestTokensAfterLeaving: a session whose organization was left, or deleted, continues in the personal account. A token must
// not make its user a member again.
func TestTokensAfterLeaving(t *testing.T) {
	for name, path := range map[string]string{"removed": "/v1/organizations/acme/memberships/", "deleted": "/v1/organizations/acme"} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, clerk.Config{})
			b := s.script(t)
			done := b.signUp(t, "ada@example.test")
			session, user := done.field(t, "created_session_id").(string), done.field(t, "created_user_id").(string)
			s.mint(t, clerk.TokenSpec{User: "owner", Org: "acme"})
			key := "Bearer " + s.SecretKey()
			status, body := s.call(t, "POST", "/v1/organizations/acme/memberships", key, `{"user_id":"`+user+`","role":"org:member"}`)
			require.Equal(t, http.StatusOK, status, body)
			b.call(t, "POST", "/v1/client/sessions/"+session+"/touch", url.Values{"active_organization_id": {"acme"}})
			if name == "removed" {
				path += user
			}
			status, body = s.call(t, "DELETE", path, key, "")
			require.Equal(t, http.StatusOK, status, body)

			var token struct{ JWT string }
			for range 2 {
				r := b.call(t, "POST", "/v1/client/sessions/"+session+"/tokens", nil)
				require.NoError(t, json.Unmarshal([]byte(r.body), &token))
				require.NotContains(t, payload(t, token.JWT), "o")
			}
			status, body = s.call(t, "POST", "/v1/sessions/"+session+"/tokens", key, "")
			require.Equal(t, http.StatusOK, status, body)
			require.NoError(t, json.Unmarshal([]byte(body), &token))
			require.NotContains(t, payload(t, token.JWT), "o")
			require.Equal(t, http.StatusOK, b.call(t, "GET", "/v1/client", nil).status)
			require.InDelta(t, 0, b.call(t, "GET", "/v1/me/organization_memberships", nil).field(t, "total_count"), 0)
		})
	}
}

// TestFrontendBrowsers is about who calls: development browsers, their origins, and pages of other sites.
func TestFrontendBrowsers(t *testing.T) {
	s := serve(t, clerk.Config{})
	b := s.script(t)
	for _, method := range []string{"GET", "POST"} {
		r := (&script{b.browser, "dvb_of_another_instance"}).call(t, method, "/v1/client", nil)
		require.Equal(t, http.StatusUnauthorized, r.status)
		require.Equal(t, "dev_browser_unauthenticated", r.Errors[0].Code)
	}
	again := b.do(t, "POST", "/v1/dev_browser?__clerk_db_jwt=dvb_of_another_instance", nil)
	require.Equal(t, http.StatusOK, again.status, "it gets a new one")
	foreign := b.do(t, "POST", "/v1/dev_browser", nil, "Origin", "http://evil.test")
	require.Equal(t, http.StatusForbidden, foreign.status)
	require.Empty(t, foreign.header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, http.StatusNotFound, b.call(t, "GET", "/v1/client/nothing", nil).status)

	env := b.call(t, "PATCH", "/v1/environment", nil)
	require.Equal(t, http.StatusOK, env.status)
	require.Contains(t, env.body, `"sign_in_url":"`+app+`/sign-in"`)
	require.Contains(t, env.body, `"first_factors":["email_code"]`)

	b.signUp(t, "ada@example.test")
	for name, test := range map[string]struct {
		headers []string
		azp     string
	}{
		"origin":               {[]string{"Origin", "http://localhost:5173"}, "http://localhost:5173"},
		"same origin, proxied": {[]string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.localhost:8080"}, "https://app.localhost:8080"},
		"foreign proxy":        {[]string{"X-Forwarded-Host", "evil.test"}, clerk.DefaultAuthorizedParty},
		"nothing":              {nil, clerk.DefaultAuthorizedParty},
	} {
		var out answered
		r := b.do(t, "GET", "/v1/client?__clerk_db_jwt="+b.token, nil, test.headers...)
		require.NoError(t, json.Unmarshal([]byte(r.body), &out), r.body)
		var client struct {
			Sessions []struct {
				Token struct{ JWT string } `json:"last_active_token"`
			}
		}
		require.NoError(t, json.Unmarshal(out.Response, &client))
		require.Equal(t, test.azp, payload(t, client.Sessions[0].Token.JWT)["azp"], name)
	}
	_, err := s.Faults().Add(fault.Fault{Kind: fault.Status, Status: 503, Path: "/v1/client*"})
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, b.do(t, "GET", "/v1/client?__clerk_db_jwt="+b.token, nil).status, "faults apply")
	require.Equal(t, "GET /v1/client", s.Route(mustRequest(t, "GET", "/v1/client")))
	require.Equal(t, "PATCH /v1/me", s.Route(mustRequest(t, "POST", "/v1/me?_method=PATCH")))
	require.Equal(t, "POST /v1/organizations", s.Route(mustRequest(t, "POST", "/v1/organizations")))
	require.Equal(t, http.StatusUnauthorized, b.do(t, "POST", "/v1/organizations", url.Values{"name": {"x"}}).status, "the Backend API needs its key")
}

func mustRequest(t *testing.T, method, target string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	require.NoError(t, err)
	return r
}
