package wire

import (
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// MediaEvent is what an event of a stream of images, sound or a transcript says. What it holds lies in the event's data.
type MediaEvent struct {
	// Image tells that the event has an image, and Partial that the image is an early, incomplete one.
	Image, Partial bool
	// Sound tells that the event has sound.
	Sound bool
	// Text is a part of a transcript: the inside of a JSON string; Escaped tells that it holds escapes, and Part how much of the
	// transcript it is.
	Text    []byte
	Escaped bool
	Part    Part
	// Last tells that the event ends a good stream.
	Last bool
	// Error is the error that the provider sends in place of the rest, as JSON; nil if none exists.
	Error []byte
}

// Part is how much of a transcript the text of an event is. A larger part repeats the smaller ones that came before it.
type Part uint8

// The parts, from small to large. PartNone stands for an event without text.
const (
	PartNone Part = iota
	PartDelta
	PartSegment
	PartWhole
)

// textParts are the types of events with text.
var textParts = map[string]Part{textDelta: PartDelta, textSegment: PartSegment, textDone: PartWhole}

// The types of events that decide what is billed.
const (
	imagePartial, imageCompleted = "image_generation.partial_image", "image_generation.completed"
	editPartial, editCompleted   = "image_edit.partial_image", "image_edit.completed"
	textDelta, textDone          = "transcript.text.delta", "transcript.text.done"
	textSegment                  = "transcript.text.segment"
	speechDelta, speechDone      = "speech.audio.delta", "speech.audio.done"
)

// LastEvent is the type of the event that ends a good stream of images or of a transcript.
func LastEvent(endpoint Endpoint) string {
	switch endpoint {
	case ImagesGenerations:
		return imageCompleted
	case ImagesEdits:
		return editCompleted
	default:
		return textDone
	}
}

// NewMediaAnswer returns an answer that says nothing.
func NewMediaAnswer() MediaAnswer {
	return MediaAnswer{
		Reported: tokens.NothingReported(), TextInput: tokens.NotReported, AudioInput: tokens.NotReported, ImageInput: tokens.NotReported,
		TextOutput: tokens.NotReported, Millis: tokens.NotReported,
	}
}

// ReadEvent reads one event of a stream, and adds its usage to the answer. It reports false for what is not a JSON object. A
// later usage lowers no number of an earlier one.
func (a *MediaAnswer) ReadEvent(data []byte) (e MediaEvent, ok bool) {
	c := jsonscan.New(data)
	if c.Kind() != jsonscan.Object {
		return e, false
	}
	kind, usage := "", NewMediaAnswer()
	var delta, whole words
	for key := range c.Members() {
		switch string(key) {
		case "type":
			kind = string(text(&c))
		case "delta":
			delta.take(&c)
		case "text":
			whole.take(&c)
		case "usage":
			usage.readUsage(&c)
		case "error":
			if raw := c.Raw(); IsFailure(raw) {
				e.Error = raw
			}
		default:
			c.Skip()
		}
	}
	if c.End() != nil {
		return MediaEvent{}, false
	}
	if kind == "error" && e.Error == nil { // the error's members stand beside the type
		e.Error = data
	}
	e.Partial = kind == imagePartial || kind == editPartial
	e.Image = e.Partial || kind == imageCompleted || kind == editCompleted
	e.Sound = kind == speechDelta
	e.Last = e.Image && !e.Partial || kind == textDone || kind == speechDone
	if e.Part = textParts[kind]; e.Part == PartDelta {
		e.Text, e.Escaped = delta.text, delta.escaped
	} else if e.Part != PartNone {
		e.Text, e.Escaped = whole.text, whole.escaped
	}
	a.join(&usage)
	return e, true
}

// words are the inside of a JSON string.
type words struct {
	text    []byte
	escaped bool
}

// take reads a string and skips any other value.
func (w *words) take(c *jsonscan.Cursor) {
	if c.Kind() == jsonscan.String {
		w.text, w.escaped = c.String()
		return
	}
	c.Skip()
}

// join adds a usage.
func (a *MediaAnswer) join(u *MediaAnswer) {
	a.Reported.Join(u.Reported)
	a.TextInput, a.AudioInput, a.ImageInput = max(a.TextInput, u.TextInput), max(a.AudioInput, u.AudioInput), max(a.ImageInput, u.ImageInput)
	a.TextOutput, a.Millis = max(a.TextOutput, u.TextOutput), max(a.Millis, u.Millis)
}
