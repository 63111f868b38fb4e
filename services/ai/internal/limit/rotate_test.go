package limit_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/redistest"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
)

// Another password is used for the next call, and the counts continue. A password that Redis refuses, an address that
// nobody answers, and a user who may run no scripts change nothing.
func TestPasswordsOfRedisRotate(t *testing.T) {
	server := redistest.New(t)
	server.Do(t, "", "", "ACL", "SETUSER", "limits", "on", ">one", ">two", "~*", "+@all")
	r, err := limit.NewRedis(limit.RedisOptions{URL: server.As("limits", "one"), Timeout: 30 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	left := int64(3)
	admit := func() {
		t.Helper()
		_, err := r.Admit(t.Context(), limit.Ask{Account: "a", AccountRequests: left})
		require.NoError(t, err)
	}
	admit()
	server.Do(t, "", "", "ACL", "SETUSER", "silent", "on", ">s3cret", "~*", "+@all", "-eval")
	for _, url := range []string{
		server.As("limits", "s3cret"), server.As("nobody", "s3cret"), "redis://:s3cret@ho st", server.As("silent", "s3cret"), server.As("limits", "s3cret") + "-elsewhere",
	} {
		err := r.Rotate(t.Context(), url)
		require.Error(t, err, url)
		require.NotContains(t, err.Error(), "s3cret")
	}
	require.NoError(t, r.Rotate(t.Context(), server.As("limits", "one")))
	require.NoError(t, r.Rotate(t.Context(), server.As("limits", "two")))
	server.Do(t, "", "", "ACL", "SETUSER", "limits", "<one")
	server.Do(t, "limits", "two", "CLIENT", "KILL", "USER", "limits", "SKIPME", "yes")
	require.Eventually(t, func() bool { // a connection that Redis cut is not used again
		_, err := r.Admit(t.Context(), limit.Ask{Account: "b", AccountRequests: 1000})
		return err == nil
	}, time.Minute, time.Millisecond)
	admit()
	admit()
	_, err = r.Admit(t.Context(), limit.Ask{Account: "a", AccountRequests: left})
	require.ErrorContains(t, err, "RATE_LIMIT_EXCEEDED")

	server.Stop(t)
	require.NoError(t, r.Rotate(t.Context(), server.As("limits", "three")), "when neither answers, the new one is used")
	server.Start(t)
}

// A renewal that waits for a silent Redis stops neither a change of the address nor the calls that come meanwhile.
func TestRotateDoesNotWaitForRenew(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	asked := make(chan net.Conn, 1)
	go func() {
		conn, err := silent.Accept()
		if err == nil {
			asked <- conn
		}
	}()
	server := redistest.New(t)
	r, err := limit.NewRedis(limit.RedisOptions{URL: "redis://" + silent.Addr().String(), Timeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	ctx, cancel := context.WithCancel(t.Context())
	renewed := make(chan error, 1)
	go func() { renewed <- r.Renew(ctx) }()
	conn := <-asked

	require.NoError(t, r.Rotate(t.Context(), server.URL()))
	_, err = r.Admit(t.Context(), limit.Ask{Account: "a", AccountRequests: 1})
	require.NoError(t, err)
	select {
	case err := <-renewed:
		t.Fatalf("the renewal has ended before: %v", err)
	default:
	}
	cancel()
	require.NoError(t, conn.Close())
	require.Error(t, <-renewed)
	require.NoError(t, silent.Close())
}
