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

// letter is an event of a provider's that a test sends itself.
type letter struct {
	source, id string
	body       []byte
}

// clerkLetter is an event about a Clerk object.
func clerkLetter(id, kind string, object any) (letter, error) {
	body, err := json.Marshal(map[string]any{"object": "event", "type": kind, "timestamp": time.Now().UnixMilli(), "data": object})
	return letter{source: "clerk", id: id, body: body}, err
}

// stripeLetter is an event about a Stripe object.
func stripeLetter(id, kind string, object any) (letter, error) {
	body, err := json.Marshal(map[string]any{
		"id": id, "object": "event", "api_version": "2023-10-16", "created": time.Now().Unix(), "livemode": false, "type": kind,
		"data": map[string]any{"object": object},
	})
	return letter{source: "stripe", id: id, body: body}, err
}

// sign makes the headers of an attempt; each has its own time.
func (l letter) sign() (http.Header, error) {
	if l.source == "clerk" {
		return webhook.Svix([]string{standin.ClerkWebhookSecret}, l.id, time.Now(), l.body)
	}
	return webhook.Stripe([]string{standin.StripeWebhookSecret}, l.id, time.Now(), l.body)
}

// courier delivers letters as a provider does, but never gives up: each is sent until it is acknowledged. It remembers what was.
type courier struct {
	edge   string
	client *http.Client

	mu           sync.Mutex
	acknowledged map[string]map[string]bool // ids by source
	attempts     int
	unknown      int         // attempts that were cut: nobody knows what came of them
	answers      map[int]int // by status
}

func newCourier(edge string) *courier {
	return &courier{
		edge: edge,
		// A provider waits for 15 s; what answers later has failed.
		client:       &http.Client{Timeout: webhook.Timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 200}},
		acknowledged: map[string]map[string]bool{"clerk": {}, "stripe": {}}, answers: map[int]int{},
	}
}

// send makes one attempt. The error says that there was no answer.
func (c *courier) send(ctx context.Context, l letter) (answer, error) {
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
	c.note(l, response.StatusCode, err) // a provider goes by the status
	return answer{status: response.StatusCode, header: response.Header, body: text, err: err}, nil
}

func (c *courier) note(l letter, status int, err error) {
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

// deliver sends a letter until it is acknowledged. Only 503 and no answer at all are taken for "not now": a provider gives an
// endpoint up that answers otherwise.
func (c *courier) deliver(ctx context.Context, l letter) error {
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

// deliverAll delivers letters at once.
func (c *courier) deliverAll(ctx context.Context, letters []letter) error {
	failed := make(chan error, len(letters))
	for _, l := range letters {
		go func() { failed <- c.deliver(ctx, l) }()
	}
	var all []error
	for range letters {
		all = append(all, <-failed)
	}
	return errors.Join(all...)
}

// count returns how many letters were acknowledged.
func (c *courier) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acknowledged["clerk"]) + len(c.acknowledged["stripe"])
}

func (c *courier) answered(status int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers[status]
}

// String tells how it went.
func (c *courier) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d of Clerk's and %d of Stripe's acknowledged in %d attempts; answers by status %v, %d attempts cut",
		len(c.acknowledged["clerk"]), len(c.acknowledged["stripe"]), c.attempts, c.answers, c.unknown)
}
