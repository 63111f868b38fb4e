package jsonscan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

func valid(data []byte) error {
	c := jsonscan.New(data)
	c.Skip()
	return c.End()
}

var samples = []string{
	"", " ", "null", "true", "false", "nul", "trueish", "0", "-0", "01", "1.", ".1", "1e", "1e+", "1E-9", "-", "1.5e+10", "1 2",
	`""`, `"a`, `"\`, `"\u12"`, `"\u12g4"`, `"\ud83d\ude00"`, `"\ud83d"`, "\"a\tb\"", "\"\x7f\x80\xff\"", `"\/\b\f\n\r\t\"\\"`, `"\x"`,
	"{}", "[]", "{ }", "[ ]", "[1,]", "[,1]", "[1 2]", `{"a":1,}`, `{"a" 1}`, `{"a":}`, `{1:2}`, `{"a":1 "b":2}`, `{"a":1,"a":2}`, "{", "[", "[1", `{"a"`,
	`{"a":[{"b":"c\n"},1.5,null,true,false,""],"d":{"e":{}}}`, " \t\r\n[ 1 , 2 ] \n", "[1]]", "\ufeff1", "[\"long enough for the fast path, with a \\\"quote\\\"\"]",
}

func FuzzSkipAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := valid(data)
		if err == jsonscan.ErrDepth { //nolint:errorlint // returned as it is; encoding/json allows more depth
			return
		}
		require.Equal(t, json.Valid(data), err == nil, "%q: %v", data, err)
	})
}

func FuzzUnescapeAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want string
		if json.Unmarshal(data, &want) != nil || string(data) == "null" || strings.Contains(want, "\ufffd") {
			return // not a string, or invalid UTF-8, which encoding/json replaces and this package leaves alone
		}
		c := jsonscan.New(data)
		raw, escaped := c.String()
		if c.Err() != nil {
			require.Equal(t, jsonscan.Null, func() jsonscan.Kind { n := jsonscan.New(data); return n.Kind() }())
			return
		}
		require.Equal(t, want, string(jsonscan.Unescape(nil, raw)))
		if !escaped {
			require.Equal(t, want, string(raw))
		}
	})
}

func TestDepthIsBounded(t *testing.T) {
	deep := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	require.NoError(t, valid(deep(jsonscan.MaxDepth)))
	require.ErrorIs(t, valid(deep(jsonscan.MaxDepth+1)), jsonscan.ErrDepth)
	require.ErrorIs(t, valid([]byte(strings.Repeat(`{"a":`, 1_000_000))), jsonscan.ErrDepth)
}

func TestWalk(t *testing.T) {
	data := []byte(`{"mod\u0065l" : "a\nb", "n": -12, "big": 9223372036854775808, "whole": 1.0, "list": [1, [2], 3], "on": true, "x": {"y": null}}`)
	c := jsonscan.New(data)
	require.True(t, c.EnterObject())
	var keys []string
	for n := 0; ; n++ {
		key, ok := c.Member(n)
		if !ok {
			break
		}
		keys = append(keys, string(key))
		switch string(key) {
		case "model":
			raw, escaped := c.String()
			require.True(t, escaped)
			require.Equal(t, "a\nb", string(jsonscan.Unescape(nil, raw)))
		case "n":
			v, ok := c.Int()
			require.True(t, ok)
			require.EqualValues(t, -12, v)
		case "big", "whole":
			_, ok := c.Int()
			require.False(t, ok)
			require.NoError(t, c.Err())
		case "list":
			require.True(t, c.EnterArray())
			count := 0
			for ; c.Element(count); count++ {
				c.Skip()
			}
			require.Equal(t, 3, count)
		case "on":
			require.True(t, c.Bool())
		default:
			require.Equal(t, `{"y": null}`, string(c.Raw()))
		}
	}
	require.NoError(t, c.End())
	require.Equal(t, []string{"model", "n", "big", "whole", "list", "on", "x"}, keys)
}

func TestErrorsStick(t *testing.T) {
	for name, walk := range map[string]func(c *jsonscan.Cursor){
		"string for an object": func(c *jsonscan.Cursor) { c.EnterObject() },
		"string for an array":  func(c *jsonscan.Cursor) { c.EnterArray() },
		"string for a number":  func(c *jsonscan.Cursor) { c.Int() },
		"string for a bool":    func(c *jsonscan.Cursor) { c.Bool() },
	} {
		c := jsonscan.New([]byte(`"text"`))
		walk(&c)
		require.ErrorIs(t, c.Err(), jsonscan.ErrSyntax, name)
		require.Equal(t, jsonscan.Invalid, c.Kind(), name)
		require.Nil(t, c.Raw(), name)
		_, ok := c.Member(0)
		require.False(t, ok, name)
		require.False(t, c.Element(0), name)
		require.ErrorIs(t, c.End(), jsonscan.ErrSyntax, name)
	}
}

func BenchmarkSkip(b *testing.B) {
	body := []byte(`{"model":"gpt-5-mini","messages":[{"role":"user","content":"` + strings.Repeat("hello there, how are you? ", 400) + `"}]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if valid(body) != nil {
			b.Fatal("invalid")
		}
	}
}
