// Package sandbox stands in for Clerk, OpenAI, Stripe and a mail server. It keeps state, is deterministic and speaks the providers'
// real HTTP, so that their SDKs run against it unmodified.
//
// It serves /clerk, /openai/v1, /stripe and the mails at /email, and /control to set faults and create tokens. It is for development and
// tests: it checks keys as the providers do, but all its keys are public, and anyone who reaches /control can use it.
// Serve it on a loopback address.
package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/integration"
	"github.com/trivet-dev/trivet/platform/linkpage"
	"github.com/trivet-dev/trivet/sandbox/clerk"
	"github.com/trivet-dev/trivet/sandbox/email"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/sandbox/openai"
	"github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// The sandbox's API keys. They are public.
const (
	// ClerkSecretKey is the only key that the Clerk fake accepts.
	ClerkSecretKey = clerk.DefaultSecretKey
	// OpenAIKey is an example: the OpenAI fake accepts every key that starts with "sk-".
	OpenAIKey = "sk-trivet-sandbox"
	// StripeSecretKey is an example: the Stripe fake accepts every key that starts with "sk_test_" or "rk_test_".
	StripeSecretKey = "sk_test_trivetsandbox" //nolint:gosec // a made-up key
)

// Config is what a [Sandbox] needs; the zero value works and suits tests.
type Config struct {
	// Dir keeps the Clerk signing keys and the state of Clerk and Stripe, so that tokens, users and customers survive a
	// restart. Empty keeps everything in memory.
	Dir string
	// Now is the clock of all three providers, called by several goroutines; nil means [time.Now].
	Now func() time.Time
	// Logger gets one line per request at debug level; nil discards them.
	Logger *slog.Logger
	// BaseURL is where clients reach the handler, such as "http://127.0.0.1:8090". It is used in [Sandbox.Environment] and
	// in the links to Stripe's pages, and its host is allowed.
	BaseURL string
	// Pace is the time between the words of a streamed answer; zero sends them at once.
	Pace time.Duration
	// EdgeURL is where Trivet's edge listens, such as "http://127.0.0.1:8080": webhooks go to /api/webhooks/clerk and
	// /api/webhooks/stripe there, signed with [ClerkWebhookSecret] and [StripeWebhookSecret]. Empty sends none until an
	// endpoint is added.
	EdgeURL string
	// WebhookRetryScale scales the delays before webhook retries: 0.001 turns an hour into 3.6 seconds. Zero means 1.
	WebhookRetryScale float64
	// ClerkAuthorizedParty is the azp claim of tokens; empty means [clerk.DefaultAuthorizedParty].
	ClerkAuthorizedParty string
	// AllowedHosts are host names and addresses, without a port, under which clients may reach the sandbox and whose pages
	// may use it. Localhost, loopback addresses and the host of BaseURL are always allowed; other requests are rejected.
	AllowedHosts []string
	// SMTPAddr is where clients reach the mail server, such as "127.0.0.1:8025", if [email.Fake.Serve] serves it. It is used in [Sandbox.Environment].
	SMTPAddr string
	// Patience is how long a client may leave an answer unread before its connection is cut; zero means 30 s.
	Patience time.Duration
}

// checkoutPatience is how long Stripe's checkout page waits for its webhook before it sends the payer back.
const checkoutPatience = 10 * time.Second

// Sandbox holds the fakes and their control API.
type Sandbox struct {
	cfg     Config
	clerk   *clerk.Fake
	openai  *openai.Fake
	stripe  *stripe.Fake
	email   *email.Fake
	senders map[string]*webhook.Sender
	calls   *counter
	handler http.Handler

	stop context.CancelFunc
	gate gate
}

// New returns a sandbox. Its error is about a file in cfg.Dir, cfg.EdgeURL or cfg.WebhookRetryScale.
func New(cfg Config) (*Sandbox, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Patience <= 0 {
		cfg.Patience = defaultPatience
	}
	s := &Sandbox{cfg: cfg, senders: map[string]*webhook.Sender{}, calls: newCounter(), openai: openai.New(openai.Config{Now: cfg.Now, Pace: cfg.Pace}), email: email.New(email.Config{Now: cfg.Now})}
	if err := s.open(cfg); err != nil {
		return nil, errors.Join(err, s.closeSenders(context.Background()), s.closeFiles())
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.handler = s.gate.wrap(ctx, patient(cfg.Patience, s.logged(newGuard(cfg).wrap(s.routes()))))
	if cfg.Dir != "" && s.gate.enter() {
		// The first start generates a key, which takes a while. It happens in the background, so that the server is ready.
		go func() {
			defer s.gate.leave()
			if err := s.clerk.Warm(ctx); err != nil && !errors.Is(err, context.Canceled) {
				cfg.Logger.Error("generating the sandbox's Clerk signing key failed", "error", err)
			}
		}()
	}
	return s, nil
}

// open starts the senders, and the providers that use them.
func (s *Sandbox) open(cfg Config) (err error) {
	for _, i := range integration.WithWebhooks() {
		if s.senders[i.Name], err = newSender(cfg, i); err != nil {
			return err
		}
	}
	s.clerk, err = clerk.New(clerk.Config{
		Dir: cfg.Dir, Now: cfg.Now, AuthorizedParty: cfg.ClerkAuthorizedParty, Emit: s.senders["clerk"].Send,
		AllowedHosts: cfg.AllowedHosts,
	})
	if err != nil {
		return err
	}
	public := ""
	if cfg.BaseURL != "" {
		public = strings.TrimRight(cfg.BaseURL, "/") + "/stripe"
	}
	s.stripe, err = stripe.New(stripe.Config{
		Dir: cfg.Dir, Now: cfg.Now, PublicURL: public, Emit: s.senders["stripe"].Send,
		Await: func(ctx context.Context, eventID string) {
			ctx, cancel := context.WithTimeout(ctx, checkoutPatience)
			defer cancel()
			_, _ = s.senders["stripe"].Await(ctx, eventID) // the payer is sent back in any case
		},
	})
	return err
}

// closeSenders ends the senders that have been started.
func (s *Sandbox) closeSenders(ctx context.Context) error {
	var errs []error
	for _, sender := range s.senders {
		if sender != nil {
			errs = append(errs, sender.Close(ctx))
		}
	}
	return errors.Join(errs...)
}

// closeFiles closes the files of the providers that have been opened.
func (s *Sandbox) closeFiles() error {
	var errs []error
	if s.clerk != nil {
		errs = append(errs, s.clerk.Close())
	}
	if s.stripe != nil {
		errs = append(errs, s.stripe.Close())
	}
	return errors.Join(errs...)
}

// Handler serves everything.
func (s *Sandbox) Handler() http.Handler { return s.handler }

// Clerk returns the Clerk fake.
func (s *Sandbox) Clerk() *clerk.Fake { return s.clerk }

// OpenAI returns the OpenAI fake.
func (s *Sandbox) OpenAI() *openai.Fake { return s.openai }

// Stripe returns the Stripe fake.
func (s *Sandbox) Stripe() *stripe.Fake { return s.stripe }

// Email returns the mail server. Serve it on a listener.
func (s *Sandbox) Email() *email.Fake { return s.email }

// Close cancels running requests and webhook attempts, rejects new ones, and waits until all goroutines have ended, or
// until ctx ends.
func (s *Sandbox) Close(ctx context.Context) error {
	s.stop()
	idle := s.gate.shut()
	err := s.closeSenders(ctx)
	select {
	case <-idle:
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("close the sandbox: requests or key generation are still running: %w", ctx.Err()))
	}
	return errors.Join(err, s.closeFiles())
}

// Environment returns the settings that point Trivet at this sandbox, by name.
func (s *Sandbox) Environment() map[string]string {
	base := strings.TrimRight(s.cfg.BaseURL, "/")
	environment := map[string]string{
		"CLERK_SECRET_KEY":      s.clerk.SecretKey(),
		"CLERK_PUBLISHABLE_KEY": s.clerk.PublishableKey(),
		"CLERK_ISSUER":          s.clerk.Issuer(),
		"CLERK_API_URL":         base + "/clerk/v1",
		"OPENAI_API_KEY":        OpenAIKey,
		"OPENAI_BASE_URL":       base + "/openai/v1",
		"STRIPE_SECRET_KEY":     StripeSecretKey,
		"STRIPE_API_URL":        base + "/stripe",
		"CLERK_INSTANCE_ID":     s.clerk.InstanceID(),
		"CLERK_WEBHOOK_SECRET":  ClerkWebhookSecret,
		"STRIPE_WEBHOOK_SECRET": StripeWebhookSecret,
	}
	if s.cfg.SMTPAddr != "" {
		environment["SMTP_ADDR"], environment["SMTP_TLS"], environment["SMTP_FROM"] = s.cfg.SMTPAddr, "none", "Trivet <billing@sandbox.test>"
	}
	return environment
}

// providerNames are the providers that the sandbox stands in for.
func providerNames() []string { return integration.Names(integration.All()) }

// apis returns the stand-ins by provider.
func (s *Sandbox) apis() map[string]router {
	return map[string]router{"clerk": s.clerk, "openai": s.openai, "stripe": s.stripe, "email": s.email}
}

// faults returns the sets by provider.
func (s *Sandbox) faults() map[string]*fault.Set {
	return map[string]*fault.Set{"clerk": s.clerk.Faults(), "openai": s.openai.Faults(), "stripe": s.stripe.Faults(), "email": s.email.Faults()}
}

func (s *Sandbox) routes() http.Handler {
	mux := http.NewServeMux()
	for name, api := range s.apis() {
		mux.Handle("/"+name+"/", http.StripPrefix("/"+name, s.calls.wrap(name, api)))
	}
	stripeAPI := s.calls.wrap("stripe", s.stripe)
	mux.Handle("/v1/", atRoot(stripeAPI))
	mux.Handle("/v2/", atRoot(stripeAPI))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	s.control(mux)
	s.controlWebhooks(mux)
	s.controlObjects(mux)
	s.controlStripe(mux)
	mux.Handle("GET /{$}", linkpage.Handler(homePage()))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "the sandbox serves /clerk, /openai/v1, /stripe, /v1 (Stripe), /email, /control and /healthz, not "+r.URL.Path)
	})
	return mux
}

// atRoot serves Stripe's API without its prefix, because several of Stripe's SDKs accept a host and a port but no path.
// Links to pages keep the prefix.
func atRoot(stripeAPI http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RequestURI = "/stripe" + r.RequestURI
		stripeAPI.ServeHTTP(w, r)
	})
}

func (s *Sandbox) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.Logger.Enabled(r.Context(), slog.LevelDebug) {
			s.cfg.Logger.DebugContext(r.Context(), "sandbox request", "method", r.Method, "path", r.URL.Path)
		}
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]string{"error": message})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// The only remaining error is a client that disconnected.
	_ = enc.Encode(v)
}
