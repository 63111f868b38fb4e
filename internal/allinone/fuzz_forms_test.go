package allinone

import (
	"bytes"
	"encoding/json"
	"maps"
	"mime/multipart"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// forms are forms that reach a provider. A name that begins with @ is that of a file.
var forms = map[string]map[string]string{
	"/v1/audio/transcriptions": {"model": "whisper-1", "@file": "canned sound"},
	"/v1/audio/translations":   {"model": "whisper-1", "@file": "canned sound"},
	"/v1/images/edits":         {"model": "gpt-image-1", "prompt": "A cat", "@image": "canned image"},
}

// fields are further fields of the forms, and values that are right for some of them.
var fields = map[string][]string{
	"language": {"en", "de"}, "prompt": {"two words"}, "response_format": {"json", "text", "srt", "vtt", "verbose_json", "b64_json", "url"}, "temperature": {"0", "0.5", "2"},
	"stream": {"true", "false"}, "timestamp_granularities[]": {"word", "segment"}, "n": {"1", "2"}, "size": {"1024x1024", "auto"}, "quality": {"low", "high"},
	"partial_images": {"0", "3"}, "background": {"transparent"}, "output_compression": {"50"}, "input_fidelity": {"high"}, "user": {"x"}, "chunking_strategy": {"auto"},
	"include[]": {"logprobs"}, "model": {"gpt-4o-transcribe", "gpt-image-1", "gpt-4o-mini", "whisper-1"}, "@mask": {"canned mask"}, "@image[]": {"canned image"}, "@file": {""},
}

// form returns a form that the route takes, with one generated field, or with any fields.
func (w *writer) form(t *testing.T, pattern string) (kind string, body []byte) {
	t.Helper()
	values := maps.Clone(forms[pattern])
	names := slices.Sorted(maps.Keys(fields))
	switch w.IntN(4) {
	case 0: // as it is
	case 1:
		delete(values, pick(w, slices.Sorted(maps.Keys(values))))
	case 2:
		name := pick(w, names)
		values[name] = pick(w, append(slices.Clone(fields[name]), texts...))
	default:
		for range w.IntN(5) {
			name := pick(w, names)
			values[name] = pick(w, append(slices.Clone(fields[name]), texts...))
		}
	}
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		field, isFile := strings.CutPrefix(name, "@")
		if !isFile {
			require.NoError(t, form.WriteField(name, values[name]))
			continue
		}
		file, err := form.CreateFormFile(field, pick(w, []string{"a.wav", "a.mp3", "a.png", "a", "../a", "é.wav"}))
		require.NoError(t, err)
		_, err = file.Write([]byte(values[name]))
		require.NoError(t, err)
	}
	if w.IntN(10) > 0 { // else the form does not end
		require.NoError(t, form.Close())
	}
	return form.FormDataContentType(), b.Bytes()
}

// content returns a body and its Content-Type: mostly one that the document names.
func (w *writer) content(t *testing.T, pattern string, o operation) (kind string, body []byte) {
	t.Helper()
	kind = "application/json"
	for _, named := range slices.Sorted(maps.Keys(o.RequestBody.Content)) {
		if named == "multipart/form-data" && w.IntN(8) > 0 {
			return w.form(t, pattern)
		}
		var err error
		body, err = json.Marshal(w.body(pattern, o.RequestBody.Content[named].Schema))
		require.NoError(t, err)
		if named == "multipart/form-data" {
			kind = pick(w, []string{kind, named, named + "; boundary=x"})
		}
	}
	return kind, body
}
