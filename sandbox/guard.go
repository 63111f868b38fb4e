package sandbox

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/trivet-dev/trivet/sandbox/internal/local"
)

// allowedHostsSetting is named in refusals, so that the reader knows what to set.
const allowedHostsSetting = "TRIVET_SANDBOX_ALLOWED_HOSTS"

// guard refuses requests that pages of other sites make. The sandbox has no secret by which it could tell callers
// apart, and a page can reach this machine in two ways: with a request across sites, and by pointing its own host
// name to 127.0.0.1 (DNS rebinding).
type guard struct {
	hosts  local.Hosts
	logger *slog.Logger
}

// newGuard allows this machine, the hosts of cfg, and the one of cfg.BaseURL, which clients are told to use.
func newGuard(cfg Config) guard {
	hosts := slices.Clone(cfg.AllowedHosts)
	if base, err := url.Parse(cfg.BaseURL); err == nil && base.Host != "" {
		hosts = append(hosts, base.Host)
	}
	return guard{hosts: local.NewHosts(hosts), logger: cfg.Logger}
}

func (g guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reason := g.refusal(r)
		if reason == "" {
			next.ServeHTTP(w, r)
			return
		}
		g.logger.WarnContext(r.Context(), "the sandbox refused a request",
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("reason", reason))
		refuseAsProvider(w, r, reason)
	})
}

// refusal says why a request is refused; empty lets it pass. Load balancers may ask /healthz under any name.
func (g guard) refusal(r *http.Request) string {
	control := r.URL.Path == "/control" || strings.HasPrefix(r.URL.Path, "/control/")
	switch {
	case r.URL.Path == "/healthz":
		return ""
	case !g.hosts.Serve(r.Host):
		return "The Host header names " + strconv.Quote(r.Host) + ", which is not this machine. To reach the sandbox by that name, add it to " +
			allowedHostsSetting + "."
	case !control && (r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions):
		return "" // pages link to checkout and sign-in; Clerk's Frontend API checks the Origin itself
	default:
		return g.foreign(r, control)
	}
}

// foreign says by which header a page of another site gives itself away; empty when none does.
func (g guard) foreign(r *http.Request, control bool) string {
	origin := r.Header.Get("Origin")
	if origin != "" && !g.hosts.Own(origin, r.Host) {
		return "The Origin header names " + strconv.Quote(origin) + ", which is not a page of this machine. To let that page use the sandbox, add its host to " +
			allowedHostsSetting + "."
	}
	// A browser calls it cross-site, too, when a page of localhost calls 127.0.0.1. /control is not for pages, so only
	// one that is allowed by name may do so.
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" && (origin == "" || control && !g.hosts.Named(origin)) {
		return "The Sec-Fetch-Site header says that a page of another site sent the request. To let that page use the sandbox, add its host to " +
			allowedHostsSetting + "."
	}
	return ""
}

// refuseAsProvider answers 403 in the form of the API that was called, so that its SDK shows the reason.
func refuseAsProvider(w http.ResponseWriter, r *http.Request, reason string) {
	const code = "sandbox_request_refused"
	switch {
	case strings.HasPrefix(r.URL.Path, "/clerk/"):
		reply(w, http.StatusForbidden, map[string]any{"errors": []map[string]string{{"message": reason, "long_message": reason, "code": code}}})
	case strings.HasPrefix(r.URL.Path, "/openai/"), strings.HasPrefix(r.URL.Path, "/stripe/"), strings.HasPrefix(r.URL.Path, "/v1/"):
		reply(w, http.StatusForbidden, map[string]any{"error": map[string]string{"message": reason, "type": "invalid_request_error", "code": code}})
	default:
		refuse(w, http.StatusForbidden, reason)
	}
}
