package wire

import (
	"bytes"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// ResponseReader reads the answers of the Responses API: the events of a stream one by one, or a response in one piece. The
// zero value is ready.
type ResponseReader struct {
	// ID is the id of the response; "" until the provider has named it.
	ID string
	// Items are the ids of the items of the output.
	Items []string
	// Status is what the provider says last: "in_progress", "completed" …
	Status string
	// Terminal tells that the last event ended the stream.
	Terminal bool
	// CompletedAt is when the response ended, in seconds since 1970, as the provider says; 0 or below when it says nothing.
	CompletedAt int64
	// Response is the response in the last event, as JSON; nil when it has none.
	Response []byte

	shown []place // output and content index of the texts whose parts were read
	some  bool    // the output was read
}

// Ended reports whether the response does not change any more.
func (e *ResponseReader) Ended() bool {
	return e.Status != "" && e.Status != "queued" && e.Status != "in_progress"
}

// Failed reports whether the provider did not make the response.
func (e *ResponseReader) Failed() bool { return e.Status == "failed" || e.Status == "cancelled" }

// event is an event of the stream, as far as it matters.
type event struct {
	kind              []byte
	response, item    []byte
	delta, done       []byte // a text, or something that holds texts
	output, content   int64
	failure, hasDelta bool
}

// ReadEvent reads the data of one event into a chunk. It reports false for what is not a JSON object.
func (e *ResponseReader) ReadEvent(data []byte, k *Chunk) bool {
	*k = Chunk{Pieces: k.Pieces[:0], like: k.like}
	e.Terminal, e.Response = false, nil
	c := jsonscan.New(data)
	if c.Kind() != jsonscan.Object {
		return false
	}
	var v event
	for key := range c.Members() {
		v.member(&c, key)
	}
	if c.End() != nil {
		return false
	}
	e.apply(data, &v, k)
	return true
}

func (v *event) member(c *jsonscan.Cursor, key []byte) {
	switch string(key) {
	case "type":
		v.kind = text(c)
	case "response":
		v.response = c.Raw()
	case "item":
		v.item = c.Raw()
	case "delta":
		v.delta, v.hasDelta = c.Raw(), true
	case "text", "arguments", "refusal", "input", "code":
		v.done = c.Raw()
	case "output_index":
		v.output = count(c)
	case "content_index", "summary_index":
		v.content = count(c)
	case "error":
		v.failure = IsFailure(c.Raw())
	default:
		c.Skip()
	}
}

func (e *ResponseReader) apply(data []byte, v *event, k *Chunk) {
	switch kind := string(v.kind); {
	case kind == "error", kind == "" && v.failure:
		k.Error = data
	case len(v.response) > 0:
		e.response(v.response, k)
		e.Terminal = e.Ended() && isLast(kind)
	case len(v.item) > 0:
		e.item(v, k)
	case v.hasDelta:
		e.text(v, v.delta, k)
	case bytes.HasSuffix(v.kind, []byte(".done")) && len(v.done) > 0 && !e.hasShown(v): // a provider that sends no parts
		e.text(v, v.done, k)
	}
	if e.Terminal {
		k.Finished.Add(0)
	}
}

func isLast(kind string) bool {
	switch kind {
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		return true
	default:
		return false
	}
}

// text takes the texts of a part. Parts of one text run together, those of others do not.
func (e *ResponseReader) text(v *event, value []byte, k *Chunk) {
	kind := kindOfEvent(v.kind)
	if bytes.Equal(v.kind, []byte("response.audio.delta")) {
		k.Opaque = true
		return
	}
	e.show(v)
	first := len(k.Pieces)
	c := jsonscan.New(value)
	k.value(&c, kind)
	for i := first; i < len(k.Pieces); i++ {
		k.Pieces[i].Choice, k.Pieces[i].Tool = v.content, v.output
	}
	k.Reasoned = k.Reasoned || kind == Reasoning
}

func kindOfEvent(kind []byte) Kind {
	switch {
	case bytes.HasPrefix(kind, []byte("response.output_text")):
		return Content
	case bytes.HasPrefix(kind, []byte("response.refusal")):
		return Refusal
	case bytes.HasPrefix(kind, []byte("response.reasoning")):
		return Reasoning
	case bytes.HasPrefix(kind, []byte("response.function_call")), bytes.HasPrefix(kind, []byte("response.custom_tool_call")):
		return ToolArguments
	default:
		return Other
	}
}

// maxShown bounds the texts that are told apart.
const maxShown = 1024

func (e *ResponseReader) show(v *event) {
	e.some = true
	if !e.hasShown(v) && len(e.shown) < maxShown {
		e.shown = append(e.shown, place{int(v.output), int(v.content)})
	}
}

func (e *ResponseReader) hasShown(v *event) bool {
	for _, s := range e.shown {
		if s == (place{int(v.output), int(v.content)}) {
			return true
		}
	}
	return false
}

// item notes the id of an item, and takes the name of a function that is called. Its content comes in events of its own; if
// none came, it is taken when the item is done.
func (e *ResponseReader) item(v *event, k *Chunk) {
	added := bytes.HasSuffix(v.kind, []byte(".added"))
	unseen := bytes.HasSuffix(v.kind, []byte(".done")) && !e.hasShownItem(v.output)
	c := jsonscan.New(v.item)
	for key := range c.Members() {
		switch {
		case string(key) == "id":
			e.note(string(text(&c)))
		case string(key) == "name" && added:
			k.value(&c, ToolName)
			e.some = true
		case unseen && isContent(key):
			k.value(&c, Content)
		case unseen && string(key) == "summary":
			before := len(k.Pieces)
			k.value(&c, Reasoning)
			k.Reasoned = k.Reasoned || len(k.Pieces) > before
		default:
			c.Skip()
		}
	}
	for i := range k.Pieces {
		k.Pieces[i].Tool = v.output
	}
	if unseen && len(k.Pieces) > 0 {
		e.show(v)
	}
}

// hasShownItem reports whether texts of an item of the output were read.
func (e *ResponseReader) hasShownItem(output int64) bool {
	for _, s := range e.shown {
		if s.start == int(output) {
			return true
		}
	}
	return false
}

// maxItems bounds the ids that are kept.
const maxItems = 1024

func (e *ResponseReader) note(id string) {
	if !IsObjectID(id) || len(e.Items) >= maxItems {
		return
	}
	for _, known := range e.Items {
		if known == id {
			return
		}
	}
	e.Items = append(e.Items, id)
}

// ReadWhole reads a response in one piece. It reports false for anything else.
func (e *ResponseReader) ReadWhole(body []byte, k *Chunk) bool {
	*k = Chunk{Pieces: k.Pieces[:0], like: k.like}
	c := jsonscan.New(body)
	if c.Kind() != jsonscan.Object {
		return false
	}
	if c.Skip(); c.End() != nil {
		return false
	}
	return e.response(body, k)
}

// response reads a response. The texts of its output are taken only when they have not come before.
func (e *ResponseReader) response(raw []byte, k *Chunk) (good bool) {
	e.Response = raw
	c := jsonscan.New(raw)
	output := []byte(nil)
	for key := range c.Members() {
		switch string(key) {
		case "id":
			if id := text(&c); e.ID == "" && IsObjectID(string(id)) {
				e.ID = string(id)
			}
		case "status":
			if status := string(text(&c)); isStatus(status) {
				e.Status, good = status, true
			}
		case "completed_at":
			e.CompletedAt = reported(&c)
		case "usage":
			k.Reported, k.HasUsage = readResponseUsage(&c)
		case "output":
			good = good || c.Kind() == jsonscan.Array
			output = c.Raw()
		default:
			c.Skip()
		}
	}
	k.ID = []byte(e.ID)
	e.output(output, k)
	return good
}

// isStatus reports whether a text is a status of a response.
func isStatus(text string) bool {
	switch text {
	case "queued", "in_progress", "completed", "incomplete", "failed", "cancelled":
		return true
	default:
		return false
	}
}

// output reads the items of a response.
func (e *ResponseReader) output(raw []byte, k *Chunk) {
	c := jsonscan.New(raw)
	if c.Kind() != jsonscan.Array {
		return
	}
	fresh := !e.some
	for n := range c.Elements() {
		kind := Content
		for key := range c.Members() {
			first := len(k.Pieces)
			switch {
			case string(key) == "id":
				e.note(string(text(&c)))
			case !fresh, string(key) == "status", string(key) == "call_id", isLabel(key):
				c.Skip()
			case string(key) == "name":
				k.value(&c, ToolName)
			case string(key) == "arguments", string(key) == "input":
				k.value(&c, ToolArguments)
			case string(key) == "summary":
				kind = Reasoning
				k.value(&c, Reasoning)
			default:
				k.value(&c, kind)
			}
			for i := first; i < len(k.Pieces); i++ {
				k.Pieces[i].Tool = int64(n)
			}
		}
		k.Reasoned = k.Reasoned || kind == Reasoning
	}
	e.some = e.some || len(k.Pieces) > 0
}

// readResponseUsage reads the usage of a response, each number for itself; false when it has none that can be a count.
func readResponseUsage(c *jsonscan.Cursor) (r tokens.Reported, ok bool) {
	r = tokens.NothingReported()
	for key := range c.Members() {
		switch string(key) {
		case "input_tokens":
			r.Input = reported(c)
		case "output_tokens":
			r.Output = reported(c)
		case "total_tokens":
			r.Total = reported(c)
		case "input_tokens_details":
			r.Cached = detail(c, "cached_tokens")
		case "output_tokens_details":
			r.Reasoning = detail(c, "reasoning_tokens")
		default:
			c.Skip()
		}
	}
	return r, r != tokens.NothingReported()
}
