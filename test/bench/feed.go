package main

import (
	_ "embed"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/sandbox"
	"github.com/trivet-dev/trivet/sandbox/clerk"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

var (
	//go:embed user.updated.json
	userUpdated string
	//go:embed customer.updated.json
	customerUpdated string
)

// feed chooses what is offered next: the same seed chooses the same. Its webhooks are about Clerk users, each with a
// later updated_at, and about Stripe customers.
type feed struct {
	random     *rand.Rand
	clerkShare float64
	users      []string
	customers  []string
	begun      time.Time
	made       int
}

func newFeed(o webhookOptions, customers []string, begun time.Time) *feed {
	f := &feed{
		random: rand.New(rand.NewPCG(o.seed, 1)), clerkShare: o.clerkShare, customers: customers, begun: begun, //nolint:gosec // it must repeat
	}
	for range o.users {
		f.users = append(f.users, fmt.Sprintf("user_2bench%016x", f.random.Uint64()))
	}
	return f
}

// draft is a webhook before its body is written.
type draft struct {
	clerk   bool
	subject string
	number  int
	at      time.Time // of the change that it tells of
}

func (f *feed) next() draft {
	d := draft{number: f.made, at: f.begun.Add(time.Duration(f.made) * time.Millisecond)}
	f.made++
	if d.clerk = f.random.Float64() < f.clerkShare; d.clerk {
		d.subject = f.users[f.random.IntN(len(f.users))]
	} else {
		d.subject = f.customers[f.random.IntN(len(f.customers))]
	}
	return d
}

// source is the provider's name in Trivet's metrics and addresses.
func (d draft) source() string {
	if d.clerk {
		return "clerk"
	}
	return "stripe"
}

// write makes the body, as the provider does, and signs it as of now.
func (d draft) write(now time.Time) (http.Header, string, error) {
	number := strconv.Itoa(d.number)
	if d.clerk {
		body := strings.NewReplacer("$USER", d.subject, "$NUMBER", number, "$INSTANCE", clerk.DefaultInstanceID,
			"$TIME", strconv.FormatInt(d.at.UnixMilli(), 10)).Replace(userUpdated)
		header, err := webhook.Svix([]string{sandbox.ClerkWebhookSecret}, fmt.Sprintf("msg_2bench%020d", d.number), now, []byte(body))
		return header, body, err
	}
	event := fmt.Sprintf("evt_1bench%018d", d.number)
	body := strings.NewReplacer("$EVENT", event, "$CUSTOMER", d.subject, "$NUMBER", number,
		"$SECONDS", strconv.FormatInt(d.at.Unix(), 10)).Replace(customerUpdated)
	header, err := webhook.Stripe([]string{sandbox.StripeWebhookSecret}, event, now, []byte(body))
	return header, body, err
}
