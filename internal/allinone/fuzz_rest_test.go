package allinone

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gen"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/clerk"
)

// schema is the part of JSON Schema from which bodies are generated.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       any                `json:"type"`
	Enum       []any              `json:"enum"`
	Properties map[string]*schema `json:"properties"`
	Items      *schema            `json:"items"`
	OneOf      []*schema          `json:"oneOf"`
	AnyOf      []*schema          `json:"anyOf"`
}

// parameter is a parameter of the path or the query.
type parameter struct {
	Name string `json:"name"`
	In   string `json:"in"`
}

type operation struct {
	Parameters  []parameter `json:"parameters"`
	RequestBody struct {
		Content map[string]struct {
			Schema *schema `json:"schema"`
		} `json:"content"`
	} `json:"requestBody"`
}

// writer generates values, mostly of the right type and sometimes of any.
type writer struct {
	*rand.Rand
	schemas map[string]*schema
}

// texts are values that a parser or a store may trip over.
var texts = []string{
	"", "x", "user_operator", "gpt-4o-mini", "gpt-5-mini", "null", "0", "-1", "2026-11-28", "9999-99-99", "2027-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1e400", "60s", "-1s",
	"9223372036854775807", "9223372036854775808", "%00", "\x00", "\u202e", "😀", "'; DROP TABLE x; --", "../../etc", "https://app.example.com/", "javascript:alert(1)",
	strings.Repeat("a", 300), strings.Repeat("é", 70_000), "eyJhIjoxfQ==", "user", "assistant", "plans: []", "plans: [{id: x}]", "&a [*a]",
}

var strange = []any{nil, true, 0, -1, 1.5, 1e308, 1e18, "x", []any{}, map[string]any{}, []any{nil}, map[string]any{"": nil}}

func pick[T any](w *writer, all []T) T { return all[w.IntN(len(all))] }

func (w *writer) value(s *schema, depth int) any {
	for s != nil && s.Ref != "" {
		s = w.schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]]
	}
	if s == nil || w.IntN(12) == 0 {
		return pick(w, strange)
	}
	if choices := slices.Concat(s.OneOf, s.AnyOf); len(choices) > 0 {
		return w.value(pick(w, choices), depth+1)
	}
	if len(s.Enum) > 0 && w.IntN(8) > 0 {
		return pick(w, s.Enum)
	}
	kind := fmt.Sprint(s.Type)
	switch {
	case strings.Contains(kind, "object"), s.Properties != nil:
		object := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			if depth < 6 && w.IntN(3) > 0 {
				object[name] = w.value(s.Properties[name], depth+1)
			}
		}
		return object
	case strings.Contains(kind, "array"):
		list := []any{}
		for range w.IntN(4) {
			list = append(list, w.value(s.Items, depth+1))
		}
		return list
	case strings.Contains(kind, "integer"), strings.Contains(kind, "number"):
		return pick(w, []any{0, 1, -1, 2, 100, 1 << 31, 1e18, 1e300, 0.5, "1", "-1", "9223372036854775807"})
	case strings.Contains(kind, "boolean"):
		return w.IntN(2) == 0
	}
	return pick(w, texts)
}

// valid are bodies that reach a provider. Without them, hardly any generated request would.
var valid = map[string]string{
	"/v1/chat/completions":                `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}`,
	"/v1/responses":                       `{"model":"gpt-4o-mini","input":"Hello"}`,
	"/v1/embeddings":                      `{"model":"text-embedding-3-small","input":"Hello"}`,
	"/v1/moderations":                     `{"model":"omni-moderation-latest","input":"Hello"}`,
	"/v1/images/generations":              `{"model":"gpt-image-1","prompt":"A cat"}`,
	"/v1/audio/speech":                    `{"model":"tts-1","voice":"alloy","input":"Hello"}`,
	"/api/v1/chat":                        `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}`,
	"/api/v1/embeddings":                  `{"model":"text-embedding-3-small","input":["Hello"]}`,
	"/api/v1/billing/checkoutSessions":    `{"planId":"pro","successUrl":"https://app.example.com/x","cancelUrl":"https://app.example.com/x"}`,
	"/api/v1/billing/portalSessions":      `{"returnUrl":"https://app.example.com/x"}`,
	"/api/v1/billing/subscription:cancel": `{}`,
	"/api/v1/auth:reconcile":              `{}`,
	"/api/v1/billing:reconcile":           `{}`,
}

// body returns a valid body, often with one generated property, or a generated body.
func (w *writer) body(pattern string, s *schema) any {
	object := map[string]any{}
	if json.Unmarshal([]byte(valid[pattern]), &object) != nil || w.IntN(3) == 0 {
		return w.value(s, 0)
	}
	for s != nil && s.Ref != "" {
		s = w.schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]]
	}
	if names := slices.Sorted(maps.Keys(s.Properties)); len(names) > 0 && w.IntN(2) == 0 {
		name := pick(w, names)
		object[name] = w.value(s.Properties[name], 1)
	}
	return object
}

// faultySandbox is the sandbox, whose providers fail in one way after another.
type faultySandbox struct {
	*sandbox.Sandbox
	t    *testing.T
	next int
}

// failures are what every provider does in turn. Those of nil work, so that there is something to fail with later.
var failures = []map[string]any{
	nil,
	{"kind": "status", "status": 503},
	{"kind": "close"},
	nil,
	{"kind": "garbage"},
	{"kind": "status", "status": 401},
	nil,
	{"kind": "status", "status": 400},
	{"kind": "status", "status": 404},
	nil,
	{"kind": "commit_timeout"},
	{"kind": "status", "status": 409},
	{"kind": "status", "status": 403},
}

func newFaultySandbox(t *testing.T, now func() time.Time) *faultySandbox {
	t.Helper()
	var handler atomic.Pointer[http.Handler]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*handler.Load()).ServeHTTP(w, r) }))
	box, err := sandbox.New(sandbox.Config{Dir: t.TempDir(), Now: now, BaseURL: server.URL})
	require.NoError(t, err)
	serving := box.Handler()
	handler.Store(&serving)
	t.Cleanup(func() {
		require.NoError(t, box.Close(context.Background()))
		server.Close()
	})
	for _, known := range []passport.Claims{person, operator, member, admin} { // else a reconciliation would take it for another instance of Clerk
		_, err := box.Clerk().MintToken(t.Context(), clerk.TokenSpec{User: known.UserID, Org: known.OrganizationID})
		require.NoError(t, err)
	}
	return &faultySandbox{Sandbox: box, t: t}
}

// fail replaces the present failure by the next one, and returns true when the providers work again.
func (b *faultySandbox) fail() (works bool) {
	b.t.Helper()
	b.control(http.MethodDelete, nil)
	failure := failures[b.next%len(failures)]
	b.next++
	for _, provider := range []string{"clerk", "openai", "stripe"} {
		if failure != nil {
			fault := maps.Clone(failure)
			fault["provider"] = provider
			b.control(http.MethodPost, fault)
		}
	}
	return failure == nil
}

func (b *faultySandbox) control(method string, body any) {
	b.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(b.t, err)
	request := httptest.NewRequestWithContext(b.t.Context(), method, "http://127.0.0.1/control/faults", bytes.NewReader(raw))
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	b.Handler().ServeHTTP(answer, request)
	require.Less(b.t, answer.Code, http.StatusBadRequest, answer.Body)
}

// environment are the settings that reach the sandbox. The test signs the session tokens.
func (b *faultySandbox) environment() map[string]string {
	env := b.Environment()
	for _, own := range []string{"CLERK_ISSUER", "CLERK_PUBLISHABLE_KEY", "CLERK_INSTANCE_ID", "CLERK_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET"} {
		delete(env, own)
	}
	for _, provider := range []string{"CLERK", "OPENAI", "STRIPE"} {
		env[provider+"_RETRY_DELAY"], env[provider+"_BREAKER_FAILURES"] = "0s", "0"
	}
	env["CORS_ALLOWED_ORIGINS"] = "https://app.example.com"
	env["CLERK_READS_PER_SECOND"], env["STRIPE_READS_PER_SECOND"] = "10000", "10000"
	return env
}

// Bodies and parameters of the right shape and with any values are answered, never with a failure that the document does not name,
// on both databases, while no provider can be reached and while the providers of the sandbox fail in every way. 501 to 504 are right
// answers then, and so is CONFIGURATION_ERROR, because a key is refused or Stripe is off. While the providers work, nothing
// is answered with a 5xx, or with a stream that breaks off. Only then are both stores reconciled, and the stream of the status is read, until its first event:
// while providers fail, a reconciliation waits and tries again.
func TestGeneratedRequests(t *testing.T) {
	standing := func() time.Time { return time.Date(2027, 1, 15, 8, 0, 30, 0, time.UTC) }
	for _, postgres := range []bool{false, true} {
		rounds := map[bool]int{false: 20, true: 10}[postgres]
		database := map[bool]string{false: "SQLite", true: "PostgreSQL"}[postgres]
		settings := func(t *testing.T, more map[string]string) map[string]string {
			t.Helper()
			env := maps.Clone(more)
			if postgres {
				env["DATABASE_URL"] = databasetest.NewServer(t, false).NewDatabase(t)
			}
			return env
		}
		t.Run(database+", no provider", func(t *testing.T) {
			newForger(t, settings(t, map[string]string{})).fuzz(t, rounds, func() bool { return false })
		})
		t.Run(database+", working providers", func(t *testing.T) {
			env := settings(t, newFaultySandbox(t, standing).environment())
			env["DEFAULT_PLAN"] = "unlimited"
			f := newForger(t, env)
			reached := f.fuzz(t, 4*rounds, func() (works bool) {
				f.sell(t)
				return true
			})
			for _, pattern := range []string{"/api/v1/auth:reconcile", "/api/v1/billing:reconcile", "/api/v1/status/stream"} {
				require.True(t, reached[pattern], pattern)
			}
		})
		t.Run(database+", failing providers", func(t *testing.T) {
			box := newFaultySandbox(t, standing)
			f := newForger(t, settings(t, box.environment()))
			f.fuzz(t, len(failures), func() (works bool) {
				if works = box.fail(); works {
					f.sell(t)
				}
				return works
			})
		})
	}
}

// fuzz sends generated requests to every route in rounds, and calls before at the start of each, which reports whether the providers work.
// It returns the routes that succeeded while they worked.
func (f *forger) fuzz(t *testing.T, rounds int, before func() (works bool)) (reached map[string]bool) {
	t.Helper()
	var document struct {
		Paths      map[string]map[string]operation `json:"paths"`
		Components struct {
			Schemas map[string]*schema `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(gen.OpenAPI(), &document))
	session := f.session("user_operator", nil)
	var wrong []string
	reached = map[string]bool{}
	answers, worked := map[string]int{}, false
	for round := range rounds {
		works := before()
		worked = worked || works
		for _, route := range restRoutes(t) {
			endless := route.pattern == "/api/v1/status/stream"
			if !works && (endless || strings.HasSuffix(route.pattern, ":reconcile")) {
				continue
			}
			w := &writer{rand.New(rand.NewPCG(uint64(round), uint64(len(route.pattern)))), document.Components.Schemas}
			request := w.request(t, route, document.Paths[route.pattern][strings.ToLower(route.method)], f.edge, session)
			status, answer := exchange(t, request, endless)
			answers[strconv.Itoa(status)+" "+errorCode(answer, status)]++
			if works && status < http.StatusMultipleChoices {
				reached[route.pattern] = true
			}
			if !documented(status, answer) || works && status >= http.StatusInternalServerError {
				wrong = append(wrong, fmt.Sprintf("%s %s (round %d): %d %s", route.method, request.URL, round, status, answer))
			}
		}
	}
	t.Log(answers)
	require.Empty(t, wrong, "%s\n%s", strings.Join(wrong, "\n"), f.log.String())
	for pattern := range forms {
		require.Equal(t, worked, reached[pattern], "a form of %s must reach a provider that works", pattern)
	}
	return reached
}

// exchange sends a request and reads its answer, of a stream that does not end the first event. An answer that breaks off or takes more than a minute fails the test.
func exchange(t *testing.T, request *http.Request, endless bool) (status int, answer []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(request.Context(), time.Minute)
	defer cancel()
	response, err := http.DefaultClient.Do(request.WithContext(ctx))
	require.NoError(t, err, "%s %s", request.Method, request.URL)
	defer func() { require.NoError(t, response.Body.Close()) }()
	if !endless {
		answer, err = io.ReadAll(response.Body)
		require.NoError(t, err, "%s %s: %s", request.Method, request.URL, answer)
		return response.StatusCode, answer
	}
	for events := bufio.NewReader(response.Body); !bytes.HasSuffix(answer, []byte("\n\n")); {
		line, err := events.ReadBytes('\n')
		require.NoError(t, err, "%s %s: %s", request.Method, request.URL, answer)
		answer = append(answer, line...)
	}
	return response.StatusCode, answer
}

var codeOfError = regexp.MustCompile(`"code":\s*"([A-Za-z_]+)"`)

// errorCode returns the code of a failure, in lower case as those of /v1 are.
func errorCode(answer []byte, status int) string {
	if found := codeOfError.FindSubmatch(answer); found != nil && status >= http.StatusInternalServerError {
		return strings.ToLower(string(found[1]))
	}
	return ""
}

// sell applies the built-in plans, which a generated request may have replaced. Without plans at Stripe, nothing is on sale.
func (f *forger) sell(t *testing.T) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "..", "services", "billing", "internal", "plans", "plans.yaml"))
	require.NoError(t, err)
	body, err := json.Marshal(map[string][]byte{"planFile": file})
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.edge+"/api/v1/billing/plans:apply", bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+f.session("user_operator", nil))
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode, "%s", answer)
}

// documented reports whether the OpenAPI document allows an answer.
func documented(status int, answer []byte) bool {
	switch code := errorCode(answer, status); {
	case status < http.StatusInternalServerError:
		return true
	case status == http.StatusInternalServerError:
		return code == "configuration_error"
	default:
		return status <= http.StatusGatewayTimeout && code != "internal" && code != "internal_error"
	}
}

func (w *writer) request(t *testing.T, route restRoute, o operation, edge, session string) *http.Request {
	t.Helper()
	query := url.Values{}
	for _, p := range o.Parameters {
		if p.In == "query" && w.IntN(2) == 0 {
			query.Set(p.Name, pick(w, texts[:len(texts)-8]))
		}
	}
	path := pathParameter.ReplaceAllStringFunc(route.pattern, func(string) string { return url.PathEscape(pick(w, texts[1:20])) })
	if w.IntN(3) == 0 {
		path = pathParameter.ReplaceAllString(route.pattern, "user_operator")
	}
	kind, body := w.content(t, route.pattern, o)
	request, err := http.NewRequestWithContext(t.Context(), route.method, edge+path+"?"+query.Encode(), bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", kind)
	request.Header.Set("Authorization", "Bearer "+session)
	return request
}
