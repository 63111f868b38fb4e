package timefield_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/timefield"
)

func TestOf(t *testing.T) {
	at := time.Date(2030, 1, 31, 12, 0, 0, 1000, time.UTC)
	for name, test := range map[string]struct {
		given *timestamppb.Timestamp
		want  time.Time
	}{
		"no time":                    {},
		"a time":                     {timestamppb.New(at), at},
		"the epoch":                  {&timestamppb.Timestamp{}, time.Unix(0, 0).UTC()},
		"the first moment after":     {timestamppb.New(time.Time{}.Add(1)), time.Time{}.Add(1)},
		"the last time of a message": {timestamppb.New(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := timefield.Of("expireTime", test.given)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestTimesThatWouldCountAsNone(t *testing.T) {
	for name, given := range map[string]*timestamppb.Timestamp{
		"Go's zero time":  timestamppb.New(time.Time{}),
		"before year 1":   {Seconds: -62135596801},
		"after year 9999": {Seconds: 253402300800},
		"bad nanoseconds": {Nanos: -1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := timefield.Of("expireTime", given)
			e := errs.From(err)
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, e.Reason)
			require.Equal(t, "expireTime must be a time such as 2030-01-31T12:00:00Z, after the beginning of the year 1; leave the field out for no time.", e.Message)
			require.Equal(t, []errs.Field{{Name: "expireTime", Problem: "must be a time such as 2030-01-31T12:00:00Z, after the beginning of the year 1; leave the field out for no time"}}, e.Fields)
		})
	}
}
