package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Timeout is how long an endpoint may take to answer.
const Timeout = 15 * time.Second

// Config is what a [Sender] needs. Sign and Schedule must be set.
type Config struct {
	// Name starts the identifiers of endpoints and deliveries: "clerk".
	Name string
	// Sign makes the headers of an attempt.
	Sign Signer
	// Schedule is the time before each attempt; its length is the number of attempts.
	Schedule []time.Duration
	// UserAgent is the header of that name.
	UserAgent string
	// Settings are those of the start, see [Sender.Change].
	Settings Settings
	// Now is the clock that signatures name, called by several goroutines; nil means [time.Now]. Waiting always takes real
	// time.
	Now func() time.Time
	// Transport sends; nil means one of the sender's own.
	Transport http.RoundTripper
	// Logger gets one line per failed attempt at debug level; nil discards them.
	Logger *slog.Logger
}

// Sender delivers events. It is safe for concurrent use; Close ends it.
type Sender struct {
	cfg    Config
	client *http.Client
	ctx    context.Context //nolint:containedctx // of the sender's own goroutines, ended by Close
	stop   context.CancelFunc
	tasks  sync.WaitGroup
	wake   chan struct{}

	mu        sync.Mutex
	settings  Settings
	dice      *rand.Rand
	endpoints []Endpoint
	made      int    // endpoints ever
	seq       uint64 // deliveries ever
	live      map[uint64]*delivery
	liveBytes int
	waiting   queue
	window    window
	running   int
	finished  history
	counts    map[State]int
}

// New starts a sender without endpoints. Its error is about cfg.Settings.
func New(cfg Config) (*Sender, error) {
	if err := cfg.Settings.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Transport == nil {
		cfg.Transport = newTransport()
	}
	s := &Sender{
		cfg: cfg, wake: make(chan struct{}, 1), live: map[uint64]*delivery{}, counts: map[State]int{},
		client: &http.Client{
			Transport:     cfg.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.adopt(cfg.Settings)
	s.tasks.Go(s.run)
	return s, nil
}

func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: Timeout}).DialContext,
		MaxIdleConnsPerHost: maxConcurrency, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: Timeout,
	}
}

// Close cancels running attempts, forgets pending deliveries, and returns when all goroutines have ended or ctx ends.
func (s *Sender) Close(ctx context.Context) error {
	s.stop()
	idle := make(chan struct{})
	go func() {
		s.tasks.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
		return fmt.Errorf("close the webhook sender: a request is still running: %w", ctx.Err())
	}
	s.client.CloseIdleConnections()
	return nil
}

// Add registers an endpoint and gives it an identifier. The error names the first invalid field.
func (s *Sender) Add(e Endpoint) (Endpoint, error) {
	if err := e.check(s.cfg.Sign); err != nil {
		return Endpoint{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.endpoints) >= MaxEndpoints {
		return Endpoint{}, fmt.Errorf("the limit of %d endpoints is reached; remove one first", MaxEndpoints)
	}
	s.made++
	e.ID = s.cfg.Name + "-endpoint-" + strconv.Itoa(s.made)
	e.Secrets, e.Types = slices.Clone(e.Secrets), slices.Clone(e.Types)
	s.endpoints = append(s.endpoints, e)
	return e, nil
}

// ErrUnknown is returned for an unknown endpoint or delivery.
var ErrUnknown = errors.New("webhook endpoint or delivery not found")

// Rotate puts a new secret before those of an endpoint, or in their place. The error is [ErrUnknown] or about the
// secret.
func (s *Sender) Rotate(id, secret string, keepOld bool) (Endpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.find(id)
	if at < 0 {
		return Endpoint{}, fmt.Errorf("%w: %s", ErrUnknown, id)
	}
	e := s.endpoints[at]
	secrets := []string{secret}
	if keepOld {
		secrets = append(secrets, e.Secrets[:min(len(e.Secrets), maxSecrets-1)]...)
	}
	e.Secrets = secrets
	if err := e.check(s.cfg.Sign); err != nil {
		return Endpoint{}, err
	}
	s.endpoints[at] = e
	return e, nil
}

// Remove deletes an endpoint, drops what waits for it, and reports whether there was one.
func (s *Sender) Remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.find(id)
	if at < 0 {
		return false
	}
	s.endpoints = slices.Delete(s.endpoints, at, at+1)
	for _, d := range s.pending() {
		if d.Endpoint == id {
			s.finish(d, Dropped, "the endpoint was removed")
		}
	}
	return true
}

func (s *Sender) find(id string) int {
	return slices.IndexFunc(s.endpoints, func(e Endpoint) bool { return e.ID == id })
}

// Endpoints returns the endpoints in the order in which they were added.
func (s *Sender) Endpoints() []Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.endpoints)
}

// Settings returns the settings, with what is left of LoseNext and DoubleNext.
func (s *Sender) Settings() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.settings
	out.Types = slices.Clone(out.Types)
	return out
}

// Change replaces the settings. The error names the first invalid field.
func (s *Sender) Change(settings Settings) error {
	if err := settings.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.adopt(settings)
	s.signal()
	return nil
}

func (s *Sender) adopt(settings Settings) {
	settings = settings.filled()
	settings.Types = slices.Clone(settings.Types)
	s.dice = rand.New(rand.NewPCG(settings.Seed, 0)) //nolint:gosec // dice that fall the same way again
	s.settings = settings
	if settings.Shuffle < 2 {
		s.release()
	}
}

// Reset drops pending deliveries, forgets finished ones, and clears the faults in the settings. Endpoints stay.
func (s *Sender) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.pending() {
		s.finish(d, Dropped, "the sandbox was reset")
	}
	s.finished = history{}
	s.counts = map[State]int{}
	s.adopt(s.settings.calm())
}

// signal lets the run loop look again.
func (s *Sender) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
