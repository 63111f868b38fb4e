package upstream

import (
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
)

// TestUpload: a form can be read again until the answer has begun or the caller is gone; a reading that is under way continues.
func TestUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, byCaller := range []bool{true, false} {
			u, gone := &upload{body: []byte("a form")}, make(chan struct{})
			release := u.until(gone)
			first, err := u.again()
			require.NoError(t, err)
			if byCaller {
				close(gone)
				synctest.Wait()
			} else {
				release()
			}
			_, err = u.again()
			require.ErrorIs(t, err, errReleased)
			next, _ := afterError(err)
			require.Equal(t, final, next, "the form is gone, so no attempt may follow")
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CANCELLED, Failure(err).Reason)
			all, err := io.ReadAll(first)
			require.NoError(t, err)
			require.Equal(t, "a form", string(all))
			require.NoError(t, first.Close())
			if byCaller {
				release()
			}
		}
		closed, err := (&upload{body: []byte("a form")}).again()
		require.NoError(t, err)
		require.NoError(t, closed.Close())
		all, err := io.ReadAll(closed)
		require.NoError(t, err)
		require.Empty(t, all)
	})
}
