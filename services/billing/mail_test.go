package billing_test

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox/email"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/billing"
	"github.com/trivet-dev/trivet/services/billing/internal/mailing"
)

// mailServer is a mail server with the settings that send to it.
type mailServer struct {
	*email.Fake
	env map[string]string
}

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	m := &mailServer{Fake: email.New(email.Config{})}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	m.env = maps.Clone(selling)
	maps.Copy(m.env, map[string]string{
		"BILLING_MAIL_URL": "https://app.example.com/billing", "SMTP_ADDR": listener.Addr().String(), "SMTP_TLS": "none", "SMTP_FROM": "Acme <billing@acme.test>",
		"SMTP_PROBE_INTERVAL": "0s", "BILLING_MAIL_RETRY": "1h",
	})
	return m
}

// mailState is the state of a notice's mail.
func (h *fixture) mailState(id string) *inboxv1.Event {
	h.t.Helper()
	got, err := h.from("gateway").GetEvent(h.as(operator), &billingv1.GetEventRequest{EventId: id, Source: "email"})
	require.NoError(h.t, err)
	return got.GetEvent()
}

// attempt runs the background work until the mail's next attempt has ended.
func (h *fixture) attemptMail(id string) *inboxv1.Event {
	h.t.Helper()
	before := h.mailState(id)
	if due := before.GetNextAttemptTime().AsTime(); due.After(h.Now()) { // the clock moves only while nothing runs
		h.Set(due)
	}
	stop := h.run()
	defer stop()
	require.Eventually(h.t, func() bool {
		now := h.mailState(id)
		return now.GetState() != inboxv1.EventState_EVENT_STATE_LEASED && (now.GetAttempts() > before.GetAttempts() || now.GetState() == inboxv1.EventState_EVENT_STATE_DONE)
	}, time.Minute, 2*time.Millisecond)
	return h.mailState(id)
}

// failedRenewal lets the renewal of a plan fail, and returns its notice.
func (h *fixture) failedRenewal() *billingv1.Notice {
	h.t.Helper()
	begin := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	h.Set(begin)
	h.apply(yearFile)
	require.True(h.t, h.buy(purchase("pro", "")).GetApplied())
	h.useCard("chargeCustomerFail")
	h.reach(begin.AddDate(0, 1, 0))
	h.reach(begin.AddDate(0, 1, 0).Add(time.Hour))
	return h.notices(billingv1.NoticeKind_NOTICE_KIND_PAYMENT_FAILED)[0]
}

// A notice is mailed once to the address of Stripe's customer, after the faults of both are over. No log line and no stored row shows the address.
func TestNoticesAreMailed(t *testing.T) {
	m := newMailServer(t)
	each(t, m.env, func(t *testing.T, h *fixture) {
		m.Reset()
		n := h.failedRenewal()
		customer := h.listed("/v1/customers")[0]
		h.at(http.MethodPost, "/v1/customers/"+customer, url.Values{"email": {"ann-canary@example.test"}})
		require.Equal(t, inboxv1.EventState_EVENT_STATE_PENDING, h.mailState(n.GetId()).GetState(), "it is queued with the notice")
		h.newerInvoices()

		broken := func(*http.Request) { panic(http.ErrAbortHandler) }
		h.before.Store(&broken)
		require.Contains(t, h.attemptMail(n.GetId()).GetLastError(), "read the customer's address")
		h.before.Store(nil)
		_, err := m.Faults().Add(fault.Fault{Kind: fault.RateLimit, Path: "/rcpt", Count: 1})
		require.NoError(t, err)
		greylisted := h.attemptMail(n.GetId())
		require.Equal(t, "the mail server answered 450 to the recipient", greylisted.GetLastError())
		require.GreaterOrEqual(t, greylisted.GetNextAttemptTime().AsTime().Sub(h.Now()), time.Minute)
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DONE, h.attemptMail(n.GetId()).GetState())

		require.Len(t, m.Mails(), 1)
		got := m.Mails()[0]
		require.Equal(t, []string{"ann-canary@example.test"}, got.To)
		require.Equal(t, "<"+n.GetId()+"@acme.test>", got.MessageID)
		require.Equal(t, "Your payment failed", got.Subject)
		require.Equal(t, "A payment of $20.00 for Pro failed.\n\nPlease pay the invoice or update your payment method. While it is unpaid, your account may lose the plan or its overage.\n\n"+
			"Pay the invoice:\n"+n.GetPayUrl()+"\n\nManage your plan and payments:\nhttps://app.example.com/billing\n\nAcme\n", got.Text)
		require.NotContains(t, h.log.String()+h.mailState(n.GetId()).String(), "canary")
		require.NotContains(t, h.log.String(), n.GetPayUrl())
		require.Contains(t, h.log.String(), "integration=email method=send status=250")
		status, err := h.from("gateway").GetStatus(t.Context(), &billingv1.GetStatusRequest{})
		require.NoError(t, err)
		require.Equal(t, statusv1.Status_STATUS_OPERATIONAL, status.GetIntegrations()["email"].GetStatus())
	})
}

// The notices of a threshold and of an automatic top-up are mailed by default.
func TestATopUpAndAThresholdAreMailed(t *testing.T) {
	m := newMailServer(t)
	each(t, m.env, func(t *testing.T, h *fixture) {
		m.Reset()
		h.topUpOn()
		h.at(http.MethodPost, "/v1/customers/"+h.listed("/v1/customers")[0], url.Values{"email": {"ann@example.test"}})
		h.spend("1")
		stop := h.run()
		defer stop()
		require.Eventually(t, func() bool { return len(m.Mails()) == 2 }, time.Minute, 10*time.Millisecond)
		var subjects []string
		for _, mail := range m.Mails() {
			subjects = append(subjects, mail.Subject)
		}
		require.ElementsMatch(t, []string{"50% of your credit is used", "Your automatic top-up was paid"}, subjects)
	})
}

// What a notice says may stop being true while its mail waits for a server that greylists: then no mail is sent. Later mails of the account do not wait.
func TestOutdatedNoticesAreNotMailed(t *testing.T) {
	m := newMailServer(t)
	each(t, m.env, func(t *testing.T, h *fixture) {
		m.Reset()
		failed := h.failedRenewal()
		h.at(http.MethodPost, "/v1/customers/"+h.listed("/v1/customers")[0], url.Values{"email": {"ann@example.test"}})
		defer m.Faults().Clear()
		_, err := m.Faults().Add(fault.Fault{Kind: fault.RateLimit, Path: "/rcpt"})
		require.NoError(t, err)
		require.Equal(t, inboxv1.EventState_EVENT_STATE_PENDING, h.attemptMail(failed.GetId()).GetState())
		h.reach(h.Now().AddDate(0, 0, 7))
		h.due(billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_SUSPENDED)
		downgraded := h.notices(billingv1.NoticeKind_NOTICE_KIND_DOWNGRADED)[0]
		for h.mailState(downgraded.GetId()).GetAttempts() == 0 { // the job that suspends may have tried it
			h.attemptMail(downgraded.GetId())
		}
		h.useCard("visa")
		h.at(http.MethodPost, "/v1/invoices/"+failed.GetInvoiceId()+"/pay", nil)
		h.Set(h.Now().Add(time.Second))
		h.news()
		recovered := h.notices(billingv1.NoticeKind_NOTICE_KIND_RECOVERED)[0]
		m.Faults().Clear()
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DONE, h.attemptMail(recovered.GetId()).GetState(), "it does not wait for earlier mails")
		for _, n := range []*billingv1.Notice{failed, downgraded} {
			require.Equal(t, inboxv1.EventState_EVENT_STATE_DONE, h.attemptMail(n.GetId()).GetState())
			require.Contains(t, h.log.String(), `msg="a notice is not mailed" notice=`+n.GetId()+" reason=outdated")
		}
		require.Len(t, m.Mails(), 1)
		require.Equal(t, "Your invoice is settled", m.Mails()[0].Subject)
	})
}

// A mail that the server refuses for good is dead at once, and is sent when an operator says so.
func TestARefusedMailIsDead(t *testing.T) {
	m := newMailServer(t)
	each(t, m.env, func(t *testing.T, h *fixture) {
		m.Reset()
		n := h.failedRenewal()
		h.at(http.MethodPost, "/v1/customers/"+h.listed("/v1/customers")[0], url.Values{"email": {"ann@example.test"}})
		_, err := m.Faults().Add(fault.Fault{Kind: fault.Status, Status: 550, Path: "/rcpt", Count: 1})
		require.NoError(t, err)
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DEAD, h.attemptMail(n.GetId()).GetState())
		redriven, err := h.from("gateway").RedriveEvents(h.as(operator), &billingv1.RedriveEventsRequest{EventIds: []string{n.GetId()}, Source: "email"})
		require.NoError(t, err)
		require.EqualValues(t, 1, redriven.GetRedriven())
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DONE, h.attemptMail(n.GetId()).GetState())
		require.Len(t, m.Mails(), 1)
	})
}

// A server that refuses the sender, at the recipient or after the text, refuses every mail: the mails wait until that is corrected, and the server is not
// healthy. One that refuses a recipient by its policy delays this mail only, and is healthy.
func TestARefusedSenderDelaysMails(t *testing.T) {
	m := newMailServer(t)
	for name, c := range map[string]struct {
		path, text string
		healthy    bool
	}{
		"the sender, at the recipient": {"/rcpt", "5.1.8 Sender rejected", false},
		"the sender, after the text":   {"/data", "Message rejected: Email address is not verified.", false},
		"the recipient":                {"/rcpt", "5.7.1 Rejected", true},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, m.env, func(t *testing.T, h *fixture) {
				m.Reset()
				n := h.failedRenewal()
				h.at(http.MethodPost, "/v1/customers/"+h.listed("/v1/customers")[0], url.Values{"email": {"ann@example.test"}})
				_, err := m.Faults().Add(fault.Fault{Kind: fault.Status, Status: 554, Body: c.text, Path: c.path, Count: 1})
				require.NoError(t, err)
				refused := h.attemptMail(n.GetId())
				require.Equal(t, inboxv1.EventState_EVENT_STATE_PENDING, refused.GetState())
				require.Contains(t, refused.GetLastError(), "the mail server answered 554")
				status, err := h.from("gateway").GetStatus(t.Context(), &billingv1.GetStatusRequest{})
				require.NoError(t, err)
				require.Equal(t, c.healthy, status.GetIntegrations()["email"].GetStatus() == statusv1.Status_STATUS_OPERATIONAL)
				require.Equal(t, inboxv1.EventState_EVENT_STATE_DONE, h.attemptMail(n.GetId()).GetState())
				require.Len(t, m.Mails(), 1)
			})
		})
	}
}

// A server that never works makes the mail dead when its time is over.
func TestAMailIsGivenUp(t *testing.T) {
	m := newMailServer(t)
	each(t, m.env, func(t *testing.T, h *fixture) {
		n := h.failedRenewal()
		h.at(http.MethodPost, "/v1/customers/"+h.listed("/v1/customers")[0], url.Values{"email": {"ann@example.test"}})
		_, err := m.Faults().Add(fault.Fault{Kind: fault.Status, Status: 421, Path: "/connect"})
		require.NoError(t, err)
		defer m.Faults().Clear()
		e := h.mailState(n.GetId())
		for e.GetState() == inboxv1.EventState_EVENT_STATE_PENDING {
			e = h.attemptMail(n.GetId())
		}
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DEAD, e.GetState())
		require.GreaterOrEqual(t, e.GetAttempts(), int32(10))
	})
}

// A mail of an account that was erased before it was sent is not sent.
func TestMailsOfErasedAccountsAreNotSent(t *testing.T) {
	m := newMailServer(t)
	each(t, m.env, func(t *testing.T, h *fixture) {
		m.Reset()
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
		id := told.GetNotices()[0].GetId()
		h.at(http.MethodPost, "/v1/customers/"+h.listed("/v1/customers")[0], url.Values{"email": {"ann@example.test"}})
		_, err = m.Faults().Add(fault.Fault{Kind: fault.RateLimit, Path: "/rcpt", Count: 1})
		require.NoError(t, err)
		require.Equal(t, "the mail server answered 450 to the recipient", h.attemptMail(id).GetLastError(), "it would be sent")
		_, err = h.from("auth").EraseUser(t.Context(), &billingv1.EraseUserRequest{UserId: alice.UserID})
		require.NoError(t, err)
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DONE, h.attemptMail(id).GetState())
		require.Empty(t, m.Mails())
	})
}

// Nothing is sent to a customer that opted out, has no address or was deleted, and nothing of a kind that is off.
func TestMailsThatAreNotSent(t *testing.T) {
	m := newMailServer(t)
	for name, prepare := range map[string]func(h *fixture, customer string){
		"opted out": func(h *fixture, customer string) {
			h.at(http.MethodPost, "/v1/customers/"+customer, url.Values{"email": {"ann@example.test"}, "metadata[trivet_mail]": {"off"}})
		},
		"no address": func(h *fixture, customer string) {
			h.at(http.MethodPost, "/v1/customers/"+customer, url.Values{"email": {""}})
		},
		"deleted": func(h *fixture, customer string) { h.at(http.MethodDelete, "/v1/customers/"+customer, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, m.env, func(t *testing.T, h *fixture) {
				n := h.failedRenewal()
				prepare(h, h.listed("/v1/customers")[0])
				require.Equal(t, inboxv1.EventState_EVENT_STATE_DONE, h.attemptMail(n.GetId()).GetState())
				require.Contains(t, h.log.String(), "a notice is not mailed")
				require.Empty(t, m.Mails())
			})
		})
	}
	off := newMailServer(t)
	off.env["BILLING_MAIL_KINDS"] = "ended,recovered"
	each(t, off.env, func(t *testing.T, h *fixture) {
		n := h.failedRenewal()
		_, err := h.from("gateway").GetEvent(h.as(operator), &billingv1.GetEventRequest{EventId: n.GetId(), Source: "email"})
		require.Error(t, err, "it is not queued")
	})
}

func TestSettingsOfMails(t *testing.T) {
	base := map[string]string{"SMTP_ADDR": "smtp.example.test:587", "SMTP_FROM": "Acme <billing@acme.test>"}
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"the least":                 {nil, ""},
		"all":                       {map[string]string{"SMTP_USERNAME": "u", "SMTP_PASSWORD": "p,q", "SMTP_REPLY_TO": "a@b.test", "SMTP_TLS": "tls"}, ""},
		"a server of this machine":  {map[string]string{"SMTP_ADDR": "127.0.0.1:25", "SMTP_TLS": "none"}, ""},
		"localhost":                 {map[string]string{"SMTP_ADDR": "localhost:25", "SMTP_TLS": "none"}, ""},
		"no encryption":             {map[string]string{"SMTP_TLS": "none"}, "SMTP_TLS: does not encrypt, and SMTP_ADDR is not on this machine"},
		"a private network":         {map[string]string{"SMTP_ADDR": "10.0.0.1:25", "SMTP_TLS": "none"}, "SMTP_TLS: does not encrypt, and SMTP_ADDR"},
		"an unencrypted password":   {map[string]string{"SMTP_ADDR": "localhost:25", "SMTP_TLS": "none", "SMTP_USERNAME": "u", "SMTP_PASSWORD": "p"}, "SMTP_TLS: does not encrypt the password of SMTP_USERNAME"},
		"another TLS":               {map[string]string{"SMTP_TLS": "ssl"}, "SMTP_TLS"},
		"no port":                   {map[string]string{"SMTP_ADDR": "smtp.example.test"}, "SMTP_ADDR: is not host:port"},
		"no sender":                 {map[string]string{"SMTP_FROM": ""}, "SMTP_FROM: is not a mail address"},
		"a wrong reply address":     {map[string]string{"SMTP_REPLY_TO": "help"}, "SMTP_REPLY_TO: is not a mail address"},
		"a user without a password": {map[string]string{"SMTP_USERNAME": "u"}, "SMTP_PASSWORD: must be set together with SMTP_USERNAME"},
		"a password without a user": {map[string]string{"SMTP_PASSWORD": "p"}, "SMTP_PASSWORD: must be set together with SMTP_USERNAME"},
		"an unknown kind":           {map[string]string{"BILLING_MAIL_KINDS": "ended,unmapped"}, "BILLING_MAIL_KINDS"},
		"every kind":                {map[string]string{"BILLING_MAIL_KINDS": everyKind()}, ""},
		"a link elsewhere":          {map[string]string{"BILLING_MAIL_URL": "https://evil.test/billing", "CORS_ALLOWED_ORIGINS": "https://app.example.com"}, "BILLING_MAIL_URL: has an origin"},
		"a link with a user":        {map[string]string{"BILLING_MAIL_URL": "https://u@app.example.com/x", "CORS_ALLOWED_ORIGINS": "https://app.example.com"}, "BILLING_MAIL_URL: has an origin"},
		"a link":                    {map[string]string{"BILLING_MAIL_URL": "https://app.example.com/x", "CORS_ALLOWED_ORIGINS": "https://app.example.com"}, ""},
		"off":                       {map[string]string{"SMTP_ADDR": "", "SMTP_FROM": "", "SMTP_TLS": "none"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{}
			for _, from := range []map[string]string{base, c.env} {
				for name, value := range from {
					env[name] = value
				}
			}
			err := loadConfig(env, settings.Production)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

// everyKind lists the kinds that may be mailed, as the setting does.
func everyKind() string {
	var all []string
	for _, kind := range mailing.Mailable() {
		all = append(all, string(kind))
	}
	return strings.Join(all, ",")
}

// A kind of notice that the API gets must be mailed, or be one for operators. Each that may be mailed can be chosen, and is by default, but for spend limits,
// whose windows may be an hour.
func TestEveryKindOfNoticeIsMailedOrForOperators(t *testing.T) {
	var kinds []string
	for value, name := range billingv1.NoticeKind_name {
		kind := strings.ToLower(strings.TrimPrefix(name, "NOTICE_KIND_"))
		if value != 0 && !slices.Contains([]string{"unmapped", "duplicate_subscription", "overage_refused"}, kind) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	require.Equal(t, strings.Join(kinds, ","), everyKind())
	field, _ := reflect.TypeFor[billing.MailSettings]().FieldByName("Kinds")
	require.Equal(t, everyKind(), field.Tag.Get("oneof"))
	require.Equal(t, strings.Replace(everyKind(), "limit_threshold,", "", 1), field.Tag.Get("default"))
}
