package provider

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// What Go says about an answer that is not HTTP repeats the answer. The error that callers and the log get does not.
func TestAnswersStayOutOfErrors(t *testing.T) {
	for name, answer := range map[string]string{
		"a line": "canary\r\n\r\n", "a status": "HTTP/1.1 canary OK\r\n\r\n", "a version": "canary/1 200 OK\r\n\r\n",
		"a header": "HTTP/1.1 200 OK\r\ncanary\r\n\r\n",
		"a length": "HTTP/1.1 200 OK\r\nContent-Length: canary\r\n\r\n", "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: canary\r\n\r\n",
		"an encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: canary\r\n\r\n",
	} {
		response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
		if err == nil {
			_ = response.Body.Close()
		}
		require.Error(t, err, name)
		safe := withoutAnswer(err)
		require.NotContains(t, safe.Error(), "canary", name)
		require.ErrorIs(t, safe, err, name)
	}
	for _, err := range []error{
		io.ErrUnexpectedEOF, context.DeadlineExceeded, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED},
		&net.OpError{Op: "dial", Net: "tcp", Err: errors.New(`lookup "x"`)}, &tls.CertificateVerificationError{Err: errors.New(`"x"`)},
	} {
		require.Equal(t, err, withoutAnswer(err))
	}
}

func TestLogCode(t *testing.T) {
	for code, want := range map[string]string{
		"": "", "rate_limit_exceeded": "rate_limit_exceeded", "1234": "1234", "a.b:c-d": "a.b:c-d", strings.Repeat("a", 64): strings.Repeat("a", 64),
		strings.Repeat("a", 65): "other", "canary prompt": "other", "rate_limit\n": "other", `{"a"}`: "other", "é": "other",
	} {
		require.Equal(t, want, LogCode(code))
	}
}
