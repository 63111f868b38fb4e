package billing_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing"
)

var eventsKey = []byte(strings.Repeat("k", 32))

// receiver is a receiver of webhooks that checks their signatures.
type receiver struct {
	*httptest.Server
	mu sync.Mutex
	// status answers the attempts.
	status int
	got    []delivery
}

type delivery struct {
	id   string
	body struct {
		Type      string
		Timestamp time.Time
		Data      map[string]any
	}
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	return newReceiverOf(t, eventsKey)
}

// newReceiverOf expects signatures of another key.
func newReceiverOf(t *testing.T, key []byte) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		raw, err := io.ReadAll(request.Body)
		if err != nil {
			t.Error(err)
		}
		d := delivery{id: request.Header.Get("webhook-id")}
		stamp := request.Header.Get("webhook-timestamp")
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(d.id + "." + stamp + "." + string(raw)))
		if request.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			t.Error("the signature is wrong")
		}
		if _, err := strconv.ParseInt(stamp, 10, 64); err != nil {
			t.Error(err)
		}
		if err := json.Unmarshal(raw, &d.body); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, d)
		w.WriteHeader(r.status)
		_, _ = w.Write([]byte("canary-answer"))
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) deliveries() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]delivery(nil), r.got...)
}

// env are the settings of a service that sends to the receiver.
func (r *receiver) env() map[string]string {
	env := maps.Clone(selling)
	maps.Copy(env, map[string]string{
		"BILLING_EVENTS_URL": r.URL + "/canary-path", "BILLING_EVENTS_SECRET": "whsec_" + base64.StdEncoding.EncodeToString(eventsKey),
		"BILLING_EVENTS_PRIVATE": "true", "BILLING_EVENTS_RETRY": "1h",
	})
	return env
}

// A notice is sent as a webhook until the receiver takes it, with the same id each time; one that is never taken is dead, and is sent again when an
// operator says so. The log and the operator's view show neither the address nor the answer.
func TestNoticesAreSentAsWebhooks(t *testing.T) {
	r := newReceiver(t)
	each(t, r.env(), func(t *testing.T, h *fixture) {
		r.mu.Lock()
		r.got, r.status = nil, http.StatusInternalServerError
		r.mu.Unlock()
		begin := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
		h.Set(begin)
		h.apply(yearFile)
		require.True(t, h.buy(purchase("pro", "")).GetApplied())
		h.useCard("chargeCustomerFail")
		h.reach(begin.AddDate(0, 1, 0))
		h.reach(begin.AddDate(0, 1, 0).Add(time.Hour))
		notice := h.notices(0)[0]
		state := func() *inboxv1.Event {
			got, err := h.from("gateway").GetEvent(h.as(operator), &billingv1.GetEventRequest{EventId: notice.GetId(), Source: "webhook"})
			require.NoError(t, err)
			return got.GetEvent()
		}
		require.Equal(t, inboxv1.EventState_EVENT_STATE_PENDING, state().GetState(), "it is queued with the notice")

		for e := state(); e.GetState() == inboxv1.EventState_EVENT_STATE_PENDING; e = state() {
			if due := e.GetNextAttemptTime().AsTime(); due.After(h.Now()) { // the clock moves only while nothing runs
				h.Set(due)
			}
			stop := h.run()
			require.Eventually(t, func() bool {
				now := state()
				return now.GetAttempts() > e.GetAttempts() && now.GetState() != inboxv1.EventState_EVENT_STATE_LEASED
			}, time.Minute, 2*time.Millisecond)
			stop()
		}
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DEAD, state().GetState())
		tried := r.deliveries()
		require.GreaterOrEqual(t, len(tried), 10)
		for _, d := range tried {
			require.Equal(t, notice.GetId(), d.id)
			require.Equal(t, "billing.payment_failed", d.body.Type)
			require.Equal(t, notice.GetInvoiceId(), d.body.Data["invoiceId"])
			require.Equal(t, notice.GetPayUrl(), d.body.Data["payUrl"])
			require.Equal(t, "20000000000", d.body.Data["amountNanoUsd"])
			require.True(t, notice.GetCreateTime().AsTime().Equal(d.body.Timestamp))
		}
		require.Equal(t, "the receiver answered 500", state().GetLastError())

		r.answer(http.StatusNoContent)
		redriven, err := h.from("gateway").RedriveEvents(h.as(operator), &billingv1.RedriveEventsRequest{EventIds: []string{notice.GetId()}, Source: "webhook"})
		require.NoError(t, err)
		require.EqualValues(t, 1, redriven.GetRedriven())
		stop := h.run()
		require.Eventually(t, func() bool { return state().GetState() == inboxv1.EventState_EVENT_STATE_DONE }, time.Minute, 2*time.Millisecond)
		stop()
		require.Len(t, r.deliveries(), len(tried)+1)
		stripes, err := h.from("gateway").ListEvents(h.as(operator), &billingv1.ListEventsRequest{})
		require.NoError(t, err)
		for _, e := range stripes.GetEvents() {
			require.Equal(t, "stripe", e.GetSource())
		}
		require.NotContains(t, h.log.String()+state().String(), "canary")
		require.NotContains(t, h.log.String(), r.env()["BILLING_EVENTS_SECRET"])
	})
}

// A notice that was erased before it was sent is not sent.
func TestErasedNoticesAreNotSent(t *testing.T) {
	r := newReceiver(t)
	each(t, r.env(), func(t *testing.T, h *fixture) {
		before := len(r.deliveries())
		h.Set(time.Now().UTC())
		h.apply(planFile)
		ask := purchase("team", "")
		ask.Seats = 2
		session, err := h.from("gateway").CreateCheckoutSession(h.as(alice), ask)
		require.NoError(t, err)
		_, err = h.stripe.Pay(session.GetCheckoutSession().GetId(), "visa", "ann@example.test")
		require.NoError(t, err)
		h.news()
		told, err := h.from("gateway").ListNotices(h.as(alice), &billingv1.ListNoticesRequest{})
		require.NoError(t, err)
		require.Len(t, told.GetNotices(), 1, "the trial began")
		_, err = h.from("auth").EraseUser(t.Context(), &billingv1.EraseUserRequest{UserId: alice.UserID})
		require.NoError(t, err)
		stop := h.run()
		defer stop()
		require.Eventually(t, func() bool {
			got, err := h.from("gateway").GetEvent(h.as(operator), &billingv1.GetEventRequest{EventId: told.GetNotices()[0].GetId(), Source: "webhook"})
			return err == nil && got.GetEvent().GetState() == inboxv1.EventState_EVENT_STATE_DONE
		}, time.Minute, 5*time.Millisecond)
		require.Len(t, r.deliveries(), before)
	})
}

// A process that dies between the sending and the note of it sends the webhook again, with the same id.
func TestAWebhookIsSentAgainAfterAProcessEnds(t *testing.T) {
	r := newReceiver(t)
	each(t, r.env(), func(t *testing.T, h *fixture) {
		r.mu.Lock()
		r.got = nil
		r.mu.Unlock()
		h.Set(time.Now().UTC())
		h.apply(planFile)
		ask := purchase("team", "")
		ask.Seats = 2
		require.True(t, h.buy(ask).GetApplied())
		id := h.notices(billingv1.NoticeKind_NOTICE_KIND_TRIAL_STARTED)[0].GetId()
		held, release := make(chan struct{}), make(chan struct{})
		inner := r.Config.Handler
		var once sync.Once
		r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			inner.ServeHTTP(w, request)
			once.Do(func() {
				close(held)
				<-release
			})
		})
		defer func() { r.Config.Handler = inner }()
		stop := h.run()
		<-held
		stop() // the receiver has it, and the process does not know
		close(release)
		stop = h.run()
		defer stop()
		require.Eventually(t, func() bool {
			h.Add(time.Second)
			return len(r.deliveries()) >= 2
		}, time.Minute, 5*time.Millisecond)
		for _, d := range r.deliveries() {
			require.Equal(t, id, d.id)
		}
	})
}

func TestSettingsOfWebhooks(t *testing.T) {
	secret := "whsec_" + base64.StdEncoding.EncodeToString(eventsKey)
	for name, c := range map[string]struct {
		env   map[string]string
		modes []string
		want  string
	}{
		"none":                        {map[string]string{}, []string{settings.Production}, ""},
		"all":                         {map[string]string{"BILLING_EVENTS_URL": "https://receiver.example/x", "BILLING_EVENTS_SECRET": secret}, []string{settings.Production}, ""},
		"two secrets":                 {map[string]string{"BILLING_EVENTS_URL": "https://receiver.example/x", "BILLING_EVENTS_SECRET": secret + "," + secret[:len(secret)-4] + "AAA="}, nil, ""},
		"no secret":                   {map[string]string{"BILLING_EVENTS_URL": "https://receiver.example/x"}, nil, "BILLING_EVENTS_SECRET: is not set, and BILLING_EVENTS_URL is"},
		"a short secret":              {map[string]string{"BILLING_EVENTS_SECRET": "whsec_YWJj"}, nil, "must be whsec_ and 24 to 64 bytes"},
		"no address":                  {map[string]string{"BILLING_EVENTS_URL": "receiver.example", "BILLING_EVENTS_SECRET": secret}, nil, "BILLING_EVENTS_URL: is not an address"},
		"no host":                     {map[string]string{"BILLING_EVENTS_URL": "https://:443/x", "BILLING_EVENTS_SECRET": secret}, nil, "BILLING_EVENTS_URL: is not an address"},
		"plain HTTP":                  {map[string]string{"BILLING_EVENTS_URL": "http://receiver.example/x", "BILLING_EVENTS_SECRET": secret}, []string{settings.Production}, "BILLING_EVENTS_URL: is plain HTTP"},
		"plain HTTP in development":   {map[string]string{"BILLING_EVENTS_URL": "http://receiver.example/x", "BILLING_EVENTS_SECRET": secret}, nil, ""},
		"plain HTTP within a network": {map[string]string{"BILLING_EVENTS_URL": "http://10.0.0.1/x", "BILLING_EVENTS_SECRET": secret, "BILLING_EVENTS_PRIVATE": "true"}, []string{settings.Production}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := loadConfig(c.env, c.modes...)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "receiver.example/x")
		})
	}
}

func loadConfig(env map[string]string, modes ...string) error {
	var c billing.Config
	return settings.Load(func(name string) string { return env[name] }, &c, modes...)
}
