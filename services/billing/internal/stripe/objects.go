package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	sdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/form"

	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

const (
	// readTimeout limits one read, so that an attempt at an event has time left to write the result.
	readTimeout = 20 * time.Second
	// embeddedPages limits how many pages of 100 rows are read of a list inside an object. Stripe's own limits are lower.
	embeddedPages = 50
)

// raw is an object as received. A later version of the SDK's types must not change what is stored.
type raw struct {
	sdk.APIResource
}

// path returns the path of the objects of a kind.
func path(kind mirror.Kind) (string, error) {
	switch kind {
	case mirror.Customer:
		return "/v1/customers", nil
	case mirror.Product:
		return "/v1/products", nil
	case mirror.Price:
		return "/v1/prices", nil
	case mirror.Subscription:
		return "/v1/subscriptions", nil
	case mirror.Invoice:
		return "/v1/invoices", nil
	case mirror.Schedule:
		return "/v1/subscription_schedules", nil
	case mirror.CreditNote:
		return "/v1/credit_notes", nil
	case mirror.CheckoutSession:
		return "/v1/checkout/sessions", nil
	case mirror.PaymentMethod:
		return "/v1/payment_methods", nil
	case mirror.Refund:
		return "/v1/refunds", nil
	case mirror.Dispute:
		return "/v1/disputes", nil
	}
	return "", fmt.Errorf("stripe: objects of the kind %q are not read", kind)
}

// Get fetches an object, with all rows of the lists in it. Errors: mirror.ErrGone, *mirror.LaterError, *mirror.SilentError.
func (c *Client) Get(ctx context.Context, kind mirror.Kind, id string) (body []byte, err error) {
	base, err := path(kind)
	if err != nil {
		return nil, err
	}
	if !mirror.ValidID(id) {
		return nil, fmt.Errorf("stripe: %q is not an id", id)
	}
	at := base + "/" + url.PathEscape(id)
	var values *form.Values
	if kind == mirror.CheckoutSession { // Stripe returns the purchased items only on request
		values = &form.Values{}
		values.Add("expand[]", "line_items")
	}
	if body, err = c.read(ctx, at, values, false); err != nil {
		return nil, err
	}
	switch kind { //nolint:exhaustive // others have no lists in them
	case mirror.Subscription:
		values = &form.Values{}
		values.Add("subscription", id)
		return c.whole(ctx, body, "items", "/v1/subscription_items", values)
	case mirror.Invoice, mirror.CreditNote:
		return c.whole(ctx, body, "lines", at+"/lines", &form.Values{})
	case mirror.CheckoutSession:
		return c.whole(ctx, body, "line_items", at+"/line_items", &form.Values{})
	}
	return body, nil
}

// whole replaces a list inside an object, of which Stripe returns the first ten rows, by all rows.
func (c *Client) whole(ctx context.Context, body []byte, field, at string, values *form.Values) ([]byte, error) {
	var object, list map[string]json.RawMessage
	if json.Unmarshal(body, &object) != nil || json.Unmarshal(object[field], &list) != nil || string(list["has_more"]) != "true" {
		return body, nil
	}
	rows, more, err := c.rows(ctx, at, values)
	if errors.Is(err, mirror.ErrGone) {
		return nil, errors.New("stripe: the object was deleted while it was read") // the next attempt finds out
	}
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]any{"data": rows, "has_more": more} {
		if list[name], err = json.Marshal(value); err != nil {
			return nil, errors.New("stripe: a list of rows cannot be stored")
		}
	}
	if object[field], err = json.Marshal(list); err != nil {
		return nil, errors.New("stripe: a list of rows cannot be stored")
	}
	return json.Marshal(object)
}

// rows reads a complete list. more is true when the list is longer than the limit.
func (c *Client) rows(ctx context.Context, at string, values *form.Values) (rows []json.RawMessage, more bool, err error) {
	values.Add("limit", "100")
	for range embeddedPages {
		page, err := c.page(ctx, at, values)
		if err != nil {
			return nil, false, err
		}
		for _, body := range page.Bodies {
			rows = append(rows, body)
		}
		if !page.More || len(page.Bodies) == 0 {
			return rows, false, nil
		}
		var last struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(page.Bodies[len(page.Bodies)-1], &last) != nil || last.ID == "" {
			return nil, false, errors.New("stripe: a list of rows cannot be read")
		}
		values.Set("starting_after", last.ID)
	}
	return rows, true, nil
}

// List reads a page of the objects of a kind, newest first. Payment methods need the query's Customer. Errors: mirror.ErrGone when the customer or charge of the query was deleted, *mirror.LaterError, *mirror.SilentError.
func (c *Client) List(ctx context.Context, q mirror.Query) (page mirror.Page, err error) {
	base, err := path(q.Kind)
	if err != nil {
		return mirror.Page{}, err
	}
	values := since(q.Since)
	for name, value := range map[string]string{"starting_after": q.After, "customer": q.Customer, "charge": q.Charge} {
		if value != "" {
			values.Add(name, value)
		}
	}
	switch q.Kind { //nolint:exhaustive // others are listed as they are
	case mirror.Subscription:
		values.Add("status", "all") // cancelled ones too
	case mirror.CheckoutSession:
		values.Add("expand[]", "data.line_items")
	}
	return c.page(ctx, base, values)
}

// Events reads a page of the events since a time, newest first, after the event with the given id if any. Stripe keeps events
// for 30 days. Errors: mirror.ErrGone when Stripe no longer has that event, *mirror.LaterError, *mirror.SilentError.
func (c *Client) Events(ctx context.Context, from time.Time, after string) (page mirror.Page, err error) {
	values := since(from)
	if after != "" {
		values.Add("starting_after", after)
	}
	return c.page(ctx, "/v1/events", values)
}

// since returns the parameters of a list with 100 rows per page.
func since(from time.Time) *form.Values {
	values := &form.Values{}
	values.Add("limit", "100")
	if !from.IsZero() {
		values.Add("created[gte]", fmt.Sprint(from.Unix()))
	}
	return values
}

// page reads one page of a list.
func (c *Client) page(ctx context.Context, at string, values *form.Values) (page mirror.Page, err error) {
	body, err := c.read(ctx, at, values, true)
	if err != nil {
		return mirror.Page{}, err
	}
	var list struct {
		Object string            `json:"object"`
		Data   []json.RawMessage `json:"data"`
		More   bool              `json:"has_more"`
	}
	if json.Unmarshal(body, &list) != nil || list.Object != "list" {
		return mirror.Page{}, errors.New("stripe: the list of objects cannot be read")
	}
	page.More = list.More
	for _, one := range list.Data {
		page.Bodies = append(page.Bodies, one)
	}
	return page, nil
}

// read waits for the rate limit and makes one call. For a list, a parameter may name the missing object.
func (c *Client) read(ctx context.Context, path string, values *form.Values, list bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.readTimeout)
	defer cancel()
	if err := c.reads.Wait(ctx); err != nil {
		return nil, &mirror.SilentError{Err: fmt.Errorf("stripe: STRIPE_READS_PER_SECOND left no time for this read: %w", err)}
	}
	ctx, heard := listen(ctx)
	object := &raw{}
	err := c.backend.CallRaw(http.MethodGet, path, c.key, values, &sdk.Params{Context: ctx}, object)
	c.note(err)
	if err != nil {
		return nil, heard.later(heard.translateRead(err, list))
	}
	return object.LastResponse.RawJSON, nil
}

// translateRead distinguishes a missing object from errors that a retry may resolve.
func (a *answer) translateRead(err error, list bool) error {
	var api *sdk.Error
	if !errors.As(err, &api) {
		return &mirror.SilentError{Err: a.unread(err)}
	}
	what := strings.TrimSpace(provider.LogCode(string(api.Type)) + " " + provider.LogCode(string(api.Code)))
	said := fmt.Errorf("stripe answered %d %s (request %s)", api.HTTPStatusCode, what, api.RequestID)
	switch {
	case missing(api, list):
		return fmt.Errorf("%w: %w", mirror.ErrGone, said)
	case api.HTTPStatusCode == http.StatusUnauthorized, api.HTTPStatusCode == http.StatusForbidden:
		return fmt.Errorf("%w: %w", mirror.ErrRefused, said)
	case api.HTTPStatusCode == http.StatusTooManyRequests, api.HTTPStatusCode >= http.StatusInternalServerError:
		return &mirror.SilentError{Err: said}
	}
	return said
}
