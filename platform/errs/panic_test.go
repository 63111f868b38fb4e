package errs_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

func TestPanicText(t *testing.T) {
	recovered := func(f func()) (text string) {
		defer func() { text = errs.PanicText(recover()) }()
		f()
		return ""
	}
	var none *struct{ n int }
	list := []string{"canary"}
	for name, c := range map[string]struct {
		f    func()
		want string
	}{
		"a text":        {func() { panic("canary") }, "a value of type string"},
		"an error":      {func() { panic(errors.New("canary")) }, "a value of type *errors.errorString"},
		"a nil pointer": {func() { none.n++ }, "runtime error: invalid memory address or nil pointer dereference"},
		"an index":      {func() { list[len(list)] = "canary" }, "runtime error: index out of range [1] with length 1"},
		"a wrong type":  {func() { _ = any(list[0]).(int) }, "interface conversion: interface {} is string, not int"}, //nolint:forcetypeassert // it panics
		"the nil value": {func() { panic(nil) }, "panic called with nil argument"},
	} {
		require.Equal(t, c.want, recovered(c.f), name)
	}
}

// A provider's own text reaches the caller and no log, also when the error came from another process.
func TestQuotedTextIsNotLogged(t *testing.T) {
	for _, quoting := range []string{errs.Quoting, errs.QuotingRefusal, errs.QuotingFailure, errs.QuotingLimit, errs.QuotingTimeout} {
		err := errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, quoting+"%s", "canary").Cause(errors.New("canary"))
		require.NotContains(t, err.Error(), "canary")
		there := errs.From(err.GRPCStatus().Err())
		require.Equal(t, quoting+"canary", there.Message)
		require.Equal(t, "UPSTREAM_ERROR: "+quoting+"its text is not logged", there.Error())
	}
}
