package stripe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	sdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/form"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// readTimeout bounds one read, so that an attempt at an event has time left to write what it read.
const readTimeout = 20 * time.Second

// raw is an object as it came: later versions of the SDK's types must not change what is kept.
type raw struct {
	sdk.APIResource
}

// path is where objects of a kind are.
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

// Get fetches an object. Errors: mirror.ErrGone.
func (c *Client) Get(ctx context.Context, kind mirror.Kind, id string) (body []byte, err error) {
	base, err := path(kind)
	if err != nil {
		return nil, err
	}
	return c.read(ctx, sdk.FormatURLPath(base+"/%s", id), nil)
}

// List reads a page of a kind's objects, newest first: those made since then, unless it is zero, and after the one with
// that id, unless it is empty. The customer is needed for payment methods, and narrows other kinds.
func (c *Client) List(ctx context.Context, q mirror.Query) (page mirror.Page, err error) {
	base, err := path(q.Kind)
	if err != nil {
		return mirror.Page{}, err
	}
	values := &form.Values{}
	values.Add("limit", "100")
	if q.After != "" {
		values.Add("starting_after", q.After)
	}
	if q.Customer != "" {
		values.Add("customer", q.Customer)
	}
	if q.Kind == mirror.Subscription {
		values.Add("status", "all") // cancelled ones too
	}
	if !q.Since.IsZero() {
		values.Add("created[gte]", fmt.Sprint(q.Since.Unix()))
	}
	body, err := c.read(ctx, base, values)
	if err != nil {
		return mirror.Page{}, err
	}
	var list struct {
		Data []json.RawMessage `json:"data"`
		More bool              `json:"has_more"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return mirror.Page{}, errors.New("stripe: the list of objects can't be read")
	}
	page.More = list.More
	for _, one := range list.Data {
		page.Bodies = append(page.Bodies, one)
	}
	return page, nil
}

// read waits for its turn and makes one call.
func (c *Client) read(ctx context.Context, path string, values *form.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := c.reads.Wait(ctx); err != nil {
		return nil, fmt.Errorf("stripe: too many reads wait for their turn: %w", err)
	}
	answer := &raw{}
	err := c.backend.CallRaw(http.MethodGet, path, c.key, values, &sdk.Params{Context: ctx}, answer)
	c.health.note(err)
	if err != nil {
		return nil, translateRead(err)
	}
	return answer.LastResponse.RawJSON, nil
}

// translateRead tells an object that isn't there from all that another attempt may mend.
func translateRead(err error) error {
	var api *sdk.Error
	if !errors.As(err, &api) {
		return fmt.Errorf("stripe did not answer: %w", err)
	}
	said := fmt.Errorf("stripe answered %d %s %s (request %s)", api.HTTPStatusCode, api.Type, api.Code, api.RequestID)
	switch {
	case api.HTTPStatusCode == http.StatusNotFound && api.Code == sdk.ErrorCodeResourceMissing:
		return fmt.Errorf("%w: %w", mirror.ErrGone, said)
	case api.HTTPStatusCode == http.StatusUnauthorized:
		return fmt.Errorf("STRIPE_SECRET_KEY is refused: %w", said)
	}
	return said
}
