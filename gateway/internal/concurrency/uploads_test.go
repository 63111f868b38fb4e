package concurrency

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

func TestUploads(t *testing.T) {
	u := NewUploads(3, 2)
	require.NoError(t, u.Take("a"))
	require.NoError(t, u.Take("a"))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, errs.ReasonOf(u.Take("a")), "the account has its share")
	require.NoError(t, u.Take("b"))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.ReasonOf(u.Take("b")), "all accounts together have too many")
	u.Free("a")
	require.NoError(t, u.Take("b"))
	u.Free("a")
	u.Free("b")
	u.Free("b")
	require.Empty(t, u.accounts)
	require.Zero(t, u.taken)
}

func TestManyUploads(t *testing.T) {
	u := NewUploads(5, 2)
	var all sync.WaitGroup
	for i := range 50 {
		account := fmt.Sprint("a", i%3)
		all.Go(func() {
			for range 200 {
				if u.Take(account) == nil {
					u.Free(account)
				}
			}
		})
	}
	all.Wait()
	require.Empty(t, u.accounts)
	require.Zero(t, u.taken)
}
