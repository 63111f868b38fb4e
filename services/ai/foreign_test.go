package ai_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// TestObjectsWithoutAnOwnerAreRefused by their names, wherever a request names one, also where the operator allows every field
// and has a price for the tool. The provider keeps them under one key for all accounts.
func TestObjectsWithoutAnOwnerAreRefused(t *testing.T) {
	const (
		chats      = aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS
		embeddings = aiv1.Endpoint_ENDPOINT_EMBEDDINGS
		content    = "Send its content instead"
		transcript = "Send its transcript as the content of the message instead"
		voice      = "Use the name of one of the provider's voices instead"
	)
	message := func(content string) posted {
		return plain(`{"model":"dear","messages":[{"role":"user","content":"a"},{"role":"user","content":` + content + `}]}`)
	}
	tool := func(tool string) posted {
		return plain(`{"model":"dear","input":"a","store":false,"max_tool_calls":1,"tools":[{"type":"function","name":"f","parameters":{"properties":{"file_id":{"type":"string"}}}},` + tool + `]}`)
	}
	edit := func(name, value string) posted {
		return form(t, "model", "draw", "prompt", "a", "@image", "x", name, value)
	}
	for name, c := range map[string]struct {
		endpoint      aiv1.Endpoint
		request       posted
		field, advice string
	}{
		"a file of a chat":         {chats, message(`[{"type":"text","text":"a"},{"type":"file","file":{"filename":"a","file_id":"file-1"}}]`), "messages[1].content[1].file.file_id", content},
		"one beside its content":   {chats, message(`[{"type":"file","file":{"file_data":"data:,a","file_id":"file-1"}}]`), "messages[1].content[0].file.file_id", content},
		"one in capitals":          {chats, message(`[{"type":"file","File":{"File_ID":"file-1"}}]`), "messages[1].content[0].File.File_ID", content},
		"one in escapes":           {chats, message(`[{"type":"file","file":{"file\u005fid":"file-1"}}]`), "messages[1].content[0].file.file_id", content},
		"one in a part":            {chats, message(`[{"type":"input_file","file_id":"file-1"}]`), "messages[1].content[0].file_id", content},
		"one in a list of a part":  {chats, message(`[[{"type":"input_file","file_id":"file-1"}]]`), "messages[1].content[0][0].file_id", content},
		"one in place of a list":   {chats, message(`{"type":"file","file":{"file_id":"file-1"}}`), "messages[1].content.file.file_id", content},
		"one as an image":          {chats, message(`[{"type":"image_url","image_url":{"file_id":"file-1"}}]`), "messages[1].content[0].image_url.file_id", content},
		"one as images":            {chats, message(`[{"type":"image_url","image_url":[{"file_id":"file-1"}]}]`), "messages[1].content[0].image_url[0].file_id", content},
		"one as an address":        {chats, message(`[{"type":"image_url","image_url":{"url":{"file_id":"file-1"}}}]`), "messages[1].content[0].image_url.url.file_id", content},
		"one as sound":             {chats, message(`[{"type":"input_audio","input_audio":{"format":"wav","file_id":"file-1"}}]`), "messages[1].content[0].input_audio.file_id", content},
		"the first of two":         {chats, message(`[{"type":"file","file":{"file_id":"file-1"}},{"type":"file","x":{"file_id":"file-2"}}]`), "messages[1].content[0].file.file_id", content},
		"a spoken answer":          {chats, plain(`{"model":"dear","messages":[{"role":"assistant","audio":{"id":"audio_1"}},{"role":"user","content":"a"}]}`), "messages[0].audio.id", transcript},
		"one with its content":     {chats, plain(`{"model":"dear","messages":[{"role":"assistant","content":"a","audio":{"id":"audio_1","data":"AAAA"}}]}`), "messages[0].audio.id", transcript},
		"a spoken answer's name":   {chats, plain(`{"model":"dear","messages":[{"role":"assistant","Audio":"audio_1"}]}`), "messages[0].audio.id", transcript},
		"the voice of a chat":      {chats, plain(`{"model":"dear","modalities":["text","audio"],"audio":{"format":"wav","voice":{"id":"voice_1"}},"messages":[{"role":"user","content":"a"}]}`), "audio.voice.id", voice},
		"a container of a chat":    {chats, plain(`{"model":"dear","container":{"id":"c_1"},"messages":[{"role":"user","content":"a"}]}`), "container", content},
		"files of a chat":          {chats, plain(`{"model":"dear","file_ids":["file-1"],"messages":[{"role":"user","content":"a"}]}`), "file_ids", content},
		"a tool of a chat":         {chats, plain(`{"model":"dear","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f"}},{"type":"search","index":{"vector_store_ids":["vs_1"]}}]}`), "tools[1].index.vector_store_ids", content},
		"a mask":                   {responses, tool(`{"type":"web_search","input_image_mask":{"image_url":null,"file_id":"file-1"}}`), "tools[1].input_image_mask.file_id", content},
		"a container":              {responses, tool(`{"type":"web_search","environment":{"type":"container_reference","container_id":"cntr_1"}}`), "tools[1].environment.container_id", content},
		"files of a container":     {responses, tool(`{"type":"web_search","environment":{"type":"container_auto","file_ids":["file-1"]}}`), "tools[1].environment.file_ids", content},
		"a skill":                  {responses, tool(`{"type":"web_search","environment":{"skills":[{"name":"a"},{"type":"skill_reference","skill_id":"skill_1"}]}}`), "tools[1].environment.skills[1].skill_id", content},
		"parameters":               {responses, tool(`{"parameters":{"file_id":"file-1"},"type":"web_search"}`), "tools[1].parameters.file_id", content},
		"a function's store":       {responses, tool(`{"type":"function","name":"g","vector_store_ids":["vs_1"]}`), "tools[1].vector_store_ids", content},
		"a container in capitals":  {responses, tool(`{"type":"code_interpreter","Container":"cntr_1"}`), "tools[1].Container", content},
		"stores of a response":     {responses, plain(`{"model":"dear","input":"a","store":false,"vector_store_ids":["vs_1"]}`), "vector_store_ids", content},
		"an image of an item":      {responses, plain(`{"model":"dear","store":false,"input":[{"role":"user","content":[{"type":"input_image","image_url":{"file_id":"file-1"}}]}]}`), "input[0].content[0].image_url.file_id", content},
		"data of an item":          {responses, plain(`{"model":"dear","store":false,"input":[{"role":"user","content":[{"type":"input_file","file_data":{"file_id":"file-1"}}]}]}`), "input[0].content[0].file_data.file_id", content},
		"sound of an item":         {responses, plain(`{"model":"dear","store":false,"input":[{"role":"user","content":[{"type":"input_audio","input_audio":{"file_id":"file-1"}}]}]}`), "input[0].content[0].input_audio.file_id", content},
		"a file of an item":        {responses, plain(`{"model":"dear","store":false,"input":[{"role":"user","content":[{"type":"input_file","File_ID":"file-1"}]}]}`), "input[0].content[0].File_ID", content},
		"a translated response":    {responses, plain(`{"model":"thrifty","input":[{"role":"user","content":[{"type":"input_file","file_id":"file-1"}]}]}`), "input[0].content[0].file_id", content},
		"a response to be counted": {aiv1.Endpoint_ENDPOINT_RESPONSES_INPUT_TOKENS, plain(`{"model":"dear","input":"a","tools":[{"type":"web_search","x":{"file_id":"file-1"}}]}`), "tools[0].x.file_id", content},
		"a completion":             {completions, plain(`{"model":"gpt-3.5-turbo-instruct","prompt":"a","file_ids":["file-1"]}`), "file_ids", content},
		"a moderation":             {moderations, plain(`{"input":[{"type":"image_url","image_url":{"file_id":"file-1"}}]}`), "input[0].image_url.file_id", content},
		"an embedding":             {embeddings, plain(`{"model":"text-embedding-3-small","input":["a",{"file_id":"file-1"}]}`), "input[1].file_id", content},
		"a voice":                  {speech, plain(`{"model":"tts-1","input":"a","voice":{"id":"voice_1"}}`), "voice.id", voice},
		"an image to draw from":    {generations, plain(`{"model":"draw","prompt":"a","images":[{"file_id":"file-1"}]}`), "images[0].file_id", content},
		"an image to edit":         {edits, edit("images[0][file_id]", "file-1"), "images[0][file_id]", content},
		"images to edit":           {edits, edit("images", `[{"file_id":"file-1"}]`), "images", content},
		"one more":                 {edits, edit("image[1]", "file-1"), "image[1]", content},
		"an edit's mask":           {edits, edit("mask[file_id]", "file-1"), "mask[file_id]", content},
		"a file of an edit":        {edits, edit("input.File_ID", "file-1"), "input.File_ID", content},
		"a file to write down":     {transcriptions, form(t, "model", "hear", "@file", "x", "file_id", "file-1"), "file_id", content},
	} {
		t.Run(name, func(t *testing.T) {
			options := []option{withModels(fmt.Sprintf(dearModels, "http://127.0.0.1:1", "http://127.0.0.1:1"))}
			if slices.Contains([]aiv1.Endpoint{speech, completions, moderations, embeddings}, c.endpoint) { // the list has no models for them
				options = nil
			}
			h := newFixture(t, options...)
			a := h.send(c.endpoint, c.request)
			requireReason(t, invalidArgument, a.err)
			require.Len(t, a.err.Fields, 1)
			require.Equal(t, c.field, a.err.Fields[0].Name, a.err.Message)
			require.Equal(t, fmt.Sprintf("The field %q names an object at the provider whose owner Trivet does not know. %s.", c.field, c.advice), a.err.Message)
			require.Empty(t, h.billing.Holds())
			require.Zero(t, h.openai.Stats().Calls)
		})
	}
}

// TestNamesOfTheCaller pass: null, the names in a schema or in arguments, and a container that is made for the call.
func TestNamesOfTheCaller(t *testing.T) {
	const chats = aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS
	answer := usageOf("default", 5, 0, 0, 10, 0)
	response := `{"id":"resp_1","object":"response","status":"completed","model":"m","output":[{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"a"}]}],"usage":{"input_tokens":5,"output_tokens":10}}`
	for name, c := range map[string]struct {
		endpoint        aiv1.Endpoint
		request, answer string
	}{
		"null":           {chats, `{"model":"dear","container":null,"audio":null,"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"data:,a","file_id":null}}]},{"role":"assistant","content":"a","audio":null}]}`, answer},
		"a text":         {chats, `{"model":"dear","metadata":{"file_id":"a"},"messages":[{"role":"user","content":"{\"file_id\":\"file-1\"}"}]}`, answer},
		"a voice":        {chats, `{"model":"dear","modalities":["text","audio"],"audio":{"format":"wav","voice":"alloy"},"messages":[{"role":"user","content":"a"}]}`, answer},
		"a function":     {chats, `{"model":"dear","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"file_id":{"type":"string"}}}}}]}`, answer},
		"a flat one":     {chats, `{"model":"dear","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","name":"f","parameters":{"properties":{"container":{"type":"string"}}}}]}`, answer},
		"arguments":      {chats, `{"model":"dear","messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"file_id\":1}"}}]},{"role":"tool","tool_call_id":"a","content":"{\"file_id\":1}"}]}`, answer},
		"a schema":       {responses, `{"model":"dear","store":false,"input":"a","instructions":"b","tools":[{"type":"function","name":"f","parameters":{"properties":{"file_id":{"type":"string"}}}}],"text":{"format":{"type":"json_schema","name":"a","schema":{"properties":{"file_ids":{}}}}}}`, response},
		"a shell's call": {responses, `{"model":"dear","store":false,"instructions":null,"input":[{"type":"local_shell_call","id":"lsh_1","call_id":"c","status":"completed","action":{"type":"exec","command":["a"],"env":{"CONTAINER":"a"}}},{"type":"local_shell_call_output","id":"c","output":"a"}]}`, response},
		"a container":    {responses, `{"model":"dear","store":false,"max_tool_calls":1,"input":"a","tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":null}}]}`, response},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, raw("application/json", c.answer))
			h := newFixture(t, withModels(fmt.Sprintf(dearModels, server, server)))
			a := h.relay(c.endpoint, c.request)
			require.Nil(t, a.err)
			require.EqualValues(t, 200, a.head.GetStatus(), a.body)
			require.Len(t, h.settled().Settled, 1)
		})
	}
}

// TestItemsAreNamedByTheInputOnly: the owner of an item is checked where the input names it, and nothing deeper may name one.
func TestItemsAreNamedByTheInputOnly(t *testing.T) {
	for input, field := range map[string]string{
		`[{"role":"user","content":[{"type":"item_reference","id":"msg_1"}]}]`:                                                                 "input[0].content[0].type",
		`[{"role":"user","content":"a"},{"type":"function_call_output","call_id":"c","output":[{"type":"item\u005freference","id":"msg_1"}]}]`: "input[1].output[0].type",
		`[{"type":"computer_call_output","call_id":"c","output":{"Type":"item_reference","id":"msg_1"}}]`:                                      "input[0].output.Type",
	} {
		h := newFixture(t)
		a := h.respond(`{"model":"gpt-4o-mini","store":false,"input":` + input + `}`)
		requireReason(t, invalidArgument, a.err)
		require.Equal(t, field, a.err.Fields[0].Name, a.err.Message)
		require.Contains(t, a.err.Message, "only the elements of the input may name stored items")
		require.Empty(t, h.billing.Holds())
	}
	h := newFixture(t, withReply(5))
	a := h.respond(`{"model":"gpt-4o-mini","store":false,"input":[{"role":"user","content":[{"type":"input_text","text":"item_reference"}]}]}`)
	require.Nil(t, a.err)
	require.EqualValues(t, 200, a.head.GetStatus(), a.body)
}

// TestInstructionsAreAText, because a list of items could name stored ones.
func TestInstructionsAreAText(t *testing.T) {
	for _, value := range []string{`[{"type":"item_reference","id":"msg_1"}]`, `{"id":"pmpt_1"}`, `7`} {
		h := newFixture(t)
		a := h.respond(`{"model":"gpt-4o-mini","input":"a","store":false,"instructions":` + value + `}`)
		requireReason(t, invalidArgument, a.err)
		require.Equal(t, "instructions", a.err.Fields[0].Name)
		require.Zero(t, h.openai.Stats().Calls)
	}
}
