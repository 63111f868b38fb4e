package wire

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// parts counts what a conversation holds besides text.
type parts struct {
	messages int64
	calls    int64 // calls of tools
	images   int64
	files    int64  // and whatever else may hold anything
	audio    int64  // tokens of sound, at most
	raw      int64  // bytes of the body that are not text: images, audio and files
	imageAt  string // where the first image is
}

// takeMessages walks the messages, measures what is not text, and refuses objects whose owner is not known.
func (r *Request) takeMessages(c *jsonscan.Cursor) (problem error) {
	if c.Kind() != jsonscan.Array {
		c.Skip()
		return invalid("messages", "must be a list of messages")
	}
	for n := range c.Elements() {
		r.parts.messages++
		known := r.parts.imageAt != ""
		where, spoken := r.parts.message(c)
		if !known && r.parts.imageAt != "" {
			r.parts.imageAt = "messages[" + strconv.Itoa(n) + "]" + r.parts.imageAt
		}
		if where == "" || problem != nil {
			continue
		}
		if where = "messages[" + strconv.Itoa(n) + "]" + where; spoken {
			problem = foreignSpeech(where)
		} else {
			problem = foreign(where)
		}
	}
	if r.parts.messages == 0 {
		return invalid("messages", "is empty")
	}
	return problem
}

// message returns where the message names an object whose owner is not known, and whether that is an earlier spoken answer.
func (p *parts) message(c *jsonscan.Cursor) (where string, spoken bool) {
	for key := range c.Members() {
		kind, found := c.Kind(), ""
		switch {
		case isNamed(key, "content") && kind == jsonscan.Array:
			for n := range c.Elements() {
				found = cmp.Or(found, p.partAt(c, n))
			}
		case isNamed(key, "content"):
			found = p.partAt(c, -1)
		case string(key) == "tool_calls" && kind == jsonscan.Array:
			for range c.Elements() {
				p.calls++
				c.Skip()
			}
		case isNamed(key, "audio") && kind != jsonscan.Null:
			c.Skip()
			if where == "" {
				where, spoken = ".audio.id", true
			}
		default:
			c.Skip()
		}
		if where == "" {
			where = found
		}
	}
	return where, spoken
}

// partAt is part for the content, or for one of its list, and notes where the first image is. The path is made only when it is needed.
func (p *parts) partAt(c *jsonscan.Cursor, n int) (where string) {
	where = p.part(c)
	first := p.images > 0 && p.imageAt == ""
	if where == "" && !first {
		return ""
	}
	path := ".content"
	if n >= 0 {
		path += "[" + strconv.Itoa(n) + "]"
	}
	if first {
		p.imageAt = path + ".image_url"
	}
	if where != "" {
		where = path + where
	}
	return where
}

// part measures a content part. Only the members that carry the bytes of an image, a sound or a file are not text. It returns
// where the part names an object whose owner is not known.
func (p *parts) part(c *jsonscan.Cursor) (where string) {
	if c.Kind() != jsonscan.Object {
		return foreignIn(c)
	}
	for key := range c.Members() {
		var size int64
		found := ""
		switch string(key) {
		case "image_url":
			size, found = payload(c, "url", func([]byte) { p.images++ })
			p.raw += size
		case "input_audio":
			size, found = payload(c, "data", func(raw []byte) { p.audio += soundBound(raw) })
			p.raw += size
		case "file":
			var raw []byte
			raw, found = measure(c)
			p.files++
			p.raw += int64(len(raw))
		default:
			if isNamedAny(key, payloads[:]) && c.Kind() != jsonscan.Null {
				p.files++
			}
			if at := foreignMember(c, key); at != "" && where == "" {
				where = "." + at
			}
		}
		if found != "" && where == "" {
			where = "." + string(key) + found
		}
	}
	return where
}

// payloads are members of content parts that other servers than OpenAI know. They may hold as much as a file, such as the address of
// a video.
var payloads = [...]string{
	"video_url", "audio_url", "input_video", "input_image", "image_url", "input_audio", "video", "audio", "image", "file", "file_url", "file_data", "document", "media", "source",
	"inline_data", "image_embeds", "audio_embeds", "image_pil",
}

// isNamedAny reports whether a member has one of the names, however it is written: some servers fold case.
func isNamedAny(key []byte, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return isNamed(key, name) })
}

// payload passes the value of a content part's member: the payload itself, or an object that holds it under name. It
// tells found each payload and returns the size of all, and where the value names an object whose owner is not known.
func payload(c *jsonscan.Cursor, name string, found func(raw []byte)) (sum int64, where string) {
	if c.Kind() != jsonscan.Object {
		raw, where := measure(c)
		found(raw)
		return int64(len(raw)), where
	}
	for key := range c.Members() {
		at := ""
		if string(key) == name {
			var raw []byte
			if raw, at = measure(c); at != "" {
				at = name + at
			}
			found(raw)
			sum += int64(len(raw))
		} else {
			at = foreignMember(c, key)
		}
		if at != "" && where == "" {
			where = "." + at
		}
	}
	return sum, where
}

// measure passes a value and returns its bytes, and where it names an object whose owner is not known.
func measure(c *jsonscan.Cursor) (raw []byte, where string) {
	start := c.Pos()
	where = foreignIn(c)
	return c.Since(start), where
}

// takeInput checks the input of an embeddings request: a text, a list of texts, or token numbers in either place.
func (r *Request) takeInput(c *jsonscan.Cursor) error {
	switch c.Kind() {
	case jsonscan.String:
		if raw, _ := c.String(); len(raw) == 0 {
			return invalid("input", "is empty")
		}
		return nil
	case jsonscan.Array:
	default:
		c.Skip()
		return invalid("input", "must be a string or a list of strings")
	}
	count, where := 0, ""
	for n := range c.Elements() {
		count++
		if c.Kind() != jsonscan.Object {
			c.Skip()
			continue
		}
		if r.Endpoint == Embeddings { // of servers that embed images, too
			r.parts.files++
		}
		if found := foreignIn(c); found != "" && where == "" {
			where = "input[" + strconv.Itoa(n) + "]" + found
		}
	}
	switch {
	case count == 0:
		return invalid("input", "is empty")
	case where != "":
		return foreign(where)
	default:
		return nil
	}
}

// takePrompt counts the prompts of a completion: a text, token numbers, or a list of either.
func (r *Request) takePrompt(c *jsonscan.Cursor) error {
	switch c.Kind() {
	case jsonscan.String:
		r.prompts = 1
		c.Skip()
		return nil
	case jsonscan.Array:
	default:
		c.Skip()
		return invalid("prompt", "must be a string, a list of strings, or a list of token numbers")
	}
	var tokens, others int64
	for range c.Elements() {
		if c.Kind() == jsonscan.Number {
			tokens++
		} else {
			others++
		}
		c.Skip()
	}
	switch {
	case tokens+others == 0:
		return invalid("prompt", "is empty")
	case tokens > 0 && others > 0:
		return invalid("prompt", "must not mix token numbers with other prompts")
	}
	r.prompts = max(others, min(tokens, 1))
	return nil
}
