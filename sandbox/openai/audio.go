package openai

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// The API's own limits of sound.
const (
	maxSpoken    = 4096     // characters
	maxSound     = 25 << 20 // bytes
	heardTokens  = 10       // of a second
	charsPerPart = 16
	wavRate      = 16_000
)

type speechRequest struct {
	Model          string `json:"model"`
	Input          string `json:"input"`
	Voice          any    `json:"voice"`
	ResponseFormat string `json:"response_format"`
	StreamFormat   string `json:"stream_format"`
}

var soundTypes = map[string]string{
	"": "audio/mpeg", "mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm",
}

// speak answers with a frame of silence for each few characters.
func (f *Fake) speak(w http.ResponseWriter, r *http.Request) {
	var req speechRequest
	if e := decode(r, &req); e != nil {
		writeError(w, http.StatusBadRequest, *e)
		return
	}
	m, known := find(req.Model, speechModel)
	if !known {
		writeError(w, http.StatusNotFound, errModel(req.Model))
		return
	}
	streamFormats := []string{"", "audio"}
	if m.id == "gpt-4o-mini-tts" { // the older models have no events
		streamFormats = append(streamFormats, "sse")
	}
	kind, known := soundTypes[req.ResponseFormat]
	var e apiError
	switch {
	case req.Input == "":
		e = missing("input")
	case req.Voice == nil:
		e = missing("voice")
	case utf8.RuneCountInString(req.Input) > maxSpoken:
		e = apiError{Message: fmt.Sprintf("Invalid 'input': string too long. Expected a string with maximum length %d.", maxSpoken), Type: typeInvalid, Param: "input", Code: "string_above_max_length"}
	case !known:
		e = *wrongValue("response_format", req.ResponseFormat, []string{"", "mp3", "opus", "aac", "flac", "wav", "pcm"})
	case !slices.Contains(streamFormats, req.StreamFormat):
		e = *wrongValue("stream_format", req.StreamFormat, streamFormats)
	case req.StreamFormat == "sse":
		f.speakEvents(w, r, &req)
		return
	default:
		f.beginAs(kind, w, r, directives{}, 0, 0).run(speech(req.Input, req.ResponseFormat))
		return
	}
	writeError(w, http.StatusBadRequest, e)
}

// speakEvents streams the same parts as events. Its usage has the tokens of the text, and ten for each frame.
func (f *Fake) speakEvents(w http.ResponseWriter, r *http.Request, req *speechRequest) {
	const frameTokens = 10
	input, output := CountTokens(req.Input), 0
	f.begin(w, r, directives{}, input, 0).run(func(yield func(part, []byte) bool) {
		for at, sound := range speech(req.Input, req.ResponseFormat) {
			var event []byte
			if at == closing {
				f.stats.completion.Add(int64(output - output/frameTokens)) // run has counted one for each frame
				event = fmt.Appendf(nil, `data: {"type":"speech.audio.done","usage":{"input_tokens":%d,"output_tokens":%d,"total_tokens":%d}}`, input, output, input+output)
			} else {
				if at == delta {
					output += frameTokens
				}
				event = fmt.Appendf(nil, `data: {"type":"speech.audio.delta","audio":%q}`, base64.StdEncoding.EncodeToString(sound))
			}
			if !yield(at, append(event, "\n\n"...)) {
				return
			}
		}
	})
}

// frameSize is the size of an MP3 frame of 128 kbit/s at 44.1 kHz.
const frameSize = 417

// speech makes the parts of the sound of a text.
func speech(text, format string) iter.Seq2[part, []byte] {
	parts := (utf8.RuneCountInString(text) + charsPerPart - 1) / charsPerPart
	return func(yield func(part, []byte) bool) {
		if format == "wav" && !yield(opening, wavHead(math.MaxUint32)) {
			return
		}
		frame := make([]byte, frameSize)
		if format == "" || format == "mp3" {
			copy(frame, []byte{0xff, 0xfb, 0x90, 0x64})
		}
		for range parts {
			if !yield(delta, frame) {
				return
			}
		}
		yield(closing, nil)
	}
}

// wavHead begins a WAV file of 16 bits, mono, at 16 kHz.
func wavHead(size uint32) []byte {
	const formatSize, bits = 16, 16
	h := []byte("RIFF")
	h = binary.LittleEndian.AppendUint32(h, size)
	h = append(h, "WAVEfmt "...)
	h = binary.LittleEndian.AppendUint32(h, formatSize)
	h = binary.LittleEndian.AppendUint16(h, 1)
	h = binary.LittleEndian.AppendUint16(h, 1)
	h = binary.LittleEndian.AppendUint32(h, wavRate)
	h = binary.LittleEndian.AppendUint32(h, wavRate*bits/8)
	h = binary.LittleEndian.AppendUint16(h, bits/8)
	h = binary.LittleEndian.AppendUint16(h, bits)
	h = append(h, "data"...)
	return binary.LittleEndian.AppendUint32(h, size)
}

// WAV returns a file of silence of that length in milliseconds, for requests.
func WAV(millis int) []byte {
	size := wavRate * 2 * millis / 1000
	return append(wavHead(uint32(min(size, math.MaxInt32))), make([]byte, size)...)
}

// form is a form that was read.
type form struct{ *multipart.Form }

func (f form) text(name string) string {
	if values := f.Value[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func readForm(r *http.Request) (form, *apiError) {
	reader, err := r.MultipartReader()
	if err != nil {
		return form{}, &apiError{Message: "Could not parse multipart form", Type: typeInvalid}
	}
	read, err := reader.ReadForm(maxBody)
	if err != nil {
		return form{}, &apiError{Message: "Could not parse multipart form", Type: typeInvalid}
	}
	return form{read}, nil
}

// transcribe answers with words whose number depends on the length of the sound, two for a second.
func (f *Fake) transcribe(w http.ResponseWriter, r *http.Request) {
	read, e := readForm(r)
	if e != nil {
		writeError(w, http.StatusBadRequest, *e)
		return
	}
	m, known := find(read.text("model"), transcriptionModel)
	translates := strings.HasSuffix(r.URL.Path, "/translations")
	switch format, formats := read.text("response_format"), formatsOf(m); {
	case !known, translates && m.id != "whisper-1":
		writeError(w, http.StatusNotFound, errModel(read.text("model")))
	case len(read.File["file"]) != 1:
		writeError(w, http.StatusBadRequest, missing("file"))
	case read.File["file"][0].Size > maxSound:
		writeError(w, http.StatusRequestEntityTooLarge, apiError{Message: "Maximum content size limit (26214400) exceeded.", Type: typeInvalid})
	case !slices.Contains(formats, format):
		writeError(w, http.StatusBadRequest, *wrongValue("response_format", format, formats))
	default:
		f.hear(w, r, read, m, format, translates)
	}
}

func formatsOf(m model) []string {
	if m.id == "whisper-1" {
		return []string{"", "json", "text", "srt", "verbose_json", "vtt"}
	}
	return []string{"", "json"}
}

func (f *Fake) hear(w http.ResponseWriter, r *http.Request, read form, m model, format string, translates bool) {
	file, err := read.File["file"][0].Open()
	if err != nil {
		writeError(w, http.StatusBadRequest, missing("file"))
		return
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(file)
	seconds := soundSeconds(data)
	if err != nil || seconds <= 0 {
		writeError(w, http.StatusBadRequest, apiError{Message: "Invalid file format. Supported formats: ['flac', 'm4a', 'mp3', 'mp4', 'mpeg', 'mpga', 'oga', 'ogg', 'wav', 'webm']", Type: typeInvalid})
		return
	}
	words := "Sandbox"
	if translates {
		words = "Translated"
	}
	words += strings.Repeat(" word", int(2*seconds))
	if read.text("stream") == "true" && m.id != "whisper-1" { // which ignores it
		f.hearSlowly(w, r, words, f.soundUsage(m, seconds, words, read.text("prompt")))
		return
	}
	switch format {
	case "text":
		writeText(w, words+"\n")
	case "srt":
		writeText(w, "1\n00:00:00,000 --> "+clock(seconds, ",")+"\n"+words+"\n\n")
	case "vtt":
		writeText(w, "WEBVTT\n\n00:00:00.000 --> "+clock(seconds, ".")+"\n"+words+"\n\n")
	case "verbose_json":
		writeJSON(w, map[string]any{"task": "transcribe", "language": "english", "duration": seconds, "text": words, "segments": []any{}, "usage": durationUsage(seconds)})
	default:
		writeJSON(w, map[string]any{"text": words, "usage": f.soundUsage(m, seconds, words, read.text("prompt"))})
	}
}

// hearSlowly streams a transcript.
func (f *Fake) hearSlowly(w http.ResponseWriter, r *http.Request, words string, usage map[string]any) {
	event := func(of map[string]any) []byte {
		data, _ := json.Marshal(of) // texts and numbers only: it cannot fail
		return []byte("data: " + string(data) + "\n\n")
	}
	f.begin(w, r, directives{}, 0, -CountTokens(words)).run(func(yield func(part, []byte) bool) {
		for rest := words; rest != ""; {
			var token string
			token, rest = cutToken(rest)
			if !yield(delta, event(map[string]any{"type": "transcript.text.delta", "delta": token})) {
				return
			}
		}
		yield(closing, append(event(map[string]any{"type": "transcript.text.done", "text": words, "usage": usage}), "data: [DONE]\n\n"...))
	})
}

func durationUsage(seconds float64) map[string]any {
	return map[string]any{"type": "duration", "seconds": int(math.Ceil(seconds))}
}

func (f *Fake) soundUsage(m model, seconds float64, words, prompt string) map[string]any {
	if m.id == "whisper-1" {
		return durationUsage(seconds)
	}
	sound, text, output := int(math.Ceil(seconds*heardTokens)), CountTokens(prompt), CountTokens(words)
	f.stats.prompt.Add(int64(sound + text))
	f.stats.completion.Add(int64(output))
	return map[string]any{
		"type": "tokens", "input_tokens": sound + text, "output_tokens": output, "total_tokens": sound + text + output,
		"input_token_details": map[string]any{"text_tokens": text, "audio_tokens": sound},
	}
}

// soundSeconds is the length of a WAV file as [WAV] makes it; any other file sounds one second for each 16,000 bytes.
func soundSeconds(data []byte) float64 {
	if head := len(wavHead(0)); len(data) > head && string(data[:4]) == "RIFF" {
		return float64(len(data)-head) / (2 * wavRate)
	}
	return float64(len(data)) / wavRate
}

func clock(seconds float64, point string) string {
	whole := int(seconds)
	return fmt.Sprintf("%02d:%02d:%02d%s%03d", whole/3600, whole/60%60, whole%60, point, int(seconds*1000)%1000)
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text)
}
