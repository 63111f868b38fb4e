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

// allowedHostsSetting is named in refusals, so that the reader knows which setting to change.
const allowedHostsSetting = "TRIVET_SANDBOX_ALLOWED_HOSTS"

// guard rejects requests from web pages of other sites. The sandbox has no secret that could identify its callers, and a
// page can reach this machine in two ways: by a cross-site request, and by resolving its own host name to 127.0.0.1 (DNS
// rebinding).
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

// refusal returns the reason to reject a request, or an empty string. /healthz is open to load balancers under any name.
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

// foreign returns the reason to reject a request that a header attributes to another site, or an empty string.
func (g guard) foreign(r *http.Request, control bool) string {
	origin := r.Header.Get("Origin")
	if origin != "" && !g.hosts.Own(origin, r.Host) {
		return "The Origin header names " + strconv.Quote(origin) + ", which is not a page of this machine. To let that page use the sandbox, add its host to " +
			allowedHostsSetting + "."
	}
	// Browsers also report cross-site when a page of localhost calls 127.0.0.1. Pages do not need /control, so it accepts
	// only those whose host is allowed by name.
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
