package apidocs_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/apidocs"
)

func TestOpenAPI(t *testing.T) {
	w := httptest.NewRecorder()
	apidocs.OpenAPI([]byte(`{"a":1}`)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	require.JSONEq(t, `{"a":1}`, w.Body.String())
	require.Equal(t, "7", w.Header().Get("Content-Length"))
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
}
