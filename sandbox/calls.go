package sandbox

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// router is a provider that reports which route handles a request.
type router interface {
	http.Handler
	Route(r *http.Request) string
}

// Calls counts the calls of one route of a provider.
type Calls struct {
	Provider string `json:"provider"`
	// Route is such as "GET /v1/users/{user}"; "unknown" counts the requests that no route matches.
	Route string `json:"route"`
	Count int64  `json:"count"`
}

// counter counts calls by route. The number of routes is fixed, so the counter is bounded.
type counter struct {
	mu     sync.Mutex
	counts map[[2]string]int64
}

func newCounter() *counter { return &counter{counts: map[[2]string]int64{}} }

// wrap counts every request to a provider, including those that a fault answers.
func (c *counter) wrap(provider string, next router) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route := next.Route(r)
		switch {
		case route == "" || route == "/":
			route = "unknown"
		case !strings.Contains(route, " "):
			route = r.Method + " " + route
		}
		c.mu.Lock()
		c.counts[[2]string{provider, route}]++
		c.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func (c *counter) list() []Calls {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []Calls{}
	for key, n := range c.counts {
		out = append(out, Calls{key[0], key[1], n})
	}
	slices.SortFunc(out, func(a, b Calls) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Route, b.Route))
	})
	return out
}

func (c *counter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.counts)
}

// Calls returns how often each route was called since the start or the last reset, by provider and route.
func (s *Sandbox) Calls() []Calls { return s.calls.list() }

// ResetCalls sets all counts to zero.
func (s *Sandbox) ResetCalls() { s.calls.reset() }

func (s *Sandbox) listCalls(w http.ResponseWriter, _ *http.Request) {
	totals := map[string]int64{}
	for _, provider := range providerNames() {
		totals[provider] = 0
	}
	list := s.Calls()
	for _, c := range list {
		totals[c.Provider] += c.Count
	}
	reply(w, http.StatusOK, map[string]any{"totals": totals, "calls": list})
}
