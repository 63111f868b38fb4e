package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// codec is protojson as the API speaks it: camelCase names, zero values shown, unknown fields refused.
type codec struct{}

// ContentType implements runtime.Marshaler.
func (codec) ContentType(any) string { return "application/json" }

// Marshal implements runtime.Marshaler.
func (codec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a proto message", v)
	}
	raw, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	// protojson inserts random spaces. Compact makes the same message give the same bytes.
	compact := bytes.NewBuffer(make([]byte, 0, len(raw)))
	if err := json.Compact(compact, raw); err != nil {
		return nil, err
	}
	return compact.Bytes(), nil
}

// Unmarshal implements runtime.Marshaler.
func (codec) Unmarshal(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a proto message", v)
	}
	return parse(data, m)
}

// NewDecoder implements runtime.Marshaler. It records the error in the document, because grpc-gateway passes on only the
// error's text.
func (c codec) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		d, ok := r.(*document)
		if !ok {
			return io.EOF
		}
		d.problem = c.Unmarshal(d.raw, v)
		return d.problem
	})
}

// NewEncoder implements runtime.Marshaler.
func (c codec) NewEncoder(w io.Writer) runtime.Encoder {
	return runtime.EncoderFunc(func(v any) error {
		b, err := c.Marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	})
}

// protojson has no typed errors, so these patterns read its texts. They leave out the caller's value.
var (
	unknownField   = regexp.MustCompile(`^\(line [0-9:]+\): (unknown|duplicate) field "([^"]{1,128})"`)
	excluded       = regexp.MustCompile(`^\(line [0-9:]+\): error parsing "([^"]{1,128})", oneof [\w.]+ is already set`)
	wellKnown      = regexp.MustCompile(`^\(line ([0-9]+):([0-9]+)\): (?:invalid )?google\.protobuf\.(Timestamp|Duration|FieldMask)\b`)
	keyBefore      = regexp.MustCompile(`"([^"\\]{1,128})"\s*:\s*$`)
	wrongType      = regexp.MustCompile(`^\(line [0-9:]+\): invalid value for (\w+) (?:field|type) ?([\w.]*):`)
	maxQuotedBytes = 120
)

// parse reads a JSON object. Errors: MALFORMED_BODY (not a JSON object), INVALID_ARGUMENT (an unknown, repeated or wrongly
// typed field).
func parse(data []byte, into proto.Message) error {
	err := protojson.Unmarshal(data, into)
	if err == nil {
		keepSchemas(data, into)
		return nil
	}
	text := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: ")
	if found := unknownField.FindStringSubmatch(text); found != nil {
		problem := "is not a field of this request"
		if found[1] == "duplicate" {
			problem = "is given twice"
		}
		return invalidField(found[2], problem)
	}
	if found := excluded.FindStringSubmatch(text); found != nil {
		return invalidField(found[1], "must not be set beside another field that excludes it")
	}
	if found := wellKnown.FindStringSubmatch(text); found != nil {
		if name := fieldAt(data, found[1], found[2]); name != "" {
			return invalidField(name, expected(found[3]))
		}
	}
	if found := wrongType.FindStringSubmatch(text); found != nil && found[2] != "" {
		return invalidField(found[2], expected(found[1]))
	}
	if len(text) > maxQuotedBytes {
		text = strings.ToValidUTF8(text[:maxQuotedBytes], "") + "…"
	}
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, "The request body is not a valid JSON object: %s.", text)
}

// fieldAt finds the field whose value is at a line and column; "" for none.
func fieldAt(data []byte, line, column string) string {
	n, lineErr := strconv.Atoi(line)
	at, columnErr := strconv.Atoi(column)
	lines := strings.SplitAfter(string(data), "\n")
	if lineErr != nil || columnErr != nil || n < 1 || n > len(lines) {
		return ""
	}
	last := []rune(lines[n-1])
	before := strings.Join(lines[:n-1], "") + string(last[:min(max(at-1, 0), len(last))])
	if found := keyBefore.FindStringSubmatch(before); found != nil {
		return found[1]
	}
	return ""
}

func invalidField(name, problem string) error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "%s %s.", name, problem).Field(name, problem)
}
