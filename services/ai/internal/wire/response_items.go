package wire

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// maxReferences bounds the ids of stored items that one request may name.
const maxReferences = 1024

// takeItems walks the input of a response: a text, or a list of items. It measures what is not text and collects the ids
// that the provider would look up.
func (r *Request) takeItems(c *jsonscan.Cursor) (problem error) {
	r.input.start = c.Pos()
	defer func() { r.input.end = c.Offset() }()
	switch c.Kind() {
	case jsonscan.String:
		r.parts.messages++
		c.Skip()
		return nil
	case jsonscan.Array:
	case jsonscan.Null:
		c.Skip()
		return nil
	default:
		c.Skip()
		return invalid("input", "must be a string or a list of items")
	}
	for n := range c.Elements() {
		r.parts.messages++
		item := item{request: r, path: "input[" + strconv.Itoa(n) + "]"}
		item.read(c)
		if err := item.check(); err != nil && problem == nil {
			problem = err
		}
	}
	return problem
}

// item is one element of the input.
type item struct {
	request *Request
	path    string
	kind    string // its type; "" for a message
	id      string
	seen    []string // of the members that decide whether the id is looked up
	sealed  bool     // it carries encrypted content
	role    bool     // it has a role
	filled  []string // the members that carry content of its own
	hollow  []string // those of them that are empty
	err     error
}

func (i *item) read(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Object {
		c.Skip()
		i.err = invalid(i.path, "must be an object")
		return
	}
	for key := range c.Members() {
		switch string(key) {
		case "type":
			i.once("type")
			i.kind = string(text(c))
		case "id":
			i.once("id")
			i.id = string(text(c))
		case "role":
			i.once("role")
			i.role = len(text(c)) > 0
		case "encrypted_content":
			i.once("encrypted_content")
			i.sealed = len(text(c)) > 0
		default:
			if bytes.EqualFold(key, []byte("type")) || bytes.EqualFold(key, []byte("id")) {
				i.refuse(invalid(i.path+"."+string(key), "must be written in lower case"))
			}
			i.content(c, key)
		}
	}
}

// content reads a member that may be the item's content.
func (i *item) content(c *jsonscan.Cursor, key []byte) {
	path := i.path + "." + string(key)
	if !isContent(key) {
		i.member(c, key, path)
		return
	}
	i.once(string(key))
	raw := c.Raw()
	if !isNull(raw) {
		i.filled = append(i.filled, string(key))
	}
	if isEmpty(raw) {
		i.hollow = append(i.hollow, string(key))
	}
	inner := jsonscan.New(raw)
	i.member(&inner, key, path)
}

func isNull(raw []byte) bool { return string(bytes.TrimSpace(raw)) == "null" }

// isEmpty reports whether a value is "", [] or {}, which a provider may take for no value.
func isEmpty(raw []byte) bool { return len(bytes.Trim(raw, "[]{}\" \t\r\n")) == 0 }

// has reports whether a member carries content.
func (i *item) has(name string) bool { return slices.Contains(i.filled, name) }

// once refuses a second member of that name: the provider may read the other one of the two.
func (i *item) once(name string) {
	if slices.Contains(i.seen, name) {
		i.refuse(invalid(i.path+"."+name, "appears more than once"))
	}
	i.seen = append(i.seen, name)
}

func (i *item) refuse(err error) {
	if i.err == nil {
		i.err = err
	}
}

// isContent reports whether a member is what an item consists of, so that its id looks nothing up.
func isContent(key []byte) bool {
	switch string(key) {
	case "content", "arguments", "output", "input", "action", "operation":
		return true
	default:
		return false
	}
}

// itemPayloads are what payloads is for content parts: an item has members of any name.
var itemPayloads = [...]string{"video_url", "audio_url", "input_video", "image_url", "input_audio", "file_url", "file_data"}

// member measures payloads anywhere in the item, and refuses names of objects whose owner is not known.
func (i *item) member(c *jsonscan.Cursor, key []byte, path string) {
	parts, where, size := &i.request.parts, "", int64(0)
	switch name := string(key); {
	case isForeign(key):
		if c.Kind() != jsonscan.Null {
			i.refuse(foreign(path))
		}
		c.Skip()
	case name == "image_url" && c.Kind() == jsonscan.Null:
		c.Skip()
	case name == "image_url":
		size, where = payload(c, "url", func([]byte) { parts.images++ })
		parts.raw, parts.imageAt = parts.raw+size, cmp.Or(parts.imageAt, path)
	case name == "file_data" || name == "file_url":
		if c.Kind() != jsonscan.Null {
			parts.files++
		}
		var raw []byte
		raw, where = measure(c)
		parts.raw += int64(len(raw))
	case bytes.EqualFold(key, []byte("type")) && c.Kind() == jsonscan.String:
		if string(text(c)) == "item_reference" { // the provider might look it up, and its owner would not be checked
			i.refuse(invalid(path, "must not be item_reference: only the elements of the input may name stored items"))
		}
	case name == "env": // of a shell's call: its names are the caller's
		c.Skip()
	case name == "input_audio":
		size, where = payload(c, "data", func(raw []byte) { parts.audio += soundBound(raw) })
		parts.raw += size
	case isNamedAny(key, itemPayloads[:]) && c.Kind() != jsonscan.Null:
		parts.files++
		i.value(c, path)
	default:
		i.value(c, path)
	}
	if where != "" {
		i.refuse(foreign(path + where))
	}
}

func (i *item) value(c *jsonscan.Cursor, path string) {
	switch c.Kind() {
	case jsonscan.Array:
		for n := range c.Elements() {
			i.value(c, path+"["+strconv.Itoa(n)+"]")
		}
	case jsonscan.Object:
		for key := range c.Members() {
			i.member(c, key, path+"."+string(key))
		}
	default:
		c.Skip()
	}
}

// check decides whether the provider would look the item up, or has its content here.
func (i *item) check() error {
	if i.err != nil || i.carriesContent() {
		return i.err
	}
	if !IsObjectID(i.id) {
		return invalid(i.path+".id", "must be the id of a stored item, because the item has no content")
	}
	refs := &i.request.References
	if refs.Items = append(refs.Items, i.id); len(refs.Items) > maxReferences {
		return invalid("input", "names more than "+strconv.Itoa(maxReferences)+" stored items")
	}
	return nil
}

// carriesContent reports whether an item is complete in the request, so that its id looks nothing up.
func (i *item) carriesContent() bool {
	switch i.kind {
	case "", "message":
		return i.has("content") && (i.id == "" || i.role && !slices.Contains(i.hollow, "content"))
	case "function_call":
		return i.has("arguments")
	case "custom_tool_call":
		return i.has("input")
	case "local_shell_call", "computer_call":
		return i.has("action")
	case "apply_patch_call":
		return i.has("operation")
	case "function_call_output", "custom_tool_call_output", "local_shell_call_output", "apply_patch_call_output", "computer_call_output":
		return i.has("output")
	case "reasoning", "compaction", "compaction_summary":
		return i.sealed
	default:
		return false
	}
}

// takeTools notes the tools that the provider runs: what they cost is not bounded by the tokens of the request.
func (r *Request) takeTools(c *jsonscan.Cursor) (problem error) {
	start := c.Pos()
	defer func() { r.tools = span{start, c.Offset()} }()
	if c.Kind() != jsonscan.Array {
		null := c.Kind() == jsonscan.Null
		c.Skip()
		if null {
			return nil
		}
		return invalid("tools", "must be a list")
	}
	for n := range c.Elements() {
		if err := r.takeTool(c, "tools["+strconv.Itoa(n)+"]"); err != nil && problem == nil {
			problem = err
		}
	}
	return problem
}

func (r *Request) takeTool(c *jsonscan.Cursor, path string) error {
	kind, typed := "", false
	where, schema := "", ""
	var problem error
	for key := range c.Members() {
		found := ""
		switch name := string(key); {
		case name == "type" && typed:
			problem = invalid(path+".type", "appears more than once")
			c.Skip()
		case name == "type":
			kind, typed = string(text(c)), true
		case bytes.EqualFold(key, []byte("type")):
			problem = invalid(path+"."+name, "must be written in lower case")
			c.Skip()
		case name == "parameters":
			schema = foreignMember(c, key)
		default:
			found = foreignMember(c, key)
		}
		where = cmp.Or(where, found)
	}
	if kind != "function" && kind != "custom" { // whose schema may have any names
		where = cmp.Or(where, schema)
	}
	if where != "" && problem == nil {
		problem = foreign(path + "." + where)
	}
	switch kind {
	case "function", "custom", "local_shell", "apply_patch", "computer_use_preview", "computer":
		return problem
	}
	if problem != nil {
		return problem
	}
	if len(r.Hosted) == 0 {
		r.HostedAt = path + ".type"
	}
	r.Hosted = append(r.Hosted, kind)
	return nil
}
