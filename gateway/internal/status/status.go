// Package status tells the public how the services and the integrations behind them are doing.
package status

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/statuspb"
)

const (
	// probeTimeout bounds the question to one service.
	probeTimeout = 3 * time.Second
	// freshness is how long an answer serves everybody, so that the public cannot load the services with questions.
	freshness = time.Second
	// pollInterval is how often the services are asked when nobody looks, so that the report knows when a state began.
	pollInterval = 5 * time.Second
)

// Answer is what a service says about itself and about its integration.
type Answer interface {
	GetService() *statusv1.Health
	GetProvider() *statusv1.Health
}

// Service is one of the services.
type Service struct {
	// Name is the service's, such as "billing".
	Name string
	// Integration is the provider that the service calls, such as "stripe".
	Integration string
	// Banner is what a front end shows while the integration is down; "" for none.
	Banner string
	// Ask calls the service's GetStatus.
	Ask func(context.Context) (Answer, error)
}

// Report is the body of the answer.
type Report struct {
	// Status sums up the rest: operational when every part is, down when every service is down, else degraded.
	Status string `json:"status"`
	// Services holds the state of each service, by its name.
	Services map[string]string `json:"services"`
	// Integrations holds the condition of each provider, by its name.
	Integrations map[string]Integration `json:"integrations"`
}

// Integration is the condition of one provider.
type Integration struct {
	Status string    `json:"status"`
	Since  time.Time `json:"since"`
	Banner string    `json:"banner,omitempty"`
}

// Page answers with the report. It needs no credential, and it answers 200 whatever is down.
type Page struct {
	services []*watched
	now      func() time.Time
	start    time.Time
	turn     chan struct{} // held by the goroutine that asks
	last     Report
	asked    time.Time
}

// watched is a service with the memory that unreachable services need.
type watched struct {
	Service
	answered    bool // at least once
	integration *health.Tracker
}

// New returns a page that has asked nobody yet.
func New(services []Service, now func() time.Time) *Page {
	p := &Page{now: now, start: now(), turn: make(chan struct{}, 1)}
	for _, s := range services {
		p.services = append(p.services, &watched{Service: s, integration: health.NewTracker(p.start)})
	}
	return p
}

// Run asks the services from time to time until ctx ends.
func (p *Page) Run(ctx context.Context) {
	for {
		if _, ok := p.report(ctx); !ok {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pollInterval):
		}
	}
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

// report returns a report of the last second. One goroutine asks, and the others wait for its answers.
func (p *Page) report(ctx context.Context) (Report, bool) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return Report{}, false
	}
	defer func() { <-p.turn }()
	if age := p.now().Sub(p.asked); p.asked.IsZero() || age > freshness || age < 0 {
		// The answers serve other callers too, so they must not depend on whether this one stays.
		p.last = p.ask(context.WithoutCancel(ctx))
		p.asked = p.now()
	}
	return p.last, true
}

// ask needs the turn.
func (p *Page) ask(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	answers := make([]Answer, len(p.services))
	var asking sync.WaitGroup
	for i, s := range p.services {
		asking.Go(func() {
			if answer, err := s.Ask(ctx); err == nil {
				answers[i] = answer
			}
		})
	}
	asking.Wait()
	report := Report{Services: map[string]string{}, Integrations: map[string]Integration{}}
	working, down := 0, 0
	for i, s := range p.services {
		service, integration := p.judge(s, answers[i])
		report.Services[s.Name] = statuspb.Word(service)
		report.Integrations[s.Integration] = s.describe(integration)
		switch {
		case service == health.Operational && integration.GetStatus() == health.Operational:
			working++
		case service == health.Down:
			down++
		}
	}
	report.Status = statuspb.Word(overall(working, down, len(p.services)))
	return report
}

// judge returns the state of a service and the condition of its integration. Both are down while the service cannot be
// reached, because then nothing reaches the integration either. At the start of the edge the services may still be starting.
func (p *Page) judge(s *watched, answer Answer) (statusv1.Status, *statusv1.Health) {
	now := p.now()
	if answer == nil {
		state := health.Down
		if !s.answered && now.Sub(p.start) < health.MaxUnknown {
			state = health.Unknown
		}
		return state, s.integration.Set(state, now)
	}
	s.answered = true
	reported := answer.GetProvider()
	s.integration.Set(reported.GetStatus(), now)
	return answer.GetService().GetStatus(), reported
}

func (s *watched) describe(c *statusv1.Health) Integration {
	out := Integration{Status: statuspb.Word(c.GetStatus()), Since: c.GetSinceTime().AsTime().UTC().Truncate(time.Millisecond)}
	if c.GetStatus() == health.Down {
		out.Banner = s.Banner
	}
	return out
}

// overall sums up: working counts the services that work together with their integrations.
func overall(working, down, all int) statusv1.Status {
	switch all {
	case working:
		return health.Operational
	case down:
		return health.Down
	default:
		return health.Degraded
	}
}
