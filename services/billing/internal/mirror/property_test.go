package mirror_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/sandbox/webhook"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
)

// both runs a test on both databases, with the tables of the inbox and of jobs too.
func both(t *testing.T, test func(t *testing.T, db *database.DB)) {
	t.Helper()
	databasetest.EachOf(t, billingtest.Migrations(), test)
}

// empty makes a database as good as new: each example has a Stripe of its own, which gives the same ids again.
func empty(t tester, db *database.DB) {
	t.Helper()
	require.NoError(t, db.Write(context.Background(), "", func(ctx context.Context, tx database.Tx) error {
		for _, statement := range []string{
			"DELETE FROM stripe_object", "DELETE FROM inbox_event", "DELETE FROM inbox_payload", "DELETE FROM inbox_subject", "DELETE FROM inbox_failure",
			"DELETE FROM job_lease",
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}))
}

// user does what people do at Stripe. What is refused is refused: only what comes of it counts.
type user struct {
	*replica
	rt *rapid.T
}

func (u user) pick(path string) string {
	ids := u.ids(path)
	if len(ids) == 0 {
		return "none"
	}
	return rapid.SampledFrom(ids).Draw(u.rt, "one of "+path)
}

func (u user) oneOf(values ...string) string { return rapid.SampledFrom(values).Draw(u.rt, "one of") }

func (u user) customer() string     { return u.pick("/v1/customers?") }
func (u user) price() string        { return u.pick("/v1/prices?") }
func (u user) subscription() string { return u.pick("/v1/subscriptions?status=all&") }
func (u user) invoice() string      { return u.pick("/v1/invoices?") }
func (u user) charge() string       { return u.pick("/v1/charges?") }

func (u user) card() string {
	return u.oneOf("pm_card_visa", "pm_card_visa", "pm_card_mastercard", "pm_card_chargeCustomerFail", "pm_card_authenticationRequired")
}

// items are those of a subscription, more than Stripe shows at once now and then.
func (u user) items() string {
	var b strings.Builder
	price := u.price()
	for i := range rapid.SampledFrom([]int{1, 1, 1, 2, 12}).Draw(u.rt, "items") {
		fmt.Fprintf(&b, "&items[%d][price]=%s", i, price)
	}
	return b.String()
}

// open begins with somebody who can pay, so that short examples have something in them.
func (u user) open() {
	price := u.must("POST", "/v1/prices", form("currency", "usd", "unit_amount", "1000", "recurring[interval]", "month", "product_data[name]", "Pro"))
	customer := u.must("POST", "/v1/customers", form("email", "ada@example.test"))
	u.useCard(customer, "pm_card_visa")
	u.must("POST", "/v1/subscriptions", form("customer", customer, "items[0][price]", price))
}

func (u user) useCard(customer, card string) {
	if m := u.do("POST", "/v1/payment_methods/"+card+"/attach", form("customer", customer)); m != nil {
		u.do("POST", "/v1/customers/"+customer, form("invoice_settings[default_payment_method]", m["id"].(string)))
	}
}

// actions are what may happen.
func (u user) actions() map[string]func(n int) {
	return map[string]func(n int){
		"customer": func(n int) {
			u.useCard(u.must("POST", "/v1/customers", form("email", fmt.Sprintf("c%d@example.test", n))), u.card())
		},
		"customer changes": func(n int) { u.do("POST", "/v1/customers/"+u.customer(), form("metadata[n]", fmt.Sprint(n))) },
		"customer goes":    func(int) { u.do("DELETE", "/v1/customers/"+u.customer(), "") },
		"card":             func(int) { u.useCard(u.customer(), u.card()) },
		"card goes": func(int) {
			u.do("POST", "/v1/payment_methods/"+u.pick("/v1/payment_methods?customer="+u.customer()+"&")+"/detach", "")
		},
		"card changes": func(int) {
			u.do("POST", "/v1/payment_methods/"+u.pick("/v1/payment_methods?customer="+u.customer()+"&"), "card[exp_year]=2040")
		},
		"product": func(n int) { u.do("POST", "/v1/products", form("name", fmt.Sprint("Product ", n))) },
		"product changes": func(n int) {
			u.do("POST", "/v1/products/"+u.pick("/v1/products?"), form("name", fmt.Sprint("Renamed ", n)))
		},
		"product goes": func(int) { u.do("DELETE", "/v1/products/"+u.pick("/v1/products?"), "") },
		"price": func(n int) {
			u.do("POST", "/v1/prices", form("currency", "usd", "unit_amount", fmt.Sprint(n), "recurring[interval]", "month", "product", u.pick("/v1/products?")))
		},
		"price changes": func(n int) { u.do("POST", "/v1/prices/"+u.price(), form("nickname", fmt.Sprint(n))) },
		"price ends":    func(int) { u.do("POST", "/v1/prices/"+u.price(), form("active", u.oneOf("true", "false"))) },
		"subscribe":     func(int) { u.do("POST", "/v1/subscriptions", "customer="+u.customer()+u.items()) },
		"subscribe later": func(int) {
			u.do("POST", "/v1/subscriptions", "payment_behavior=default_incomplete&customer="+u.customer()+u.items())
		},
		"subscription changes": func(n int) { u.do("POST", "/v1/subscriptions/"+u.subscription(), form("metadata[n]", fmt.Sprint(n))) },
		"switch": func(int) {
			u.do("POST", "/v1/subscriptions/"+u.subscription(), "proration_behavior="+u.oneOf("always_invoice", "none", "create_prorations")+u.items())
		},
		"cancel later": func(int) {
			u.do("POST", "/v1/subscriptions/"+u.subscription(), "cancel_at_period_end="+u.oneOf("true", "false"))
		},
		"cancel":          func(int) { u.do("DELETE", "/v1/subscriptions/"+u.subscription(), "") },
		"renew":           func(int) { _, _ = u.Renew(u.subscription()) },
		"invoice":         func(int) { u.do("POST", "/v1/invoices", "auto_advance=true&customer="+u.customer()) },
		"invoice changes": func(n int) { u.do("POST", "/v1/invoices/"+u.invoice(), form("metadata[n]", fmt.Sprint(n))) },
		"invoice line":    u.line,
		"invoice moves": func(int) {
			u.do("POST", "/v1/invoices/"+u.invoice()+"/"+u.oneOf("finalize", "pay", "void", "mark_uncollectible"), "")
		},
		"invoice goes": func(int) { u.do("DELETE", "/v1/invoices/"+u.invoice(), "") },
		"checkout": func(int) {
			u.do("POST", "/v1/checkout/sessions", form("mode", "subscription", "success_url", "https://example.test/ok", "line_items[0][price]", u.price()))
		},
		"checkout paid":    func(int) { _, _ = u.Pay(u.pick("/v1/checkout/sessions?"), "visa", "ada@example.test") },
		"checkout expires": func(int) { u.do("POST", "/v1/checkout/sessions/"+u.pick("/v1/checkout/sessions?")+"/expire", "") },
		"refund":           func(n int) { u.do("POST", "/v1/refunds", form("charge", u.charge(), "amount", fmt.Sprint(n+1))) },
		"refund changes":   func(n int) { u.do("POST", "/v1/refunds/"+u.pick("/v1/refunds?"), form("metadata[n]", fmt.Sprint(n))) },
		"dispute":          func(int) { _, _ = u.OpenDispute(u.charge(), "") },
		"dispute changes": func(int) {
			u.do("POST", "/v1/disputes/"+u.pick("/v1/disputes?"), "evidence[product_description]=x&submit=true")
		},
		"dispute ends": func(int) { _, _ = u.CloseDispute(u.pick("/v1/disputes?"), rapid.Bool().Draw(u.rt, "won")) },
		"time": func(int) {
			u.pass(time.Duration(rapid.IntRange(1, 400).Draw(u.rt, "hours")) * time.Hour)
			_, _ = u.Advance()
		},
	}
}

func (u user) line(n int) {
	invoice := u.invoice()
	of := u.do(http.MethodGet, "/v1/invoices/"+invoice, "")
	if of == nil {
		return
	}
	for range rapid.SampledFrom([]int{1, 1, 11}).Draw(u.rt, "lines") {
		u.do("POST", "/v1/invoiceitems", form("customer", of["customer"].(string), "invoice", invoice, "amount", fmt.Sprint(n+1), "currency", "usd"))
	}
}

// garbled is a list of events in any order, with some of them twice or lost.
func garbled(t *rapid.T, events []webhook.Event, lose bool) []webhook.Event {
	seed := rapid.Uint64().Draw(t, "order")
	dice := rand.New(rand.NewPCG(seed, 1))
	var out []webhook.Event
	for _, e := range events {
		switch dice.IntN(10) {
		case 0, 1:
			out = append(out, e, e)
		case 2:
			if !lose {
				out = append(out, e)
			}
		default:
			out = append(out, e)
		}
	}
	dice.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// TestAnyOrder: whatever order events come in, and however often, and while more happens, the copy is Stripe's in the end. When
// some are lost, one reconciliation makes it so, and the next finds nothing.
func TestAnyOrder(t *testing.T) {
	for name, lose := range map[string]bool{"none lost": false, "some lost": true} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, db *database.DB) {
				examples(t, map[database.Dialect]int{database.SQLite: 2, database.Postgres: 5}[db.Dialect()])
				rapid.Check(t, func(rt *rapid.T) { anyOrder(rt, db, lose) })
			})
		})
	}
}

// examples makes a part of -rapid.checks: each is a whole Stripe and takes a while.
func examples(t *testing.T, part int) {
	t.Helper()
	checks := flag.Lookup("rapid.checks").Value
	all := checks.String()
	n, err := strconv.Atoi(all)
	require.NoError(t, err)
	require.NoError(t, checks.Set(strconv.Itoa(max(n/part, 1))))
	t.Cleanup(func() { require.NoError(t, checks.Set(all)) })
}

func anyOrder(rt *rapid.T, db *database.DB, lose bool) {
	empty(rt, db)
	c := newCopy(rt, db)
	u := user{c, rt}
	u.open()
	actions := u.actions()
	steps := rapid.SliceOfN(rapid.SampledFrom(sortedKeys(actions)), 10, 30).Draw(rt, "steps")
	var late []webhook.Event
	for n, step := range steps {
		c.pass(time.Duration(n) * time.Second)
		actions[step](n)
		if rapid.IntRange(0, 2).Draw(rt, "deliver") == 0 { // some come while more happens
			events := garbled(rt, append(late, c.take()...), lose)
			at := len(events) * 3 / 4
			c.deliver(events[:at])
			late = events[at:]
		}
	}
	_, err := c.Advance() // what the time has brought is not to come about by being looked at
	require.NoError(rt, err)
	c.deliver(garbled(rt, append(late, c.take()...), lose))
	if !lose {
		require.Empty(rt, c.differences(false), "before reconciling")
	}
	first := c.reconcile(time.Time{})
	require.Empty(rt, c.differences(true), "after %+v", first)
	c.same(c.reconcile(time.Time{}))
	require.Empty(rt, c.take(), "looking changes nothing")
	dead, err := c.inbox.List(context.Background(), inbox.Filter{State: inbox.Dead})
	require.NoError(rt, err)
	require.Empty(rt, dead.Events)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
