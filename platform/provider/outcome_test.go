package provider

import (
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestByStatus(t *testing.T) {
	for status, want := range map[int]outcome{
		101: success, 200: success, 302: success, 399: success, 400: clientError, 428: clientError, 429: rateLimited, 430: clientError,
		499: clientError, 500: serverError, 503: serverError, 599: serverError,
	} {
		require.Equal(t, want, byStatus(status), status)
	}
}

// The address of a request may hold a secret in its query, and errors of net/http quote it.
func TestAddressesStayOutOfTheLog(t *testing.T) {
	refused := errors.New("connection refused")
	of := &url.Error{Op: "Get", URL: "https://api.example.test/v1?key=hunter2", Err: refused}
	for _, err := range []error{of, fmt.Errorf("call: %w", of)} {
		require.Equal(t, "connection refused", withoutURL(err))
	}
	require.Equal(t, "connection refused", withoutURL(refused))
}
