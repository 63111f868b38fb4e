package e2e

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
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

// mediaAPI is an endpoint of images or sound.
type mediaAPI struct {
	path    string
	fields  []string // of a form, or of a JSON object; a name that begins with @ is that of a file
	answer  string
	prices  string
	charges map[int64]string // by cost in nano-dollars
}

// faultMedia says of an endpoint what a call asks for, what a provider that works answers, and what the model costs.
var faultMedia = map[faultAPI]mediaAPI{
	faultImages: {
		"/v1/images/generations",
		[]string{"prompt", "hi"},
		`{"created":1,"data":[{"b64_json":"aGkgdGhlcmUsIHRoaXMgaXMgYSBwaWN0dXJlIGluIGJhc2U2NA=="}],"usage":{"input_tokens":7,"output_tokens":5,"total_tokens":12}}`,
		`kind: image, context_tokens: 8192, max_output_tokens: 50, input: "1.00", image_input: "1.00", image_output: "2.00"`,
		map[int64]string{7*1000 + 5*2000: "charged as reported", 7*1000 + 50*2000: "charged at the bound"},
	},
	faultEdits: {
		"/v1/images/edits",
		[]string{"prompt", "hi", "@image", "png"},
		`{"created":1,"data":[{"b64_json":"aGkgdGhlcmUsIHRoaXMgaXMgYSBwaWN0dXJlIGluIGJhc2U2NA=="}],"usage":{"input_tokens":7,"output_tokens":5,"total_tokens":12}}`,
		`kind: image, context_tokens: 8192, max_output_tokens: 50, input: "1.00", image_input: "1.00", image_output: "2.00"`,
		map[int64]string{7*1000 + 5*2000: "charged as reported", 7*1000 + 50*2000: "charged at the bound"},
	},
	faultSpeech: {
		"/v1/audio/speech",
		[]string{"input", "hi", "voice", "alloy"},
		"one two three, and that many bytes of sound that nobody can hear: they only stand for an MP3",
		`kind: speech, context_tokens: 4096, input: "0", characters: "15.00"`,
		map[int64]string{2 * 15_000: "charged by its text"},
	},
	faultTranscript: {
		"/v1/audio/transcriptions",
		[]string{"@file", string(openai.WAV(2500))},
		`{"text":"one two three, and so on until the text is long enough to be cut","usage":{"type":"tokens","input_tokens":7,"output_tokens":5,"total_tokens":12}}`,
		`kind: transcription, context_tokens: 8192, max_output_tokens: 50, input: "1.00", audio_input: "1.00", output: "2.00", max_audio_seconds: 60`,
		map[int64]string{7*1000 + 5*2000: "charged as reported", 7*1000 + 50*2000: "charged at the bound"},
	},
	faultTranslate: {
		"/v1/audio/translations",
		[]string{"@file", string(openai.WAV(2500))},
		`{"text":"one two three, and so on until the text is long enough to be cut","usage":{"type":"duration","seconds":3}}`,
		`kind: transcription, context_tokens: 4096, input: "0", minute: "0.006", max_audio_seconds: 60`,
		map[int64]string{3 * 100_000: "charged as reported", 4 * 100_000: "charged at the bound"},
	},
}

// mediaBody is what a fault answers at an endpoint in place of body.
func mediaBody(api faultAPI, body string) string {
	answer := faultMedia[api].answer
	tall := strings.NewReplacer(`"output_tokens":5`, `"output_tokens":`+impossible, `"seconds":3`, `"seconds":999999`).Replace(answer)
	return strings.NewReplacer(strings.Replace(faultWhole, `"completion_tokens":5`, `"completion_tokens":`+impossible, 1), tall, faultWhole, answer, faultWhole[:80], answer[:60]).Replace(body)
}

// apiOf is the endpoint of images or sound that a path is; "" for another one.
func apiOf(path string) faultAPI {
	for api, m := range faultMedia {
		if strings.HasSuffix(path, strings.TrimPrefix(m.path, "/v1")) {
			return api
		}
	}
	return faultChat
}

// media makes the request of a cell for images or sound, and returns its path, Content-Type and body.
func (c faultCell) media(t *testing.T) (path, kind, body string) {
	t.Helper()
	m := faultMedia[c.api]
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

// TestMediaFaultTable is TestFaultTable for the endpoints of images and sound.
func TestMediaFaultTable(t *testing.T) {
	provider := &faultyProvider{t: t, calls: map[string]int{}}
	server := httptest.NewServer(provider)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	cells := mediaFaultCells()
	in := allInOne(t, "MODELS_FILE="+faultModels(t, server.URL, cells), "DEFAULT_PLAN=unlimited", "OPENAI_BREAKER_FAILURES=0", "OPENAI_RETRY_DELAY=1ms", "LOG_LEVEL=info")
	validator.except(strings.TrimPrefix(in.edge, "http://"))
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

	var table strings.Builder
	table.WriteString("| provider | targets | images/generations | images/edits | audio/speech | audio/transcriptions | audio/translations |\n|---|---|---|---|---|---|---|\n")
	for i := 0; i < len(cells); i += 5 {
		targets := "one"
		if cells[i].two {
			targets = "two"
		}
		fmt.Fprintf(&table, "| %s | %s |", cells[i].fault.about, targets)
		for j := i; j < i+5; j++ {
			fmt.Fprintf(&table, " %s |", cells[j].describe(t, answers[j], provider, usage[cells[j].model()]))
		}
		table.WriteString("\n")
	}
	compareWithDocs(t, "errors.md", "media-faults", table.String())
}
