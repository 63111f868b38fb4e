package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// largestValidated bounds how much of an answer is kept for its validation.
const largestValidated = 8 << 20

// openAPIValidator compares every answer of REST that a test reads with the OpenAPI document: path, status, content type, and body, in
// which it allows no field that the document lacks.
type openAPIValidator struct {
	next     http.RoundTripper
	compiler *jsonschema.Compiler
	routes   []openAPIRoute

	mu         sync.Mutex
	exempt     map[string]bool // hosts that are not this version's edge
	schemas    map[string]*jsonschema.Schema
	expects    bool // an installation was started, whose answers are to be compared
	requests   int  // all that were sent, and covered those whose answers are to be compared
	covered    int
	answers    int
	operations map[string]bool
	problems   map[string]int
}

// openAPIRoute is a path of the document.
type openAPIRoute struct {
	template string
	pattern  *regexp.Regexp
	methods  map[string]openAPIMethod // by method in lower case
}

type openAPIMethod struct {
	Responses map[string]struct {
		Content map[string]any
	}
}

const openAPIFile = "openapi.json"

// newOpenAPIValidator reads the document that the edge serves at /openapi.json; TestServedOpenAPI compares the two.
func newOpenAPIValidator(next http.RoundTripper) (*openAPIValidator, error) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "gen", "openapi", openAPIFile))
	if err != nil {
		return nil, err
	}
	var document struct {
		Paths map[string]map[string]openAPIMethod
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		return nil, err
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	closeSchemas(schema)
	v := &openAPIValidator{
		next: next, compiler: jsonschema.NewCompiler(), exempt: map[string]bool{}, schemas: map[string]*jsonschema.Schema{},
		operations: map[string]bool{}, problems: map[string]int{},
	}
	for template, methods := range document.Paths {
		pattern := regexp.MustCompile(`\\\{[^}]*\\\}`).ReplaceAllString(regexp.QuoteMeta(template), `[^/]+`)
		v.routes = append(v.routes, openAPIRoute{template, regexp.MustCompile("^" + pattern + "$"), methods})
	}
	// Of two paths that match, such as {id} and {id}:export, the one with more literal text is meant.
	literal := regexp.MustCompile(`\{[^}]*\}`)
	slices.SortFunc(v.routes, func(a, b openAPIRoute) int {
		return len(literal.ReplaceAllString(b.template, "")) - len(literal.ReplaceAllString(a.template, ""))
	})
	return v, v.compiler.AddResource(openAPIFile, schema)
}

// closeSchemas makes the schemas refuse fields that they do not name, unless they say otherwise.
func closeSchemas(node any) {
	switch n := node.(type) {
	case map[string]any:
		if _, ok := n["properties"].(map[string]any); ok && n["additionalProperties"] == nil {
			n["additionalProperties"] = false
		}
		for _, child := range n {
			closeSchemas(child)
		}
	case []any:
		for _, child := range n {
			closeSchemas(child)
		}
	}
}

// except leaves out the answers of a host.
func (v *openAPIValidator) except(host string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.exempt[host] = true
}

// expect notes that an installation was started.
func (v *openAPIValidator) expect() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expects = true
}

// RoundTrip sends a request; its answer is validated as it is read.
func (v *openAPIValidator) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := v.next.RoundTrip(r)
	if err != nil || !v.covers(r) {
		return response, err
	}
	response.Body = &validatedBody{ReadCloser: response.Body, validate: func(body []byte, whole bool) {
		if problem := v.check(r, response, body, whole); problem != nil {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.problems[fmt.Sprintf("%s %s, answer %d %s: %v\n  %.600s", r.Method, r.URL.Path, response.StatusCode, response.Header.Get("Content-Type"), problem, body)]++
		}
	}}
	return response, nil
}

func (v *openAPIValidator) covers(r *http.Request) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	path := r.URL.Path
	covers := !v.exempt[r.URL.Host] && r.Method != http.MethodOptions && r.Method != http.MethodHead && (strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/v1/"))
	if v.requests++; covers {
		v.covered++
	}
	return covers
}

// validatedBody hands what was read to validate, once.
type validatedBody struct {
	io.ReadCloser
	read     bytes.Buffer
	once     sync.Once
	validate func(body []byte, whole bool)
}

// Read reads on.
func (b *validatedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.read.Len() <= largestValidated {
		b.read.Write(p[:n])
	}
	if errors.Is(err, io.EOF) {
		b.once.Do(func() { b.validate(b.read.Bytes(), b.read.Len() <= largestValidated) })
	}
	return n, err
}

// Close validates what was read of a stream.
func (b *validatedBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() { b.validate(b.read.Bytes(), false) })
	return err
}

// check compares an answer with the document. Of a part of an answer it checks the events.
func (v *openAPIValidator) check(r *http.Request, response *http.Response, body []byte, whole bool) error {
	at := slices.IndexFunc(v.routes, func(route openAPIRoute) bool { return route.pattern.MatchString(r.URL.EscapedPath()) })
	method := strings.ToLower(r.Method)
	if at < 0 || v.routes[at].methods[method].Responses == nil {
		if response.StatusCode < 400 {
			return errors.New("the document has no such operation")
		}
		return nil // there is no such route
	}
	route, code := v.routes[at], fmt.Sprint(response.StatusCode)
	if _, ok := route.methods[method].Responses[code]; !ok {
		if code = "default"; response.StatusCode < 400 {
			return errors.New("the document has no such status")
		}
	}
	content := route.methods[method].Responses[code].Content
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil && len(content) > 0 {
		return fmt.Errorf("content type: %w", err)
	}
	if _, ok := content[kind]; !ok {
		if main, _, _ := strings.Cut(kind, "/"); content[main+"/*"] != nil {
			kind = main + "/*"
		}
	}
	if _, ok := content[kind]; !ok && len(content) > 0 {
		return fmt.Errorf("the document has only the content types %v for this status", slices.Sorted(maps.Keys(content)))
	}
	v.count(method + " " + route.template)
	pointer := func(code, kind string) string {
		return strings.Join([]string{"#/paths", escapePointer(route.template), method, "responses", code, "content", escapePointer(kind), "schema"}, "/")
	}
	switch kind {
	case "application/json":
		if !whole {
			return nil
		}
		return v.matches(pointer(code, kind), body)
	case "text/event-stream":
		return v.events(body, pointer(code, kind), pointer("default", "application/json"))
	default:
		return nil // text and CSV
	}
}

// events compares the data of each event with a schema, and those of errors with another.
func (v *openAPIValidator) events(body []byte, schema, failure string) error {
	name := ""
	for line := range strings.Lines(string(body)) {
		if !strings.HasSuffix(line, "\n") {
			return nil // a part of a line
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			name = ""
		}
		if is, ok := strings.CutPrefix(line, "event: "); ok {
			name = is
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		at, text := schema, []byte(data)
		if name == "error" {
			at, text = failure, errorOf(text)
		}
		if err := v.matches(at, text); err != nil {
			return err
		}
	}
	return nil
}

// errorOf returns the data of an error event in the form of an error's body. In a stream of the Responses API the event has the fields that OpenAI's
// has (type, sequence_number, code, message and param), and the error's body beside them. Other fields stay, and differ from the document.
func errorOf(data []byte) []byte {
	var event map[string]json.RawMessage
	if json.Unmarshal(data, &event) != nil || string(event["type"]) != `"error"` || event["error"] == nil {
		return data
	}
	for _, field := range []string{"type", "sequence_number", "code", "message", "param"} {
		if _, ok := event[field]; !ok {
			return data
		}
		delete(event, field)
	}
	rest, err := json.Marshal(event)
	if err != nil {
		return data
	}
	return rest
}

func (v *openAPIValidator) matches(pointer string, body []byte) error {
	schema, err := v.schema(pointer)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	return schema.Validate(value)
}

// schema compiles each schema once.
func (v *openAPIValidator) schema(pointer string) (*jsonschema.Schema, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.schemas[pointer]; s != nil {
		return s, nil
	}
	s, err := v.compiler.Compile(openAPIFile + pointer)
	if err == nil {
		v.schemas[pointer] = s
	}
	return s, err
}

func (v *openAPIValidator) count(operation string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answers++
	v.operations[operation] = true
}

// report says what was validated, and lists what differs from the document.
func (v *openAPIValidator) report(w io.Writer) (ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := 0
	for _, route := range v.routes {
		all += len(route.methods)
	}
	fmt.Fprintf(w, "%d answers of %d of %d operations were compared with the OpenAPI document\n", v.answers, len(v.operations), all)
	for _, problem := range slices.Sorted(maps.Keys(v.problems)) {
		fmt.Fprintf(w, "FAIL: an answer differs from the OpenAPI document (%d times): %s\n", v.problems[problem], problem)
	}
	if blind := v.expects && (v.requests == 0 || v.covered > 0 && v.answers == 0); blind {
		fmt.Fprintf(w, "FAIL: an installation was started, but none of its answers was compared with the OpenAPI document (%d requests were seen, %d of them of REST)\n", v.requests, v.covered)
		return false
	}
	return len(v.problems) == 0
}

func escapePointer(s string) string {
	s = strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
	return strings.NewReplacer("{", "%7B", "}", "%7D").Replace(s)
}
