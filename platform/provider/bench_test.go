package provider_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/telemetry"
)

// BenchmarkCall compares a call through the transport with one through a bare http.Transport: the difference is what
// the transport costs. The log goes to io.Discard, as its place is not this package's.
func BenchmarkCall(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer server.Close()
	metrics, err := telemetry.NewMetrics("bench", "v0")
	require.NoError(b, err)
	silent, err := provider.New(provider.Config{Integration: "bench"}, slog.New(slog.DiscardHandler), metrics.Meter("provider"))
	require.NoError(b, err)
	logging, err := provider.New(provider.Config{Integration: "bench2"}, telemetry.NewLogger(io.Discard, telemetry.Config{}), metrics.Meter("provider2"))
	require.NoError(b, err)
	for name, transport := range map[string]http.RoundTripper{
		"bare": &http.Transport{MaxIdleConnsPerHost: 256}, "provider": silent, "provider+log": logging,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request, _ := http.NewRequestWithContext(b.Context(), http.MethodGet, server.URL, nil)
				response, err := transport.RoundTrip(request)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
	}
}

// BenchmarkOverhead measures the transport without a network.
func BenchmarkOverhead(b *testing.B) {
	metrics, err := telemetry.NewMetrics("bench", "v0")
	require.NoError(b, err)
	for name, logger := range map[string]*slog.Logger{
		"silent": slog.New(slog.DiscardHandler), "log": telemetry.NewLogger(io.Discard, telemetry.Config{}),
	} {
		b.Run(name, func(b *testing.B) {
			t, err := provider.New(provider.Config{Integration: "bench", Base: instant{}}, logger, metrics.Meter(name))
			require.NoError(b, err)
			request, _ := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://example.com", nil)
			buffer := make([]byte, 512)
			b.ReportAllocs()
			for b.Loop() {
				response, err := t.RoundTrip(request)
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = response.Body.Read(buffer)
				}
				_ = response.Body.Close()
			}
		})
	}
}

// instant answers with ten chunks.
type instant struct{}

func (instant) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: &chunks{left: 10}}, nil
}

type chunks struct{ left int }

func (c *chunks) Read([]byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	c.left--
	return 100, nil
}

func (c *chunks) Close() error { return nil }
