package rest

import (
	"net/url"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// A wrong value of the query is explained by its parameter and what it must be, whatever the value is.
func TestWrongQueryValues(t *testing.T) {
	for query, test := range map[string]struct {
		into proto.Message
		want string
	}{
		"pageSize=x":                         {&billingv1.ListEventsRequest{}, "pageSize must be a whole number."},
		"page_size=":                         {&billingv1.ListEventsRequest{}, "pageSize must be a whole number."},
		"pageSize=99999999999":               {&billingv1.ListEventsRequest{}, "pageSize is too large or too small."},
		"pageSize=field+%22a%22:+is+not+a+b": {&billingv1.ListEventsRequest{}, "pageSize must be a whole number."},
		"pageSize=1&pageSize=2":              {&billingv1.ListEventsRequest{}, "pageSize is given twice."},
		"pageSize=1&page_size=2":             {&billingv1.ListEventsRequest{}, "pageSize is given twice."},
		"state=x":                            {&billingv1.ListEventsRequest{}, "state must be one of the names that /openapi.json lists for it."},
		"since=yesterday":                    {&billingv1.ReconcileRequest{}, "since must be a time such as 2030-01-31T12:00:00Z, from the year 1 to 9999."},
		"since=0000-12-31T23:59:59Z":         {&billingv1.ReconcileRequest{}, "since must be a time such as 2030-01-31T12:00:00Z, from the year 1 to 9999."},
		"since=9999-12-31T23:59:59-01:00":    {&billingv1.ReconcileRequest{}, "since must be a time such as 2030-01-31T12:00:00Z, from the year 1 to 9999."},
		"timeLimit=60":                       {&billingv1.ReconcileRequest{}, "timeLimit must be a duration in seconds such as 600s."},
	} {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		err = runtime.PopulateQueryParameters(test.into, values, utilities.NewDoubleArray(nil))
		require.Error(t, err, query)
		for _, problem := range []error{wrongValue(err.Error(), err), asArgument(status.Error(codes.InvalidArgument, err.Error()))} {
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errs.ReasonOf(problem), query)
			require.Equal(t, test.want, errs.From(problem).Message, query)
		}
	}
	require.Equal(t, "The query sets two parameters that exclude each other.", errs.From(wrongValue(`field already set for oneof "subject"`, nil)).Message)
	require.Equal(t, "pageSize must be a whole number.", errs.From(wrongValue(`type mismatch, parameter: page_size, error: strconv.ParseInt: parsing "x": invalid syntax`, nil)).Message)
}
