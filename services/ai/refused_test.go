package ai_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/sandbox/fault"
)

const mini = `{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}`

// refusals waits until refused calls are logged and returns them.
func (h *fixture) refusals() []*billingv1.RefusedRequest {
	h.t.Helper()
	require.Eventually(h.t, func() bool { return len(h.billing.Refused()) > 0 }, time.Minute, 10*time.Millisecond)
	return h.billing.Refused()
}

// Each way to refuse a call before anything is held leaves one record, with the reason that the caller got, and no other call does.
func TestRefusedCallsAreLogged(t *testing.T) {
	chat := func(body string) func(*fixture) *errs.Error {
		return func(h *fixture) *errs.Error { return h.chat(body).err }
	}
	typed := func(req *aiv1.ChatRequest) func(*fixture) *errs.Error {
		return func(h *fixture) *errs.Error {
			_, err := h.Chat(h.t.Context(), req)
			return errs.From(err)
		}
	}
	streamed := func(req *aiv1.ChatStreamRequest) func(*fixture) *errs.Error {
		return func(h *fixture) *errs.Error {
			_, err := h.stream(req)
			return errs.From(err)
		}
	}
	hello := []*aiv1.Message{{Role: "user", Content: "Hello"}}
	unlimited := &billingv1.GetEntitlementsResponse{Limits: &billingv1.Limits{}}
	for name, c := range map[string]struct {
		options []option
		prepare func(*fixture)
		call    func(*fixture) *errs.Error
		model   string
		holds   int
	}{
		"no JSON":            {call: chat(`{"model": `)},
		"no model":           {call: chat(`{"messages": []}`)},
		"a bad field":        {call: chat(`{"model": "gpt-4o-mini", "n": -1}`), model: "gpt-4o-mini"},
		"an unknown model":   {call: chat(`{"model": "gpt-0", "messages": []}`), model: "gpt-0"},
		"a model of the key": {prepare: func(h *fixture) { h.claims.Models = []string{"gpt-5-mini"} }, call: chat(mini), model: "gpt-4o-mini"},
		"a model of the plan": {prepare: func(h *fixture) {
			h.billing.Plan = &billingv1.GetEntitlementsResponse{Limits: unlimited.GetLimits(), Models: []string{"gpt-5-mini"}}
		}, call: chat(mini), model: "gpt-4o-mini"},
		"a limit": {prepare: func(h *fixture) {
			h.claims.RequestsPerMinute = 1
			require.Nil(h.t, h.chat(mini).err)
		}, call: chat(mini), model: "gpt-4o-mini", holds: 1},
		"no balance": {options: []option{withBalance(0)}, call: chat(mini), model: "gpt-4o-mini"},
		"billing is away": {options: []option{withBefore(func(_ context.Context, rpc string) error {
			if rpc == "Reserve" {
				return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Service temporarily unavailable. Please try again later.").GRPCStatus().Err()
			}
			return nil
		})}, call: chat(mini), model: "gpt-4o-mini"},
		"an unknown endpoint":  {call: func(h *fixture) *errs.Error { return h.relay(99, mini).err }, model: "gpt-4o-mini"},
		"JSON that is cut off": {call: chat(`{"model": "gpt-4o-mini", "messages": [`), model: "gpt-4o-mini"},
		"a form without its file": {call: func(h *fixture) *errs.Error {
			return h.send(aiv1.Endpoint_ENDPOINT_AUDIO_TRANSCRIPTIONS, form(h.t, "model", "whisper-1")).err
		}, model: "whisper-1"},
		"a form of an unknown model": {call: func(h *fixture) *errs.Error {
			return h.send(aiv1.Endpoint_ENDPOINT_IMAGES_EDITS, form(h.t, "model", "gpt-image-0", "prompt", "hi", "@image", "png")).err
		}, model: "gpt-image-0"},
		"speech of an unknown model": {call: func(h *fixture) *errs.Error {
			return h.relay(aiv1.Endpoint_ENDPOINT_AUDIO_SPEECH, `{"model": "tts-0", "input": "hi", "voice": "alloy"}`).err
		}, model: "tts-0"},
		"a response of an unknown model": {call: func(h *fixture) *errs.Error { return h.respond(`{"model": "gpt-0", "input": "hi"}`).err }, model: "gpt-0"},
		"a response with a bad field": {call: func(h *fixture) *errs.Error {
			return h.respond(`{"model": "gpt-4o-mini", "input": "hi", "conversation": "conv_1"}`).err
		}, model: "gpt-4o-mini"},
		"a bad header": {call: func(h *fixture) *errs.Error {
			stream, err := h.Relay(h.t.Context(), &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, Body: []byte(mini), Headers: map[string]string{"x": "a\nb"}})
			require.NoError(h.t, err)
			return drain(stream).err
		}, model: "gpt-4o-mini"},
		"a typed call of an unknown model":   {call: typed(&aiv1.ChatRequest{Model: "gpt-0", Messages: hello}), model: "gpt-0"},
		"a typed call with a bad schema":     {call: typed(&aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: hello, Tools: []*aiv1.Tool{{Name: "f", ParametersJson: "{"}}}), model: "gpt-4o-mini"},
		"a typed stream with a bad schema":   {call: streamed(&aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: hello, Tools: []*aiv1.Tool{{Name: "f", ParametersJson: "{"}}}), model: "gpt-4o-mini"},
		"a typed stream of an unknown model": {call: streamed(&aiv1.ChatStreamRequest{Model: "gpt-0", Messages: hello}), model: "gpt-0"},
		"embeddings of an unknown model": {call: func(h *fixture) *errs.Error {
			_, err := h.Embed(h.t.Context(), &aiv1.EmbedRequest{Model: "gpt-0", Input: []string{"a"}})
			return errs.From(err)
		}, model: "gpt-0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, c.options...)
			h.claims.APIKeyID = "key_1"
			if c.prepare != nil {
				c.prepare(h)
			}
			failure := c.call(h)
			require.NotNil(t, failure)
			got := h.refusals()
			require.Len(t, got, 1)
			require.Equal(t, errs.Code(failure.Reason), got[0].GetErrorCode())
			require.Equal(t, []string{"acct_1", "user_1", "key_1", c.model}, []string{got[0].GetAccountId(), got[0].GetUserId(), got[0].GetApiKeyId(), got[0].GetModel()})
			_, ok := callid.Parse(got[0].GetId(), "acct_1")
			require.True(t, ok)
			require.Len(t, h.billing.Holds(), c.holds)
		})
	}
}

// Calls with a hold are in the log by their settlement, and only by it.
func TestCallsWithAHoldAreLoggedByIt(t *testing.T) {
	h := newFixture(t)
	require.Nil(t, h.chat(mini).err)
	h.fault(fault.Fault{Kind: fault.Status, Status: 500, Count: 10})
	require.NotNil(t, h.chat(mini).head)
	_, err := h.CountTokens(t.Context(), &aiv1.CountTokensRequest{Model: "gpt-0"})
	require.Error(t, err) // it calls no model
	_, err = h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-0", Messages: []*aiv1.Message{{Role: "user", Content: "Hello"}}})
	require.Error(t, err)
	refused := h.refusals()
	require.Len(t, refused, 1)
	require.Equal(t, "gpt-0", refused[0].GetModel())
	holds := h.billing.Holds()
	require.Len(t, holds, 2)
	for i, want := range []billingv1.Outcome{billingv1.Outcome_OUTCOME_COMPLETED, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED} {
		require.Equal(t, want, holds[i].Settled[0].GetOutcome())
		at, ok := callid.Parse(holds[i].Request.GetRequestId(), "acct_1")
		require.True(t, ok)
		require.WithinDuration(t, time.Now(), at, time.Hour)
	}
}

// The id of the HTTP request leads to the record, whether the call was made or refused.
func TestRecordsHaveTheHTTPRequestsID(t *testing.T) {
	h := newFixture(t)
	for _, body := range []string{mini, `{"model": "gpt-0"}`} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), requestid.Header, "req_http")
		stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, Body: []byte(body)})
		require.NoError(t, err)
		drain(stream)
	}
	require.Equal(t, "req_http", h.settled().Settled[0].GetHttpRequestId())
	require.Equal(t, "req_http", h.refusals()[0].GetHttpRequestId())
}

// A hold that is replaced after the input was counted is not a call.
func TestAReplacedHoldIsNotACall(t *testing.T) {
	prompt := strings.Repeat("several common words make a line ", 400) // 2,400 tokens in 13,200 bytes
	h := newFixture(t, withBalance(13_300*150+70*600))
	require.Nil(t, h.chat(fmt.Sprintf(`{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":%q}]}`, prompt)).err)
	var outcomes []string
	for _, hold := range h.billing.Holds() {
		require.Len(t, hold.Settled, 1)
		outcomes = append(outcomes, hold.Settled[0].GetOutcome().String())
	}
	require.Equal(t, []string{"OUTCOME_REPLACED", "OUTCOME_COMPLETED"}, outcomes)
}
