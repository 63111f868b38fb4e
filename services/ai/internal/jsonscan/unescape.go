package jsonscan

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Unescape appends to dst the text that raw, the inside of a valid JSON string, stands for. A lone surrogate becomes
// U+FFFD, as in encoding/json.
func Unescape(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 || i+1 >= len(raw) {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		raw = raw[i:]
		if raw[1] == 'u' {
			r, n := unescapeRune(raw)
			dst, raw = utf8.AppendRune(dst, r), raw[n:]
			continue
		}
		dst, raw = append(dst, unescapeByte(raw[1])), raw[2:]
	}
}

func unescapeByte(b byte) byte {
	switch b {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default: // '"', '\\' and '/' stand for themselves
		return b
	}
}

// unescapeRune reads the \uXXXX that raw starts with, and its second half when it is the first of a surrogate pair.
func unescapeRune(raw []byte) (r rune, length int) {
	r, ok := hex4(raw[2:])
	if !ok {
		return utf8.RuneError, min(len(raw), 6)
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		if low, ok := hex4(raw[8:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
	}
	return utf8.RuneError, 6
}

func hex4(data []byte) (rune, bool) {
	if len(data) < 4 {
		return 0, false
	}
	var r rune
	for _, b := range data[:4] {
		switch {
		case b >= '0' && b <= '9':
			r = r<<4 | rune(b-'0')
		case b >= 'a' && b <= 'f':
			r = r<<4 | rune(b-'a'+10)
		case b >= 'A' && b <= 'F':
			r = r<<4 | rune(b-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
