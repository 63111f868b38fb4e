package invoke

import (
	"bytes"
	"io"

	"github.com/trivet-dev/trivet/services/ai/internal/sse"
)

// opening is what the first byte of a good answer says about its form. The Content-Type is not asked: servers send
// streams as text/plain, completions as text/html, and either without a type.
type opening uint8

const (
	openNothing opening = iota // only white space so far
	openJSON
	openEvents
	openOther
)

// byteOrderMark may stand before a text in UTF-8.
var byteOrderMark = []byte("\xef\xbb\xbf")

// openingOf looks at the beginning of a body.
func openingOf(body []byte) opening {
	start := bytes.TrimLeft(bytes.TrimPrefix(body, byteOrderMark), " \t\r\n")
	switch {
	case len(start) == 0, len(body) < len(byteOrderMark) && bytes.HasPrefix(byteOrderMark, body):
		return openNothing
	case start[0] == '{':
		return openJSON
	case start[0] == ':':
		return openEvents
	}
	for _, field := range [...]string{"data", "event", "id", "retry"} {
		if n := min(len(start), len(field)); string(start[:n]) == field[:n] {
			return openEvents
		}
	}
	return openOther
}

// isField reports whether a body may begin with a field of an event that nobody knows, which readers of events ignore.
func isField(body []byte) bool {
	start := bytes.TrimLeft(bytes.TrimPrefix(body, byteOrderMark), " \t\r\n")
	return len(start) > 0 && (start[0]|0x20 >= 'a' && start[0]|0x20 <= 'z')
}

// readOpening reads from a stream of events until its form is known.
func readOpening(s *sse.Scanner) (opening, error) {
	for {
		err := s.Fill()
		if o := openingOf(s.Unread()); o != openNothing || err != nil {
			return o, err
		}
	}
}

// resume returns a reader of what the scanner has read and of what follows.
func resume(s *sse.Scanner, body io.Reader, err error) io.Reader {
	read := bytes.Clone(s.Unread())
	if err != nil {
		return io.MultiReader(bytes.NewReader(read), failing{err})
	}
	return io.MultiReader(bytes.NewReader(read), body)
}

// failing is a reader whose error has come already.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
