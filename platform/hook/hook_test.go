package hook_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/hook"
)

var (
	first  = "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("a", 24)))
	second = "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("b", 64)))
	moment = time.Unix(1_700_000_000, 999).UTC()
)

// The vector is that of the specification.
func TestSignatures(t *testing.T) {
	h := http.Header{}
	require.NoError(t, hook.Sign(h, []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)))
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", h.Get("webhook-signature"))
	require.Equal(t, "msg_p5jXN8AQM9LWM0D4loKWxJek", h.Get("webhook-id"))
	require.Equal(t, "1614265330", h.Get("webhook-timestamp"))

	h = http.Header{}
	require.NoError(t, hook.Sign(h, []string{first, second}, "ntc_1", moment, []byte("body")))
	signatures := h.Get(hook.HeaderSignature)
	for i, secret := range []string{first, second} {
		require.NoError(t, hook.Sign(h, []string{secret}, "ntc_1", moment, []byte("body")))
		require.Equal(t, strings.Split(signatures, " ")[i], h.Get(hook.HeaderSignature))
	}
}

func TestSecretsThatCannotSign(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	for name, secret := range map[string]string{
		"empty": "", "no prefix": encode(make([]byte, 32)), "not base64": "whsec_%%%%", "short": "whsec_" + encode(make([]byte, 23)),
		"long": "whsec_" + encode(make([]byte, 65)),
	} {
		t.Run(name, func(t *testing.T) {
			err := hook.CheckSecret(secret)
			require.Error(t, err)
			if secret != "" {
				require.NotContains(t, err.Error(), secret)
			}
			require.Error(t, hook.Sign(http.Header{}, []string{first, secret}, "id", moment, nil))
		})
	}
	require.Error(t, hook.Sign(http.Header{}, nil, "id", moment, nil))
	require.NoError(t, hook.CheckSecret(first))
	require.NoError(t, hook.CheckSecret(second))
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		header string
		want   error
	}{
		"200":                        {200, "", nil},
		"204":                        {204, "", nil},
		"a redirect":                 {302, "", &hook.RefusedError{Status: 302}},
		"refused":                    {404, "", &hook.RefusedError{Status: 404}},
		"busy":                       {503, "30", &hook.RefusedError{Status: 503, After: 30 * time.Second}},
		"busy for a month":           {429, "2592000", &hook.RefusedError{Status: 429, After: 24 * time.Hour}},
		"busy for a negative time":   {429, "-5", &hook.RefusedError{Status: 429}},
		"busy until a date":          {429, "Tue, 14 Nov 2023 22:14:20 GMT", &hook.RefusedError{Status: 429, After: time.Minute - 999}},
		"busy until a far date":      {429, "Wed, 21 Oct 2026 07:28:00 GMT", &hook.RefusedError{Status: 429, After: 24 * time.Hour}},
		"busy until an earlier date": {429, "Tue, 14 Nov 2023 22:13:20 GMT", &hook.RefusedError{Status: 429}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = append(got, r.Method+" "+r.URL.Path+" "+r.Header.Get(hook.HeaderID)+" "+r.Header.Get("Content-Type"))
				w.Header().Set("Location", "/elsewhere")
				if c.header != "" {
					w.Header().Set("Retry-After", c.header)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte("canary-body"))
			}))
			defer server.Close()
			err := hook.Post(t.Context(), hook.Client(true), hook.Attempt{URL: server.URL + "/canary-path", Secrets: []string{first}, ID: "ntc_1", At: moment, Body: []byte("{}")})
			require.Equal(t, []string{"POST /canary-path ntc_1 application/json"}, got)
			require.Equal(t, c.want, err)
			if err != nil {
				require.NotContains(t, err.Error(), "canary")
			}
		})
	}
}

// An answer of any length takes as much as is needed to use the connection again.
func TestALongAnswerIsNotRead(t *testing.T) {
	ended := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				ended <- err
				return
			}
		}
	}))
	defer server.Close()
	require.NoError(t, hook.Post(t.Context(), hook.Client(true), hook.Attempt{URL: server.URL, Secrets: []string{first}, ID: "1", At: moment}))
	require.Error(t, <-ended)
}

// A client for the public internet connects to nothing else, also when the name says otherwise.
func TestPrivateAddresses(t *testing.T) {
	reached := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	for host, always := range map[string]bool{
		"127.0.0.1": true, "[::ffff:127.0.0.1]": true, "0.0.0.0": true,
		"localhost": false, "[::1]": false, // a machine without IPv6 may refuse them first
	} {
		err := hook.Post(t.Context(), hook.Client(false), hook.Attempt{URL: "http://" + host + ":" + port + "/secret", Secrets: []string{first}, ID: "1", At: moment})
		require.Error(t, err, host)
		if always {
			require.Equal(t, hook.ErrPrivate, err, host)
		}
	}
	require.False(t, reached)
	require.ErrorIs(t, hook.CheckAddress("[::1]:443"), hook.ErrPrivate)
	require.ErrorIs(t, hook.CheckAddress("no address"), hook.ErrPrivate)
	require.ErrorIs(t, hook.CheckAddress("[2606:4700::1111%eth0]:443"), hook.ErrPrivate, "an address of one interface")
	require.ErrorIs(t, hook.CheckAddress("[::ffff:100.64.0.1]:443"), hook.ErrPrivate, "IPv4 written as IPv6")
	require.NoError(t, hook.CheckAddress("[2606:4700::1111]:443"))
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"198.18.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false, "fd00::1": false, "fe80::1": false, "ff02::1": false, "::": false,
		"64:ff9b::a00:1": false, "2002:a00:1::1": false, "::ffff:10.0.0.1": false, "::10.0.0.1": false, "0.1.2.3": false, "192.0.0.8": false, "203.0.113.9": false,
		"168.63.129.16": false, "168.63.129.17": true, "::ffff:0:a00:1": false, "::1": false,
	} {
		require.Equal(t, want, hook.Public(address), address)
	}
}

// A log may say that a receiver cannot be reached, but not its address.
func TestErrorsDoNotShowTheAddress(t *testing.T) {
	broken := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		return nil, errors.New("cannot reach " + r.URL.String())
	})}
	err := hook.Post(t.Context(), broken, hook.Attempt{URL: "https://receiver.example/canary", Secrets: []string{first}, ID: "1", At: moment})
	require.EqualError(t, err, "cannot reach the receiver, or its answer is not HTTP")
	err = hook.Post(t.Context(), broken, hook.Attempt{URL: "https://receiver.example/\x00canary", Secrets: []string{first}, ID: "1", At: moment})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "canary")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, context.Canceled, hook.Post(gone, hook.Client(true), hook.Attempt{URL: "http://127.0.0.1:9/canary", Secrets: []string{first}, ID: "1", At: moment}))
}

// What Go and the receiver say about a failure is in no error.
func TestWhyThereIsNoAnswer(t *testing.T) {
	redirect := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://%zz-canary")
		w.WriteHeader(http.StatusFound)
	}))
	defer redirect.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	failing := func(err error) *http.Client {
		return &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, err })}
	}
	notHTTP := "cannot reach the receiver, or its answer is not HTTP"
	for name, c := range map[string]struct {
		client *http.Client
		url    string
		want   string
	}{
		"a name without an address":      {failing(&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "canary-host", Server: "canary"}}), "http://canary", "the receiver's name cannot be resolved"},
		"a wrong redirect":               {hook.Client(true), redirect.URL, notHTTP},
		"an answer that is not HTTP":     {hook.Client(true), "http://" + speaker(t, "canary\r\n"), notHTTP},
		"a header that is not HTTP":      {hook.Client(true), "http://" + speaker(t, "HTTP/1.1 200 OK\r\ncanary\r\n\r\n"), notHTTP},
		"a certificate of nobody":        {hook.Client(true), untrusted.URL + "/canary", "the receiver's certificate is not valid"},
		"nobody listens":                 {hook.Client(true), closed.URL + "/canary", "cannot reach the receiver: connection refused"},
		"a private address":              {failing(fmt.Errorf("dial canary: %w", hook.ErrPrivate)), "http://canary", hook.ErrPrivate.Error()},
		"an attempt that takes too long": {failing(fmt.Errorf("canary: %w", context.DeadlineExceeded)), "http://canary", "context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			err := hook.Post(t.Context(), c.client, hook.Attempt{URL: c.url, Secrets: []string{first}, ID: "1", At: moment})
			require.EqualError(t, err, c.want)
			require.NotContains(t, err.Error(), "canary")
		})
	}
}

// A receiver is reached without a request.
func TestReach(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }))
	defer plain.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	require.NoError(t, hook.Reach(t.Context(), plain.URL+"/canary", true))
	require.Equal(t, hook.ErrPrivate, hook.Reach(t.Context(), plain.URL+"/canary", false))
	require.EqualError(t, hook.Reach(t.Context(), untrusted.URL+"/canary", true), "the receiver's certificate is not valid")
	require.EqualError(t, hook.Reach(t.Context(), "http://127.0.0.1:1/canary", true), "cannot reach the receiver: connection refused")
	for _, address := range []string{"canary", "ftp://canary.example", "redis://canary.example:80/x", "https://"} {
		require.EqualError(t, hook.Reach(t.Context(), address, true), "the receiver's address is not a valid http or https URL", address)
	}
}

// speaker answers each connection with a text, and returns its address.
func speaker(t *testing.T, text string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = conn.Write([]byte(text))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return listener.Addr().String()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
