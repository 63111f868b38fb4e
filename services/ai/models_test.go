package ai_test

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai"
)

const otherModels = `models:
  strict: {kind: chat, provider: local, output_bound: none, ask_usage: false, ends_without_done: true, context_tokens: 8000, max_output_tokens: 4000, default_output_tokens: 1000, input: "1", output: "1"}
  old: {kind: chat, provider: local, output_bound: max_tokens, refused_fields: [lora, route], context_tokens: 8000, max_output_tokens: 4000, default_output_tokens: 1000, input: "1", output: "1"}
  open: {kind: chat, provider: local, aliases: [open-2026-01-01], refused_fields: [], context_tokens: 8000, max_output_tokens: 4000, default_output_tokens: 1000, input: "1", output: "1"}
  plain: {kind: chat, provider: local, context_tokens: 8000, max_output_tokens: 4000, default_output_tokens: 1000, input: "1", output: "1"}
`

// sent is a provider that keeps what it gets.
func sent(bodies *[]string, answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*bodies = append(*bodies, string(body))
		_, _ = io.WriteString(w, answer)
	}
}

// TestAddedFieldsAreSetPerModel asks servers that refuse unknown fields.
func TestAddedFieldsAreSetPerModel(t *testing.T) {
	for request, want := range map[string]string{
		`{"model":"strict","stream":true,"messages":[{"role":"user","content":"x"}]}`: `{"model":"strict","stream":true,"messages":[{"role":"user","content":"x"}]}`,
		`{"model":"old","stream":true,"messages":[{"role":"user","content":"x"}]}`:    `{"max_tokens":1000,"stream_options":{"include_usage":true},"model":"old","stream":true,"messages":[{"role":"user","content":"x"}]}`,
		`{"model":"plain","messages":[{"role":"user","content":"x"}]}`:                `{"max_completion_tokens":1000,"model":"plain","messages":[{"role":"user","content":"x"}]}`,
	} {
		var bodies []string
		h := newFixture(t, withModels(otherModels), withUpstream(sent(&bodies, streamedHello+usageHello+done)))
		require.Nil(t, h.chat(request).err)
		require.Equal(t, []string{want}, bodies)
		h.settled()
	}
}

// TestWithoutABoundTheWholeMaximumIsHeld refuses a call rather than let the model write more than the account can pay.
func TestWithoutABoundTheWholeMaximumIsHeld(t *testing.T) {
	const request = `{"model":"strict","messages":[{"role":"user","content":"x"}]}`
	var bodies []string
	h := newFixture(t, withModels(otherModels), withBalance(4_200_000), withUpstream(sent(&bodies, wholeHello)))
	require.Nil(t, h.chat(request).err)
	require.EqualValues(t, 4000, h.settled().Request.GetMaxOutputTokens())

	bodies = nil
	h = newFixture(t, withModels(otherModels), withBalance(3_900_000), withUpstream(sent(&bodies, wholeHello)))
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, h.chat(request).err)
	require.Empty(t, bodies)
	require.Zero(t, h.billing.Held())

	// With a bound of the caller's, less may be held, because the provider is told.
	require.Nil(t, h.chat(strings.Replace(request, `"messages"`, `"max_tokens":4000,"messages"`, 1)).err)
	require.Len(t, bodies, 1)
	require.NotContains(t, bodies[0], `"max_tokens":4000`)
}

func TestTheAddressOfATargetMayHaveNoPath(t *testing.T) {
	for given, want := range map[string]string{"": "/chat/completions", "/": "/chat/completions", "/v1": "/v1/chat/completions", "/v1/": "/v1/chat/completions"} {
		var path string
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			path = r.URL.Path
			raw("application/json", wholeHello)(w, r)
		})
		h := newFixture(t, withModels("targets: {near: {kind: compatible, base_url: \""+server+given+"\"}}\n"+
			`models: {m: {kind: chat, provider: x, context_tokens: 8000, max_output_tokens: 4000, default_output_tokens: 1000, input: "1", output: "1", targets: [{target: near}]}}`))
		a := h.chat(`{"model":"m","messages":[{"role":"user","content":"x"}]}`)
		require.Nil(t, a.err)
		require.EqualValues(t, http.StatusOK, a.head.GetStatus(), "%q: %s", given, a.body)
		require.Equal(t, want, path)
	}
}

func TestStreamsThatEndWithoutDone(t *testing.T) {
	const request = `{"model":"MODEL","stream":true,"messages":[{"role":"user","content":"x"}]}`
	whole := streamedHello + usageHello
	for name, c := range map[string]struct {
		model, stream, want string
		good                bool
	}{
		"declared":             {"strict", whole, streamedHello + done, true},
		"declared, no usage":   {"strict", streamedHello, streamedHello + done, true},
		"declared, with DONE":  {"strict", whole + done, streamedHello + done, true},
		"declared, unfinished": {"strict", delta("one"), delta("one"), false},
		"declared, half":       {"strict", streamedHello + "data: {", streamedHello, false},
		"not declared":         {"plain", whole, streamedHello, false},
	} {
		h := newFixture(t, withModels(otherModels), withUpstream(raw("text/event-stream", c.stream)))
		a := h.chat(strings.Replace(request, "MODEL", c.model, 1))
		require.Equal(t, c.want, a.body, name)
		if c.good {
			require.Nil(t, a.err, name)
		} else {
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
		}
		h.settled()
	}
}

func TestRefusedFieldsPerModel(t *testing.T) {
	for _, c := range []struct {
		model, field string
		refused      bool
	}{
		{"old", "lora", true},
		{"old", "LORA", true},
		{"old", "route", true},
		{"old", "plugins", false},
		{"open", "plugins", false},
		{"open", "lora", false},
		{"plain", "plugins", true},
		{"plain", "lora", false},
		{"plain", "Plugins", true},
		{"plain", "safetysettings", true},
		{"plain", "safetySettings", true},
	} {
		h := newFixture(t, withModels(otherModels), withUpstream(raw("application/json", wholeHello)), withConfig(func(c *ai.Config) { c.RefusedFields = []string{"plugins", "safetySettings"} }))
		a := h.chat(`{"` + c.field + `":1,"model":"` + c.model + `","messages":[{"role":"user","content":"x"}]}`)
		if !c.refused {
			require.Nil(t, a.err, "%s of %s", c.field, c.model)
			continue
		}
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, a.err)
		require.Equal(t, strings.ToLower(c.field), a.err.Fields[0].Name)
		require.Empty(t, h.billing.Holds())
	}
}

// TestDatedNames go upstream as they are, and are held, billed and allowed as their model.
func TestDatedNames(t *testing.T) {
	const request = `{"model":"open-2026-01-01","messages":[{"role":"user","content":"x"}]}`
	var bodies []string
	h := newFixture(t, withModels(otherModels), withUpstream(sent(&bodies, wholeHello)))
	h.claims.Models = []string{"open"}
	require.Nil(t, h.chat(request).err)
	require.Contains(t, bodies[0], `"model":"open-2026-01-01"`)
	require.Equal(t, "open", h.settled().Request.GetModel())

	h.claims.Models = []string{"open-2026-01-01"}
	require.Nil(t, h.chat(request).err)
	h.claims.Models = []string{"plain"}
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED, h.chat(request).err)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, h.chat(strings.Replace(request, "01-01", "01-02", 1)).err)

	list, err := models.Default()
	require.NoError(t, err)
	for dated, id := range map[string]string{"gpt-4o-mini-2024-07-18": "gpt-4o-mini", "gpt-5-2025-08-07": "gpt-5", "o3-2025-04-16": "o3"} {
		m, err := list.Get(dated)
		require.NoError(t, err)
		require.Equal(t, id, m.ID)
	}
	_, err = list.Get("gpt-4o-2024-05-13") // costs more than gpt-4o
	require.Error(t, err)
}

// TestFieldsThatReasoningModelsReject is said in the typed API's names.
func TestFieldsThatReasoningModelsReject(t *testing.T) {
	h := newFixture(t)
	_, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-5", Messages: user("hi"), Temperature: proto.Float64(0.5)})
	e := errs.From(err)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, e)
	require.Equal(t, "temperature", e.Fields[0].Name)
	require.NotContains(t, e.Message, "beta")
	_, err = h.stream(&aiv1.ChatStreamRequest{Model: "o3", Messages: user("hi"), TopP: proto.Float64(0.5)})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errs.From(err))
	require.Empty(t, h.billing.Holds())
}

// TestStoredChatsAreRefused by the default of the setting: no account owns them, and an erasure does not reach them. Stored responses
// have an owner.
func TestStoredChatsAreRefused(t *testing.T) {
	standard, _ := reflect.TypeFor[ai.Config]().FieldByName("RefusedFields")
	fields := strings.Split(standard.Tag.Get("default"), ",")
	require.Subset(t, fields, []string{"store", "data_sources"})
	for _, c := range []struct {
		model, member string
		refused       bool
	}{
		{"plain", `"store":true`, true},
		{"plain", `"store":"true"`, true},
		{"plain", `"st\u006fre":true`, true},
		{"plain", `"Store":true`, true},
		{"plain", `"store":false,"store":true`, true},
		{"plain", `"store":false`, false},
		{"plain", `"store":null`, false},
		{"open", `"store":true`, false},
	} {
		h := newFixture(t, withModels(otherModels), withUpstream(raw("application/json", wholeHello)), withConfig(func(c *ai.Config) { c.RefusedFields = fields }))
		a := h.chat(`{` + c.member + `,"model":"` + c.model + `","messages":[{"role":"user","content":"x"}]}`)
		if !c.refused {
			require.Nil(t, a.err, c.member)
			require.EqualValues(t, http.StatusOK, a.head.GetStatus())
			continue
		}
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, a.err)
		require.Equal(t, "store", a.err.Fields[0].Name)
		require.Empty(t, h.billing.Holds())
	}
	h := newFixture(t, withStore(), withReply(5), withConfig(func(c *ai.Config) { c.RefusedFields = fields }))
	require.Contains(t, h.chat(`{"store":true,"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}]}`).err.Message, "erasure")
	for _, member := range []string{`"store":true`, `"store":false`} {
		a := h.respond(`{` + member + `,"model":"gpt-4o-mini","input":"x"}`)
		require.Nil(t, a.err)
		require.EqualValues(t, http.StatusOK, a.head.GetStatus(), a.body)
	}
}

// A key or a plan that has only dated names of a model may use these names, so they are listed.
func TestListModelsByTheNamesThatAreAllowed(t *testing.T) {
	for name, c := range map[string]struct{ plan, key, want []string }{
		"all":                         {nil, nil, []string{"old", "open", "plain", "strict"}},
		"the id":                      {nil, []string{"open"}, []string{"open"}},
		"a dated name of the key":     {nil, []string{"open-2026-01-01"}, []string{"open-2026-01-01"}},
		"a dated name of the plan":    {[]string{"plain", "open-2026-01-01"}, nil, []string{"open-2026-01-01", "plain"}},
		"the plan has the id":         {[]string{"open"}, []string{"open-2026-01-01"}, []string{"open-2026-01-01"}},
		"the key has the id":          {[]string{"open-2026-01-01"}, []string{"open"}, []string{"open-2026-01-01"}},
		"the plan lacks the model":    {[]string{"plain"}, []string{"open-2026-01-01"}, nil},
		"both have the same name":     {[]string{"open-2026-01-01"}, []string{"open-2026-01-01"}, []string{"open-2026-01-01"}},
		"an id beside its dated name": {nil, []string{"open", "open-2026-01-01"}, []string{"open"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withModels(otherModels), withUpstream(raw("application/json", wholeHello)))
			h.billing.Plan = &billingv1.GetEntitlementsResponse{Models: c.plan, Limits: &billingv1.Limits{}}
			h.claims.APIKeyID, h.claims.Models = "key_1", c.key
			res, err := h.ListModels(t.Context(), &aiv1.ListModelsRequest{})
			require.NoError(t, err)
			var names []string
			for _, m := range res.GetModels() {
				names = append(names, m.GetId())
				require.Nil(t, h.chat(`{"model":"`+m.GetId()+`","messages":[{"role":"user","content":"x"}]}`).err, "a listed name can be used")
			}
			require.Equal(t, c.want, names)
		})
	}
}
