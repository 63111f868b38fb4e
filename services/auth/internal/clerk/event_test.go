package clerk_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

var eventTime = time.UnixMilli(1_800_000_000_000).UTC() //nolint:gochecknoglobals // a constant

// full is an event as Clerk sends it, with everything that is not needed.
const full = `{
  "data": {
    "id": "user_1", "object": "user", "username": "ada", "first_name": "Ada\u0000", "last_name": null, "image_url": "https://img.test/a",
    "external_id": "app-1", "primary_email_address_id": "idn_2", "password_enabled": true, "banned": false, "deprovisioned": true, "locked": true,
    "lockout_expires_in_seconds": 60, "last_sign_in_at": 1,
    "email_addresses": [
      {"id": "idn_1", "email_address": "first@example.test", "verification": {"status": "verified", "strategy": "email_code"}},
      {"id": "idn_2", "email_address": "primary@example.test", "linked_to": []}
    ],
    "phone_numbers": [{"id": "idn_3", "phone_number": "+15550100"}],
    "external_accounts": [{"id": "eac_1", "email_address": "x@example.test", "approved_scopes": "email"}],
    "public_metadata": {"plan": "pro"}, "private_metadata": {"ssn": "123"}, "unsafe_metadata": {"diary": "dear"},
    "created_at": 1700000000000, "updated_at": 1700000000001
  },
  "event_attributes": {"http_request": {"client_ip": "203.0.113.7", "user_agent": "Mozilla"}},
  "instance_id": "ins_1", "object": "event", "timestamp": 1800000000000, "type": "user.updated"
}`

func TestWhatIsKeptOfAUser(t *testing.T) {
	e, err := clerk.ParseEvent([]byte(full))
	require.NoError(t, err)
	require.Equal(t, "user.updated", e.Type)
	require.Equal(t, "ins_1", e.InstanceID)
	require.Equal(t, "user_1", e.Subject)
	for _, gone := range []string{"+15550100", "203.0.113.7", "Mozilla", "ssn", "diary", "eac_1", "ada\"", "email_code", "idn_3"} {
		require.NotContains(t, string(e.Payload), gone)
	}
	change, err := clerk.ChangeOf(e.Payload, eventTime)
	require.NoError(t, err)
	require.Equal(t, directory.UserChanged{User: directory.User{
		ID: "user_1", Synced: true, PrimaryEmail: "primary@example.test", Emails: []string{"primary@example.test", "first@example.test"},
		FirstName: "Ada", ImageURL: "https://img.test/a", ExternalID: "app-1", PublicMetadata: json.RawMessage(`{"plan":"pro"}`),
		Deprovisioned: true, Verified: true, Locked: true, LockExpireTime: eventTime.Add(time.Minute), EventTime: eventTime,
		CreateTime: time.UnixMilli(1_700_000_000_000).UTC(), UpdateTime: time.UnixMilli(1_700_000_000_001).UTC(),
	}}, change)
}

// An event is in order with those of the object that is kept of it: names are exact, as Clerk writes them.
func TestSubjectIsOfWhatIsKept(t *testing.T) {
	e, err := clerk.ParseEvent([]byte(`{"type":"user.updated","data":{"id":"user_1","ID":"user_2"}}`))
	require.NoError(t, err)
	require.Equal(t, "user_1", e.Subject)
	require.JSONEq(t, `{"type":"user.updated","data":{"id":"user_1"}}`, string(e.Payload))
	_, err = clerk.ParseEvent([]byte(`{"type":"user.updated","data":{"ID":"user_2"}}`))
	require.ErrorIs(t, err, clerk.ErrMalformed)
}

// What is kept is never larger than what came, or a large event could not be stored.
func TestWhatIsKeptDoesNotGrow(t *testing.T) {
	odd := strings.Repeat("<&>\u2028", 1000)
	for _, event := range []string{
		`{"type":"user.updated","data":{"id":"user_1","first_name":"` + odd + `","public_metadata":{"` + odd + `":["` + odd + `"]}}}`,
		`{"type":"organizationMembership.created","data":{"permissions":["` + odd + `"],"organization":{"id":"org_1"},"public_user_data":{"user_id":"user_1"}}}`,
		`{"type":"role.created","data":{"id":"role_1","permissions":[{"key":"` + odd + `"},{"key":"` + odd + `"}]}}`,
		`{"type":"a.b","data":{"id":"x","status":"<&>","` + odd + `_id":1}}`,
	} {
		e, err := clerk.ParseEvent([]byte(event))
		require.NoError(t, err)
		require.LessOrEqual(t, len(e.Payload), len(event))
	}
}

// An envelope's time and kind are not needed to apply it: of a wrong shape they are as none.
func TestEnvelopesOfOddShape(t *testing.T) {
	const data = `"data":{"id":"user_1","deleted":true}`
	for name, tc := range map[string]struct{ more, kept string }{
		"time as a text":      {`"timestamp":"1800000000000",`, ""},
		"time with fraction":  {`"timestamp":1800000000000.5,`, ""},
		"time with exponent":  {`"timestamp":1.8e12,`, ""},
		"time beyond 64 bits": {`"timestamp":99999999999999999999,`, ""},
		"time as an object":   {`"timestamp":{"ms":1},`, ""},
		"no time":             {`"timestamp":null,`, ""},
		"kind as a number":    {`"object":7,`, ""},
		"kind as a list":      {`"object":["424242"],`, ""},
		"kind with a code":    {`"object":"your code is 424242",`, ""},
		"kind too long":       {`"object":"` + strings.Repeat("o", 129) + `",`, ""},
		"both as documented":  {`"object":"event","timestamp":1800000000000,`, `"object":"event","timestamp":1800000000000,`},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := clerk.ParseEvent([]byte(`{"type":"user.deleted",` + tc.more + data + `}`))
			require.NoError(t, err)
			require.JSONEq(t, `{"type":"user.deleted",`+tc.kept+data+`}`, string(e.Payload))
			change, err := clerk.ChangeOf(e.Payload, eventTime)
			require.NoError(t, err)
			require.Equal(t, directory.UserDeleted{ID: "user_1", At: eventTime}, change)
		})
	}
}

// Names are exact, as Clerk writes them: an id under another name would be missing from what is kept.
func TestIDsUnderOtherNames(t *testing.T) {
	for name, event := range map[string]string{
		"a user's":               `{"type":"user.deleted","data":{"ID":"user_1"}}`,
		"a user's, once empty":   `{"type":"user.deleted","data":{"id":"","Id":"user_1"}}`,
		"a session's":            `{"type":"session.revoked","data":{"iD":"sess_1"}}`,
		"an organization's":      `{"type":"organization.deleted","data":{"ID":"org_1"}}`,
		"a role's":               `{"type":"role.deleted","data":{"ID":"role_1"}}`,
		"a member's user":        `{"type":"organizationMembership.deleted","data":{"organization":{"id":"org_1"},"public_user_data":{"USER_ID":"user_1"}}}`,
		"a member's group":       `{"type":"organizationMembership.deleted","data":{"organization":{"ID":"org_1"},"public_user_data":{"user_id":"user_1"}}}`,
		"a member's outer group": `{"type":"organizationMembership.deleted","data":{"Organization":{"id":"org_1"},"public_user_data":{"user_id":"user_1"}}}`,
	} {
		_, err := clerk.ParseEvent([]byte(event))
		require.ErrorIs(t, err, clerk.ErrMalformed, name)
	}
	e, err := clerk.ParseEvent([]byte(`{"type":"future.thing","data":{"ID":"x_1"}}`))
	require.NoError(t, err)
	require.Empty(t, e.Subject)
	require.JSONEq(t, `{"type":"future.thing","data":{}}`, string(e.Payload))
}

// TestOutlines: of an object that nothing needs, only short scalars under a few names stay.
func TestOutlines(t *testing.T) {
	longest, longer := strings.Repeat("4", 254), strings.Repeat("4", 255) // and two quotes
	for name, tc := range map[string]struct{ data, kept string }{
		"256 bytes":            {`{"status":"` + longest + `"}`, `{"status":"` + longest + `"}`},
		"257 bytes":            {`{"status":"` + longer + `"}`, `{}`},
		"an object for an id":  {`{"id":"ema_1","user_id":{"code":"424242"}}`, `{"id":"ema_1"}`},
		"a list for an id":     {`{"id":"ema_1","user_id":["424242"]}`, `{"id":"ema_1"}`},
		"a list for a time":    {`{"id":"ema_1","created_at":[424242]}`, `{"id":"ema_1"}`},
		"spaces and an object": {`{"id":"ema_1","user_id": ` + "\n\t" + ` {"code":"424242"}}`, `{"id":"ema_1"}`},
		"all names":            {`{"id":"a","object":"b","status":"c","type":"d","deleted":true,"e_id":"f","g_at":1,"h":"424242"}`, `{"id":"a","object":"b","status":"c","type":"d","deleted":true,"e_id":"f","g_at":1}`},
		"names that end alike": {`{"id":"a","paid":"424242","format":"424242","idn":"424242"}`, `{"id":"a"}`},
		"names in other cases": {`{"ID":"424242","Status":"424242","user_ID":"424242"}`, `{}`},
		"a code in a name":     {`{"id":"a","your code is 424242_id":1,"` + strings.Repeat("n", 126) + `_id":1}`, `{"id":"a"}`},
		"a text":               {`"424242"`, `null`},
		"a list":               {`[{"id":"424242"}]`, `null`},
	} {
		e, err := clerk.ParseEvent([]byte(`{"type":"email.created","data":` + tc.data + `}`))
		require.NoError(t, err, name)
		require.JSONEq(t, `{"type":"email.created","data":`+tc.kept+`}`, string(e.Payload), name)
	}
}

// TestNames: what can be stored, listed and logged, to the byte.
func TestNames(t *testing.T) {
	longest := strings.Repeat("n", 128)
	for name, want := range map[string]bool{
		"user_1": true, "~": true, "!": true, "user~1": true, longest: true,
		longest + "n": false, "": false, "user 1": false, "\u007f": false, "us\u00e9r": false, `\n`: false, `\u0000`: false,
	} {
		_, err := clerk.ParseEvent([]byte(`{"type":"user.deleted","data":{"id":"` + name + `"}}`))
		require.Equal(t, want, err == nil, "id %q", name)
		_, err = clerk.ParseEvent([]byte(`{"type":"` + name + `","data":{"id":"x"}}`))
		require.Equal(t, want, err == nil, "type %q", name)
		_, err = clerk.ParseEvent([]byte(`{"type":"a.b","instance_id":"` + name + `","data":{"id":"x"}}`))
		require.Equal(t, want || name == "", err == nil, "instance %q", name)
	}
	_, err := clerk.ParseEvent([]byte(`{"type":"a.b","instance_id":"ins 1"}`))
	require.ErrorIs(t, err, clerk.ErrMalformed)
}

func TestMessagesAreNeverKept(t *testing.T) {
	for _, kind := range []string{"email.created", "sms.created", "waitlistEntry.created", "organizationInvitation.created", "made.up"} {
		e, err := clerk.ParseEvent([]byte(`{"type":"` + kind + `","data":{"id":"ema_1","object":"email","user_id":"user_1","status":"queued",
			"body":"your code is 424242","body_plain":"424242","subject":"424242 is your code","to_email_address":"ada@example.test",
			"email_address":"ada@example.test","phone_number_id":"idn_1","data":{"otp_code":"424242"},"created_at":5,"long_id":"` + strings.Repeat("4", 500) + `"}}`))
		require.NoError(t, err)
		require.JSONEq(t, `{"type":"`+kind+`","data":{"id":"ema_1","object":"email","user_id":"user_1","status":"queued","phone_number_id":"idn_1","created_at":5}}`,
			string(e.Payload))
		require.Equal(t, "ema_1", e.Subject)
		change, err := clerk.ChangeOf(e.Payload, eventTime)
		require.NoError(t, err)
		require.Nil(t, change)
	}
}

func TestChanges(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	for name, tc := range map[string]struct {
		event, subject string
		want           directory.Change
	}{
		"user deleted":          {`{"type":"user.deleted","timestamp":5000,"data":{"id":"user_1","object":"user","deleted":true}}`, "user_1", directory.UserDeleted{ID: "user_1", At: at(5000)}},
		"user deleted, no time": {`{"type":"user.deleted","data":{"id":"user_1"}}`, "user_1", directory.UserDeleted{ID: "user_1", At: eventTime}},
		"organization": {
			`{"type":"organization.created","data":{"id":"org_1","name":"Acme","slug":"acme","created_by":"user_1","created_at":1,"updated_at":2,"public_metadata":null}}`, "org_1",
			directory.OrganizationChanged{Organization: directory.Organization{ID: "org_1", Synced: true, Name: "Acme", Slug: "acme", PublicMetadata: json.RawMessage("{}"), CreateTime: at(1), UpdateTime: at(2)}},
		},
		"organization deleted": {`{"type":"organization.deleted","timestamp":9,"data":{"id":"org_1","slug":"acme","deleted":true}}`, "org_1", directory.OrganizationDeleted{ID: "org_1", At: at(9)}},
		"membership": {
			`{"type":"organizationMembership.updated","data":{"id":"orgmem_1","role":"org:admin","permissions":["b","a"],"organization":{"id":"org_1","name":"Acme"},"public_user_data":{"user_id":"user_1","first_name":"Ada"},"created_at":1,"updated_at":2}}`,
			"org_1:user_1",
			directory.MembershipChanged{Membership: directory.Membership{ID: "orgmem_1", OrganizationID: "org_1", UserID: "user_1", Role: "admin", Permissions: []string{"a", "b"}, CreateTime: at(1), UpdateTime: at(2)}},
		},
		"membership deleted": {
			`{"type":"organizationMembership.deleted","timestamp":9,"data":{"id":"orgmem_1","role":"org:admin","organization":{"id":"org_1"},"public_user_data":{"user_id":"user_1"},"created_at":1,"updated_at":2}}`,
			"org_1:user_1",
			directory.MembershipDeleted{ID: "orgmem_1", OrganizationID: "org_1", UserID: "user_1", CreateTime: at(1), At: at(9)},
		},
		"membership deleted, only the id": {
			`{"type":"organizationMembership.deleted","data":{"id":"orgmem_3","object":"organization_membership","deleted":true}}`,
			"orgmem_3",
			directory.MembershipDeleted{ID: "orgmem_3"},
		},
		"membership deleted, half of whose": {
			`{"type":"organizationMembership.deleted","timestamp":9,"data":{"id":"orgmem_3","organization":{"id":"org_1"},"public_user_data":{"user_id":"user 1"}}}`,
			"orgmem_3",
			directory.MembershipDeleted{ID: "orgmem_3", At: at(9)},
		},
		"membership deleted, no good id": {
			`{"type":"organizationMembership.deleted","timestamp":9,"data":{"id":"orgmem 3","organization":{"id":"org_1"},"public_user_data":{"user_id":"user_1"},"created_at":-1}}`,
			"org_1:user_1",
			directory.MembershipDeleted{OrganizationID: "org_1", UserID: "user_1", At: at(9)},
		},
		"role": {
			`{"type":"role.updated","data":{"id":"role_1","key":"org:buyer","permissions":[{"id":"perm_1","key":"org:b:buy"},{"key":"org:a:see"}],"created_at":1,"updated_at":2}}`, "role_1",
			directory.RoleChanged{Role: directory.Role{ID: "role_1", Name: "buyer", Permissions: []string{"org:a:see", "org:b:buy"}, UpdateTime: at(2)}},
		},
		"role deleted":       {`{"type":"role.deleted","timestamp":9,"data":{"id":"role_1","deleted":true}}`, "role_1", directory.RoleDeleted{ID: "role_1", At: at(9)}},
		"session revoked":    {`{"type":"session.revoked","data":{"id":"sess_1","user_id":"user_1","user":{"id":"user_1","first_name":"Ada"}}}`, "sess_1", directory.SessionEnded{ID: "sess_1"}},
		"session ended":      {`{"type":"session.ended","data":{"id":"sess_1"}}`, "sess_1", directory.SessionEnded{ID: "sess_1"}},
		"session removed":    {`{"type":"session.removed","data":{"id":"sess_1"}}`, "sess_1", directory.SessionEnded{ID: "sess_1"}},
		"session created":    {`{"type":"session.created","data":{"id":"sess_1"}}`, "sess_1", nil},
		"permission":         {`{"type":"permission.updated","data":{"id":"perm_1"}}`, "perm_1", nil},
		"unknown, no id":     {`{"type":"future.thing","data":{}}`, "", nil},
		"unknown, no data":   {`{"type":"future.thing"}`, "", nil},
		"user of the future": {`{"type":"user.promoted","data":{"id":"user_1"}}`, "user_1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := clerk.ParseEvent([]byte(tc.event))
			require.NoError(t, err)
			require.Equal(t, tc.subject, e.Subject)
			require.NotContains(t, string(e.Payload), "Ada")
			got, err := clerk.ChangeOf(e.Payload, eventTime)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
		})
	}
}

func TestMalformedEvents(t *testing.T) {
	for name, body := range map[string]string{
		"nothing": "", "no JSON": "hello", "cut": full[:100], "a list": "[]", "a string": `"x"`, "null": "null", "no type": `{"data":{"id":"user_1"}}`,
		"type of another type": `{"type":1,"data":{}}`, "type with a space": `{"type":"user created","data":{"id":"user_1"}}`,
		"type too long": `{"type":"` + strings.Repeat("t", 129) + `","data":{}}`, "type with a null": `{"type":"user\u0000","data":{}}`,
		"user without an id": `{"type":"user.created","data":{}}`, "user without data": `{"type":"user.created"}`, "user as a text": `{"type":"user.created","data":"x"}`,
		"id of another type": `{"type":"user.created","data":{"id":7}}`, "id with a space": `{"type":"user.created","data":{"id":"user 1"}}`,
		"id too long":              `{"type":"user.created","data":{"id":"` + strings.Repeat("u", 129) + `"}}`,
		"membership of nobody":     `{"type":"organizationMembership.created","data":{"id":"orgmem_1","organization":{"id":"org_1"}}}`,
		"end of no membership":     `{"type":"organizationMembership.deleted","data":{"id":"orgmem 3","deleted":true}}`,
		"membership of an id":      `{"type":"organizationMembership.updated","data":{"id":"orgmem_3"}}`,
		"membership of a number":   `{"type":"organizationMembership.deleted","data":{"id":7,"organization":{"id":"org_1"},"public_user_data":{"user_id":"user_1"}}}`,
		"membership of nothing":    `{"type":"organizationMembership.created","data":{"id":"orgmem_1","public_user_data":{"user_id":"user_1"}}}`,
		"instance of another type": `{"type":"user.created","instance_id":{},"data":{"id":"user_1"}}`, "not UTF-8": "{\"type\":\"user.created\xff\"}",
		"not UTF-8 in a value": "{\"type\":\"user.created\",\"data\":{\"id\":\"user_1\",\"first_name\":\"\xff\"}}",
		"two values":           `{"type":"user.created","data":{"id":"user_1"}} {}`, "deep": strings.Repeat("[", 20000),
	} {
		_, err := clerk.ParseEvent([]byte(body))
		require.ErrorIs(t, err, clerk.ErrMalformed, name)
		require.NotContains(t, err.Error(), "hello", "%s: nothing of the body is quoted", name)
	}
}

// TestPoisonedEvents are stored, and no attempt will ever apply them.
func TestPoisonedEvents(t *testing.T) {
	for name, event := range map[string]string{
		"no times": `{"type":"user.created","data":{"id":"user_1"}}`, "negative time": `{"type":"user.created","data":{"id":"user_1","created_at":1,"updated_at":-1}}`,
		"time beyond the year 9999": `{"type":"organization.created","data":{"id":"org_1","created_at":1,"updated_at":999999999999999}}`,
		"emails as a text":          `{"type":"user.created","data":{"id":"user_1","email_addresses":"x","created_at":1,"updated_at":1}}`,
		"membership without a role": `{"type":"organizationMembership.created","data":{"organization":{"id":"o"},"public_user_data":{"user_id":"u"},"created_at":1,"updated_at":1}}`,
		"role without a key":        `{"type":"role.created","data":{"id":"role_1","updated_at":1}}`,
	} {
		e, err := clerk.ParseEvent([]byte(event))
		require.NoError(t, err, name)
		_, err = clerk.ChangeOf(e.Payload, eventTime)
		require.Error(t, err, name)
	}
}

// FuzzParseEvent: whatever comes is either refused or storable.
func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(`{"type":"organizationMembership.deleted","data":{"organization":{"id":"o"},"public_user_data":{"user_id":"u"}}}`))
	f.Add([]byte(`{"type":"organizationMembership.deleted","data":{"id":"orgmem_3","object":"organization_membership","deleted":true}}`))
	f.Add([]byte(`{"type":"user.created","data":{"id":"user_1","email_addresses":[null,[],{"id":1}]}}`))
	f.Add([]byte(`{"type":"email.created","data":{"id":"ema_1","body":"424242","user_id":{"code":"424242"},"ID":"x"},"timestamp":"soon"}`))
	f.Add([]byte(`{"type":"role.created","object":7,"data":{"id":"role_1","key":"<&>","permissions":["a",{"key":1}]},"timestamp":1.5}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := clerk.ParseEvent(body)
		if err != nil {
			require.ErrorIs(t, err, clerk.ErrMalformed)
			return
		}
		require.True(t, json.Valid(e.Payload))
		require.LessOrEqual(t, len(e.Payload), len(body)+len(`{"type":"","data":null}`))
		for _, text := range []string{e.Type, e.InstanceID, e.Subject} {
			require.LessOrEqual(t, len(text), 257)
			require.False(t, strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }), "%q", text)
		}
		require.NotEmpty(t, e.Type)
		messages(t, e)
		again, err := clerk.ParseEvent(e.Payload)
		require.NoError(t, err, "what is stored can be read again")
		require.Equal(t, e.Subject, again.Subject)
		_, _ = clerk.ChangeOf(e.Payload, eventTime)
	})
}

// messages checks that nothing is kept of a message but short scalars under names of an outline.
func messages(t *testing.T, e clerk.Event) {
	t.Helper()
	if !strings.HasPrefix(e.Type, "email.") && !strings.HasPrefix(e.Type, "sms.") {
		return
	}
	var kept struct{ Data map[string]any }
	require.NoError(t, json.Unmarshal(e.Payload, &kept))
	for name, value := range kept.Data {
		require.Regexp(t, `^(id|object|status|type|deleted|.*_id|.*_at)$`, name)
		switch v := value.(type) {
		case string:
			require.LessOrEqual(t, len(v), 256)
		case map[string]any, []any:
			require.Fail(t, "a value that may hold a text", "%s: %v", name, v)
		}
	}
}
