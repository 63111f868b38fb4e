package directory_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
}

// lists is an object with lists within one another.
func lists(depth int, innermost string) string {
	return `{"l":` + strings.Repeat("[", depth) + innermost + strings.Repeat("]", depth) + `}`
}

// TestMetadata: whatever Clerk sends, what is stored can be read, listed and exported.
func TestMetadata(t *testing.T) {
	for name, tc := range map[string]struct{ raw, want string }{
		"plain":                 {`{"plan":"pro","n":1.5,"on":true,"none":null,"list":[1,"x"]}`, `{"list":[1,"x"],"n":1.5,"none":null,"on":true,"plan":"pro"}`},
		"half a surrogate pair": {`{"bio":"hi \ud83d"}`, "{\"bio\":\"hi \ufffd\"}"},
		"the other half":        {`{"bio":"\udc4d","\ud83d":[{"x":"\ud83d!"}]}`, "{\"bio\":\"\ufffd\",\"\ufffd\":[{\"x\":\"\ufffd!\"}]}"},
		"a whole pair":          {`{"bio":"\ud83d\udc4d"}`, "{\"bio\":\"\U0001f44d\"}"},
		"beyond a double":       {`{"n":1e400,"m":[-1e400]}`, `{"m":["-1e400"],"n":"1e400"}`},
		"a Discord id":          {`{"id":80351110224678912}`, `{"id":"80351110224678912"}`},
		"the largest exact":     {`{"id":9007199254740991,"m":-9007199254740991}`, `{"id":9007199254740991,"m":-9007199254740991}`},
		"the first inexact":     {`{"id":9007199254740993,"m":-9007199254740993}`, `{"id":"9007199254740993","m":"-9007199254740993"}`},
		"more than 64 bits":     {`{"id":123456789012345678901234567890}`, `{"id":"123456789012345678901234567890"}`},
		"a large fraction":      {`{"n":1e300,"m":0.1}`, `{"m":0.1,"n":1e+300}`},
		"a NUL":                 {`{"x":"a\u0000b"}`, `{"x":"a\u0000b"}`},
		"null":                  {`null`, `{}`},
		"text":                  {`"x"`, `{}`},
		"a list":                {`[1]`, `{}`},
		"nothing":               {``, `{}`},
		"two objects":           {`{"a":1}{"b":2}`, `{}`},
		"broken":                {`{"a":`, `{}`},
		"nested as far as kept": {nested(100), nested(100)},
		"lists, as far as kept": {lists(99, "1"), lists(99, "1")},
		"lists, one too deep":   {lists(100, "1"), lists(98, "[null]")},
	} {
		t.Run(name, func(t *testing.T) {
			got := directory.Metadata(json.RawMessage(tc.raw))
			require.JSONEq(t, tc.want, string(got))
			again := directory.Metadata(got)
			require.Equal(t, string(got), string(again), "kept as it is")
			readable(t, tc.raw)
		})
	}
	require.NotContains(t, string(directory.Metadata(json.RawMessage(nested(101)))), "1", "too deep is null")
	readable(t, nested(101))
	readable(t, nested(9000))
	readable(t, nested(100_000))
	readable(t, `{"l":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`)
}

func FuzzMetadata(f *testing.F) {
	f.Add(`{"a":1e400}`)
	f.Add("{\"a\":\"\xff\",\"b\":[{}]}")
	f.Fuzz(func(t *testing.T, raw string) { readable(t, raw) })
}

// readable asserts that the metadata survives gRPC and JSON.
func readable(t *testing.T, raw string) {
	t.Helper()
	message, err := structpb.NewStruct(directory.MetadataValues(json.RawMessage(raw)))
	require.NoError(t, err)
	wire, err := proto.Marshal(message)
	require.NoError(t, err)
	require.NoError(t, proto.Unmarshal(wire, &structpb.Struct{}))
	text, err := protojson.Marshal(message)
	require.NoError(t, err)
	require.NoError(t, protojson.Unmarshal(text, &structpb.Struct{}))
}
