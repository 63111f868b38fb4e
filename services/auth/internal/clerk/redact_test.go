package clerk_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
)

func TestRedact(t *testing.T) {
	for name, tc := range map[string]struct{ payload, want string }{
		"user": {
			`{"type":"user.updated","instance_id":"ins_1","timestamp":1800000000000,"data":{"id":"user_1","object":"user","first_name":"Ada","last_name":null,
			  "external_id":"ada@corp.test","email_addresses":[{"id":"idn_1","email_address":"ada@example.test"}],"primary_email_address_id":"idn_1",
			  "image_url":"https://img.test/ada","public_metadata":{"plan_id":"pro","vip":true,"n":1,"deep":{"id":"x"}},"banned":false,"updated_at":1800000000000}}`,
			`{"type":"user.updated","instance_id":"ins_1","timestamp":1800000000000,"data":{"id":"user_1","object":"user","first_name":"[redacted]","last_name":null,
			  "external_id":"[redacted]","email_addresses":[{"id":"idn_1","email_address":"[redacted]"}],"primary_email_address_id":"idn_1",
			  "image_url":"[redacted]","public_metadata":{"plan_id":"[redacted]","vip":"[redacted]","n":"[redacted]","deep":{"id":"[redacted]"}},"banned":false,"updated_at":1800000000000}}`,
		},
		"membership": {
			`{"type":"organizationMembership.created","data":{"role":"org:admin","permissions":["org:billing:manage"],"organization":{"id":"org_1","name":"Acme"}}}`,
			`{"type":"organizationMembership.created","data":{"role":"org:admin","permissions":["org:billing:manage"],"organization":{"id":"org_1","name":"[redacted]"}}}`,
		},
		"unknown field": {`{"data":{"phone_number":"+1","token":"t","count":3}}`, `{"data":{"phone_number":"[redacted]","token":"[redacted]","count":"[redacted]"}}`},
		"a list at top": {`["secret",1]`, `["[redacted]","[redacted]"]`},
		"no JSON":       {`{"data`, `"[redacted]"`},
		"empty":         {``, `"[redacted]"`},
	} {
		require.JSONEq(t, tc.want, clerk.Redact([]byte(tc.payload)), name)
	}
}

// Redacted, a payload may grow: it is shown as long as a call can carry it.
func TestRedactIsBounded(t *testing.T) {
	list := func(n int) []byte { return []byte(`{"public_metadata":[1` + strings.Repeat(",1", n) + `]}`) }
	require.Contains(t, clerk.Redact(list(1000)), "public_metadata")
	require.Equal(t, `"[redacted]"`, clerk.Redact(list(500_000)))
	text := func(n int) []byte { return []byte(`{"id":"` + strings.Repeat("x", n-len(`{"id":""}`)) + `"}`) }
	require.Len(t, clerk.Redact(text(1<<20)), 1<<20)
	require.Equal(t, `"[redacted]"`, clerk.Redact(text(1<<20+1)))
}
