package sse

import "bytes"

// take notes a line of the event that is coming in: its data, nothing else.
func (s *Scanner) take(line []byte) {
	if !s.begun { // a byte order mark may stand before the first line
		line, s.begun = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")), true
	}
	value, ok := dataOf(line)
	switch {
	case !ok:
	case s.data == nil:
		s.data = value[:len(value):len(value)]
	default: // rare: only a second data line is worth a copy
		s.data, s.owned = append(append(s.data, '\n'), value...), true
	}
}

// dataOf returns the value of a data line, less the one space that may follow the colon.
func dataOf(line []byte) ([]byte, bool) {
	rest, ok := bytes.CutPrefix(line, []byte("data"))
	if !ok {
		return nil, false
	}
	if len(rest) == 0 {
		return rest, true
	}
	if rest[0] != ':' {
		return nil, false
	}
	return bytes.TrimPrefix(rest[1:], []byte(" ")), true
}
