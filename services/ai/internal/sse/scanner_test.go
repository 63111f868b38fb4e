package sse_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/sse"
)

type event struct{ raw, data string }

func read(t *testing.T, src io.Reader) ([]event, error) {
	t.Helper()
	var pool sse.Pool
	s := pool.Scanner(src)
	defer s.Close()
	var events []event
	for {
		err := s.Fill()
		last := -1
		for ev, ok := s.Next(); ok; ev, ok = s.Next() {
			require.True(t, last < 0 || ev.Start == last, "events of one read follow one another")
			last = ev.End
			events = append(events, event{string(s.Slice(ev.Start, ev.End)), string(ev.Data)})
		}
		if err == nil {
			continue
		}
		if ev, ok := s.Rest(); ok {
			events = append(events, event{string(s.Slice(ev.Start, ev.End)), string(ev.Data)})
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return events, err
	}
}

func TestEvents(t *testing.T) {
	cases := map[string]struct {
		in   string
		want []event
	}{
		"nothing":               {"", nil},
		"plain":                 {"data: a\n\ndata: b\n\n", []event{{"data: a\n\n", "a"}, {"data: b\n\n", "b"}}},
		"carriage returns":      {"data: a\r\n\r\ndata: b\r\n\n", []event{{"data: a\r\n\r\n", "a"}, {"data: b\r\n\n", "b"}}},
		"no space":              {"data:a\n\n", []event{{"data:a\n\n", "a"}}},
		"only one space is cut": {"data:  a\n\n", []event{{"data:  a\n\n", " a"}}},
		"bare data":             {"data\n\n", []event{{"data\n\n", ""}}},
		"other fields": {
			"event: x\nid: 7\nretry: 10\ndata: a\ndatax: b\n\n",
			[]event{{"event: x\nid: 7\nretry: 10\ndata: a\ndatax: b\n\n", "a"}},
		},
		"comments":           {": ping\n\n: one\ndata: a\n\n", []event{{": ping\n\n", ""}, {": one\ndata: a\n\n", "a"}}},
		"many lines":         {"data: a\ndata: b\ndata\n\n", []event{{"data: a\ndata: b\ndata\n\n", "a\nb\n"}}},
		"blank lines":        {"\n\ndata: a\n\n\n", []event{{"\n", ""}, {"\n", ""}, {"data: a\n\n", "a"}, {"\n", ""}}},
		"no last blank line": {"data: a\n", []event{{"data: a\n", "a"}}},
		"no last newline":    {"data: [DONE]", []event{{"data: [DONE]", "[DONE]"}}},
		"returns alone":      {"data: a\r\rdata: b\rdata: c\r\r", []event{{"data: a\r\r", "a"}, {"data: b\rdata: c\r\r", "b\nc"}}},
		"return in a line":   {"data: a\rb\n\n", []event{{"data: a\rb\n\n", "a"}}},
		"byte order mark":    {"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", []event{{"\xef\xbb\xbfdata: a\n\n", "a"}, {"\xef\xbb\xbfdata: b\n\n", ""}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for how, src := range map[string]io.Reader{
				"at once": strings.NewReader(c.in), "by bytes": iotest.OneByteReader(strings.NewReader(c.in)),
				"by halves": iotest.HalfReader(strings.NewReader(c.in)), "end with data": iotest.DataErrReader(strings.NewReader(c.in)),
			} {
				got, err := read(t, src)
				require.NoError(t, err, how)
				require.Equal(t, trimmed(c.want), trimmed(got), how)
				if how == "at once" {
					require.Equal(t, c.want, got)
				}
			}
		})
	}
}

// trimmed leaves out the line ends around events: between reads that cut a line end in two, its newline belongs to the
// next event.
func trimmed(events []event) (out []event) {
	for _, ev := range events {
		if raw := strings.Trim(ev.raw, "\r\n"); raw != "" {
			out = append(out, event{raw, ev.data})
		}
	}
	return out
}

func TestLargeEventsAreBounded(t *testing.T) {
	large := "data: " + strings.Repeat("x", 1<<20) + "\n\n"
	got, err := read(t, strings.NewReader(large+large))
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, large, got[1].raw)

	// Bounded, so that a scanner without a bound fails here instead of taking all memory.
	_, err = read(t, io.MultiReader(strings.NewReader("data: "), io.LimitReader(endless{}, 4*sse.MaxEvent)))
	require.ErrorIs(t, err, sse.ErrEventTooLarge)
}

// TestDataOutlivesAMoveOfTheBuffer lets an event come in several reads behind another one: the buffer moves meanwhile.
func TestDataOutlivesAMoveOfTheBuffer(t *testing.T) {
	for name, reads := range map[string][]string{
		"blank line apart":   {"data: aaaaaaaa\n\ndata: bbbbbbbb\n", "\ndata: cccccccc\n\n"},
		"second line apart":  {"data: aaaaaaaa\n\ndata: bbbb\n", "data: bbbb\n", "\ndata: cccccccc\n\n"},
		"comment in between": {"data: aaaaaaaa\n\ndata: bbbbbbbb\n", ": ping ping ping\n", "\ndata: cccccccc\n\n"},
		"long lines apart":   {"data: aaaaaaaa\n\ndata: " + strings.Repeat("b", 20<<10) + "\n", ": " + strings.Repeat("x", 40<<10), "\n\ndata: cccccccc\n\n"},
	} {
		var sources []io.Reader
		for _, part := range reads {
			sources = append(sources, strings.NewReader(part))
		}
		got, err := read(t, io.MultiReader(sources...))
		require.NoError(t, err, name)
		want, err := read(t, strings.NewReader(strings.Join(reads, "")))
		require.NoError(t, err, name)
		require.Len(t, got, 3, name)
		require.Equal(t, want, got, name)
		require.Contains(t, got[1].data, "bbbb", name)
		require.NotContains(t, got[1].data, "c", name)
	}
}

func TestErrorOfTheSourceComesAfterItsEvents(t *testing.T) {
	got, err := read(t, iotest.DataErrReader(io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(io.ErrUnexpectedEOF))))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, event{"data: a\n\n", "a"}, got[0])
}

func TestClosedTwice(t *testing.T) {
	var pool sse.Pool
	s := pool.Scanner(strings.NewReader(""))
	s.Close()
	require.NotPanics(t, s.Close)
	require.NotSame(t, s, pool.Scanner(strings.NewReader("")))
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte("x"), len(p))), nil }

// FuzzScanner checks the two things that matter: no byte is lost or changed, and however the reads cut the stream, the
// events are the same.
func FuzzScanner(f *testing.F) {
	f.Add([]byte("data: a\ndata: b\n\n: ping\n\ndata: [DONE]\n\n"), byte(3))
	f.Add([]byte("data: a\r\n\r\n\r\ndata"), byte(1))
	f.Fuzz(func(t *testing.T, data []byte, size byte) {
		whole, err := read(t, bytes.NewReader(data))
		require.NoError(t, err)
		cut, err := read(t, &chunks{data: data, size: int(size)%16 + 1})
		require.NoError(t, err)
		require.Equal(t, trimmed(whole), trimmed(cut))
		for _, events := range [][]event{whole, cut} {
			var joined strings.Builder
			for _, ev := range events {
				joined.WriteString(ev.raw)
			}
			require.Equal(t, string(data), joined.String())
		}
	})
}

type chunks struct {
	data []byte
	size int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.data[:min(c.size, len(c.data))])
	c.data = c.data[n:]
	return n, nil
}

func BenchmarkScanner(b *testing.B) {
	delta := `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}` + "\n\n"
	stream := strings.Repeat(delta, 100)
	var pool sse.Pool
	b.ReportAllocs()
	for b.Loop() {
		s := pool.Scanner(strings.NewReader(stream))
		for s.Fill() == nil {
			for _, ok := s.Next(); ok; _, ok = s.Next() {
			}
		}
		s.Close()
	}
}
