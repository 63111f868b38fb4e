package audio_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/openai"
	"github.com/trivet-dev/trivet/services/ai/internal/audio"
)

// frames are MP3 frames of 128 kbit/s at 44.1 kHz, each 417 bytes and 26.123 ms long.
func frames(n int) string {
	return strings.Repeat("\xff\xfb\x90\x64"+strings.Repeat("\x00", 413), n)
}

// id3 is a tag of that many bytes after its head.
func id3(size int) string {
	return "ID3\x04\x00\x00" + string([]byte{0, 0, byte(size >> 7), byte(size & 0x7f)}) + strings.Repeat("x", size)
}

func TestMeasure(t *testing.T) {
	const most = 600
	unknown := func(file string) audio.Length {
		return audio.Length{Most: most * 1000, Likely: int64(len(file))*1000/4000 + 1000}
	}
	extensible := openai.WAV(1000)
	binary.LittleEndian.PutUint16(extensible[20:], 0xfffe)
	polyglot, tagged, second := "fLaC"+frames(40), id3(300)+"fLaC"+frames(40), frames(1)+strings.Repeat("x", 500)
	for name, c := range map[string]struct {
		file string
		want audio.Length
	}{
		"WAV":                          {string(openai.WAV(2500)), audio.Length{Most: 2502, Likely: 2502}},
		"WAV that is too long":         {string(openai.WAV(most*1000 + 5000)), audio.Length{Most: most * 1000, Likely: most * 1000}},
		"WAV of an unknown coding":     {string(extensible), unknown(string(extensible))},
		"MP3":                          {frames(100), audio.Length{Most: 2613, Likely: 2613}},
		"MP3 behind a tag":             {id3(300) + frames(100), audio.Length{Most: 2613, Likely: 2613}},
		"MP3 before a tag":             {frames(100) + "TAG" + strings.Repeat("x", 125), audio.Length{Most: 2613 + 128, Likely: 2613}},
		"MP3 with bytes in between":    {frames(50) + strings.Repeat("x", 5000) + frames(50), audio.Length{Most: 2613 + 5000, Likely: 2613}},
		"frames behind another format": {polyglot, unknown(polyglot)},
		"a tag before another format":  {tagged, unknown(tagged)},
		"one frame":                    {second, unknown(second)},
		"FLAC":                         {"fLaC\x00", audio.Length{Most: most * 1000, Likely: 1001}},
		"nothing known":                {string(bytes.Repeat([]byte{7}, 8000)), audio.Length{Most: most * 1000, Likely: 3000}},
		"a tag of nothing":             {id3(0), audio.Length{Most: most * 1000, Likely: 1002}},
		"a tag beyond the file":        {id3(300)[:100], audio.Length{Most: most * 1000, Likely: 1025}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, audio.Measure([]byte(c.file), most)) })
	}
	require.Equal(t, audio.Length{Most: 1000, Likely: 1000}, audio.Measure(make([]byte, 1<<20), 1), "an estimate is within the bound")
}
