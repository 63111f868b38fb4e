package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/internal/docgen"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/redistest"
)

// The kinds of request of a drill.
const (
	drillSignIn   = "sign-in"
	drillNewUser  = "first sign-in"
	drillAPIKey   = "API key"
	drillAccount  = "balance"
	drillChat     = "chat"
	drillStream   = "stream"
	drillCheckout = "checkout"
	drillStatus   = "status"
	drillClerk    = "Clerk webhook"
	drillStripe   = "Stripe webhook"
)

// drillKinds lists them in the order of the table.
var drillKinds = []string{drillSignIn, drillNewUser, drillAPIKey, drillAccount, drillChat, drillStream, drillCheckout, drillStatus, drillClerk, drillStripe}

// drill breaks one thing that Trivet depends on.
type drill struct {
	what, how string
	short     bool // it is part of the short form
	begin     func(r *drillRun)
	end       func(r *drillRun)
	fails     []string // the kinds that may fail meanwhile; all others must work
	mustFail  string   // the kind that shows that the outage was one
	mails     bool     // notices are written meanwhile, whose mails wait
	delays    bool     // the mails are only late
}

// providerDrills are the four ways in which a provider fails.
func providerDrills(provider, mustFail string, short string, fails ...string) (all []drill) {
	fault := func(how string, fields map[string]any) drill {
		return drill{
			how: how,
			begin: func(r *drillRun) {
				fields["provider"] = provider
				r.control(http.MethodPost, "/control/faults", fields, nil)
			},
			end: func(r *drillRun) { r.control(http.MethodDelete, "/control/faults?provider="+provider, nil, nil) },
		}
	}
	all = []drill{
		fault("answers 500", map[string]any{"kind": "status", "status": 500}),
		fault("answers 429", map[string]any{"kind": "rate_limit", "retry_after": 1}),
		fault("hangs", map[string]any{"kind": "hang"}),
		{
			how:   "refuses connections",
			begin: func(r *drillRun) { r.doors[provider].close(r.t) },
			end:   func(r *drillRun) { r.doors[provider].open(r.t) },
		},
	}
	names := map[string]string{"clerk": "Clerk", "openai": "OpenAI", "stripe": "Stripe"}
	for i := range all {
		all[i].what, all[i].fails, all[i].mustFail, all[i].short = names[provider], fails, mustFail, all[i].how == short
	}
	return all
}

// drills are all outages of the table.
func drills() []drill {
	all := providerDrills("clerk", "", "refuses connections")
	all = append(all, providerDrills("openai", drillChat, "answers 500", drillChat, drillStream)...)
	all = append(all, providerDrills("stripe", drillCheckout, "refuses connections", drillCheckout)...)
	needDatabase := []string{drillSignIn, drillNewUser, drillAPIKey, drillAccount, drillChat, drillStream, drillCheckout, drillClerk, drillStripe}
	return append(all,
		drill{
			what: "PostgreSQL", how: "stops, and starts again", short: true, fails: needDatabase, mustFail: drillChat,
			begin: func(r *drillRun) { r.postgres.Stop() },
			end:   func(r *drillRun) { require.NoError(r.t, r.postgres.Start()) },
		},
		drill{
			what: "PostgreSQL", how: "freezes", fails: needDatabase, mustFail: drillChat,
			begin: func(r *drillRun) { require.NoError(r.t, r.postgres.Freeze()) },
			end:   func(r *drillRun) { require.NoError(r.t, r.postgres.Thaw()) },
		},
		drill{
			what: "Redis", how: "stops, and starts again",
			begin: func(r *drillRun) { r.redis.Stop(r.t) },
			end:   func(r *drillRun) { r.redis.Start(r.t) },
		},
		drill{
			what: "Redis", how: "freezes", short: true,
			begin: func(r *drillRun) { r.redis.Freeze(r.t) },
			end:   func(r *drillRun) { r.redis.Thaw(r.t) },
		},
		mailDrill("hangs", false, map[string]any{"kind": "hang"}),
		mailDrill("answers late", true, map[string]any{"kind": "latency", "delay_ms": 2000}),
		mailDrill("refuses the sender", false, map[string]any{"kind": "status", "status": 550, "path": "/mail"}),
		drill{
			what: mailServer, how: "refuses connections", mails: true, short: true,
			begin: func(r *drillRun) { r.doors["email"].close(r.t) },
			end:   func(r *drillRun) { r.doors["email"].open(r.t) },
		},
	)
}

const mailServer = "The mail server"

// mailDrill is a way in which the mail server fails. Nothing that users call needs it.
func mailDrill(how string, delays bool, fields map[string]any) drill {
	return drill{
		what: mailServer, how: how, mails: true, delays: delays,
		begin: func(r *drillRun) {
			fields["provider"] = "email"
			r.control(http.MethodPost, "/control/faults", fields, nil)
		},
		end: func(r *drillRun) { r.control(http.MethodDelete, "/control/faults?provider=email", nil, nil) },
	}
}

// TestDrill breaks each provider, PostgreSQL, Redis and the mail server in turn under load. Only what needs the broken part may fail, everything must recover
// by itself, every call is billed as the provider counted it, and no event may be lost. The short form runs some of the drills for seconds.
// `make drill` runs all of them, and writes the table of docs/operations.md.
func TestDrill(t *testing.T) {
	whole := os.Getenv("TRIVET_DRILL") != ""
	begun := time.Now()
	r := newDrillRun(t)
	t.Logf("up after %s", time.Since(begun).Round(time.Millisecond))
	var table strings.Builder
	table.WriteString("| what broke | for | what users saw meanwhile | what kept working | what was queued | recovery | lost |\n|---|---|---|---|---|---|---|\n")
	for _, d := range drills() {
		length := 3 * time.Second
		if whole {
			length = 15 * time.Second
		} else if !d.short {
			continue
		}
		table.WriteString(r.run(d, length))
	}
	r.verifyLedger()
	t.Logf("\n%s", table.String())
	if !whole {
		return
	}
	path := filepath.Join("..", "..", "docs", "operations.md")
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	written, err := docgen.Replace(string(page), "drill", table.String())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(written), 0o600))
}

// drillRun is an installation whose providers, database and Redis can be broken one by one.
type drillRun struct {
	*installation
	postgres *databasetest.Server
	redis    *redistest.Server
	doors    map[string]*door
	payer    *payer
	audit    audit
	rounds   int
	mailed   int // the mails of earlier drills
}

func newDrillRun(t *testing.T) *drillRun {
	t.Helper()
	r := &drillRun{postgres: databasetest.NewServer(t, true), redis: redistest.New(t), doors: map[string]*door{}}
	r.audit = audit{t: t, url: r.postgres.NewDatabase(t)}
	r.installation = splitWith(t, func(in *installation) []string {
		settings := []string{
			"DATABASE_URL=" + r.audit.url, "REDIS_URL=" + r.redis.URL(), "DEFAULT_PLAN=unlimited", "TRIVET_OPERATORS=user_operator", "LOG_LEVEL=warn",
			"CORS_ALLOWED_ORIGINS=https://app.example.com",
			"CLERK_PROBE_INTERVAL=2s", "OPENAI_PROBE_INTERVAL=2s", "STRIPE_PROBE_INTERVAL=2s",
			"OPENAI_HEADER_TIMEOUT=" + headerTimeout(), "TRIVET_INBOX_RETRY_CAP=4s",
			"SMTP_TLS=none", "SMTP_FROM=Acme <billing@acme.test>",
		}
		r.doors["email"] = newDoor(t, in.smtp)
		settings = append(settings, "SMTP_ADDR="+r.doors["email"].address)
		for provider, setting := range map[string][2]string{"clerk": {"CLERK_API_URL", "/clerk/v1"}, "openai": {"OPENAI_BASE_URL", "/openai/v1"}, "stripe": {"STRIPE_API_URL", "/stripe"}} {
			d := newDoor(t, strings.TrimPrefix(in.sandbox, "http://"))
			r.doors[provider] = d
			settings = append(settings, fmt.Sprintf("%s=http://%s%s", setting[0], d.address, setting[1]))
		}
		return settings
	})
	r.audit.keep()
	r.applyPlans()
	r.payer = r.newPayer("user_payer", "ann@example.test")
	r.awaitReport(func(s statusReport) bool { return s.Status == "operational" })
	return r
}

// headerTimeout is short where a provider hangs, which only the long form does; a slow machine must not look like that.
func headerTimeout() string {
	if os.Getenv("TRIVET_DRILL") == "" {
		return "30s"
	}
	return "3s"
}

// run makes one drill and returns its row.
func (r *drillRun) run(d drill, length time.Duration) string {
	r.t.Helper()
	r.rounds++
	load := r.startDrillLoad()
	load.awaitAll(r.t, "before "+d.what+" breaks")
	begun := load.enter(duringDrill)
	d.begin(r)
	if d.mails { // not before: a connection that is cut within a mail would have it come twice
		load.startNotices()
	}
	time.Sleep(length)
	load.awaitShown(r.t, d)
	if d.mails {
		r.awaitMailsWait(d)
	}
	queued := r.queued(load)
	d.end(r)
	fixed := load.enter(afterDrill)
	load.awaitAll(r.t, "after "+d.what+" works again")
	load.stop(r.t)
	settled := r.awaitSettled(load)
	r.checkDrill(d, load)
	r.t.Logf("%s %s: %s in all", d.what, d.how, time.Since(begun).Round(time.Millisecond))
	recovery := fmt.Sprintf("calls %s, queues %s", load.recovery(fixed), settled.Sub(fixed).Round(100*time.Millisecond))
	lost := r.checkLosses(d, load)
	return fmt.Sprintf("| %s %s | %s | %s | %s | %s | %s | %s |\n", d.what, d.how, fixed.Sub(begun).Round(100*time.Millisecond), load.troubles(), load.untroubled(), queued, recovery, lost)
}

// awaitMailsWait waits until mails wait for others and, unless they are only late, one was tried and says why it waits.
func (r *drillRun) awaitMailsWait(d drill) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		pending := r.mails("?state=EVENT_STATE_PENDING")
		return len(pending) > 0 && (d.delays || slices.ContainsFunc(pending, func(e inboxEvent) bool { return e.Attempts > 0 && e.LastError != "" }))
	}, 2*time.Minute, 100*time.Millisecond, "%s %s: the drill broke nothing", d.what, d.how)
}

// checkDrill checks that only what may fail failed, and that the drill was one.
func (r *drillRun) checkDrill(d drill, load *drillLoad) {
	r.t.Helper()
	may := map[string]bool{}
	for _, kind := range d.fails {
		may[kind] = true
	}
	for _, kind := range drillKinds {
		if may[kind] {
			continue
		}
		require.Empty(r.t, load.failures(kind, beforeDrill, duringDrill, afterDrill), "%s %s: %s must keep working", d.what, d.how, kind)
		require.Positive(r.t, load.successes(kind, duringDrill), "%s %s: %s was not tried", d.what, d.how, kind)
	}
	if d.mustFail != "" {
		require.NotEmpty(r.t, load.failures(d.mustFail, duringDrill, afterDrill), "%s %s: the drill broke nothing", d.what, d.how)
	}
}
