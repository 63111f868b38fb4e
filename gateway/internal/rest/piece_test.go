package rest

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
)

// FuzzPiece compares the hand-written encoding with protojson.
func FuzzPiece(f *testing.F) {
	f.Add("chatcmpl-1", "gpt-5-mini", "Hello", "", int64(-1))
	f.Add("", "", "", "", int64(-1))
	f.Add("a\"b\\c", "\x00\x1f\x7f\u2028</script>", "line\r\n\tend 😀", "", int64(-1))
	f.Add("a", "", "\xff", "", int64(-1))
	f.Add("a", "\xff", "b", "", int64(-1))
	f.Add("\xff", "a", "b", "", int64(-1))
	f.Add("a", "", "b", "stop", int64(12))
	f.Fuzz(func(t *testing.T, id, model, delta, finish string, cost int64) {
		m := &aiv1.ChatStreamResponse{Id: id, Model: model, Delta: delta, FinishReason: finish}
		if cost >= 0 {
			m.CostNanoUsd = &cost
		}
		got, err := appendPiece([]byte("data: "), m)
		_, want := protojson.Marshal(m)
		require.Equal(t, want == nil, err == nil)
		if err != nil {
			return
		}
		got = bytes.TrimPrefix(got, []byte("data: "))
		require.NotContains(t, string(got), "\n", "an event is one line")
		back := &aiv1.ChatStreamResponse{}
		require.NoError(t, protojson.Unmarshal(got, back))
		require.True(t, proto.Equal(m, back), "%s", got)
	})
}

func TestPieceDoesNotAllocate(t *testing.T) {
	m := &aiv1.ChatStreamResponse{Id: "chatcmpl-1", Delta: "Hello, \"you\""}
	buf := make([]byte, 0, 256)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := appendPiece(buf, m); err != nil {
			t.Fatal(err)
		}
	}))
}

// The last piece contains zero values, because the client's types require every field of usage.
func TestLastPieceContainsZeroValues(t *testing.T) {
	cost := int64(8400)
	piece := &aiv1.ChatStreamResponse{Id: "c1", FinishReason: "stop", Usage: &usagev1.CallUsage{InputTokens: 8, OutputTokens: 12}, CostNanoUsd: &cost}
	got, err := appendPiece([]byte("data: "), piece)
	require.NoError(t, err)
	require.Equal(t, `data: {"id":"c1","model":"","delta":"","toolCalls":[],"finishReason":"stop",`+
		`"usage":{"inputTokens":8,"cachedInputTokens":0,"outputTokens":12,"reasoningTokens":0},"costNanoUsd":"8400"}`, string(got))
}

// A piece with only one field set keeps that field.
func TestPieceKeepsEachField(t *testing.T) {
	cost := int64(0)
	for name, m := range map[string]*aiv1.ChatStreamResponse{
		"id": {Id: "a"}, "model": {Model: "b"}, "delta": {Delta: "c"}, "finish reason": {FinishReason: "stop"}, "cost": {CostNanoUsd: &cost},
		"usage": {Usage: &usagev1.CallUsage{InputTokens: 1}}, "empty usage": {Usage: &usagev1.CallUsage{}}, "tool call": {ToolCalls: []*aiv1.ToolCallDelta{{Id: "t"}}},
		"nothing": {},
	} {
		got, err := appendPiece(nil, m)
		require.NoError(t, err, name)
		back := &aiv1.ChatStreamResponse{}
		require.NoError(t, protojson.Unmarshal(got, back), name)
		require.True(t, proto.Equal(m, back), "%s: %s", name, got)
	}
}
