package auth_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	inboxv1 "github.com/trivet-dev/trivet/gen/go/trivet/inbox/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

const (
	webhookKey  = "the secret of the webhooks"
	instanceID  = "ins_ours"
	eventMillis = 1_700_000_000_000
)

func webhookSecret(key string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))
}

func withWebhooks(c *auth.Config) {
	c.WebhookSecrets = settings.NewSecrets(webhookSecret("a newer secret of theirs"), webhookSecret(webhookKey))
	c.InstanceID = instanceID
	c.ReconcileInterval = 0
}

// bothDatabases runs a test on both databases.
func bothDatabases(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, start(t, withWebhooks)) })
	t.Run("postgres", func(t *testing.T) {
		at := settings.NewSecret(databasetest.PostgresURL(t))
		test(t, startAt(t, at, withWebhooks, noop.Meter{}))
	})
}

// signed are the headers of Svix.
func signed(id string, at time.Time, body []byte) map[string]string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(webhookKey))
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	return map[string]string{
		"svix-id": id, "svix-timestamp": stamp,
		"svix-signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)),
	}
}

func (f *fixture) receive(id, body string) (*authv1.ReceiveWebhookResponse, error) {
	return f.rpc.ReceiveWebhook(context.Background(), &authv1.ReceiveWebhookRequest{
		Headers: signed(id, time.Now(), []byte(body)), Body: []byte(body),
	})
}

func event(kind, data string) string {
	return fmt.Sprintf(`{"type":%q,"object":"event","instance_id":%q,"timestamp":%d,"data":%s}`, kind, instanceID, eventMillis, data)
}

func userData(id, name string, version int) string {
	return fmt.Sprintf(`{"id":%q,"object":"user","first_name":%q,"email_addresses":[{"id":"idn_1","email_address":"%s@example.test"}],
		"primary_email_address_id":"idn_1","phone_numbers":[{"phone_number":"+15550100"}],"public_metadata":{"plan":"pro"},
		"private_metadata":{"note":"hidden"},"created_at":%d,"updated_at":%d}`, id, name, id, eventMillis, eventMillis+version)
}

// deliver stores an event and waits until it has come to its end.
func (f *fixture) deliver(t testing.TB, id, body string) *inboxv1.Event {
	t.Helper()
	_, err := f.receive(id, body)
	require.NoError(t, err)
	var got *authv1.GetEventResponse
	require.Eventually(t, func() bool {
		got, err = f.rpc.GetEvent(context.Background(), &authv1.GetEventRequest{EventId: id})
		state := got.GetEvent().GetState()
		return err == nil && state != inboxv1.EventState_EVENT_STATE_PENDING && state != inboxv1.EventState_EVENT_STATE_LEASED
	}, soon, time.Millisecond)
	return got.GetEvent()
}

func reason(err error) errorsv1.ErrorReason { return errs.ReasonOf(err) }

func TestWebhookReachesTheDirectory(t *testing.T) {
	bothDatabases(t, func(t *testing.T, f *fixture) {
		e := f.deliver(t, "msg_1", event("user.created", userData("user_1", "Ada", 1)))
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DONE, e.GetState())
		require.True(t, e.GetDoneTime().IsValid())
		require.Equal(t, "user_1", e.GetSubject())
		require.EqualValues(t, 1, e.GetAttempts())
		got, err := f.rpc.GetUser(t.Context(), &authv1.GetUserRequest{UserId: "user_1"})
		require.NoError(t, err)
		require.Equal(t, "user_1@example.test", got.GetUser().GetPrimaryEmail())

		again, err := f.receive("msg_1", event("user.created", userData("user_1", "Somebody else", 9)))
		require.NoError(t, err)
		require.True(t, again.GetDuplicate())
		f.deliver(t, "msg_0", event("user.created", userData("user_1", "Too late", 0)))
		got, err = f.rpc.GetUser(t.Context(), &authv1.GetUserRequest{UserId: "user_1"})
		require.NoError(t, err)
		require.Equal(t, "Ada", got.GetUser().GetFirstName())
	})
}

// A member leaves, joins again and leaves: the ends tell no more than the id, or come late.
func TestWebhooksOfAMemberWhoComesAndGoes(t *testing.T) {
	bothDatabases(t, func(t *testing.T, f *fixture) {
		member := func(id string, after int) string {
			return fmt.Sprintf(`{"id":%q,"object":"organization_membership","role":"org:admin","permissions":[],"organization":{"id":"org_1"},
				"public_user_data":{"user_id":"user_1"},"created_at":%d,"updated_at":%d}`, id, eventMillis+after, eventMillis+after)
		}
		onlyID := func(id string) string {
			return fmt.Sprintf(`{"type":"organizationMembership.deleted","data":{"id":%q,"object":"organization_membership","deleted":true}}`, id)
		}
		members := func() int {
			t.Helper()
			list, err := f.rpc.ListMemberships(passport.NewContext(t.Context(), &passport.Claims{UserID: "user_9", AccountID: "user_9", Operator: true}), &authv1.ListMembershipsRequest{OrganizationId: "org_1"})
			require.NoError(t, err)
			return len(list.GetMemberships())
		}
		deliver := func(id, body, subject string, want int) {
			t.Helper()
			e := f.deliver(t, id, body)
			require.Equal(t, inboxv1.EventState_EVENT_STATE_DONE, e.GetState(), e.GetLastError())
			require.Equal(t, subject, e.GetSubject())
			require.Equal(t, want, members(), id)
		}
		late := func(body string) string {
			return strings.Replace(body, fmt.Sprintf(`"timestamp":%d`, eventMillis), fmt.Sprintf(`"timestamp":%d`, eventMillis+5000), 1)
		}
		const whose = "org_1:user_1"
		deliver("msg_1", event("organizationMembership.created", member("orgmem_1", 0)), whose, 1)
		deliver("msg_2", late(event("organizationMembership.deleted", member("orgmem_1", 0))), whose, 0)
		deliver("msg_3", event("organizationMembership.created", member("orgmem_2", 4900)), whose, 1)
		deliver("msg_4", event("organizationMembership.updated", member("orgmem_1", 0)), whose, 1)
		deliver("msg_5", onlyID("orgmem_1"), "orgmem_1", 1)
		deliver("msg_6", onlyID("orgmem_2"), "orgmem_2", 0)
		deliver("msg_7", event("organizationMembership.updated", member("orgmem_2", 9000)), whose, 0)
		deliver("msg_8", onlyID("orgmem_3"), "orgmem_3", 0)
		deliver("msg_9", event("organizationMembership.created", member("orgmem_3", 9500)), whose, 0)
		deliver("msg_10", event("organizationMembership.created", member("orgmem_4", 9600)), whose, 1)
	})
}

// An admin sees the members of the active organization; operators see all, and nobody else anything.
func TestWhoSeesMembers(t *testing.T) {
	bothDatabases(t, func(t *testing.T, f *fixture) {
		for i, where := range [][2]string{{"org_1", "user_1"}, {"org_1", "user_2"}, {"org_2", "user_1"}} {
			body := fmt.Sprintf(`{"id":"orgmem_%d","object":"organization_membership","role":"org:admin","permissions":[],"organization":{"id":%q},
				"public_user_data":{"user_id":%q},"created_at":%d,"updated_at":%d}`, i, where[0], where[1], eventMillis, eventMillis)
			f.deliver(t, fmt.Sprintf("msg_%d", i), event("organizationMembership.created", body))
		}
		admin := passport.Claims{UserID: "user_1", AccountID: "org_1", OrganizationID: "org_1", Role: "admin", Admin: true}
		member, key, operator := admin, admin, passport.Claims{UserID: "user_9", AccountID: "user_9", Role: "owner", Operator: true}
		member.Admin, key.APIKeyID = false, "key_1"
		operatorsKey := operator
		operatorsKey.APIKeyID = "key_2"
		personal := passport.Claims{UserID: "user_1", AccountID: "user_1", Role: "owner"}
		for name, c := range map[string]struct {
			claims    passport.Claims
			org, user string
			want      int
		}{
			"admin":                        {admin, "", "", 2},
			"admin names it":               {admin, "org_1", "", 2},
			"admin and a member":           {admin, "", "user_2", 1},
			"admin, another organization":  {admin, "org_2", "", -1},
			"member":                       {member, "org_1", "", -1},
			"member, no filter":            {member, "", "", -1},
			"member, themselves":           {member, "", "user_1", -1},
			"API key of an admin":          {key, "org_1", "", -1},
			"personal account":             {personal, "", "", -1},
			"personal account, themselves": {personal, "", "user_1", -1},
			"operator":                     {operator, "", "", 3},
			"operator, one":                {operator, "org_2", "", 1},
			"API key of an operator":       {operatorsKey, "", "", -1},
		} {
			list, err := f.rpc.ListMemberships(passport.NewContext(t.Context(), &c.claims), &authv1.ListMembershipsRequest{OrganizationId: c.org, UserId: c.user})
			if c.want < 0 {
				requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
				continue
			}
			require.NoError(t, err, name)
			require.Len(t, list.GetMemberships(), c.want, name)
			require.Empty(t, list.GetNextPageToken())
		}
	})
}

func TestWebhookRefusals(t *testing.T) {
	f := start(t, withWebhooks)
	body := event("user.created", userData("user_1", "Ada", 1))
	good := signed("msg_1", time.Now(), []byte(body))
	for name, headers := range map[string]map[string]string{
		"no headers": {}, "stale": signed("msg_1", time.Now().Add(-6*time.Minute), []byte(body)),
		"future": signed("msg_1", time.Now().Add(6*time.Minute), []byte(body)), "another body's": signed("msg_1", time.Now(), []byte("{}")),
		"half": {"svix-id": good["svix-id"], "svix-timestamp": good["svix-timestamp"]},
	} {
		_, err := f.rpc.ReceiveWebhook(t.Context(), &authv1.ReceiveWebhookRequest{Headers: headers, Body: []byte(body)})
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, reason(err), name)
		require.Equal(t, "Invalid webhook signature", errs.From(err).Message, name)
		require.Empty(t, errs.From(err).Metadata, name)
	}
	list, err := f.rpc.ListEvents(t.Context(), &authv1.ListEventsRequest{})
	require.NoError(t, err)
	require.Empty(t, list.GetEvents(), "nothing of it is kept")

	bare := start(t, nil)
	_, err = bare.receive("msg_1", body)
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, reason(err))
	require.ErrorContains(t, err, "CLERK_WEBHOOK_SECRET")
}

func TestWebhookStoreDown(t *testing.T) {
	f := start(t, withWebhooks)
	require.NoError(t, f.Database().Close(context.Background()))
	_, err := f.receive("msg_1", event("user.created", userData("user_1", "Ada", 1)))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, reason(err))
	require.Positive(t, errs.From(err).RetryAfter)
}

func TestUnreadableForeignAndUnknownEvents(t *testing.T) {
	bothDatabases(t, func(t *testing.T, f *fixture) {
		dead := f.deliver(t, "msg_bad", `{"type":"user.created","data":{"id":"user_1","first_name":"Ada"`)
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DEAD, dead.GetState())
		require.Contains(t, dead.GetLastError(), "JSON")
		require.Contains(t, dead.GetRedactedPayload(), "sha256")
		require.NotContains(t, dead.GetRedactedPayload(), "Ada")

		foreign := f.deliver(t, "msg_foreign", strings.Replace(event("user.created", userData("user_2", "Eve", 1)), instanceID, "ins_theirs", 1))
		require.Equal(t, inboxv1.EventState_EVENT_STATE_IGNORED, foreign.GetState())
		require.Contains(t, foreign.GetLastError(), "CLERK_INSTANCE_ID")
		_, err := f.rpc.GetUser(t.Context(), &authv1.GetUserRequest{UserId: "user_2"})
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, reason(err))

		unknown := f.deliver(t, "msg_new", event("hologram.projected", `{"id":"holo_1","secret":"s3cret"}`))
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DONE, unknown.GetState())

		f.deliver(t, "msg_mail", event("email.created", `{"id":"ema_1","user_id":"user_1","body":"your code is 424242","data":{"otp_code":"424242"}}`))
		f.deliver(t, "msg_sms", event("sms.created", `{"id":"sms_1","message":"424242","phone_number":"+15550100"}`))
		f.deliver(t, "msg_user", event("user.created", userData("user_1", "Ada", 1)))
		require.Empty(t, f.kept(t, "424242"), "no code is ever written down")
		require.Empty(t, f.kept(t, "+15550100"))
		require.Empty(t, f.kept(t, "hidden"))
		require.Empty(t, f.kept(t, "s3cret"))
		require.NotEmpty(t, f.kept(t, "user_1@example.test"))

		page, err := f.rpc.ListEvents(t.Context(), &authv1.ListEventsRequest{State: inboxv1.EventState_EVENT_STATE_DEAD})
		require.NoError(t, err)
		require.Len(t, page.GetEvents(), 1)
		require.Equal(t, "msg_bad", page.GetEvents()[0].GetId())
		redriven, err := f.rpc.RedriveEvents(t.Context(), &authv1.RedriveEventsRequest{EventIds: []string{"msg_bad", "msg_user", "msg_none"}})
		require.NoError(t, err)
		require.EqualValues(t, 1, redriven.GetRedriven(), "only dead ones")
		require.Eventually(t, func() bool {
			e, err := f.rpc.GetEvent(t.Context(), &authv1.GetEventRequest{EventId: "msg_bad"})
			return err == nil && e.GetEvent().GetState() == inboxv1.EventState_EVENT_STATE_DEAD
		}, soon, time.Millisecond, "and it can't be read now either")
	})
}

// Of what is signed rightly, all is stored: what the inbox takes in full, and of the rest that it came.
func TestWebhooksAtTheInboxsLimits(t *testing.T) {
	bothDatabases(t, func(t *testing.T, f *fixture) {
		user := func(metadata string) string {
			return event("user.updated", fmt.Sprintf(`{"id":"user_1","created_at":%d,"updated_at":%d,"public_metadata":{"a":"%s"}}`, eventMillis, eventMillis, metadata))
		}
		marks := strings.Repeat("<&>", (1<<20-len(user("")))/3)
		e := f.deliver(t, "msg_marks", user(marks))
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DONE, e.GetState(), e.GetLastError())

		long := strings.Repeat("x", 128) // both are good ids; together, the subject is longer than the inbox takes
		member := event("organizationMembership.created", fmt.Sprintf(
			`{"id":"orgmem_1","role":"org:admin","organization":{"id":%q},"public_user_data":{"user_id":%q},"created_at":1,"updated_at":1}`, long, long))
		e = f.deliver(t, "msg_member", member)
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DEAD, e.GetState())
		require.Contains(t, e.GetLastError(), "Subject")
		require.Equal(t, "organizationMembership.created", e.GetType())
		require.Contains(t, e.GetRedactedPayload(), "sha256")
		again, err := f.receive("msg_member", member)
		require.NoError(t, err)
		require.True(t, again.GetDuplicate())
	})
}

// kept returns stored payloads that contain a text.
func (f *fixture) kept(t testing.TB, text string) []string {
	t.Helper()
	rows, err := f.Database().Read().QueryContext(t.Context(), "SELECT payload FROM inbox_payload")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var found []string
	for rows.Next() {
		var payload []byte
		require.NoError(t, rows.Scan(&payload))
		if strings.Contains(string(payload), text) {
			found = append(found, string(payload))
		}
	}
	require.NoError(t, rows.Err())
	return found
}

func TestEventsForOperators(t *testing.T) {
	bothDatabases(t, func(t *testing.T, f *fixture) {
		for n := range 5 {
			f.deliver(t, fmt.Sprintf("msg_%d", n), event("user.updated", userData("user_1", "Ada", n)))
		}
		f.deliver(t, "msg_org", event("organization.created", fmt.Sprintf(`{"id":"org_1","name":"Acme","created_at":%d,"updated_at":%d}`, eventMillis, eventMillis)))
		first, err := f.rpc.ListEvents(t.Context(), &authv1.ListEventsRequest{Subject: "user_1", PageSize: 3})
		require.NoError(t, err)
		require.Len(t, first.GetEvents(), 3)
		require.Equal(t, "msg_4", first.GetEvents()[0].GetId(), "newest first")
		require.Empty(t, first.GetEvents()[0].GetRedactedPayload())
		rest, err := f.rpc.ListEvents(t.Context(), &authv1.ListEventsRequest{Subject: "user_1", PageSize: 3, PageToken: first.GetNextPageToken()})
		require.NoError(t, err)
		require.Len(t, rest.GetEvents(), 2)
		require.Empty(t, rest.GetNextPageToken())
		byType, err := f.rpc.ListEvents(t.Context(), &authv1.ListEventsRequest{Type: "organization.created"})
		require.NoError(t, err)
		require.Len(t, byType.GetEvents(), 1)

		got, err := f.rpc.GetEvent(t.Context(), &authv1.GetEventRequest{EventId: "msg_1"})
		require.NoError(t, err)
		require.Contains(t, got.GetEvent().GetRedactedPayload(), `"first_name":"[redacted]"`)
		require.Contains(t, got.GetEvent().GetRedactedPayload(), `"plan":"[redacted]"`)
		require.NotContains(t, got.GetEvent().GetRedactedPayload(), "example.test")

		_, err = f.rpc.GetEvent(t.Context(), &authv1.GetEventRequest{EventId: "msg_none"})
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, reason(err))
		_, err = f.rpc.ListEvents(t.Context(), &authv1.ListEventsRequest{PageToken: "made up"})
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, reason(err))
		for _, bad := range []*authv1.RedriveEventsRequest{{}, {AllDead: true, EventIds: []string{"msg_1"}}} {
			_, err = f.rpc.RedriveEvents(t.Context(), bad)
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, reason(err))
		}
		all, err := f.rpc.RedriveEvents(t.Context(), &authv1.RedriveEventsRequest{AllDead: true})
		require.NoError(t, err)
		require.Zero(t, all.GetRedriven())
	})
}

func TestEndedSessionIsRefusedAtOnce(t *testing.T) {
	for _, kind := range []string{"session.ended", "session.removed", "session.revoked"} {
		t.Run(kind, func(t *testing.T) {
			f := start(t, withWebhooks)
			token := f.clerk.Token(t, time.Now(), nil)
			_, err := f.authenticate(t, token)
			require.NoError(t, err)
			f.deliver(t, "msg_1", event(kind, `{"id":"sess_1","user_id":"user_1","status":"ended"}`))
			_, err = f.authenticate(t, token)
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, reason(err), "though the token is still good")
			_, err = f.authenticate(t, f.clerk.Token(t, time.Now(), map[string]any{"sid": "sess_2"}))
			require.NoError(t, err, "other sessions continue")
		})
	}
}

func TestDeletedUserIsErasedEverywhere(t *testing.T) {
	bothDatabases(t, func(t *testing.T, f *fixture) {
		f.deliver(t, "msg_1", event("user.created", userData("user_1", "Ada", 1)))
		token := f.clerk.Token(t, time.Now(), nil)
		person := f.as(t, token)
		key, err := f.rpc.CreateApiKey(person, &authv1.CreateApiKeyRequest{Name: "Ada's laptop"})
		require.NoError(t, err)
		require.NotEmpty(t, f.kept(t, "user_1@example.test"))
		f.billing.set(errors.New("billing is down"))

		f.deliver(t, "msg_2", event("user.deleted", `{"id":"user_1","object":"user","deleted":true}`))
		_, err = f.authenticate(t, token)
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED, reason(err))
		_, err = f.authenticate(t, key.GetSecret())
		require.Error(t, err)
		require.Eventually(t, func() bool { _, failed := f.billing.state(); return failed > 0 }, soon, tick)
		record := f.erasures(t)[0]
		require.Equal(t, []string{"ai", "auth"}, record.GetConfirmedBy(), "one that is down does not keep the others from it")
		require.False(t, record.GetCompleteTime().IsValid())

		f.billing.set(nil)
		require.Eventually(t, func() bool { return f.erasures(t)[0].GetCompleteTime().IsValid() }, soon, tick)
		record = f.erasures(t)[0]
		require.Equal(t, []string{"ai", "auth", "billing"}, record.GetConfirmedBy())
		require.Equal(t, "user_1", record.GetUserId())
		asked, _ := f.ai.state()
		require.Equal(t, []string{"user_1"}, asked, "who has confirmed is not asked again")

		require.Empty(t, f.kept(t, "user_1@example.test"), "events forget the person too")
		f.deliver(t, "msg_3", event("user.created", userData("user_1", "Ada", 9)))
		_, err = f.rpc.GetUser(t.Context(), &authv1.GetUserRequest{UserId: "user_1"})
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, reason(err), "nothing brings the person back")
		keys, err := f.Store().KeysOfUser(t.Context(), "user_1")
		require.NoError(t, err)
		require.Len(t, keys, 1)
		require.Empty(t, keys[0].Name)
		require.False(t, keys[0].RevokeTime.IsZero())

		f.newKey(t, person, &authv1.CreateApiKeyRequest{Name: "Ada's late laptop"}) // by a call that was in progress
		require.Eventually(t, func() bool {                                         // the log of SQLite is emptied when nobody reads
			err = f.EraseOwn(t.Context(), "user_1")
			return !errors.Is(err, database.ErrReading)
		}, soon, tick)
		require.NoError(t, err)
		keys, err = f.Store().KeysOfUser(t.Context(), "user_1")
		require.NoError(t, err)
		require.Len(t, keys, 2)
		for _, k := range keys {
			require.Empty(t, k.Name)
			require.False(t, k.RevokeTime.IsZero())
		}

		f.deliver(t, "msg_4", event("user.deleted", `{"id":"user_1","deleted":true}`))
		require.True(t, f.erasures(t)[0].GetRequestTime().AsTime().Equal(record.GetRequestTime().AsTime()), "a second event begins nothing anew")
	})
}

// TestErasureRemovesTheBytes from the database file and its log, while the service runs and after it stopped: of rows, of
// events that were applied, refused or dead, and of those that come late.
func TestErasureRemovesTheBytes(t *testing.T) {
	f := start(t, withWebhooks)
	const needle = "needle-4711"
	found := func() (n int) {
		for _, file := range []string{"auth.db", "auth.db-wal"} {
			raw, err := os.ReadFile(filepath.Join(strings.TrimPrefix(f.database.Reveal(), "sqlite://"), file))
			if !errors.Is(err, fs.ErrNotExist) {
				require.NoError(t, err)
			}
			n += bytes.Count(raw, []byte(needle))
		}
		return n
	}
	for _, id := range []string{"user_1", "user_2", "user_3"} {
		f.deliver(t, "msg_new_"+id, event("user.created", userData(id, needle, 1)))
		f.deliver(t, "msg_old_"+id, event("user.updated", userData(id, needle+" older", 0)))
		dead := f.deliver(t, "msg_bad_"+id, event("user.updated", `{"id":"`+id+`","first_name":"`+needle+`","created_at":"no time"}`))
		require.Equal(t, inboxv1.EventState_EVENT_STATE_DEAD, dead.GetState())
	}
	require.NotZero(t, found())
	for _, id := range []string{"user_1", "user_2", "user_3"} {
		f.deliver(t, "msg_gone_"+id, event("user.deleted", `{"id":"`+id+`","object":"user","deleted":true}`))
	}
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(f.erasures(t), func(e *authv1.Erasure) bool { return !e.GetCompleteTime().IsValid() })
	}, soon, tick)
	require.Zero(t, found(), "while it runs")

	f.deliver(t, "msg_late", event("user.created", userData("user_1", needle, 9)))
	f.deliver(t, "msg_late_bad", event("user.updated", `{"id":"user_2","first_name":"`+needle+`","created_at":"no time"}`))
	require.Eventually(t, func() bool { return found() == 0 }, soon, tick, "what comes late is removed too")
	f.stop()
	require.Zero(t, found(), "after it stopped")
}

func (f *fixture) erasures(t testing.TB) []*authv1.Erasure {
	t.Helper()
	list, err := f.rpc.ListErasures(context.Background(), &authv1.ListErasuresRequest{})
	require.NoError(t, err)
	return list.GetErasures()
}

func TestEraseUserByAnOperator(t *testing.T) {
	bothDatabases(t, func(t *testing.T, f *fixture) {
		complete := func(id string) func() bool {
			return func() bool {
				for _, e := range f.erasures(t) {
					if e.GetUserId() == id {
						return e.GetCompleteTime().IsValid()
					}
				}
				return false
			}
		}
		for _, id := range []string{"user_1", "user_never_seen"} {
			begun, err := f.rpc.EraseUser(t.Context(), &authv1.EraseUserRequest{UserId: id})
			require.NoError(t, err)
			require.Equal(t, id, begun.GetErasure().GetUserId())
			require.Eventually(t, complete(id), soon, tick)
		}
		list, err := f.rpc.ListErasures(t.Context(), &authv1.ListErasuresRequest{PageSize: 1})
		require.NoError(t, err)
		require.Equal(t, "user_never_seen", list.GetErasures()[0].GetUserId(), "newest first")
		list, err = f.rpc.ListErasures(t.Context(), &authv1.ListErasuresRequest{PageSize: 1, PageToken: list.GetNextPageToken()})
		require.NoError(t, err)
		require.Equal(t, "user_1", list.GetErasures()[0].GetUserId())
		require.Empty(t, list.GetNextPageToken())

		_, err = f.rpc.EraseUser(t.Context(), &authv1.EraseUserRequest{UserId: "user_1"})
		require.NoError(t, err)
		require.Eventually(t, complete("user_1"), soon, tick)
		asked, _ := f.billing.state()
		require.Equal(t, []string{"user_1", "user_never_seen", "user_1"}, asked, "a complete one can be done once more")
	})
}

func TestExportUser(t *testing.T) {
	f := start(t, withWebhooks)
	f.deliver(t, "msg_1", event("user.created", userData("user_1", "Ada", 1)))
	f.deliver(t, "msg_2", event("organizationMembership.created", fmt.Sprintf(
		`{"id":"orgmem_1","role":"org:admin","permissions":[],"organization":{"id":"org_1"},"public_user_data":{"user_id":"user_1"},"created_at":%d,"updated_at":%d}`, eventMillis, eventMillis)))
	key, err := f.rpc.CreateApiKey(f.as(t, f.clerk.Token(t, time.Now(), nil)), &authv1.CreateApiKeyRequest{Name: "laptop", Scopes: []string{apikey.Scopes()[0]}})
	require.NoError(t, err)
	got, err := f.rpc.ExportUser(t.Context(), &authv1.ExportUserRequest{UserId: "user_1"})
	require.NoError(t, err)
	var out struct {
		UserID string `json:"userId"`
		Auth   struct {
			User        struct{ PrimaryEmail string }
			Memberships []struct{ OrganizationID, Role string }
			APIKeys     []struct{ Name, Prefix string }
			Events      []struct{ ID, Type, RedactedPayload string }
		}
		AI      struct{ Holds string }
		Billing struct {
			UsageRecords []struct{ ID string }
			Holds        string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(got.GetJson()), &out))
	require.Equal(t, "user_1@example.test", out.Auth.User.PrimaryEmail)
	require.Equal(t, "org_1", out.Auth.Memberships[0].OrganizationID)
	require.Equal(t, "laptop", out.Auth.APIKeys[0].Name)
	require.Equal(t, "user.created", out.Auth.Events[0].Type)
	require.Empty(t, out.Auth.Events[0].RedactedPayload)
	require.Contains(t, out.Billing.Holds, "ledger entries")
	require.Equal(t, []struct{ ID string }{{"usage_1"}, {"usage_2"}}, out.Billing.UsageRecords, "every page of billing's")
	require.NotContains(t, got.GetJson(), key.GetSecret())
	_, err = f.rpc.ExportUser(t.Context(), &authv1.ExportUserRequest{UserId: "user_2"})
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, reason(err))
}

// An export without the usage records would look complete, so the export fails while billing is down, and the error names billing.
func TestExportWhileBillingIsDown(t *testing.T) {
	f := start(t, withWebhooks)
	f.deliver(t, "msg_1", event("user.created", userData("user_1", "Ada", 1)))
	for down, want := range map[error]errorsv1.ErrorReason{
		status.Error(codes.Unavailable, "connection refused"):    errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
		status.Error(codes.DeadlineExceeded, "too late"):         errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
		status.Error(codes.Internal, "a defect, not an outage"):  errorsv1.ErrorReason_ERROR_REASON_INTERNAL,
		status.Error(codes.PermissionDenied, "a wrong passport"): errorsv1.ErrorReason_ERROR_REASON_INTERNAL,
	} {
		f.billing.set(down)
		got, err := f.rpc.ExportUser(t.Context(), &authv1.ExportUserRequest{UserId: "user_1"})
		require.Nil(t, got)
		require.Equal(t, want, reason(err))
		if want == errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE {
			require.ErrorContains(t, err, "billing")
			require.Positive(t, errs.From(err).RetryAfter)
		}
	}
}

// sink is a server's stream that keeps what was sent.
type sink struct {
	grpc.ServerStream
	ctx  context.Context //nolint:containedctx // a stream has one
	sent []*authv1.ReconcileResponse
}

func (s *sink) Context() context.Context               { return s.ctx }
func (s *sink) Send(m *authv1.ReconcileResponse) error { s.sent = append(s.sent, m); return nil }

func TestReconcileRPC(t *testing.T) {
	s := startSandboxed(t, nil)
	_, err := s.authenticate(t, s.mint(t, sandboxUser("user_ada")))
	require.NoError(t, err)
	out := &sink{ctx: t.Context()}
	require.NoError(t, s.rpc.Reconcile(&authv1.ReconcileRequest{}, out))
	done := map[string]bool{}
	for _, m := range out.sent {
		done[m.GetKind()] = m.GetDone()
	}
	require.Equal(t, map[string]bool{"users": true, "organizations": true, "roles": true, "memberships": true}, done)
	u, err := s.rpc.GetUser(t.Context(), &authv1.GetUserRequest{UserId: "user_ada"})
	require.NoError(t, err)
	require.NotEmpty(t, u.GetUser().GetPrimaryEmail())

	offline := start(t, func(c *auth.Config) { c.SecretKeys, c.JWTKey = nil, authtest.PEM(t, authtest.Key(0)) })
	err = offline.rpc.Reconcile(&authv1.ReconcileRequest{}, &sink{ctx: t.Context()})
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, reason(err))

	refused := startSandboxed(t, func(c *auth.Config) {
		c.SecretKeys, c.JWTKey = settings.NewSecrets("sk_test_of_nobody"), authtest.PEM(t, authtest.Key(0))
	})
	err = refused.rpc.Reconcile(&authv1.ReconcileRequest{}, &sink{ctx: t.Context()})
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, reason(err))
	require.ErrorContains(t, err, "CLERK_SECRET_KEY")

	stranger := startSandboxed(t, nil)
	_, err = stranger.Store().PutUser(t.Context(), directory.User{ID: "user_1", CreateTime: time.Unix(1, 0), UpdateTime: time.Unix(1, 0)})
	require.NoError(t, err)
	err = stranger.rpc.Reconcile(&authv1.ReconcileRequest{}, &sink{ctx: t.Context()})
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, reason(err))
	require.ErrorContains(t, err, "trivet users erase")
}

// TestManyCallersAreAllStored sends what many senders send at once, some of it twice.
func TestManyCallersAreAllStored(t *testing.T) {
	bothDatabases(t, func(t *testing.T, f *fixture) {
		const callers, events = 16, 25
		var all sync.WaitGroup
		var duplicates atomic.Int64
		for c := range callers {
			all.Go(func() {
				for n := range events {
					id := fmt.Sprintf("msg_%d", c/2*events+n) // each by two callers
					got, err := f.receive(id, event("user.updated", userData(fmt.Sprintf("user_%d", n), "Ada", c/2)))
					if err != nil {
						t.Error(err)
					}
					if got.GetDuplicate() {
						duplicates.Add(1)
					}
				}
			})
		}
		all.Wait()
		require.EqualValues(t, callers*events/2, duplicates.Load())
		require.Eventually(t, func() bool {
			counts, err := f.Inbox().Counts(t.Context())
			return err == nil && len(counts) == 0
		}, soon, tick)
		list, err := f.rpc.ListUsers(t.Context(), &authv1.ListUsersRequest{PageSize: 500})
		require.NoError(t, err)
		require.Len(t, list.GetUsers(), events)
		for _, u := range list.GetUsers() {
			require.EqualValues(t, eventMillis+callers/2-1, u.GetUpdateTime().AsTime().UnixMilli(), "the newest of each")
		}
	})
}
