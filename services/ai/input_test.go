package ai_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/passport"
)

const (
	malformedBody   = errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY
	invalidArgument = errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
	modelNotFound   = errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND
)

func TestBadInput(t *testing.T) {
	chat, embeddings := aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, aiv1.Endpoint_ENDPOINT_EMBEDDINGS
	with := func(members string) string {
		return `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],` + members + `}`
	}
	cases := map[string]struct {
		endpoint aiv1.Endpoint
		body     string
		reason   errorsv1.ErrorReason
		field    string
	}{
		"nothing":                {chat, ``, malformedBody, ""},
		"not JSON":               {chat, `{"model":`, malformedBody, ""},
		"text after the object":  {chat, hello + `x`, malformedBody, ""},
		"HTML":                   {chat, `<html>`, malformedBody, ""},
		"not UTF-8":              {chat, "{\"model\":\"\xff\"}", malformedBody, ""},
		"a list":                 {chat, `[]`, malformedBody, ""},
		"a text":                 {chat, `"gpt-4o-mini"`, malformedBody, ""},
		"too deep":               {chat, with(`"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300)), malformedBody, ""},
		"bad JSON beats a field": {chat, `{"model":7,"messages":[}`, malformedBody, ""},

		"no model":                    {chat, `{"messages":[{"role":"user","content":"hi"}]}`, invalidArgument, "model"},
		"model of null":               {chat, `{"model":null,"messages":[{}]}`, invalidArgument, "model"},
		"model of a number":           {chat, `{"model":4,"messages":[{}]}`, invalidArgument, "model"},
		"empty model":                 {chat, `{"model":"","messages":[{}]}`, invalidArgument, "model"},
		"unknown model":               {chat, `{"model":"gpt-99","messages":[{}]}`, modelNotFound, "model"},
		"unknown snapshot of a model": {chat, `{"model":"gpt-4o-mini-2099-01-01","messages":[{}]}`, modelNotFound, "model"},
		"embedding model":             {chat, `{"model":"text-embedding-3-small","messages":[{}]}`, invalidArgument, "model"},
		"no messages":                 {chat, `{"model":"gpt-4o-mini"}`, invalidArgument, "messages"},
		"empty messages":              {chat, `{"model":"gpt-4o-mini","messages":[]}`, invalidArgument, "messages"},
		"messages of null":            {chat, `{"model":"gpt-4o-mini","messages":null}`, invalidArgument, "messages"},
		"messages of an object":       {chat, `{"model":"gpt-4o-mini","messages":{}}`, invalidArgument, "messages"},
		"no input":                    {embeddings, `{"model":"text-embedding-3-small"}`, invalidArgument, "input"},
		"empty input":                 {embeddings, `{"model":"text-embedding-3-small","input":""}`, invalidArgument, "input"},
		"empty list of inputs":        {embeddings, `{"model":"text-embedding-3-small","input":[]}`, invalidArgument, "input"},
		"input of a number":           {embeddings, `{"model":"text-embedding-3-small","input":7}`, invalidArgument, "input"},
		"chat model":                  {embeddings, `{"model":"gpt-4o-mini","input":"x"}`, invalidArgument, "model"},
		"negative max_tokens":         {chat, with(`"max_tokens":-1`), invalidArgument, "max_tokens"},
		"max_tokens of zero":          {chat, with(`"max_tokens":0`), invalidArgument, "max_tokens"},
		"absurd max_tokens":           {chat, with(`"max_tokens":16385`), invalidArgument, "max_tokens"},
		"max_tokens beyond int":       {chat, with(`"max_tokens":99999999999999999999`), invalidArgument, "max_tokens"},
		"max_tokens of a text":        {chat, with(`"max_tokens":"10"`), invalidArgument, "max_tokens"},
		"max_tokens with point":       {chat, with(`"max_tokens":10.0`), invalidArgument, "max_tokens"},
		"max_tokens as 1e1":           {chat, with(`"max_tokens":1e1`), invalidArgument, "max_tokens"},
		"absurd max_completion":       {chat, with(`"max_completion_tokens":1000000`), invalidArgument, "max_completion_tokens"},
		"both bounds":                 {chat, with(`"max_tokens":5,"max_completion_tokens":5`), invalidArgument, "max_tokens"},
		"n of zero":                   {chat, with(`"n":0`), invalidArgument, "n"},
		"n of 129":                    {chat, with(`"n":129`), invalidArgument, "n"},
		"n of a text":                 {chat, with(`"n":"2"`), invalidArgument, "n"},
		"stream of a text":            {chat, with(`"stream":"yes"`), invalidArgument, "stream"},
		"stream_options of 1":         {chat, with(`"stream":true,"stream_options":1`), invalidArgument, "stream_options"},
		"include_usage of 1":          {chat, with(`"stream":true,"stream_options":{"include_usage":1}`), invalidArgument, "stream_options.include_usage"},
		"include_usage twice":         {chat, with(`"stream":true,"stream_options":{"include_usage":true,"include_usage":false}`), invalidArgument, "stream_options.include_usage"},
		"model twice":                 {chat, with(`"model":"gpt-5"`), invalidArgument, "model"},
		"model twice, escaped":        {chat, with(`"mod\u0065l":"gpt-5"`), invalidArgument, "model"},
		"model in other letters":      {chat, with(`"Model":"gpt-5"`), invalidArgument, "model"},
		"messages twice":              {chat, with(`"messages":[{}]`), invalidArgument, "messages"},
		"n twice":                     {chat, with(`"n":1,"n":128`), invalidArgument, "n"},
		"a tier without a price":      {chat, with(`"service_tier":"scale"`), invalidArgument, "service_tier"},
		"no endpoint":                 {aiv1.Endpoint_ENDPOINT_UNSPECIFIED, hello, invalidArgument, "endpoint"},
	}
	h := newFixture(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := h.relay(c.endpoint, c.body)
			requireReason(t, c.reason, a.err)
			require.Nil(t, a.head)
			if c.field != "" {
				require.Len(t, a.err.Fields, 1)
				require.Equal(t, c.field, a.err.Fields[0].Name)
				require.Contains(t, a.err.Message, strings.Split(c.field, ".")[0], "the text names the field")
			}
		})
	}
	require.Empty(t, h.billing.Holds(), "nothing was ever held")
	require.Zero(t, h.openai.Stats().Calls, "the upstream was never called")

	a := h.chat(`{"model":"gpt-99","messages":[{}]}`)
	require.Contains(t, a.err.Message, "gpt-4o-mini", "the known models are listed")
}

// TestUnknownFieldsPassThrough sends fields that Trivet does not read as they came.
func TestUnknownFieldsPassThrough(t *testing.T) {
	for name, members := range map[string]string{
		"nulls":             `"max_tokens":null,"max_completion_tokens":null,"n":null,"stream":null,"stream_options":null,"service_tier":null`,
		"a null beside":     `"max_tokens":null,"max_completion_tokens":5`,
		"temperature zero":  `"temperature":0,"seed":1`,
		"unknown field":     `"unheard_of":{"a":[1,2,{"b":null}]}`,
		"a field twice":     `"x":1,"x":2`,
		"priority":          `"service_tier":"priority"`,
		"bound of the most": `"max_tokens":16384`,
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			body := `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],` + members + `}`
			a := h.chat(body)
			require.Nil(t, a.err)
			sent, _ := h.openai.LastRequest()
			require.Equal(t, body, string(sent.Body))
			h.settled()
		})
	}
}

// TestPoorAccounts checks the second tier: an account that can't afford the bound by bytes is counted properly, and
// clamped to what it affords.
func TestPoorAccounts(t *testing.T) {
	prompt := strings.Repeat("several common words make a line ", 400) // 2,800 words, 13 kB
	body := fmt.Sprintf(`{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":%q}]}`, prompt)
	// gpt-4o-mini: 150 nano-dollars for a token of input, 600 for one of output.
	cases := map[string]struct {
		balance int64
		reason  errorsv1.ErrorReason
		sent    string
		holds   int
	}{
		"rich":                      {100_000_000, 0, `"max_tokens":100`, 1},
		"affords the count only":    {2_700 * 150 * 12 / 10, 0, `"max_tokens":100`, 1},
		"affords a clamp only":      {2_520*150 + 70*600, 0, `"max_tokens":`, 1},
		"affords less than a chat":  {2_400 * 150, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "", 0},
		"has nothing":               {0, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "", 0},
		"clamped by bytes, not so ": {13_300*150 + 70*600, 0, `"max_tokens":100`, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withBalance(c.balance))
			a := h.chat(body)
			require.Zero(t, h.billing.Held())
			require.Len(t, h.billing.Holds(), c.holds)
			if c.reason != 0 {
				requireReason(t, c.reason, a.err)
				require.Zero(t, h.openai.Stats().Calls)
				return
			}
			require.Nil(t, a.err)
			sent, _ := h.openai.LastRequest()
			require.Contains(t, string(sent.Body), c.sent)
			last := h.billing.Holds()[c.holds-1]
			require.LessOrEqual(t, last.Cost, last.Response.GetHeldNanoUsd())
		})
	}
}

func TestTheBoundIsSentUpstream(t *testing.T) {
	perToken := int64(600)
	cases := map[string]struct {
		members string
		balance int64
		want    string
	}{
		"none set, model's own is enough": {``, 1e12, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`},
		"none set, poor":                  {``, 150*100 + perToken*500, `{"max_completion_tokens":%d,"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`},
		"null":                            {`,"max_completion_tokens":null`, 150*100 + perToken*500, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"max_completion_tokens":%d}`},
		"max_tokens":                      {`,"max_tokens" : 9000 ,"n":2`, 150*100 + perToken*500, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"max_tokens" : %d ,"n":2}`},
		"max_completion_tokens":           {`,"max_completion_tokens":9000`, 150*100 + perToken*500, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"max_completion_tokens":%d}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withBalance(c.balance))
			a := h.chat(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]` + c.members + `}`)
			require.Nil(t, a.err)
			holds := h.billing.Holds()
			last := holds[len(holds)-1]
			sent, _ := h.openai.LastRequest()
			want := c.want
			if strings.Contains(want, "%d") {
				want = fmt.Sprintf(want, last.Response.GetOutputTokens())
				require.Less(t, last.Response.GetOutputTokens(), int32(600))
			}
			require.Equal(t, want, string(sent.Body))
		})
	}
}

func TestLimits(t *testing.T) {
	exceeded := errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED
	t.Run("requests of the plan", func(t *testing.T) {
		h := newFixture(t)
		h.billing.Plan = &billingv1.GetEntitlementsResponse{Limits: &billingv1.Limits{RequestsPerMinute: 3}}
		for range 3 {
			require.Nil(t, h.chat(hello).err)
		}
		a := h.chat(hello)
		requireReason(t, exceeded, a.err)
		require.Equal(t, "requests_per_minute", a.err.Metadata["limit"])
		require.Positive(t, a.err.RetryAfter)
		require.Len(t, h.billing.Holds(), 3)
		require.EqualValues(t, 3, h.openai.Stats().Calls)
		require.Equal(t, 1, h.billing.Asked(), "the plan is remembered")
	})
	t.Run("requests of the key", func(t *testing.T) {
		h := newFixture(t)
		h.claims.APIKeyID, h.claims.RequestsPerMinute = "key_1", 1
		require.Nil(t, h.chat(hello).err)
		require.Equal(t, "key_1", h.settled().Request.GetApiKeyId())
		a := h.chat(hello)
		requireReason(t, exceeded, a.err)
		require.Equal(t, "api_key_requests_per_minute", a.err.Metadata["limit"])
	})
	t.Run("requests of the key that made the key", func(t *testing.T) {
		h := newFixture(t)
		h.claims.ParentLimits = []passport.KeyLimit{{APIKeyID: "key_grandparent", RequestsPerMinute: 5}, {APIKeyID: "key_parent", RequestsPerMinute: 2}}
		for _, id := range []string{"key_1", "key_2"} {
			h.claims.APIKeyID = id
			require.Nil(t, h.chat(hello).err)
		}
		h.claims.APIKeyID = "key_3"
		a := h.chat(hello)
		requireReason(t, exceeded, a.err)
		require.Equal(t, "api_key_requests_per_minute", a.err.Metadata["limit"])
	})
	t.Run("tokens of the plan", func(t *testing.T) {
		h := newFixture(t)
		h.billing.Plan = &billingv1.GetEntitlementsResponse{Limits: &billingv1.Limits{TokensPerMinute: 50}}
		a := h.chat(streamed)
		require.Nil(t, a.err, "a call that may use more than the limit runs alone")
		requireReason(t, exceeded, h.chat(streamed).err)
	})
	t.Run("models of the plan", func(t *testing.T) {
		h := newFixture(t)
		h.billing.Plan = &billingv1.GetEntitlementsResponse{Models: []string{"gpt-5"}, Limits: &billingv1.Limits{}}
		a := h.chat(hello)
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED, a.err)
		require.Contains(t, a.err.Message, "gpt-5")
	})
	t.Run("models of the key", func(t *testing.T) {
		h := newFixture(t)
		h.claims.APIKeyID, h.claims.Models = "key_1", []string{"gpt-5", "gpt-4.1"}
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED, h.chat(hello).err)
		res, err := h.ListModels(t.Context(), &aiv1.ListModelsRequest{})
		require.NoError(t, err)
		require.Len(t, res.GetModels(), 2)
		require.EqualValues(t, 2_000_000_000, res.GetModels()[0].GetInputNanoUsdPerMillionTokens())
	})
	t.Run("calls at the same time", func(t *testing.T) {
		h := newFixture(t, withUpstream(raw("text/event-stream", delta("x")+done)))
		h.billing.Plan = &billingv1.GetEntitlementsResponse{Limits: &billingv1.Limits{ConcurrentRequests: 1}}
		for range 3 { // one after the other: each gives its place back
			require.Nil(t, h.chat(streamed).err)
		}
	})
}

func TestCallerWithoutAccountIsRefused(t *testing.T) {
	h := newFixture(t)
	h.claims.AccountID = ""
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED, h.chat(hello).err)
}

func TestEraseUserHasNothingToErase(t *testing.T) {
	_, err := newFixture(t).EraseUser(t.Context(), &aiv1.EraseUserRequest{UserId: "user_1"})
	require.NoError(t, err)
}
