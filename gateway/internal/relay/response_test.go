package relay

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
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

func TestTheEventsOfAStoredResponseAreAStream(t *testing.T) {
	for query, want := range map[string]bool{
		"": false, "stream=true": true, "starting_after=3&stream=true": true, "stream=false": false, "include=stream": false, "stream=%zz": false,
	} {
		in := &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_RESPONSE_GET, ObjectId: "resp_1", Query: query}
		require.Equal(t, want, mayStream(in), query)
		require.Equal(t, want, wantsStream(in), query)
		require.True(t, isResponse(in), "an error within the stream has the form of the API")
	}
}
