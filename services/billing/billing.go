// Package billing is the service that knows what calls cost: the ledger, the plans, and what Stripe must know.
package billing

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/offers"
	"github.com/trivet-dev/trivet/services/billing/internal/overage"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/reconcile"
	"github.com/trivet-dev/trivet/services/billing/internal/rpc"
	"github.com/trivet-dev/trivet/services/billing/internal/smtp"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/stripesig"
	"github.com/trivet-dev/trivet/services/billing/internal/topup"
)

// Config holds billing's settings.
type Config struct {
	// PlansFile replaces the embedded plans.
	PlansFile string `env:"PLANS_FILE" help:"YAML file with your plans; empty uses the built-in plans"`
	// DefaultPlan is the plan of a new account.
	DefaultPlan string `env:"DEFAULT_PLAN" default:"free" help:"plan of new accounts; an id from PLANS_FILE or a built-in plan"`
	// HoldLease is how long a hold lives after its last checkpoint.
	HoldLease time.Duration `env:"BILLING_HOLD_LEASE" default:"5m" min:"10s" max:"24h" help:"how long a call's credit stays held after its last checkpoint"`
	// SweepInterval is how often abandoned holds are looked for.
	SweepInterval time.Duration `env:"BILLING_SWEEP_INTERVAL" default:"5s" min:"100ms" max:"1h" help:"how often abandoned holds are settled"`
	// CallRetention is how long the records of single calls are kept; 0 is forever.
	CallRetention time.Duration `env:"BILLING_CALL_RETENTION" default:"2160h" min:"0s" max:"87600h" help:"how long records of single calls are kept, for the log of requests and exports; sums and ledger entries stay; 0s keeps them forever"`
	// NoticeRetention is how long notices are kept.
	NoticeRetention time.Duration `env:"BILLING_NOTICE_RETENTION" default:"9600h" min:"9600h" max:"87600h" help:"how long notices about plans and payments are kept; longer than a year, because a state that lasts gets a new notice after its notice is deleted"`
	// EventsURL receives notices as webhooks.
	EventsURL settings.Secret `env:"BILLING_EVENTS_URL" help:"address of your receiver of billing notices, as signed webhooks; empty sends none"`
	// EventsSecrets sign the webhooks, newest first.
	EventsSecrets settings.Secrets `env:"BILLING_EVENTS_SECRET" begins:"whsec_" help:"secret that signs webhooks to BILLING_EVENTS_URL: whsec_ and 24 to 64 bytes in base64; several during a rotation, each signs"`
	// EventsRetry is for how long a webhook is tried.
	EventsRetry time.Duration `env:"BILLING_EVENTS_RETRY" default:"120h" min:"1h" max:"720h" help:"how long a webhook to BILLING_EVENTS_URL is tried until it is dead; trivet events redrive sends it again"`
	// EventsPrivate allows a receiver that is not on the public internet.
	EventsPrivate bool `env:"BILLING_EVENTS_PRIVATE" default:"false" help:"whether BILLING_EVENTS_URL may be plain HTTP and may lead to a private address; trivet dev allows both"`
	// Mail says how notices are mailed.
	Mail MailSettings
	// StripeSecretKey are Stripe's API keys, newest first; none turns Stripe off.
	StripeSecretKey settings.Secrets `env:"STRIPE_SECRET_KEY" required:"serve" begins:"sk_live_,rk_live_,sk_test_,rk_test_" help:"Stripe secret or restricted API key, sk_… or rk_…; several separated by commas, newest first"`
	// StripeAPIURL is Stripe's address.
	StripeAPIURL *url.URL `env:"STRIPE_API_URL" default:"https://api.stripe.com" help:"base URL of the Stripe API; in development, the sandbox"`
	// StripeWebhookSecrets verify Stripe's webhooks, newest first.
	StripeWebhookSecrets settings.Secrets `env:"STRIPE_WEBHOOK_SECRET" begins:"whsec_" wanted:"every webhook of Stripe is refused, so that payments and subscriptions are seen only by reconciliation" help:"signing secret of Stripe webhooks, whsec_…; several during a rotation, newest first"`
	// StripeReads limits how many Stripe objects this process fetches per second; 0 chooses by the key's mode.
	StripeReads int `env:"STRIPE_READS_PER_SECOND" default:"0" min:"0" max:"10000" help:"maximum Stripe reads per second per process; 0 = 80 (live key) or 20 (test key), because Stripe allows an account about 100 and 25"`
	// StripeTries, StripeRetryDelay and StripeBreakerFailures say how failed calls to Stripe are repeated, and when Stripe is left alone.
	StripeTries           int           `env:"STRIPE_TRIES" default:"3" min:"1" max:"10" help:"attempts of a call to Stripe before it fails; writes are retried with the same idempotency key; 1 means no retries"`
	StripeRetryDelay      time.Duration `env:"STRIPE_RETRY_DELAY" default:"500ms" min:"0s" max:"8s" help:"longest pause before the first retry of a call to Stripe; it doubles with each further retry up to 8s, and each pause is a random part of it"`
	StripeBreakerFailures int           `env:"STRIPE_BREAKER_FAILURES" default:"20" min:"0" help:"failed calls to Stripe within 10s that stop all calls for a while, if they are half of its calls; 0 never stops them; webhooks are stored meanwhile"`
	// ProbeInterval is how often Stripe is probed while there are no calls; 0 disables probes.
	ProbeInterval time.Duration `env:"STRIPE_PROBE_INTERVAL" default:"30s" min:"0s" max:"1h" help:"how often Stripe is asked for one customer, to check that it answers while nothing else calls it; 0s turns it off"`
	// ReconcileInterval is how often the store is compared with Stripe; 0 disables that.
	ReconcileInterval time.Duration `env:"STRIPE_RECONCILE_INTERVAL" default:"24h" min:"0s" max:"720h" help:"how often stored objects are compared with Stripe and repaired; 0 disables it"`
	// FreeCredit says who gets the credit of plans that are not paid for.
	FreeCredit string `env:"FREE_CREDIT" default:"person" oneof:"person,account,verified,card,none" help:"who gets the credit of a free plan: person = one account of each person, the first that the person uses; account = every account; verified = like person, as soon as Clerk has verified an email address or a phone number of the person; card = like person, for accounts with a card at Stripe; none = nobody. With all but account, a person has one trial; with verified, only verified people have one"`
	// Inbox says how webhooks are retried and retained.
	Inbox inbox.Settings
	// AllowedOrigins are the origins that Stripe's pages may lead back to.
	AllowedOrigins []string `env:"CORS_ALLOWED_ORIGINS" help:"exact origins whose pages may call the API from a browser, and to which Stripe's pages may lead back, such as https://app.example.com, separated by commas; empty allows no origin; trivet dev also allows pages of this machine"`
	// AutomaticTax lets Stripe work out the tax of what is bought.
	AutomaticTax bool `env:"STRIPE_AUTOMATIC_TAX" default:"true" help:"whether Stripe works out the tax of purchases; needs Stripe Tax with an origin address, else Stripe refuses every checkout"`
}

// Validate checks the plan file, except for the models that it names; see CheckModels. It checks where webhooks and mails go.
func (c *Config) Validate(modes settings.Modes) error {
	_, err := plans.Load(c.PlansFile, c.DefaultPlan, nil)
	return settings.Join(err, c.validateEvents(modes), c.validateMail())
}

// CheckModels checks that the plans name only models of the price list. It does not repeat errors of Validate.
func (c *Config) CheckModels(prices *models.List) error {
	if prices == nil || c.Validate(nil) != nil {
		return nil
	}
	_, err := plans.Load(c.PlansFile, c.DefaultPlan, modelIDs(prices))
	return err
}

// Deps holds billing's dependencies. All are required except PayURLTime, Sleep, MailTLS and Transport.
type Deps struct {
	// Logger gets what happens in the background.
	Logger *slog.Logger
	// Meter gets the metrics.
	Meter metric.Meter
	// Now is the clock.
	Now func() time.Time
	// Database is where billing's store is: database.For("billing", DATABASE_URL). New opens it.
	Database database.Config
	// Models is the price list.
	Models *models.List
	// LoopbackOrigins lets Stripe's pages lead back to any page of this machine; for development.
	LoopbackOrigins bool
	// PrivateReceivers lets webhooks go to private addresses; for development.
	PrivateReceivers bool
	// ApplyPlans applies the plan file to Stripe when the service starts; for development.
	ApplyPlans bool
	// PayURLTime bounds the wait of ListNotices for Stripe's addresses of invoices; 0 means a second.
	PayURLTime time.Duration
	// Sleep waits until a reconciliation asks Stripe again; nil waits by the machine's clock. For tests.
	Sleep func(ctx context.Context, d time.Duration) error
	// MailTLS replaces how the mail server's certificate is checked; nil trusts the system's certificates. For tests.
	MailTLS *tls.Config
	// Transport connects to Stripe; nil means a connection pool of the service's own.
	Transport http.RoundTripper
}

// Service is billing, ready to be registered and run.
type Service struct {
	config  Config
	log     *slog.Logger
	now     func() time.Time
	db      *database.DB
	ledger  *ledger.Ledger
	server  *rpc.Server
	inbox   *inbox.Inbox
	rows    *store.Store
	catalog *plans.Catalog
	// applied is the revision of the plans that the catalog has read.
	applied atomic.Int64
	// applyPlans applies the plan file when the service starts.
	applyPlans bool
	// probe, stripe, reconciler, applier and checkout are nil while Stripe is off.
	probe      func(context.Context)
	stripe     *provider.Transport
	reconciler *reconcile.Reconciler
	applier    *offers.Applier
	// stripeKey and verifier change while the service runs; see Rotate. verifier is nil without a secret.
	stripeKey *settings.Live
	verifier  *stripesig.Verifier
	checkout  *checkout.Service
	// overage and topUp are nil while Stripe is off.
	overage *overage.Biller
	topUp   *topup.Buyer
	// eventsURL and eventsSecrets change while the service runs.
	eventsURL, eventsSecrets *settings.Live
	// receivers connects to the receiver of webhooks; nil without one.
	receivers *http.Client
	// smtp sends mails; nil without a mail server. mailPassword changes while the service runs.
	smtp         *smtp.Client
	mailHealth   *health.Provider
	mailPassword *settings.Live
}

// New opens the store and makes the service, which the caller must Close. It reports every mistake in the plan file.
func New(ctx context.Context, config Config, deps Deps) (*Service, error) {
	if deps.Logger == nil || deps.Meter == nil || deps.Now == nil || deps.Models == nil {
		return nil, errors.New("billing: Logger, Meter, Now and Models are needed")
	}
	catalog, err := plans.Load(config.PlansFile, config.DefaultPlan, modelIDs(deps.Models))
	if err != nil {
		return nil, err
	}
	deps.Database.Logger = deps.Logger
	if deps.Database.Observe, err = database.Observer(deps.Meter, "billing"); err != nil {
		return nil, err
	}
	metrics, err := ledger.NewMetrics(deps.Meter)
	if err != nil {
		return nil, err
	}
	db, err := database.Open(ctx, deps.Database)
	if err != nil {
		return nil, fmt.Errorf("billing: %w", err)
	}
	if err := errors.Join(database.CheckVersion(ctx, db, Migrations()...), db.WatchPools(deps.Meter, "billing")); err != nil {
		return nil, errors.Join(err, db.Close(ctx))
	}
	rows := store.New(db)
	if err := watchHolds(deps, rows); err != nil {
		return nil, errors.Join(err, db.Close(ctx))
	}
	accounts := ledger.New(ledger.Options{
		Store: rows, Prices: deps.Models, Plans: catalog, Now: deps.Now, Logger: deps.Logger, Lease: config.HoldLease, Metrics: metrics,
		FreeCredit: ledger.FreeCredit(config.FreeCredit),
		Reload:     func(ctx context.Context) error { return offers.Load(ctx, rows, catalog) },
	})
	s := &Service{
		config: config, log: deps.Logger, now: deps.Now, db: db, ledger: accounts, rows: rows, catalog: catalog, applyPlans: deps.ApplyPlans,
		stripeKey: settings.NewLive(config.StripeSecretKey...),
		eventsURL: settings.NewLive(config.EventsURL), eventsSecrets: settings.NewLive(config.EventsSecrets...),
		mailPassword: settings.NewLive(config.Mail.Password),
	}
	client, err := s.connectStripe(deps)
	if err != nil {
		return nil, errors.Join(err, db.Close(ctx))
	}
	synced, err := s.sync(deps, rows, client)
	if err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	stripeCondition := condition(client, deps.Now())
	if err := health.Observe(deps.Meter, "stripe", stripeCondition); err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	s.server = rpc.New(s.sell(deps, client, synced.mirror, rpc.Options{
		Ledger: accounts, Plans: catalog, Eraser: rows, Exporter: accounts, Now: deps.Now, Subscriptions: rows, Overage: rows, Members: rows, Entitlements: accounts, Notices: rows, PayURLTime: deps.PayURLTime,
		Origins:  checkout.Origins{Allowed: config.AllowedOrigins, Loopback: deps.LoopbackOrigins},
		Webhooks: synced.receiver, Events: s.inbox,
		Reconciler: s.reconciler, Service: health.NewService(deps.Now, "billing.database", s.Checks), Stripe: stripeCondition, Integrations: s.integrations(),
	}))
	return s, nil
}

// condition returns the function that reports Stripe's condition. Without a key no payment can be made, which looks like an
// outage to callers.
func condition(client *stripe.Client, start time.Time) func() *statusv1.Health {
	if client == nil {
		return health.Fixed(health.Down, start)
	}
	return client.Condition
}

// connectStripe makes the parts that call Stripe. It returns nil without a key.
func (s *Service) connectStripe(deps Deps) (client *stripe.Client, err error) {
	key := s.config.StripeSecretKey.Newest()
	if !key.IsSet() {
		s.log.Warn("STRIPE_SECRET_KEY is not set: nothing can be bought, and Stripe events wait")
		return nil, nil
	}
	watched := health.NewProvider(deps.Now)
	transport := stripe.Transport()
	transport.Base, transport.Ended = deps.Transport, watched.Ended
	transport.Breaker = provider.Breaker{Failures: s.config.StripeBreakerFailures}
	if s.stripe, err = provider.New(transport, deps.Logger, deps.Meter); err != nil {
		return nil, err
	}
	client = stripe.New(stripe.Config{
		Key: key, URL: s.config.StripeAPIURL.String(), HTTP: stripe.WithKey(s.stripe.Client(), s.stripeKey), Health: watched, Logger: deps.Logger, ReadsPerSecond: s.config.StripeReads,
		Transport: s.stripe, Tries: s.config.StripeTries, RetryDelay: s.config.StripeRetryDelay,
	})
	s.probe = func(ctx context.Context) { watched.Run(ctx, s.config.ProbeInterval, client.Probe) }
	return client, nil
}

func modelIDs(list *models.List) []string {
	all := list.All()
	ids := make([]string, 0, len(all))
	for _, m := range all {
		ids = append(ids, m.ID)
	}
	return ids
}

// Register adds BillingService to a server.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	billingv1.RegisterBillingServiceServer(r, s.server)
}

// Migrate brings the store up to date.
func (s *Service) Migrate(ctx context.Context) error {
	return database.MigrateAll(ctx, s.db, Migrations()...)
}

// Migrations returns the migrations of the inbox, the jobs and the store, in the order of their application.
func Migrations() []database.Migrations {
	return []database.Migrations{inbox.Migrations(), job.Migrations(), store.Migrations()}
}

// Run does the background work until ctx ends and all of it has stopped.
func (s *Service) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { s.ledger.Run(ctx, s.config.SweepInterval) })
	running.Go(func() { s.compact(ctx) })
	if s.probe != nil {
		running.Go(func() { s.probe(ctx) })
	}
	if s.smtp != nil {
		running.Go(func() { s.mailHealth.Run(ctx, s.config.Mail.ProbeInterval, s.smtp.Probe) })
	}
	running.Go(func() { s.followPlans(ctx) })
	running.Go(func() { s.followSubscriptions(ctx) })
	if s.checkout != nil {
		running.Go(func() { s.finishReplacements(ctx) })
		running.Go(func() { s.followMembers(ctx) })
	}
	if s.overage != nil {
		running.Go(func() { s.billOverage(ctx) })
	}
	if s.topUp != nil {
		running.Go(func() { s.buyTopUps(ctx) })
	}
	if s.applier != nil && s.applyPlans {
		running.Go(func() { s.applyAtStart(ctx) })
	}
	if s.reconciler != nil && s.config.ReconcileInterval > 0 {
		running.Go(func() { s.reconciler.Schedule(ctx, s.config.ReconcileInterval) })
	}
	err := s.inbox.Run(ctx)
	running.Wait()
	return err
}

// Replicated is the database that all replicas of the service use, with the tables of platform/job.
func (s *Service) Replicated() *database.DB { return s.db }

// Checks returns the readiness checks.
func (s *Service) Checks() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"billing.database": s.db.Ping,
		"billing.writes":   s.db.CheckWrite,
		"billing.schema":   database.SchemaCheck(s.db, Migrations()...),
	}
}

// Close waits for running writes and closes the store.
func (s *Service) Close(ctx context.Context) error {
	if s.stripe != nil {
		s.stripe.CloseIdleConnections()
	}
	if s.receivers != nil {
		s.receivers.CloseIdleConnections()
	}
	return s.db.Close(ctx)
}
