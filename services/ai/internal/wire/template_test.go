package wire_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

const (
	openAIChunk = `{"id":"c1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}],"usage":null,"obfuscation":"AbC"}`
	paddedFirst = `{"obfuscation":"AbC","choices":[{"delta":{"content":"Hello"},"index":2}],"id":"c1"}`
	toolChunk   = `{"id":"c1","choices":[{"index":1,"delta":{"tool_calls":[{"index":3,"function":{"arguments":"Hello"}}]}}]}`
)

// said is everything that a chunk says, apart from where it lies.
type said struct {
	OK       bool
	Chunk    wire.Chunk
	ID       string
	Error    string
	Pieces   []wire.Piece
	HasError bool
}

func read(k *wire.Chunk, data []byte) said {
	ok := k.Read(data)
	s := said{OK: ok}
	if !ok {
		return s
	}
	s.ID, s.Error, s.HasError = string(k.ID), string(k.Error), k.Error != nil
	for _, p := range k.Pieces {
		p.Raw = bytes.Clone(p.Raw)
		s.Pieces = append(s.Pieces, p)
	}
	s.Chunk = wire.Chunk{Choices: k.Choices, Finished: k.Finished, Reported: k.Reported, HasUsage: k.HasUsage, Reasoned: k.Reasoned, Opaque: k.Opaque}
	return s
}

// sameAsAlone reads chunks one after another and each alone: what came before must make no difference.
func sameAsAlone(t *testing.T, chunks ...[]byte) {
	t.Helper()
	var k wire.Chunk
	for i, data := range chunks {
		var alone wire.Chunk
		require.Equal(t, read(&alone, bytes.Clone(data)), read(&k, bytes.Clone(data)), "chunk %d of %q", i, chunks)
	}
}

func TestChunksThatAreAlikeAreReadAlike(t *testing.T) {
	swap := func(chunk, old, new string) []byte { return bytes.Replace([]byte(chunk), []byte(old), []byte(new), 1) }
	for _, chunk := range []string{
		openAIChunk, paddedFirst, toolChunk,
		`{"choices":[{"delta":{"content":"Hello","refusal":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}`,
		`{"choices":[{"delta":{"reasoning":"Hello"}}]}`,
		`{"choices":[{"delta":{"reasoning":"Hello","reasoning_content":"Hell"}}]}`,
		`{"choices":[{"delta":{"function_call":{"arguments":{"Hello":1}}}}]}`,
		`{"choices":[{"text":"Hello"}],"obfuscation":7}`, `{"obfuscation":"AbC","obfuscation":"x","choices":[{"text":"Hello"}]}`,
		`{"choices":[{"text":"Hello"}],"obfuscation":"a\n"}`, `{"error":{"message":"m"},"choices":[{"text":"Hello"}]}`, ` {"choices":[{"text":"Hello"}]} `,
	} {
		var all [][]byte
		for _, text := range []string{
			"Hello", " w", "", "é", "a\\n", `\`, `"`, `\"`, "\n", "\x00", `x","refusal":"y`, `x"},"index":9,"delta":{"content":"z`, `","obfuscation":"`, "世界", "\xff",
			`x"}]}`, "error", `x"}],"error":{"message":"m"},"y":[{"a":"`,
		} {
			all = append(all, []byte(chunk), swap(chunk, "Hello", text), swap(chunk, "AbC", text), swap(string(swap(chunk, "AbC", "x")), "Hello", text))
		}
		all = append(all, []byte(chunk[:len(chunk)-1]), []byte(chunk+"x"), []byte(chunk+" "), nil, []byte("x"), []byte(chunk))
		sameAsAlone(t, all...)
	}
}

// FuzzChunksInARow changes chunks at random places and reads them in a row.
func FuzzChunksInARow(f *testing.F) {
	for _, chunk := range []string{openAIChunk, paddedFirst, toolChunk} {
		f.Add([]byte(chunk), []byte(" word"), uint64(1))
		f.Add([]byte(chunk), []byte(`a\u00e9","x":"`), uint64(2))
	}
	f.Fuzz(func(t *testing.T, chunk, text []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		all := [][]byte{chunk}
		for range 8 {
			from := random.IntN(len(chunk) + 1)
			to := from + random.IntN(len(chunk)-from+1)
			all = append(all, slices.Concat(chunk[:from], text, chunk[to:]), chunk)
		}
		if at := bytes.Index(chunk, []byte("Hello")); at >= 0 {
			all = append(all, slices.Concat(chunk[:at], text, chunk[at+5:]), chunk, text)
		}
		sameAsAlone(t, all...)
	})
}

// The bytes of a chunk may be overwritten once the next one is read, the id's included.
func TestAChunkKeepsNothingOfEarlierData(t *testing.T) {
	var k wire.Chunk
	first := []byte(openAIChunk)
	require.True(t, k.Read(first))
	copy(first, bytes.Repeat([]byte("!"), len(first)))
	second := bytes.Replace([]byte(openAIChunk), []byte("Hello"), []byte(" you"), 1)
	require.True(t, json.Valid(second))
	require.True(t, k.Read(second))
	require.Equal(t, "c1", string(k.ID))
	require.Equal(t, " you", string(k.Pieces[0].Raw))
}

func TestAllocationsOfAStreamOfChunks(t *testing.T) {
	var k wire.Chunk
	chunks := [][]byte{[]byte(openAIChunk), bytes.Replace([]byte(openAIChunk), []byte("Hello"), []byte(" you"), 1)}
	k.Read(chunks[0])
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for _, c := range chunks {
			k.Read(c)
		}
	}))
}
