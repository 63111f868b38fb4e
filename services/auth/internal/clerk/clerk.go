// Package clerk reads users and organizations from Clerk's Backend API, and its webhooks. Only this package imports Clerk's SDK.
package clerk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/organization"
	"github.com/clerk/clerk-sdk-go/v2/organizationmembership"
	"github.com/clerk/clerk-sdk-go/v2/organizationrole"

	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// Client reads from one Clerk instance.
type Client struct {
	address string
	http    *http.Client
	keys    atomic.Pointer[[]keyed]
	now     func() time.Time
}

// keyed are the SDK's clients with one secret key.
type keyed struct {
	backend       clerk.Backend // for what the SDK's clients do not read
	organizations *organization.Client
	memberships   *organizationmembership.Client
	roles         *organizationrole.Client
}

var _ directory.Source = (*Client)(nil)

// New makes a client. The address ends in "/v1"; secret keys are tried newest first.
func New(address string, secretKeys []string, http *http.Client, now func() time.Time) *Client {
	c := &Client{address: address, http: http, now: now}
	c.SetKeys(secretKeys)
	return c
}

// SetKeys puts other secret keys in place of the present ones. Calls that run keep theirs.
func (c *Client) SetKeys(secretKeys []string) {
	keys := make([]keyed, 0, len(secretKeys))
	for _, secret := range secretKeys {
		config := &clerk.ClientConfig{BackendConfig: clerk.BackendConfig{HTTPClient: c.http, URL: &c.address, Key: &secret}}
		keys = append(keys, keyed{
			backend: clerk.NewBackend(&config.BackendConfig), organizations: organization.NewClient(config),
			memberships: organizationmembership.NewClient(config), roles: organizationrole.NewClient(config),
		})
	}
	c.keys.Store(&keys)
}

// User reads one user. Errors: directory.ErrNotFound, *directory.RetryError, others.
func (c *Client) User(ctx context.Context, id string) (directory.User, error) {
	told := c.now()
	u, err := call(*c.keys.Load(), func(k keyed) (*userResource, error) {
		u := &userResource{}
		return u, k.backend.Call(ctx, clerk.NewAPIRequest(http.MethodGet, "/users/"+url.PathEscape(id)), u)
	})
	if err != nil {
		return directory.User{}, fmt.Errorf("read user %s from Clerk: %w", id, err)
	}
	if u.ID != id {
		return directory.User{}, fmt.Errorf("read user %s from Clerk: the response is about another object", id)
	}
	return userOf(u, told), nil
}

// Organization reads one organization. Errors: as of User.
func (c *Client) Organization(ctx context.Context, id string) (directory.Organization, error) {
	told := c.now()
	o, err := call(*c.keys.Load(), func(k keyed) (*clerk.Organization, error) { return k.organizations.Get(ctx, url.PathEscape(id)) })
	if err != nil {
		return directory.Organization{}, fmt.Errorf("read organization %s from Clerk: %w", id, err)
	}
	if o.ID != id {
		return directory.Organization{}, fmt.Errorf("read organization %s from Clerk: the response is about another object", id)
	}
	return organizationOf(o, told), nil
}

// call tries the next secret key when Clerk rejects one, as happens during a rotation.
func call[T any](keys []keyed, do func(keyed) (T, error)) (result T, err error) {
	err = errors.New("CLERK_SECRET_KEY is not set")
	for _, k := range keys {
		result, err = do(k)
		if status := statusOf(err); status != http.StatusUnauthorized && status != http.StatusForbidden {
			break
		}
	}
	return result, translate(err)
}

func statusOf(err error) int {
	if answer, ok := errors.AsType[*clerk.APIErrorResponse](err); ok {
		return answer.HTTPStatusCode
	}
	return 0
}

// translate keeps of an error what is useful: the SDK's text is the whole body of the answer, or a page of HTML.
func translate(err error) error {
	if err == nil {
		return nil
	}
	answer, ok := errors.AsType[*clerk.APIErrorResponse](err)
	if !ok {
		return shortened(err)
	}
	switch status := answer.HTTPStatusCode; {
	case status == http.StatusNotFound:
		return directory.ErrNotFound
	case status == http.StatusForbidden && firstCode(answer) == "organization_not_enabled_in_instance":
		return directory.ErrNoOrganizations
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Errorf("%w (%d %s)", directory.ErrKeyRefused, status, firstCode(answer))
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return &directory.RetryError{After: retryAfter(answer), Cause: fmt.Errorf("the answer of Clerk is %d", status)}
	default:
		return fmt.Errorf("the answer of Clerk is %d (%s)", status, firstCode(answer))
	}
}

func firstCode(answer *clerk.APIErrorResponse) string {
	if len(answer.Errors) == 0 {
		return "no code"
	}
	return provider.LogCode(answer.Errors[0].Code)
}

// retryAfter is 0 when Clerk does not say.
func retryAfter(answer *clerk.APIErrorResponse) time.Duration {
	if answer.Response == nil {
		return 0
	}
	seconds, err := strconv.ParseUint(answer.Response.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

const maxErrorText = 200

// shortened is for network errors, and for responses that are not API errors. A retry may succeed.
func shortened(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if held, ok := errors.AsType[*provider.OpenError](err); ok {
		return &directory.RetryError{After: held.Wait, Cause: held}
	}
	if full, ok := errors.AsType[*provider.BusyError](err); ok {
		return &directory.RetryError{After: time.Second, Cause: full}
	}
	text := err.Error()
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "…"
	}
	return &directory.RetryError{Cause: errors.New(text)}
}
