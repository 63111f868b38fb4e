// Package status reports the health of the services and of the integrations behind them to the public.
package status

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"sync"
	"time"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/statuspb"
	"github.com/trivet-dev/trivet/platform/wait"
)

const (
	// probeTimeout limits one request to a service.
	probeTimeout = 3 * time.Second
	// patience is how long a service that answers too slowly keeps the state of its integrations: one late answer of a busy machine must not show
	// banners. It is then degraded, and down afterwards.
	patience = 10 * time.Second
	// freshness is how long a report is reused, so that public requests cannot load the services.
	freshness = time.Second
	// pollInterval is how often the services are asked without requests, so that the report knows when a state began.
	pollInterval = 5 * time.Second
)

// Answer is what a service reports about itself and about its integration.
type Answer interface {
	GetService() *statusv1.Health
	GetProvider() *statusv1.Health
}

// Service is one of the services.
type Service struct {
	// Name is the name of the service, such as "billing".
	Name string
	// Integration is the provider that the service calls, such as "stripe".
	Integration string
	// Banner is the text that a front end shows while the integration is down; it may be empty.
	Banner string
	// More are the other integrations of the service that can be off.
	More []More
	// Ask calls the service's GetStatus.
	Ask func(context.Context) (Answer, error)
}

// More is an integration that can be off. One that is off is not shown.
type More struct {
	// Integration is its name, such as "email".
	Integration string
	// Of returns its state from an answer; nil when it is off.
	Of func(Answer) *statusv1.Health
}

// Report is the body of the response.
type Report struct {
	// Status sums up the rest: operational when every part is operational, down when every service is down, otherwise degraded.
	Status string `json:"status"`
	// Services holds the state of each service by name.
	Services map[string]string `json:"services"`
	// Integrations holds the state of each provider by name.
	Integrations map[string]Integration `json:"integrations"`
}

// Integration is the state of one provider.
type Integration struct {
	Status string    `json:"status"`
	Since  time.Time `json:"since"`
	Banner string    `json:"banner,omitempty"`
	// Figures are for operators only.
	Figures *Figures `json:"figures,omitempty"`
}

// Figures are what one process of the service sees of its calls to the provider.
type Figures struct {
	WindowSeconds int64 `json:"windowSeconds"`
	Calls         int32 `json:"calls"`
	// SuccessRate is between 0 and 1; absent without calls, as P95LatencyMs is.
	SuccessRate   *float64 `json:"successRate,omitempty"`
	P95LatencyMs  *float64 `json:"p95LatencyMs,omitempty"`
	RateLimitHits int32    `json:"rateLimitHits"`
}

func figures(f *statusv1.Figures) *Figures {
	if f == nil {
		return nil
	}
	out := &Figures{WindowSeconds: f.GetWindow().GetSeconds(), Calls: f.GetCalls(), RateLimitHits: f.GetRateLimitHits()}
	if out.Calls > 0 {
		rate := float64(out.Calls-f.GetFailures()) / float64(out.Calls)
		latency := float64(f.GetP95Latency().AsDuration().Microseconds()) / 1000
		out.SuccessRate, out.P95LatencyMs = &rate, &latency
	}
	return out
}

// public returns the report without what is for operators only.
func (r Report) public() Report {
	integrations := make(map[string]Integration, len(r.Integrations))
	for name, i := range r.Integrations {
		i.Figures = nil
		integrations[name] = i
	}
	r.Integrations = integrations
	return r
}

// Page answers with the report. It needs no credential and always answers 200.
type Page struct {
	services []*watched
	now      func() time.Time
	start    time.Time
	operator func(*http.Request) bool
	turn     chan struct{} // a lock that a waiting caller can give up on
	streams  streams
	stop     chan struct{}
	stopOnce sync.Once
	last     Report
	asked    time.Time
}

// watched is a service together with the history that is needed while it is unreachable.
type watched struct {
	Service
	last        Answer // nil before the first one
	lastTime    time.Time
	integration *health.Tracker
	more        []*health.Tracker // of More; nil for those that are off
}

// New returns a page that has not asked any service yet. operator reports whether an operator sends a request.
func New(services []Service, operator func(*http.Request) bool, now func() time.Time) *Page {
	p := &Page{now: now, start: now(), operator: operator, turn: make(chan struct{}, 1), stop: make(chan struct{}), streams: streams{of: map[netip.Prefix]int{}}}
	for _, s := range services {
		p.services = append(p.services, &watched{Service: s, integration: health.NewTracker(p.start), more: make([]*health.Tracker, len(s.More))})
	}
	return p
}

// Run asks the services periodically until ctx ends.
func (p *Page) Run(ctx context.Context) {
	for {
		if _, ok := p.report(ctx); !ok || wait.For(ctx, pollInterval) != nil {
			return
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
	_ = json.NewEncoder(w).Encode(p.visible(report, r))
}

// visible returns what the sender of a request may see of a report.
func (p *Page) visible(report Report, r *http.Request) Report {
	if p.operator(r) {
		return report
	}
	return report.public()
}

// report returns a report that is at most a second old. One goroutine asks the services; the others wait for its result.
func (p *Page) report(ctx context.Context) (Report, bool) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return Report{}, false
	}
	defer func() { <-p.turn }()
	if age := p.now().Sub(p.asked); p.asked.IsZero() || age > freshness || age < 0 {
		// Other callers wait for this report too, so this caller's departure must not cancel it.
		p.last = p.ask(context.WithoutCancel(ctx))
		p.asked = p.now()
	}
	return p.last, true
}

// ask asks all services. The caller holds the turn.
func (p *Page) ask(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	answers, slow := make([]Answer, len(p.services)), make([]bool, len(p.services))
	var asking sync.WaitGroup
	for i, s := range p.services {
		asking.Go(func() {
			if answer, err := s.Ask(ctx); err == nil {
				answers[i] = answer
			} else {
				slow[i] = ctx.Err() != nil
			}
		})
	}
	asking.Wait()
	report := Report{Services: map[string]string{}, Integrations: map[string]Integration{}}
	working, down := 0, 0
	for i, s := range p.services {
		if slow[i] && s.last != nil && p.now().Sub(s.lastTime) < patience {
			report.Services[s.Name] = statuspb.Word(health.Degraded)
			report.Integrations[s.Integration] = s.describe(s.last.GetProvider())
			p.judgeMore(s, s.last, report)
			continue
		}
		service, integration := p.judge(s, answers[i])
		report.Services[s.Name] = statuspb.Word(service)
		report.Integrations[s.Integration] = s.describe(integration)
		others := p.judgeMore(s, answers[i], report)
		switch {
		case service == health.Operational && integration.GetStatus() == health.Operational && others:
			working++
		case service == health.Down:
			down++
		}
	}
	report.Status = statuspb.Word(overall(working, down, len(p.services)))
	return report
}

// judge returns the state of a service and of its integration. While the service is unreachable both are down, because
// nothing reaches the integration either. Shortly after the edge starts both are unknown instead, because the service may
// still be starting.
func (p *Page) judge(s *watched, answer Answer) (statusv1.Status, *statusv1.Health) {
	now := p.now()
	if answer == nil {
		state := health.Down
		if s.last == nil && now.Sub(p.start) < health.MaxUnknown {
			state = health.Unknown
		}
		return state, s.integration.Set(state, now)
	}
	s.last, s.lastTime = answer, now
	reported := answer.GetProvider()
	s.integration.Set(reported.GetStatus(), now)
	return answer.GetService().GetStatus(), reported
}

// judgeMore reports the other integrations of a service that are on, and whether all of them work.
func (p *Page) judgeMore(s *watched, answer Answer, report Report) bool {
	working := true
	for i, more := range s.More {
		var now *statusv1.Health
		switch {
		case answer == nil && s.more[i] != nil: // nothing reaches it
			now = s.more[i].Set(health.Down, p.now())
		case answer != nil:
			if now = more.Of(answer); now == nil {
				s.more[i] = nil
				continue
			}
			if s.more[i] == nil {
				s.more[i] = health.NewTracker(p.start)
			}
			s.more[i].Set(now.GetStatus(), p.now())
		default:
			continue
		}
		working = working && now.GetStatus() == health.Operational
		report.Integrations[more.Integration] = describe(now)
	}
	return working
}

// describe shows an integration without a banner.
func describe(c *statusv1.Health) Integration {
	return Integration{Figures: figures(c.GetFigures()), Status: statuspb.Word(c.GetStatus()), Since: c.GetSinceTime().AsTime().UTC().Truncate(time.Millisecond)}
}

func (s *watched) describe(c *statusv1.Health) Integration {
	out := describe(c)
	if c.GetStatus() == health.Down {
		out.Banner = s.Banner
	}
	return out
}

// overall sums up. working counts the services that are operational together with their integrations.
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
