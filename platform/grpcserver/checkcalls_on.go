//go:build checkcalls

package grpcserver

// checkCalls makes plain calls copy and check their messages.
const checkCalls = true
