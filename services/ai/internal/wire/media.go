package wire

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// The endpoints for images and sound.
const (
	ImagesGenerations = aiv1.Endpoint_ENDPOINT_IMAGES_GENERATIONS
	ImagesEdits       = aiv1.Endpoint_ENDPOINT_IMAGES_EDITS
	Speech            = aiv1.Endpoint_ENDPOINT_AUDIO_SPEECH
	Transcriptions    = aiv1.Endpoint_ENDPOINT_AUDIO_TRANSCRIPTIONS
	Translations      = aiv1.Endpoint_ENDPOINT_AUDIO_TRANSLATIONS
)

const (
	// maxImages is the most images that one request may ask for, and maxInputImages the most that it may bring.
	maxImages, maxInputImages = 10, 16
	// MaxPartials is the most incomplete images that come before an image of a stream.
	MaxPartials = 3
)

// Media is what a request for images or sound asks for.
type Media struct {
	// Images is how many images are made, with this quality and size; both are "" when the request names none.
	Images        int64
	Quality, Size string
	// InputImages is how many images the request brings, masks included.
	InputImages int64
	// Characters is how many characters are spoken.
	Characters int64
	// Format is the response_format; "" when the request names none.
	Format string
	// Stream asks for a stream of events, and Partials for that many incomplete images in it.
	Stream   bool
	Partials int64
	// Sound is the file that is transcribed; it lies in the body.
	Sound []byte
	// Prompt is the text that is to be counted as tokens.
	Prompt []byte

	masks int64      // how many of InputImages are masks: at most one
	parts []formPart // of a form
	kind  string     // the Content-Type of a form, as it is sent
}

// IsMedia reports whether an endpoint makes or takes images or sound.
func IsMedia(endpoint Endpoint) bool {
	return endpoint >= ImagesGenerations && endpoint <= Translations
}

// IsForm reports whether an endpoint takes a form.
func IsForm(endpoint Endpoint) bool {
	return endpoint == ImagesEdits || endpoint == Transcriptions || endpoint == Translations
}

// ParseMedia is Parse for images and sound. contentType is that of the request; only forms need it.
func ParseMedia(endpoint aiv1.Endpoint, contentType string, body []byte, suspect RefusedFields) (*Request, error) {
	r := &Request{Endpoint: endpoint, Choices: 1, body: body, Media: &Media{Images: 1}}
	var problem error
	if IsForm(endpoint) {
		problem = r.readFormFields(contentType, suspect)
	} else {
		problem = r.readMediaJSON(suspect)
	}
	if problem == nil {
		problem = r.completeMedia()
	}
	if problem != nil {
		return nil, problem
	}
	return r, nil
}

// Drop lets go of a body with files, and of what lies in it. The request cannot be sent any more.
func (r *Request) Drop() {
	if r.Media != nil {
		r.body, r.Media.Sound, r.Media.Prompt, r.Media.parts = nil, nil, nil, nil
	}
}

// ContentType is that of the body to send; "" for JSON.
func (r *Request) ContentType() string {
	if r.Media == nil {
		return ""
	}
	return r.Media.kind
}

// Content is what a repetition of the request has in common with it. The boundary of a form is not: clients make a new one
// for each attempt.
func (r *Request) Content() [][]byte {
	if r.Media == nil || len(r.Media.parts) == 0 {
		return [][]byte{r.body}
	}
	var all [][]byte
	for _, p := range r.Media.parts {
		all = append(all, []byte(p.name), []byte(p.kind), r.body[p.content.start:p.content.end])
	}
	return all
}

// mediaFields are the members that Trivet reads, for each endpoint.
var mediaFields = map[Endpoint][]string{
	ImagesGenerations: {"model", "prompt", "n", "size", "quality", "stream", "partial_images", "response_format"},
	ImagesEdits:       {"model", "prompt", "n", "size", "quality", "stream", "partial_images", "response_format", "image", "image[]", "mask"},
	Speech:            {"model", "input", "stream", "stream_format", "response_format", "voice"},
	Transcriptions:    {"model", "file", "prompt", "response_format", "stream"},
	Translations:      {"model", "file", "prompt", "response_format"},
}

// mediaField returns the field of that name; "" for one that Trivet leaves to the provider.
func (r *Request) mediaField(key []byte) (string, error) {
	for _, name := range mediaFields[r.Endpoint] {
		switch {
		case string(key) == name:
			return name, nil
		case bytes.EqualFold(key, []byte(name)):
			return "", invalid(name, "is written as "+strconv.Quote(string(key))+"; write it in lower case")
		}
	}
	return "", nil
}

func (r *Request) readMediaJSON(suspect RefusedFields) (problem error) {
	if !utf8.Valid(r.body) {
		return malformed("The body is not UTF-8 text. Send a JSON object.")
	}
	c := jsonscan.New(r.body)
	if c.Kind() != jsonscan.Object {
		return malformed("The body is not a JSON object. Send an object such as {\"model\": …}.")
	}
	var seen []string
	for key := range c.Members() {
		name, err := r.mediaField(key)
		r.suspect(suspect, key, c)
		if name != "" && slices.Contains(seen, name) {
			err = invalid(name, "appears more than once")
		}
		switch {
		case err != nil:
			c.Skip()
		case name == "":
			if where := foreignMember(&c, key); where != "" {
				err = foreign(where)
			}
		default:
			seen = append(seen, name)
			err = r.takeMediaMember(&c, name)
		}
		if problem == nil {
			problem = err
		}
	}
	if err := c.End(); err != nil {
		return notJSON(len(r.body), err)
	}
	return problem
}

func (r *Request) takeMediaMember(c *jsonscan.Cursor, name string) error {
	if name == "model" {
		r.model.start = c.Pos()
		err := r.takeModel(c)
		r.model.end = c.Offset()
		return err
	}
	switch c.Kind() {
	case jsonscan.Null:
		c.Skip()
		return nil
	case jsonscan.String:
		value := text(c)
		if name == "n" || name == "stream" || name == "partial_images" {
			return invalid(name, "must not be a string")
		}
		return r.takeMediaText(name, value)
	case jsonscan.Number, jsonscan.Bool:
		if name == "n" || name == "stream" || name == "partial_images" {
			return r.takeMediaText(name, c.Raw())
		}
	case jsonscan.Object:
		if name == "voice" {
			c.Skip()
			return foreignVoice("voice.id")
		}
	default: // refused
	}
	c.Skip()
	return invalid(name, "must be a string")
}

// takeMediaText takes a field whose value is a text, or is written as one in a form.
func (r *Request) takeMediaText(name string, value []byte) error {
	m := r.Media
	switch name {
	case "prompt":
		m.Prompt = value
	case "input":
		m.Characters = int64(utf8.RuneCount(value))
	case "n":
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || n < 1 || n > maxImages {
			return invalid("n", "must be a whole number from 1 to "+strconv.Itoa(maxImages))
		}
		m.Images = n
	case "size":
		m.Size = string(value)
	case "quality":
		m.Quality = string(value)
	case "response_format":
		m.Format = string(value)
	case "stream":
		if string(value) != "false" && r.Endpoint == Speech {
			return invalid("stream", "must be false: speech is streamed anyway; set stream_format to \"sse\" for events")
		}
		if string(value) != "false" && string(value) != "true" {
			return invalid("stream", "must be true or false")
		}
		if r.Endpoint != Speech { // there stream_format alone decides
			m.Stream = string(value) == "true"
		}
	case "partial_images":
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || n < 0 || n > MaxPartials {
			return invalid("partial_images", "must be a whole number from 0 to "+strconv.Itoa(MaxPartials))
		}
		m.Partials = n
	case "stream_format":
		if string(value) != "audio" && string(value) != "sse" {
			return invalid("stream_format", "must be \"audio\" or \"sse\"")
		}
		m.Stream = string(value) == "sse"
	}
	return nil
}

func (r *Request) readFormFields(contentType string, suspect RefusedFields) error {
	boundary, kind, err := formBoundary(contentType)
	if err != nil {
		return err
	}
	parts, err := readForm(boundary, r.body)
	if err != nil {
		return err
	}
	m := r.Media
	m.parts, m.kind = parts, kind
	var seen []string
	for _, p := range parts {
		name, err := r.mediaField([]byte(p.name))
		if err != nil {
			return err
		}
		if refused := suspect.find([]byte(p.name)); refused != "" {
			r.suspects = append(r.suspects, refused)
		}
		if name != "" && name != "image" && name != "image[]" {
			if slices.Contains(seen, name) {
				return invalid(name, "appears more than once")
			}
			seen = append(seen, name)
		}
		if err := r.takePart(p, name); err != nil {
			return err
		}
	}
	return nil
}

func (r *Request) takePart(p formPart, name string) error {
	m, content := r.Media, r.body[p.content.start:p.content.end]
	switch name {
	case "image", "image[]", "mask":
		if name == "mask" {
			m.masks++
		}
		if m.InputImages++; m.InputImages-m.masks > maxInputImages {
			return invalid("image", "must be at most "+strconv.Itoa(maxInputImages)+" images")
		}
		if len(content) == 0 || !p.file {
			return invalid(name, "must be a file that is not empty")
		}
		return nil
	case "file":
		if len(content) == 0 || !p.file {
			return invalid(name, "must be a file that is not empty")
		}
		m.Sound = content
		return nil
	}
	if p.file {
		if name == "" {
			name = p.name
		}
		return invalid(name, "must not be a file")
	}
	if isForeignField(p.name) {
		return foreign(p.name)
	}
	if len(content) > maxFieldText || !utf8.Valid(content) {
		return invalid(p.name, "must be text of at most 256 KiB")
	}
	if name == "model" {
		if r.Model = string(content); r.Model == "" || strings.TrimSpace(r.Model) != r.Model {
			return invalid("model", "must be the name of a model")
		}
		r.model = p.content
		return nil
	}
	return r.takeMediaText(name, content)
}

// completeMedia checks what a request must have.
func (r *Request) completeMedia() error {
	m := r.Media
	switch {
	case r.Model == "":
		return invalid("model", "is missing")
	case (r.Endpoint == ImagesGenerations || r.Endpoint == ImagesEdits) && len(m.Prompt) == 0:
		return invalid("prompt", "is missing")
	case r.Endpoint == ImagesEdits && m.InputImages == m.masks:
		return invalid("image", "is missing")
	case m.Stream && m.Images > 1:
		return invalid("n", "must be 1 in a stream: OpenAI does not say which of several images the usage of an event is for")
	case r.Endpoint == Speech && m.Characters == 0:
		return invalid("input", "is missing")
	case IsForm(r.Endpoint) && r.Endpoint != ImagesEdits && m.Sound == nil:
		return invalid("file", "is missing")
	default:
		return nil
	}
}

// MediaAnswer is what an answer in JSON says of what was made.
type MediaAnswer struct {
	// Reported is what the provider counted, tokens as always.
	Reported tokens.Reported
	// TextInput, AudioInput and ImageInput are the parts of the input, and TextOutput is that of the output;
	// tokens.NotReported for those that are not reported.
	TextInput, AudioInput, ImageInput, TextOutput int64
	// Images is how many images there are.
	Images int64
	// Millis is the length of the sound; tokens.NotReported when it is not reported.
	Millis int64
	// Failed tells that the body says that something failed.
	Failed bool
}

// ReadMedia reads an answer in JSON. It reports false for anything else than images or a text.
func ReadMedia(endpoint aiv1.Endpoint, body []byte) (a MediaAnswer, ok bool) {
	a = NewMediaAnswer()
	c := jsonscan.New(body)
	if c.Kind() != jsonscan.Object {
		return a, false
	}
	good, transcript := false, endpoint == Transcriptions || endpoint == Translations
	for key := range c.Members() {
		switch string(key) {
		case "data":
			if c.Kind() != jsonscan.Array {
				c.Skip()
				continue
			}
			for range c.Elements() {
				a.Images++
				c.Skip()
			}
			good = good || a.Images > 0 && !transcript
		case "text":
			good = good || transcript && c.Kind() == jsonscan.String
			c.Skip()
		case "segments":
			good = good || transcript && c.Kind() == jsonscan.Array
			c.Skip()
		case "duration":
			a.Millis = max(a.Millis, seconds(&c))
		case "usage":
			a.readUsage(&c)
		case "error":
			a.Failed = a.Failed || IsFailure(c.Raw())
		default:
			c.Skip()
		}
	}
	return a, c.End() == nil && good && !a.Failed
}

func (a *MediaAnswer) readUsage(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Object {
		c.Skip()
		return
	}
	for key := range c.Members() {
		switch string(key) {
		case "input_tokens", "prompt_tokens":
			a.Reported.Input = reported(c)
		case "output_tokens", "completion_tokens":
			a.Reported.Output = reported(c)
		case "total_tokens":
			a.Reported.Total = reported(c)
		case "seconds":
			a.Millis = max(a.Millis, seconds(c))
		case "input_tokens_details", "input_token_details", "prompt_tokens_details":
			a.readDetails(c, map[string]*int64{
				"text_tokens": &a.TextInput, "audio_tokens": &a.AudioInput, "image_tokens": &a.ImageInput, "cached_tokens": &a.Reported.Cached,
			})
		case "output_tokens_details", "output_token_details", "completion_tokens_details":
			a.readDetails(c, map[string]*int64{"text_tokens": &a.TextOutput})
		default:
			c.Skip()
		}
	}
}

func (a *MediaAnswer) readDetails(c *jsonscan.Cursor, into map[string]*int64) {
	if c.Kind() != jsonscan.Object {
		c.Skip()
		return
	}
	for key := range c.Members() {
		if n := into[string(key)]; n != nil {
			*n = reported(c)
		} else {
			c.Skip()
		}
	}
}

// LastShown returns the last end of a subtitle, in SRT or WebVTT, in milliseconds; 0 if none exists.
func LastShown(body []byte) (millis int64) {
	for line := range bytes.Lines(body) {
		if _, end, found := bytes.Cut(line, []byte("-->")); found {
			millis = max(millis, clock(string(bytes.TrimSpace(end))))
		}
	}
	return millis
}

// clock reads a time such as 01:02:03,456 or 02:03.456, to the first space, in milliseconds; 0 for anything else.
func clock(text string) int64 {
	text, _, _ = strings.Cut(text, " ")
	var seconds float64
	for part := range strings.SplitSeq(strings.Replace(text, ",", ".", 1), ":") {
		n, err := strconv.ParseFloat(part, 64)
		if err != nil || !(n >= 0 && n <= maxReportedSeconds) {
			return 0
		}
		seconds = seconds*60 + n
	}
	return int64(math.Ceil(min(seconds, maxReportedSeconds) * 1000))
}

// maxReportedSeconds bounds a length that is believed.
const maxReportedSeconds = 1e7

// seconds passes a number of seconds and returns it in milliseconds, rounded up.
func seconds(c *jsonscan.Cursor) int64 {
	raw := c.Raw()
	if len(raw) > 0 && raw[0] == '"' { // whisper's verbose answer once had it as a text
		raw = bytes.Trim(raw, `"`)
	}
	n, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || !(n >= 0 && n <= maxReportedSeconds) {
		return tokens.NotReported
	}
	millis := int64(n * 1000)
	if float64(millis) < n*1000 {
		millis++
	}
	return millis
}
