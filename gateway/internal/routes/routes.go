// Package routes is the edge's table of routes: which paths exist, with which methods, and who may call them.
package routes

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Route is one method on one path.
type Route struct {
	Method string
	// Pattern is the path. A segment that varies is written {name}, and {name...} at the end matches any rest. The last
	// segment may end in ":verb". Logs show the pattern instead of the path, because paths contain ids.
	Pattern string
	// Public routes need no credential.
	Public bool
	// Signed routes verify a signature instead of a credential. Only requests that are refused count against the IP limit,
	// because a provider sends all of its webhooks from a few addresses.
	Signed bool
	// MaxBody is the maximum size of the body in bytes; 0 means the edge's.
	MaxBody int64
	// Query lists the query parameters that the route accepts; nil accepts any.
	Query   Parameters
	Handler http.Handler
}

// Table finds routes. It is immutable.
type Table struct {
	exact    map[string][]Route
	patterns []pattern
}

type pattern struct {
	segments []string
	verb     string
	routes   []Route
}

// New builds the table. It fails on two routes with the same method and pattern.
func New(all []Route) (*Table, error) {
	t := &Table{exact: map[string][]Route{}}
	type address struct{ method, pattern string }
	taken := map[address]bool{}
	for _, r := range all {
		if taken[address{r.Method, r.Pattern}] {
			return nil, fmt.Errorf("two routes serve %s %s", r.Method, r.Pattern)
		}
		taken[address{r.Method, r.Pattern}] = true
		if !strings.Contains(r.Pattern, "{") {
			t.exact[r.Pattern] = append(t.exact[r.Pattern], r)
			continue
		}
		t.addPattern(r)
	}
	// "/users/{id}" also matches the path of "/users/{id}:erase", so patterns with a verb come first.
	slices.SortStableFunc(t.patterns, func(a, b pattern) int { return strings.Compare(b.verb, a.verb) })
	return t, nil
}

func (t *Table) addPattern(r Route) {
	for i, p := range t.patterns {
		if p.routes[0].Pattern == r.Pattern {
			t.patterns[i].routes = append(p.routes, r)
			return
		}
	}
	path, verb := r.Pattern, ""
	if at := strings.LastIndex(path, ":"); at > strings.LastIndex(path, "}") {
		path, verb = path[:at], path[at:]
	}
	t.patterns = append(t.patterns, pattern{segments: strings.Split(path, "/"), verb: verb, routes: []Route{r}})
}

// Find returns the route for a method and an escaped path. Without such a route, allowed lists the methods that
// the path does have; it is empty for an unknown path. HEAD finds the route of GET.
func (t *Table) Find(method, path string) (route *Route, allowed []string) {
	routes := t.at(path)
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for i := range routes {
		if routes[i].Method == method {
			return &routes[i], nil
		}
		allowed = append(allowed, routes[i].Method)
	}
	if slices.Contains(allowed, http.MethodGet) {
		allowed = append(allowed, http.MethodHead)
	}
	return nil, allowed
}

func (t *Table) at(path string) []Route {
	if routes, ok := t.exact[path]; ok {
		return routes
	}
	for _, p := range t.patterns {
		if p.matches(path) {
			return p.routes
		}
	}
	return nil
}

func (p pattern) matches(path string) bool {
	path, ok := strings.CutSuffix(path, p.verb)
	if !ok {
		return false
	}
	n := 0
	for segment := range strings.SplitSeq(path, "/") {
		if n == len(p.segments) {
			return false
		}
		want := p.segments[n]
		if strings.HasSuffix(want, "...}") {
			return true
		}
		if want != segment && (segment == "" || !strings.HasPrefix(want, "{")) {
			return false
		}
		n++
	}
	return n == len(p.segments)
}
