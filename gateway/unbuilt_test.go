package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUnknownPathsSayWhatToUse(t *testing.T) {
	edge := newEdge(t, options{})
	for path, want := range map[string]string{
		"/v1/conversations":         "Trivet does not have /v1/conversations. Use POST /v1/responses",
		"/v1/threads/thread_1":      "/v1/threads. Use",
		"/v1/responsesx":            "/docs lists all paths",
		"/v1/chat/completions/id_1": "are not stored",
		"/v1/images/variations":     "Use POST /v1/images/edits.",
		"/v1/images":                "POST /v1/images/generations",
		"/v1/audio/voices":          "POST /v1/audio/speech",
		"/v1/files":                 "Files are not stored",
		"/v1/fine_tuning/jobs":      "MODELS_FILE",
		"/v1/v1/chat/completions":   "/v1 twice",
		"/chat/completions":         "Add /v1 to the base URL",
		"/embeddings":               "Add /v1 to the base URL",
		"/completions":              "Add /v1 to the base URL",
		"/moderations":              "Add /v1 to the base URL",
		"/images/generations":       "Add /v1 to the base URL",
		"/audio/speech":             "Add /v1 to the base URL",
		"/v1/videos/video_1":        "Trivet does not have /v1/videos. ",
		"/v1/containers":            "code_interpreter",
		"/v1/chatkit/sessions":      "POST /v1/responses",
		"/v1/skills":                "POST /v1/responses",
		"/v1/edits":                 "POST /v1/chat/completions",
		"/v1/engines/x/completions": "POST /v1/completions",
		"/v1/projects/p/chat":       "administration",
		"/v1/nothing":               "/docs lists all paths",
	} {
		resp := edge.do(t, http.MethodPost, path, "{}")
		require.Equal(t, http.StatusNotFound, resp.status, path)
		require.Contains(t, resp.body, want, path)
	}
}

// TestRefusalsReachClientsThatWriteTheirWholeBodyFirst behaves like Python's http.client.
func TestRefusalsReachClientsThatWriteTheirWholeBodyFirst(t *testing.T) {
	edge := newEdge(t, options{})
	body := bytes.Repeat([]byte(" "), 11<<20)
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"too large":          {"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer " + goodToken + "\r\n", http.StatusRequestEntityTooLarge},
		"no credential":      {"POST /v1/chat/completions HTTP/1.1\r\n", http.StatusRequestEntityTooLarge},
		"unknown path":       {"POST /v1/nothing HTTP/1.1\r\nAuthorization: Bearer " + goodToken + "\r\n", http.StatusNotFound},
		"method not allowed": {"PUT /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer " + goodToken + "\r\n", http.StatusMethodNotAllowed},
		"compressed":         {"POST /v1/chat/completions HTTP/1.1\r\nContent-Encoding: zstd\r\nAuthorization: Bearer " + goodToken + "\r\n", 0},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, chunked %v", name, chunked), func(t *testing.T) {
				status := c.status
				switch {
				case name == "compressed" && chunked:
					status = http.StatusUnsupportedMediaType
				case name == "compressed": // the announced size is checked first
					status = http.StatusRequestEntityTooLarge
				case name == "no credential" && chunked:
					status = http.StatusUnauthorized
				}
				conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(edge.url, "http://"))
				require.NoError(t, err)
				defer func() { _ = conn.Close() }()
				require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
				length, sent := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)), body
				if chunked {
					length = "Transfer-Encoding: chunked\r\n\r\n"
					sent = fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(body), body)
				}
				_, err = fmt.Fprintf(conn, "%sHost: x\r\n%s", c.request, length)
				require.NoError(t, err)
				_, err = conn.Write(sent)
				require.NoError(t, err, "the whole body is taken")
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				defer func() { _ = response.Body.Close() }()
				require.Equal(t, status, response.StatusCode)
			})
		}
	}
}
