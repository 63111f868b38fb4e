package e2e

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The OpenAPI document is what clients are generated from: an answer has every field that it calls required, no field
// that it does not name, and values of the types that it says.
func TestAnswersMatchOpenAPI(t *testing.T) {
	in := allInOne(t)
	document := readOpenAPI(t, in)
	user, operator := in.token("user_openapi", nil), in.token("user_operator", nil)
	const conversation = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`
	type call struct{ method, path, template, token, body string }
	calls := []call{
		{"POST", "/api/v1/chat", "", user, conversation},
		{"POST", "/api/v1/embeddings", "", user, `{"model":"text-embedding-3-small","input":["a"]}`},
		{"POST", "/api/v1/apiKeys", "", user, `{"name":"openapi"}`},
		{"GET", "/api/v1/apiKeys", "", user, ""},
		{"GET", "/api/v1/me", "", user, ""},
		{"GET", "/api/v1/models", "", user, ""},
		{"GET", "/api/v1/billing/plans", "", "", ""},
		{"GET", "/api/v1/billing/account", "", user, ""},
		{"GET", "/api/v1/billing/usage", "", user, ""},
		{"GET", "/api/v1/billing/entries", "", user, ""},
		{"GET", "/api/v1/users", "", operator, ""},
		{"GET", "/api/v1/users/user_openapi", "/api/v1/users/{userId}", operator, ""},
		{"GET", "/api/v1/organizations", "", operator, ""},
		{"GET", "/api/v1/auth/events", "", operator, ""},
		{"GET", "/api/v1/billing/events", "", operator, ""},
		{"POST", "/api/v1/users/user_openapi_gone:erase", "/api/v1/users/{userId}:erase", operator, `{}`},
		{"GET", "/api/v1/erasures", "", operator, ""},
		{"GET", "/api/v1/status", "", "", ""},
		{"GET", "/api/v1/status", "", operator, ""},
		{"GET", "/v1/models", "", user, ""},
		{"GET", "/v1/models/gpt-4o-mini", "/v1/models/{id}", user, ""},
		{"POST", "/v1/chat/completions", "", user, conversation},
	}
	for _, c := range calls {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			response := in.call(t.Context(), c.method, c.path, c.token, c.body)
			require.Equal(t, http.StatusOK, response.status, "%s", response.body)
			operation := document.operation(t, c.method, cmp.Or(c.template, c.path))
			document.check(t, operation.schema("200", "application/json"), response.body)
		})
	}
	refusals := []call{
		{"GET", "/api/v1/me", "", "", ""},
		{"POST", "/api/v1/chat", "", user, `{"model":"gpt-99","messages":[{"role":"user","content":"Hi"}]}`},
		{"POST", "/api/v1/apiKeys", "", user, `{"name":""}`},
		{"GET", "/api/v1/users", "", user, ""},
		{"POST", "/api/v1/auth:reconcile", "", user, `{}`},
		{"POST", "/api/v1/billing:reconcile", "", user, `{}`},
		{"POST", "/v1/chat/completions", "", user, `{}`},
	}
	for _, c := range refusals {
		t.Run("refused "+c.method+" "+c.path, func(t *testing.T) {
			response := in.call(t.Context(), c.method, c.path, c.token, c.body)
			require.GreaterOrEqual(t, response.status, 400)
			document.check(t, document.operation(t, c.method, c.path).schema("default", "application/json"), response.body)
		})
	}
	for _, c := range []call{
		{"POST", "/api/v1/chat:stream", "", user, conversation},
		{"POST", "/api/v1/auth:reconcile", "", operator, `{}`},
		{"POST", "/api/v1/billing:reconcile", "", operator, `{}`},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			response := in.call(t.Context(), c.method, c.path, c.token, c.body)
			require.Equal(t, http.StatusOK, response.status, "%s", response.body)
			schema := document.operation(t, c.method, c.path).schema("200", "text/event-stream")
			pieces := 0
			lines := bufio.NewScanner(strings.NewReader(string(response.body)))
			for lines.Scan() {
				require.NotEqual(t, "event: error", lines.Text(), "%s", response.body)
				if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					document.check(t, schema, []byte(data))
					pieces++
				}
			}
			require.NoError(t, lines.Err())
			require.GreaterOrEqual(t, pieces, 2, "at least a text and the end, or two kinds of object")
		})
	}
}

type openAPI struct {
	OpenAPI    string                                 `json:"openapi"`
	Paths      map[string]map[string]openAPIOperation `json:"paths"`
	Components struct {
		Schemas map[string]*jsonSchema `json:"schemas"`
	} `json:"components"`
}

type openAPIOperation struct {
	OperationID string `json:"operationId"`
	Responses   map[string]struct {
		Content map[string]struct {
			Schema *jsonSchema `json:"schema"`
		} `json:"content"`
	} `json:"responses"`
}

func (o openAPIOperation) schema(status, kind string) *jsonSchema {
	return o.Responses[status].Content[kind].Schema
}

// jsonSchema is the part of JSON Schema that the document uses.
type jsonSchema struct {
	Ref        string                 `json:"$ref"`
	Type       any                    `json:"type"`
	Enum       []string               `json:"enum"`
	Required   []string               `json:"required"`
	Properties map[string]*jsonSchema `json:"properties"`
	Items      *jsonSchema            `json:"items"`
	Additional any                    `json:"additionalProperties"`
}

func readOpenAPI(t *testing.T, in *installation) *openAPI {
	t.Helper()
	document := new(openAPI)
	in.get("/openapi.json", "", document)
	require.Equal(t, "3.1.1", document.OpenAPI)
	return document
}

func (d *openAPI) operation(t *testing.T, method, path string) openAPIOperation {
	t.Helper()
	operation, ok := d.Paths[path][strings.ToLower(method)]
	require.True(t, ok, "%s %s is not in the document", method, path)
	return operation
}

func (d *openAPI) check(t *testing.T, schema *jsonSchema, body []byte) {
	t.Helper()
	require.NotNil(t, schema, "the document has no schema for the answer")
	var value any
	require.NoError(t, json.Unmarshal(body, &value), "%s", body)
	require.Empty(t, d.problems(schema, value, "$"), "%s", body)
}

// problems says where a value is not what a schema says.
func (d *openAPI) problems(s *jsonSchema, value any, at string) []string {
	for s.Ref != "" {
		name := s.Ref[strings.LastIndex(s.Ref, "/")+1:]
		target, ok := d.Components.Schemas[name]
		if !ok {
			return []string{fmt.Sprintf("%s: the document has no schema %s", at, name)}
		}
		s = target
	}
	switch v := value.(type) {
	case map[string]any:
		return append(wrongType(s, at, "object"), d.members(s, v, at)...)
	case []any:
		problems := wrongType(s, at, "array")
		for i, item := range v {
			if s.Items != nil {
				problems = append(problems, d.problems(s.Items, item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
		return problems
	case string:
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
			return []string{fmt.Sprintf("%s: %q is not in the enum", at, v)}
		}
		return wrongType(s, at, "string")
	case float64:
		return wrongType(s, at, "integer", "number")
	case bool:
		return wrongType(s, at, "boolean")
	default:
		return wrongType(s, at, "null")
	}
}

func (d *openAPI) members(s *jsonSchema, object map[string]any, at string) (problems []string) {
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			problems = append(problems, fmt.Sprintf("%s: %s is missing", at, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if property, ok := s.Properties[name]; ok {
			problems = append(problems, d.problems(property, object[name], at+"."+name)...)
		} else if s.Additional == nil && s.Type != nil && s.Properties != nil {
			problems = append(problems, fmt.Sprintf("%s: %s is not in the document", at, name))
		}
	}
	return problems
}

// wrongType reports a type that the schema does not allow. A schema without a type allows all.
func wrongType(s *jsonSchema, at string, types ...string) []string {
	var allowed []string
	switch t := s.Type.(type) {
	case string:
		allowed = []string{t}
	case []any:
		for _, one := range t {
			allowed = append(allowed, fmt.Sprint(one))
		}
	}
	for _, name := range types {
		if allowed == nil || slices.Contains(allowed, name) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s: is %s, not %v", at, types[0], allowed)}
}
