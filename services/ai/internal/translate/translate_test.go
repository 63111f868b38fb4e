package translate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/translate"
)

// What the hold was not measured with must not reach the chat.
func TestFieldsOfChatsDoNotPass(t *testing.T) {
	for _, field := range []string{
		`"n":128`, `"max_tokens":9`, `"max_completion_tokens":100000`, `"messages":[{"role":"user","content":"x"}]`, `"functions":[]`, `"function_call":"auto"`,
		`"modalities":["audio"]`, `"audio":{}`, `"prediction":{}`, `"web_search_options":{}`, `"best_of":2`,
	} {
		_, err := translate.New([]byte(`{"model":"m","input":"x","max_output_tokens":16,`+field+`}`), translate.Options{})
		require.ErrorContains(t, err, "is a field of chat completions", field)
	}
	exchange, err := translate.New([]byte(`{"model":"m","input":"x","max_output_tokens":16,"n":null,"max_tokens":null}`), translate.Options{})
	require.NoError(t, err)
	require.JSONEq(t, `{"model":"m","messages":[{"role":"user","content":"x"}],"max_completion_tokens":16}`, string(exchange.Body))
}
