package rest

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		body    string
		reason  errorsv1.ErrorReason
		field   string
		problem string
	}{
		"unknown":       {`{"modell":"x"}`, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "modell", "is not a field of this request"},
		"twice":         {`{"model":"x","model":"y"}`, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "model", "is given twice"},
		"of a type":     {`{"model":7}`, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "model", "must be a text"},
		"not an object": {`[]`, errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := errs.From(parse([]byte(tc.body), &aiv1.ChatRequest{}))
			require.Equal(t, tc.reason, e.Reason)
			if tc.field == "" {
				require.Empty(t, e.Fields)
				return
			}
			require.Equal(t, []errs.Field{{Name: tc.field, Problem: tc.problem}}, e.Fields)
		})
	}
}

// The texts name no types of protobuf, and do not repeat the caller's value.
func TestWhatAValueMustBe(t *testing.T) {
	for body, test := range map[string]struct {
		into proto.Message
		want string
	}{
		`{"requestsPerMinute":1e999}`:           {&authv1.CreateApiKeyRequest{}, "requestsPerMinute must be a whole number in the range of int32."},
		`{"amountNanoUsd":"x"}`:                 {&billingv1.CreateGrantRequest{}, "amountNanoUsd must be a whole number in the range of int64."},
		`{"create":"yes"}`:                      {&billingv1.CreateGrantRequest{}, "create must be true or false."},
		`{"planFile":"%"}`:                      {&billingv1.ApplyPlansRequest{}, "planFile must be bytes in base64."},
		`{"planId":"a","interval":"fortnight"}`: {&billingv1.CreateCheckoutSessionRequest{}, "interval must be one of the names that /openapi.json lists for it."},
		`{"planId":"a","packId":"b"}`:           {&billingv1.CreateCheckoutSessionRequest{}, "packId must not be set beside another field that excludes it."},
		`{"expireTime":"soon"}`:                 {&authv1.CreateApiKeyRequest{}, "expireTime must be a time such as 2030-01-31T12:00:00Z, from the year 1 to 9999."},
		`{"expireTime":"0000-12-31T23:59:59Z"}`: {&authv1.CreateApiKeyRequest{}, "expireTime must be a time such as 2030-01-31T12:00:00Z, from the year 1 to 9999."},
		`{"timeLimit":"5"}`:                     {&billingv1.ReconcileRequest{}, "timeLimit must be a duration in seconds such as 600s."},
		`{"timeLimit":"315576000001s"}`:         {&billingv1.ReconcileRequest{}, "timeLimit must be a duration in seconds such as 600s."},
		`{"updateMask":"requests_per_minute"}`:  {&authv1.UpdateApiKeyRequest{}, "updateMask must be names of fields such as name,requestsPerMinute."},
	} {
		err := parse([]byte(body), test.into)
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errs.ReasonOf(err), body)
		require.Equal(t, test.want, errs.From(err).Message, body)
	}
}

// A body that is not JSON is quoted, but not at any length.
func TestParseQuotesLittle(t *testing.T) {
	for _, body := range []string{strings.Repeat("é", 10_000), `{"` + strings.Repeat("é", 10_000) + `":1}`, `{"x` + strings.Repeat("é", 10_000) + `":1}`} {
		e := errs.From(parse([]byte(body), &aiv1.ChatRequest{}))
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, e.Reason)
		require.Less(t, len(e.Message), 250)
		require.True(t, utf8.ValidString(e.Message), "no character is cut in half")
	}
}

func TestAsArgument(t *testing.T) {
	own := errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "Not found.")
	fromService := own.GRPCStatus().Err()
	invalidFromService := errs.New(errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, "field page_size of the service's own").GRPCStatus().Err()
	down := status.Error(codes.Unavailable, "type mismatch, parameter: page_size")
	for _, err := range []error{own, fromService, invalidFromService, down, errors.New("page_size")} {
		require.Equal(t, err, asArgument(err), "it has its own reason, or does not concern an argument")
	}
	e := errs.From(asArgument(status.Error(codes.InvalidArgument, "type mismatch, parameter: page_size, error: x")))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, e.Reason)
	require.Equal(t, "pageSize", e.Fields[0].Name)
	e = errs.From(asArgument(status.Error(codes.InvalidArgument, "?")))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, e.Reason)
	require.Empty(t, e.Fields)
}
