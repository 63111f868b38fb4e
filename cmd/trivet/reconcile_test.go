package main

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// answers gives one after another, then the error.
func answers(err error, list ...counts) func() (counts, error) {
	return func() (counts, error) {
		if len(list) == 0 {
			return nil, err
		}
		first := list[0]
		list = list[1:]
		return first, nil
	}
}

func TestFollowPrintsTheLastWordOnEachKind(t *testing.T) {
	var out, say bytes.Buffer
	p := program{stdout: &out, stderr: &say}
	half, users := &authv1.ReconcileResponse{Kind: "users", Same: 1}, &authv1.ReconcileResponse{Kind: "users", Same: 1, Repaired: 2, Created: 3, Removed: 4, Done: true}
	require.NoError(t, p.follow("clerk", answers(io.EOF, half, users), time.Hour))
	require.Equal(t, "clerk users                   same 1, repaired 2, created 3, removed 4\n", out.String(), "no progress in a pipe")
	require.Empty(t, say.String())

	out.Reset()
	busy := errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "A reconciliation is under way.")
	require.EqualError(t, p.follow("clerk", answers(busy, half), time.Hour), "clerk: A reconciliation is under way.")
	require.Empty(t, out.String())
}

func TestFollowSaysThatItWaits(t *testing.T) {
	told := make(chan struct{}, 100)
	p := program{stdout: io.Discard, stderr: writer(func(text []byte) {
		require.Contains(t, string(text), "stripe: still running after")
		told <- struct{}{}
	})}
	require.ErrorContains(t, p.follow("stripe", func() (counts, error) {
		<-told // Stripe is away until then
		return nil, errors.New("it ended")
	}, time.Millisecond), "stripe: ")
}

type writer func([]byte)

// Write hands the text on.
func (w writer) Write(text []byte) (int, error) {
	w(text)
	return len(text), nil
}
