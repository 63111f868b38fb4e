package wire

import (
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// MediaEvent is what an event of a stream of images, sound or a transcript says. What it holds lies in the event's data.
type MediaEvent struct {
	// Image tells that the event has an image, and Partial that the image is an early, incomplete one.
	Image, Partial bool
	// Text is a part of a transcript: the inside of a JSON string; Escaped tells that it holds escapes.
	Text    []byte
	Escaped bool
	// Last tells that the event ends a good stream.
	Last bool
	// Error is the error that the provider sends in place of the rest, as JSON; nil if none exists.
	Error []byte
}

// The types of events that decide what is billed.
const (
	imagePartial, imageCompleted = "image_generation.partial_image", "image_generation.completed"
	editPartial, editCompleted   = "image_edit.partial_image", "image_edit.completed"
	textDelta, textDone          = "transcript.text.delta", "transcript.text.done"
	speechDone                   = "speech.audio.done"
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
	for key := range c.Members() {
		switch string(key) {
		case "type":
			kind = string(text(&c))
		case "delta":
			if c.Kind() == jsonscan.String {
				e.Text, e.Escaped = c.String()
			} else {
				c.Skip()
			}
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
	e.Last = e.Image && !e.Partial || kind == textDone || kind == speechDone
	if kind != textDelta {
		e.Text = nil
	}
	a.join(&usage)
	return e, true
}

// join adds a usage.
func (a *MediaAnswer) join(u *MediaAnswer) {
	a.Reported.Join(u.Reported)
	a.TextInput, a.AudioInput, a.ImageInput = max(a.TextInput, u.TextInput), max(a.AudioInput, u.AudioInput), max(a.ImageInput, u.ImageInput)
	a.TextOutput, a.Millis = max(a.TextOutput, u.TextOutput), max(a.Millis, u.Millis)
}
