package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// serveUpstream answers like OpenAI, at once and from memory: what is measured is what stands before it.
func serveUpstream(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: bench upstream ADDRESS DELTAS")
	}
	deltas, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("DELTAS: %w", err)
	}
	answer, chunks := unaryAnswer(), streamChunks(deltas)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if !bytes.Contains(body, []byte(`"stream":true`)) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		control := http.NewResponseController(w)
		for _, chunk := range chunks {
			if _, err := w.Write(chunk); err != nil {
				return
			}
			if err := control.Flush(); err != nil {
				return
			}
		}
	})
	return listen(ctx, args[0], handler)
}

// serveProxy is a bare reverse proxy, the least that can stand between caller and provider.
func serveProxy(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: bench proxy ADDRESS UPSTREAM")
	}
	to, err := url.Parse(args[1])
	if err != nil {
		return fmt.Errorf("UPSTREAM: %w", err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport:     transport,
		FlushInterval: -1,
	}
	return listen(ctx, args[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Read first: the bare proxy cuts streams whose upstream answers before the body has been copied.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
}

func listen(ctx context.Context, address string, handler http.Handler) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

const words = "the quick brown fox jumps over a lazy dog and then goes home to sleep for a while "

func unaryAnswer() []byte {
	content := strings.Repeat(words, 12)
	return fmt.Appendf(nil, `{"id":"chatcmpl-bench","object":"chat.completion","created":1800000000,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":%q,"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":180,"completion_tokens":210,"total_tokens":390,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}},"service_tier":"default","system_fingerprint":"fp_bench"}`, content)
}

func streamChunks(deltas int) [][]byte {
	chunk := func(delta, finish string) []byte {
		return fmt.Appendf(nil, "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1800000000,\"model\":\"gpt-4o-mini\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{\"index\":0,\"delta\":%s,\"logprobs\":null,\"finish_reason\":%s}],\"usage\":null}\n\n", delta, finish)
	}
	chunks := [][]byte{chunk(`{"role":"assistant","content":"","refusal":null}`, "null")}
	split := strings.Fields(words)
	for i := range deltas {
		chunks = append(chunks, chunk(fmt.Sprintf(`{"content":" %s"}`, split[i%len(split)]), "null"))
	}
	chunks = append(chunks, chunk(`{}`, `"stop"`))
	usage := fmt.Appendf(nil, "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1800000000,\"model\":\"gpt-4o-mini\",\"choices\":[],\"usage\":{\"prompt_tokens\":180,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\ndata: [DONE]\n\n", deltas, 180+deltas)
	return append(chunks, usage)
}

// chatBody is a request of about a kilobyte.
func chatBody(stream bool) []byte {
	extra := ""
	if stream {
		extra = `,"stream":true,"stream_options":{"include_usage":true}`
	}
	return fmt.Appendf(nil, `{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":%q}],"max_tokens":512,"temperature":0.2%s}`, strings.Repeat(words, 10), extra)
}
