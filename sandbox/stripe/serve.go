package stripe

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/sandbox/internal/quiet"
)

// maxBody bounds a request body, in bytes.
const maxBody = 1 << 20

// call is one request with its parameters. The account is locked while an endpoint runs.
type call struct {
	id   string // from the path
	form *form
	base string // where the client reaches the fake
}

// endpoint answers a call. It reads all parameters that it knows, and then calls form.done.
type endpoint func(*call) (any, *apiError)

// apiVersions are the forms of a version: "2023-10-16", "2026-10-28.endive", "2023-10-16; orders_beta=v4".
var apiVersions = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(\.[a-z]+)?(; ?[A-Za-z0-9_.=-]+)*$`)

// identify sets the request id and the API version of every answer, including those that a fault makes.
func (f *Fake) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Request-Id", f.requestIDs.Next("req_", 14))
		w.Header().Set("Stripe-Version", APIVersion)
		next.ServeHTTP(w, r)
	})
}

func (f *Fake) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, _, basic := r.BasicAuth()
		if !basic {
			key, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		}
		switch {
		case key == "":
			writeError(w, errNoKey)
		case !f.accepts(key):
			writeError(w, errWrongKey(key))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (f *Fake) accepts(key string) bool {
	if len(f.cfg.Keys) == 0 {
		return strings.HasPrefix(key, "sk_test_") || strings.HasPrefix(key, "rk_test_")
	}
	return slices.Contains(f.cfg.Keys, key)
}

func (f *Fake) serve(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := r.Header.Get("Stripe-Version"); v != "" && !apiVersions.MatchString(v) {
			writeError(w, invalidRequest("", "", "Invalid Stripe API version: "+v))
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if len(body) > maxBody {
			writeError(w, &apiError{status: http.StatusRequestEntityTooLarge, Type: typeInvalid, Message: "Request body too large."})
			return
		}
		key := r.Header.Get("Idempotency-Key")
		if key == "" || r.Method != http.MethodPost {
			f.run(e, r, body, w.Header().Get("Request-Id")).write(w)
			return
		}
		f.once(w, r, key, body, e)
	})
}

// answer is a finished response.
type answer struct {
	status int
	final  bool // the client must not try again
	body   []byte
}

func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	if a.final {
		w.Header().Set("Stripe-Should-Retry", "false")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

func (f *Fake) run(e endpoint, r *http.Request, body []byte, id string) answer {
	form, bad := parseForm(r, body)
	if bad != nil {
		return bad.answer()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cause = cause{id: id, key: r.Header.Get("Idempotency-Key"), quiet: quiet.Is(r.Context())}
	defer func() { f.cause = cause{} }()
	expansions := form.strings("expand")
	v, bad := e(&call{id: r.PathValue("id"), form: form, base: f.publicURL(r)})
	if bad == nil {
		v, bad = f.expand(shown(v), expansions)
	}
	if bad != nil {
		return bad.answer()
	}
	return answer{status: http.StatusOK, body: encode(v)}
}

// act runs a change that no request caused.
func act[T any](f *Fake, change func() (T, *apiError)) (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, bad := change()
	if bad != nil {
		return v, bad // a nil *apiError must not become an error
	}
	return v, nil
}

// publicURL is where the client of r reaches the fake.
func (f *Fake) publicURL(r *http.Request) string {
	if f.cfg.PublicURL != "" {
		return strings.TrimRight(f.cfg.PublicURL, "/")
	}
	whole, _, _ := strings.Cut(r.RequestURI, "?")
	return "http://" + r.Host + strings.TrimSuffix(whole, r.URL.EscapedPath()) // what a prefix was stripped of
}

func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil { // the objects of this package always marshal
		return []byte("{}")
	}
	return b.Bytes()
}
