package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"syscall"
	"time"

	standin "github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// webhookEvent is a provider's event that the test sends itself.
type webhookEvent struct {
	source, id string
	body       []byte
}

// clerkEvent is an event about a Clerk object.
func clerkEvent(id, kind string, object any) (webhookEvent, error) {
	body, err := json.Marshal(map[string]any{"object": "event", "type": kind, "timestamp": time.Now().UnixMilli(), "data": object})
	return webhookEvent{source: "clerk", id: id, body: body}, err
}

// stripeEvent is an event about a Stripe object.
func stripeEvent(id, kind string, object any) (webhookEvent, error) {
	body, err := json.Marshal(map[string]any{
		"id": id, "object": "event", "api_version": "2023-10-16", "created": time.Now().Unix(), "livemode": false, "type": kind,
		"data": map[string]any{"object": object},
	})
	return webhookEvent{source: "stripe", id: id, body: body}, err
}

// sign returns the headers of one attempt. Each attempt has its own time.
func (l webhookEvent) sign() (http.Header, error) {
	if l.source == "clerk" {
		return webhook.Svix([]string{standin.ClerkWebhookSecret}, l.id, time.Now(), l.body)
	}
	return webhook.Stripe([]string{standin.StripeWebhookSecret}, l.id, time.Now(), l.body)
}

// sender delivers events as a provider does, but retries until each is acknowledged. It records the acknowledged events.
type sender struct {
	edge   string
	client *http.Client

	mu           sync.Mutex
	acknowledged map[string]map[string]bool // ids by source
	attempts     int
	unknown      int         // attempts that were cut off, with an unknown result
	answers      map[int]int // by status
}

func newSender(edge string) *sender {
	return &sender{
		edge: edge,
		// A provider waits 15 s. A later answer counts as a failure.
		client:       &http.Client{Timeout: webhook.Timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 200}},
		acknowledged: map[string]map[string]bool{"clerk": {}, "stripe": {}}, answers: map[int]int{},
	}
}

// send makes one attempt. It returns an error when there was no answer.
func (c *sender) send(ctx context.Context, l webhookEvent) (answer, error) {
	headers, err := l.sign()
	if err != nil {
		return answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.edge+"/api/webhooks/"+l.source, bytes.NewReader(l.body))
	if err != nil {
		return answer{}, err
	}
	maps.Copy(request.Header, headers)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.client.Do(request)
	if err != nil {
		c.note(l, 0, err)
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	c.note(l, response.StatusCode, err) // a provider reads only the status
	return answer{status: response.StatusCode, header: response.Header, body: text, err: err}, nil
}

func (c *sender) note(l webhookEvent, status int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts++
	switch {
	case status != 0:
		c.answers[status]++
	case !errors.Is(err, syscall.ECONNREFUSED):
		c.unknown++
	}
	if status == http.StatusOK {
		c.acknowledged[l.source][l.id] = true
	}
}

// deliver sends an event until it is acknowledged. It retries after a 503 and after no answer. Any other answer is an error,
// because providers disable an endpoint that answers like that.
func (c *sender) deliver(ctx context.Context, l webhookEvent) error {
	for {
		a, err := c.send(ctx, l)
		switch {
		case err == nil && a.status == http.StatusOK:
			return nil
		case err == nil && a.status != http.StatusServiceUnavailable:
			return fmt.Errorf("%s %s was answered %d: %s", l.source, l.id, a.status, a.body)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s %s was never acknowledged: %w", l.source, l.id, errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// deliverAll delivers events concurrently.
func (c *sender) deliverAll(ctx context.Context, events []webhookEvent) error {
	failed := make(chan error, len(events))
	for _, l := range events {
		go func() { failed <- c.deliver(ctx, l) }()
	}
	var all []error
	for range events {
		all = append(all, <-failed)
	}
	return errors.Join(all...)
}

// count returns how many events were acknowledged.
func (c *sender) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acknowledged["clerk"]) + len(c.acknowledged["stripe"])
}

func (c *sender) answered(status int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers[status]
}

// String summarizes the attempts.
func (c *sender) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d Clerk events and %d Stripe events acknowledged in %d attempts; answers by status %v, %d attempts cut off",
		len(c.acknowledged["clerk"]), len(c.acknowledged["stripe"]), c.attempts, c.answers, c.unknown)
}
