package inprocess

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// header is the metadata that the handler of a unary call sends with its answer. It implements grpc.ServerTransportStream.
type header struct {
	method string

	mu sync.Mutex
	md metadata.MD
}

// within returns a context whose handler sends this header.
func (h *header) within(ctx context.Context) context.Context {
	return grpc.NewContextWithServerTransportStream(ctx, h)
}

// Method returns the full name of the RPC.
func (h *header) Method() string { return h.method }

// SetHeader adds metadata.
func (h *header) SetHeader(md metadata.MD) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.md = metadata.Join(h.md, md)
	return nil
}

// SendHeader adds metadata.
func (h *header) SendHeader(md metadata.MD) error { return h.SetHeader(md) }

// SetTrailer drops metadata: no caller in this process reads them.
func (*header) SetTrailer(metadata.MD) error { return nil }

func (h *header) get() metadata.MD {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.md.Copy()
}
