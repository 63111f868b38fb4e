package invoke

import (
	"testing"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// A closer count of the input helps a refused call only while the balance, or the limit that refused it, has something left.
func TestACloserCountCanHelp(t *testing.T) {
	insufficient := errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE
	for name, c := range map[string]struct {
		reason   errorsv1.ErrorReason
		metadata map[string]string
		want     bool
	}{
		"some balance is left":          {insufficient, map[string]string{"limit": "balance", "balance_nano_usd": "10", "held_nano_usd": "9"}, true},
		"all of the balance is held":    {insufficient, map[string]string{"limit": "balance", "balance_nano_usd": "10", "held_nano_usd": "10"}, false},
		"the balance is negative":       {insufficient, map[string]string{"limit": "balance", "balance_nano_usd": "-1", "held_nano_usd": "0"}, false},
		"a limit has something left":    {insufficient, map[string]string{"limit": "member", "available_nano_usd": "1"}, true},
		"a limit is used up":            {insufficient, map[string]string{"limit": "member", "available_nano_usd": "0"}, false},
		"a lowered limit is exceeded":   {insufficient, map[string]string{"limit": "api_key", "available_nano_usd": "-5"}, false},
		"the refusal has no amounts":    {insufficient, nil, true},
		"the refusal is about the plan": {errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED, nil, false},
	} {
		err := errs.New(c.reason, "Refused.")
		for k, v := range c.metadata {
			err = err.With(k, v)
		}
		require.Equal(t, c.want, countable(nil, nil, err), name)
	}
}
