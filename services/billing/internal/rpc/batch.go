package rpc

import "github.com/trivet-dev/trivet/platform/grpcserver"

// Batch makes calls of other RPCs, each as if it were made alone.
func (*Server) Batch(stream grpcserver.BatchStream) error { return grpcserver.ServeBatch(stream) }
