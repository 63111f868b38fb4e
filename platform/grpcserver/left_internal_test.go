package grpcserver

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// closed is a stream whose connection the caller has closed.
type closed struct{ grpc.ServerStream }

func (closed) SendHeader(metadata.MD) error {
	return errors.New("connection error: desc = \"transport is closing\"")
}

// A caller that has closed its connection before its call is accepted has left: that is not an internal error, which is logged and raises an alert.
func TestACallerThatLeftBeforeItsCallWasAccepted(t *testing.T) {
	err := (&chain{}).accept(closed{}, metadata.MD{}, &method{})
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CANCELLED, errs.From(err).Reason)
	require.ErrorContains(t, err, "the caller left")
}
