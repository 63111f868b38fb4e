package translate

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
)

// member is a member of an object whose order is kept.
type member struct {
	key   string
	value json.RawMessage
}

// write writes an object with its members in order.
func write(members ...member) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote(m.key) + ":")
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// Values that stand in many places.
var (
	null  = json.RawMessage("null")
	empty = json.RawMessage("[]")
)

// answer is what is known of the chat's answer so far.
type answer struct {
	id, model string
	tier      string // the service tier that the chat names; "" for none
	created   int64
	usage     usage
	finish    string
	items     []*item
}

// learn takes what a completion or a chunk says of the whole.
func (x *Exchange) learn(a *answer, c *completion) {
	a.id, a.model = cmp.Or(a.id, textOf(c.ID)), cmp.Or(a.model, textOf(c.Model))
	a.created = cmp.Or(a.created, numberOf(c.Created))
	a.tier = cmp.Or(textOf(c.ServiceTier), a.tier) // the end of a stream knows best
	a.usage.join(c.Usage)
	a.usage.join(within(c.XGroq, "usage"))
	for i := range c.Choices {
		a.usage.join(c.Choices[i].Usage)
	}
}

// identify completes what the provider has left out.
func (x *Exchange) identify(a *answer) {
	if a.created == 0 {
		a.created = x.now().Unix()
	}
	if a.id == "" {
		a.id = strconv.FormatInt(x.now().UnixNano(), 36)
	}
	if a.model == "" {
		a.model = textOf(x.request["model"])
	}
}

// name makes an id of one kind from the chat's id.
func (a *answer) name(prefix string, parts ...string) string {
	h := sha256.New()
	h.Write([]byte(a.id))
	for _, p := range parts {
		h.Write([]byte{0})
		h.Write([]byte(p))
	}
	return prefix + hex.EncodeToString(h.Sum(nil)[:24])
}

// status is the status of a response whose answer has ended, and why it is incomplete.
func (a *answer) status() (status string, details json.RawMessage) {
	switch a.finish {
	case "length", "max_tokens", "model_length":
		return "incomplete", json.RawMessage(`{"reason":"max_output_tokens"}`)
	case "content_filter":
		return "incomplete", json.RawMessage(`{"reason":"content_filter"}`)
	default:
		return "completed", null
	}
}

// response writes the response, before its output and after it.
func (x *Exchange) response(a *answer, ended bool) json.RawMessage {
	status, details, usage, completed := "in_progress", null, null, null
	output := empty
	if ended {
		status, details = a.status()
		usage, completed = a.usage.write(), null
		if status == "completed" {
			completed = raw(max(a.created, x.now().Unix()))
		}
		output = a.output()
	}
	return write(
		member{"id", raw(a.name("resp_"))}, member{"object", raw("response")}, member{"created_at", raw(a.created)}, member{"status", raw(status)},
		member{"background", raw(false)}, member{"completed_at", completed}, member{"error", null}, member{"incomplete_details", details},
		x.echo("instructions", "null"), x.echo("max_output_tokens", "null"), x.echo("max_tool_calls", "null"), member{"model", raw(a.model)}, member{"output", output},
		x.echo("parallel_tool_calls", "true"), member{"previous_response_id", null}, member{"reasoning", x.complete("reasoning", "effort", "summary")},
		x.tier(a), member{"store", raw(false)}, x.echo("temperature", "1"), member{"text", x.format()}, x.echo("tool_choice", `"auto"`),
		member{"tools", x.tools()}, x.echo("top_p", "1"), x.echo("presence_penalty", "0"), x.echo("frequency_penalty", "0"), member{"top_logprobs", raw(0)},
		x.echo("truncation", `"disabled"`), member{"usage", usage}, x.echo("user", "null"), x.echo("safety_identifier", "null"), x.echo("prompt_cache_key", "null"),
		x.echo("metadata", "{}"), member{"access_programs", null},
	)
}

// tier is the service tier that served the chat, which decides the price; only a chat that names none has that of the request.
func (x *Exchange) tier(a *answer) member {
	if a.tier != "" {
		return member{"service_tier", raw(a.tier)}
	}
	return x.echo("service_tier", `"default"`)
}

// echo repeats a member of the request, as a response does.
func (x *Exchange) echo(name, otherwise string) member {
	if value := x.request[name]; present(value) {
		return member{name, value}
	}
	return member{name, json.RawMessage(otherwise)}
}

// complete repeats an object of the request with the members that a response always has.
func (x *Exchange) complete(name string, members ...string) json.RawMessage {
	return completed(x.request[name], members...)
}

// completed adds members that are absent, as null, behind the others.
func completed(value json.RawMessage, members ...string) json.RawMessage {
	var known object
	if json.Unmarshal(value, &known) != nil {
		known = nil
	}
	var missing []member
	for _, name := range members {
		if _, ok := known[name]; !ok {
			missing = append(missing, member{name, null})
		}
	}
	switch {
	case len(known) == 0:
		return write(missing...)
	case len(missing) == 0:
		return value
	}
	value = bytes.TrimRight(value, " \t\r\n")
	return append(append(bytes.Clone(value[:len(value)-1]), ','), write(missing...)[1:]...)
}

// format repeats what the answer should look like.
func (x *Exchange) format() json.RawMessage {
	var known object
	if json.Unmarshal(x.request["text"], &known) != nil || present(known["format"]) {
		return x.echo("text", `{"format":{"type":"text"}}`).value
	}
	members := []member{{"format", json.RawMessage(`{"type":"text"}`)}}
	if present(known["verbosity"]) {
		members = append(members, member{"verbosity", known["verbosity"]})
	}
	return write(members...)
}

// tools repeats the functions that were offered.
func (x *Exchange) tools() json.RawMessage {
	var tools []json.RawMessage
	if json.Unmarshal(x.request["tools"], &tools) != nil {
		return empty
	}
	out := []byte{'['}
	for i, tool := range tools {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, completed(tool, "description", "parameters", "strict")...)
	}
	return append(out, ']')
}

func (a *answer) output() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, it := range a.items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(it.write(a, true))
	}
	b.WriteByte(']')
	return b.Bytes()
}
