// Package audio bounds the length of sound without decoding it.
package audio

import (
	"encoding/binary"
	"math"
)

// usual is the bytes of a second of compressed speech at 32 kbit/s, by which a length is estimated.
const usual = 4000

// Length is what a file tells of how long it sounds, in milliseconds.
type Length struct {
	// Most is an upper bound, and Likely an estimate; they are the same, or nearly so, when the length is known.
	Most, Likely int64
}

// Measure returns the length of a file, at most maxSeconds. It does not trust lengths that a header claims: a WAV file
// sounds as long as its bytes do at its rate, and an MP3 file as long as its frames do. Nothing bounds other formats: hours
// of silence in FLAC, Ogg, MP4 or WebM take a few bytes.
func Measure(file []byte, maxSeconds int64) Length {
	most := maxSeconds * 1000
	if millis, ok := wav(file); ok {
		return Length{min(millis, most), min(millis, most)}
	}
	if length, ok := mp3(file); ok {
		return Length{min(length.Most, most), min(length.Likely, most)}
	}
	return Length{most, min(int64(len(file))*1000/usual+1000, most)}
}

// wav measures uncompressed sound.
func wav(file []byte) (millis int64, ok bool) {
	const head, chunk, format = 12, 8, 16
	if len(file) < head || string(file[:4]) != "RIFF" || string(file[8:head]) != "WAVE" {
		return 0, false
	}
	for at := head; at+chunk <= len(file); {
		size := int(binary.LittleEndian.Uint32(file[at+4:]))
		body := file[at+chunk:]
		if string(file[at:at+4]) == "fmt " && size >= format && len(body) >= format {
			kind, channels := binary.LittleEndian.Uint16(body), int64(binary.LittleEndian.Uint16(body[2:]))
			rate, bits := int64(binary.LittleEndian.Uint32(body[4:])), int64(binary.LittleEndian.Uint16(body[14:]))
			perSecond := rate * channels * bits / 8
			if pcm := kind == 1 || kind == 3; !pcm || perSecond <= 0 {
				return 0, false
			}
			return ceil(int64(len(file))*1000, perSecond), true
		}
		if size > len(body) {
			return 0, false
		}
		at += chunk + size + size&1
	}
	return 0, false
}

// mp3 adds up frames. A file that begins with something else is not MP3, because a decoder may take it for another format.
// Later bytes outside the frames, such as tags, likely take no time; at most they sound as long as at the lowest bit rate, 8
// kbit/s, which is a byte in each millisecond. A file that is mostly something else is not MP3.
func mp3(file []byte) (length Length, ok bool) {
	const header = 4
	at := 0
	if len(file) > 10 && string(file[:3]) == "ID3" {
		at = 10 + int(file[6]&0x7f)<<21 + int(file[7]&0x7f)<<14 + int(file[8]&0x7f)<<7 + int(file[9]&0x7f)
	}
	start := at
	var micros, sound int64
	frames := 0
	for at+header <= len(file) {
		size, time, isFrame := frame(binary.BigEndian.Uint32(file[at:]))
		if !isFrame && frames == 0 {
			return Length{}, false
		}
		if !isFrame {
			at++
			continue
		}
		micros, sound, frames = micros+time, sound+int64(size), frames+1
		at += size
	}
	if frames < 2 || sound < int64(len(file))/2 || micros > math.MaxInt64/2 {
		return Length{}, false
	}
	likely := ceil(micros, 1000)
	return Length{Most: likely + max(0, int64(len(file)-start)-sound), Likely: likely}, true
}

// Bit rates in kbit/s of layer III, for MPEG 1 and for MPEG 2 and 2.5.
var (
	rates1 = [...]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}
	rates2 = [...]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}
)

// frame reads the header of a frame of layer III: its size in bytes and its length in microseconds.
func frame(h uint32) (size int, micros int64, ok bool) {
	const sync, layer3 = 0x7ff, 1
	version, rate, sampling := h>>19&3, h>>12&0xf, h>>10&3
	if h>>21 != sync || h>>17&3 != layer3 || version == 1 || rate == 0 || rate == 15 || sampling == 3 {
		return 0, 0, false
	}
	hertz := [...]int{44100, 48000, 32000}[sampling]
	samples, kilobits := 1152, rates1[rate]
	if version != 3 {
		samples, kilobits, hertz = 576, rates2[rate], hertz/2
	}
	if version == 0 {
		hertz /= 2
	}
	size = samples/8*kilobits*1000/hertz + int(h>>9&1)
	return size, ceil(int64(samples)*1_000_000, int64(hertz)), true
}

func ceil(a, b int64) int64 { return (a + b - 1) / b }
