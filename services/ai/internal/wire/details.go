package wire

import (
	"strings"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// Details are what an answer says of kinds that have a price of their own.
type Details struct {
	// Tier is the service tier that served the call; "" when it is not reported.
	Tier string
	// AudioInput, ImageInput and AudioOutput are tokens that are not text.
	AudioInput, ImageInput, AudioOutput int64
	// Tools are the calls of tools that the provider ran, by the tool's type without a version, such as "web_search".
	Tools map[string]int64
}

// callSuffix ends the type of an item that is a call.
const callSuffix = "_call"

// Read adds what an event of a stream says, or an answer in one piece.
func (d *Details) Read(data []byte) {
	c := jsonscan.New(data)
	d.object(&c)
}

func (d *Details) object(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Object {
		c.Skip()
		return
	}
	added := false // of the events about one item, the first counts
	var item []byte
	for key := range c.Members() {
		switch string(key) {
		case "type":
			added = string(text(c)) == "response.output_item.added"
		case "item":
			item = c.Raw()
		case "response":
			d.object(c)
		case "service_tier":
			if tier := string(text(c)); tier != "" {
				d.Tier = tier
			}
		case "usage":
			d.usage(c)
		case "output":
			d.output(c)
		default:
			c.Skip()
		}
	}
	if added && item != nil {
		d.count(item)
	}
}

// output counts the calls in the output of a response, which has all of them once it has ended.
func (d *Details) output(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Array {
		c.Skip()
		return
	}
	whole := Details{}
	for range c.Elements() {
		whole.count(c.Raw())
	}
	for kind, count := range whole.Tools {
		if d.Tools == nil {
			d.Tools = map[string]int64{}
		}
		d.Tools[kind] = max(d.Tools[kind], count)
	}
}

func (d *Details) count(item []byte) {
	c := jsonscan.New(item)
	if c.Kind() != jsonscan.Object {
		return
	}
	for key := range c.Members() {
		if string(key) != "type" {
			c.Skip()
			continue
		}
		if kind, isCall := strings.CutSuffix(string(text(&c)), callSuffix); isCall {
			if d.Tools == nil {
				d.Tools = map[string]int64{}
			}
			d.Tools[kind]++
		}
	}
}

func (d *Details) usage(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Object {
		c.Skip()
		return
	}
	for key := range c.Members() {
		switch string(key) {
		case "prompt_tokens_details", "input_tokens_details":
			d.kinds(c, &d.AudioInput, &d.ImageInput)
		case "completion_tokens_details", "output_tokens_details":
			var images int64
			d.kinds(c, &d.AudioOutput, &images)
		default:
			c.Skip()
		}
	}
}

func (d *Details) kinds(c *jsonscan.Cursor, sound, images *int64) {
	if c.Kind() != jsonscan.Object {
		c.Skip()
		return
	}
	for key := range c.Members() {
		switch string(key) {
		case "audio_tokens":
			*sound = max(*sound, reported(c))
		case "image_tokens":
			*images = max(*images, reported(c))
		default:
			c.Skip()
		}
	}
}
