package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/idempotency"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
)

// creationKeys checks that a request under an idempotency key makes one API key.
func creationKeys(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	once := apikey.Once{Key: "once", RequestDigest: "same"}
	add := func(id string, once apikey.Once) error {
		return s.AddKeyOnce(ctx, key(id, "org_1", 1), []byte(id), maxKeys, once)
	}
	full := s.AddKeyOnce(ctx, key("key_0", "org_1", 1), []byte("key_0"), 0, once)
	require.ErrorIs(t, full, apikey.ErrTooMany)
	require.NoError(t, add("key_1", once), "a request that is refused does not take the idempotency key")

	e := errs.From(add("key_2", once))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN, e.Reason)
	require.Equal(t, map[string]string{"api_key_id": "key_1"}, e.Metadata)
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_IDEMPOTENCY_KEY_REUSED, errs.ReasonOf(add("key_2", apikey.Once{Key: "once", RequestDigest: "other"})))
	_, err := s.KeyByHash(ctx, []byte("key_2"))
	require.ErrorIs(t, err, apikey.ErrNotFound)
	require.NoError(t, add("key_3", apikey.Once{Key: "another", RequestDigest: "same"}))
	require.NoError(t, s.AddKey(ctx, key("key_4", "org_1", 1), []byte("key_4"), maxKeys), "without an idempotency key nothing is checked")

	const twins = 8
	results := make([]error, twins)
	var all sync.WaitGroup
	for n := range twins {
		all.Go(func() {
			results[n] = s.AddKeyOnce(ctx, key(fmt.Sprint("twin_", n), "org_1", 1), fmt.Append(nil, "twin_", n), maxKeys+twins, apikey.Once{Key: "twins", RequestDigest: "same"})
		})
	}
	all.Wait()
	made := 0
	for _, err := range results {
		if err == nil {
			made++
			continue
		}
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN, errs.ReasonOf(err), "%v", err)
	}
	require.Equal(t, 1, made)
}

// CheckRepeated forgets an idempotency key after a day.
func creationKeysEnd(t *testing.T, _ Open) {
	once, made := apikey.Once{Key: "once", RequestDigest: "same"}, at(1)
	require.Error(t, once.CheckRepeated("key_1", "same", made, made.Add(idempotency.Kept-time.Nanosecond)))
	require.NoError(t, once.CheckRepeated("key_1", "same", made, made.Add(idempotency.Kept)))
	require.NoError(t, once.CheckRepeated("key_1", "other", made, made.Add(idempotency.Kept)))
}
