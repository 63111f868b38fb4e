package gateway_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// A client has the write timeout for what is sent to it. How long the service takes for the next part, and for the end, does not count.
func TestAnswersMayPauseForLongerThanTheWriteTimeout(t *testing.T) {
	const timeout, pause = time.Second, 2500 * time.Millisecond
	wholeHead := &aiv1.RelayHead{Status: 200, Headers: map[string]string{"content-type": "application/json"}}
	wait := func(ctx context.Context) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	for _, way := range []string{"", "plain"} {
		for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
			for name, head := range map[string]*aiv1.RelayHead{"whole": wholeHead, "stream": streamHead} {
				t.Run(strings.Join([]string{name, version, way}, " "), func(t *testing.T) {
					t.Parallel()
					change, pool := certified(t, "edge")
					s := serve(t, way, func(c *gateway.Config) {
						change(c)
						c.WriteTimeout, c.KeepAlive = timeout, 0
					})
					s.ai.relay = func(_ *aiv1.RelayRequest, out relayStream) error {
						err := out.Send(&aiv1.RelayResponse{Head: head, Body: []byte("data: 1\n\n")})
						wait(out.Context())
						if err == nil {
							err = out.Send(&aiv1.RelayResponse{Body: []byte("data: [DONE]\n\n")})
						}
						wait(out.Context())
						return err
					}
					client := &http.Client{Transport: &http.Transport{
						TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: version == "HTTP/2.0",
					}}
					defer client.CloseIdleConnections()
					request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https"+strings.TrimPrefix(s.url, "http")+chatPath, strings.NewReader(wantsStream))
					require.NoError(t, err)
					request.Header.Set("Authorization", "Bearer "+goodToken)
					response, err := client.Do(request)
					require.NoError(t, err)
					require.Equal(t, version, response.Proto)
					body, err := io.ReadAll(response.Body)
					require.NoError(t, err)
					require.NoError(t, response.Body.Close())
					require.Equal(t, "data: 1\n\ndata: [DONE]\n\n", string(body))
					client.CloseIdleConnections()
					s.stop()
					require.NoError(t, <-s.done)
				})
			}
		}
	}
}
