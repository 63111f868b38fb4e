package wire

import (
	"bytes"
	"math"
	"strconv"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// Answer is what Trivet needs to know of an answer that came in one piece.
type Answer struct {
	// ID is the provider's id of the answer; may be empty.
	ID string
	// Model is the model that the provider says it used; may be empty. It lies in the body.
	Model []byte
	// Reported is what the provider counted, the highest where it says it twice; only when HasUsage.
	Reported tokens.Reported
	HasUsage bool
	// Failed tells that the body says that something failed.
	Failed bool
}

// ReadAnswer reads the body of a good answer. It reports false for what does not answer that endpoint: not JSON, or
// without choices or data.
func ReadAnswer(endpoint aiv1.Endpoint, body []byte) (Answer, bool) {
	list := ""
	switch endpoint {
	case Embeddings:
		list = "data"
	case Moderations:
		list = "results"
	default:
		list = "choices"
	}
	a := Answer{Reported: tokens.NothingReported()}
	c := jsonscan.New(body)
	if c.Kind() != jsonscan.Object {
		return a, false
	}
	listed, found := false, false
	for key := range c.Members() {
		switch string(key) {
		case "id":
			a.ID = string(text(&c))
		case "model":
			a.Model = text(&c)
		case "usage":
			a.Reported.Join(readUsage(&c))
		case "x_groq":
			a.Reported.Join(nestedUsage(&c))
		case "error":
			a.Failed = a.Failed || IsFailure(c.Raw())
		case "object":
			a.Failed = a.Failed || string(text(&c)) == "error"
		case list:
			listed, found = c.Kind() == jsonscan.Array, false
			for range c.Elements() {
				found = true
				if list == "choices" { // Moonshot has it there
					a.Reported.Join(ofChoice(nestedUsage(&c)))
				} else {
					c.Skip()
				}
			}
		default:
			c.Skip()
		}
	}
	a.HasUsage = a.Reported != tokens.NothingReported()
	// A list without elements is an answer when the provider counted tokens for it: a repeat would cost them again.
	return a, c.End() == nil && (found || listed && a.HasUsage && !a.Failed)
}

// ModelOf returns the model that a request or a chunk of a stream names; nil when it names none.
func ModelOf(data []byte) (model []byte) {
	c := jsonscan.New(data)
	if c.Kind() != jsonscan.Object {
		return nil
	}
	for key := range c.Members() {
		if string(key) == "model" {
			model = text(&c)
		} else {
			c.Skip()
		}
	}
	return model
}

// text passes a value and returns it when it is a text, else nil.
func text(c *jsonscan.Cursor) []byte {
	if c.Kind() != jsonscan.String {
		c.Skip()
		return nil
	}
	raw, escaped := c.String()
	if escaped {
		return jsonscan.Unescape(nil, raw)
	}
	return raw
}

// readUsage reads the value of "usage", each number for itself.
func readUsage(c *jsonscan.Cursor) tokens.Reported {
	r := tokens.NothingReported()
	for key := range c.Members() {
		switch string(key) {
		case "prompt_tokens":
			r.Input = reported(c)
		case "completion_tokens":
			r.Output = reported(c)
		case "total_tokens":
			r.Total = reported(c)
		case "prompt_tokens_details":
			r.Cached = detail(c, "cached_tokens")
		case "completion_tokens_details":
			r.Reasoning = detail(c, "reasoning_tokens")
		default:
			c.Skip()
		}
	}
	return r
}

// nestedUsage reads the usage in a choice, or in a provider's own member such as x_groq.
func nestedUsage(c *jsonscan.Cursor) tokens.Reported {
	r := tokens.NothingReported()
	for key := range c.Members() {
		if string(key) == "usage" {
			r.Join(readUsage(c))
		} else {
			c.Skip()
		}
	}
	return r
}

// ofChoice marks what a choice reports.
func ofChoice(r tokens.Reported) tokens.Reported {
	r.OfChoice = r != tokens.NothingReported()
	return r
}

// reported passes a value and returns it when it can be a count: a whole number that is not negative, also in quotes or with a point.
func reported(c *jsonscan.Cursor) int64 {
	if kind := c.Kind(); kind != jsonscan.Number && kind != jsonscan.String {
		c.Skip()
		return tokens.NotReported
	}
	return Count(c.Raw())
}

// maxCount bounds a count that is not written as a whole number: up to it, each whole number has a float64 of its own.
const maxCount = 1 << 53

// Count returns a JSON value as a count; tokens.NotReported if it cannot be one. Some providers write counts as texts or with a point.
func Count(value []byte) int64 {
	text := bytes.Trim(value, `"`)
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		if n < 0 {
			return tokens.NotReported
		}
		return n
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f < 0 || f > maxCount || f != math.Trunc(f) {
		return tokens.NotReported
	}
	return int64(f)
}

func detail(c *jsonscan.Cursor, name string) int64 {
	found := int64(tokens.NotReported)
	for key := range c.Members() {
		if string(key) == name {
			found = reported(c)
		} else {
			c.Skip()
		}
	}
	return found
}
