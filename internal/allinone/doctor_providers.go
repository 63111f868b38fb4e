package allinone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing"
)

// maxAnswer bounds what is read of a provider's answer.
const maxAnswer = 1 << 20

// ask makes one read-only call with a bearer key, see askAs.
func (d *doctor) ask(ctx context.Context, title string, at *url.URL, key settings.Secret, answer any) (status int, err error) {
	header := http.Header{}
	if key.IsSet() {
		header.Set("Authorization", "Bearer "+key.Reveal())
	}
	return d.askAs(ctx, title, at, header, answer)
}

// askAs makes one read-only call and notes the provider's clock. The body of a success is decoded into answer, unless that is nil.
func (d *doctor) askAs(ctx context.Context, title string, at *url.URL, header http.Header, answer any) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return 0, errors.New("its address cannot be used")
	}
	request.Header = header
	client := http.Client{Transport: d.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	before := d.Now()
	response, err := client.Do(request)
	if err != nil {
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err // without the address
		}
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		d.skews[title] = before.Add(d.Now().Sub(before) / 2).Sub(date)
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err == nil && answer != nil && response.StatusCode == http.StatusOK {
		err = json.Unmarshal(raw, answer)
	}
	return response.StatusCode, err
}

// below returns base with a path below it.
func below(base *url.URL, path, query string) *url.URL {
	at := *base
	at.Path = strings.TrimRight(at.Path, "/") + path
	at.RawQuery = query
	return &at
}

func (d *doctor) clerk(ctx context.Context) []Finding {
	if !d.real("clerk") {
		return d.skipAll(d.absent("clerk"))
	}
	if d.config.Auth.APIURL == nil || !d.config.Auth.SecretKeys.IsSet() {
		return d.skipAll(unusable("CLERK_API_URL", "CLERK_SECRET_KEY"))
	}
	d.skip("the webhook endpoints", "Clerk has no call that lists them; compare them with INTEGRATIONS.md in its dashboard")
	base := *d.config.Auth.APIURL
	base.Path = strings.TrimSuffix(strings.TrimRight(base.Path, "/"), "/v1")
	var instances []instance
	found := eachKey(d.config.Auth.SecretKeys, func(key settings.Secret, p position) ([]Finding, bool) {
		own := instance{key: p}
		status, err := d.ask(ctx, "Clerk", below(&base, "/v1/users", "limit=1"), key, nil)
		if err == nil && status == http.StatusOK {
			status, err = d.ask(ctx, "Clerk", below(&base, "/v1/jwks", ""), key, &own.keySet)
		}
		found := judge("Clerk", "CLERK_SECRET_KEY", "CLERK_API_URL", p, status, err)
		if found == nil {
			instances = append(instances, own)
		}
		return found, ofKey(status, err)
	})
	return append(found, d.issuer(ctx, instances)...)
}

func (d *doctor) openAI(ctx context.Context) []Finding {
	if !d.real("openai") {
		return d.skipAll(d.absent("openai"))
	}
	if d.config.AI.BaseURL == nil {
		return d.skipAll(unusable("OPENAI_BASE_URL"))
	}
	return eachKey(d.config.AI.Keys, func(key settings.Secret, p position) ([]Finding, bool) {
		status, err := d.ask(ctx, "OpenAI", below(d.config.AI.BaseURL, "/models", ""), key, nil)
		return judge("OpenAI", "OPENAI_API_KEY", "OPENAI_BASE_URL", p, status, err), ofKey(status, err)
	})
}

// stripeEvents are the types that the webhook endpoint at Stripe must have. INTEGRATIONS.md lists all families.
var stripeEvents = []string{
	"charge.dispute.closed", "charge.dispute.created", "charge.dispute.funds_reinstated", "charge.refund.updated", "charge.refunded",
	"checkout.session.async_payment_failed", "checkout.session.async_payment_succeeded", "checkout.session.completed", "credit_note.created",
	"credit_note.voided", "customer.deleted", "customer.subscription.created", "customer.subscription.deleted", "customer.subscription.updated",
	"customer.updated", "invoice.paid", "invoice.payment_failed", "subscription_schedule.created", "subscription_schedule.updated",
}

func (d *doctor) stripe(ctx context.Context) []Finding {
	if !d.real("stripe") {
		return d.skipAll(d.absent("stripe"))
	}
	if d.config.Billing.StripeAPIURL == nil || !d.config.Billing.StripeSecretKey.IsSet() {
		return d.skipAll(unusable("STRIPE_API_URL", "STRIPE_SECRET_KEY"))
	}
	base, accepted := d.config.Billing.StripeAPIURL, false
	found := eachKey(d.config.Billing.StripeSecretKey, func(key settings.Secret, p position) ([]Finding, bool) {
		status, err := d.ask(ctx, "Stripe", below(base, "/v1/customers", "limit=1"), key, nil)
		found := judge("Stripe", "STRIPE_SECRET_KEY", "STRIPE_API_URL", p, status, err)
		accepted = accepted || found == nil && !p.earlier()
		return found, ofKey(status, err)
	})
	if !accepted {
		d.skip("the webhook endpoints", "Stripe does not take the newest key")
		return found
	}
	return append(found, d.endpoints(ctx, below(base, "/v1/webhook_endpoints", "limit=100"), d.config.Billing.StripeSecretKey.Newest())...)
}

// endpoints compares the webhook endpoints at Stripe with what Trivet needs.
func (d *doctor) endpoints(ctx context.Context, at *url.URL, key settings.Secret) []Finding {
	var endpoints struct {
		Data []struct {
			URL, Status string
			Events      []string `json:"enabled_events"`
		}
	}
	status, err := d.ask(ctx, "Stripe", at, key, &endpoints)
	if err != nil || status != http.StatusOK {
		return []Finding{warning("STRIPE_SECRET_KEY", "the webhook endpoints cannot be read with this key", "let a restricted key read webhook endpoints, or compare them with INTEGRATIONS.md by hand")}
	}
	var found []Finding
	for _, e := range endpoints.Data {
		if !strings.HasSuffix(strings.TrimRight(e.URL, "/"), "/api/webhooks/stripe") || e.Status == "disabled" {
			continue
		}
		if found = d.missing(e.URL, e.Events); found == nil {
			return nil
		}
	}
	if found == nil {
		found = []Finding{failure("", "Stripe has no enabled webhook endpoint that ends with /api/webhooks/stripe: payments would not be noticed",
			"add https://YOUR-HOST/api/webhooks/stripe in Stripe's dashboard, and put its secret into STRIPE_WEBHOOK_SECRET")}
	}
	return found
}

// missing reports what an endpoint at Stripe lacks.
func (d *doctor) missing(address string, events []string) []Finding {
	var found []Finding
	if strings.HasPrefix(address, "http://") {
		found = append(found, failure("", "the webhook endpoint "+address+" is plain HTTP, which the edge refuses", "change it to https:// in Stripe's dashboard"))
	}
	var lacking []string
	for _, name := range stripeEvents {
		if !slices.Contains(events, name) && !slices.Contains(events, "*") {
			lacking = append(lacking, name)
		}
	}
	if len(lacking) > 0 {
		found = append(found, failure("", "the webhook endpoint "+address+" does not send "+strings.Join(lacking, ", "), "add these events in Stripe's dashboard"))
	}
	return found
}

// mailServer connects to the mail server, encrypts and signs in. It sends no mail.
func (d *doctor) mailServer(ctx context.Context) []Finding {
	if !d.real("email") {
		return d.skipAll(d.absent("email"))
	}
	if err := billing.CheckMail(ctx, d.config.Billing); err != nil {
		return []Finding{failure("SMTP_ADDR", "mails cannot be sent: "+err.Error(), "check SMTP_ADDR, SMTP_TLS, SMTP_USERNAME and SMTP_PASSWORD, and the firewall of this machine")}
	}
	return nil
}

// clock compares this machine's clock with those of the providers that answered.
func (d *doctor) clock(context.Context) []Finding {
	if len(d.skews) == 0 {
		return d.skipAll("no provider was asked, or none answered with its time")
	}
	titles, most := []string{}, time.Duration(0)
	for title, skew := range d.skews {
		if skew.Abs() > maxSkew {
			titles, most = append(titles, title), max(most, skew.Abs())
		}
	}
	if len(titles) == 0 {
		return nil
	}
	slices.Sort(titles)
	return []Finding{failure("", fmt.Sprintf("this machine's clock differs by %s from that of %s: webhooks and session tokens would be refused",
		most.Round(time.Second), strings.Join(titles, ", ")), "synchronize the clock by NTP")}
}
