package form

import (
	"bytes"
	"encoding/json"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// SplitMedia makes the events of a stream of an answer in one piece that has images or a transcript: a last event of that type for
// each image, or for the transcript. It reports false for anything else than an object.
func SplitMedia(body []byte, kind string) (events []byte, ok bool) {
	c := jsonscan.New(body)
	if c.Kind() != jsonscan.Object {
		return nil, false
	}
	var around bytes.Buffer // the members that all events have
	var images [][]byte
	for key := range c.Members() {
		name := string(key)
		if name == "data" && c.Kind() == jsonscan.Array {
			for range c.Elements() {
				images = append(images, c.Raw())
			}
			continue
		}
		if name == "created" {
			name = "created_at"
		}
		quoted, _ := json.Marshal(name) // a text: it cannot fail
		around.WriteByte(',')
		around.Write(quoted)
		around.WriteByte(':')
		around.Write(c.Raw())
	}
	if c.End() != nil {
		return nil, false
	}
	if images == nil {
		images = [][]byte{[]byte("{}")}
	}
	var out bytes.Buffer
	for _, image := range images {
		members := bytes.TrimSpace(image)
		if len(members) < 2 || members[0] != '{' {
			return nil, false
		}
		members = bytes.TrimSpace(members[1 : len(members)-1])
		out.WriteString("event: " + kind + "\ndata: ")
		event := append([]byte(`{"type":"`+kind+`"`), around.Bytes()...)
		if len(members) > 0 {
			event = append(append(event, ','), members...)
		}
		if json.Compact(&out, append(event, '}')) != nil {
			return nil, false
		}
		out.WriteString("\n\n")
	}
	return out.Bytes(), true
}
