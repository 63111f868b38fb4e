package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
)

// Options holds what a Chain works with. Only Random and Base may be left out.
type Options struct {
	// Models is the price list, which lists the targets.
	Models *models.List
	// Default is the target of the settings. Its timeouts and its bulkhead are those of targets that have none.
	Default Account
	// Secrets reads the setting of a target's key. It may be nil when no target has keys.
	Secrets func(name string) (settings.Secrets, error)
	// Breaker is that of each target.
	Breaker provider.Breaker
	// Tries are the attempts of a call at one target; with several targets each is tried at least once.
	Tries int
	// Backoff is the longest pause before the first repetition at the same target; it doubles with each further one.
	Backoff time.Duration
	// Base makes the connections in place of a pool for each target; tests set it.
	Base http.RoundTripper
	// Method names a request in metrics and logs.
	Method func(*http.Request) string
	// Ended, when set, is called when a call of any target has ended.
	Ended  func(provider.End)
	Logger *slog.Logger
	Meter  metric.Meter
	// Now is the clock, Random returns numbers from 0 to 1.
	Now    func() time.Time
	Random func() float64
}

// Chain calls models at their targets. It is safe for concurrent use.
type Chain struct {
	options Options
	current atomic.Pointer[directory]

	building sync.Mutex // of a new directory
}

var _ invoke.Targets = (*Chain)(nil)

// directory is the targets and routes of one content of the price list.
type directory struct {
	content  *models.Content
	targets  map[string]*target
	choices  map[string][]*choice // by model id
	redactor Redactor
}

// target is a server and what is known of it.
type target struct {
	*client
	pool     *provider.Transport
	budget   *provider.Budget
	thinking time.Duration // the longest silence within an answer of a model that reasons
}

// choice is a target that may serve a model.
type choice struct {
	*target
	route   *models.Route
	limited limits
	urls    map[string]*url.URL // of the common paths
}

// commonPaths are those whose addresses are made in advance.
var commonPaths = []string{"chat/completions", "embeddings", "responses", "completions", "moderations"}

// NewChain returns a chain for the targets that the price list has now. It follows the list when its content is replaced.
func NewChain(options Options) (*Chain, error) {
	if options.Random == nil {
		options.Random = rand.Float64
	}
	options.Tries = max(1, options.Tries)
	options.Default.Name, options.Default.Kind = models.DefaultTarget, models.TargetOpenAI
	c := &Chain{options: options}
	d, err := c.build(options.Models.Content(), nil)
	if err != nil {
		return nil, err
	}
	c.current.Store(d)
	return c, nil
}

// Check reports what is wrong with the targets of a list that is to replace the present one: a key that is not set.
func (c *Chain) Check(list *models.List) error {
	var found []error
	for _, t := range list.Content().Targets() {
		if _, err := c.account(t); err != nil {
			found = append(found, err)
		}
	}
	return errors.Join(found...)
}

// Rotate uses other keys of the default target, a group for each setting, and reads those of the others again. Targets whose keys have not changed are taken over.
func (c *Chain) Rotate(keys []settings.Secrets) error {
	c.building.Lock()
	defer c.building.Unlock()
	before := c.current.Load()
	earlier := c.options.Default.Secrets
	c.options.Default.Secrets = keys
	next, err := c.build(before.content, before)
	if err != nil {
		c.options.Default.Secrets = earlier
		return err
	}
	c.current.Store(next)
	return nil
}

// KeyNames are the settings that hold keys of the targets.
func (c *Chain) KeyNames() []string {
	var names []string
	for _, t := range c.options.Models.Content().Targets() {
		names = append(names, t.Keys...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Redact implements invoke.Targets.
func (c *Chain) Redact(text string) string { return c.directory().redactor.String(text) }

// Close closes idle connections.
func (c *Chain) Close() {
	for _, t := range c.directory().targets {
		t.pool.Close()
	}
}

// directory returns the targets and routes of the price list as it is now. A list whose targets cannot be used, although
// Check has passed, changes nothing.
func (c *Chain) directory() *directory {
	d := c.current.Load()
	content := c.options.Models.Content()
	if d.content == content {
		return d
	}
	c.building.Lock()
	defer c.building.Unlock()
	if d = c.current.Load(); d.content == content {
		return d
	}
	next, err := c.build(content, d)
	if err != nil {
		c.options.Logger.Error("the targets of the new price list cannot be used; the earlier ones stay", slog.Any("error", err))
		kept := *d
		kept.content = content
		next = &kept
	}
	c.current.Store(next)
	return next
}

// build makes the targets and routes of a content. Targets that have not changed are taken over, with all that is known
// of them.
func (c *Chain) build(content *models.Content, before *directory) (*directory, error) {
	d := &directory{content: content, targets: map[string]*target{}, choices: map[string][]*choice{}}
	var secrets []string
	add := func(t *models.Target) error {
		made, err := c.target(t, before)
		if err != nil {
			return err
		}
		d.targets[t.Name] = made
		secrets = append(secrets, made.redactor.secrets...)
		return nil
	}
	found := []error{add(&c.options.Default.Target)}
	for _, t := range content.Targets() {
		found = append(found, add(t))
	}
	if err := errors.Join(found...); err != nil {
		d.drop(before)
		return nil, err
	}
	for _, m := range content.All() {
		d.choices[m.ID] = d.choicesOf(m)
	}
	d.redactor = NewRedactor(secrets...)
	before.drop(d)
	return d, nil
}

// drop closes the targets that another directory has not taken over.
func (d *directory) drop(kept *directory) {
	if d == nil {
		return
	}
	for name, t := range d.targets {
		if kept == nil || kept.targets[name] != t {
			t.pool.Close()
		}
	}
}

func (d *directory) choicesOf(m models.Model) []*choice {
	routes := m.Routes
	if len(routes) == 0 {
		routes = []models.Route{{Target: models.DefaultTarget, Model: m, Priority: 1, Weight: 1}}
	}
	out := make([]*choice, 0, len(routes))
	for i := range routes {
		t := d.targets[routes[i].Target]
		route := routes[i]
		route.Model.KeepsChats = isOpenAI(t.account.BaseURL)
		one := &choice{target: t, route: &route, limited: make(limits, len(t.keys.groups)), urls: make(map[string]*url.URL, len(commonPaths))}
		for _, path := range commonPaths {
			one.urls[path] = t.address(path, one.name(m))
		}
		out = append(out, one)
	}
	return out
}

// isOpenAI reports whether an address is one of OpenAI's own, such as https://eu.api.openai.com/v1.
func isOpenAI(address *url.URL) bool {
	return strings.HasSuffix("."+strings.ToLower(address.Hostname()), ".api.openai.com")
}

// name is the model's name at the target.
func (c *choice) name(m models.Model) string {
	if c.route.Name != "" {
		return c.route.Name
	}
	return m.ID
}

func (c *choice) url(q *invoke.Query) *url.URL {
	u, common := c.urls[q.Path]
	if !common {
		u = c.address(q.Path, c.name(q.Model))
	}
	if q.RawQuery == "" {
		return u
	}
	with := *u
	if with.RawQuery != "" {
		with.RawQuery += "&"
	}
	with.RawQuery += q.RawQuery
	return &with
}

// account reads the keys of a target.
func (c *Chain) account(t *models.Target) (Account, error) {
	a := Account{Target: *t}
	if t.Name == models.DefaultTarget {
		return c.options.Default, nil
	}
	for _, name := range t.Keys {
		if foreign(name) {
			return a, fmt.Errorf("target %s: the setting %s is not for keys of targets; choose another name", t.Name, name)
		}
		var group settings.Secrets
		var err error
		if c.options.Secrets != nil {
			group, err = c.options.Secrets(name)
		}
		switch {
		case err != nil:
			return a, fmt.Errorf("target %s: %w", t.Name, err)
		case !group.IsSet():
			return a, fmt.Errorf("target %s: its key is not set: set %s or %s_FILE", t.Name, name, name)
		}
		a.Secrets = append(a.Secrets, group)
	}
	return a, nil
}

// target returns a target, the present one if it has not changed.
func (c *Chain) target(t *models.Target, before *directory) (*target, error) {
	account, err := c.account(t)
	if err != nil {
		return nil, err
	}
	standard := c.options.Default
	or := func(own, other time.Duration) time.Duration {
		if own > 0 {
			return own
		}
		return other
	}
	account.FirstByteTimeout = or(account.FirstByteTimeout, standard.FirstByteTimeout)
	account.IdleTimeout = or(account.IdleTimeout, standard.IdleTimeout)
	if account.MaxConcurrent == 0 {
		account.MaxConcurrent = standard.MaxConcurrent
	}
	if before != nil {
		if old := before.targets[t.Name]; old != nil && old.account.same(account) {
			return old, nil
		}
	}
	pool, err := provider.New(provider.Config{
		Integration: "openai", Target: t.Name, Method: c.options.Method, ConnectTimeout: account.ConnectTimeout, TLSTimeout: account.ConnectTimeout,
		HeaderTimeout: account.FirstByteTimeout, IdleTimeout: account.IdleTimeout,
		MaxConcurrent: account.MaxConcurrent, Relay: true, Base: c.options.Base, Breaker: c.options.Breaker, Ended: c.options.Ended,
	}, c.options.Logger, c.options.Meter)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", t.Name, err)
	}
	return &target{
		client: newClient(pool, account), pool: pool, budget: provider.NewBudget(c.options.Now),
		thinking: max(account.FirstByteTimeout, account.IdleTimeout),
	}, nil
}

// same reports whether two accounts are the same, keys included.
func (a Account) same(b Account) bool {
	if !a.Equal(&b.Target) || len(a.Secrets) != len(b.Secrets) {
		return false
	}
	for i := range a.Secrets {
		x, y := a.Secrets[i].Reveal(), b.Secrets[i].Reveal()
		if len(x) != len(y) {
			return false
		}
		for j := range x {
			if x[j] != y[j] {
				return false
			}
		}
	}
	return true
}

// foreign reports whether a setting holds something else than keys of model providers, which must not be sent to one.
func foreign(name string) bool {
	if name == "OPENAI_API_KEY" {
		return false
	}
	for _, known := range settings.Known() {
		if name == known {
			return true
		}
	}
	return false
}

// Probe asks the default target for its list of models, which costs nothing, and notes how that went.
func (c *Chain) Probe(ctx context.Context, noted *health.Provider) {
	t := c.directory().targets[models.DefaultTarget]
	to := t.address("models", "")
	key := pick{secret: t.keys.groups[0][0]}
	request := (&http.Request{
		Method: http.MethodGet, URL: to, Host: to.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: t.header(ctx, key.secret, &invoke.Query{}),
	}).WithContext(ctx)
	response, err := health.Transport{Next: t.pool, Provider: noted}.RoundTrip(request)
	if err == nil {
		_ = response.Body.Close() // the status says it all
	}
}
