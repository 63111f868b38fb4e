package telemetry

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/trivet-dev/trivet/platform/linkpage"
)

// defaultProbe is how long a check may take.
const defaultProbe = 2 * time.Second

// Check is one thing that must be in order before traffic may come.
type Check struct {
	Name string
	// Probe returns nil when the process is healthy. It must honour its context.
	Probe func(ctx context.Context) error
	// Timeout bounds Probe; default 2 s.
	Timeout time.Duration
}

// Ops is what the ops address shows.
type Ops struct {
	Gatherer prometheus.Gatherer // served as /metrics
	Checks   []Check             // run at once for each /readyz
	Pprof    bool                // serve /debug/pprof/
	Level    *Level              // shown and changed at /loglevel; nil for none
	Logger   *slog.Logger        // notes each change of Level
}

// OpsHandler serves a page with links at /, /metrics, /loglevel, /healthz (the process is alive), /readyz (all checks pass: 200, else 503 with a JSON list of
// those that fail) and, when asked for, /debug/pprof/. It belongs on an address that only operators reach.
func OpsHandler(ops Ops) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(ops.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, readiness{Status: "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if failing := failures(r.Context(), ops.Checks); len(failing) > 0 {
			reply(w, http.StatusServiceUnavailable, readiness{Status: "failing", Failing: failing})
			return
		}
		reply(w, http.StatusOK, readiness{Status: "ok"})
	})
	if ops.Level != nil {
		mux.HandleFunc("GET /loglevel", ops.Level.serveLevel(ops.Logger))
		mux.HandleFunc("PUT /loglevel", ops.Level.serveLevel(ops.Logger))
	}
	if ops.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	mux.Handle("GET /{$}", linkpage.Handler(opsPage(ops)))
	return mux
}

// opsPage lists what the ops address has.
func opsPage(ops Ops) linkpage.Page {
	p := linkpage.Page{Title: "Trivet: operations", Text: "For operators and their monitoring.", Links: []linkpage.Link{
		{Address: "metrics", Name: "Metrics", Text: "in Prometheus's format"},
		{Address: "readyz", Name: "Readiness", Text: "what keeps this process from serving"},
		{Address: "healthz", Name: "Health", Text: "whether this process is alive"},
	}}
	if ops.Level != nil {
		p.Links = append(p.Links, linkpage.Link{Address: "loglevel", Name: "Log level", Text: `changed by PUT {"level": "debug", "for": "15m"}`})
	}
	if ops.Pprof {
		p.Links = append(p.Links, linkpage.Link{Address: "debug/pprof/", Name: "Profiles", Text: "of Go's runtime"})
	}
	return p
}

type readiness struct {
	Status  string    `json:"status"`
	Failing []failure `json:"failing,omitempty"`
}

type failure struct {
	Check string `json:"check"`
	Error string `json:"error"`
}

// failures runs all checks at once and returns those that fail, in their order.
func failures(ctx context.Context, checks []Check) []failure {
	errs := make([]error, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() {
			limit := c.Timeout
			if limit <= 0 {
				limit = defaultProbe
			}
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			errs[i] = c.Probe(ctx)
		})
	}
	all.Wait()
	var failing []failure
	for i, err := range errs {
		if err != nil {
			failing = append(failing, failure{Check: checks[i].Name, Error: err.Error()})
		}
	}
	return failing
}

func reply(w http.ResponseWriter, status int, body readiness) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the prober is gone if this fails
}
