package upstream

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// maxRefusal bounds the body of an error, in bytes.
const maxRefusal = 1 << 20

// readRefusal reads the answer of a status of 400 or above. A body that breaks off is read as far as it came: the status
// and Retry-After are worth more than the rest of the text.
func (c *client) readRefusal(response *http.Response, read io.Reader) *invoke.Refusal {
	body, _ := io.ReadAll(io.LimitReader(read, maxRefusal))
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if isPage(kind, body) {
		return pageRefusal(response.StatusCode)
	}
	f := wire.ReadFailure(body)
	if f.Message == "" && !json.Valid(body) {
		f.Message = plainText(kind, body)
	}
	r := invoke.NewRefusal(response.StatusCode, f, c.redactor.String)
	if isOpenAIs(body) {
		r.Body = c.redactor.Body(body)
	}
	return r
}

// isOpenAIs reports whether a body has OpenAI's envelope already.
func isOpenAIs(body []byte) bool {
	var envelope struct {
		Error *struct {
			Message *string `json:"message"`
		} `json:"error"`
	}
	return json.Unmarshal(body, &envelope) == nil && envelope.Error != nil && envelope.Error.Message != nil && *envelope.Error.Message != ""
}

// isPage reports whether a body is a web page, such as a firewall's.
func isPage(kind string, body []byte) bool {
	start := bytes.TrimSpace(body)
	return bytes.HasPrefix(start, []byte("<")) || strings.Contains(kind, "html") && !bytes.HasPrefix(start, []byte("{"))
}

// pageRefusal is the refusal for a web page. It comes from something in front of the provider, so the caller, who asked
// for no page, gets a 502 instead of a status of the 400s, but for those that say when to try again.
func pageRefusal(status int) *invoke.Refusal {
	f := wire.Failure{Message: fmt.Sprintf("The provider answered %s with a web page. A proxy or firewall in front of it may have refused the request.", named(status))}
	own := status
	if status < http.StatusInternalServerError && status != http.StatusTooManyRequests && status != http.StatusUnauthorized {
		own = http.StatusBadGateway
	}
	return invoke.NewRefusal(own, f, func(text string) string { return text })
}

// plainText returns the beginning of a body that is a text for people; "" for anything else.
func plainText(kind string, body []byte) string {
	if kind != "" && !strings.HasPrefix(kind, "text/") && !strings.Contains(kind, "json") {
		return ""
	}
	text := strings.TrimSpace(string(body))
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' }) {
		return ""
	}
	return text
}

func named(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, cmp.Or(http.StatusText(status), "")))
}
