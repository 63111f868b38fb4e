package openai_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/trivet-dev/trivet/sandbox/openai"
)

// BenchmarkStream is a stream of 100 words over a real socket; the client's cost is in it.
func BenchmarkStream(b *testing.B) { benchmark(b, ask("hi [sandbox tokens=100]", "")) }

// BenchmarkChat is the same answer in one piece.
func BenchmarkChat(b *testing.B) {
	benchmark(b, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi [sandbox tokens=100]"}]}`)
}

func benchmark(b *testing.B, body string) {
	s := serve(b, openai.Config{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, err := http.NewRequestWithContext(b.Context(), "POST", s.url+"/v1/chat/completions", strings.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer sk-test")
			resp, err := s.http.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
}
