// Package routes is the edge's one table of addresses: what exists, with which methods, and who may come in.
package routes

import (
	"net/http"
	"slices"
	"strings"
)

// Route is one method on one address.
type Route struct {
	// Method is the HTTP method.
	Method string
	// Pattern is the address, with {name} for a segment that varies and perhaps ":verb" at its end, or {name...} for any
	// rest; logs show it instead of the path, which has ids in it.
	Pattern string
	// Public says that the route needs no credential.
	Public bool
	// Signed says that requests prove themselves by a signature: only those that don't count against their address, as a
	// provider sends all of its webhooks from a few.
	Signed bool
	// Query are the parameters that the address may have; nil lets any pass.
	Query Parameters
	// Handler serves it.
	Handler http.Handler
}

// Table finds routes. It does not change after New.
type Table struct {
	exact    map[string][]Route
	patterns []pattern
}

type pattern struct {
	segments []string
	verb     string
	routes   []Route
}

// New makes the table; of two routes with the same method and pattern the first one wins.
func New(all []Route) *Table {
	t := &Table{exact: map[string][]Route{}}
	type address struct{ method, pattern string }
	taken := map[address]bool{}
	for _, r := range all {
		if taken[address{r.Method, r.Pattern}] {
			continue
		}
		taken[address{r.Method, r.Pattern}] = true
		if !strings.Contains(r.Pattern, "{") {
			t.exact[r.Pattern] = append(t.exact[r.Pattern], r)
			continue
		}
		t.addPattern(r)
	}
	// A verb is part of the last segment: patterns with one must be tried before those whose segment would swallow it.
	slices.SortStableFunc(t.patterns, func(a, b pattern) int { return strings.Compare(b.verb, a.verb) })
	return t
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

// Find returns the route of a method and an escaped path. Without one, allowed lists the methods that the address has;
// it is empty for an unknown address. HEAD finds the route of GET.
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
