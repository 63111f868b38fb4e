package e2e

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/openai"
)

// The endpoints of images and sound; a column of the second table for each.
const (
	faultImages     faultAPI = "images"
	faultEdits      faultAPI = "edits"
	faultSpeech     faultAPI = "speech"
	faultTranscript faultAPI = "transcript"
	faultTranslate  faultAPI = "translate"
)

// Their streams; a column of the third table for each.
const (
	faultImagesStream     faultAPI = "images-events"
	faultEditsStream      faultAPI = "edits-events"
	faultSpeechStream     faultAPI = "speech-events"
	faultTranscriptStream faultAPI = "transcript-events"
)

// streamFaults are faults of streams only, in addition to providerFaults.
var streamFaults = []providerFault{
	{name: "cut-first", about: "cut after the first event", stream: faultChunks[:strings.Index(faultChunks, "\n\n")+2], reset: true},
	{name: "cut-last", harmless: true, about: "cut after the last event", stream: faultChunks + faultEnd, reset: true},
	{name: "no-end", about: "an end without the last event", stream: faultChunks},
	{name: "no-usage", harmless: true, about: "a last event without usage", stream: faultChunks + strings.Replace(faultEnd, faultUsage, `"usage":null`, 1)},
	{name: "low-usage", harmless: true, about: "a usage of zeros", stream: faultChunks + strings.NewReplacer(":7,", ":0,", ":5,", ":0,", ":12}", ":0}").Replace(faultEnd)},
}

// mediaAPI is an endpoint of images or sound.
type mediaAPI struct {
	path    string
	fields  []string // of a form, or of a JSON object; a name that begins with @ is that of a file
	answer  string
	prices  string
	charges map[int64]string // by cost in nano-dollars
	// Of a stream: two events, of which a part is in the charge, and the last one. Its fields have raw values of JSON.
	first, second, last string
}

// lastMediaEvent finds the last event of a stream.
var lastMediaEvent = regexp.MustCompile(`"type":"(image_generation\.completed|image_edit\.completed|transcript\.text\.done|speech\.audio\.done)"`)

const (
	imageFields = `kind: image, context_tokens: 8192, max_output_tokens: 1000, max_image_tokens: 8192, input: "1.00", image_input: "1.00", image_output: "2.00"`
	drawn       = `"usage":{"input_tokens":7,"output_tokens":205,"total_tokens":212}`
)

// faultMedia says of an endpoint what a call asks for, what a provider that works answers, and what the model costs.
var faultMedia = map[faultAPI]mediaAPI{
	faultImages: {
		path:    "/v1/images/generations",
		fields:  []string{"prompt", "hi"},
		answer:  `{"created":1,"data":[{"b64_json":"aGkgdGhlcmUsIHRoaXMgaXMgYSBwaWN0dXJlIGluIGJhc2U2NA=="}],"usage":{"input_tokens":7,"output_tokens":5,"total_tokens":12}}`,
		prices:  `kind: image, context_tokens: 8192, max_output_tokens: 50, max_image_tokens: 8192, input: "1.00", image_input: "1.00", image_output: "2.00"`,
		charges: map[int64]string{7*1000 + 5*2000: "charged as reported", 7*1000 + 50*2000: "charged at the bound"},
	},
	faultEdits: {
		path:    "/v1/images/edits",
		fields:  []string{"prompt", "hi", "@image", "png"},
		answer:  `{"created":1,"data":[{"b64_json":"aGkgdGhlcmUsIHRoaXMgaXMgYSBwaWN0dXJlIGluIGJhc2U2NA=="}],"usage":{"input_tokens":7,"output_tokens":5,"total_tokens":12}}`,
		prices:  `kind: image, context_tokens: 8192, max_output_tokens: 50, max_image_tokens: 8192, input: "1.00", image_input: "1.00", image_output: "2.00"`,
		charges: map[int64]string{7*1000 + 5*2000: "charged as reported", 7*1000 + 50*2000: "charged at the bound"},
	},
	faultSpeech: {
		path:    "/v1/audio/speech",
		fields:  []string{"input", "hi", "voice", "alloy"},
		answer:  "one two three, and that many bytes of sound that nobody can hear: they only stand for an MP3",
		prices:  `kind: speech, context_tokens: 4096, input: "0", characters: "15.00"`,
		charges: map[int64]string{2 * 15_000: "charged by its text"},
	},
	faultTranscript: {
		path:    "/v1/audio/transcriptions",
		fields:  []string{"@file", string(openai.WAV(2500))},
		answer:  `{"text":"one two three, and so on until the text is long enough to be cut","usage":{"type":"tokens","input_tokens":7,"output_tokens":5,"total_tokens":12}}`,
		prices:  `kind: transcription, context_tokens: 8192, max_output_tokens: 50, input: "1.00", audio_input: "1.00", output: "2.00", max_audio_seconds: 60`,
		charges: map[int64]string{7*1000 + 5*2000: "charged as reported", 7*1000 + 50*2000: "charged at the bound"},
	},
	faultTranslate: {
		path:    "/v1/audio/translations",
		fields:  []string{"@file", string(openai.WAV(2500))},
		answer:  `{"text":"one two three, and so on until the text is long enough to be cut","usage":{"type":"duration","seconds":3}}`,
		prices:  `kind: transcription, context_tokens: 4096, input: "0", minute: "0.006", max_audio_seconds: 60`,
		charges: map[int64]string{3 * 100_000: "charged as reported", 4 * 100_000: "charged at the bound"},
	},
	faultImagesStream: {
		path: "/v1/images/generations", fields: []string{"prompt", `"hi"`, "stream", "true", "partial_images", "2"}, prices: imageFields,
		answer: `{"created":1,"data":[{"b64_json":"one0"}],` + drawn + `}`,
		first:  `{"type":"image_generation.partial_image","b64_json":"one0","partial_image_index":0}`,
		second: `{"type":"image_generation.partial_image","b64_json":"two0","partial_image_index":1}`,
		last:   `{"type":"image_generation.completed","b64_json":"aaa0",` + drawn + `}`,
		charges: map[int64]string{
			7*1000 + 205*2000: "charged as reported", 7*1000 + 1200*2000: "charged at the bound", 1*1000 + 1200*2000: "charged as counted",
			1*1000 + 100*2000: "charged for one early image", 1*1000 + 200*2000: "charged for two early images",
		},
	},
	faultEditsStream: {
		path: "/v1/images/edits", fields: []string{"prompt", "hi", "stream", "true", "partial_images", "2", "@image", "png"}, prices: imageFields,
		answer: `{"created":1,"data":[{"b64_json":"one0"}],` + drawn + `}`,
		first:  `{"type":"image_edit.partial_image","b64_json":"one0","partial_image_index":0}`,
		second: `{"type":"image_edit.partial_image","b64_json":"two0","partial_image_index":1}`,
		last:   `{"type":"image_edit.completed","b64_json":"aaa0",` + drawn + `}`,
		charges: map[int64]string{
			7*1000 + 205*2000: "charged as reported", 7*1000 + 1200*2000: "charged at the bound", 8192*1000 + 1200*2000: "charged as counted",
			8192*1000 + 100*2000: "charged for one early image", 8192*1000 + 200*2000: "charged for two early images",
		},
	},
	faultSpeechStream: {
		path: "/v1/audio/speech", fields: []string{"input", `"hi"`, "voice", `"alloy"`, "stream_format", `"sse"`},
		prices: `kind: speech, context_tokens: 4096, input: "0", characters: "15.00"`,
		answer: "one two three, and that many bytes of sound that nobody can hear: they only stand for an MP3",
		first:  `{"type":"speech.audio.delta","audio":"one0"}`, second: `{"type":"speech.audio.delta","audio":"two0"}`,
		last:    `{"type":"speech.audio.done","usage":{"input_tokens":7,"output_tokens":5,"total_tokens":12}}`,
		charges: map[int64]string{2 * 15_000: "charged by its text"},
	},
	faultTranscriptStream: {
		path: "/v1/audio/transcriptions", fields: []string{"stream", "true", "@file", string(openai.WAV(2500))},
		prices: `kind: transcription, context_tokens: 8192, max_output_tokens: 50, input: "1.00", audio_input: "1.00", output: "2.00", max_audio_seconds: 60`,
		answer: `{"text":"one two three","usage":{"type":"tokens","input_tokens":7,"output_tokens":5,"total_tokens":12}}`,
		first:  `{"type":"transcript.text.delta","delta":"one"}`, second: `{"type":"transcript.text.delta","delta":" two"}`,
		last: `{"type":"transcript.text.done","text":"one two","usage":{"type":"tokens","input_tokens":7,"output_tokens":5,"total_tokens":12}}`,
		charges: map[int64]string{
			7*1000 + 5*2000: "charged as reported", 7*1000 + 50*2000: "charged at the bound", 30*1000 + 1*2000: "charged for one word", 30*1000 + 2*2000: "charged as counted",
		},
	},
}

// mediaBody is what a fault answers at an endpoint in place of body.
func mediaBody(api faultAPI, body string) string {
	m := faultMedia[api]
	answer := m.answer
	if m.last != "" {
		first := "data: " + m.first + "\n\n"
		events := strings.NewReplacer(
			faultEnd, "data: "+m.last+"\n\n", strings.Replace(faultEnd, `"completion_tokens":5`, `"completion_tokens":`+impossible, 1), "data: "+tallest.ReplaceAllString(m.last, "${1}"+impossible)+"\n\n",
			streamFaults[3].stream[len(faultChunks):], "data: "+usageObject.ReplaceAllString(m.last, `"usage":null`)+"\n\n",
			streamFaults[4].stream[len(faultChunks):], "data: "+usageObject.ReplaceAllStringFunc(m.last, func(u string) string { return numbers.ReplaceAllString(u, ":0") })+"\n\n",
			faultChunks, first+"data: "+m.second+"\n\n", streamFaults[0].stream, first,
		)
		body = events.Replace(body)
	}
	tall := strings.NewReplacer(`"output_tokens":5`, `"output_tokens":`+impossible, `"seconds":3`, `"seconds":999999`).Replace(answer)
	return strings.NewReplacer(strings.Replace(faultWhole, `"completion_tokens":5`, `"completion_tokens":`+impossible, 1), tall, faultWhole, answer, faultWhole[:80], answer[:60]).Replace(body)
}

var (
	usageObject = regexp.MustCompile(`"usage":\{[^}]*\}`)
	tallest     = regexp.MustCompile(`("output_tokens":)[0-9]+`)
	numbers     = regexp.MustCompile(`:[0-9]+`)
)

// apiOf is the endpoint of images or sound that a path is; "" for another one.
func apiOf(path string, stream bool) faultAPI {
	for api, m := range faultMedia {
		if (m.last != "") == stream && strings.HasSuffix(path, strings.TrimPrefix(m.path, "/v1")) {
			return api
		}
	}
	return faultChat
}

// media makes the request of a cell for images or sound, and returns its path, Content-Type and body.
func (c faultCell) media(t *testing.T) (path, kind, body string) {
	t.Helper()
	m := faultMedia[c.api]
	if c.api == faultImagesStream || c.api == faultSpeechStream {
		var b strings.Builder
		fmt.Fprintf(&b, `{"model":%q`, c.model())
		for i := 0; i < len(m.fields); i += 2 {
			fmt.Fprintf(&b, ",%q:%s", m.fields[i], m.fields[i+1])
		}
		return m.path, "application/json", b.String() + "}"
	}
	if c.api == faultImages || c.api == faultSpeech {
		var b strings.Builder
		fmt.Fprintf(&b, `{"model":%q`, c.model())
		for i := 0; i < len(m.fields); i += 2 {
			fmt.Fprintf(&b, ",%q:%q", m.fields[i], m.fields[i+1])
		}
		return m.path, "application/json", b.String() + "}"
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	require.NoError(t, w.WriteField("model", c.model()))
	for i := 0; i < len(m.fields); i += 2 {
		name, isFile := strings.CutPrefix(m.fields[i], "@")
		if !isFile {
			require.NoError(t, w.WriteField(name, m.fields[i+1]))
			continue
		}
		file, err := w.CreateFormFile(name, "file.wav")
		require.NoError(t, err)
		_, err = file.Write([]byte(m.fields[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return m.path, w.FormDataContentType(), b.String()
}

// mediaFaultCells are all calls of the second table, row by row. Faults that differ in streams only are left out.
func mediaFaultCells() (cells []faultCell) {
	for i := range providerFaults {
		if f := providerFaults[i].name; f == "error-later" || f == "form" {
			continue
		}
		for _, two := range []bool{false, true} {
			for _, api := range []faultAPI{faultImages, faultEdits, faultSpeech, faultTranscript, faultTranslate} {
				cells = append(cells, faultCell{fault: &providerFaults[i], two: two, api: api})
			}
		}
	}
	return cells
}

// mediaStreamFaultCells are all calls of the third table, row by row.
func mediaStreamFaultCells() (cells []faultCell) {
	faults := slices.Concat(providerFaults, streamFaults)
	for i := range faults {
		for _, two := range []bool{false, true} {
			for _, api := range []faultAPI{faultImagesStream, faultEditsStream, faultSpeechStream, faultTranscriptStream} {
				cells = append(cells, faultCell{fault: &faults[i], two: two, streamed: true, api: api})
			}
		}
	}
	return cells
}

// TestMediaFaultTable is TestFaultTable for the endpoints of images and sound.
func TestMediaFaultTable(t *testing.T) {
	compareMedia(t, mediaFaultCells(), "media-faults", "images/generations", "images/edits", "audio/speech", "audio/transcriptions", "audio/translations")
}

// TestMediaStreamFaultTable is TestFaultTable for streams of images and sound.
func TestMediaStreamFaultTable(t *testing.T) {
	compareMedia(t, mediaStreamFaultCells(), "media-stream-faults", "images/generations", "images/edits", "audio/speech", "audio/transcriptions")
}

// compareMedia makes the calls of a table, which has a column for each endpoint.
func compareMedia(t *testing.T, cells []faultCell, marker string, columns ...string) {
	t.Helper()
	provider := &faultyProvider{t: t, calls: map[string]int{}}
	server := httptest.NewServer(provider)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	in := allInOne(t, "MODELS_FILE="+faultModels(t, server.URL, cells), "DEFAULT_PLAN=unlimited", "OPENAI_BREAKER_FAILURES=0", "OPENAI_RETRY_DELAY=1ms", "LOG_LEVEL=info")
	token := in.token("user_alice", nil)
	before := in.account(token)
	answers := make([]answer, len(cells))
	var calls sync.WaitGroup
	room := make(chan struct{}, 8) // the share of an account of the uploads
	for i, c := range cells {
		calls.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			path, kind, body := c.media(t)
			answers[i] = in.callAs(t.Context(), http.MethodPost, path, token, kind, body)
		})
	}
	calls.Wait()
	usage := in.usageByModel(token)
	require.Zero(t, in.account(token).Held, "nothing is held afterwards")
	var spent int64
	for _, u := range usage {
		spent += u.Cost
	}
	require.Equal(t, before.Balance-spent, in.account(token).Balance)
	require.NotContains(t, in.log.String(), "panic")
	in.verifyLedger()

	var table strings.Builder
	fmt.Fprintf(&table, "| provider | targets | %s |\n|---|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for i := 0; i < len(cells); i += len(columns) {
		targets := "one"
		if cells[i].two {
			targets = "two"
		}
		fmt.Fprintf(&table, "| %s | %s |", cells[i].fault.about, targets)
		for j := i; j < i+len(columns); j++ {
			fmt.Fprintf(&table, " %s |", cells[j].describe(t, answers[j], provider, usage[cells[j].model()]))
		}
		table.WriteString("\n")
	}
	compareWithDocs(t, "errors.md", marker, table.String())
}
