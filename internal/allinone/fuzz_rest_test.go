package allinone

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gen"
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

// Bodies and parameters of the right shape and with any values are answered, never with a failure that the document does not
// name. No provider can be reached here, so 501 to 504 are right answers, and so is CONFIGURATION_ERROR, because Stripe is off.
// The streams are left out: they wait for providers.
func TestGeneratedRequests(t *testing.T) {
	const rounds = 40
	f := newForger(t)
	var document struct {
		Paths      map[string]map[string]operation `json:"paths"`
		Components struct {
			Schemas map[string]*schema `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(gen.OpenAPI(), &document))
	session := f.session("user_operator", nil)
	var wrong []string
	statuses := map[int]int{}
	for _, route := range restRoutes(t) {
		if strings.HasSuffix(route.pattern, ":reconcile") || strings.HasSuffix(route.pattern, "/stream") {
			continue
		}
		o := document.Paths[route.pattern][strings.ToLower(route.method)]
		for round := range rounds {
			w := &writer{rand.New(rand.NewPCG(uint64(round), uint64(len(route.pattern)))), document.Components.Schemas}
			request := w.request(t, route, o, f.edge, session)
			response, err := http.DefaultClient.Do(request)
			require.NoError(t, err)
			answer, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			statuses[response.StatusCode]++
			if failed := response.StatusCode; (failed == 500 || failed > 504) && !bytes.Contains(answer, []byte(`"code":"CONFIGURATION_ERROR"`)) {
				wrong = append(wrong, fmt.Sprintf("%s %s (round %d): %d %s", route.method, request.URL, round, response.StatusCode, answer))
			}
		}
	}
	t.Log(statuses)
	require.Empty(t, wrong, "%s", strings.Join(wrong, "\n"))
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
	var body []byte
	for _, content := range o.RequestBody.Content {
		var err error
		body, err = json.Marshal(w.value(content.Schema, 0))
		require.NoError(t, err)
	}
	request, err := http.NewRequestWithContext(t.Context(), route.method, edge+path+"?"+query.Encode(), bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+session)
	return request
}
