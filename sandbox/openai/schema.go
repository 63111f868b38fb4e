package openai

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// The bounds of what is made of a schema: lists in lists would grow without end.
const (
	maxDepth  = 8
	maxSample = 16 << 10 // bytes; what comes after is null
	// maxSchema bounds the schema itself, in bytes.
	maxSchema = 64 << 10
)

// schema holds the parts of a JSON Schema that a sample has to obey.
type schema struct {
	Type       json.RawMessage   `json:"type"`
	Const      json.RawMessage   `json:"const"`
	Enum       []json.RawMessage `json:"enum"`
	Properties json.RawMessage   `json:"properties"`
	Items      json.RawMessage   `json:"items"`
	AnyOf      []json.RawMessage `json:"anyOf"`
	MinItems   int               `json:"minItems"`
	Minimum    json.Number       `json:"minimum"`
}

// sample makes a JSON value that fits a schema, the same for the same seed. It has spaces, as the models' own.
func sample(raw json.RawMessage, seed uint64) string {
	if len(raw) == 0 || string(raw) == "null" {
		return "{}"
	}
	g := generator(seed)
	var b strings.Builder
	write(&b, raw, &g, 0)
	return b.String()
}

func write(b *strings.Builder, raw json.RawMessage, g *generator, depth int) {
	var s schema
	if depth > maxDepth || b.Len() > maxSample || json.Unmarshal(raw, &s) != nil {
		b.WriteString("null")
		return
	}
	switch {
	case len(s.Const) > 0:
		b.Write(s.Const)
	case len(s.Enum) > 0:
		b.Write(s.Enum[g.next()%uint64(len(s.Enum))])
	case len(s.AnyOf) > 0:
		write(b, s.AnyOf[0], g, depth+1)
	default:
		s.writeType(b, g, depth)
	}
}

func (s *schema) writeType(b *strings.Builder, g *generator, depth int) {
	switch s.kind() {
	case "object":
		s.writeObject(b, g, depth)
	case "array":
		b.WriteByte('[')
		for i := range min(max(s.MinItems, 1), 16) {
			if i > 0 {
				b.WriteString(", ")
			}
			write(b, orAny(s.Items), g, depth+1)
		}
		b.WriteByte(']')
	case "integer", "number":
		if s.Minimum != "" {
			b.WriteString(s.Minimum.String())
			return
		}
		b.WriteByte('0' + byte(1+g.next()%9))
	case "boolean":
		b.WriteString([]string{"true", "false"}[g.next()%2])
	case "null":
		b.WriteString("null")
	default:
		b.WriteString(`"` + vocabulary[g.next()%uint64(len(vocabulary))] + `"`)
	}
}

// kind is the type, or the first of several; an object need not say that it is one.
func (s *schema) kind() string {
	var one string
	if json.Unmarshal(s.Type, &one) == nil {
		return one
	}
	var many []string
	if json.Unmarshal(s.Type, &many) == nil && len(many) > 0 {
		return many[0]
	}
	if len(s.Properties) > 0 {
		return "object"
	}
	return "string"
}

// writeObject gives every property a value, in the schema's order.
func (s *schema) writeObject(b *strings.Builder, g *generator, depth int) {
	b.WriteByte('{')
	var properties map[string]json.RawMessage
	if json.Unmarshal(s.Properties, &properties) == nil {
		for i, name := range keysInOrder(s.Properties, properties) {
			if i > 0 {
				b.WriteString(", ")
			}
			b.Write(quote(name))
			b.WriteString(": ")
			write(b, properties[name], g, depth+1)
		}
	}
	b.WriteByte('}')
}

// keysInOrder lists the keys of a JSON object as written: a map forgets their order.
func keysInOrder(raw json.RawMessage, known map[string]json.RawMessage) []string {
	var keys []string
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return nil
	}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			break
		}
		var skip json.RawMessage
		if dec.Decode(&skip) != nil {
			break
		}
		if _, ok := known[name]; ok && !slices.Contains(keys, name) {
			keys = append(keys, name)
		}
	}
	return keys
}

func orAny(items json.RawMessage) json.RawMessage {
	if len(items) == 0 {
		return json.RawMessage(`{"type":"string"}`)
	}
	return items
}

// shape puts a text into the form that response_format asks for.
func (f *responseFormat) shape(text string, seed uint64) string {
	switch f.Type {
	case "json_object":
		return `{"reply": ` + string(quote(text)) + `}`
	case "json_schema":
		return sample(f.JSONSchema.Schema, seed)
	default:
		return text
	}
}
