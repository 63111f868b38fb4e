package upstream

import (
	"bufio"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
)

// reply is an answer together with what decides about the next attempt.
type reply struct {
	invoke.Answer
	header  http.Header     // as it came
	refusal *invoke.Refusal // of a status of 400 or above; the body is read then
}

// answer translates a response; of an error it reads the body.
func (c *client) answer(response *http.Response) *reply {
	a := &reply{header: response.Header, Answer: invoke.Answer{
		Status: response.StatusCode, Headers: c.returned(response.Header), RequestID: requestID(response.Header),
		Streamed: Streamed(response), Length: response.ContentLength, Body: body{response.Body},
	}}
	if encoding := strings.ToLower(strings.TrimSpace(response.Header.Get("Content-Encoding"))); encoding != "" && encoding != "identity" {
		a.Body, a.Length = &decoded{body: a.Body, encoding: encoding}, -1
	}
	if a.Status < http.StatusBadRequest {
		return a
	}
	defer func() { _ = response.Body.Close() }()
	a.refusal = c.readRefusal(response, a.Body)
	a.Body = nil
	return a
}

// requestID is the provider's id of a call. Azure has a name of its own for it.
func requestID(h http.Header) string {
	return cmp.Or(h.Get("X-Request-Id"), h.Get("Apim-Request-Id"))
}

// Streamed reports whether the Content-Type is that of server-sent events, whatever follows it. What the body is shows
// with its first byte.
func Streamed(response *http.Response) bool {
	kind := response.Header.Get("Content-Type")
	if i := strings.IndexAny(kind, ";,"); i >= 0 {
		kind = kind[:i]
	}
	return strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// body is an answer's body whose errors are *errs.Error.
type body struct{ io.ReadCloser }

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = Failure(err)
	}
	return n, err
}

// decoded is a body that the provider compressed, although it was asked not to. The decoder begins with the first read,
// so that an answer that never comes is noticed where all of them are.
type decoded struct {
	body     io.ReadCloser
	encoding string
	reader   io.Reader
}

// errEncoding is returned for an answer in an encoding that was not asked for and that Trivet does not have.
var errEncoding = errors.New("the answer is compressed with an unknown encoding")

func (d *decoded) Read(p []byte) (int, error) {
	if d.reader == nil {
		reader, err := decoder(d.body, d.encoding)
		if err != nil {
			return 0, err
		}
		d.reader = reader
	}
	n, err := d.reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = Failure(err)
	}
	return n, err
}

func (d *decoded) Close() error { return d.body.Close() }

func decoder(from io.Reader, encoding string) (io.Reader, error) {
	switch encoding {
	case "gzip", "x-gzip":
		reader, err := gzip.NewReader(from)
		if err != nil {
			return nil, Failure(err)
		}
		return reader, nil
	case "deflate": // zlib by the standard, bare by the habit of some servers
		buffered := bufio.NewReader(from)
		start, err := buffered.Peek(2)
		if err == nil && start[0]&0x0f == 8 && (int(start[0])<<8+int(start[1]))%31 == 0 {
			reader, err := zlib.NewReader(buffered)
			if err != nil {
				return nil, Failure(err)
			}
			return reader, nil
		}
		return flate.NewReader(buffered), nil
	default:
		return nil, Failure(errEncoding)
	}
}
