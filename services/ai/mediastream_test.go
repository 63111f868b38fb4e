package ai_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/services/ai"
)

const (
	partialImage = "event: image_generation.partial_image\ndata: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"AAAA\",\"partial_image_index\":0}\n\n"
	lastImage    = "event: image_generation.completed\ndata: {\"type\":\"image_generation.completed\",\"b64_json\":\"AAAA\",\"usage\":{\"input_tokens\":3,\"output_tokens\":372,\"total_tokens\":375,\"input_tokens_details\":{\"text_tokens\":3,\"image_tokens\":0}}}\n\n"
	firstWords   = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"one\",\"logprobs\":[]}\n\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\" t\\u0077o\"}\n\n"
	lastWords    = "data: {\"type\":\"transcript.text.done\",\"text\":\"one two\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":27,\"output_tokens\":2,\"total_tokens\":29,\"input_token_details\":{\"text_tokens\":2,\"audio_tokens\":25}}}\n\n"
	spokenEvents = "data: {\"type\":\"speech.audio.delta\",\"audio\":\"AAAA\"}\n\n"
	lastSpoken   = "data: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":9,\"output_tokens\":9,\"total_tokens\":18}}\n\n"

	drawStream  = `{"model":"gpt-image-1","prompt":"a red square","quality":"low","size":"1024x1024","stream":true,"partial_images":2}`
	speakStream = `{"model":"tts-1","voice":"alloy","input":"four","stream_format":"sse"}`
	imageCost   = 3*5_000 + 372*40_000
	wordsCost   = 2*2_500 + 25*6_000 + 2*10_000
)

func hearStream(t testing.TB) posted {
	return form(t, "model", "gpt-4o-transcribe", "prompt", "two words", "stream", "true", "@file", sound)
}

// TestMediaStreams: a stream leaves byte for byte, and is billed by the usage of its last event.
func TestMediaStreams(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint aiv1.Endpoint
		request  posted
		answer   string
		cost     int64
		details  *usagev1.UsageDetails
	}{
		"images":                 {generations, plain(drawStream), ": hello\n\n" + partialImage + partialImage + lastImage, imageCost, &usagev1.UsageDetails{Images: 1, ImageOutputTokens: 372}},
		"images and [DONE]":      {generations, plain(drawStream), partialImage + lastImage + done, imageCost, &usagev1.UsageDetails{Images: 1, ImageOutputTokens: 372}},
		"an edit":                {edits, form(t, "model", "gpt-image-1", "prompt", "a", "stream", "true", "@image", "png"), strings.ReplaceAll(lastImage, "image_generation", "image_edit"), imageCost, &usagev1.UsageDetails{Images: 1, ImageOutputTokens: 372}},
		"a transcript":           {transcriptions, hearStream(t), firstWords + lastWords + done, wordsCost, &usagev1.UsageDetails{AudioInputTokens: 25}},
		"speech":                 {speech, plain(speakStream), spokenEvents + spokenEvents + lastSpoken, 4 * 15_000, &usagev1.UsageDetails{Characters: 4}},
		"sound without events":   {speech, plain(speakStream), "RIFF sound", 4 * 15_000, &usagev1.UsageDetails{Characters: 4}},
		"a transcript as a text": {transcriptions, form(t, "model", "whisper-1", "response_format", "text", "stream", "true", "@file", sound), "one two\n", 300_000, &usagev1.UsageDetails{AudioMillis: 3000}},
	} {
		t.Run(name, func(t *testing.T) {
			events := strings.Contains(c.answer, "data:")
			kind := "text/plain"
			switch {
			case events:
				kind = "text/event-stream"
			case c.endpoint == speech:
				kind = "audio/wav"
			}
			h := newFixture(t, withUpstream(raw(kind, c.answer)))
			a := h.send(c.endpoint, c.request)
			require.Nil(t, a.err)
			require.Equal(t, c.answer, a.body)
			require.Equal(t, events, a.head.GetStreamed())
			require.Equal(t, events, strings.HasPrefix(a.head.GetHeaders()["content-type"], "text/event-stream"))
			hold := h.settled()
			require.Equal(t, c.cost, hold.Cost)
			require.LessOrEqual(t, hold.Cost, hold.Response.GetHeldNanoUsd())
			require.Equal(t, c.details.String(), hold.Settled[0].GetDetails().String())
			require.Equal(t, events || c.endpoint == speech, !hold.Settled[0].GetEstimated())
			require.Equal(t, billingv1.Outcome_OUTCOME_COMPLETED, hold.Settled[0].GetOutcome())
		})
	}
}

// TestMediaStreamsOfTheSandbox bills what the sandbox reports.
func TestMediaStreamsOfTheSandbox(t *testing.T) {
	h := newFixture(t)
	a := h.send(generations, plain(drawStream))
	require.Nil(t, a.err)
	require.Equal(t, 3, strings.Count(a.body, "event: "), a.body)
	require.EqualValues(t, 3*5_000+(272+2*100)*40_000, h.settled().Cost)

	h = newFixture(t)
	a = h.send(transcriptions, hearStream(t))
	require.Nil(t, a.err)
	require.True(t, strings.HasSuffix(a.body, done), a.body)
	require.EqualValues(t, 25*6_000+2*2_500+6*10_000, h.settled().Cost)

	h = newFixture(t)
	a = h.send(speech, plain(speakStream))
	require.EqualValues(t, 400, a.head.GetStatus(), "tts-1 has no events")
	require.Contains(t, a.body, "stream_format")
	require.Zero(t, h.settled().Cost)
}

// TestAnswersInOnePieceBecomeStreams: the caller gets the form that it asked for.
func TestAnswersInOnePieceBecomeStreams(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint     aiv1.Endpoint
		request      posted
		answer, want string
		cost         int64
	}{
		"an image": {
			generations, plain(drawStream), "{\n \"created\": 7, \"size\": \"1024x1024\", \"data\": [ { \"b64_json\": \"AAAA\" } ], \"usage\": {\"input_tokens\":3,\"output_tokens\":372,\"total_tokens\":375}}",
			"event: image_generation.completed\ndata: {\"type\":\"image_generation.completed\",\"created_at\":7,\"size\":\"1024x1024\",\"usage\":{\"input_tokens\":3,\"output_tokens\":372,\"total_tokens\":375},\"b64_json\":\"AAAA\"}\n\n", imageCost,
		},
		"an edit": {
			edits, form(t, "model", "gpt-image-1", "prompt", "a", "stream", "true", "@image", "png"), `{"data":[{}],"usage":{"input_tokens":3,"output_tokens":372,"input_tokens_details":{"text_tokens":3}}}`,
			"event: image_edit.completed\ndata: {\"type\":\"image_edit.completed\",\"usage\":{\"input_tokens\":3,\"output_tokens\":372,\"input_tokens_details\":{\"text_tokens\":3}}}\n\n", imageCost,
		},
		"a transcript": {
			transcriptions, form(t, "model", "whisper-1", "stream", "true", "@file", sound), `{"text":"a","usage":{"type":"duration","seconds":3}}`,
			"event: transcript.text.done\ndata: {\"type\":\"transcript.text.done\",\"text\":\"a\",\"usage\":{\"type\":\"duration\",\"seconds\":3}}\n\n", 300_000,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withUpstream(raw("application/json", c.answer)))
			a := h.send(c.endpoint, c.request)
			require.Nil(t, a.err)
			require.Equal(t, c.want, a.body)
			require.True(t, a.head.GetStreamed())
			require.Equal(t, c.cost, h.settled().Cost)
		})
	}
}

// TestMediaStreamsThatBreak cuts each stream after every byte. What was seen is billed: the usage, or else the images and words.
func TestMediaStreamsThatBreak(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint aiv1.Endpoint
		request  posted
		events   []string
		costs    []int64 // after so many events
	}{
		"images": {
			generations, plain(drawStream),
			[]string{partialImage, partialImage, lastImage},
			[]int64{0, 3*5_000 + 100*40_000, 3*5_000 + 200*40_000, imageCost},
		},
		"a transcript": {
			transcriptions, hearStream(t), append(strings.SplitAfter(firstWords, "\n\n")[:2], lastWords),
			[]int64{0, 33*6_000 + 1*10_000, 33*6_000 + 2*10_000, wordsCost},
		},
		"speech": {
			speech, plain(speakStream),
			[]string{spokenEvents, lastSpoken},
			[]int64{0, 4 * 15_000, 4 * 15_000},
		},
	} {
		t.Run(name, func(t *testing.T) {
			whole, at := strings.Join(c.events, ""), 0
			h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, whole[:at])
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}), withConfig(func(c *ai.Config) { c.Tries = 1 }))
			for at = range len(whole) {
				a := h.send(c.endpoint, c.request)
				holds := h.billing.Holds()
				hold := holds[len(holds)-1]
				complete, end := 0, 0
				for _, event := range c.events { // which counts as soon as its data is whole
					if end += len(event); at >= end-len("\n\n") {
						complete++
					}
				}
				if complete < len(c.events) {
					requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
				} else {
					require.Nil(t, a.err, at)
				}
				cost := c.costs[complete]
				if sent := strings.Count(whole[:at], "\n\n"); complete < len(c.events) && sent == 0 && c.endpoint == speech {
					cost = 0 // nothing was passed on
				}
				require.Equal(t, cost, hold.Cost, "after %q", whole[:at])
				require.True(t, strings.HasPrefix(whole+"\n", a.body), a.body)
				require.Zero(t, h.billing.Held())
			}
		})
	}
}

// TestMediaStreamsWhoseCallerLeaves are read to their end for their cost; speech is not, because its price is known.
func TestMediaStreamsWhoseCallerLeaves(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint      aiv1.Endpoint
		request       posted
		before, after string
		cost          int64
	}{
		"images":       {generations, plain(drawStream), partialImage, lastImage, imageCost},
		"a transcript": {transcriptions, hearStream(t), firstWords, lastWords, wordsCost},
		"speech":       {speech, plain(speakStream), spokenEvents, "", 4 * 15_000},
	} {
		t.Run(name, func(t *testing.T) {
			left := make(chan struct{})
			h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, c.before)
				_ = http.NewResponseController(w).Flush()
				if c.after == "" {
					<-r.Context().Done() // Trivet ends the call
					return
				}
				select {
				case <-left:
					_, _ = io.WriteString(w, c.after)
				case <-r.Context().Done():
				}
			}))
			ctx, leave := context.WithCancel(t.Context())
			stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: c.endpoint, Body: []byte(c.request.body), Headers: map[string]string{"content-type": c.request.kind}})
			require.NoError(t, err)
			_, err = stream.Recv()
			require.NoError(t, err)
			leave()
			_ = drain(stream)
			close(left)
			require.Eventually(t, func() bool { return len(h.billing.Holds()) == 1 && h.billing.Held() == 0 }, 30*time.Second, time.Millisecond)
			require.Equal(t, c.cost, h.settled().Cost)
			require.Equal(t, billingv1.Outcome_OUTCOME_CALLER_LEFT, h.settled().Settled[0].GetOutcome())
		})
	}
}

// TestMediaStreamsWithErrors: an error that comes first has its own status; a later one ends the stream, and what came is billed.
func TestMediaStreamsWithErrors(t *testing.T) {
	for _, failure := range []string{
		`data: {"error":{"message":"No","type":"invalid_request_error","code":"content_policy_violation"}}` + "\n\n",
		`data: {"type":"error","message":"No","code":"content_policy_violation"}` + "\n\n",
		"event: error\n" + `data: {"type":"error","error":{"message":"No","code":"content_policy_violation"}}` + "\n\n",
	} {
		h := newFixture(t, withUpstream(raw("text/event-stream", failure)))
		a := h.send(generations, plain(drawStream))
		require.Nil(t, a.err)
		require.EqualValues(t, 400, a.head.GetStatus(), a.body)
		require.Contains(t, a.body, "content_policy_violation")
		require.Zero(t, h.settled().Cost)

		h = newFixture(t, withUpstream(raw("text/event-stream", partialImage+failure)))
		a = h.send(generations, plain(drawStream))
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
		require.Equal(t, partialImage, a.body)
		require.EqualValues(t, 3*5_000+100*40_000, h.settled().Cost)
		require.Contains(t, h.logged.String(), "compare the call with the provider's invoice")

		h = newFixture(t, withUpstream(raw("text/event-stream", spokenEvents+failure))) // in one piece
		a = h.send(speech, plain(speakStream))
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
		require.Equal(t, spokenEvents, a.body)
		require.EqualValues(t, 4*15_000, h.settled().Cost)
	}
}

// TestMediaStreamsAreBounded: what a provider claims or sends beyond the hold is not billed, and a stream of it is cut.
func TestMediaStreamsAreBounded(t *testing.T) {
	many := func(event string, n int) string { return strings.Repeat(event, n) }
	const claims = `"usage":{"input_tokens":999999999,"output_tokens":999999999}}` + "\n\n"
	for name, c := range map[string]struct {
		endpoint aiv1.Endpoint
		request  posted
		answer   string
		cut      bool
	}{
		"a usage of an image":    {generations, plain(drawStream), `data: {"type":"image_generation.completed","b64_json":"x",` + claims, false},
		"a usage of words":       {transcriptions, hearStream(t), `data: {"type":"transcript.text.done","text":"x",` + claims, false},
		"early images":           {generations, plain(drawStream), many(partialImage, 4) + lastImage, true},
		"words":                  {transcriptions, hearStream(t), many(`data: {"type":"transcript.text.delta","delta":"`+many("one two ", 100)+`"}`+"\n\n", 20) + lastWords, true},
		"words without a usage":  {transcriptions, hearStream(t), firstWords + `data: {"type":"transcript.text.done","text":"one two"}` + "\n\n", false},
		"an edit without usage":  {edits, form(t, "model", "gpt-image-1", "prompt", "a", "stream", "true", "@image", "png"), `data: {"type":"image_edit.completed","b64_json":"x"}` + "\n\n", false},
		"an image without usage": {generations, plain(drawStream), partialImage + partialImage + `data: {"type":"image_generation.completed","b64_json":"x"}` + "\n\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withUpstream(raw("text/event-stream", c.answer)))
			a := h.send(c.endpoint, c.request)
			require.Equal(t, c.cut, a.err != nil)
			hold := h.settled()
			require.Positive(t, hold.Cost)
			require.LessOrEqual(t, hold.Settled[0].GetCostNanoUsd(), hold.Response.GetHeldNanoUsd())
			require.Equal(t, strings.Contains(name, "without"), hold.Settled[0].GetEstimated() && !c.cut)
			if strings.Contains(name, "without") { // an estimate is not a claim of the provider
				require.NotContains(t, h.logged.String(), "exceeds the bound")
			}
		})
	}
}

// TestAStreamIsNotFreeWhenTheProcessDies: a checkpoint has what came.
func TestAStreamIsNotFreeWhenTheProcessDies(t *testing.T) {
	h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, partialImage)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}), withConfig(func(c *ai.Config) { c.AbandonedReads = 0 }))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: generations, Body: []byte(drawStream), Headers: map[string]string{"content-type": "application/json"}})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		all := h.billing.Checkpoints()
		return len(all) > 0 && all[len(all)-1].GetCostNanoUsd() == 3*5_000+100*40_000
	}, 30*time.Second, 10*time.Millisecond)
	leave()
	_ = drain(stream)
	require.Eventually(t, func() bool { return h.billing.Held() == 0 }, 30*time.Second, time.Millisecond)
	require.Equal(t, h.settled().Response.GetHeldNanoUsd(), h.settled().Settled[0].GetCostNanoUsd(), "an answer that cannot be read is billed at the bound")
}

// TestMediaStreamsFallBack: until the caller has a byte, another target is asked.
func TestMediaStreamsFallBack(t *testing.T) {
	for _, failing := range []string{"", "data: {\"type\":\"image_generation.partial_image\"", `data: {"error":{"message":"overloaded","type":"server_error"}}` + "\n\n", "<html>", `{"data":[]}`} {
		first, second := serve(t, raw("text/event-stream", failing)), serve(t, raw("text/event-stream", lastImage))
		h := newFixture(t, withModels(fmt.Sprintf(dearModels, first, second)))
		a := h.send(generations, plain(`{"model":"draw","prompt":"a","stream":true}`))
		require.Nil(t, a.err, failing)
		require.Equal(t, lastImage, a.body)
		require.Equal(t, "b", a.head.GetHeaders()["x-trivet-target"])
		require.EqualValues(t, imageCost, h.settled().Cost)
	}
}
