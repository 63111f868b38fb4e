// Package stripe calls Stripe at API version 2023-10-16. It is the only importer of Stripe's SDK.
package stripe

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	sdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/customer"
	"golang.org/x/time/rate"

	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/mailing"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
)

// metadataAccount is the metadata key of a customer that holds the id of its account.
const metadataAccount = "trivet_account"

// timeout limits one call, including its body.
const timeout = 30 * time.Second

// findPages limits a search, in pages of 100 customers.
const findPages = 200

// Config says how Stripe is reached.
type Config struct {
	// Key is the secret API key.
	Key settings.Secret
	// URL is the API's address, such as https://api.stripe.com.
	URL string
	// HTTP makes the calls.
	HTTP *http.Client
	// Health records the results of calls; nil makes a new one.
	Health *health.Provider
	// Logger gets the SDK's warnings.
	Logger *slog.Logger
	// ReadsPerSecond limits the fetches of objects. 0 means LiveReads for a live key and TestReads otherwise, which leaves part
	// of Stripe's limit to others.
	ReadsPerSecond int
	// ReadTimeout limits one fetch with its repetitions; 0 means 20 s.
	ReadTimeout time.Duration
	// Transport is where the calls of HTTP lead, and what counts retries; nil means no retries.
	Transport *provider.Transport
	// Tries are the most attempts of a call, and RetryDelay is the longest pause before the first repetition.
	Tries      int
	RetryDelay time.Duration
}

const (
	// LiveReads per second stay below the limit of about 100 that Stripe sets in live mode.
	LiveReads = 80
	// TestReads per second stay below Stripe's limit of 25 in test mode.
	TestReads = 20
)

// readsOf returns the default for a key.
func readsOf(key string) int {
	if _, rest, _ := strings.Cut(key, "_"); strings.HasPrefix(rest, "live_") {
		return LiveReads
	}
	return TestReads
}

// Client calls Stripe. It implements customers.Provider, mirror.Source and mirror.Lister.
type Client struct {
	customers customer.Client
	backend   sdk.Backend
	key       string
	reads     *rate.Limiter
	health    *health.Provider
	// readTimeout limits one read.
	readTimeout time.Duration
}

// New makes a client. It makes no call.
func New(c Config) *Client {
	reads := cmp.Or(c.ReadsPerSecond, readsOf(c.Key.Reveal()))
	limiter := rate.NewLimiter(rate.Limit(reads), max(reads/10, 1))
	backend := sdk.GetBackendWithConfig(sdk.APIBackend, &sdk.BackendConfig{
		URL: sdk.String(strings.TrimRight(c.URL, "/")), HTTPClient: listening(patient(c, limiter)), LeveledLogger: leveled{c.Logger},
		// The SDK ignores the context while it sleeps between retries. The transport repeats calls instead.
		MaxNetworkRetries: sdk.Int64(0),
		EnableTelemetry:   sdk.Bool(false),
	})
	key := c.Key.Reveal()
	return &Client{
		customers: customer.Client{B: backend, Key: key}, backend: backend, key: key, health: cmp.Or(c.Health, health.NewProvider(time.Now)),
		reads: limiter, readTimeout: cmp.Or(c.ReadTimeout, readTimeout),
	}
}

// Create creates the account's customer. It is idempotent by key.
func (c *Client) Create(ctx context.Context, accountID, key string) (string, error) {
	params := &sdk.CustomerParams{Description: sdk.String("Trivet account " + accountID)}
	params.AddMetadata(metadataAccount, accountID)
	params.SetIdempotencyKey(key)
	made, err := call(ctx, c, &params.Context, func() (*sdk.Customer, error) { return c.customers.New(params) })
	if err != nil {
		return "", err
	}
	return made.ID, nil
}

// metadataMail is the metadata key of a customer that wants no mails: its value is "off".
const metadataMail = "trivet_mail"

// Recipient reads where a customer's mails go. A customer that Stripe does not have has no address. Errors: those of package outcome.
func (c *Client) Recipient(ctx context.Context, id string) (mailing.Recipient, error) {
	if err := c.reads.Wait(ctx); err != nil {
		return mailing.Recipient{}, err
	}
	params := &sdk.CustomerParams{}
	found, err := call(ctx, c, &params.Context, func() (*sdk.Customer, error) { return c.customers.Get(id, params) })
	if outcome.Missing(err) || err == nil && found.Deleted {
		return mailing.Recipient{}, nil
	}
	if err != nil {
		return mailing.Recipient{}, err
	}
	return mailing.Recipient{Address: found.Email, OptedOut: found.Metadata[metadataMail] == "off"}, nil
}

// Delete deletes a customer, which cancels its subscriptions. A customer that Stripe does not have is deleted.
func (c *Client) Delete(ctx context.Context, id string) error {
	params := &sdk.CustomerParams{}
	_, err := call(ctx, c, &params.Context, func() (*sdk.Customer, error) { return c.customers.Del(id, params) })
	if outcome.Missing(err) {
		return nil
	}
	return err
}

// Find searches for the account's customer among those created since a time. It returns "" if the search finds no customer.
func (c *Client) Find(ctx context.Context, accountID string, since time.Time) (string, error) {
	params := &sdk.CustomerListParams{CreatedRange: &sdk.RangeQueryParams{GreaterThanOrEqual: since.Unix()}}
	params.Limit = sdk.Int64(100)
	params.Single = true
	for range findPages {
		page, err := c.customersPage(ctx, params)
		if err != nil {
			return "", err
		}
		for _, found := range page.Data {
			if found.Metadata[metadataAccount] == accountID {
				return found.ID, nil
			}
			params.StartingAfter = sdk.String(found.ID)
		}
		if !page.HasMore || len(page.Data) == 0 {
			return "", nil
		}
	}
	return "", fmt.Errorf("stripe: more than %d customers were made since %s: set the metadata %s=%s on the right one, or remove newer ones",
		findPages*100, since.Format(time.DateOnly), metadataAccount, accountID)
}

func (c *Client) customersPage(ctx context.Context, params *sdk.CustomerListParams) (*sdk.CustomerList, error) {
	return call(ctx, c, &params.Context, func() (*sdk.CustomerList, error) {
		list := c.customers.List(params)
		return list.CustomerList(), list.Err()
	})
}
