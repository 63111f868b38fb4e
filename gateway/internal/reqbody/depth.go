package reqbody

import (
	"bytes"
	"net/http"
)

// MaxDepth is how deep a JSON body may nest. Parsers that recurse take memory for each level.
const MaxDepth = 128

// JSON is Read for JSON: it also returns MALFORMED_BODY for a body that nests too deep. It may be empty.
func (b Reader) JSON(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := b.Read(w, r)
	if err == nil && tooDeep(body) {
		return body, malformed("The request body nests deeper than %d levels. Send JSON with at most %d levels of objects and arrays.", MaxDepth, MaxDepth).
			Field("body", "nests too deep")
	}
	return body, err
}

// tooDeep reports whether the objects and arrays of a body nest too deep. What is not JSON is judged by its brackets alone; it is refused
// later.
func tooDeep(body []byte) bool {
	if bytes.Count(body, []byte{'{'})+bytes.Count(body, []byte{'['}) <= MaxDepth {
		return false
	}
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			i = endOfString(body, i+1)
		case '{', '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case '}', ']':
			depth = max(depth-1, 0)
		}
	}
	return false
}

// endOfString returns where the string ends whose text begins at i.
func endOfString(body []byte, i int) int {
	for {
		n := bytes.IndexByte(body[i:], '"')
		if n < 0 {
			return len(body)
		}
		end, escapes := i+n, 0
		for end-escapes > i && body[end-escapes-1] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return end
		}
		i = end + 1
	}
}
