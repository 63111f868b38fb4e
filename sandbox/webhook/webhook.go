// Package webhook delivers signed events to HTTP endpoints as a provider does, with its headers, retries and timeout. On
// demand, events are lost, late, duplicated or reordered.
package webhook

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The bounds of a [Sender].
const (
	// MaxEndpoints is how many endpoints it knows.
	MaxEndpoints = 16
	// MaxPending is how many deliveries wait; more are dropped.
	MaxPending = 50_000
	// MaxFinished is how many finished deliveries it remembers; the oldest is forgotten first.
	MaxFinished = 10_000
	// maxPendingBytes bounds the bodies that wait, maxFinishedBytes those that are remembered.
	maxPendingBytes  = 256 << 20
	maxFinishedBytes = 64 << 20
	// maxSecrets is how many secrets sign one delivery while they rotate.
	maxSecrets = 4
)

// Event is one message for all endpoints.
type Event struct {
	// ID is the same in every attempt and every copy: svix-id, or Stripe's evt_….
	ID string
	// Type is such as "user.created".
	Type string
	// Subject is the identifier of the object that changed; it only serves lists.
	Subject string
	// Body is what is signed and sent.
	Body []byte
}

// Endpoint is where events go.
type Endpoint struct {
	// ID is given by [Sender.Add].
	ID string
	// URL takes the POST requests.
	URL string
	// Secrets sign; several, newest first, while they rotate.
	Secrets []string
	// Types narrows the endpoint to these types of events; empty takes all.
	Types []string
}

func (e Endpoint) wants(kind string) bool { return len(e.Types) == 0 || slices.Contains(e.Types, kind) }

// check returns an error that names the first invalid field.
func (e Endpoint) check(sign Signer) error {
	u, err := url.Parse(e.URL)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return fmt.Errorf("url %q must be an absolute http or https address", e.URL)
	case u.User != nil:
		return errors.New("url must not carry a user or a password")
	case len(e.Secrets) == 0 || len(e.Secrets) > maxSecrets:
		return fmt.Errorf("an endpoint needs 1 to %d secrets, got %d", maxSecrets, len(e.Secrets))
	}
	_, err = sign(e.Secrets, "check", time.Unix(0, 0), nil)
	return err
}

// State is the state of a delivery.
type State string

// The states. Pending and Sending come before the others, which are final.
const (
	// Pending waits for its time: the first attempt, or the next.
	Pending State = "pending"
	// Sending is on its way.
	Sending State = "sending"
	// Delivered got a 2xx answer.
	Delivered State = "delivered"
	// Failed has used up its attempts.
	Failed State = "failed"
	// Lost was never sent, as the [Settings] asked.
	Lost State = "lost"
	// Dropped was discarded: the queue was full, or the endpoint was removed.
	Dropped State = "dropped"
)

// states are all of them, in the order in which they come about.
func states() []State { return []State{Pending, Sending, Delivered, Failed, Lost, Dropped} }

// StateNames lists all states for people.
func StateNames() string {
	var names []string
	for _, s := range states() {
		names = append(names, string(s))
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// Known reports whether s is a state, or empty, which means all.
func (s State) Known() bool { return s == "" || slices.Contains(states(), s) }

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	// ID names the delivery; a copy of an event has its own.
	ID string
	// EventID, Type and Subject are the event's.
	EventID, Type, Subject string
	// Endpoint is the endpoint's identifier.
	Endpoint string
	// State is its state.
	State State
	// Attempts is how often it was sent.
	Attempts int
	// Status is the HTTP status of the last answer; zero when there was none.
	Status int
	// Error says why the last attempt failed; empty when it did not.
	Error string
	// CreatedAt is when the event came, NextAt when the next attempt is due; zero if none exists.
	CreatedAt, NextAt time.Time
}
