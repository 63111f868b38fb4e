package rest

import (
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

func TestSchemasKeepOrderAndNumbers(t *testing.T) {
	const schema = `{"type":"object", "properties":{"zeta":{"maximum":9007199254740993},"alpha":{"minimum":1e-400}}}`
	body := `{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"name":"a"},{"name":"f","parameters":` + schema + `},{"name":"g","parametersJson":"{}"}]}`
	chat, stream := &aiv1.ChatRequest{}, &aiv1.ChatStreamRequest{}
	require.NoError(t, parse([]byte(body), chat))
	require.NoError(t, parse([]byte(body), stream))
	for _, tools := range [][]*aiv1.Tool{chat.GetTools(), stream.GetTools()} {
		require.Len(t, tools, 3)
		require.Empty(t, tools[0].GetParametersJson())
		require.Equal(t, schema, tools[1].GetParametersJson()) //nolint:testifylint // the exact bytes count
		require.Nil(t, tools[1].GetParameters())
		require.Equal(t, "{}", tools[2].GetParametersJson())
	}
	both := &aiv1.ChatRequest{}
	require.NoError(t, parse([]byte(`{"tools":[{"name":"f","parameters":{},"parametersJson":"{}"}]}`), both))
	require.NotNil(t, both.GetTools()[0].GetParameters(), "two schemas are the service's to refuse")
	require.Error(t, parse([]byte(`{"tools":[{"name":"f","parameters":[]}]}`), both))

	for _, name := range []string{"responseFormat", "response_format"} {
		body := `{"model":"m","messages":[],"` + name + `":{"strict":true,"schema":` + schema + `}}`
		counted := &aiv1.CountTokensRequest{}
		require.NoError(t, parse([]byte(body), counted))
		require.NoError(t, parse([]byte(body), chat))
		for _, format := range []*aiv1.ResponseFormat{counted.GetResponseFormat(), chat.GetResponseFormat()} {
			require.Equal(t, schema, format.GetSchemaJson()) //nolint:testifylint // the exact bytes count
			require.Nil(t, format.GetSchema())
			require.True(t, format.GetStrict())
		}
	}
	require.NoError(t, parse([]byte(`{"responseFormat":{"schema":{},"schemaJson":"{}"}}`), both))
	require.NotNil(t, both.GetResponseFormat().GetSchema(), "two schemas are the service's to refuse")
	require.NoError(t, parse([]byte(`{"responseFormat":{"schema":null}}`), both))
	require.Empty(t, both.GetResponseFormat().GetSchemaJson())
}
