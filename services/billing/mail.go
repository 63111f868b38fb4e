package billing

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/mailing"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/smtp"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
)

// MailSettings say how notices are mailed.
type MailSettings struct {
	// Addr is the mail server; "" turns mails off.
	Addr string `env:"SMTP_ADDR" help:"host:port of the mail server that sends billing notices to customers; empty sends no mails; trivet dev uses the sandbox's mail server while the sandbox stands in for a provider"`
	// TLS is how the connection is encrypted.
	TLS string `env:"SMTP_TLS" default:"starttls" oneof:"starttls,tls,none" help:"how the connection to SMTP_ADDR is encrypted: starttls (port 587), tls from the first byte (port 465), or none, for a server on this machine only"`
	// Username and Password sign in.
	Username string          `env:"SMTP_USERNAME" help:"user name at SMTP_ADDR; empty means no sign-in"`
	Password settings.Secret `env:"SMTP_PASSWORD" help:"password of SMTP_USERNAME"`
	// From is the sender and ReplyTo gets the replies.
	From    string `env:"SMTP_FROM" help:"sender of mails, such as Acme <billing@acme.example>; the name signs them; needed with SMTP_ADDR"`
	ReplyTo string `env:"SMTP_REPLY_TO" help:"address that gets replies to mails, and requests to unsubscribe; empty offers neither"`
	// Kinds are the kinds of notices that are mailed.
	Kinds []string `env:"BILLING_MAIL_KINDS" default:"changed,checkout_failed,credit_threshold,disputed,downgraded,ended,overage_threshold,payment_failed,recovered,refunded,seats_exceeded,top_up_authentication,top_up_disabled,top_up_failed,top_up_succeeded,trial_started,trial_will_end,will_change,will_end" oneof:"changed,checkout_failed,credit_threshold,disputed,downgraded,ended,limit_threshold,overage_threshold,payment_failed,recovered,refunded,seats_exceeded,top_up_authentication,top_up_disabled,top_up_failed,top_up_succeeded,trial_started,trial_will_end,will_change,will_end" help:"kinds of notices that are mailed, separated by commas"`
	// ManageURL is linked in every mail.
	ManageURL string `env:"BILLING_MAIL_URL" help:"page of your front end where people manage plan and payments, linked in mails; its origin must be in CORS_ALLOWED_ORIGINS; empty links none"`
	// Retry is for how long a mail is tried.
	Retry time.Duration `env:"BILLING_MAIL_RETRY" default:"72h" min:"1h" max:"720h" help:"how long a mail is tried until it is dead; trivet events redrive sends it again"`
	// BreakerFailures and ProbeInterval say when the server is left alone, and how often it is asked.
	BreakerFailures int           `env:"SMTP_BREAKER_FAILURES" default:"5" min:"0" help:"failed calls to the mail server within 10s that stop all calls for a while, if they are half of its calls; 0 never stops them; mails wait meanwhile"`
	ProbeInterval   time.Duration `env:"SMTP_PROBE_INTERVAL" default:"5m" min:"0s" max:"24h" help:"how often Trivet connects to the mail server, without sending a mail, to check that it works while no mails are sent; 0s turns this off"`
}

// validateMail checks how mails are sent.
func (c *Config) validateMail() error {
	m := c.Mail
	if m.Addr == "" {
		return nil
	}
	var found []error
	host, _, err := smtp.SplitAddr(m.Addr)
	if err != nil {
		found = append(found, settings.Invalid("SMTP_ADDR", err.Error(), "write host:port, such as smtp.example.com:587"))
	}
	if ip := net.ParseIP(host); err == nil && m.TLS == smtp.Plain && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		found = append(found, settings.Invalid("SMTP_TLS", "does not encrypt, and SMTP_ADDR is not on this machine: anyone on the way could read the mails", "write starttls or tls"))
	}
	if _, err := mail.ParseAddress(m.From); err != nil {
		found = append(found, settings.Invalid("SMTP_FROM", "is not a mail address, and SMTP_ADDR is set", "write Name <address>"))
	}
	if _, err := mail.ParseAddress(m.ReplyTo); m.ReplyTo != "" && err != nil {
		found = append(found, settings.Invalid("SMTP_REPLY_TO", "is not a mail address", "write an address such as help@example.com"))
	}
	if (m.Username == "") == m.Password.IsSet() {
		found = append(found, settings.Invalid("SMTP_PASSWORD", "must be set together with SMTP_USERNAME", "set both, or neither for a server that asks for no password"))
	}
	if m.Username != "" && m.TLS == smtp.Plain {
		found = append(found, settings.Invalid("SMTP_TLS", "does not encrypt the password of SMTP_USERNAME", "write starttls or tls"))
	}
	return settings.Join(append(found, c.validateManageURL())...)
}

func (c *Config) validateManageURL() error {
	if c.Mail.ManageURL == "" {
		return nil
	}
	at, err := url.Parse(c.Mail.ManageURL)
	if err != nil || at.User != nil || !slices.Contains(c.AllowedOrigins, at.Scheme+"://"+at.Host) {
		return settings.Invalid("BILLING_MAIL_URL", "has an origin that is not in CORS_ALLOWED_ORIGINS", "add the origin there, or link another page")
	}
	return nil
}

// emailIntegration is the name of the integration.
const emailIntegration = "email"

// mailer makes the part that sends notices as mails; nil without a mail server, or while Stripe, which has the addresses, is off.
func (s *Service) mailer(deps Deps, client *stripe.Client) (*mailing.Mailer, error) {
	m := s.config.Mail
	if m.Addr == "" {
		return nil, nil //nolint:nilnil // mails are off
	}
	if client == nil {
		s.log.Warn("SMTP_ADDR is set and STRIPE_SECRET_KEY is not: no mail is sent, because the addresses are those of Stripe's customers")
		return nil, nil //nolint:nilnil // mails are off
	}
	s.mailHealth = health.NewProvider(deps.Now)
	const concurrent = 4
	calls, err := provider.New(provider.Config{
		Integration: emailIntegration, MaxConcurrent: concurrent, Ended: s.mailHealth.Ended, Breaker: provider.Breaker{Failures: m.BreakerFailures},
	}, deps.Logger, deps.Meter)
	if err != nil {
		return nil, err
	}
	s.smtp, err = smtp.New(smtp.Config{
		Addr: m.Addr, TLS: m.TLS, Username: m.Username, Password: s.mailPassword, From: m.From, ReplyTo: m.ReplyTo, Calls: calls, Health: s.mailHealth,
		TLSConfig: deps.MailTLS,
	})
	if err != nil {
		return nil, settings.Invalid("SMTP_ADDR", err.Error(), "")
	}
	kinds := make([]notices.Kind, len(m.Kinds))
	for i, kind := range m.Kinds {
		kinds[i] = notices.Kind(kind)
	}
	mailer, err := mailing.New(mailing.Options{
		Inbox: s.inbox, Store: s.rows, Recipient: client.Recipient, Invoice: s.mailedInvoice, Sender: s.smtp, Letters: s.letters(), Kinds: kinds,
		RetryTime: m.Retry, Now: s.now, Logger: s.log,
	})
	return mailer, errors.Join(err, health.Observe(deps.Meter, emailIntegration, s.mailHealth.Condition))
}

// mailedInvoice reads the invoice of a notice.
func (s *Service) mailedInvoice(ctx context.Context, n notices.Notice) (mailing.Invoice, error) {
	if s.checkout == nil {
		return mailing.Invoice{}, nil
	}
	inv, err := s.checkout.Invoice(ctx, n.AccountID, n.Data.InvoiceID)
	if inv.Status != "open" {
		return mailing.Invoice{Settled: inv.ID != ""}, err
	}
	return mailing.Invoice{PayURL: inv.URL}, err
}

// CheckMail connects to the mail server, encrypts and signs in. It sends no mail.
func CheckMail(ctx context.Context, c Config) error {
	if err := c.validateMail(); err != nil {
		return nil //nolint:nilerr // the check of the settings reports it
	}
	calls, err := provider.New(provider.Config{Integration: emailIntegration}, slog.New(slog.DiscardHandler), noop.Meter{})
	if err != nil {
		return err
	}
	client, err := smtp.New(smtp.Config{
		Addr: c.Mail.Addr, TLS: c.Mail.TLS, Username: c.Mail.Username, Password: settings.NewLive(c.Mail.Password), From: c.Mail.From,
		Calls: calls, Health: health.NewProvider(time.Now),
	})
	if err != nil {
		return err
	}
	return client.Check(ctx)
}

// letters says how mails are written.
func (s *Service) letters() mailing.Letters {
	product := s.config.Mail.From
	if from, err := mail.ParseAddress(product); err == nil {
		product = from.Address
		if from.Name != "" {
			product = from.Name
		}
	}
	pay := []string{"https://invoice.stripe.com", "https://pay.stripe.com"}
	if at := s.config.StripeAPIURL; at != nil && !strings.HasSuffix(at.Hostname(), ".stripe.com") {
		pay = append(pay, at.Scheme+"://"+at.Host) // the sandbox has the pages beside its API
	}
	return mailing.Letters{Product: product, ManageURL: s.config.Mail.ManageURL, PayOrigins: pay, PlanName: func(id string) string {
		plan, _ := s.catalog.Get(id)
		return plan.Name
	}}
}

// integrations reports the health of the integrations that are on, besides Stripe.
func (s *Service) integrations() map[string]func() *statusv1.Health {
	if s.mailHealth == nil {
		return nil
	}
	return map[string]func() *statusv1.Health{emailIntegration: s.mailHealth.Condition}
}
