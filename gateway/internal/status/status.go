// Package status tells the public how the services and the providers behind them are doing.
package status

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// What a part, and the whole, can be. A part may also be "unknown": nothing was asked of its provider yet.
const (
	Operational = "operational"
	Degraded    = "degraded"
	Down        = "down"
	Unknown     = "unknown"
)

const (
	// probeTimeout bounds a question to one service.
	probeTimeout = time.Second
	// freshness is how long an answer serves everybody, so that the public can't load the services with questions.
	freshness = time.Second
)

// Probe asks one service how its provider is doing.
type Probe func(context.Context) (status string, err error)

// Page answers with the status of all parts. It needs no credential and does not fail because a part is down.
type Page struct {
	probes map[string]Probe
	now    func() time.Time
	turn   chan struct{} // held by the one who asks
	last   Report
	asked  time.Time
}

// Report is the body of the answer.
type Report struct {
	// Status is of the whole: down when all parts are, degraded when one is not operational.
	Status string `json:"status"`
	// Services is by name of the service.
	Services map[string]string `json:"services"`
}

// New makes the page of some probes by service.
func New(probes map[string]Probe, now func() time.Time) *Page {
	return &Page{probes: probes, now: now, turn: make(chan struct{}, 1)}
}

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	report, ok := p.report(r.Context())
	if !ok {
		return // the caller left
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(report)
}

func (p *Page) report(ctx context.Context) (Report, bool) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return Report{}, false
	}
	defer func() { <-p.turn }()
	if p.asked.IsZero() || p.now().Sub(p.asked) > freshness {
		// Others get this answer too: it must not depend on whether this caller stays.
		p.last = p.ask(context.WithoutCancel(ctx))
		p.asked = p.now()
	}
	return p.last, true
}

func (p *Page) ask(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	report := Report{Services: make(map[string]string, len(p.probes))}
	var mu sync.Mutex
	var group sync.WaitGroup
	for name, probe := range p.probes {
		group.Go(func() {
			status, err := probe(ctx)
			if err != nil {
				status = Down
			}
			mu.Lock()
			defer mu.Unlock()
			report.Services[name] = status
		})
	}
	group.Wait()
	report.Status = overall(report.Services)
	return report
}

func overall(parts map[string]string) string {
	well, down := 0, 0
	for _, status := range parts {
		switch status {
		case Operational, Unknown:
			well++
		case Down:
			down++
		}
	}
	switch {
	case well == len(parts):
		return Operational
	case down == len(parts):
		return Down
	default:
		return Degraded
	}
}
