package directory

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
)

// maxMetadataDepth is the deepest nesting of metadata that is kept; protobuf refuses messages that are nested too deep.
const maxMetadataDepth = 100

// Metadata returns a JSON object that a google.protobuf.Struct can hold: half of a surrogate pair becomes U+FFFD, a number
// that a double cannot hold exactly, such as a 64-bit id, becomes a string of its digits, and what is nested too deep becomes
// null. Anything but an object becomes the empty object. One odd value must not make a list or an export fail.
func Metadata(raw json.RawMessage) json.RawMessage {
	object := MetadataValues(raw)
	out, err := json.Marshal(object)
	if err != nil {
		return json.RawMessage("{}") // maps, lists, strings, numbers and booleans always encode
	}
	return out
}

// MetadataValues is Metadata as values that google.protobuf.Struct takes.
func MetadataValues(raw json.RawMessage) map[string]any {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var object map[string]any
	if decoder.Decode(&object) != nil || object == nil {
		return map[string]any{}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return map[string]any{}
	}
	for name, value := range object {
		object[name] = holdable(value, 1)
	}
	return object
}

// holdable replaces what a google.protobuf.Value cannot hold.
func holdable(value any, depth int) any {
	switch v := value.(type) {
	case map[string]any:
		if depth >= maxMetadataDepth {
			return nil
		}
		for name := range v {
			v[name] = holdable(v[name], depth+1)
		}
	case []any:
		if depth >= maxMetadataDepth {
			return nil
		}
		for i := range v {
			v[i] = holdable(v[i], depth+1)
		}
	case json.Number:
		return number(v)
	}
	return value
}

// maxExact is the integer from which a double skips integers.
const maxExact = 1 << 53

// number is a double, or the digits when a double would change them.
func number(n json.Number) any {
	double, err := n.Float64()
	if err != nil || isDigits(n.String()) && math.Abs(double) >= maxExact {
		return n.String()
	}
	return double
}

// isDigits reports whether a number is written as an integer.
func isDigits(s string) bool {
	for _, c := range s {
		if (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
