package ai_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/services/ai"
)

const (
	segmentOne = `data: {"type":"transcript.text.segment","id":"seg_1","start":0,"end":1.5,"speaker":"A","text":"one"}` + "\n\n"
	segmentTwo = `data: {"type":"transcript.text.segment","id":"seg_2","start":1.5,"end":3,"speaker":"B","text":" t\u0077o"}` + "\n\n"
	doneWords  = `data: {"type":"transcript.text.done","text":"one two"}` + "\n\n"
	doneEmpty  = `data: {"type":"transcript.text.done","text":""}` + "\n\n"
	heard      = 33 * 6_000 // the estimate of the input of hearStream
	word       = 10_000
	drawDear   = `{"model":"dall-e-3","prompt":"a red square","stream":true}`
)

// TestStreamsWithoutUsageAreBilledForWhatCame: without a usage, the words that came are counted once, in whichever events they
// came, and an early image costs what the complete one does.
func TestStreamsWithoutUsageAreBilledForWhatCame(t *testing.T) {
	minutes := form(t, "model", "whisper-1", "stream", "true", "@file", sound)
	for name, c := range map[string]struct {
		endpoint aiv1.Endpoint
		request  posted
		answer   string
		broken   bool
		cost     int64
	}{
		"only the end":                 {transcriptions, hearStream(t), doneWords, false, heard + 2*word},
		"an end without words":         {transcriptions, hearStream(t), doneEmpty, false, heard},
		"deltas and the end":           {transcriptions, hearStream(t), firstWords + doneWords, false, heard + 2*word},
		"segments and the end":         {transcriptions, hearStream(t), segmentOne + segmentTwo + doneWords, false, heard + 2*word},
		"deltas, segments and the end": {transcriptions, hearStream(t), firstWords + segmentOne + segmentTwo + doneWords, false, heard + 2*word},
		"a segment, broken off":        {transcriptions, hearStream(t), segmentOne, true, heard + 1*word},
		"segments, broken off":         {transcriptions, hearStream(t), segmentOne + segmentTwo, true, heard + 2*word},
		"deltas after a segment":       {transcriptions, hearStream(t), segmentOne + firstWords + segmentTwo, true, heard + 3*word},
		"by the minute":                {transcriptions, minutes, doneWords, false, 300_000},
		"by the minute, broken off":    {transcriptions, minutes, firstWords, true, 300_000},
		"segments by the minute":       {transcriptions, minutes, segmentOne, true, 300_000},
		"an image by its price":        {generations, plain(drawDear), partialImage + lastImage, false, 40_000_000},
		"an early image by its price":  {generations, plain(drawDear), partialImage, true, 40_000_000},
		"two of them":                  {generations, plain(drawDear), partialImage + partialImage, true, 40_000_000},
		"nothing of an image":          {generations, plain(drawDear), ": hello\n\n", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withUpstream(raw("text/event-stream", c.answer)), withConfig(func(c *ai.Config) { c.Tries = 1 }))
			a := h.send(c.endpoint, c.request)
			if c.broken {
				requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
			} else {
				require.Nil(t, a.err)
				require.Equal(t, c.answer, a.body)
			}
			hold := h.settled()
			require.Equal(t, c.cost, hold.Cost)
			require.LessOrEqual(t, hold.Cost, hold.Response.GetHeldNanoUsd())
			require.NotContains(t, h.logged.String(), "exceeds the bound")
		})
	}
}

// counted answers like raw and counts the calls.
func counted(calls *atomic.Int64, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	}
}

// TestATextIsNotReadAsEvents: OpenAI answers a text although the call asked for a stream. However the text begins, it is passed
// on and billed, and the provider is called once.
func TestATextIsNotReadAsEvents(t *testing.T) {
	for _, format := range []string{"text", "srt", "vtt"} {
		for _, text := range []string{"", "\n", " \n\n", "id like some tea\n", "data is not the plural of anecdote\n", "event after event\n", "retry it\n", ": well\n", "id: 7\n\n", "i", "\xef\xbb\xbf\n"} {
			var calls atomic.Int64
			h := newFixture(t, withUpstream(counted(&calls, "text/plain; charset=utf-8", text)))
			a := h.send(transcriptions, form(t, "model", "whisper-1", "response_format", format, "stream", "true", "@file", sound))
			require.Nil(t, a.err, "%q", text)
			require.Equal(t, text, a.body)
			require.False(t, a.head.GetStreamed())
			require.True(t, strings.HasPrefix(a.head.GetHeaders()["content-type"], "text/plain"))
			require.EqualValues(t, 300_000, h.settled().Cost)
			require.EqualValues(t, 1, calls.Load())
		}
	}
}

// TestATextOfAModelWithTokensIsBilledAsSound: the input of a text without a usage is estimated, and all of it costs what sound does.
func TestATextOfAModelWithTokensIsBilledAsSound(t *testing.T) {
	for _, stream := range []string{"true", "false"} {
		h := newFixture(t, withUpstream(raw("text/plain", "one two\n")))
		a := h.send(transcriptions, form(t, "model", "gpt-4o-transcribe", "prompt", "two words", "response_format", "text", "stream", stream, "@file", sound))
		require.Nil(t, a.err)
		require.EqualValues(t, heard+2*word, h.settled().Cost)
	}
}

// TestSpeechGoesByItsStreamFormat, whatever stream says beside it; sound that begins like an event is sound.
func TestSpeechGoesByItsStreamFormat(t *testing.T) {
	const events = spokenEvents + lastSpoken
	for name, c := range map[string]struct {
		fields, kind, answer string
		streamed             bool
	}{
		"sse, then false":         {`"stream_format":"sse","stream":false`, "text/event-stream", events, true},
		"false, then sse":         {`"stream":false,"stream_format":"sse"`, "text/event-stream", events, true},
		"audio and false":         {`"stream_format":"audio","stream":false`, "audio/mpeg", "sound", false},
		"false":                   {`"stream":false`, "audio/mpeg", "sound", false},
		"sound like a comment":    {`"stream_format":"sse"`, "audio/pcm", ": sound", false},
		"sound like an event":     {`"stream_format":"sse"`, "audio/pcm", "data: sound\n\n", false},
		"sound like white space":  {`"stream_format":"sse"`, "audio/pcm", "\n\n\n", false},
		"sound like an object":    {`"stream_format":"sse"`, "Audio/L16", "{", false},
		"events labeled as text":  {`"stream_format":"sse"`, "text/plain", events, true},
		"events without any type": {`"stream_format":"sse"`, "", events, true},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			h := newFixture(t, withUpstream(counted(&calls, c.kind, c.answer)))
			a := h.send(speech, plain(`{"model":"tts-1","voice":"alloy","input":"four",`+c.fields+`}`))
			require.Nil(t, a.err)
			require.Equal(t, c.answer, a.body)
			require.Equal(t, c.streamed, a.head.GetStreamed())
			require.EqualValues(t, 4*15_000, h.settled().Cost)
			require.EqualValues(t, 1, calls.Load())
		})
	}
}
