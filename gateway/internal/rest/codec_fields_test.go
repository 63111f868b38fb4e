package rest

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// The decoder's errors about times and about fields that exclude each other name no field in a way that callers can read.
func TestParseNamesTheField(t *testing.T) {
	const (
		time     = "must be a time such as 2030-01-31T12:00:00Z, from the year 1 to 9999"
		seconds  = "must be a duration in seconds such as 600s"
		excluded = "must not be set beside another field that excludes it"
	)
	for name, tc := range map[string]struct {
		into        proto.Message
		body, field string
		problem     string
	}{
		"a time":                {&billingv1.CreateGrantRequest{}, `{"expireTime":"tomorrow"}`, "expireTime", time},
		"a time later":          {&billingv1.CreateGrantRequest{}, "{\n  \"source\": \"é: \\\"x\\\"\",\n  \"expireTime\" :\n  \"2026-13-01T00:00:00Z\"}", "expireTime", time},
		"a time after letters":  {&billingv1.CreateGrantRequest{}, `{"source":"ééé","expireTime":"0"}`, "expireTime", time},
		"a period":              {&billingv1.ReserveRequest{}, `{"apiKeySpendPeriod":"1h"}`, "apiKeySpendPeriod", seconds},
		"a pack beside a plan":  {&billingv1.CreateCheckoutSessionRequest{}, `{"planId":"pro","packId":"credit_20"}`, "packId", excluded},
		"a plan beside a pack":  {&billingv1.CreateCheckoutSessionRequest{}, `{"packId":"credit_20","planId":"pro"}`, "planId", excluded},
		"a plan beside nothing": {&billingv1.CreateCheckoutSessionRequest{}, `{"packId":"","planId":"pro"}`, "planId", excluded},
	} {
		t.Run(name, func(t *testing.T) {
			e := errs.From(parse([]byte(tc.body), tc.into))
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, e.Reason, e.Message)
			require.Equal(t, []errs.Field{{Name: tc.field, Problem: tc.problem}}, e.Fields)
			require.Equal(t, tc.field+" "+tc.problem+".", e.Message)
		})
	}
	for _, where := range [][2]string{{"0", "1"}, {"9", "1"}, {"x", "1"}, {"1", "-5"}, {"1", "99"}} {
		require.Empty(t, fieldAt([]byte(`{"a":{}}`), where[0], where[1]), where)
	}
}
