package grpcserver

import "google.golang.org/grpc"

// CheckCalls is on in tests with the tag checkcalls.
const CheckCalls = checkCalls

// CheckedUnary wraps a handler as programs with the tag checkcalls do.
func CheckedUnary[Req, Res any](s *Server, handler Unary[Req, Res]) Unary[Req, Res] {
	return checkedUnary(s.chain, handler)
}

// CheckedStream wraps a handler as programs with the tag checkcalls do.
func CheckedStream[Req, Res any](s *Server, handler func(*Req, grpc.ServerStreamingServer[Res]) error) func(*Req, grpc.ServerStreamingServer[Res]) error {
	return checkedStream(s.chain, handler)
}
