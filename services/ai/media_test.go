package ai_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/sandbox/openai"
)

const (
	generations    = aiv1.Endpoint_ENDPOINT_IMAGES_GENERATIONS
	edits          = aiv1.Endpoint_ENDPOINT_IMAGES_EDITS
	speech         = aiv1.Endpoint_ENDPOINT_AUDIO_SPEECH
	transcriptions = aiv1.Endpoint_ENDPOINT_AUDIO_TRANSCRIPTIONS
	translations   = aiv1.Endpoint_ENDPOINT_AUDIO_TRANSLATIONS

	spoken = `{"model":"tts-1","voice":"alloy","input":"Hello, Trivet! It is good to be able to speak at last."}`
	// characters is the number of those in spoken.
	characters = 54
)

// posted is a form, or a body of JSON, on its way.
type posted struct{ kind, body string }

// form writes fields by name and value in that order; a name that begins with @ is that of a file.
func form(t testing.TB, fields ...string) posted {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		if name, isFile := strings.CutPrefix(fields[i], "@"); isFile {
			f, err := w.CreateFormFile(name, "file.wav")
			require.NoError(t, err)
			_, err = f.Write([]byte(fields[i+1]))
			require.NoError(t, err)
			continue
		}
		require.NoError(t, w.WriteField(fields[i], fields[i+1]))
	}
	require.NoError(t, w.Close())
	return posted{w.FormDataContentType(), b.String()}
}

func plain(body string) posted { return posted{"application/json", body} }

func (h *fixture) send(endpoint aiv1.Endpoint, s posted) answer {
	h.t.Helper()
	stream, err := h.Relay(h.t.Context(), &aiv1.RelayRequest{Endpoint: endpoint, Body: []byte(s.body), Headers: map[string]string{"content-type": s.kind}})
	require.NoError(h.t, err)
	return drain(stream)
}

var sound = string(openai.WAV(2500))

// TestMedia makes each kind of call, byte for byte, and bills what the provider reports.
func TestMedia(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint aiv1.Endpoint
		request  posted
		path     string
		kind     string
		contains string
		cost     int64
		details  *usagev1.UsageDetails
		input    int32
		output   int32
	}{
		"images by tokens": {
			generations, plain(`{"model":"gpt-image-1","prompt":"a red square","n":2,"size":"1024x1024","quality":"low"}`), "/v1/images/generations",
			"application/json", `"b64_json"`, 3*5_000 + 544*40_000, &usagev1.UsageDetails{Images: 2, ImageOutputTokens: 544}, 3, 544,
		},
		"an image by its price": {
			generations, plain(`{"model":"dall-e-3","prompt":"a red square","size":"1024x1792","quality":"hd"}`), "/v1/images/generations",
			"application/json", `"url"`, 120_000_000, &usagev1.UsageDetails{Images: 1}, 0, 0,
		},
		"an image at the default price": {
			generations, plain(`{"model":"dall-e-3","prompt":"a red square"}`), "/v1/images/generations",
			"application/json", `"url"`, 40_000_000, &usagev1.UsageDetails{Images: 1}, 0, 0,
		},
		"an edit": {
			edits, form(t, "model", "gpt-image-1", "prompt", "make it blue", "quality", "medium", "size", "1024x1024", "@image[]", "png", "@image[]", "png"), "/v1/images/edits",
			"application/json", `"b64_json"`, 3*5_000 + 646*10_000 + 1056*40_000,
			&usagev1.UsageDetails{Images: 1, ImageInputTokens: 646, ImageOutputTokens: 1056}, 649, 1056,
		},
		"speech": {
			speech, plain(spoken), "/v1/audio/speech", "audio/mpeg", "\xff\xfb\x90", characters * 15_000, &usagev1.UsageDetails{Characters: characters}, 0, 0,
		},
		"speech as WAV": {
			speech, plain(`{"model":"tts-1-hd","voice":"alloy","input":"höre","response_format":"wav"}`), "/v1/audio/speech", "audio/wav", "RIFF", 4 * 30_000,
			&usagev1.UsageDetails{Characters: 4}, 0, 0,
		},
		"a transcript by the minute": {
			transcriptions, form(t, "@file", sound, "model", "whisper-1"), "/v1/audio/transcriptions", "application/json", `"text"`, 300_000,
			&usagev1.UsageDetails{AudioMillis: 3000}, 0, 0,
		},
		"a verbose transcript": {
			transcriptions, form(t, "model", "whisper-1", "response_format", "verbose_json", "@file", sound), "/v1/audio/transcriptions", "application/json", `"segments"`, 300_000,
			&usagev1.UsageDetails{AudioMillis: 3000}, 0, 0,
		},
		"a transcript as subtitles": {
			transcriptions, form(t, "model", "whisper-1", "response_format", "srt", "@file", sound), "/v1/audio/transcriptions", "text/plain; charset=utf-8", "-->", 300_000,
			&usagev1.UsageDetails{AudioMillis: 3000}, 0, 0,
		},
		"a transcript by tokens": {
			transcriptions, form(t, "model", "gpt-4o-transcribe", "prompt", "two words", "@file", sound), "/v1/audio/transcriptions", "application/json", `"text"`,
			25*6_000 + 2*2_500 + 6*10_000, &usagev1.UsageDetails{AudioInputTokens: 25}, 27, 6,
		},
		"a translation": {
			translations, form(t, "model", "whisper-1", "response_format", "text", "@file", sound), "/v1/audio/translations", "text/plain; charset=utf-8", "Translated", 300_000,
			&usagev1.UsageDetails{AudioMillis: 3000}, 0, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			a := h.send(c.endpoint, c.request)
			require.Nil(t, a.err)
			require.EqualValues(t, 200, a.head.GetStatus(), a.body)
			require.False(t, a.head.GetStreamed())
			require.Equal(t, c.kind, a.head.GetHeaders()["content-type"])
			require.Equal(t, "openai", a.head.GetHeaders()["x-trivet-target"])
			require.Contains(t, a.body, c.contains)
			got, _ := h.openai.LastRequest()
			require.Equal(t, c.path, got.Path)
			require.Equal(t, c.request.kind, got.Header.Get("Content-Type"))
			require.Equal(t, c.request.body, string(got.Body), "the body goes upstream as it came")
			hold := h.settled()
			final := hold.Settled[0]
			require.Equal(t, billingv1.Outcome_OUTCOME_COMPLETED, final.GetOutcome())
			require.Equal(t, c.cost, hold.Cost)
			require.LessOrEqual(t, hold.Cost, hold.Response.GetHeldNanoUsd(), "the hold bounds the cost")
			require.Equal(t, strings.Contains(name, "subtitles") || strings.Contains(name, "translation"), final.GetEstimated())
			require.Equal(t, c.input, final.GetUsage().GetInputTokens())
			require.Equal(t, c.output, final.GetUsage().GetOutputTokens())
			require.Equal(t, c.details.String(), final.GetDetails().String())
		})
	}
}

// TestMediaRefusals are made before anything is held.
func TestMediaRefusals(t *testing.T) {
	whisper := func(fields ...string) posted { return form(t, append([]string{"model", "whisper-1"}, fields...)...) }
	good := form(t, "model", "whisper-1", "@file", "x")
	bad := func(change func(string) string) posted { return posted{good.kind, change(good.body)} }
	for name, c := range map[string]struct {
		endpoint aiv1.Endpoint
		request  posted
		reason   errorsv1.ErrorReason
		field    string
	}{
		"another kind of model":   {generations, plain(`{"model":"gpt-4o","prompt":"a"}`), invalidArgument, "model"},
		"a chat with an image":    {aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, plain(`{"model":"gpt-image-1","messages":[{"role":"user","content":"a"}]}`), invalidArgument, "model"},
		"speech by a transcriber": {speech, plain(`{"model":"whisper-1","input":"a","voice":"alloy"}`), invalidArgument, "model"},
		"no model":                {generations, plain(`{"prompt":"a"}`), invalidArgument, "model"},
		"an unknown model":        {generations, plain(`{"model":"dall-e-9","prompt":"a"}`), errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, "model"},
		"no prompt":               {generations, plain(`{"model":"dall-e-3"}`), invalidArgument, "prompt"},
		"too many images":         {generations, plain(`{"model":"gpt-image-1","prompt":"a","n":11}`), invalidArgument, "n"},
		"no images":               {generations, plain(`{"model":"gpt-image-1","prompt":"a","n":0}`), invalidArgument, "n"},
		"a number as a text":      {generations, plain(`{"model":"gpt-image-1","prompt":"a","n":"2"}`), invalidArgument, "n"},
		"twice":                   {generations, plain(`{"model":"gpt-image-1","prompt":"a","n":1,"n":10}`), invalidArgument, "n"},
		"capitals":                {generations, plain(`{"model":"gpt-image-1","prompt":"a","N":10}`), invalidArgument, "n"},
		"a stream of two images":  {generations, plain(`{"model":"gpt-image-1","prompt":"a","n":2,"stream":true}`), invalidArgument, "n"},
		"a stream in a text":      {generations, plain(`{"model":"gpt-image-1","prompt":"a","stream":"true"}`), invalidArgument, "stream"},
		"a stream of one":         {generations, plain(`{"model":"gpt-image-1","prompt":"a","stream":1}`), invalidArgument, "stream"},
		"too many early images":   {generations, plain(`{"model":"gpt-image-1","prompt":"a","stream":true,"partial_images":4}`), invalidArgument, "partial_images"},
		"fewer than no images":    {edits, form(t, "model", "gpt-image-1", "prompt", "a", "partial_images", "-1", "@image", "x"), invalidArgument, "partial_images"},
		"a size without a price":  {generations, plain(`{"model":"dall-e-3","prompt":"a","size":"256x256"}`), invalidArgument, "size"},
		"a quality without one":   {generations, plain(`{"model":"dall-e-3","prompt":"a","quality":"low"}`), invalidArgument, "quality"},
		"not JSON":                {generations, plain(`{"model"`), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a list":                  {speech, plain(`[]`), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"nothing to say":          {speech, plain(`{"model":"tts-1","voice":"alloy"}`), invalidArgument, "input"},
		"too much to say":         {speech, plain(`{"model":"tts-1","voice":"alloy","input":"` + strings.Repeat("ä", 4097) + `"}`), invalidArgument, "input"},
		"speech as something":     {speech, plain(`{"model":"tts-1","voice":"alloy","input":"a","stream_format":"pages"}`), invalidArgument, "stream_format"},
		"a stream of sound":       {speech, plain(`{"model":"tts-1","voice":"alloy","input":"a","stream":true}`), invalidArgument, "stream"},
		"a bare line feed":        {transcriptions, bad(inHeader("\nX: y")), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a hidden header":         {transcriptions, bad(inHeader("\nContent-Disposition: form-data; name=\"model\"")), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a bare carriage return":  {transcriptions, bad(inHeader("\rX: y")), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a carriage return more":  {transcriptions, bad(inHeader("\r\r\n\nX: y")), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a NUL in a header":       {transcriptions, bad(inHeader("\x00")), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a line that continues":   {transcriptions, bad(inHeader("\r\n ; filename=x")), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"one that has a tab":      {transcriptions, bad(inHeader(";\r\n\tfilename=x")), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a first that continues":  {transcriptions, bad(func(b string) string { return strings.Replace(b, "Content-D", " Content-D", 1) }), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"JSON for a form":         {transcriptions, plain(`{"model":"whisper-1"}`), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"no file":                 {transcriptions, whisper(), invalidArgument, "file"},
		"an empty file":           {transcriptions, whisper("@file", ""), invalidArgument, "file"},
		"a file that is a text":   {transcriptions, whisper("file", "x"), invalidArgument, "file"},
		"two files":               {transcriptions, whisper("@file", "x", "@file", "y"), invalidArgument, "file"},
		"two models":              {transcriptions, whisper("model", "gpt-4o-transcribe", "@file", "x"), invalidArgument, "model"},
		"a model in capitals":     {transcriptions, form(t, "Model", "whisper-1", "@file", "x"), invalidArgument, "model"},
		"a model that is a file":  {transcriptions, form(t, "@model", "whisper-1", "@file", "x"), invalidArgument, "model"},
		"a stream of words":       {transcriptions, form(t, "model", "gpt-4o-transcribe", "stream", "yes", "@file", "x"), invalidArgument, "stream"},
		"a field that is a file":  {transcriptions, whisper("@file", "x", "@other", "y"), invalidArgument, "other"},
		"too many to edit":        {edits, form(t, slices.Concat([]string{"model", "gpt-image-1", "prompt", "a"}, slices.Repeat([]string{"@image[]", "x"}, 17))...), invalidArgument, "image"},
		"an edit of a mask":       {edits, form(t, "model", "gpt-image-1", "prompt", "a", "@mask", "x"), invalidArgument, "image"},
		"an edit of nothing":      {edits, form(t, "model", "gpt-image-1", "prompt", "a"), invalidArgument, "image"},
		"a form cut off":          {transcriptions, bad(func(b string) string { return b[:len(b)-10] }), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"bytes after the form":    {transcriptions, bad(func(b string) string { return b + "model" }), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"bytes before the form":   {transcriptions, bad(func(b string) string { return "x\r\n" + b }), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"bare line feeds":         {transcriptions, bad(func(b string) string { return strings.ReplaceAll(b, "\r\n", "\n") }), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a hidden boundary": {transcriptions, bad(func(b string) string {
			mark, _, _ := strings.Cut(b, "\r\n")
			return strings.Replace(b, "whisper-1", "whisper-1\n"+mark+"\nx", 1)
		}), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a boundary with an escape": {transcriptions, twoForms(t, `a(b`, `a\(b`, `boundary="a\(b"`), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"an escape that is not one": {transcriptions, twoForms(t, `a\b`, "ab", `boundary="a\b"`), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a boundary with a space":   {transcriptions, twoForms(t, "a b", "a", `boundary="a b"`), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a name with an escape":     {transcriptions, second(t, `name="mode\l"`), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a name behind an escape":   {transcriptions, second(t, `x="\"; name=model; y=\""; name="other"`), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a name within a parameter": {transcriptions, second(t, `x="; name=model;"; name="other"`), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a name within the name":    {transcriptions, second(t, `name="; name=model;"`), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"an encoded field": {transcriptions, bad(func(b string) string {
			return strings.Replace(b, "\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1)
		}), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a second name after a quote": {transcriptions, bad(func(b string) string {
			return strings.Replace(b, `filename="file.wav"`, `filename="a\"; name*=utf-8''prompt; b="`, 1)
		}), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a second name in a file's": {transcriptions, bad(func(b string) string {
			return strings.Replace(b, `filename="file.wav"`, `filename="a; name=model; b.wav"`, 1)
		}), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a coded name in a file's": {transcriptions, bad(func(b string) string {
			return strings.Replace(b, `filename="file.wav"`, `filename="a;NAME*=utf-8''model"`, 1)
		}), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
		"a second name": {transcriptions, bad(func(b string) string {
			return strings.Replace(b, `name="model"`, `name="model"; name*=utf-8''prompt`, 1)
		}), errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			a := h.send(c.endpoint, c.request)
			requireReason(t, c.reason, a.err)
			if c.field != "" {
				require.Equal(t, c.field, a.err.Fields[0].Name, a.err.Message)
			}
			require.Empty(t, h.billing.Holds())
			require.Zero(t, h.openai.Stats().Calls)
		})
	}
}

// twoForms is a form that has another model for a server that reads the boundary as hidden.
func twoForms(t *testing.T, boundary, hidden, parameter string) posted {
	t.Helper()
	inner := form(t, "model", "gpt-4o-transcribe", "@file", "x").withBoundary(hidden)
	outer := form(t, "model", "whisper-1", "@file", sound, "prompt", "\r\n"+inner.body).withBoundary(boundary)
	return posted{"multipart/form-data; " + parameter, outer.body}
}

// second is a form with a second field whose Content-Disposition is form-data with those parameters.
func second(t *testing.T, parameters string) posted {
	t.Helper()
	request := form(t, "model", "whisper-1", "@file", sound, "other", "gpt-4o-transcribe")
	request.body = strings.Replace(request.body, `name="other"`, parameters, 1)
	return request
}

// withBoundary is the same form with another boundary.
func (p posted) withBoundary(boundary string) posted {
	mark, _, _ := strings.Cut(p.body, "\r\n")
	return posted{p.kind, strings.ReplaceAll(p.body, mark, "--"+boundary)}
}

// TestFormsAreSentWithTheirBoundaryAlone: what else a Content-Type says could make a server read other fields than those that are priced.
func TestFormsAreSentWithTheirBoundaryAlone(t *testing.T) {
	const plain = "multipart/form-data; boundary=plain"
	for parameters, want := range map[string]string{
		"boundary=plain": plain, `boundary="plain"`: plain, "boundary=plain; charset=utf-7": plain, "Boundary = plain ; x=y;": plain,
		"boundary=other; boundary*=utf-8''plain": plain, "boundary*0=pl; boundary*1=ain": plain,
		`boundary="==plain=="`: `multipart/form-data; boundary="==plain=="`, "boundary=" + strings.Repeat("-_.+aZ9", 10): "multipart/form-data; boundary=" + strings.Repeat("-_.+aZ9", 10),
	} {
		t.Run(parameters, func(t *testing.T) {
			seen := make(chan string, 1)
			answer := raw("application/json", `{"text":"a"}`)
			h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
				seen <- r.Header.Get("Content-Type")
				answer(w, r)
			}))
			_, boundary, _ := strings.Cut(strings.ReplaceAll(want, `"`, ""), "boundary=")
			request := form(t, "model", "whisper-1", "@file", sound).withBoundary(boundary)
			request.kind = "multipart/form-data; " + parameters
			require.Nil(t, h.send(transcriptions, request).err)
			require.Equal(t, want, <-seen)
			h.settled()
		})
	}
}

// TestFieldsOfOtherClients: .NET writes names without quotes, and sloppy clients leave out spaces.
func TestFieldsOfOtherClients(t *testing.T) {
	for _, disposition := range []string{`form-data; name=model`, `form-data;name="model"`, `Form-Data; Name="model"`, `form-data ; name="model" `} {
		h := newFixture(t)
		request := form(t, "model", "whisper-1", "@file", sound)
		request.body = strings.Replace(request.body, `form-data; name="model"`, disposition, 1)
		require.Nil(t, h.send(transcriptions, request).err, disposition)
		require.EqualValues(t, 300_000, h.settled().Cost)
	}
}

// inHeader puts a text into the header of the field model.
func inHeader(text string) func(string) string {
	return func(body string) string { return strings.Replace(body, `name="model"`, `name="model"`+text, 1) }
}

// TestStreamMayBeFalse: the default may be written, and null is the same as nothing.
func TestStreamMayBeFalse(t *testing.T) {
	for _, value := range []string{"false", "null"} {
		h := newFixture(t)
		a := h.send(speech, plain(`{"model":"tts-1","voice":"alloy","input":"a","stream":`+value+`}`))
		require.Nil(t, a.err)
		require.EqualValues(t, 200, a.head.GetStatus())
	}
}

// TestFilesHaveAnyName: what looks like a parameter within quotes is a part of the name.
func TestFilesHaveAnyName(t *testing.T) {
	for _, name := range []string{"my name*.wav", "name*=utf-8''x; filename*=y", "a;b; my name=c.wav", `my \"best\" song.wav`} {
		h := newFixture(t)
		request := form(t, "model", "whisper-1", "@file", sound)
		request.body = strings.Replace(request.body, `filename="file.wav"`, `filename="`+name+`"`, 1)
		a := h.send(transcriptions, request)
		require.Nil(t, a.err, name)
		require.EqualValues(t, 300_000, h.settled().Cost)
	}
}

// TestMasksAreCountedApart: an edit has at most 16 images and a mask.
func TestMasksAreCountedApart(t *testing.T) {
	h := newFixture(t)
	a := h.send(edits, form(t, slices.Concat([]string{"model", "gpt-image-1", "prompt", "a", "@mask", "x"}, slices.Repeat([]string{"@image[]", "x"}, 16))...))
	require.Nil(t, a.err)
	require.EqualValues(t, 200, a.head.GetStatus(), a.body)
	h.settled()
}

// TestMediaAnswersOfAnotherKind: an answer that does not match the request is refused, and is free.
func TestMediaAnswersOfAnotherKind(t *testing.T) {
	draw, transcribe := plain(`{"model":"dall-e-3","prompt":"a"}`), form(t, "model", "whisper-1", "@file", sound)
	for name, c := range map[string]struct {
		endpoint aiv1.Endpoint
		request  posted
		answer   string
		good     bool
	}{
		"a text for an image":       {generations, draw, `{"text":"a"}`, false},
		"segments for an image":     {generations, draw, `{"segments":[{}]}`, false},
		"no images":                 {generations, draw, `{"data":[]}`, false},
		"an image":                  {generations, draw, `{"data":[{"url":"x"}]}`, true},
		"an image for a transcript": {transcriptions, transcribe, `{"data":[{"url":"x"}]}`, false},
		"a list of texts":           {transcriptions, transcribe, `{"text":["a"]}`, false},
		"segments as a text":        {transcriptions, transcribe, `{"segments":"a"}`, false},
		"a transcript":              {transcriptions, transcribe, `{"text":""}`, true},
		"segments":                  {transcriptions, transcribe, `{"segments":[]}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withUpstream(raw("application/json", c.answer)))
			a := h.send(c.endpoint, c.request)
			if !c.good {
				requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
				require.Zero(t, h.settled().Cost)
				return
			}
			require.Nil(t, a.err)
			require.Equal(t, c.answer, a.body)
			require.Positive(t, h.settled().Cost)
		})
	}
}

// TestSoundIsLabeled: sound that the provider does not label has the type of the format that was asked for.
func TestSoundIsLabeled(t *testing.T) {
	for _, c := range []struct{ provider, format, want string }{
		{"application/octet-stream", "wav", "audio/wav"},
		{"Application/Octet-Stream; x=y", "opus", "audio/ogg"},
		{"", "", "audio/mpeg"},
		{"", "another", "application/octet-stream"},
		{"audio/x-wav", "mp3", "audio/x-wav"},
	} {
		h := newFixture(t, withUpstream(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			if c.provider != "" {
				w.Header().Set("Content-Type", c.provider)
			}
			_, _ = w.Write([]byte("sound"))
		}))
		format := ""
		if c.format != "" {
			format = fmt.Sprintf(`,"response_format":%q`, c.format)
		}
		a := h.send(speech, plain(`{"model":"tts-1","voice":"alloy","input":"a"`+format+`}`))
		require.Nil(t, a.err)
		require.Equal(t, "sound", a.body)
		require.Equal(t, c.want, a.head.GetHeaders()["content-type"], c.provider)
	}
}

// TestAnswersInPlaceOfSubtitles: a page, or an error in place of a text, is not a transcript, and not billed.
func TestAnswersInPlaceOfSubtitles(t *testing.T) {
	for name, c := range map[string]struct {
		kind, body string
		status     int32
		reason     errorsv1.ErrorReason
	}{
		"a page":            {"Text/HTML; charset=utf-8", "<html>", 0, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR},
		"a text as HTML":    {"text/html; charset=utf-8", "Hello", 200, 0},
		"an error":          {"text/plain", ` {"error":{"message":"no room","type":"overloaded_error"}}`, 503, 0},
		"an error in JSON":  {"application/json", `{"error":{"message":"no room","type":"overloaded_error"}}`, 503, 0},
		"another JSON":      {"application/json", `{"a":1}`, 0, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR},
		"a text with brace": {"text/plain", "{laughs} Hello", 200, 0},
	} {
		for _, format := range []string{"text", "srt", "vtt"} {
			t.Run(name+" for "+format, func(t *testing.T) {
				h := newFixture(t, withUpstream(raw(c.kind, c.body)))
				a := h.send(transcriptions, form(t, "model", "whisper-1", "response_format", format, "@file", sound))
				hold := h.settled()
				if c.status == 0 {
					requireReason(t, c.reason, a.err)
				} else {
					require.Nil(t, a.err)
					require.Equal(t, c.status, a.head.GetStatus(), a.body)
				}
				require.Equal(t, c.status == 200, hold.Cost > 0)
			})
		}
	}
}

// TestSubtitlesTellTheLength of a file whose length is not known: silence takes few bytes.
func TestSubtitlesTellTheLength(t *testing.T) {
	for answer, seconds := range map[string]int64{
		"1\n00:00:00,000 --> 00:10:00,500\nA\n\n2\n00:00:01,000 --> 00:00:02,000\nB\n\n": 601,
		"WEBVTT\r\n\r\n00:00.000 --> 01:30.000 align:left\r\nA\r\n":                      90,
		"WEBVTT\n\n00:00.000 --> a minute\nA\n":                                          2,
		"WEBVTT\n\n00:00:00.000 --> 99:00:00.000\nA\n":                                   14401, // the bound
		"": 2,
	} {
		for _, format := range []string{"srt", "vtt"} {
			h := newFixture(t, withUpstream(raw("text/plain", answer)))
			a := h.send(transcriptions, form(t, "model", "whisper-1", "response_format", format, "@file", "fLaC\x00"))
			require.Nil(t, a.err)
			require.Equal(t, answer, a.body)
			hold := h.settled()
			require.Equal(t, seconds*100_000, hold.Cost, answer)
			require.True(t, hold.Settled[0].GetEstimated())
		}
	}
}

// TestMediaIsNotFreeWhenTheProcessDies: a checkpoint says what a call costs as soon as the provider has it.
func TestMediaIsNotFreeWhenTheProcessDies(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint       aiv1.Endpoint
		request        posted
		cost, expected int64
	}{
		"speech":                {speech, plain(spoken), characters * 15_000, 0},
		"images":                {generations, plain(`{"model":"dall-e-3","prompt":"aaaa","n":2}`), 2 * 40_000_000, 0},
		"images by tokens":      {generations, plain(`{"model":"gpt-image-1","prompt":"aaaa"}`), 5_000, 1},
		"a transcript":          {transcriptions, form(t, "model", "whisper-1", "@file", sound), 300_000, 0},
		"a transcript by token": {transcriptions, form(t, "model", "gpt-4o-transcribe", "prompt", "aaaa", "@file", sound), 30*6_000 + 2_500, 31},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			h.fault(fault.Fault{Kind: fault.Hang})
			ctx, leave := context.WithCancel(t.Context())
			stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: c.endpoint, Body: []byte(c.request.body), Headers: map[string]string{"content-type": c.request.kind}})
			require.NoError(t, err)
			require.Eventually(t, func() bool { return len(h.billing.Checkpoints()) > 0 }, 30*time.Second, 10*time.Millisecond)
			require.Equal(t, c.cost, h.billing.Checkpoints()[0].GetCostNanoUsd())
			require.EqualValues(t, c.expected, h.billing.Checkpoints()[0].GetUsage().GetInputTokens())
			require.EqualValues(t, c.expected, h.billing.Holds()[0].Request.GetExpectedInputTokens())
			leave()
			_ = drain(stream)
		})
	}
}

func TestWrongKindNamesThePath(t *testing.T) {
	h := newFixture(t)
	a := h.chat(`{"model":"tts-1","messages":[{"role":"user","content":"a"}]}`)
	requireReason(t, invalidArgument, a.err)
	require.Contains(t, a.err.Message, "POST /v1/audio/speech")
}

const twoTargets = `
targets:
  a: {kind: compatible, base_url: "%s/v1"}
  b: {kind: compatible, base_url: "%s/v1"}
models:
  voice: {kind: speech, provider: x, context_tokens: 4096, input: "0", characters: "15.00", targets: [{target: a}, {target: b, priority: 2, model: "deep voice"}]}
  ear: {kind: transcription, provider: x, context_tokens: 4096, input: "0", minute: "0.006", max_audio_seconds: 60, targets: [{target: a}, {target: b, priority: 2, model: big-ear}]}
`

// TestMediaFallsBack asks another target, by its own name of the model, as long as the caller has nothing.
func TestMediaFallsBack(t *testing.T) {
	for name, failing := range map[string]http.HandlerFunc{
		"an error":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"nothing":              func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "audio/mpeg") },
		"an error with a 200":  raw("application/json", `{"error":{"message":"overloaded"}}`),
		"a page":               raw("text/html", "<html>"),
		"a picture":            raw("image/png", "png"),
		"a cut before a sound": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			first, second := serve(t, failing), serve(t, func(w http.ResponseWriter, r *http.Request) {
				var b bytes.Buffer
				_, _ = b.ReadFrom(r.Body)
				got = b.String()
				if strings.HasSuffix(r.URL.Path, "speech") {
					w.Header().Set("Content-Type", "audio/mpeg")
					_, _ = w.Write([]byte("sound"))
					return
				}
				raw("application/json", `{"text":"a","usage":{"type":"duration","seconds":2}}`)(w, r)
			})
			h := newFixture(t, withModels(fmt.Sprintf(twoTargets, first, second)))
			a := h.send(speech, plain(`{"model":"voice","input":"four"}`))
			require.Nil(t, a.err)
			require.Equal(t, "sound", a.body)
			require.Equal(t, "b", a.head.GetHeaders()["x-trivet-target"])
			require.Equal(t, `{"model":"deep voice","input":"four"}`, got) //nolint:testifylint // to the byte
			require.EqualValues(t, 4*15_000, h.settled().Cost)

			request := form(t, "model", "ear", "@file", sound)
			a = h.send(transcriptions, request)
			require.Nil(t, a.err)
			require.Equal(t, strings.Replace(request.body, "ear\r\n", "big-ear\r\n", 1), got, "only the name changes")
			require.EqualValues(t, 200_000, h.billing.Holds()[1].Cost)
		})
	}
}

// TestSpeechThatBreaks is billed in full: the provider charges for the text. The caller gets what came, and no orderly end.
func TestSpeechThatBreaks(t *testing.T) {
	for after := range 4 {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			h := newFixture(t)
			h.fault(fault.Fault{Kind: fault.Cut, AfterChunks: after})
			a := h.send(speech, plain(spoken))
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
			hold := h.settled()
			require.Equal(t, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, hold.Settled[0].GetOutcome())
			if after == 0 {
				require.Empty(t, a.body)
				require.Zero(t, hold.Cost, "nothing was spoken")
				return
			}
			require.Len(t, a.body, after*417)
			require.EqualValues(t, characters*15_000, hold.Cost)
		})
	}
}

// TestMediaWhoseCallerLeaves: speech is stopped and billed by its text; anything else is read to its end for its cost.
func TestMediaWhoseCallerLeaves(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint aiv1.Endpoint
		request  posted
		before   string // what the provider sends before the caller leaves
		after    string // and after that; it ends its answer with this
		cost     int64
	}{
		"speech before the sound": {speech, plain(spoken), "", "", characters * 15_000},
		"speech within the sound": {speech, plain(spoken), "sound", "", characters * 15_000},
		"an image":                {generations, plain(`{"model":"dall-e-3","prompt":"a"}`), "", `{"data":[{"url":"x"}]}`, 40_000_000},
		"a transcript":            {transcriptions, form(t, "model", "whisper-1", "@file", sound), "", `{"text":"a","usage":{"type":"duration","seconds":3}}`, 300_000},
	} {
		t.Run(name, func(t *testing.T) {
			called, left := make(chan struct{}), make(chan struct{})
			h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				kind := "application/json"
				if c.endpoint == speech {
					kind = "audio/mpeg"
				}
				w.Header().Set("Content-Type", kind)
				if c.before != "" {
					_, _ = io.WriteString(w, c.before)
					_ = http.NewResponseController(w).Flush()
				}
				close(called)
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
			<-called
			if c.before != "" {
				_, err := stream.Recv()
				require.NoError(t, err)
			}
			leave()
			_ = drain(stream)
			close(left)
			require.Eventually(t, func() bool { return len(h.billing.Holds()) == 1 && h.billing.Held() == 0 }, 30*time.Second, time.Millisecond)
			hold := h.settled()
			require.Equal(t, c.cost, hold.Cost)
			require.Equal(t, billingv1.Outcome_OUTCOME_CALLER_LEFT, hold.Settled[0].GetOutcome())
		})
	}
}

// TestMediaIsNotBilledBeyondItsBound: a provider that claims more is not believed.
func TestMediaIsNotBilledBeyondItsBound(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint aiv1.Endpoint
		request  posted
		answer   string
	}{
		"tokens of images": {
			generations, plain(`{"model":"gpt-image-1","prompt":"a"}`),
			`{"data":[{"b64_json":"x"}],"usage":{"input_tokens":999999999,"output_tokens":999999999,"input_tokens_details":{"image_tokens":999999999}}}`,
		},
		"images":  {generations, plain(`{"model":"dall-e-3","prompt":"a"}`), `{"data":[{"url":"x"},{"url":"x"},{"url":"x"}]}`},
		"seconds": {transcriptions, form(t, "model", "whisper-1", "@file", sound), `{"text":"a","usage":{"type":"duration","seconds":99999}}`},
		"tokens of sound": {
			transcriptions, form(t, "model", "gpt-4o-transcribe", "@file", sound),
			`{"text":"a","usage":{"input_tokens":99999999,"output_tokens":99999999,"input_token_details":{"audio_tokens":99999999}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withUpstream(raw("application/json", c.answer)))
			a := h.send(c.endpoint, c.request)
			require.Nil(t, a.err)
			hold := h.settled()
			require.LessOrEqual(t, hold.Settled[0].GetCostNanoUsd(), hold.Response.GetHeldNanoUsd())
			require.Contains(t, h.logged.String(), "exceeds the bound")
		})
	}
}

// TestMediaWithoutUsage is billed by what was made.
func TestMediaWithoutUsage(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint aiv1.Endpoint
		request  posted
		answer   string
		cost     int64
	}{
		"images": {generations, plain(`{"model":"gpt-image-1","prompt":"aaaa","n":2}`), `{"data":[{"b64_json":"x"}]}`, 1*5_000 + 6240*40_000},
		"sound":  {transcriptions, form(t, "model", "whisper-1", "@file", sound), `{"text":"a"}`, 300_000},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withUpstream(raw("application/json", c.answer)))
			require.Nil(t, h.send(c.endpoint, c.request).err)
			hold := h.settled()
			require.Equal(t, c.cost, hold.Cost)
			require.True(t, hold.Settled[0].GetEstimated())
		})
	}
}

// TestMediaRepeats: a form that is sent again has another boundary, and is the same request.
func TestMediaRepeats(t *testing.T) {
	digest := func(s posted) string {
		h := newFixture(t)
		stream, err := h.Relay(t.Context(), &aiv1.RelayRequest{
			Endpoint: transcriptions, Body: []byte(s.body), Headers: map[string]string{"content-type": s.kind, "idempotency-key": "k"},
		})
		require.NoError(t, err)
		require.Nil(t, drain(stream).err)
		return h.settled().Request.GetRequestDigest()
	}
	first := digest(form(t, "model", "whisper-1", "@file", sound))
	require.Equal(t, first, digest(form(t, "model", "whisper-1", "@file", sound)))
	require.NotEqual(t, first, digest(form(t, "model", "whisper-1", "@file", sound+"\x00\x00")))
	require.NotEqual(t, first, digest(form(t, "model", "whisper-1", "language", "en", "@file", sound)))
}

func TestMediaErrorsArePassedOn(t *testing.T) {
	h := newFixture(t)
	a := h.send(speech, plain(`{"model":"tts-1","input":"a"}`))
	require.Nil(t, a.err)
	require.EqualValues(t, 400, a.head.GetStatus())
	require.True(t, json.Valid([]byte(a.body)))
	require.Contains(t, a.body, "voice")
	require.Zero(t, h.settled().Cost)
}

// serve runs a server for a test and returns its address.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}
