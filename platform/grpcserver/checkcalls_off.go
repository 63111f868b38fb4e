//go:build !checkcalls

package grpcserver

// checkCalls is on in programs built with the tag checkcalls.
const checkCalls = false
