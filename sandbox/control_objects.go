package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/trivet-dev/trivet/sandbox/clerk"
	"github.com/trivet-dev/trivet/sandbox/internal/quiet"
	"github.com/trivet-dev/trivet/sandbox/stripe"
)

func (s *Sandbox) controlObjects(mux *http.ServeMux) {
	mux.HandleFunc("POST /control/clerk/users", s.createUsers)
	mux.HandleFunc("PATCH /control/clerk/users/{user}", s.setUserState)
	mux.HandleFunc("POST /control/stripe/customers", s.createCustomers)
	mux.HandleFunc("POST /control/apply", s.apply)
	mux.HandleFunc("GET /control/calls", s.listCalls)
	mux.HandleFunc("DELETE /control/calls", func(w http.ResponseWriter, r *http.Request) {
		s.ResetCalls()
		s.listCalls(w, r)
	})
}

func (s *Sandbox) createUsers(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Count  int    `json:"count"`
		Prefix string `json:"prefix"`
		Org    string `json:"org"`
		Quiet  bool   `json:"quiet"`
	}
	if !read(w, r, &in) {
		return
	}
	ids, err := s.clerk.CreateUsers(clerk.Bulk{Count: in.Count, Prefix: in.Prefix, Org: in.Org, Quiet: in.Quiet})
	answerIDs(w, ids, err)
}

func (s *Sandbox) setUserState(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Banned        *bool `json:"banned"`
		Locked        *bool `json:"locked"`
		Deprovisioned *bool `json:"deprovisioned"`
		Quiet         bool  `json:"quiet"`
	}
	if !read(w, r, &in) {
		return
	}
	if in.Banned == nil && in.Locked == nil && in.Deprovisioned == nil {
		refuse(w, http.StatusBadRequest, "set at least one of banned, locked and deprovisioned")
		return
	}
	if _, ok := s.clerk.User(r.PathValue("user")); !ok {
		refuse(w, http.StatusNotFound, "user "+r.PathValue("user")+" not found")
		return
	}
	u, err := s.clerk.SetUserState(r.PathValue("user"), clerk.UserState{Banned: in.Banned, Locked: in.Locked, Deprovisioned: in.Deprovisioned, Quiet: in.Quiet})
	answer(w, u, err)
}

func (s *Sandbox) createCustomers(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Count  int    `json:"count"`
		Prefix string `json:"prefix"`
		Price  string `json:"price"`
		Quiet  bool   `json:"quiet"`
	}
	if !read(w, r, &in) {
		return
	}
	ids, err := s.stripe.CreateCustomers(stripe.Bulk{Count: in.Count, Prefix: in.Prefix, Price: in.Price, Quiet: in.Quiet})
	answerIDs(w, ids, err)
}

func answerIDs(w http.ResponseWriter, ids []string, err error) {
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	reply(w, http.StatusCreated, map[string]any{"created": len(ids), "ids": ids})
}

// applied is a call to a provider's own API.
type applied struct {
	Provider string          `json:"provider"`
	Method   string          `json:"method"`
	Path     string          `json:"path"` // inside the provider, with its query: "/v1/users/alice"
	Body     json.RawMessage `json:"body"` // an object, or a string to be sent as it is
	Quiet    bool            `json:"quiet"`
}

// apply calls a provider with its key and without faults, and passes the answer on. A quiet call emits no events.
func (s *Sandbox) apply(w http.ResponseWriter, r *http.Request) {
	var in applied
	if !read(w, r, &in) {
		return
	}
	target, key, form := s.clerk.PastFaults(), s.clerk.SecretKey(), false
	switch in.Provider {
	case "clerk":
	case "stripe":
		target, key, form = s.stripe.PastFaults(), StripeSecretKey, true
	default:
		refuse(w, http.StatusBadRequest, unknown(in.Provider, []string{"clerk", "stripe"}))
		return
	}
	body, err := in.encode(form)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx := r.Context()
	if in.Quiet {
		ctx = quiet.With(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, in.Method, in.Path, strings.NewReader(body))
	if err != nil || !strings.HasPrefix(in.Path, "/v1/") || in.Method == "" {
		refuse(w, http.StatusBadRequest, `method must be an HTTP method, and path must start with /v1/, such as "/v1/users/alice"`)
		return
	}
	req.RequestURI, req.Host, req.RemoteAddr = in.Path, r.Host, r.RemoteAddr
	req.Header.Set("Authorization", "Bearer "+key)
	target.ServeHTTP(w, req)
}

// encode makes the body that the provider reads.
func (a applied) encode(form bool) (string, error) {
	var text string
	if len(a.Body) == 0 {
		return "", nil
	}
	if json.Unmarshal(a.Body, &text) == nil {
		return text, nil
	}
	if !form {
		return string(a.Body), nil
	}
	var object map[string]any
	if err := json.Unmarshal(a.Body, &object); err != nil {
		return "", fmt.Errorf("body must be an object or a string: %w", err)
	}
	values := url.Values{}
	for name, v := range object {
		nest(values, name, v)
	}
	return values.Encode(), nil
}

// nest writes a value as Stripe's forms do: "items[0][price]".
func nest(into url.Values, name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			nest(into, name+"["+key+"]", v[key])
		}
	case []any:
		for i, item := range v {
			nest(into, name+"["+strconv.Itoa(i)+"]", item)
		}
	case float64:
		into.Set(name, strconv.FormatFloat(v, 'f', -1, 64))
	case nil:
		into.Set(name, "")
	default:
		into.Set(name, fmt.Sprint(v))
	}
}
