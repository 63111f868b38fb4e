package wire

import (
	"bytes"
	"encoding/base64"

	"github.com/trivet-dev/trivet/services/ai/internal/audio"
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

const (
	// audioBytes is the fewest bytes of base64 that make a token: ten tokens a second at 8 kbit/s would be 136.
	audioBytes = 64
	// audioTokens bounds the tokens of a second of sound, however few bytes it has: Gemini hears 32, OpenAI's models ten.
	audioTokens = 32
	// endless is the length, in seconds, of sound whose length nothing bounds. It is above every context and keeps every sum of a
	// request far from overflow.
	endless = 1 << 31
)

// soundBound bounds the tokens of a value that carries sound: base64, or a data URL with it. Sound of an unknown format, or in
// another encoding, may be longer than any context.
func soundBound(raw []byte) int64 {
	most := int64(endless) * 1000
	if file, ok := decodeSound(raw); ok {
		most = audio.Measure(file, endless).Most
	}
	return max((int64(len(raw))+audioBytes-1)/audioBytes, (most+999)/1000*audioTokens)
}

func decodeSound(raw []byte) (file []byte, ok bool) {
	c := jsonscan.New(raw)
	data := text(&c)
	if bytes.HasPrefix(data, []byte("data:")) {
		_, data, _ = bytes.Cut(data, []byte(","))
	}
	data = bytes.TrimRight(data, "=")
	file = make([]byte, base64.RawStdEncoding.DecodedLen(len(data)))
	n, err := base64.RawStdEncoding.Decode(file, data)
	return file[:n], err == nil
}
