package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// An item whose content a provider may overlook is looked up by its id, so its owner is checked.
func TestItemsWithoutContentAreReferences(t *testing.T) {
	for item, references := range map[string]bool{
		`{"id":"msg_1","output":"x"}`:                                                                      true,
		`{"id":"msg_1","content":[]}`:                                                                      true,
		`{"id":"msg_1","role":"user","content":[ ]}`:                                                       true,
		`{"id":"msg_1","role":"user","content":""}`:                                                        true,
		`{"id":"msg_1","content":"x"}`:                                                                     true,
		`{"type":null,"id":"msg_1","action":0}`:                                                            true,
		`{"type":"function_call","id":"msg_1","output":"x"}`:                                               true,
		`{"type":"function_call_output","id":"msg_1","arguments":"x"}`:                                     true,
		`{"type":"reasoning","id":"msg_1","summary":[],"encrypted_content":""}`:                            true,
		`{"type":"reasoning","id":"msg_1","summary":[],"encrypted_content":"x"}`:                           false,
		`{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"x"}]}`: false,
		`{"type":"function_call","id":"msg_1","call_id":"c","name":"f","arguments":""}`:                    false,
		`{"type":"function_call_output","id":"msg_1","call_id":"c","output":""}`:                           false,
		`{"role":"user","content":""}`:                                                                     false,
	} {
		request, err := wire.Parse(wire.Responses, []byte(`{"model":"m","input":[`+item+`]}`), nil)
		require.NoError(t, err, item)
		if references {
			require.Equal(t, []string{"msg_1"}, request.References.Items, item)
		} else {
			require.Empty(t, request.References.Items, item)
		}
	}
}

// Of two members with one name, and of a name in other letters, a provider may read the one that was not checked.
func TestMembersThatHideOthersAreRefused(t *testing.T) {
	for body, field := range map[string]string{
		`"input":[{"type":"reasoning","id":"rs_1","encrypted_content":null,"encrypted_content":"x"}]`: "input[0].encrypted_content",
		`"input":[{"id":"msg_1","role":"user","content":"x","content":null}]`:                         "input[0].content",
		`"input":"x","tools":[{"type":"web_search","type":"function","name":"a"}]`:                    "tools[0].type",
		`"input":"x","tools":[{"type":"function","Type":"web_search"}]`:                               "tools[0].Type",
		`"input":"x","tools":{"type":"web_search"}`:                                                   "tools",
		"\"input\":\"x\",\"previou\u017f_response_id\":\"resp_1\"":                                    "previous_response_id",
		"\"input\":\"x\",\"bac\u212aground\":true":                                                    "background",
		`"input":"x","background":true,"store":false`:                                                 "background",
		`"input":"x","background":1`:                                                                  "background",
	} {
		_, err := wire.Parse(wire.Responses, []byte(`{"model":"m",`+body+`}`), nil)
		require.ErrorContains(t, err, field, body)
	}
	_, err := wire.Parse(wire.ResponsesCompact, []byte(`{"model":"m","input":"x","max_output_tokens":1}`), nil)
	require.ErrorContains(t, err, "max_output_tokens")
	for _, endpoint := range []wire.Endpoint{wire.ResponsesCompact, wire.ResponsesInputTokens} {
		_, err := wire.Parse(endpoint, []byte(`{"model":"m","input":"x","background":true}`), nil)
		require.ErrorContains(t, err, "background")
	}
}

func TestBackgroundIsRead(t *testing.T) {
	for body, want := range map[string]bool{
		`{"model":"m","input":"x"}`: false, `{"model":"m","input":"x","background":false,"store":false}`: false,
		`{"model":"m","input":"x","background":null}`: false, `{"model":"m","input":"x","background":true}`: true,
		`{"model":"m","input":"x","background":true,"store":null}`: true, `{"model":"m","input":"x","store":true,"background":true}`: true,
	} {
		r, err := wire.Parse(wire.Responses, []byte(body), nil)
		require.NoError(t, err, body)
		require.Equal(t, want, r.Background, body)
	}
}
