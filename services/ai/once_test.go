package ai_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/idempotency"
	"github.com/trivet-dev/trivet/platform/passport"
)

// under relays a call with an idempotency key.
func (h *fixture) under(key string, endpoint aiv1.Endpoint, body string) answer {
	h.t.Helper()
	stream, err := h.Relay(h.t.Context(), &aiv1.RelayRequest{Endpoint: endpoint, Body: []byte(body), Headers: map[string]string{"idempotency-key": key}})
	require.NoError(h.t, err)
	return drain(stream)
}

// Billing tells calls apart by two digests, of which one says who calls under which key, and the other what is asked.
func TestWhatBillingLearnsOfAnIdempotencyKey(t *testing.T) {
	const (
		chat      = aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS
		responses = aiv1.Endpoint_ENDPOINT_RESPONSES
		input     = `{"model":"gpt-4o-mini","store":false,"input":"hello"}`
	)
	h := newFixture(t)
	seen := func(claims passport.Claims, call func() *errs.Error) (key, digest string) {
		t.Helper()
		h.claims = claims
		require.Nil(t, call())
		ask := h.newest().Request
		return ask.GetIdempotencyKey(), ask.GetRequestDigest()
	}
	relayed := func(key string, endpoint aiv1.Endpoint, body string) func() *errs.Error {
		return func() *errs.Error { return h.under(key, endpoint, body).err }
	}
	alice := passport.Claims{UserID: "user_1", AccountID: "acct_1"}
	key, digest := seen(alice, relayed("k1", chat, hello))
	require.Len(t, key, 52)
	require.NotContains(t, key, "k1")
	sameKey, sameDigest := seen(alice, relayed("k1", chat, hello))
	require.Equal(t, []string{key, digest}, []string{sameKey, sameDigest})

	for name, tc := range map[string]struct {
		claims               passport.Claims
		call                 func() *errs.Error
		sameKey, sameRequest bool
	}{
		"another key":         {alice, relayed("k2", chat, hello), false, true},
		"another person":      {passport.Claims{UserID: "user_2", AccountID: "acct_1"}, relayed("k1", chat, hello), false, true},
		"an API key":          {passport.Claims{UserID: "user_1", AccountID: "acct_1", APIKeyID: "key_1"}, relayed("k1", chat, hello), false, true},
		"a key like a person": {passport.Claims{UserID: "user_1", AccountID: "acct_1", APIKeyID: "user_1"}, relayed("k1", chat, hello), false, true},
		"another body":        {alice, relayed("k1", chat, strings.Replace(hello, "world", "moon", 1)), true, false},
		"another space":       {alice, relayed("k1", chat, hello+" "), true, false},
		"another path":        {alice, relayed("k1", responses, input), true, false},
	} {
		otherKey, otherDigest := seen(tc.claims, tc.call)
		require.Equal(t, tc.sameKey, otherKey == key, name)
		require.Equal(t, tc.sameRequest, otherDigest == digest, name)
	}

	typed := func(key, text string) func() *errs.Error {
		return func() *errs.Error {
			ctx := metadata.AppendToOutgoingContext(t.Context(), idempotency.Header, key)
			_, err := h.Chat(ctx, &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: []*aiv1.Message{{Role: "user", Content: text}}})
			return errs.From(err)
		}
	}
	typedKey, typedDigest := seen(alice, typed("k1", "hello"))
	require.Equal(t, key, typedKey)
	_, again := seen(alice, typed("k1", "hello"))
	require.Equal(t, typedDigest, again)
	_, other := seen(alice, typed("k1", "bye"))
	require.NotEqual(t, typedDigest, other)

	key, digest = seen(alice, func() *errs.Error { return h.chat(hello).err })
	require.Empty(t, key+digest, "a call without a key")
}

// An idempotency key that cannot be one is refused by name before anything is held, in each API.
func TestAMalformedIdempotencyKeyIsRefused(t *testing.T) {
	h := newFixture(t)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, h.under(strings.Repeat("k", 256), aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, hello).err)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, h.under("", aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, hello).err)
	ctx := metadata.AppendToOutgoingContext(t.Context(), idempotency.Header, "k1", idempotency.Header, "k2")
	messages := []*aiv1.Message{{Role: "user", Content: "hello"}}
	for name, call := range map[string]func(context.Context) error{
		"chat": func(ctx context.Context) error {
			_, err := h.Chat(ctx, &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: messages})
			return err
		},
		"embed": func(ctx context.Context) error {
			_, err := h.Embed(ctx, &aiv1.EmbedRequest{Model: "text-embedding-3-small", Input: []string{"x"}})
			return err
		},
		"stream": func(ctx context.Context) error {
			stream, err := h.ChatStream(ctx, &aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: messages})
			require.NoError(t, err)
			_, err = stream.Recv()
			return err
		},
	} {
		e := errs.From(call(ctx))
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, e)
		require.Equal(t, "Idempotency-Key", e.Fields[0].Name, name)
	}
	require.Empty(t, h.billing.Holds())
}

// What billing says about a repetition reaches the caller, and nothing is sent to the provider.
func TestARepetitionIsNotSentToTheProvider(t *testing.T) {
	h := newFixture(t, func(p *plan) {
		p.before = func(_ context.Context, rpc string) error {
			if rpc != "Reserve" {
				return nil
			}
			return errs.New(errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED, "Over.").With("request_id", "call_1").With("cost_nano_usd", "7").GRPCStatus().Err()
		}
	})
	for _, e := range []*errs.Error{
		h.under("k1", aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, hello).err,
		h.under("k1", aiv1.Endpoint_ENDPOINT_RESPONSES, `{"model":"gpt-4o-mini","store":false,"input":"hello"}`).err,
	} {
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_ALREADY_COMPLETED, e)
		require.Equal(t, map[string]string{"request_id": "call_1", "cost_nano_usd": "7"}, e.Metadata)
	}
	_, sent := h.openai.LastRequest()
	require.False(t, sent)
}
