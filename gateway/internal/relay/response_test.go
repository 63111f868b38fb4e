package relay

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestObjectIDs(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/responses/resp_1":                               "resp_1",
		"/v1/responses/resp-A1/input_items":                  "resp-A1",
		"/v1/responses/":                                     "",
		"/v1/responses/resp%2Fx":                             "",
		"/v1/responses/..":                                   "",
		"/v1/responses/a b":                                  "",
		"/v1/responses/" + strings.Repeat("a", maxID):        strings.Repeat("a", maxID),
		"/v1/responses/" + strings.Repeat("a", maxID+1):      "",
		"/v1/responses/" + "\u00e9":                          "",
		"/v1/responses/" + "resp_1" + "/cancel" + "/further": "resp_1",
	} {
		require.Equal(t, want, objectID(path), path)
	}
}

// TestErrorOfAResponse: clients read either the members of OpenAI's error event or the envelope of an error.
func TestErrorOfAResponse(t *testing.T) {
	event := responseError([]byte(`{"error":{"message":"slow","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`))
	require.JSONEq(t, `{"type":"error","sequence_number":0,"code":"rate_limit_exceeded","message":"slow","param":null,
		"error":{"message":"slow","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`, string(event))
	for _, odd := range []string{`x`, `{}`, `{"error":"x"}`} {
		require.Equal(t, odd, string(responseError([]byte(odd))))
	}
}
